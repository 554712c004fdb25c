//! One run of a command behind a lab of its own.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::browser::{BrowserError, Profiles};
use super::words::{Filling, WordError};
use crate::child::{self, ChildError, ChildOutcome, Output, Signals, Surroundings};
use crate::journal::ConnectionRecord;
use crate::lab::{LabConfig, LabError, RunningLab};
use crate::policy::{Action, RuleSpec};
use crate::simulation::{Internet, PinTable};

/// Hosts that a client reaches without a proxy on every usual workstation.
const LOOPBACK: &str = "localhost,127.0.0.1,::1";

/// The variable that tells the simulated Okta Verify of its pins.
pub const PINS: &str = "MIDDLEBOX_PINS";

/// How long the records of the command's connections are waited for once it has ended.
const SETTLE: Duration = Duration::from_secs(10);

/// How long connections that are open even then have to end.
const GRACE: Duration = Duration::from_millis(500);

/// A command and the lab behind which it is run. Plain data: each run makes a lab of its own, with another CA and other
/// ports, so that runs may go on beside each other.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The lab, its policy and its origins among it.
    pub lab: LabConfig,
    /// The program and its arguments, which may hold [placeholders](super::PLACEHOLDERS).
    pub command: Vec<OsString>,
    /// What the command is told to trust.
    pub trust: Trust,
    /// Hosts that it is told to reach without the proxy, separated by commas. `None`: none.
    pub no_proxy: Option<String>,
    /// Where its output goes.
    pub output: Output,
    /// When it is ended, with all that it started. `None`: never.
    pub time_limit: Option<Duration>,
}

/// What a command is told to trust.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The inspection CA, the simulated internet's and the system's, by its environment.
    #[default]
    Env,
    /// Nothing: it trusts what it trusts anyway.
    None,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// How the command ended, and what it said where that was captured.
    pub child: ChildOutcome,
    /// A record of each connection, oldest first.
    pub records: Vec<Arc<ConnectionRecord>>,
    /// Whether each record is complete: false where somebody holds a connection open beyond the command's end.
    pub settled: bool,
}

/// A run could not be had, and the command is not to blame.
#[derive(Debug, Error)]
pub enum TrialError {
    /// The lab does not start.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A placeholder cannot be filled in.
    #[error(transparent)]
    Word(#[from] WordError),
    /// A browser's profile folder cannot be made.
    #[error(transparent)]
    Browser(#[from] BrowserError),
    /// The command cannot be started or followed.
    #[error(transparent)]
    Child(#[from] ChildError),
}

impl Trial {
    /// A command behind the plain lab: everything inspected, its output captured, no time limit.
    pub fn new(command: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            lab: LabConfig::default(),
            command: command.into_iter().map(Into::into).collect(),
            trust: Trust::Env,
            no_proxy: Some(LOOPBACK.to_owned()),
            output: Output::Captured,
            time_limit: None,
        }
    }

    /// The same with these hosts bypassed, before all other rules. Patterns are read in the lab's dialect.
    #[must_use]
    pub fn bypassing(&self, patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut trial = self.clone();
        let rules = patterns.into_iter().map(|pattern| RuleSpec::new(pattern, Action::Bypass));
        trial.lab.policy.command_line.splice(0..0, rules);
        trial
    }

    /// Runs the command to its end, or to its time limit. When this returns, or is dropped, neither the lab nor
    /// anything of the command's process group is left.
    ///
    /// # Errors
    /// See [`TrialError`]. A program that is missing, fails or runs too long is none: its [status](ChildOutcome) says
    /// so.
    pub async fn run(&self) -> Result<Ran, TrialError> {
        self.perform(None).await
    }

    /// As [`Self::run`], and passes on the signals that are sent to us while the command runs.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_with_signals(&self, signals: &mut Signals) -> Result<Ran, TrialError> {
        self.perform(Some(signals)).await
    }

    async fn perform(&self, signals: Option<&mut Signals>) -> Result<Ran, TrialError> {
        let config = LabConfig { grace: GRACE, ..self.lab.clone() };
        let lab = config.build().await?.spawn();
        let profiles = Profiles::make(&self.command, &lab, self.trust, self.no_proxy.as_deref()).await?;
        let command = self.child(&lab, &profiles)?;
        let child = match signals {
            Some(signals) => child::run_with_signals(&command, signals).await?,
            None => child::run(&command).await?,
        };
        let settled = lab.journal().settle(SETTLE).await;
        let records = lab.journal().records(true);
        lab.drain().await;
        Ok(Ran { child, records, settled })
    }

    /// The command as it is started behind this lab.
    fn child(&self, lab: &RunningLab, profiles: &Profiles) -> Result<child::Command, TrialError> {
        let inspection = lab.authority().ca().root_pem();
        let trust = lab.files().for_client(Some(&inspection), lab.internet().map(Internet::root_pem))?;
        let filling = Filling { lab, trust: &trust, profiles };
        let mut command = child::Command {
            argv: self.command.iter().map(|word| filling.fill(word)).collect::<Result<_, _>>()?,
            output: self.output,
            time_limit: self.time_limit,
            ..child::Command::default()
        };
        let proxy = format!("http://{}", lab.proxy_address()).parse().expect("an address makes a URL");
        let trust = match self.trust {
            Trust::Env => Some(trust),
            Trust::None => None,
        };
        Surroundings { proxy: Some(proxy), no_proxy: self.no_proxy.clone(), trust }.apply(&mut command);
        command.set.extend(profiles.home.iter().map(|home| ("HOME".into(), home.into())));
        let pins = lab.internet().map(PinTable::simulated_with_custom_domains).unwrap_or_default();
        if !pins.is_empty() {
            command.set.push((PINS.into(), pins.to_string().into()));
        }
        Ok(command)
    }
}
