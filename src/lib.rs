//! `middlebox` puts a TLS-inspecting middlebox on your machine.

pub mod child;
pub mod net;
pub mod report;
pub mod scenario;
pub mod source;
