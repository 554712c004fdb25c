//! What several rooms need and none owns: hosts and destinations, the ClientHello, certificates and pins, streams,
//! name resolution and dialling.

mod certificate;
mod dial;
mod hello;
mod host;
mod pin;
mod prefixed;
mod pump;
mod resolve;
mod tap;

pub use certificate::{CertificateError, CertificateFacts, pem};
pub use dial::{DialError, Dialer};
pub use hello::{ClientHello, FirstBytes, MAX_HELLO, read_first_bytes};
pub use host::{Destination, Host, HostError};
pub use pin::{Pin, PinError};
pub use prefixed::Prefixed;
pub use pump::{Filter, Flow, Passed, PumpError, ToEnd, pump, read_some};
pub use resolve::{Overrides, ResolveEntry, ResolveEntryError};
pub use tap::{Record, Tap, TapHandle, Trace, WireEnd};
