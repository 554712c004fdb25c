//! Audits: what a client accepts. The command is run once for each host and each wrong certificate, with everything
//! else bypassed, because a client that refuses its first host never reaches its others.

mod attempt;
mod baseline;
mod verdict;

use std::time::Instant;

use thiserror::Error;
use tokio::task::JoinSet;

pub use attempt::{Attempt, Meaning, UnknownAttempt};
pub use baseline::Baseline;

use self::verdict::{Judged, judge};
use super::{Ran, Trial, TrialError};
use crate::authority::TlsVersion;
use crate::child::{Captured, Status};
use crate::journal::{Cause, ConnectionRecord, DecisionKind};
use crate::net::{Destination, Host};
use crate::policy::{Action, Dialect, Pattern, PolicyConfig, RuleSpec};
use crate::report::{AuditCell, AuditReport, AuditVerdict, AuditedHost};

/// How often a run is repeated in which the host was not reached, or nothing could be told.
const REPEATS: usize = 1;

/// A client and what is tried on it.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The command and its lab; its policy is the audit's own.
    pub trial: Trial,
    /// What is tried. A trusted forgery always is, since the rest is judged by it.
    pub attempts: Vec<Attempt>,
    /// The hosts that are audited. Empty: every one that the command contacts.
    pub hosts: Vec<Pattern>,
    /// Whether the acceptance of a fault is a failure.
    pub fail_on_faults: bool,
    /// Whose acceptance is a failure besides.
    pub fail_on: Vec<Attempt>,
    /// What is known, and does not fail.
    pub baseline: Baseline,
    /// How many runs go on at once.
    pub jobs: usize,
}

/// What is told while an audit runs.
#[derive(Clone, Debug)]
pub enum AuditProgress<'a> {
    /// The hosts are known; so many runs follow.
    Begun {
        /// The hosts that are audited.
        hosts: &'a [Host],
        /// How many runs follow.
        runs: usize,
    },
    /// So many runs are done.
    Done {
        /// How many.
        done: usize,
        /// Of how many.
        runs: usize,
        /// The host of the last one.
        host: &'a Host,
        /// What was tried.
        attempt: Attempt,
        /// What the client did.
        verdict: AuditVerdict,
    },
}

/// An audit could not be had.
#[derive(Debug, Error)]
pub enum AuditError {
    /// A run could not be had.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// The program is not there, or is none.
    #[error("`{0}` cannot be run: it was not found, or is no program")]
    Command(String),
    /// The command contacts nobody through the middlebox.
    #[error("nothing arrived at the middlebox: the command made no TLS connection through it{0}")]
    NothingArrived(String),
    /// It contacts others than those that were asked for.
    #[error("the command contacts none of the hosts asked for; it contacts {0}")]
    NotAmong(String),
    /// A run ended early.
    #[error("a run ended early: {0}")]
    Stopped(String),
}

impl Audit {
    /// An audit with everything that there is, one run at a time.
    #[must_use]
    pub fn new(trial: Trial) -> Self {
        Self {
            trial,
            attempts: Attempt::all(),
            hosts: Vec::new(),
            fail_on_faults: true,
            fail_on: Vec::new(),
            baseline: Baseline::default(),
            jobs: 1,
        }
    }

    /// Runs all of it. Dropped, it ends every run.
    ///
    /// # Errors
    /// See [`AuditError`].
    pub async fn run(
        &self,
        on_progress: &mut (dyn FnMut(AuditProgress<'_>) + Send),
    ) -> Result<AuditReport, AuditError> {
        let begun = Instant::now();
        let survey = self.bypassed().run().await?;
        let program = self.trial.command.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        if matches!(survey.child.status, Status::NotFound | Status::NotExecutable) {
            return Err(AuditError::Command(program));
        }
        let hosts = self.contacted(&survey)?;
        let plan: Vec<_> =
            hosts.iter().flat_map(|host| self.planned().map(move |attempt| (host.clone(), attempt))).collect();
        let tried = |(host, attempt): &&(Host, Attempt)| attempt.hindrance(host).is_none();
        let runs = plan.iter().filter(tried).count();
        on_progress(AuditProgress::Begun { hosts: &hosts, runs });
        let judged = self.judge_all(&plan, runs, on_progress).await?;

        let mut audited: Vec<AuditedHost> =
            hosts.iter().map(|host| AuditedHost { host: host.to_string(), note: None, cells: Vec::new() }).collect();
        for ((host, attempt), judged) in plan.iter().zip(judged) {
            let at = hosts.iter().position(|known| known == host).expect("the plan is made of the hosts");
            audited[at].cells.push(cell(*attempt, judged));
        }
        let accepts = |host| control(host).is_some_and(|cell| cell.verdict == AuditVerdict::Accepted);
        let trusts = audited.iter().any(accepts);
        for host in &mut audited {
            self.assess(host, trusts);
        }
        let stale = self.baseline.stale(&audited);
        Ok(AuditReport {
            command: self.trial.command.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
            profile: self.trial.lab.profile.clone(),
            hosts: audited,
            remarks: remarks(&survey),
            stale,
            runs: runs + 1,
            duration: begun.elapsed(),
        })
    }

    /// The control first, and what has been asked for.
    fn planned(&self) -> impl Iterator<Item = Attempt> + '_ {
        let control = (!self.attempts.contains(&Attempt::TrustedForgery)).then_some(Attempt::TrustedForgery);
        control.into_iter().chain(self.attempts.iter().copied())
    }

    fn bypassed(&self) -> Trial {
        let mut trial = self.trial.clone();
        trial.lab.policy = PolicyConfig {
            dialect: Some(Dialect::MIDDLEBOX),
            default: Some(Action::Bypass),
            command_line: Vec::new(),
            file: None,
        };
        trial
    }

    /// The trial that shows one host one certificate.
    fn of(&self, host: &Host, attempt: Attempt) -> Trial {
        let mut trial = self.bypassed();
        trial.lab.policy.command_line.push(RuleSpec::new(host.to_string(), Action::Inspect));
        match attempt {
            Attempt::Defect(defect) => trial.lab.defect = Some(defect),
            Attempt::Tls12Only => trial.lab.client_tls = Some(TlsVersion::V1_2),
            Attempt::TrustedForgery | Attempt::Rsa1024 | Attempt::Sha1 => {}
        }
        trial
    }

    /// The hosts that were contacted by TLS and are asked for.
    fn contacted(&self, survey: &Ran) -> Result<Vec<Host>, AuditError> {
        let mut all = Vec::new();
        let mut hosts = Vec::new();
        for record in &survey.records {
            let host = record.host().and_then(|host| Host::parse(&host).ok());
            let Some(host) = host.filter(|_| record.hello.is_some()) else { continue };
            let port = record.destination.as_ref().map_or(443, |destination| destination.port);
            let destination = Destination::new(host.clone(), port);
            let asked = self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.covers(&destination));
            if asked && !hosts.contains(&host) {
                hosts.push(host.clone());
            }
            if !all.contains(&host) {
                all.push(host);
            }
        }
        if hosts.is_empty() {
            let all: Vec<_> = all.iter().map(ToString::to_string).collect();
            return Err(match all.is_empty() {
                true => AuditError::NothingArrived(how_it_ended(survey)),
                false => AuditError::NotAmong(all.join(", ")),
            });
        }
        Ok(hosts)
    }

    async fn judge_all(
        &self,
        plan: &[(Host, Attempt)],
        runs: usize,
        on_progress: &mut (dyn FnMut(AuditProgress<'_>) + Send),
    ) -> Result<Vec<Judged>, AuditError> {
        let hindered = |(host, attempt): &(Host, Attempt)| attempt.hindrance(host).map(Judged::not_tried);
        let mut judged: Vec<_> = plan.iter().map(hindered).collect();
        let waiting: Vec<_> = (0..plan.len()).filter(|at| judged[*at].is_none()).collect();
        let mut waiting = waiting.into_iter();
        let mut running = JoinSet::new();
        for done in 1..=runs {
            for at in waiting.by_ref().take(self.jobs.max(1) - running.len()) {
                let (host, attempt) = &plan[at];
                let (trial, host, attempt) = (self.of(host, *attempt), host.to_string(), *attempt);
                running.spawn(async move { (at, judge_one(&trial, attempt, &host).await) });
            }
            let Some(ended) = running.join_next().await else { break };
            let (at, one) = ended.map_err(|error| AuditError::Stopped(error.to_string()))?;
            let one = one?;
            let (host, attempt) = &plan[at];
            on_progress(AuditProgress::Done { done, runs, host, attempt: *attempt, verdict: one.verdict });
            judged[at] = Some(one);
        }
        Ok(judged.into_iter().map(|one| one.expect("each was hindered or has run")).collect())
    }

    /// What fails, and what is to be known of the whole. `trusts`: the client has accepted the inspection CA for some
    /// host.
    fn assess(&self, host: &mut AuditedHost, trusts: bool) {
        let control = control(host);
        let refuses_trusted = control.is_some_and(|cell| cell.verdict == AuditVerdict::Refused);
        let cause = control.and_then(|cell| cell.cause.as_deref()).and_then(|cause| cause.parse().ok());
        host.note = refuses_trusted.then(|| {
            let why = match cause {
                Some(Cause::PinMismatch) => "the client pins this host",
                _ if trusts => "the client pins this host, or has other CAs for it than for the rest",
                Some(Cause::UntrustedCa) => "the client does not trust the inspection CA",
                _ => "the client pins this host, or does not trust the inspection CA",
            };
            format!("{why}: it refuses even a trusted forgery, so its refusals do not show what else it checks")
        });
        for cell in &mut host.cells {
            let Ok(attempt) = cell.attempt.parse::<Attempt>() else { continue };
            let fault = match attempt.meaning() {
                Meaning::Fault => true,
                Meaning::FaultWherePinned => refuses_trusted,
                Meaning::Observation => false,
            };
            cell.fault = (fault && self.fail_on_faults) || self.fail_on.contains(&attempt);
            cell.known = cell.verdict == AuditVerdict::Accepted && self.baseline.knows(&host.host, attempt);
        }
    }
}

/// The trusted forgery, by which the rest is judged.
fn control(host: &AuditedHost) -> Option<&AuditCell> {
    host.cells.iter().find(|cell| cell.attempt == Attempt::TrustedForgery.name())
}

fn remarks(survey: &Ran) -> Vec<String> {
    let fails = !survey.child.status.success();
    let fails =
        fails.then(|| format!("The command does not succeed even where nothing is inspected{}", how_it_ended(survey)));
    fails.into_iter().collect()
}

/// One cell, with another try where nothing could be told.
async fn judge_one(trial: &Trial, attempt: Attempt, host: &str) -> Result<Judged, TrialError> {
    let mut tries = 0;
    loop {
        let ran = trial.run().await?;
        let concerned = |record: &&ConnectionRecord| {
            let action = record.decision.as_ref().map(|decision| decision.action);
            record.host().as_deref() == Some(host) && action != Some(DecisionKind::Bypass)
        };
        let records: Vec<_> = ran.records.iter().map(AsRef::as_ref).filter(concerned).collect();
        let judged = judge(attempt, host, &records);
        if !judged.is_open() || tries == REPEATS {
            return Ok(judged);
        }
        tries += 1;
    }
}

fn cell(attempt: Attempt, judged: Judged) -> AuditCell {
    AuditCell {
        attempt: attempt.name().to_owned(),
        title: attempt.title().to_owned(),
        verdict: judged.verdict,
        fault: false,
        known: false,
        cause: judged.cause,
        sent: judged.sent,
        detail: judged.detail,
    }
}

/// ` (it ended with 6; the last that it said: …)`
fn how_it_ended(ran: &Ran) -> String {
    let said = [&ran.child.stderr, &ran.child.stdout].map(Captured::text);
    let last = said.iter().flat_map(|text| text.lines().rev()).find(|line| !line.trim().is_empty());
    let last = last.map(|line| format!("; the last that it said: {}", line.trim())).unwrap_or_default();
    let ended = match ran.child.status {
        Status::TimedOut => "it was ended at its time limit".to_owned(),
        status => format!("it ended with {}", status.exit_code()),
    };
    format!(" ({ended}{last})")
}
