//! Trials: a real command behind a lab of its own, once or many times, and what that shows.
//!
//! [`Trial`] is one run: a fresh lab on free ports, a child that is told of its proxy and its CAs, and afterwards how
//! the child ended with a record of each connection. `exec` runs one and tells it, `audit` and `solve` run many.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use middlebox::journal::Outcome;
//! use middlebox::lab::{LabConfig, acme};
//! use middlebox::trial::Trial;
//!
//! let lab = LabConfig { simulate: acme(), ..LabConfig::default() };
//! let trial = Trial { lab, ..Trial::new(["curl", "-sS", "https://intranet.acme.example/"]) };
//! # if std::process::Command::new("curl").arg("--version").output().is_err() { return Ok(()); }
//! let ran = trial.run().await?;
//! assert!(ran.child.status.success());
//! assert_eq!(ran.records[0].outcome, Some(Outcome::Accepted));
//!
//! let ran = trial.bypassing(["intranet.acme.example"]).run().await?;
//! assert_eq!(ran.records[0].outcome, Some(Outcome::Bypassed));
//! # Ok(())
//! # }
//! ```

mod audit;
mod browser;
mod exec;
mod expect;
mod run;
pub mod solve;
mod words;

pub use audit::{Attempt, Audit, AuditError, AuditProgress, Baseline, Meaning, UnknownAttempt};
pub use browser::BrowserError;
pub use exec::report;
pub use expect::Expectation;
pub use run::{PINS, Ran, Trial, TrialError, Trust};
pub use words::{PLACEHOLDERS, WordError};
