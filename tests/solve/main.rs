//! `middlebox solve` on real clients: what it finds is the smallest list, and its runs are counted.

#![cfg(unix)]
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that fails says where, and one that is skipped why"
)]

mod answers;
mod dialects;
mod found;
#[path = "../support/junit.rs"]
mod junit;
mod place;
