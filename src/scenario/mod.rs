//! Scenarios: a lab, and steps with what is expected of each, in one file.
//!
//! [`format`](mod@format) reads the file into typed steps; every value that can be wrong at run time keeps its place,
//! so that a failed expectation points at the line that stated it.

pub mod format;
mod run;
pub mod words;

pub use format::{Scenario, Step};
pub use run::{Progress, RunError, origins, run};
