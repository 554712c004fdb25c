//! `middlebox solve` on real clients: what it finds is the smallest list, and its runs are counted.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod answers;
mod dialects;
mod found;
mod place;
