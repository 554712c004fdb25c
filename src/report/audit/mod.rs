//! What a client accepts: for each host, what it did with each certificate that it was shown.

mod junit;
mod text;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::{VERSION, milliseconds};

/// An audit of a command.
#[derive(Clone, Debug, Serialize)]
pub struct AuditReport {
    /// The command as it was typed.
    pub command: Vec<String>,
    /// The profile whose certificates were shown.
    pub profile: String,
    /// The hosts that were audited, in the order in which the command contacts them.
    pub hosts: Vec<AuditedHost>,
    /// What is to be said of the whole.
    pub remarks: Vec<String>,
    /// What the baseline knows, and is no longer so.
    pub stale: Vec<String>,
    /// How often the command was run, repetitions not counted.
    pub runs: usize,
    /// How long it took.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
}

/// One host.
#[derive(Clone, Debug, Serialize)]
pub struct AuditedHost {
    /// The host.
    pub host: String,
    /// What its refusals leave open.
    pub note: Option<String>,
    /// What was tried, and what the client did.
    pub cells: Vec<AuditCell>,
}

/// One thing that was tried on one host.
#[derive(Clone, Debug, Serialize)]
pub struct AuditCell {
    /// The word for it: `expired`, `trusted-forgery`, ….
    pub attempt: String,
    /// The same in a few words.
    pub title: String,
    /// What the client did.
    pub verdict: AuditVerdict,
    /// Whether acceptance is a failure, and not an observation.
    pub fault: bool,
    /// Whether acceptance is known from the baseline.
    pub known: bool,
    /// The cause of a refusal, as the middlebox concludes it.
    pub cause: Option<String>,
    /// What the client sent over what it accepted.
    pub sent: Option<Sent>,
    /// What was seen, or why nothing was tried.
    pub detail: String,
}

/// What a client did with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditVerdict {
    /// It sent application data.
    Accepted,
    /// It left before any.
    Refused,
    /// It did not contact the host.
    NotReached,
    /// It was not shown, and why stands beside it.
    NotTried,
    /// Something else went wrong, so that nothing can be told.
    Unclear,
}

/// How much a client sent over what it accepted; sizes only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Connections that it accepted.
    pub connections: usize,
    /// HTTP requests on them.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

impl AuditReport {
    /// Whether nothing failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.cells().all(|(_, cell)| !cell.fails())
    }

    /// Every cell with its host.
    pub fn cells(&self) -> impl Iterator<Item = (&AuditedHost, &AuditCell)> {
        self.hosts.iter().flat_map(|host| host.cells.iter().map(move |cell| (host, cell)))
    }

    /// The report as indented JSON that ends with a line break.
    ///
    /// ```text
    /// {
    ///   "version": 1, "passed": false,
    ///   "command": ["curl", "…"], "profile": "generic", "runs": 19, "duration_ms": 900,
    ///   "hosts": [{
    ///     "host": "api.example.com", "note": "…" | null,
    ///     "cells": [{
    ///       "attempt": "expired", "title": "…", "fault": true, "known": false, "detail": "…",
    ///       "verdict": "accepted" | "refused" | "not-reached" | "not-tried" | "unclear",
    ///       "cause": "expired" | null,
    ///       "sent": { "connections": 1, "requests": 1, "bytes": 92 } | null
    ///     }]
    ///   }],
    ///   "remarks": [], "stale": []
    /// }
    /// ```
    ///
    /// Within a version, keys are added and never renamed, removed or given another meaning.
    #[must_use]
    pub fn json(&self) -> String {
        let mut whole = serde_json::to_value(self).expect("texts, numbers and lists always have a JSON form");
        if let Some(object) = whole.as_object_mut() {
            object.shift_insert(0, "version".to_owned(), VERSION.into());
            object.shift_insert(1, "passed".to_owned(), self.passed().into());
        }
        format!("{whole:#}\n")
    }
}

impl AuditCell {
    /// Whether it fails: what must not be accepted was, or could not be judged.
    #[must_use]
    pub fn fails(&self) -> bool {
        let open = matches!(self.verdict, AuditVerdict::NotReached | AuditVerdict::Unclear);
        self.fault && !self.known && (open || self.verdict == AuditVerdict::Accepted)
    }
}

impl AuditVerdict {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::NotReached => "not-reached",
            Self::NotTried => "not-tried",
            Self::Unclear => "unclear",
        }
    }
}

impl fmt::Display for AuditVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = if self.requests == 1 { "request" } else { "requests" };
        let bodies = if self.bytes == 0 { "no body".to_owned() } else { format!("{} bytes of body", self.bytes) };
        write!(f, "sent {} {requests} with {bodies}", self.requests)?;
        match self.connections {
            1 => Ok(()),
            count => write!(f, ", on {count} connections"),
        }
    }
}
