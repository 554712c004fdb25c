//! A list as one product reads it: the entries that it takes, as a policy, beside those that it refuses.
//!
//! ```
//! use middlebox::policy::formats::Entry;
//! use middlebox::policy::{Action, Dialect, Question, Reading};
//!
//! let dialect: Dialect = "pan-os-exclusion".parse()?;
//! let list = ["*.okta.com", "https://login.acme.example/"].map(|pattern| Entry::typed(pattern, Action::Bypass));
//! let reading = Reading::of(dialect, None, list);
//! assert_eq!(reading.rejected[0].text, "https://login.acme.example/");
//!
//! let rehearsed = reading.rehearse(&"acme.mtls.okta.com".parse::<Question>()?);
//! assert_eq!(rehearsed.decision, Action::Inspect); // here `*` is exactly one label
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::borrow::{Borrow, Cow};
use std::collections::HashSet;
use std::sync::Arc;

use arcstr::Substr;
use serde::Serialize;

use super::dialects::Dialect;
use super::formats::{Entry, Unread};
use super::pattern::{Pattern, PatternError, PatternProblem, Remarks};
use super::rule::{Rule, RuleId, Source};
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

/// An entry that the product refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// The entry.
    pub text: Substr,
    /// Its line in its file, from 1.
    pub line: Option<usize>,
    /// Why it is refused.
    pub reason: Cow<'static, str>,
    /// What to write instead.
    pub mend: Option<Box<str>>,
    /// How well it is known that the product refuses it.
    pub standing: Standing,
}

impl Rejected {
    fn new(entry: &Entry, error: PatternError) -> Self {
        let PatternError { pattern: _, span: _, problem, mend, standing } = error;
        let reason = match problem {
            PatternProblem::Refused(reason) => reason,
            other => other.to_string().into(),
        };
        let text = entry.shared_pattern().clone();
        Self { text, line: entry.line(), reason, mend: mend.map(String::into_boxed_str), standing }
    }
}

impl Reading {
    /// Reads entries in a dialect. Without a default action it is the one of the dialect's product, with what is known
    /// of it. Entries are numbered `r1`, `r2`, … as they stand, refused ones included.
    pub fn of(dialect: Dialect, default: Option<Action>, list: impl IntoIterator<Item = impl Borrow<Entry>>) -> Self {
        let mut rules = Vec::new();
        let mut ids = HashSet::new();
        let mut rejected = Vec::new();
        let mut reader = Reader::new(dialect);
        for (number, entry) in (1..).zip(list) {
            let entry = entry.borrow();
            match reader.read(entry) {
                Ok(pattern) => {
                    let source = if entry.line().is_some() { Source::File } else { Source::CommandLine };
                    let id = entry.name().and_then(|name| RuleId::chosen(name).ok());
                    // What a file calls its entries may be the name of an object that several of them belong to.
                    let id = id.filter(|id| ids.insert(id.clone())).unwrap_or_else(|| RuleId::numbered(number));
                    rules.push(Arc::new(Rule::of_entry(id, pattern, entry, source)));
                }
                Err(error) => rejected.push(Rejected::new(entry, error)),
            }
        }
        let policy = Policy::compile(1, dialect, default.unwrap_or(dialect.default_action()), rules);
        Self { policy: policy.with_default_assumed(default.is_none()), rejected }
    }

    /// The same, beside what decides about hosts and could not be read.
    #[must_use]
    pub fn with_unread(self, unread: Vec<Unread>) -> Self {
        Self { policy: Policy { unread, ..self.policy }, ..self }
    }

    /// The same, with a PAC script that decides in place of entries.
    #[must_use]
    pub fn with_script(self, script: Option<PacScript>) -> Self {
        Self { policy: self.policy.with_script(script), ..self }
    }
}

/// Reads the patterns of one list after the other, so that they share what they have in common.
pub(super) struct Reader {
    dialect: Dialect,
    /// Those of the last entries that had any, the last at the end.
    remarks: Vec<Arc<Remarks>>,
}

/// A list has entries of a few forms, in turn.
const FORMS: usize = 8;

impl Reader {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, remarks: Vec::new() }
    }

    /// The pattern of an entry, in its own dialect where it has one.
    pub(super) fn read(&mut self, entry: &Entry) -> Result<Pattern, PatternError> {
        let mut pattern = entry.dialect().unwrap_or(self.dialect).parse_piece(entry.shared_pattern())?;
        // What is to be said about one entry is mostly what is to be said about one before it.
        if let Some(own) = &mut pattern.remarks {
            match self.remarks.iter().rev().find(|known| *known == own) {
                Some(known) => own.clone_from(known),
                None => {
                    self.remarks.drain(..(self.remarks.len() + 1).saturating_sub(FORMS));
                    self.remarks.push(Arc::clone(own));
                }
            }
        }
        Ok(pattern)
    }
}

impl Policy {
    /// The rules as entries of a list.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.rules().iter().map(|rule| rule.entry()).collect()
    }
}
