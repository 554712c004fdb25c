//! `middlebox` puts a TLS-inspecting middlebox on your machine.

pub mod authority;
pub mod net;
pub mod source;
