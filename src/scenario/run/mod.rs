//! Running a scenario: the lab is started, the steps are done in order, and what came of each is compared with what
//! was expected.

mod change;
mod check;
mod perform;
mod setup;
mod view;
mod warn;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;
use tokio::net::TcpSocket;

use self::perform::Done;
use super::format::Pac;
use super::words::{By, ProxySetting};
use super::{Scenario, Step};
use crate::journal::ConnectionRecord;
use crate::lab::{LabError, RunningLab};
use crate::report::{ScenarioReport, StepError, StepReport, Verdict};
use crate::simulation::{FastPass, KeptConnection, PinTable, Workstation};
use crate::source::PlaceError;

pub use self::setup::origins;

/// The device that a scenario's steps use; its browser and its application are one device to the middlebox.
const DEVICE: &str = "workstation";

/// What is told while a scenario runs.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The lab is up; the first step follows.
    Begun(&'a Scenario),
    /// The step with this number, from 1, is done.
    Step(usize, &'a StepReport),
}

/// A scenario cannot begin.
#[derive(Debug, Error)]
pub enum RunError {
    /// The file asks for what cannot be: the place says what.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The lab cannot be built.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// This machine has no loopback port left.
    #[error("cannot listen on loopback: {0}")]
    Loopback(#[from] io::Error),
}

/// Runs a scenario from its first step to its last. A failed expectation does not end it; a step that could not run
/// does, because the state that the others build on is then unknown.
///
/// # Errors
/// The lab cannot be built; what goes wrong in a step stands in its report.
pub async fn run(
    scenario: &Scenario,
    on_progress: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<ScenarioReport, RunError> {
    let begun = Instant::now();
    let mut stage = Stage::set(scenario).await?;
    on_progress(Progress::Begun(scenario));
    let mut steps = Vec::with_capacity(scenario.steps.len());
    let mut stopped = false;
    for (index, step) in scenario.steps.iter().enumerate() {
        let report = match stopped {
            true => skipped(scenario, step),
            false => stage.act(step).await,
        };
        stopped |= matches!(report.verdict, Verdict::Error { .. });
        on_progress(Progress::Step(index + 1, &report));
        steps.push(report);
    }
    stage.clear().await;
    Ok(ScenarioReport {
        name: scenario.name.clone(),
        summary: scenario.summary.clone(),
        file: scenario.document.name().to_owned(),
        steps,
        duration: begun.elapsed(),
    })
}

/// The lab of one scenario, with the people and programs that act in it.
struct Stage<'a> {
    scenario: &'a Scenario,
    /// The proxy, and the simulated internet.
    lab: RunningLab,
    /// The middlebox on the way of what goes without the proxy.
    gateway: Option<RunningLab>,
    workstation: Workstation,
    /// What the workstation is set to; [`Stage::apply_settings`] puts it into force.
    settings: Settings,
    pins: PinTable,
    kept: HashMap<String, Kept>,
    /// Okta Verify on loopback.
    _fast_pass: FastPass,
    /// A port of this machine on which nothing listens and, as long as this lives, nothing else will.
    _closed: TcpSocket,
}

/// The proxy settings of the workstation.
#[derive(Clone, Debug)]
struct Settings {
    proxy: ProxySetting,
    service_proxy: Option<ProxySetting>,
    pac: Option<Pac>,
}

/// A connection that stays open across steps, and its record, where it went through a middlebox.
struct Kept {
    connection: KeptConnection,
    record: Option<(By, u64)>,
}

/// A connection, and the middlebox that saw it.
#[derive(Clone, Debug)]
struct Seen {
    by: By,
    record: Arc<ConnectionRecord>,
}

/// How many connections each middlebox has had.
#[derive(Clone, Copy, Debug)]
struct Marks {
    proxy: u64,
    gateway: u64,
}

impl Marks {
    fn of(self, by: By) -> u64 {
        match by {
            By::Proxy => self.proxy,
            By::Gateway => self.gateway,
        }
    }
}

impl Stage<'_> {
    async fn act(&mut self, step: &Step) -> StepReport {
        let begun = Instant::now();
        let before = self.marks();
        let mut report = empty(self.scenario, step);
        match self.perform(step, before).await {
            Ok(mut done) => {
                done.warnings.extend(warn::warnings(self, &done));
                let failures = check::failures(self.scenario, step, &done);
                report.verdict = if failures.is_empty() { Verdict::Passed } else { Verdict::Failed { failures } };
                view::fill(&mut report, self, done);
            }
            Err(error) => report.verdict = Verdict::Error { error },
        }
        report.duration = begun.elapsed();
        report
    }

    async fn clear(self) {
        for kept in self.kept.into_values() {
            kept.connection.close().await;
        }
        if let Some(gateway) = self.gateway {
            gateway.drain().await;
        }
        self.lab.drain().await;
    }

    /// The middleboxes, as far as there are any.
    fn labs(&self) -> impl Iterator<Item = (By, &RunningLab)> {
        [(By::Proxy, Some(&self.lab)), (By::Gateway, self.gateway.as_ref())]
            .into_iter()
            .filter_map(|(by, lab)| Some((by, lab?)))
    }

    /// One of them; the file names the gateway only where there is one.
    fn lab_of(&self, by: By) -> &RunningLab {
        match (by, &self.gateway) {
            (By::Gateway, Some(gateway)) => gateway,
            (By::Proxy, _) | (By::Gateway, None) => &self.lab,
        }
    }

    fn marks(&self) -> Marks {
        let total = |lab: &RunningLab| lab.journal().total();
        Marks { proxy: total(&self.lab), gateway: self.gateway.as_ref().map_or(0, total) }
    }
}

fn empty(scenario: &Scenario, step: &Step) -> StepReport {
    StepReport {
        name: step.name.value.clone(),
        line: scenario.document.line_column(step.span.start).0,
        kind: step.action.kind().to_string(),
        verdict: Verdict::Passed,
        said: Vec::new(),
        client: None,
        connections: Vec::new(),
        mends: Vec::new(),
        duration: std::time::Duration::ZERO,
    }
}

fn skipped(scenario: &Scenario, step: &Step) -> StepReport {
    let verdict = Verdict::Skipped { reason: "an earlier step could not run".to_owned() };
    StepReport { verdict, ..empty(scenario, step) }
}

fn step_error(message: impl Into<String>, mend: impl Into<Option<String>>) -> StepError {
    StepError { message: message.into(), mend: mend.into() }
}

/// The last connection to a host, or the last of all; seen by one middlebox, or by either.
fn last<'d>(done: &'d Done, host: Option<&str>, by: Option<By>) -> Option<&'d Arc<ConnectionRecord>> {
    let seen = done.records.iter().rev().find(|seen| {
        host.is_none_or(|host| seen.record.host().as_deref() == Some(host)) && by.is_none_or(|by| seen.by == by)
    });
    seen.map(|seen| &seen.record)
}
