//! From the records of one run to what the client did with what it was shown.

use super::attempt::Attempt;
use crate::journal::{ConnectionRecord, DecisionKind, Outcome, Told};
use crate::report::{AuditVerdict, Sent};

/// What a client did, and in words how.
pub(super) struct Judged {
    pub(super) verdict: AuditVerdict,
    pub(super) sent: Option<Sent>,
    pub(super) detail: String,
    /// The cause of a refusal.
    pub(super) cause: Option<String>,
}

impl Judged {
    pub(super) fn not_tried(why: impl Into<String>) -> Self {
        Self { verdict: AuditVerdict::NotTried, sent: None, detail: why.into(), cause: None }
    }

    /// Whether another run may tell more.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.verdict, AuditVerdict::NotReached | AuditVerdict::Unclear)
    }
}

/// Judges one host by its connections. One that accepts is enough, however many others refuse: what a client sends over
/// one of several connections is lost as well.
pub(super) fn judge(attempt: Attempt, host: &str, records: &[&ConnectionRecord]) -> Judged {
    if records.is_empty() {
        let detail = "the command did not contact the host in this run".to_owned();
        return Judged { verdict: AuditVerdict::NotReached, sent: None, detail, cause: None };
    }
    if let Some(why) = not_shown(attempt, records) {
        return Judged::not_tried(why);
    }
    let accepted: Vec<_> = records.iter().filter(|record| has_accepted(record)).collect();
    let refused: Vec<_> = records.iter().filter(|record| has_refused(record)).collect();
    if let Some(last) = accepted.last() {
        let sent = Sent {
            connections: accepted.len(),
            requests: accepted.iter().map(|record| record.exchange_count).sum(),
            bytes: accepted.iter().map(|record| record.bytes_up).sum(),
        };
        let version = last.handshake.as_ref().map(|handshake| format!(" over {}", handshake.version));
        let others = match refused.len() {
            0 => String::new(),
            count => format!("; it refused on {count} more"),
        };
        let detail = format!("{sent}{}{others}", version.unwrap_or_default());
        return Judged { verdict: AuditVerdict::Accepted, sent: Some(sent), detail, cause: None };
    }
    if let Some(last) = refused.last() {
        let detail = last.end.as_ref().map(|end| end.how.to_string()).unwrap_or_default();
        let cause = last.diagnosis.as_ref().map(|diagnosis| diagnosis.cause.to_string());
        return Judged { verdict: AuditVerdict::Refused, sent: None, detail, cause };
    }
    let last = records[records.len() - 1];
    let how = last.end.as_ref().map_or_else(|| "still open".to_owned(), |end| format!("{} ({})", end.how, end.by));
    let detail = format!("{} on {host}: {how}", last.outcome_so_far());
    Judged { verdict: AuditVerdict::Unclear, sent: None, detail, cause: None }
}

/// Application data came over the forged certificate, whatever became of the origin then.
fn has_accepted(record: &ConnectionRecord) -> bool {
    record.forged.is_some() && record.stages.first_byte.is_some()
}

fn has_refused(record: &ConnectionRecord) -> bool {
    // Where versions do not fit, it is the middlebox that says no; the client has asked for more than was offered.
    let unfit = record.forged.is_some() && record.handshake.is_none() && matches!(record.told, Some(Told::Alert(_)));
    record.outcome == Some(Outcome::Refused) || unfit
}

/// Why the client was not shown what it was to be shown, where it was not.
fn not_shown(attempt: Attempt, records: &[&ConnectionRecord]) -> Option<String> {
    if records.iter().all(|record| record.decision.as_ref().map(|it| it.action) == Some(DecisionKind::Plain)) {
        return Some("the connection carries no TLS".to_owned());
    }
    let origin = records.iter().filter_map(|record| record.origin.as_ref());
    let untrusted = origin.clone().find(|origin| origin.trusted == Some(false));
    if let Some(origin) = untrusted {
        let fault = origin.fault.as_deref().unwrap_or("it is not trusted");
        return Some(format!("the origin's own certificate is at fault ({fault}); name its CA with --origin-ca"));
    }
    let Attempt::Defect(defect) = attempt else { return None };
    let forged: Vec<_> = records.iter().filter_map(|record| record.forged.as_ref()).collect();
    let cannot = records.iter().filter(|record| record.forged.is_none() && record.outcome == Some(Outcome::Failed));
    let cannot = cannot.filter_map(|record| record.end.as_ref()).find(|end| end.how.starts_with("no certificate"));
    match cannot {
        Some(end) if forged.is_empty() => Some(end.how.to_string()),
        _ if !forged.is_empty() && forged.iter().all(|forged| forged.defect != Some(defect.name())) => {
            Some("the middlebox showed a certificate without the defect".to_owned())
        }
        _ => None,
    }
}
