//! Expectations of the command line: `HOST=OUTCOME[:CAUSE]`, and whether they came true.

use std::sync::Arc;

use crate::journal::{Cause, ConnectionRecord, Outcome};
use crate::net::{Destination, Host};
use crate::policy::{Dialect, Pattern};
use crate::report::ExpectationReport;
use crate::source::{Document, PlaceError, did_you_mean};

/// Never contacted.
const UNTOUCHED: &str = "untouched";

/// What is expected of every connection to some hosts.
#[derive(Clone, Debug)]
pub struct Expectation {
    text: String,
    hosts: Pattern,
    wanted: Wanted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Outcome(Outcome),
    RefusedFor(Cause),
    Untouched,
}

impl Expectation {
    /// Reads `HOST=OUTCOME[:CAUSE]`, where HOST is a pattern of the native dialect.
    ///
    /// # Errors
    /// The place of the mistake, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        let document = Document::new("--expect", text);
        let Some(at) = text.rfind('=') else {
            let help = "write HOST=OUTCOME, as in `acme.okta.com=refused:pin-mismatch`".to_owned();
            return Err(document.error(0..text.len(), "there is no `=` between host and outcome", Some(help)));
        };
        let hosts = Dialect::MIDDLEBOX
            .parse(&text[..at])
            .map_err(|error| document.error(error.span.clone(), error.problem.to_string(), error.mend))?;
        let (outcome, cause) = match text[at + 1..].split_once(':') {
            Some((outcome, cause)) => (outcome, Some(cause)),
            None => (&text[at + 1..], None),
        };
        let outcome_span = at + 1..at + 1 + outcome.len();
        let wanted = match (outcome, outcome.parse::<Outcome>()) {
            (UNTOUCHED, _) => Wanted::Untouched,
            (_, Ok(outcome)) => Wanted::Outcome(outcome),
            (_, Err(_)) => {
                let known = Outcome::ALL.iter().map(|outcome| outcome.word()).chain([UNTOUCHED]);
                return Err(unknown(&document, outcome_span, outcome, "outcome", known));
            }
        };
        let wanted = match (cause, wanted) {
            (None, wanted) => wanted,
            (Some(cause), Wanted::Outcome(Outcome::Refused)) => Wanted::RefusedFor(cause.parse().map_err(|_| {
                let known = Cause::ALL.iter().map(|cause| cause.word());
                unknown(&document, outcome_span.end + 1..text.len(), cause, "cause", known)
            })?),
            (Some(_), _) => {
                let help = format!("leave it out, or write `refused` instead of `{outcome}`");
                return Err(document.error(outcome_span.end..text.len(), "only `refused` has a cause", Some(help)));
            }
        };
        Ok(Self { text: text.to_owned(), hosts, wanted })
    }

    /// Whether it came true. Connections that were opened ahead and never used count for `unused` alone.
    #[must_use]
    pub fn check(&self, records: &[Arc<ConnectionRecord>]) -> ExpectationReport {
        let concerned: Vec<_> = records.iter().map(AsRef::as_ref).filter(|record| self.concerns(record)).collect();
        let outcomes = |record: &&&ConnectionRecord| {
            record.outcome_so_far() != Outcome::Unused || self.wanted == Wanted::Outcome(Outcome::Unused)
        };
        let used: Vec<_> = concerned.iter().filter(outcomes).copied().collect();
        let met = match self.wanted {
            Wanted::Untouched => concerned.is_empty(),
            Wanted::Outcome(outcome) => {
                !used.is_empty() && used.iter().all(|record| record.outcome_so_far() == outcome)
            }
            Wanted::RefusedFor(cause) => {
                // The first refusal of a client may be ambiguous where a later one decides.
                let decided = |record: &&ConnectionRecord| cause_of(record) == Some(cause);
                let compatible = |record: &&ConnectionRecord| {
                    let diagnosis = record.diagnosis.as_ref();
                    decided(record) || diagnosis.is_some_and(|diagnosis| diagnosis.candidates.contains(&cause))
                };
                used.iter().any(decided) && used.iter().all(compatible)
            }
        };
        let actual = if concerned.is_empty() {
            UNTOUCHED.to_owned()
        } else {
            told(if used.is_empty() { &concerned } else { &used })
        };
        ExpectationReport { expected: self.text.clone(), met, actual }
    }

    fn concerns(&self, record: &ConnectionRecord) -> bool {
        let host = record.host().and_then(|host| Host::parse(&host).ok());
        let port = record.destination.as_ref().map(|destination| destination.port);
        host.zip(port).is_some_and(|(host, port)| self.hosts.covers(&Destination::new(host, port)))
    }
}

fn unknown<'a>(
    document: &Document,
    span: std::ops::Range<usize>,
    typed: &str,
    what: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> PlaceError {
    let help = match did_you_mean(typed, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write one of {}", known.collect::<Vec<_>>().join(", ")),
    };
    document.error(span, format!("`{typed}` is no {what}"), Some(help))
}

fn cause_of(record: &ConnectionRecord) -> Option<Cause> {
    record.diagnosis.as_ref().map(|diagnosis| diagnosis.cause)
}

/// `refused:pin-mismatch on acme.okta.com, bypassed on www.okta.com`, each kind once.
fn told(records: &[&ConnectionRecord]) -> String {
    let mut kinds = Vec::new();
    for record in records {
        let candidates =
            record.diagnosis.iter().filter(|it| it.cause == Cause::Ambiguous).flat_map(|it| &it.candidates);
        let candidates: Vec<_> = candidates.map(|cause| cause.word()).collect();
        let cause = match cause_of(record) {
            Some(Cause::Ambiguous) => format!(":ambiguous ({})", candidates.join(" or ")),
            Some(cause) => format!(":{cause}"),
            None => String::new(),
        };
        let kind = format!("{}{cause} on {}", record.outcome_so_far(), record.host().unwrap_or_default());
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Confidence, Diagnosis, Journal};

    fn wrong(text: &str) -> (usize, String, String) {
        let error = Expectation::parse(text).unwrap_err();
        (error.line_column().1, error.message().to_owned(), error.help().unwrap_or_default().to_owned())
    }

    #[test]
    fn mistakes_are_pointed_at_with_their_mend() {
        assert_eq!(wrong("acme.okta.com").1, "there is no `=` between host and outcome");
        let (column, message, help) = wrong("acme.okta.com=refusd");
        assert_eq!(
            (column, message.as_str(), help.as_str()),
            (15, "`refusd` is no outcome", "did you mean `refused`?")
        );
        let (column, message, help) = wrong("acme.okta.com=refused:pinned");
        assert_eq!((column, message.as_str()), (23, "`pinned` is no cause"));
        assert!(help.contains("pin-mismatch"), "{help}");
        let (column, message, _) = wrong("acme.okta.com=bypassed:expired");
        assert_eq!((column, message.as_str()), (23, "only `refused` has a cause"));
        assert_eq!(wrong("https://acme.okta.com=refused").0, 1);
    }

    /// Connections to hosts with how they turned out, and of refusals the causes that are left, the verdict first.
    fn records(connections: &[(&str, Outcome, &[Cause])]) -> Vec<Arc<ConnectionRecord>> {
        let journal = Journal::default();
        for (host, outcome, candidates) in connections {
            let recording = journal.open("127.0.0.1:9".parse().unwrap());
            recording.note(|record| {
                record.destination = Some(format!("{host}:443").parse().unwrap());
                record.outcome = Some(*outcome);
                record.diagnosis = candidates.first().map(|cause| {
                    Box::new(Diagnosis {
                        cause: if candidates.len() > 1 { Cause::Ambiguous } else { *cause },
                        candidates: candidates.to_vec(),
                        confidence: Confidence::Low,
                        evidence: Vec::new(),
                    })
                });
            });
        }
        journal.records(false)
    }

    #[test]
    fn every_connection_has_to_end_as_expected() {
        use Cause::{Expired, PinMismatch, UntrustedCa};
        use Outcome::{Accepted, Bypassed, Refused, Unused};
        let check = |text: &str, connections: &[(&str, Outcome, &[Cause])]| {
            Expectation::parse(text).unwrap().check(&records(connections))
        };
        let met = |text: &str, connections: &[(&str, Outcome, &[Cause])]| check(text, connections).met;
        assert!(met("a.test=accepted", &[("a.test", Accepted, &[]), ("b.test", Bypassed, &[])]));
        assert!(!met("a.test=accepted", &[("a.test", Accepted, &[]), ("a.test", Bypassed, &[])]));
        assert!(!met("a.test=accepted", &[]) && !met("a.test=accepted", &[("b.test", Accepted, &[])]));
        assert!(met("*.test=untouched", &[("a.example", Accepted, &[])]));
        assert!(!met("*.test=untouched", &[("a.test", Unused, &[])]));
        // What was opened ahead and never used says nothing, unless it is asked for.
        assert!(met("a.test=bypassed", &[("a.test", Unused, &[]), ("a.test", Bypassed, &[])]));
        assert!(!met("a.test=bypassed", &[("a.test", Unused, &[])]));
        assert!(met("a.test=unused", &[("a.test", Unused, &[])]));
        // One that is ambiguous is compatible with one that decides, and does not decide itself.
        let ambiguous: (&str, Outcome, &[Cause]) = ("a.test", Refused, &[UntrustedCa, PinMismatch]);
        let pinned: (&str, Outcome, &[Cause]) = ("a.test", Refused, &[PinMismatch]);
        assert!(met("a.test=refused:pin-mismatch", &[ambiguous, pinned]));
        assert!(!met("a.test=refused:expired", &[ambiguous, pinned]));
        assert!(!met("a.test=refused:pin-mismatch", &[pinned, ("a.test", Refused, &[Expired])]));
        assert!(met("a.test=refused:ambiguous", &[ambiguous]));
        let unmet = check("a.test=refused:pin-mismatch", &[ambiguous, ambiguous]);
        assert_eq!(
            (unmet.met, unmet.actual.as_str()),
            (false, "refused:ambiguous (untrusted-ca or pin-mismatch) on a.test")
        );
    }

    #[test]
    fn what_reads_is_kept_as_it_was_typed() {
        for text in ["*.okta.com=untouched", "acme.okta.com:8443=accepted", ".okta.com=refused:ambiguous", "::1=plain"]
        {
            assert_eq!(Expectation::parse(text).unwrap().text, text);
        }
    }
}
