//! The proxy from outside: real sockets, real TLS, and the record of every connection.
#![allow(clippy::unwrap_used, reason = "builders fail the test that uses them")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says why")]

mod support;

use support::stage;

#[path = "proxy/addresses.rs"]
mod addresses;
#[path = "proxy/after_finished.rs"]
mod after_finished;
#[path = "proxy/agreement.rs"]
mod agreement;
#[path = "proxy/bad_certificates.rs"]
mod bad_certificates;
#[path = "proxy/changes.rs"]
mod changes;
#[path = "proxy/cut.rs"]
mod cut;
#[path = "proxy/diagnosis.rs"]
mod diagnosis;
#[path = "proxy/faulty_origins.rs"]
mod faulty_origins;
#[path = "proxy/first_bytes.rs"]
mod first_bytes;
#[path = "proxy/hang_ups.rs"]
mod hang_ups;
#[path = "proxy/host_names.rs"]
mod host_names;
#[path = "proxy/http1.rs"]
mod http1;
#[path = "proxy/http2.rs"]
mod http2;
#[path = "proxy/limits.rs"]
mod limits;
#[path = "proxy/negotiation.rs"]
mod negotiation;
#[path = "proxy/real_curl.rs"]
mod real_curl;
#[path = "proxy/silence.rs"]
mod silence;
#[path = "proxy/undecryptable.rs"]
mod undecryptable;
