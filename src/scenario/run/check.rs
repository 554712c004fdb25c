//! What a step brought, compared with what was expected of it.

use std::fmt::Display;
use std::ops::Range;

use super::last;
use super::perform::Done;
use crate::journal::ConnectionRecord;
use crate::report::Failure;
use crate::scenario::Scenario;
use crate::scenario::format::{Expectations, ExpectedOutcome, Placed, Step};
use crate::scenario::words::ClientOutcome;
use crate::simulation::EnrollOutcome;

/// The expectations that did not come true.
pub(super) fn failures(scenario: &Scenario, step: &Step, done: &Done) -> Vec<Failure> {
    let Expectations { outcome, cause, cause_among, message, log, decision, rule, status, exit, host } = &step.expect;
    let host = host.as_ref().map(|host| host.value.to_string());
    let record = last(done, host.as_deref()).map(AsRef::as_ref);
    let mut check = Check { scenario, failures: Vec::new() };

    if let Some(expected) = outcome {
        let actual = match expected.value {
            ExpectedOutcome::Client(_) => done.enrollment.as_ref().map(|it| client_outcome(it.outcome).to_string()),
            ExpectedOutcome::Connection(_) => record.map(|record| record.outcome_so_far().to_string()),
        };
        check.equal("outcome", expected, actual, host.as_deref());
    }
    if let Some(expected) = cause {
        check.equal("cause", expected, record.map(cause_of), host.as_deref());
    }
    if let Some(expected) = cause_among {
        let candidates = record.and_then(|record| record.diagnosis.as_ref()).map(|it| it.candidates.clone());
        let among = candidates.iter().flatten().any(|candidate| *candidate == expected.value);
        if !among {
            let words: Vec<_> = candidates.iter().flatten().map(|candidate| candidate.word()).collect();
            let actual = if words.is_empty() { "no diagnosis".to_owned() } else { words.join(", ") };
            check.fail("cause-among", &expected.span, expected.value, actual);
        }
    }
    if let Some(expected) = decision {
        let actual = record.map(|it| it.decision.as_ref().map_or("none", |decision| decision.action.word()).to_owned());
        check.equal("decision", expected, actual, host.as_deref());
    }
    if let Some(expected) = rule {
        check.equal("rule", expected, record.map(|record| record.rule().unwrap_or("none").to_owned()), host.as_deref());
    }
    if let Some(expected) = status {
        let of_record = || record.and_then(|record| record.exchanges.last()).and_then(|exchange| exchange.status);
        let actual = done.visit.as_ref().map_or_else(of_record, |visit| visit.status);
        check.equal("status", expected, Some(actual.map_or("none".to_owned(), |status| status.to_string())), None);
    }
    if let Some(expected) = exit {
        let actual = done.exit.map(|exit| exit.to_string());
        check.equal("exit", expected, actual, None);
    }
    if let Some(expected) = message {
        let shown = done.enrollment.as_ref().and_then(|enrollment| enrollment.shown.clone());
        check.equal("message", expected, Some(shown.unwrap_or_else(|| "nothing is shown".to_owned())), None);
    }
    let lines = done.enrollment.as_ref().map(|enrollment| enrollment.log.as_slice()).unwrap_or_default();
    for expected in log {
        if !lines.iter().any(|line| line.contains(expected.value.as_str())) {
            let actual = if lines.is_empty() { "the event log is empty".to_owned() } else { lines.join("\n") };
            check.fail("log", &expected.span, &expected.value, actual);
        }
    }
    check.failures
}

struct Check<'a> {
    scenario: &'a Scenario,
    failures: Vec<Failure>,
}

impl Check<'_> {
    /// `None` is that there was no such connection.
    fn equal<T: Display>(&mut self, key: &str, expected: &Placed<T>, actual: Option<String>, host: Option<&str>) {
        let actual = actual.unwrap_or_else(|| match host {
            Some(host) => format!("no connection to {host} reached the middlebox"),
            None => "no connection reached the middlebox".to_owned(),
        });
        if actual != expected.value.to_string() {
            self.fail(key, &expected.span, &expected.value, actual);
        }
    }

    fn fail(&mut self, key: &str, span: &Range<usize>, expected: impl Display, actual: String) {
        let document = &self.scenario.document;
        self.failures.push(Failure::at(document, span, key, expected.to_string(), actual));
    }
}

fn cause_of(record: &ConnectionRecord) -> String {
    record.diagnosis.as_ref().map_or("none", |diagnosis| diagnosis.cause.word()).to_owned()
}

pub(super) fn client_outcome(outcome: EnrollOutcome) -> ClientOutcome {
    match outcome {
        EnrollOutcome::Enrolled => ClientOutcome::Enrolled,
        EnrollOutcome::Refused => ClientOutcome::Refused,
        EnrollOutcome::Error => ClientOutcome::Error,
    }
}
