//! The question that a connection asks of the policy, and the answer.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::Action;
use super::rule::{Hits, Rule, RuleId, Source, optional_text, shared_text};

/// What is known of a connection so far.
#[derive(Clone, Copy, Debug)]
pub struct Subjects<'a> {
    /// The host that the client asked the proxy for, as typed; none for a transparent connection.
    pub connect_host: Option<&'a str>,
    /// The port that the client wants.
    pub port: u16,
    /// What its ClientHello named.
    pub sni: Sni<'a>,
    /// The original destination of a transparent connection. With a CONNECT host it is not looked at: a literal
    /// target stands in `connect_host`, and an address that a name resolved to counts for nothing.
    pub address: Option<IpAddr>,
    /// The names of the origin's certificate, once it has been fetched.
    pub certificate: Option<&'a [String]>,
    /// The client's own address.
    pub client: Option<IpAddr>,
}

/// The server name of a ClientHello (RFC 6066, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sni<'a> {
    /// The ClientHello carries none.
    Absent,
    /// This one.
    Name(&'a str),
    /// The client does not speak TLS.
    NotTls,
    /// The ClientHello has not been read yet.
    NotYet,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// Enough was known.
    Decided(Decision),
    /// Ask again with this.
    Needs(Need),
}

/// What a dialect has to know before it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// The address that the host resolves to.
    Address,
    /// The ClientHello.
    Hello,
    /// The names of the origin's certificate.
    OriginCertificate,
}

/// What is done with a connection, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// What is done.
    pub action: Action,
    /// The rule that asked for it; none where it is the default.
    pub rule: Option<MatchedRule>,
    /// The name or address that was compared with the rules.
    pub subject: Option<Subject>,
    /// The reason, as a sentence for reports.
    pub why: Why,
    /// The epoch of the policy that decided.
    pub epoch: u64,
}

/// The rule behind a decision, as it stood then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MatchedRule {
    /// Its id.
    pub id: RuleId,
    /// Its pattern, as written.
    #[serde(serialize_with = "shared_text")]
    pub pattern: Arc<str>,
    /// Its note.
    #[serde(serialize_with = "optional_text")]
    pub note: Option<Arc<str>>,
    /// Where it comes from.
    pub source: Source,
    /// Its line in the policy file, from 1.
    pub line: Option<usize>,
    #[serde(skip)]
    pub(super) hits: Hits,
}

/// A name or address that rules are compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// What kind of name it is.
    pub kind: SubjectKind,
    /// The text, as the client sent it.
    #[serde(serialize_with = "shared_text")]
    pub text: Arc<str>,
}

/// Where a name or address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// The original destination of a transparent connection.
    Address,
    /// A name of the origin's certificate.
    Certificate,
    /// The host that the client asked the proxy for.
    ConnectHost,
    /// The server name of the ClientHello.
    Sni,
}

/// Why a decision is as it is. Shown and serialised as one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    pub(super) reason: Reason,
    pub(super) passed_over: Option<Box<PassedOver>>,
}

/// What the action comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Default(Action),
    Rule { id: RuleId, pattern: Arc<str>, subject: Option<Subject> },
}

/// A bypass rule that matches the SNI alone, and so came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PassedOver {
    pub(super) id: RuleId,
    pub(super) subject: Subject,
    pub(super) unmatched: Subject,
}

impl Asked {
    /// The decision, if there is one.
    #[must_use]
    pub fn decision(&self) -> Option<&Decision> {
        match self {
            Self::Decided(decision) => Some(decision),
            Self::Needs(_) => None,
        }
    }
}

impl Decision {
    /// The decision where no rule matches.
    #[must_use]
    pub fn by_default(action: Action, subject: Option<Subject>, epoch: u64) -> Self {
        let why = Why { reason: Reason::Default(action), passed_over: None };
        Self { action, rule: None, subject, why, epoch }
    }

    /// The decision of one rule.
    #[must_use]
    pub fn by_rule(rule: &Rule, subject: Option<Subject>, epoch: u64) -> Self {
        let pattern = rule.pattern.text.clone();
        let reason = Reason::Rule { id: rule.id.clone(), pattern: pattern.clone(), subject: subject.clone() };
        let matched = MatchedRule {
            id: rule.id.clone(),
            pattern,
            note: rule.note.clone(),
            source: rule.source,
            line: rule.line,
            hits: rule.hits.clone(),
        };
        Self { action: rule.action, rule: Some(matched), subject, why: Why { reason, passed_over: None }, epoch }
    }
}

impl fmt::Display for SubjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Address => "address",
            Self::Certificate => "certificate name",
            Self::ConnectHost => "CONNECT host",
            Self::Sni => "SNI",
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.text)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(PassedOver { id, subject, unmatched }) = self.passed_over.as_deref() {
            write!(f, "rule {id} matches the {subject}, but not the {unmatched}; a bypass needs both; ")?;
        }
        match (&self.reason, &self.passed_over) {
            (Reason::Rule { id, pattern, subject: Some(subject) }, _) => {
                write!(f, "`{pattern}` (rule {id}) matches the {subject}")
            }
            (Reason::Rule { id, pattern, subject: None }, _) => {
                write!(f, "`{pattern}` (rule {id}) matches every connection")
            }
            (Reason::Default(action), None) => write!(f, "no rule matches; the default is {action}"),
            (Reason::Default(action), Some(_)) => write!(f, "no other rule matches; the default is {action}"),
        }
    }
}

impl Serialize for Why {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
