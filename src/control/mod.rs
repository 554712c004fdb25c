//! The control API of a running middlebox: its policy, its connections, its events, its CA, and a page for people.
//!
//! [`Control`] serves it over plain HTTP, [`ControlClient`] is the command line's end of it, and both speak the types
//! of [`wire`]. A request goes through the `guard` (is it meant for us, and by whom?), is read by `input`, answered by
//! `policy`, `connections`, `events` or `page`, and where it fails, answered with a [`Problem`].

mod client;
mod connections;
mod events;
mod follow;
mod guard;
mod input;
mod lab;
mod metrics;
mod openapi;
mod page;
mod policy;
mod problem;
mod rehearse;
mod routes;
mod server;
#[cfg(test)]
mod tests;
pub mod wire;

pub use client::{ClientError, ControlClient};
pub use connections::ConnectionFilter;
pub use follow::{Following, ServerEvent};
pub use lab::{Lab, LabStatus};
pub use problem::{Problem, ProblemKind};
pub use server::{Control, ControlConfig, ControlError, DEFAULT_ADDRESS, RootCertificate};
