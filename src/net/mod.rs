//! What several rooms need and none owns: hosts and destinations, the ClientHello, certificates and pins, streams,
//! name resolution and dialling.

mod certificate;
pub(crate) mod der;
mod dial;
mod dialled;
mod hello;
mod host;
mod loops;
mod names;
mod parent;
mod pin;
mod process;
mod pump;
mod resolve;
mod tap;
mod through;
mod websocket;

pub use certificate::{Certificate, CertificateError, CertificateFacts, pem};
pub use dial::{DialError, Dialer, Routes};
pub use dialled::{CameBack, Dialled};
pub use hello::{ClientHello, FirstBytes, MAX_HELLO, read_first_bytes};
pub(crate) use host::split_port;
pub use host::{Destination, Host, HostError};
pub use loops::{AcceptedEnd, LOOP_HINT, OpenedEnd, OwnConnections};
pub use names::Names;
pub use parent::{Parent, ParentError, ParentKind, Way};
pub use pin::{Pin, PinError};
pub use process::{Owner, owners};
pub use pump::{Filter, Flow, Passed, PumpError, ToEnd, pump, read_some};
pub use resolve::{Overrides, ResolveEntry, ResolveEntryError, ResolveHosts};
pub use tap::{Record, Tap, TapHandle, Trace, WireEnd};
pub use through::{ParentFault, ParentSaid, ParentTls};
pub use websocket::{FrameKind, WebSocketCounts, WebSocketFrame, WebSocketFrames};
