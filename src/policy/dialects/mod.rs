//! Dialects: how each product reads a pattern. One file per product.
//!
//! A dialect is added with a file that holds one [`Spec`] and a line in [`ALL`]. It says how a pattern is read (into
//! the shapes of [`Pattern`], which one index serves for all dialects), how the text of a subject is normalised and
//! which subjects are looked at in which stage (`ask`), in which order rules count, and what the product does when no
//! rule matches.

mod middlebox;

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};
use thiserror::Error;

use super::decision::Subjects;
use super::pattern::{Pattern, PatternError};
use super::view::Answer;
use super::{Action, Policy};
use crate::source::did_you_mean;

/// How one product reads patterns.
#[derive(Clone, Copy)]
pub struct Dialect(&'static Spec);

/// Everything in which a dialect differs from the others.
pub(super) struct Spec {
    /// The name in files and on the command line.
    pub(super) name: &'static str,
    /// What it imitates, in a few words.
    pub(super) title: &'static str,
    /// What the product does when no rule matches.
    pub(super) default: Action,
    /// In which order its rules count.
    pub(super) order: Order,
    /// Reads a pattern.
    pub(super) parse: fn(&str) -> Result<Pattern, PatternError>,
    /// Decides with the subjects known so far, or says what it needs.
    pub(super) ask: for<'a> fn(&Policy, &Subjects<'a>) -> Answer<'a>,
}

/// In which order the rules of a dialect count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Every bypass comes before every other rule, then as written. A set of exemptions where any match counts, with
    /// nothing but bypasses in it, is the same.
    BypassFirst,
    /// As written.
    FirstMatch,
    /// The narrowest pattern first, then as written.
    MostSpecific,
}

/// No dialect has this name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("no dialect is called `{name}`{}; known are {known}", .guess.as_ref().map(|guess| format!(" (did you mean `{guess}`?)")).unwrap_or_default())]
pub struct UnknownDialect {
    name: String,
    known: String,
    guess: Option<&'static str>,
}

static ALL: &[&Spec] = &[&middlebox::SPEC];

impl Dialect {
    /// The native dialect of this program.
    pub const MIDDLEBOX: Self = Self(&middlebox::SPEC);

    /// All dialects, the native one first.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().copied().map(Self)
    }

    /// The name in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// What it imitates, in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.0.title
    }

    /// What is done when no rule matches and no default was chosen.
    #[must_use]
    pub fn default_action(self) -> Action {
        self.0.default
    }

    /// In which order rules count.
    #[must_use]
    pub fn order(self) -> Order {
        self.0.order
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong, where in the pattern, and what to write instead.
    pub fn parse(self, pattern: &str) -> Result<Pattern, PatternError> {
        (self.0.parse)(pattern)
    }

    pub(super) fn ask<'a>(self, policy: &Policy, subjects: &Subjects<'a>) -> Answer<'a> {
        (self.0.ask)(policy, subjects)
    }
}

impl PartialEq for Dialect {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Dialect {}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dialect").field(&self.name()).finish()
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(name: &str) -> Result<Self, UnknownDialect> {
        Self::all().find(|dialect| dialect.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::all().map(|dialect| format!("`{dialect}`")).collect();
            let guess = did_you_mean(name, Self::all().map(Self::name));
            UnknownDialect { name: name.to_owned(), known: known.join(", "), guess }
        })
    }
}

impl Serialize for Dialect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Dialect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::decision::Sni;
    use super::super::rule::{RuleId, RuleSpec, Source};
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for dialect in Dialect::all() {
            assert_eq!(dialect.name().parse(), Ok(dialect));
            assert_eq!(Dialect::all().filter(|other| other.name() == dialect.name()).count(), 1);
        }
        assert_eq!(
            "midlebox".parse::<Dialect>().unwrap_err().to_string(),
            "no dialect is called `midlebox` (did you mean `middlebox`?); known are `middlebox`"
        );
        let stranger = "zzz".parse::<Dialect>().unwrap_err().to_string();
        assert_eq!(stranger, "no dialect is called `zzz`; known are `middlebox`");
    }

    static NARROW: Spec = Spec {
        name: "narrow",
        title: "",
        default: Action::Bypass,
        order: Order::MostSpecific,
        parse: middlebox::SPEC.parse,
        ask: middlebox::SPEC.ask,
    };
    static EXEMPT: Spec = Spec { name: "exempt", order: Order::BypassFirst, ..NARROW };

    #[test]
    fn the_order_rule_is_the_dialects() {
        let deciding = |dialect: Dialect, host: &str| {
            let rules = ["inspect *", "block *.com", "block .okta.com", "bypass *.okta.com", "inspect a.okta.com"];
            let rules = rules.into_iter().zip(1..).map(|(rule, number)| {
                let (action, pattern) = rule.split_once(' ').unwrap();
                let spec = RuleSpec::new(pattern, action.parse().unwrap());
                let pattern = dialect.parse(&spec.pattern).unwrap();
                Arc::new(spec.into_rule(RuleId::numbered(number), pattern, Source::Live, None))
            });
            let policy = Policy::compile(1, dialect, dialect.default_action(), rules.collect());
            let asked = policy.decide(&Subjects {
                connect_host: Some(host),
                port: 443,
                sni: Sni::Absent,
                address: None,
                certificate: None,
                client: None,
            });
            asked.decision().unwrap().rule.as_ref().map(|rule| rule.id.to_string()).unwrap()
        };
        let row = |dialect| ["a.okta.com", "b.okta.com", "okta.com", "x.org"].map(|host| deciding(dialect, host));
        assert_eq!(row(Dialect::MIDDLEBOX), ["r1", "r1", "r1", "r1"]);
        assert_eq!(row(Dialect(&EXEMPT)), ["r4", "r4", "r1", "r1"]);
        assert_eq!(row(Dialect(&NARROW)), ["r5", "r4", "r3", "r1"]);
    }
}
