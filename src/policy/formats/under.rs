//! A list under a dialect: the policy that it makes, and the entries that the product refuses.

use super::super::Action;
use super::super::reading::{Reading, Written};
use super::{Dialect, List};

impl List {
    /// The dialect in which it is read: the chosen one, else the one that it suggests, else the native one. A script is
    /// never read as anything else.
    #[must_use]
    pub fn dialect_or(&self, chosen: Option<Dialect>) -> Dialect {
        chosen.filter(|_| self.script.is_none()).or(self.dialect).unwrap_or(Dialect::MIDDLEBOX)
    }

    /// Reads every entry as a product does. A dialect and a default that were chosen go before the list's own; without
    /// any default, the product's counts. What the product refuses is collected, and makes no rule.
    #[must_use]
    pub fn under(&self, dialect: Option<Dialect>, default: Option<Action>) -> Reading {
        let written = self.entries.iter().map(|entry| Written {
            // Whoever names a dialect wants the whole list read in it.
            dialect: entry.dialect().filter(|_| dialect.is_none()),
            ..Written::from(entry)
        });
        Reading::of(self.dialect_or(dialect), default.or(self.default), written).with_script(self.script.clone())
    }
}
