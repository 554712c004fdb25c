//! A list under a dialect: the policy that it makes, and the entries that the product refuses.

use std::sync::Arc;

use super::super::pattern::PatternError;
use super::super::rule::{Rule, RuleId, Source};
use super::super::{Action, Policy};
use super::{Dialect, List};

/// What becomes of a list when one product reads it.
#[derive(Debug)]
pub struct Under {
    /// The policy of the entries that the product takes, with epoch 1. Each rule has its line; `Under::entry_of`
    /// leads back to its entry.
    pub policy: Policy,
    /// The entries that the product refuses, in their order.
    pub rejected: Vec<Rejected>,
    /// The number of the entry behind each rule.
    entries: Vec<u32>,
}

/// An entry that a product refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The number of the entry, from 0.
    pub entry: usize,
    /// Why, where in the pattern, and what to write instead.
    pub error: PatternError,
}

impl List {
    /// The dialect in which it is read: the chosen one, else the one that it suggests, else the native one.
    #[must_use]
    pub fn dialect_or(&self, chosen: Option<Dialect>) -> Dialect {
        chosen.or(self.dialect).unwrap_or(Dialect::MIDDLEBOX)
    }

    /// Reads every entry as a product does. A dialect and a default that were chosen go before the list's own; without
    /// any default, the product's counts. What the product refuses is collected, and makes no rule.
    #[must_use]
    pub fn under(&self, dialect: Option<Dialect>, default: Option<Action>) -> Under {
        let reads = self.dialect_or(dialect);
        let mut rules = Vec::with_capacity(self.entries.len());
        let mut entries = Vec::with_capacity(self.entries.len());
        let mut rejected = Vec::new();
        for (entry, number) in self.entries.iter().zip(0u32..) {
            let own = if dialect.is_some() { reads } else { entry.dialect().unwrap_or(reads) };
            match own.parse(entry.pattern()) {
                Ok(pattern) => {
                    let id = RuleId::numbered(u64::from(number) + 1);
                    rules.push(Arc::new(Rule::of_entry(id, pattern, entry, Source::File)));
                    entries.push(number);
                }
                Err(error) => rejected.push(Rejected { entry: number as usize, error }),
            }
        }
        let default = default.or(self.default).unwrap_or(reads.default_action());
        Under { policy: Policy::compile(1, reads, default, rules), rejected, entries }
    }
}

impl Under {
    /// The number of the entry, from 0, that a rule of the policy stands for.
    #[must_use]
    pub fn entry_of(&self, rule: &RuleId) -> Option<usize> {
        let at = self.policy.rules().iter().position(|known| known.id == *rule)?;
        self.entries.get(at).map(|number| *number as usize)
    }
}
