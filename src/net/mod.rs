//! What several rooms need and none owns: hosts and destinations, certificates and pins, name resolution and dialling.

mod certificate;
mod dial;
mod host;
mod pin;
mod resolve;

pub use certificate::{CertificateError, CertificateFacts};
pub use dial::{DialError, Dialer};
pub use host::{Destination, Host, HostError};
pub use pin::{Pin, PinError};
pub use resolve::{Overrides, ResolveEntry, ResolveEntryError};
