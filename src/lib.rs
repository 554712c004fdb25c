//! `middlebox` puts a TLS-inspecting middlebox on your machine.

pub mod net;
pub mod simulation;
pub mod source;
