//! A list under a dialect: the policy that it makes, and the entries that the product refuses.

use super::super::Action;
use super::super::reading::Reading;
use super::{Dialect, Entry, List};

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
        let default = default.or(self.default);
        let reading = match dialect {
            None => Reading::of(self.dialect_or(None), default, &self.entries),
            // Whoever names a dialect wants the whole list read in it.
            Some(_) => {
                let entries = self.entries.iter().cloned().map(Entry::without_dialect);
                Reading::of(self.dialect_or(dialect), default, entries)
            }
        };
        reading.with_script(self.script.clone()).with_unread(self.unread.clone())
    }
}
