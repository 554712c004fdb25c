//! A list as one product reads it: the entries that it takes, as a policy, beside those that it refuses.
//!
//! ```
//! use middlebox::policy::{Action, Dialect, Question, Reading, Written};
//!
//! let dialect: Dialect = "pan-os-exclusion".parse()?;
//! let list = ["*.okta.com", "https://login.acme.example/"].map(|pattern| Written::new(pattern, Action::Bypass));
//! let reading = Reading::of(dialect, None, list);
//! assert_eq!(reading.rejected[0].text, "https://login.acme.example/");
//!
//! let rehearsed = reading.rehearse(&"acme.mtls.okta.com".parse::<Question>()?);
//! assert_eq!(rehearsed.decision, Action::Inspect); // here `*` is exactly one label
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;

use super::dialects::Dialect;
use super::formats::Entry;
use super::pattern::PatternError;
use super::rule::{Rule, RuleId, RuleSpec, Source};
use super::standing::Standing;
use super::{Action, Policy};
use crate::pac::PacScript;

/// A list of entries, read in one dialect. Entries that the product refuses are no rules of the policy.
#[derive(Debug)]
pub struct Reading {
    /// The entries that the product takes, in order.
    pub policy: Policy,
    /// Those that it refuses.
    pub rejected: Vec<Rejected>,
}

/// One entry as it stands in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What it says.
    pub spec: RuleSpec,
    /// Its line in its file, from 1; none where it was typed.
    pub line: Option<usize>,
    /// How this one is read, where that differs from the rest of its list.
    pub dialect: Option<Dialect>,
}

/// An entry that the product refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// The entry.
    pub text: String,
    /// Its line in its file, from 1.
    pub line: Option<usize>,
    /// Why it is refused.
    pub reason: String,
    /// What to write instead.
    pub mend: Option<String>,
    /// How well it is known that the product refuses it.
    pub standing: Standing,
}

impl Written {
    /// An enabled entry without conditions.
    pub fn new(pattern: impl Into<String>, action: Action) -> Self {
        Self { spec: RuleSpec::new(pattern, action), line: None, dialect: None }
    }

    /// The same entry on a line of a file.
    #[must_use]
    pub fn on_line(self, line: usize) -> Self {
        Self { line: Some(line), ..self }
    }
}

impl From<&Entry> for Written {
    fn from(entry: &Entry) -> Self {
        let spec = RuleSpec {
            enabled: entry.enabled(),
            ports: entry.ports().to_vec(),
            clients: entry.clients().to_vec(),
            note: entry.note().map(str::to_owned),
            id: entry.name().map(str::to_owned),
            ..RuleSpec::new(entry.pattern(), entry.action())
        };
        Self { spec, line: Some(entry.place().line as usize), dialect: entry.dialect() }
    }
}

impl Rejected {
    fn new(written: &Written, error: PatternError) -> Self {
        let PatternError { pattern: text, span: _, problem, mend, standing } = error;
        Self { text, line: written.line, reason: problem.to_string(), mend, standing }
    }
}

impl Reading {
    /// Reads entries in a dialect. Without a default action it is the one of the dialect's product, with what is known
    /// of it. Entries are numbered `r1`, `r2`, … as they stand, refused ones included.
    pub fn of(dialect: Dialect, default: Option<Action>, list: impl IntoIterator<Item = Written>) -> Self {
        let mut rules = Vec::new();
        let mut ids = HashSet::new();
        let mut rejected = Vec::new();
        for (number, written) in (1..).zip(list) {
            match written.dialect.unwrap_or(dialect).parse(&written.spec.pattern) {
                Ok(pattern) => {
                    let Written { spec, line, dialect: _ } = written;
                    let source = if line.is_some() { Source::File } else { Source::CommandLine };
                    let id = spec.id.as_deref().and_then(|id| RuleId::chosen(id).ok());
                    // What a file calls its entries may be the name of an object that several of them belong to.
                    let id = id.filter(|id| ids.insert(id.clone())).unwrap_or_else(|| RuleId::numbered(number));
                    rules.push(Arc::new(spec.into_rule(id, pattern, source, line)));
                }
                Err(error) => rejected.push(Rejected::new(&written, error)),
            }
        }
        let policy = Policy::compile(1, dialect, default.unwrap_or(dialect.default_action()), rules);
        Self { policy: policy.with_default_assumed(default.is_none()), rejected }
    }
}

impl Reading {
    /// The same, with a PAC script that decides in place of entries.
    #[must_use]
    pub fn with_script(self, script: Option<PacScript>) -> Self {
        Self { policy: self.policy.with_script(script), ..self }
    }
}

impl Policy {
    /// The rules as entries of a list.
    #[must_use]
    pub fn written(&self) -> Vec<Written> {
        let written = |rule: &Arc<Rule>| {
            let spec = RuleSpec {
                enabled: rule.enabled,
                ports: rule.ports.clone(),
                clients: rule.clients.clone(),
                note: rule.note.as_deref().map(str::to_owned),
                id: Some(rule.id.to_string()).filter(|_| rule.id.is_chosen()),
                ..RuleSpec::new(rule.pattern.text(), rule.action)
            };
            Written { spec, line: rule.line, dialect: None }
        };
        self.rules().iter().map(written).collect()
    }
}
