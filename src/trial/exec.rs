//! One run told: the hosts that a command contacted, how that went, and what would help.

use std::sync::Arc;

use super::{Expectation, Ran, Trial, Trust};
use crate::child::Status;
use crate::journal::{Cause, ConnectionRecord, Outcome};
use crate::report::{CommandEnd, ConnectionView, ContactKind, EndKind, ExecReport, HostReport};

/// What is to be tried where a command has contacted nobody through the middlebox.
const NOTHING_ARRIVED: &str = "\
Nothing arrived at the middlebox: the command made no connection through it. What to try:
  - a proxy flag of the command's own; {proxy} in its arguments stands for the address, as in `--proxy http://{proxy}`
  - whether its runtime reads one of the variables: `middlebox exec --help` lists them with their readers
  - --no-proxy '' where it contacts this machine: localhost is reached without a proxy otherwise
  - `middlebox up --transparent` or `--forward` for a program that knows no proxy at all";

/// Tells a run, and compares it with what was expected.
#[must_use]
pub fn report(trial: &Trial, ran: &Ran, expectations: &[Expectation]) -> ExecReport {
    let end = CommandEnd {
        kind: match ran.child.status {
            Status::Exited(_) => EndKind::Exited,
            Status::Signalled(_) => EndKind::Signalled,
            Status::TimedOut => EndKind::TimedOut,
            Status::NotFound => EndKind::NotFound,
            Status::NotExecutable => EndKind::NotExecutable,
        },
        code: ran.child.status.exit_code(),
    };
    let began = !matches!(end.kind, EndKind::NotFound | EndKind::NotExecutable);
    let mut remarks = Vec::new();
    if ran.records.is_empty() && began {
        remarks.push(NOTHING_ARRIVED.to_owned());
    }
    if !ran.settled {
        remarks.push(
            "Some connections are still held open by a program that the command has left behind; they are told as they \
             stand."
                .to_owned(),
        );
    }
    ExecReport {
        command: trial.command.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        end,
        duration: ran.child.duration,
        hosts: hosts(trial, &ran.records),
        expectations: expectations.iter().map(|expectation| expectation.check(&ran.records)).collect(),
        remarks,
        connections: ran.records.clone(),
    }
}

fn hosts(trial: &Trial, records: &[Arc<ConnectionRecord>]) -> Vec<HostReport> {
    let mut hosts: Vec<HostReport> = Vec::new();
    for record in records {
        let connection = ConnectionView::of(record);
        let at = match hosts.iter().position(|host| host.host == connection.host) {
            Some(at) => at,
            None => {
                let host = connection.host.clone();
                hosts.push(HostReport { host, kinds: Vec::new(), mends: Vec::new() });
                hosts.len() - 1
            }
        };
        let host = &mut hosts[at];
        for mend in mends(trial, record) {
            if !host.mends.contains(&mend) {
                host.mends.push(mend);
            }
        }
        let (up, down) = (record.bytes_up, record.bytes_down);
        match host.kinds.iter_mut().find(|kind| alike(&kind.connection, &connection)) {
            Some(kind) => {
                kind.count += 1;
                kind.bytes_up += up;
                kind.bytes_down += down;
                // The last one has the most history behind its diagnosis.
                kind.connection = connection;
            }
            None => host.kinds.push(ContactKind { count: 1, bytes_up: up, bytes_down: down, connection }),
        }
    }
    hosts
}

fn alike(one: &ConnectionView, other: &ConnectionView) -> bool {
    let cause =
        |view: &ConnectionView| view.cause.as_ref().map(|cause| (cause.cause.clone(), cause.candidates.clone()));
    let key = |view: &ConnectionView| (view.decision.clone(), view.rule.clone(), view.outcome.clone(), view.status);
    key(one) == key(other) && cause(one) == cause(other) && one.why == other.why
}

/// What would help a connection that did not go well.
fn mends(trial: &Trial, record: &ConnectionRecord) -> Vec<String> {
    let host = record.host().unwrap_or_default();
    let bypass = format!("--bypass '{host}'");
    match record.outcome_so_far() {
        Outcome::Refused if trial.lab.defect.is_some() => Vec::new(),
        Outcome::Refused => match &record.diagnosis {
            Some(diagnosis) if diagnosis.candidates.contains(&Cause::UntrustedCa) => {
                let told = match trial.trust {
                    Trust::Env => {
                        "a flag of the command's own that names its CAs, with {bundle}: its runtime reads none of \
                                   the variables that are set"
                    }
                    Trust::None => "--trust env, or a flag of the command's own that names its CAs, with {bundle}",
                };
                vec![told.to_owned(), bypass]
            }
            Some(_) | None => vec![bypass],
        },
        Outcome::Failed => {
            let fault = record.origin.as_ref().and_then(|origin| origin.fault.clone());
            let fault = fault.or_else(|| record.end.as_ref().map(|end| end.how.to_string()));
            fault.into_iter().map(|fault| format!("to mend the way to the origin first: {fault}")).collect()
        }
        Outcome::Accepted
        | Outcome::Bypassed
        | Outcome::Blocked
        | Outcome::Plain
        | Outcome::Unused
        | Outcome::GaveUp => Vec::new(),
    }
}
