//! Real clients behind the middlebox: what the strictest of them accept, and what a refusal of each looks like.
//!
//! A client that is not installed here is left out, and its absence is printed (`--nocapture` shows it). Programs run
//! on loopback only, each for a limited time.

#![allow(clippy::print_stdout, reason = "what is measured, and what is left out, is told")]

#[path = "clients/acceptance.rs"]
mod acceptance;
#[path = "clients/browser.rs"]
mod browser;
#[path = "clients/client.rs"]
mod client;
#[path = "clients/in_process.rs"]
mod in_process;
#[path = "clients/profiles.rs"]
mod profiles;
#[path = "clients/signatures.rs"]
mod signatures;
#[path = "clients/table.rs"]
mod table;
#[path = "clients/world.rs"]
mod world;
