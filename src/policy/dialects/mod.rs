//! Dialects: how each product reads a pattern. One file per product.
//!
//! A dialect is added with a file that holds one [`Spec`] and a line in [`ALL`]. It says how a pattern is read (into
//! the shapes of [`Pattern`], which one index serves for all dialects), how the text of a subject is normalised and
//! which subjects are looked at in which stage (`ask`), in which order rules count, and what the product does when no
//! rule matches.

mod aws_network_firewall;
mod check_point;
mod chrome_bypass;
mod cisco_ftd;
mod cloudflare;
mod draft;
mod expression;
mod forcepoint;
mod fortigate;
mod middlebox;
mod mitmproxy;
mod netskope;
mod no_proxy_curl;
mod no_proxy_go;
mod no_proxy_python;
mod no_proxy_reqwest;
mod pac;
mod pan_os_exclusion;
mod pan_os_url;
mod proxysg;
mod skyhigh;
mod sophos;
mod squid;
mod stages;
mod umbrella;
#[cfg(test)]
mod vectors;
mod windows_proxy_override;
mod zscaler;

use std::fmt;
use std::str::FromStr;

use arcstr::Substr;
use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};
use thiserror::Error;

use self::draft::Draft;
use super::decision::Subjects;
use super::pattern::{Pattern, PatternError, PatternWarning};
use super::standing::Standing;
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
    pub(super) default: (Action, Standing),
    /// In which order its rules count.
    pub(super) order: (Order, Standing),
    /// What it compares, in which order.
    pub(super) subjects: &'static str,
    /// How much it takes.
    pub(super) limits: Limits,
    /// Where all this stands.
    pub(super) sources: &'static [&'static str],
    /// What is not established about it as a whole.
    pub(super) unknown: &'static [&'static str],
    /// Reads a pattern.
    pub(super) parse: fn(&str) -> Result<Draft, PatternError>,
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
    /// Every pattern for one host alone comes before every other pattern, then as written.
    ExactFirst,
    /// As written.
    FirstMatch,
    /// From the last one back.
    LastMatch,
    /// The narrowest pattern first, then as written.
    MostSpecific,
}

/// How much a product takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Entries in one list or in all lists together; `None` where that is not known.
    pub entries: Option<usize>,
    /// Characters of an entry.
    pub entry_length: Option<usize>,
    /// What else is limited.
    pub other: &'static [&'static str],
}

impl Limits {
    const NONE: Self = Self { entries: None, entry_length: None, other: &[] };
}

impl Order {
    /// What is assumed where the order of a product is not established, as a clause.
    pub(super) fn assumed(self) -> &'static str {
        match self {
            Self::BypassFirst => "a bypass counts before every other rule",
            Self::ExactFirst => "an entry for one host counts before every other one, and then the first",
            Self::FirstMatch => "the first rule that matches decides",
            Self::LastMatch => "the last rule that matches decides",
            Self::MostSpecific => "the narrowest rule that matches decides",
        }
    }
}

/// No dialect has this name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("no dialect is called `{name}`{}; known are {known}", .guess.as_ref().map(|guess| format!(" (did you mean `{guess}`?)")).unwrap_or_default())]
pub struct UnknownDialect {
    name: String,
    known: String,
    guess: Option<&'static str>,
}

/// In the order in which lists and tables show them.
static ALL: &[&Spec] = &[
    &middlebox::SPEC,
    &zscaler::SPEC,
    &pan_os_exclusion::SPEC,
    &pan_os_url::SPEC,
    &pan_os_url::LEGACY,
    &netskope::URL_LIST,
    &netskope::DOMAIN,
    &fortigate::FLOW,
    &fortigate::PROXY,
    &cisco_ftd::SPEC,
    &umbrella::SPEC,
    &proxysg::DOMAIN,
    &proxysg::HOST,
    &proxysg::HOST_SUFFIX,
    &sophos::SPEC,
    &cloudflare::HOST,
    &cloudflare::DOMAIN,
    &check_point::FQDN,
    &check_point::DOMAIN,
    &forcepoint::SPEC,
    &skyhigh::SPEC,
    &squid::DSTDOMAIN,
    &squid::SERVER_NAME,
    &mitmproxy::SPEC,
    &aws_network_firewall::SPEC,
    &no_proxy_go::SPEC,
    &no_proxy_curl::SPEC,
    &no_proxy_python::SPEC,
    &no_proxy_reqwest::SPEC,
    &chrome_bypass::SPEC,
    &windows_proxy_override::SPEC,
    &pac::SPEC,
];

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
        self.0.default.0
    }

    /// How well [`Self::default_action`] is known to be the product's.
    #[must_use]
    pub fn default_standing(self) -> Standing {
        self.0.default.1
    }

    /// In which order rules count.
    #[must_use]
    pub fn order(self) -> Order {
        self.0.order.0
    }

    /// How well [`Self::order`] is known to be the product's.
    #[must_use]
    pub fn order_standing(self) -> Standing {
        self.0.order.1
    }

    /// Which names and addresses the product compares, in which order.
    #[must_use]
    pub fn subjects(self) -> &'static str {
        self.0.subjects
    }

    /// How much the product takes.
    #[must_use]
    pub fn limits(self) -> Limits {
        self.0.limits
    }

    /// Where all this stands.
    #[must_use]
    pub fn sources(self) -> &'static [&'static str] {
        self.0.sources
    }

    /// What is not established about the product as a whole.
    #[must_use]
    pub fn unknown(self) -> &'static [&'static str] {
        self.0.unknown
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong, where in the pattern, and what to write instead.
    pub fn parse(self, pattern: &str) -> Result<Pattern, PatternError> {
        self.parse_piece(&pattern.into())
    }

    /// Reads a pattern that is a piece of a longer text, without a copy of it.
    pub(super) fn parse_piece(self, pattern: &Substr) -> Result<Pattern, PatternError> {
        (self.0.parse)(pattern).map(|draft| draft.pattern(pattern, self))
    }

    /// What there is to say about a pattern that it reads.
    pub(super) fn warnings(self, pattern: &str) -> Vec<PatternWarning> {
        (self.0.parse)(pattern).map_or_else(|_| Vec::new(), |draft| draft.warnings)
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
            format!(
                "no dialect is called `midlebox` (did you mean `middlebox`?); known are {}",
                Dialect::all().map(|dialect| format!("`{dialect}`")).collect::<Vec<_>>().join(", ")
            )
        );
        let stranger = "zzz".parse::<Dialect>().unwrap_err().to_string();
        assert!(stranger.starts_with("no dialect is called `zzz`; known are `middlebox`, `zscaler`, "), "{stranger}");
    }

    static NARROW: Spec = Spec {
        name: "narrow",
        title: "",
        default: (Action::Bypass, Standing::Established),
        order: (Order::MostSpecific, Standing::Established),
        ..middlebox::SPEC
    };
    static EXEMPT: Spec = Spec { name: "exempt", order: (Order::BypassFirst, Standing::Established), ..NARROW };

    #[test]
    fn the_order_rule_is_the_dialects() {
        let deciding = |dialect: Dialect, host: &str| {
            let rules = ["inspect *", "block *.com", "block .okta.com", "bypass *.okta.com", "inspect a.okta.com"];
            let rules = rules.into_iter().zip(1..).map(|(rule, number)| {
                let (action, pattern) = rule.split_once(' ').unwrap();
                let spec = RuleSpec::new(pattern, action.parse().unwrap());
                let pattern = dialect.parse(&spec.pattern).unwrap();
                Arc::new(spec.into_rule(RuleId::numbered(number), pattern, Source::Live))
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
