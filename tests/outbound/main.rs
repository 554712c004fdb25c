//! The ways out: parent proxies, names, client certificates, TLS secrets; over real sockets, by the library's lab.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod authenticate;
mod chain;
mod client_certificates;
mod keylog;
mod names;
mod parents;
mod refusals;
mod support;
