//! Okta Verify as this project imagines it: a client that pins its server's keys and walks through an enrollment.
//!
//! The calls and their order are those of Okta's open device SDK; that Okta Verify for Windows makes the same ones is
//! an assumption. Of the two proxy settings of Windows the application reads the machine's (WinHTTP), which is an
//! assumption as well. On the wire it refuses a certificate with the alerts that .NET on Windows is expected to send (46 for
//! a pin, 48 for an unknown CA, 42 for a name, 45 for time), but before its Finished, where .NET is expected to send
//! them after it: rustls sends no alert of a program's choice later.

mod enroll;
mod event_log;
mod fast_pass;
mod pin_table;
mod sign_in;

use http::Method;
use serde::Serialize;
use url::Url;

use crate::net::Host;
use crate::simulation::workstation::{CertificateSeen, Refusal, SniChoice, Workstation};

pub use fast_pass::{FastPass, FastPassSignIn, PORTS as FAST_PASS_PORTS, Probe};
pub use pin_table::{PinTable, PinTableError};

/// The simulated pinned client.
#[derive(Clone, Debug)]
pub struct OktaVerify {
    pins: PinTable,
    profile: ClientProfile,
    sni: Option<SniChoice>,
}

/// What may differ between versions and platforms of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClientProfile {
    /// Pins are compared after the handshake, and a mismatch ends the connection with `close_notify` instead of an
    /// alert. A bad chain is refused within the handshake all the same.
    pub late: bool,
    /// The client also asks the organization's canonical URL where it differs from the one that was typed, and goes on
    /// there. Assumption: not documented for a custom domain.
    pub follow_organization_link: bool,
    /// The client answers a proxy's `407` with the workstation's credentials. Without it, it fails as an application
    /// does that knows no proxy authentication.
    pub answer_proxy_challenge: bool,
    /// The client asks whether a certificate has been revoked, where the certificate says whom to ask, and refuses it
    /// where nobody answers. It does so once the handshake is over, and then closes without an alert.
    pub check_revocation: bool,
}

impl Default for ClientProfile {
    fn default() -> Self {
        Self { late: false, follow_organization_link: true, answer_proxy_challenge: true, check_revocation: true }
    }
}

/// How an enrollment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnrollOutcome {
    /// The device is enrolled.
    Enrolled,
    /// A certificate was refused.
    Refused,
    /// Anything else failed.
    Error,
}

/// Everything that one enrollment tells.
#[derive(Clone, Debug, Serialize)]
pub struct Enrollment {
    /// How it ended.
    pub outcome: EnrollOutcome,
    /// What the user sees where it failed.
    pub shown: Option<String>,
    /// The lines of the event log.
    pub log: Vec<String>,
    /// The calls in the order in which they were made; where one was made and failed, it is the last.
    pub calls: Vec<Call>,
    /// The call that failed.
    pub failed_call: Option<CallName>,
    /// What was created.
    pub ids: Option<EnrollmentIds>,
}

/// The identifiers of a successful enrollment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EnrollmentIds {
    /// The enrollment, `pfd…`.
    pub enrollment: String,
    /// The device, `guo…`.
    pub device: String,
    /// The user, `00u…`.
    pub user: String,
    /// The methods, `opf…`, in the order in which they were asked for.
    pub methods: Vec<String>,
}

/// One call of an enrollment.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// Which one.
    pub name: CallName,
    /// The HTTP method.
    #[serde(serialize_with = "as_text")]
    pub method: Method,
    /// The URL, without its query: that may hold secrets.
    pub url: String,
    /// The host of the URL.
    pub host: Option<Host>,
    /// Who made it.
    pub by: Caller,
    /// How it went.
    pub result: CallResult,
    /// The certificate that was shown, refused or not; none without TLS.
    pub certificate: Option<CertificateSeen>,
    /// Whether the caller pins this host.
    pub pinned: bool,
}

/// The calls of an enrollment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallName {
    /// `GET /.well-known/okta-organization` at the URL that the user typed.
    OrganizationStatus,
    /// The same at the organization's canonical URL, where that is another host.
    CanonicalOrganization,
    /// The sign-in page in the system browser.
    SignIn,
    /// The script of the sign-in page, where that has one from another host.
    SignInScript,
    /// The form of the sign-in page.
    SignInForm,
    /// The way back to the application, on loopback (RFC 8252, 7.3).
    SignInCallback,
    /// `POST /oauth2/v1/token`.
    Token,
    /// `GET /api/v1/authenticators`.
    Authenticators,
    /// `POST` to the link that the organization names.
    Enroll,
}

/// Who made a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caller {
    /// The pinned application.
    App,
    /// The system browser, which pins nothing.
    Browser,
}

/// How a call went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CallResult {
    /// Answered as hoped.
    Ok {
        /// The status code.
        status: u16,
    },
    /// The caller refused the certificate.
    Refused {
        /// Why, and what the other side was told.
        refusal: Refusal,
    },
    /// Anything else.
    Failed {
        /// The status code, where the origin answered.
        status: Option<u16>,
        /// What happened.
        reason: String,
    },
}

impl OktaVerify {
    /// A client with its pins.
    #[must_use]
    pub fn new(pins: PinTable, profile: ClientProfile) -> Self {
        Self { pins, profile, sni: None }
    }

    /// The same client with another server name in its hellos, or none.
    #[must_use]
    pub fn with_sni(self, sni: Option<SniChoice>) -> Self {
        Self { sni, ..self }
    }

    /// Enrolls the workstation at the organization whose sign-in URL the user typed. It ends: each call has the
    /// workstation's time limit.
    pub async fn enroll(&self, url: &Url, workstation: &Workstation) -> Enrollment {
        enroll::walk(self, url, workstation).await
    }
}

impl Enrollment {
    /// The call that failed, with what was seen.
    #[must_use]
    pub fn failed(&self) -> Option<&Call> {
        self.calls.last().filter(|call| self.failed_call == Some(call.name))
    }
}

fn as_text<S: serde::Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}
