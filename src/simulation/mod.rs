//! The simulated world around the middlebox: an internet with its own public CA, a workstation with its browser, and
//! Okta Verify, the pinned client.
//!
//! Nothing here knows the proxy: like any client and any origin, this room meets it on the network alone. What is an
//! assumption about the real products and not a published fact is called one where it stands.

pub mod internet;
mod ocsp;
pub mod okta_verify;
pub mod workstation;

pub use internet::{
    Alpn, App, CertificateKind, ClientIdentity, Internet, Organization, OriginSpec, RevocationHosts, SimulationError,
};
pub use okta_verify::{
    Call, CallName, CallResult, Caller, ClientProfile, EnrollOutcome, Enrollment, EnrollmentIds, FAST_PASS_PORTS,
    FastPass, FastPassSignIn, OktaVerify, PinTable, PinTableError, Probe,
};
pub use workstation::{
    Answer, CertificateSeen, DEVICE_HEADER, Fault, HttpVersion, KeptConnection, PacDirective, ProxyAnswer,
    ProxyAutoConfig, ProxySetting, Refusal, RefusalCause, SniChoice, Visit, Workstation,
};

#[cfg(test)]
mod tests;
