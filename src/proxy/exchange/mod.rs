//! HTTP through inspection: requests up, answers down, nothing changed that does not have to be.

mod framing;
mod head;
mod http1;
mod http2;
mod http2_exchange;
mod http2_origin;
mod websocket;

pub(crate) use framing::Body;
pub(crate) use head::{HeadError, Length, RequestHead, ResponseHead, find_end, leading_empty_lines};
pub(crate) use http1::{Admission, Gate, Relay, RelayEnd, Side};
pub(crate) use http2::{Http2Relay, answer_all};
pub(crate) use http2_origin::{Driver, Http2Origin};
