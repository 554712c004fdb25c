//! What a step brought, compared with what was expected of it.

use std::fmt::Display;
use std::ops::Range;

use super::last;
use super::perform::Done;
use crate::journal::ConnectionRecord;
use crate::report::Failure;
use crate::scenario::Scenario;
use crate::scenario::format::{Expectations, ExpectedOutcome, Placed, Step};
use crate::scenario::words::{By, ClientOutcome, FastPassOutcome, Word};
use crate::simulation::{EnrollOutcome, FastPassSignIn};

/// The expectations that did not come true.
pub(super) fn failures(scenario: &Scenario, step: &Step, done: &Done) -> Vec<Failure> {
    let Expectations {
        outcome,
        cause,
        cause_among,
        message,
        log,
        decision,
        rule,
        status,
        exit,
        host,
        by,
        version,
        warning,
        rejected,
    } = &step.expect;
    let host = host.as_ref().map(|host| host.value.to_string());
    let by = by.as_ref().map(|by| by.value);
    let record = last(done, host.as_deref(), by).map(AsRef::as_ref);
    let subject = Subject { host: host.as_deref(), by };
    let mut check = Check { scenario, failures: Vec::new() };

    if let Some(expected) = outcome {
        let actual = match expected.value {
            ExpectedOutcome::Client(_) => done.enrollment.as_ref().map(|it| client_outcome(it.outcome).to_string()),
            ExpectedOutcome::FastPass(_) => done.fast_pass.as_ref().map(|it| fast_pass_outcome(it).to_string()),
            ExpectedOutcome::Connection(_) => record.map(|record| record.outcome_so_far().to_string()),
        };
        check.equal("outcome", expected, actual, subject);
    }
    if let Some(expected) = cause {
        check.equal("cause", expected, record.map(cause_of), subject);
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
        check.equal("decision", expected, actual, subject);
    }
    if let Some(expected) = rule {
        check.equal("rule", expected, record.map(|record| record.rule().unwrap_or("none").to_owned()), subject);
    }
    if let Some(expected) = status {
        let of_record = || record.and_then(|record| record.exchanges.last()).and_then(|exchange| exchange.status);
        let actual = done.visit.as_ref().map_or_else(of_record, |visit| visit.status);
        check.equal("status", expected, Some(actual.map_or("none".to_owned(), |status| status.to_string())), subject);
    }
    if let Some(expected) = exit {
        let actual = done.exit.map(|exit| exit.to_string());
        check.equal("exit", expected, actual, subject);
    }
    if let Some(expected) = message {
        let shown = done.enrollment.as_ref().and_then(|enrollment| enrollment.shown.clone());
        check.equal("message", expected, Some(shown.unwrap_or_else(|| "nothing is shown".to_owned())), subject);
    }
    let lines = done.enrollment.as_ref().map(|enrollment| enrollment.log.as_slice()).unwrap_or_default();
    for expected in log {
        check.contained("log", expected, lines, "the event log is empty");
    }
    if let Some(expected) = version {
        let spoken = done.visit.as_ref().and_then(|visit| visit.version).map_or("none", Word::as_str).to_owned();
        if spoken != expected.value.as_str() {
            check.fail("version", &expected.span, expected.value.as_str(), spoken);
        }
    }
    for expected in warning {
        check.contained("warning", expected, &done.warnings, "there is no warning");
    }
    if let Some(expected) = rejected {
        check.contained("rejected", expected, &done.rejected, "every pattern was taken");
    }
    check.failures
}

/// What was looked for.
#[derive(Clone, Copy)]
struct Subject<'a> {
    host: Option<&'a str>,
    by: Option<By>,
}

struct Check<'a> {
    scenario: &'a Scenario,
    failures: Vec<Failure>,
}

impl Check<'_> {
    /// `None` is that there was no such connection.
    fn equal<T: Display>(&mut self, key: &str, expected: &Placed<T>, actual: Option<String>, of: Subject<'_>) {
        let actual = actual.unwrap_or_else(|| {
            let to = of.host.map_or(String::new(), |host| format!(" to {host}"));
            let whom = of.by.map_or("middlebox", |by| by.as_str());
            format!("no connection{to} reached the {whom}")
        });
        if actual != expected.value.to_string() {
            self.fail(key, &expected.span, &expected.value, actual);
        }
    }

    /// Some line has to contain the text.
    fn contained(&mut self, key: &str, expected: &Placed<String>, lines: &[String], none: &str) {
        if !lines.iter().any(|line| line.contains(expected.value.as_str())) {
            let actual = if lines.is_empty() { none.to_owned() } else { lines.join("\n") };
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

pub(super) fn fast_pass_outcome(sign_in: &FastPassSignIn) -> FastPassOutcome {
    if sign_in.answered { FastPassOutcome::Answered } else { FastPassOutcome::Unanswered }
}

pub(super) fn client_outcome(outcome: EnrollOutcome) -> ClientOutcome {
    match outcome {
        EnrollOutcome::Enrolled => ClientOutcome::Enrolled,
        EnrollOutcome::Refused => ClientOutcome::Refused,
        EnrollOutcome::Error => ClientOutcome::Error,
    }
}
