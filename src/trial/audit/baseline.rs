//! What is known to be accepted: a file that a team keeps beside its code, so that only what is new fails.

use std::fmt::Write as _;

use serde::Deserialize;
use toml::Spanned;

use super::Attempt;
use crate::net::Host;
use crate::report::{AuditReport, AuditVerdict, AuditedHost};
use crate::source::{Document, PlaceError};

/// Hosts, and what is known to be accepted for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    known: Vec<(String, Attempt)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BaselineToml {
    #[serde(default)]
    known: Vec<KnownToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownToml {
    host: Spanned<String>,
    accepts: Vec<Spanned<String>>,
}

impl Baseline {
    /// Reads the file.
    ///
    /// # Errors
    /// The place of the first mistake.
    pub fn parse(document: &Document) -> Result<Self, PlaceError> {
        let read: BaselineToml = document.toml()?;
        let mut known = Vec::new();
        for entry in read.known {
            let host = Host::parse(entry.host.get_ref())
                .map_err(|error| document.error(entry.host.span(), error.to_string(), None))?;
            for name in entry.accepts {
                let attempt = name
                    .get_ref()
                    .parse::<Attempt>()
                    .map_err(|error| document.error(name.span(), error.to_string(), None))?;
                known.push((host.to_string(), attempt));
            }
        }
        Ok(Self { known })
    }

    /// The file of what an audit found.
    #[must_use]
    pub fn text(report: &AuditReport) -> String {
        let mut text =
            "# What `middlebox audit --baseline` does not fail on: this client is known to accept it.\n".to_owned();
        for host in &report.hosts {
            let accepted: Vec<_> = host
                .cells
                .iter()
                .filter(|cell| cell.fault && cell.verdict == AuditVerdict::Accepted)
                .map(|cell| format!("{:?}", cell.attempt))
                .collect();
            if !accepted.is_empty() {
                let _ = write!(text, "\n[[known]]\nhost    = {:?}\naccepts = [{}]\n", host.host, accepted.join(", "));
            }
        }
        text
    }

    pub(super) fn knows(&self, host: &str, attempt: Attempt) -> bool {
        self.known.iter().any(|(known, what)| known == host && *what == attempt)
    }

    /// What is known and was tried, and is no longer accepted.
    pub(super) fn stale(&self, audited: &[AuditedHost]) -> Vec<String> {
        let refuses = |host: &str, attempt: Attempt| {
            let cells = audited.iter().filter(|audited| audited.host == host).flat_map(|audited| &audited.cells);
            cells.filter(|cell| cell.attempt == attempt.name()).any(|cell| cell.verdict == AuditVerdict::Refused)
        };
        let stale = self.known.iter().filter(|(host, attempt)| refuses(host, *attempt));
        stale.map(|(host, attempt)| format!("{host}: {attempt}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Defect;

    #[test]
    fn it_reads_back_and_mistakes_have_a_place() {
        let text = "[[known]]\nhost = \"API.example.com\"\naccepts = [\"expired\", \"wrong-host\"]\n";
        let baseline = Baseline::parse(&Document::new("known.toml", text)).unwrap();
        assert!(baseline.knows("api.example.com", Attempt::Defect(Defect::Expired)));
        assert!(!baseline.knows("api.example.com", Attempt::Defect(Defect::SelfSigned)));
        let wrong = text.replace("expired", "expird");
        let error = Baseline::parse(&Document::new("known.toml", wrong)).unwrap_err();
        assert_eq!(error.line_column(), (3, 12));
        assert!(error.message().contains("did you mean `expired`?"), "{error}");
    }
}
