//! Results as plain data, and what is made of them: the story in the terminal, JSON, JUnit.
//!
//! Words (decisions, outcomes, causes) are texts here, in the vocabulary of records and scenario files, so that a
//! report can be written by whoever ran something and read by whoever has the file.

mod audit;
mod check;
mod connection;
mod excerpt;
mod exec;
mod file;
mod json;
mod junit;
mod solve;
mod story;
#[cfg(test)]
mod tests;
mod text;

use std::ops::Range;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::net::Pin;
use crate::source::Document;

pub use self::audit::{AuditCell, AuditReport, AuditVerdict, AuditedHost, Sent};
pub use self::check::junit_of_check;
pub use self::exec::{CommandEnd, ContactKind, EndKind, ExecReport, ExpectationReport, HostReport};
pub use self::file::{WriteError, write_whole};
pub use self::json::{VERSION, json};
pub use self::junit::{JunitError, junit};
pub use self::solve::{EntryReport, NeedReport, OverBroadReport, RunLine, SolveReport, SolveResult};
pub use self::story::Story;
pub(crate) use self::text::{clean, wrap};

/// Everything that ran.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunReport {
    /// The scenarios, in the order of the command line.
    pub scenarios: Vec<ScenarioReport>,
}

/// One scenario file.
#[derive(Clone, Debug, Serialize)]
pub struct ScenarioReport {
    /// Its name.
    pub name: String,
    /// What it shows.
    pub summary: Option<String>,
    /// The file, as the user named it.
    pub file: String,
    /// Its steps, in order.
    pub steps: Vec<StepReport>,
    /// How long it took.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// Its line in the file, from 1.
    pub line: usize,
    /// What kind of step, as the file spells it: `enroll`, `bypass`, ….
    pub kind: String,
    /// Whether it went as expected.
    pub verdict: Verdict,
    /// What it did, where no client or connection says it.
    pub said: Vec<Line>,
    /// The simulated client's own view.
    pub client: Option<ClientView>,
    /// The connections that it made, in order.
    pub connections: Vec<ConnectionView>,
    /// What would mend what went wrong, most likely first.
    pub mends: Vec<String>,
    /// How long it took.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
}

/// Whether a step went as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Verdict {
    /// All that was expected came true.
    Passed,
    /// It ran, and something else came true.
    Failed {
        /// Which expectations, at least one.
        failures: Vec<Failure>,
    },
    /// It could not run.
    Error {
        /// Why.
        error: StepError,
    },
    /// It was not run.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// Why a step could not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepError {
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    pub mend: Option<String>,
}

/// An expectation that did not come true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Its key: `outcome`, `log`, ….
    pub expectation: String,
    /// What the file says.
    pub expected: String,
    /// What happened.
    pub actual: String,
    /// Where the file says it.
    pub place: Place,
    /// The line of the file.
    pub excerpt: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// As the user named it.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Characters on that line, at least 1.
    pub width: usize,
}

/// A line of a story: a label and what it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// One or two words: `policy`, `exit`, `stderr`.
    pub label: String,
    /// The text; several lines are kept.
    pub text: String,
}

/// What a simulated client says of itself.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ClientView {
    /// `enrolled`, `refused` or `error`.
    pub outcome: String,
    /// What its user sees.
    pub shown: Option<String>,
    /// What its event log says.
    pub log: Vec<String>,
    /// The calls that it made, in order.
    pub calls: Vec<CallView>,
}

/// One call of a simulated client.
#[derive(Clone, Debug, Serialize)]
pub struct CallView {
    /// What the call is for: `organization status`.
    pub name: String,
    /// Method and address.
    pub request: String,
    /// What came of it: `200`, or why not.
    pub result: String,
    /// Whether the client went on after it.
    pub ok: bool,
}

/// One connection, as the middlebox saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ConnectionView {
    /// Host, or host and port where that is not 443.
    pub host: String,
    /// Which middlebox saw it, where a scenario has a second one: `gateway`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// `inspect`, `bypass`, `block`, `plain`; `None` where nothing was decided (`407`, no proxy).
    pub decision: Option<String>,
    /// The pattern of the rule that decided, or `default`.
    pub rule: Option<String>,
    /// Why it decided so, where the rule alone does not say it.
    pub why: Option<String>,
    /// The outcome of the connection.
    pub outcome: String,
    /// Why the client refused, as the middlebox concludes it.
    pub cause: Option<CauseView>,
    /// The certificate that the client saw.
    pub seen: Option<CertView>,
    /// The pins that the client would have taken, as `sha256/…`.
    pub expected_pins: Vec<Pin>,
    /// The last HTTP status on it.
    pub status: Option<u16>,
}

/// The middlebox's diagnosis of a refusal.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CauseView {
    /// The verdict.
    pub cause: String,
    /// `high`, `medium` or `low`.
    pub confidence: String,
    /// Where it is ambiguous: the candidates, most likely first.
    pub candidates: Vec<String>,
    /// What was seen on the wire.
    pub evidence: Vec<String>,
}

/// The certificate that a client saw.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CertView {
    /// Who signed it.
    pub issuer: String,
    /// SHA-256 of its public key.
    pub pin: Pin,
}

/// How many steps went how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub steps: usize,
    /// As expected.
    pub passed: usize,
    /// Not as expected.
    pub failed: usize,
    /// Could not run.
    pub errors: usize,
    /// Were not run.
    pub skipped: usize,
}

impl RunReport {
    /// How many steps went how.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for step in self.scenarios.iter().flat_map(|scenario| &scenario.steps) {
            counts.steps += 1;
            match step.verdict {
                Verdict::Passed => counts.passed += 1,
                Verdict::Failed { .. } => counts.failed += 1,
                Verdict::Error { .. } => counts.errors += 1,
                Verdict::Skipped { .. } => counts.skipped += 1,
            }
        }
        counts
    }

    /// Whether no step failed and every step that had to run could.
    #[must_use]
    pub fn passed(&self) -> bool {
        let counts = self.counts();
        counts.failed == 0 && counts.errors == 0
    }
}

impl Failure {
    /// An expectation stated at a byte range of a document.
    #[must_use]
    pub fn at(
        document: &Document,
        span: &Range<usize>,
        expectation: impl Into<String>,
        expected: impl Into<String>,
        actual: impl Into<String>,
    ) -> Self {
        let place = Place::of(document, span);
        let excerpt = document.line(place.line).to_owned();
        Self { expectation: expectation.into(), expected: expected.into(), actual: actual.into(), place, excerpt }
    }
}

impl Place {
    /// The place of a byte range; of one that spans lines, the part on its first.
    #[must_use]
    pub fn of(document: &Document, span: &Range<usize>) -> Self {
        let (line, column) = document.line_column(span.start);
        let (last, end) = document.line_column(span.end);
        let end = if last == line { end } else { document.line(line).chars().count() + 1 };
        Self { file: document.name().to_owned(), line, column, width: end.saturating_sub(column).max(1) }
    }
}

impl Line {
    /// A line of its two parts.
    pub fn new(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self { label: label.into(), text: text.into() }
    }
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
