//! Every way into the proxy, over real sockets, with the record of every tunnel.
#![allow(clippy::unwrap_used, reason = "builders fail the test that uses them")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says why")]

mod support;

#[path = "doors/any.rs"]
mod any;
#[path = "doors/connect.rs"]
mod connect;
#[path = "doors/door.rs"]
mod door;
#[path = "doors/faithful.rs"]
mod faithful;
#[path = "doors/faithful_http2.rs"]
mod faithful_http2;
#[path = "doors/forward.rs"]
mod forward;
#[path = "doors/http2.rs"]
mod http2;
#[path = "doors/limits.rs"]
mod limits;
#[cfg(target_os = "linux")]
#[path = "doors/namespace.rs"]
mod namespace;
#[path = "doors/real_curl.rs"]
mod real_curl;
#[path = "doors/socks.rs"]
mod socks;
#[path = "doors/tls.rs"]
mod tls;
#[cfg(target_os = "linux")]
#[path = "doors/transparent.rs"]
mod transparent;
#[path = "doors/ways.rs"]
mod ways;
