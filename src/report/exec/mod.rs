//! What came of a command behind a lab: how it ended, and each host that it contacted.

mod junit;
mod text;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{ConnectionView, VERSION, milliseconds};
use crate::journal::ConnectionRecord;

/// A command, its end, and its connections.
#[derive(Clone, Debug, Serialize)]
pub struct ExecReport {
    /// The command as it was typed.
    pub command: Vec<String>,
    /// How it ended.
    pub end: CommandEnd,
    /// How long it ran.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
    /// The hosts that it contacted, in that order.
    pub hosts: Vec<HostReport>,
    /// What was expected, and whether it came true.
    pub expectations: Vec<ExpectationReport>,
    /// What is to be said of the whole, such as what to try where nothing arrived.
    pub remarks: Vec<String>,
    /// The record of each connection, as the control API gives it.
    pub connections: Vec<Arc<ConnectionRecord>>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandEnd {
    /// In which way.
    pub kind: EndKind,
    /// The exit code that says so: the command's own, 128 and the signal's number, 124 at the time limit.
    pub code: u8,
}

/// The ways in which a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndKind {
    /// By itself.
    Exited,
    /// By a signal.
    Signalled,
    /// At its time limit.
    TimedOut,
    /// It never began: there is no such program.
    NotFound,
    /// It never began: the file is no program.
    NotExecutable,
}

/// One host that was contacted.
#[derive(Clone, Debug, Serialize)]
pub struct HostReport {
    /// Host, or host and port where that is not 443.
    pub host: String,
    /// Its connections, those that went alike together.
    pub kinds: Vec<ContactKind>,
    /// What would help, most likely first.
    pub mends: Vec<String>,
}

/// Connections to one host that went alike.
#[derive(Clone, Debug, Serialize)]
pub struct ContactKind {
    /// How many.
    pub count: usize,
    /// Bytes of the client that went on to the origin, of all of them; those of bodies where inspected.
    pub bytes_up: u64,
    /// Bytes of the origin that went on to the client, likewise.
    pub bytes_down: u64,
    /// The last of them.
    pub connection: ConnectionView,
}

/// An expectation of the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExpectationReport {
    /// As it was typed.
    pub expected: String,
    /// Whether it came true.
    pub met: bool,
    /// What happened.
    pub actual: String,
}

impl ExecReport {
    /// Whether every expectation came true.
    #[must_use]
    pub fn as_expected(&self) -> bool {
        self.expectations.iter().all(|expectation| expectation.met)
    }

    /// The report as indented JSON that ends with a line break.
    ///
    /// ```text
    /// {
    ///   "version": 1,
    ///   "command": ["curl", "…"],
    ///   "end": { "kind": "exited" | "signalled" | "timed-out" | "not-found" | "not-executable", "code": 0 },
    ///   "duration_ms": 12,
    ///   "hosts": [{
    ///     "host": "…", "mends": [],
    ///     "kinds": [{ "count": 1, "bytes_up": 90, "bytes_down": 700, "connection": { as in a run's report } }]
    ///   }],
    ///   "expectations": [{ "expected": "acme.okta.com=refused", "met": true, "actual": "refused:…" }],
    ///   "remarks": [],
    ///   "connections": [ as GET /api/v1/connections gives them ]
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

impl fmt::Display for CommandEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            EndKind::Exited => write!(f, "ended with exit code {}", self.code),
            EndKind::Signalled => write!(f, "was ended by signal {}", self.code.saturating_sub(128)),
            EndKind::TimedOut => f.write_str("was ended at its time limit"),
            EndKind::NotFound => f.write_str("was not found"),
            EndKind::NotExecutable => f.write_str("cannot be executed"),
        }
    }
}
