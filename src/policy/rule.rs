//! Rules: as people write them, as the policy holds them, and as the control API shows them.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use super::condition::{Network, Ports};
use super::dialects::Dialect;
use super::formats::{Entry, Place};
use super::pattern::Pattern;
use super::{Action, Policy};

/// One rule as people write it, in JSON or on the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// The pattern, in the policy's dialect.
    pub pattern: String,
    /// What is done with what it matches.
    pub action: Action,
    /// Whether it counts.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The ports it is for; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Ports>,
    /// The clients it is for; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<Network>,
    /// What it is there for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// An id of one's own, instead of `r1`, `r2`, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// The short and stable name of a rule: `r1`, `r2`, … unless the rule brings its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(Id);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Id {
    Numbered(u64),
    Chosen(Arc<str>),
}

/// A text cannot be the id of a rule.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RuleIdError {
    /// Too long, empty, or with other characters.
    #[error("`{0}` cannot be an id; write 1 to 64 letters, digits, `-`, `_` or `.`")]
    Form(String),
    /// `r` and a number.
    #[error("ids such as `{0}` are given out automatically; choose another, such as `okta`")]
    Reserved(String),
    /// Another rule has it.
    #[error("another rule has the id `{0}`; choose a different one")]
    Taken(String),
}

/// Where a rule comes from. Earlier layers stand above later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A change made while running, by command or API.
    Live,
    /// An option of the command line.
    CommandLine,
    /// The policy file.
    File,
}

/// One rule of a running policy.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its id.
    pub id: RuleId,
    /// Its compiled pattern.
    pub pattern: Pattern,
    /// What is done with what it matches.
    pub action: Action,
    /// Whether it counts.
    pub enabled: bool,
    /// Where it comes from.
    pub source: Source,
    pub(super) line: Option<NonZeroU32>,
    pub(super) more: Option<Box<More>>,
    pub(super) hits: Hits,
}

/// What few rules have, kept apart so that the others stay small.
#[derive(Clone, Debug, Default)]
pub(super) struct More {
    ports: Vec<Ports>,
    clients: Vec<Network>,
    note: Option<Arc<str>>,
}

/// How many connections a rule has decided; shared by all policies that the rule was part of. Made when it is first
/// counted or shared: most rules of a long list are never hit.
#[derive(Debug, Default)]
pub(super) struct Hits(OnceLock<Arc<AtomicU64>>);

/// One rule as the control API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleView {
    /// Its id.
    pub id: RuleId,
    /// Its pattern, as written.
    #[serde(serialize_with = "shared_text")]
    pub pattern: Arc<str>,
    /// What is done with what it matches.
    pub action: Action,
    /// Whether it counts.
    pub enabled: bool,
    /// The ports it is for; none means all.
    pub ports: Vec<Ports>,
    /// The clients it is for; none means all.
    pub clients: Vec<Network>,
    /// What it is there for.
    #[serde(serialize_with = "optional_text")]
    pub note: Option<Arc<str>>,
    /// Where it comes from.
    pub source: Source,
    /// Its line in the policy file, from 1.
    pub line: Option<usize>,
    /// How many connections it has decided.
    pub hits: u64,
}

/// The whole policy as the control API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyView {
    /// Grows by one with each change.
    pub epoch: u64,
    /// How patterns are read.
    pub dialect: Dialect,
    /// What is done when no rule matches.
    pub default: Action,
    /// The rules in force, in order.
    pub rules: Vec<RuleView>,
}

impl RuleSpec {
    /// An enabled rule without conditions.
    pub fn new(pattern: impl Into<String>, action: Action) -> Self {
        Self {
            pattern: pattern.into(),
            action,
            enabled: true,
            ports: Vec::new(),
            clients: Vec::new(),
            note: None,
            id: None,
        }
    }

    pub(super) fn into_rule(self, id: RuleId, pattern: Pattern, source: Source) -> Rule {
        let Self { pattern: _, action, enabled, ports, clients, note, id: _ } = self;
        let more = More::boxed(ports, clients, note.map(Into::into));
        Rule { id, pattern, action, enabled, source, line: None, more, hits: Hits::default() }
    }
}

fn yes() -> bool {
    true
}

impl Rule {
    /// The rule that an entry of a list makes.
    pub(super) fn of_entry(id: RuleId, pattern: Pattern, entry: &Entry, source: Source) -> Self {
        Self {
            id,
            pattern,
            action: entry.action(),
            enabled: entry.enabled(),
            source,
            line: NonZeroU32::new(entry.place().line),
            more: More::boxed(entry.ports().to_vec(), entry.clients().to_vec(), entry.note().map(Into::into)),
            hits: Hits::default(),
        }
    }

    /// The entry that it is in a file.
    pub(super) fn entry(&self) -> Entry {
        let line = self.line.map_or(0, NonZeroU32::get);
        Entry::new(self.pattern.text(), self.action, Place { document: 0, line, column: line.min(1) })
            .with_enabled(self.enabled)
            .with_ports(self.ports().to_vec())
            .with_clients(self.clients().to_vec())
            .with_note(self.note().map(ToOwned::to_owned))
            .with_name(Some(&self.id).filter(|id| id.is_chosen()).map(ToString::to_string))
    }
}

impl RuleId {
    /// The id of a rule that has not been given one.
    pub(super) const UNNUMBERED: Self = Self(Id::Numbered(0));

    /// Whether the rule brought it along, and did not get it here.
    #[must_use]
    pub fn is_chosen(&self) -> bool {
        matches!(self.0, Id::Chosen(_))
    }

    pub(super) fn numbered(number: u64) -> Self {
        Self(Id::Numbered(number))
    }

    pub(super) fn chosen(text: &str) -> Result<Self, RuleIdError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
            return Err(RuleIdError::Form(text.to_owned()));
        }
        if is_numbered(text) {
            return Err(RuleIdError::Reserved(text.to_owned()));
        }
        Ok(Self(Id::Chosen(text.into())))
    }
}

/// Compares with the id as text.
impl PartialEq<str> for RuleId {
    fn eq(&self, text: &str) -> bool {
        match &self.0 {
            Id::Chosen(own) => **own == *text,
            Id::Numbered(number) => text.strip_prefix('r').is_some_and(|digits| *digits == *number.to_string()),
        }
    }
}

fn is_numbered(text: &str) -> bool {
    let digits = text.strip_prefix('r').unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

impl More {
    fn boxed(ports: Vec<Ports>, clients: Vec<Network>, note: Option<Arc<str>>) -> Option<Box<Self>> {
        let some = !ports.is_empty() || !clients.is_empty() || note.is_some();
        some.then(|| Box::new(Self { ports, clients, note }))
    }
}

impl Rule {
    /// The ports it is for; none means all.
    #[must_use]
    pub fn ports(&self) -> &[Ports] {
        self.more.as_ref().map_or(&[], |more| &more.ports)
    }

    /// The clients it is for; none means all.
    #[must_use]
    pub fn clients(&self) -> &[Network] {
        self.more.as_ref().map_or(&[], |more| &more.clients)
    }

    /// What it is there for.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.shared_note().map(|note| &**note)
    }

    pub(super) fn shared_note(&self) -> Option<&Arc<str>> {
        self.more.as_ref().and_then(|more| more.note.as_ref())
    }

    /// Its line in the policy file, from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line.map(|line| line.get() as usize)
    }

    /// How many connections it has decided.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.count()
    }

    /// Whether it is for this port.
    #[must_use]
    pub fn is_for_port(&self, port: u16) -> bool {
        self.pattern.ports.contain(port)
            && (self.ports().is_empty() || self.ports().iter().any(|ports| ports.contains(port)))
    }

    /// Whether it is for this client; with a condition on clients, an unknown one does not count.
    #[must_use]
    pub fn is_for_client(&self, client: Option<IpAddr>) -> bool {
        let known = |client| self.clients().iter().any(|network| network.contains(client));
        self.clients().is_empty() || client.is_some_and(known)
    }

    /// The rule for people and machines.
    #[must_use]
    pub fn view(&self) -> RuleView {
        RuleView {
            id: self.id.clone(),
            pattern: self.pattern.text().into(),
            action: self.action,
            enabled: self.enabled,
            ports: self.ports().to_vec(),
            clients: self.clients().to_vec(),
            note: self.shared_note().cloned(),
            source: self.source,
            line: self.line(),
            hits: self.hits(),
        }
    }

    /// Whether both decide the same connections in the same way.
    pub(super) fn decides_as(&self, other: &Self) -> bool {
        self.enabled == other.enabled
            && self.action == other.action
            && self.pattern.matcher == other.pattern.matcher
            && self.pattern.ports == other.pattern.ports
            && self.ports() == other.ports()
            && self.clients() == other.clients()
    }

    /// Whether people would call them the same: [`Self::decides_as`], under the same name and note.
    pub(super) fn reads_as(&self, other: &Self) -> bool {
        self.decides_as(other) && self.id == other.id && self.note() == other.note() && self.pattern == other.pattern
    }
}

impl Hits {
    pub(super) fn add_one(&self) {
        self.0.get_or_init(Arc::default).fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.get().map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

impl Clone for Hits {
    fn clone(&self) -> Self {
        Self(OnceLock::from(Arc::clone(self.0.get_or_init(Arc::default))))
    }
}

/// A count says nothing about what a rule is.
impl PartialEq for Hits {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Hits {}

impl Policy {
    /// The policy for people and machines.
    #[must_use]
    pub fn view(&self) -> PolicyView {
        let rules = self.rules().iter().map(|rule| rule.view()).collect();
        PolicyView { epoch: self.epoch(), dialect: self.dialect(), default: self.default_action(), rules }
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Id::Chosen(text) => f.pad(text),
            Id::Numbered(number) => f.pad(&format!("r{number}")),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Live => "live",
            Self::CommandLine => "command-line",
            Self::File => "file",
        })
    }
}

impl Serialize for RuleId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

pub(super) fn shared_text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

#[expect(clippy::ref_option, reason = "serde passes the field as it is")]
pub(super) fn optional_text<S: Serializer>(text: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    text.as_deref().serialize(serializer)
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_form_r1_are_reserved() {
        assert!(RuleId::chosen("okta-1").is_ok_and(|id| id.is_chosen()));
        assert_eq!(RuleId::chosen("r12"), Err(RuleIdError::Reserved("r12".into())));
        assert!(RuleId::chosen("r").is_ok() && RuleId::chosen("r1a").is_ok());
        for bad in ["", "a b", "ü", &"a".repeat(65)] {
            assert_eq!(RuleId::chosen(bad), Err(RuleIdError::Form(bad.to_owned())));
        }
        assert!(!RuleId::numbered(3).is_chosen());
    }

    #[test]
    fn a_rule_in_json_has_defaults_and_refuses_strangers() {
        let spec: RuleSpec = serde_json::from_str(r#"{"pattern": "okta.com", "action": "bypass"}"#).unwrap();
        assert_eq!(spec, RuleSpec::new("okta.com", Action::Bypass));
        let stranger = r#"{"pattern": "okta.com", "action": "bypass", "port": 1}"#;
        assert!(serde_json::from_str::<RuleSpec>(stranger).unwrap_err().to_string().contains("unknown field `port`"));
    }
}
