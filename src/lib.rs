//! `middlebox` puts a TLS-inspecting middlebox on your machine.

pub mod authority;
pub mod child;
pub mod cli;
pub mod control;
pub mod journal;
pub mod lab;
pub mod net;
pub mod pac;
pub mod policy;
pub mod proxy;
pub mod report;
pub mod scenario;
pub mod simulation;
pub mod source;
pub mod trial;
pub mod verify;
