//! What came of a search for a bypass list: the list with what it rests on, or why there is none.

mod junit;
mod text;

use std::time::Duration;

use serde::Serialize;

use super::{CauseView, VERSION, milliseconds};

/// A command, and the smallest bypass list with which it works.
#[derive(Clone, Debug, Serialize)]
pub struct SolveReport {
    /// The command as it was typed.
    pub command: Vec<String>,
    /// The dialect of the list.
    pub dialect: String,
    /// How it turned out.
    pub result: SolveResult,
    /// The same as a sentence.
    pub says: String,
    /// The list; empty where none was found.
    pub list: Vec<EntryReport>,
    /// What has to be excluded, and how that is known.
    pub needed: Vec<NeedReport>,
    /// Hosts that were contacted and work inspected.
    pub works_inspected: Vec<String>,
    /// Wider patterns that suggest themselves, with what they would bypass for nothing.
    pub over_broad: Vec<OverBroadReport>,
    /// The last lines that the command said, where its failing is the answer.
    pub said: Vec<String>,
    /// What is to be said besides, such as what to try.
    pub remarks: Vec<String>,
    /// Every run of the command, in order.
    pub runs: Vec<RunLine>,
    /// How long all of it took.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
}

/// How a search turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SolveResult {
    /// There is a list.
    Found,
    /// The command fails with everything bypassed as well.
    FailsBypassed,
    /// It works with everything inspected.
    WorksInspected,
    /// It works and fails with the same list.
    Flaky,
    /// It works with everything bypassed, and not with the hosts bypassed that were seen.
    NoListSuffices,
    /// The dialect cannot say what is needed.
    NotInThisDialect,
    /// The runs were used up before the end.
    OutOfRuns,
}

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryReport {
    /// As it is written in the dialect.
    pub entry: String,
    /// Why it is written so.
    pub why: String,
    /// What it is there for, of what is needed.
    #[serde(rename = "for")]
    pub covers: Vec<String>,
    /// The domain of which it covers more than that.
    pub domain: Option<String>,
    /// Hosts that work inspected and that it bypasses as well.
    pub also: Vec<String>,
    /// How well it is known that the product reads it so: `established`, ….
    pub standing: String,
    /// What to do about that; nothing where it is established.
    pub advice: Option<String>,
}

/// Something that has to be excluded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NeedReport {
    /// The host, or `*.` and a domain.
    pub host: String,
    /// The run in which the client refused it.
    pub refused_in_run: Option<u32>,
    /// Why, as far as that could be told.
    pub cause: Option<CauseView>,
    /// The run in which the command failed for want of it.
    pub failed_without_in_run: Option<u32>,
}

/// A pattern that would be too much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OverBroadReport {
    /// The pattern, in the native dialect.
    pub pattern: String,
    /// What it would bypass for nothing.
    pub also: Vec<String>,
}

/// One run of the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunLine {
    /// From 1.
    pub number: u32,
    /// What it was for: `everything-bypassed`, `everything-inspected`, `grow`, `reduce`, `prove`.
    pub purpose: String,
    /// What was bypassed.
    pub bypassed: Vec<String>,
    /// Whether the command worked.
    pub worked: bool,
    /// How it ended.
    pub ended: String,
    /// The hosts that the client refused.
    pub refused: Vec<String>,
}

impl SolveReport {
    /// Whether a list was found.
    #[must_use]
    pub fn found(&self) -> bool {
        self.result == SolveResult::Found
    }

    /// The report as indented JSON that ends with a line break.
    ///
    /// ```text
    /// {
    ///   "version": 1,
    ///   "command": ["curl", "…"], "dialect": "middlebox",
    ///   "result": "found" | "fails-bypassed" | "works-inspected" | "flaky" | "no-list-suffices"
    ///           | "not-in-this-dialect" | "out-of-runs",
    ///   "says": "…",
    ///   "list": [{ "entry": "*.okta.com", "why": "…", "for": ["acme.okta.com"], "domain": "okta.com" | null,
    ///              "also": [], "standing": "established", "advice": "…" | null }],
    ///   "needed": [{ "host": "acme.okta.com", "refused_in_run": 2 | null, "failed_without_in_run": 2 | null,
    ///                "cause": { "cause", "confidence", "candidates": [], "evidence": [] } | null }],
    ///   "works_inspected": [], "over_broad": [{ "pattern": "…", "also": [] }], "said": [], "remarks": [],
    ///   "runs": [{ "number": 1, "purpose": "everything-bypassed", "bypassed": ["*"], "worked": true,
    ///              "ended": "exit 0", "refused": [] }],
    ///   "duration_ms": 1200
    /// }
    /// ```
    ///
    /// Within a version, keys are added and never renamed, removed or given another meaning.
    #[must_use]
    pub fn json(&self) -> String {
        let mut whole = serde_json::to_value(self).expect("texts, numbers and lists always have a JSON form");
        if let Some(object) = whole.as_object_mut() {
            object.shift_insert(0, "version".to_owned(), VERSION.into());
        }
        format!("{whole:#}\n")
    }

    /// The command as one line.
    #[must_use]
    pub fn line(&self) -> String {
        self.command.join(" ")
    }
}
