//! The oracle that is a real command behind a lab.

use thiserror::Error;

use super::oracle::{Bypass, Contact, Exclusion, Oracle, RunOutcome};
use crate::child::{ChildOutcome, Status};
use crate::journal::ConnectionRecord;
use crate::net::Host;
use crate::policy::{Action, Dialect, PolicyConfig};
use crate::trial::{Trial, TrialError};

/// How many lines of what a command said are kept.
const SAID: usize = 6;

/// Runs a command behind a new lab each time.
#[derive(Clone, Debug)]
pub struct CommandOracle {
    trial: Trial,
    dialect: Dialect,
    success: Vec<i32>,
}

/// A run could not be made.
#[derive(Debug, Error)]
pub enum CommandError {
    /// There is no such program, or the file is none.
    #[error("`{0}` cannot be run: it was not found, or is no program")]
    Command(String),
    /// The lab or the command could not be had.
    #[error(transparent)]
    Trial(#[from] TrialError),
}

impl CommandOracle {
    /// A command that works where it ends with one of the `success` codes. The rules of the trial's policy are what the
    /// product has already, in `dialect`; the list that is sought comes before them. What they do not name is inspected.
    #[must_use]
    pub fn new(mut trial: Trial, dialect: Dialect, success: Vec<i32>) -> Self {
        trial.lab.policy.default.get_or_insert(Action::Inspect);
        Self { trial, dialect, success }
    }

    /// The trial with this bypassed.
    fn bypassing(&self, bypass: &Bypass) -> Trial {
        let present = &self.trial.lab.policy;
        let with = |policy: PolicyConfig, entries: &[String]| {
            let mut trial = self.trial.clone();
            trial.lab.policy = policy;
            trial.bypassing(entries)
        };
        match bypass {
            Bypass::Nothing => self.trial.clone(),
            Bypass::Everything => with(PolicyConfig { default: Some(Action::Bypass), ..PolicyConfig::default() }, &[]),
            Bypass::Only(exclusions) if present.command_line.is_empty() && present.file.is_none() => {
                let entries: Vec<_> = exclusions.iter().map(ToString::to_string).collect();
                let dialect = Some(Dialect::MIDDLEBOX);
                with(PolicyConfig { dialect, default: present.default, ..PolicyConfig::default() }, &entries)
            }
            // One policy has one dialect.
            Bypass::Only(exclusions) => {
                let entries: Vec<_> = exclusions.iter().map(|exclusion| self.written(exclusion)).collect();
                with(present.clone(), &entries)
            }
            Bypass::List { dialect, entries } => {
                with(PolicyConfig { dialect: Some(*dialect), ..present.clone() }, entries)
            }
        }
    }

    fn written(&self, exclusion: &Exclusion) -> String {
        let (base, probe) = match exclusion {
            Exclusion::Host(host) => (host.to_string(), host.to_string()),
            Exclusion::Below(base) => (base.to_string(), format!("any.{base}")),
        };
        self.dialect.entry_for(&base, &[&probe]).map_or(base, |(entry, _)| entry)
    }
}

impl Oracle for CommandOracle {
    type Error = CommandError;

    async fn run(&mut self, bypass: &Bypass) -> Result<RunOutcome, CommandError> {
        let ran = self.bypassing(bypass).run().await?;
        let (worked, ended) = match ran.child.status {
            Status::NotFound | Status::NotExecutable => {
                let program = self.trial.command.first().map(|word| word.to_string_lossy().into_owned());
                return Err(CommandError::Command(program.unwrap_or_default()));
            }
            Status::Exited(code) => (self.success.contains(&code), format!("exit {code}")),
            Status::Signalled(signal) => (false, format!("signal {signal}")),
            Status::TimedOut => (false, "ended at its time limit".to_owned()),
        };
        let contacts = ran.records.iter().filter_map(|record| contact(record)).collect();
        Ok(RunOutcome { worked, ended, said: said(&ran.child), contacts })
    }
}

/// What a record says of the host; none where nobody knows whom it was for.
fn contact(record: &ConnectionRecord) -> Option<Contact> {
    let asked = record.destination.as_ref().map(|destination| destination.host.clone());
    let named = record.hello.as_ref().and_then(|hello| hello.sni.as_deref()).and_then(|sni| Host::parse(sni).ok());
    let host = named.or_else(|| asked.clone())?;
    Some(Contact {
        destination: asked.filter(|asked| *asked != host),
        host,
        decision: record.decision.as_ref().map(|decision| decision.action),
        outcome: record.outcome_so_far(),
        diagnosis: record.diagnosis.as_deref().cloned(),
    })
}

/// The last lines on standard error, or on standard output where there are none.
fn said(child: &ChildOutcome) -> Vec<String> {
    let last = |text: String| {
        let lines: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(SAID)..].iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let errors = last(child.stderr.text());
    if errors.is_empty() { last(child.stdout.text()) } else { errors }
}
