//! The JSON of the control API, as the server writes it and the client reads it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::net::Pin;
use crate::policy::{Action, Decision, Explained, Need, Network, OnChange, PolicyView, Ports, RuleSpec, RuleView};

/// How a middlebox stands: `GET /api/v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// Where clients reach the proxy.
    pub proxy: SocketAddr,
    /// Where this API listens.
    pub control: SocketAddr,
    /// Whether the proxy accepts connections.
    pub serving: bool,
    /// When it started.
    #[serde(with = "time::serde::rfc3339")]
    pub started: OffsetDateTime,
    /// Seconds since then.
    pub uptime_s: u64,
    /// The product whose certificates it imitates.
    pub profile: String,
    /// How patterns are read.
    pub dialect: String,
    /// What is done when no rule matches.
    pub default: Action,
    /// What happens to open connections when a change does not say.
    pub on_change: OnChange,
    /// The epoch of the policy in force.
    pub epoch: u64,
    /// How many connections there are and were.
    pub connections: ConnectionCounts,
    /// The inspection CA's root.
    pub ca: CaStatus,
    /// The hosts of the simulated internet.
    pub origins: BTreeMap<String, OriginStatus>,
}

/// How many connections there are and were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionCounts {
    /// Open now.
    pub open: usize,
    /// Since the start.
    pub total: u64,
}

/// The root certificate that clients are made to trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaStatus {
    /// Its subject.
    pub subject: String,
    /// The end of its validity, RFC 3339 in UTC.
    pub not_after: String,
    /// SHA-256 of the certificate, lower-case hexadecimal.
    pub sha256: String,
}

/// One host of the simulated internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginStatus {
    /// The pin of its genuine certificate.
    pub pin: Pin,
}

/// The policy in force: `GET /api/v1/policy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyState {
    /// Grows by one with each change.
    pub epoch: u64,
    /// How patterns are read.
    pub dialect: String,
    /// What is done when no rule matches.
    pub default: Action,
    /// What happens to open connections when a change does not say.
    pub on_change: OnChange,
    /// The policy file that changes can be saved into.
    pub file: Option<String>,
    /// The rules, in order.
    pub rules: Vec<RuleState>,
}

/// The rules alone: `GET /api/v1/policy/rules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleList {
    /// The epoch of the policy that they are part of.
    pub epoch: u64,
    /// The rules, in order.
    pub rules: Vec<RuleState>,
}

/// One rule: `GET /api/v1/policy/rules/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleState {
    /// Its id.
    pub id: String,
    /// Its pattern, as written.
    pub pattern: String,
    /// What is done with what it matches.
    pub action: Action,
    /// Whether it counts.
    pub enabled: bool,
    /// The ports it is for; none means all.
    pub ports: Vec<Ports>,
    /// The clients it is for; none means all.
    pub clients: Vec<Network>,
    /// What it is there for.
    pub note: Option<String>,
    /// Where it comes from: `live`, `command-line` or `file`.
    pub source: String,
    /// Its line in the policy file, from 1.
    pub line: Option<usize>,
    /// How many connections it has decided.
    pub hits: u64,
}

/// A rule to add: `POST /api/v1/policy/rules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    /// The pattern, in the policy's dialect.
    pub pattern: String,
    /// What is done with what it matches.
    #[serde(default = "bypass")]
    pub action: Action,
    /// Its place among all rules, from 1; none is the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<usize>,
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

/// The one thing of a rule that can be changed: `PATCH /api/v1/policy/rules/{id}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulePatch {
    /// Whether it counts.
    pub enabled: bool,
}

/// The one thing of a policy, beside its rules, that can be changed: `PATCH /api/v1/policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyPatch {
    /// What is done when no rule matches.
    pub default: Action,
}

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The epoch in force: no connection decided from now on is decided under an older one.
    pub epoch: u64,
    /// Whether the policy is another one than before.
    pub changed: bool,
    /// What was asked for with open connections.
    pub on_change: OnChange,
    /// How many open connections that was done to; none with `new-only`.
    pub affected: usize,
    /// The rules that were added, removed, switched or saved.
    pub rules: Vec<RuleState>,
}

/// How a connection would be decided: `GET /api/v1/decide`.
#[derive(Clone, Debug, Serialize)]
pub struct Decided {
    /// The host that was asked about, as the CONNECT host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The SNI that was assumed.
    pub sni: Option<String>,
    /// The decision; none where more has to be known.
    pub decision: Option<Decision>,
    /// What has to be known first.
    pub needs: Option<Need>,
    /// Every rule in order, with why it decides or does not.
    pub rules: Vec<Explained>,
}

/// Connections: `GET /api/v1/connections`.
///
/// Records are kept as JSON: they gain fields with every version, and whoever shows them takes what it knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionList {
    /// How many connections there are and were, whatever was filtered.
    pub connections: ConnectionCounts,
    /// Whether the limit left any out.
    pub truncated: bool,
    /// The records, by id.
    pub records: Vec<serde_json::Value>,
}

/// A connection is being ended: `DELETE /api/v1/connections/{id}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killed {
    /// Its id; the `closed` event with this id follows.
    pub id: u64,
}

fn bypass() -> Action {
    Action::Bypass
}

fn yes() -> bool {
    true
}

impl NewRule {
    /// An enabled rule at the top, without conditions.
    pub fn new(pattern: impl Into<String>, action: Action) -> Self {
        Self {
            pattern: pattern.into(),
            action,
            at: None,
            enabled: true,
            ports: Vec::new(),
            clients: Vec::new(),
            note: None,
            id: None,
        }
    }

    /// The rule, and its place.
    pub(super) fn into_spec(self) -> (RuleSpec, Option<usize>) {
        let Self { pattern, action, at, enabled, ports, clients, note, id } = self;
        (RuleSpec { pattern, action, enabled, ports, clients, note, id }, at)
    }
}

impl PolicyState {
    pub(super) fn of(view: PolicyView, on_change: OnChange, file: Option<String>) -> Self {
        let PolicyView { epoch, dialect, default, rules } = view;
        let rules = rules.into_iter().map(RuleState::from).collect();
        Self { epoch, dialect: dialect.name().to_owned(), default, on_change, file, rules }
    }
}

impl From<RuleView> for RuleState {
    fn from(view: RuleView) -> Self {
        let RuleView { id, pattern, action, enabled, ports, clients, note, source, line, hits } = view;
        Self {
            id: id.to_string(),
            pattern: pattern.as_ref().to_owned(),
            action,
            enabled,
            ports,
            clients,
            note: note.as_deref().map(str::to_owned),
            source: source.to_string(),
            line,
            hits,
        }
    }
}
