//! A real command behind a lab.

pub mod solve;
