//! The proxy from outside: real sockets, real TLS, and the record of every connection.
#![allow(clippy::unwrap_used, reason = "builders fail the test that uses them")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says why")]

mod support;

use support::stage;

#[path = "proxy/addresses.rs"]
mod addresses;
#[path = "proxy/cut.rs"]
mod cut;
#[path = "proxy/first_bytes.rs"]
mod first_bytes;
#[path = "proxy/http1.rs"]
mod http1;
#[path = "proxy/negotiation.rs"]
mod negotiation;
