//! The report as JSON, for scripts.

use serde::Serialize;

use super::{Counts, RunReport, ScenarioReport};

/// The version of the JSON form.
pub const VERSION: u32 = 1;

/// The report as indented JSON that ends with a line break.
///
/// ```text
/// {
///   "version": 1,
///   "counts": { "steps": 2, "passed": 1, "failed": 1, "errors": 0, "skipped": 0 },
///   "scenarios": [{
///     "name": "…", "summary": "…" | null, "file": "…", "duration_ms": 12,
///     "steps": [{
///       "name": "…", "line": 16, "kind": "enroll", "duration_ms": 3,
///       "verdict": { "kind": "passed" }
///                | { "kind": "failed", "failures": [{ "expectation", "expected", "actual", "excerpt",
///                                                        "place": { "file", "line", "column", "width" } }] }
///                | { "kind": "error", "error": { "message", "mend" } }
///                | { "kind": "skipped", "reason": "…" },
///       "said": [{ "label", "text" }],
///       "client": { "outcome", "shown", "log": [], "calls": [{ "name", "request", "result", "ok" }] } | null,
///       "connections": [{ "host", "decision", "rule", "why", "outcome", "expected_pins": [], "status",
///                         "cause": { "cause", "confidence", "candidates": [], "evidence": [] } | null,
///                         "seen": { "issuer", "pin" } | null }],
///       "mends": []
///     }]
///   }]
/// }
/// ```
///
/// Within a version, keys are added and never renamed, removed or given another meaning; what is not known is `null`,
/// never left out.
#[must_use]
pub fn json(report: &RunReport) -> String {
    #[derive(Serialize)]
    struct Versioned<'a> {
        version: u32,
        counts: Counts,
        scenarios: &'a [ScenarioReport],
    }

    let whole = Versioned { version: VERSION, counts: report.counts(), scenarios: &report.scenarios };
    let mut text = serde_json::to_string_pretty(&whole).expect("texts, numbers and lists always have a JSON form");
    text.push('\n');
    text
}
