//! `middlebox` puts a TLS-inspecting middlebox on your machine.

pub mod authority;
pub mod journal;
pub mod net;
pub mod policy;
pub mod proxy;
pub mod source;
