//! The question that a connection asks of the policy, and the answer.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::Action;
use super::rule::{Hits, Rule, RuleId, Source, optional_text, shared_text};
use super::standing::{Assumption, Standing};

/// What is known of a connection so far.
#[derive(Clone, Copy, Debug)]
pub struct Subjects<'a> {
    /// The host that the client asked the proxy for, as typed; none for a transparent connection.
    pub connect_host: Option<&'a str>,
    /// The port that the client wants.
    pub port: u16,
    /// What its ClientHello named.
    pub sni: Sni<'a>,
    /// The original destination of a transparent connection or, where a dialect asks for it, the address that the
    /// CONNECT host resolves to; `0.0.0.0` is one that could not be had. The native dialect looks at it only without a
    /// CONNECT host: a literal target stands in `connect_host`, and what a name resolved to counts for nothing.
    pub address: Option<IpAddr>,
    /// The names of the origin's certificate, once it has been fetched: the common name first, where there is one.
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
    /// How well it is known that the dialect's product decides like this. [`Why`] says what was assumed.
    pub standing: Standing,
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
    /// What few decisions have, kept apart so that the others stay small.
    pub(super) aside: Option<Box<Aside>>,
}

/// What is to be said beside the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Aside {
    pub(super) passed_over: Option<PassedOver>,
    pub(super) assumptions: Vec<Assumption>,
}

/// What the action comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// What the product does by itself, whatever its rules say; a clause that says so.
    BuiltIn(&'static str),
    Default(Action),
    Rule {
        id: RuleId,
        pattern: Arc<str>,
        subject: Option<Subject>,
    },
    /// What a PAC script said; a clause.
    Script(Arc<str>),
    /// A rule that takes away from the others.
    Subtracted {
        id: RuleId,
        pattern: Arc<str>,
        subject: Option<Subject>,
    },
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
        Self::without_rule(action, Reason::Default(action), subject, epoch)
    }

    pub(super) fn without_rule(action: Action, reason: Reason, subject: Option<Subject>, epoch: u64) -> Self {
        let why = Why { reason, aside: None };
        Self { action, rule: None, subject, why, standing: Standing::Established, epoch }
    }

    /// What was assumed where the product's reading is not established; nothing where it is.
    #[must_use]
    pub fn assumptions(&self) -> &[Assumption] {
        self.why.assumptions()
    }

    pub(super) fn assume(&mut self, assumption: Assumption) {
        self.standing = self.standing.max(assumption.standing);
        let assumptions = &mut self.why.aside.get_or_insert_default().assumptions;
        if !assumptions.contains(&assumption) {
            assumptions.push(assumption);
        }
    }

    /// The decision of one rule.
    #[must_use]
    pub fn by_rule(rule: &Rule, subject: Option<Subject>, epoch: u64) -> Self {
        // A copy: a record that outlives the policy must not keep the whole file of the rule alive.
        let pattern: Arc<str> = rule.pattern.text().into();
        let reason = Reason::Rule { id: rule.id.clone(), pattern: pattern.clone(), subject: subject.clone() };
        let matched = MatchedRule {
            id: rule.id.clone(),
            pattern,
            note: rule.shared_note().cloned(),
            source: rule.source,
            line: rule.line(),
            hits: rule.hits.clone(),
        };
        let why = Why { reason, aside: None };
        Self { action: rule.action, rule: Some(matched), subject, why, standing: Standing::Established, epoch }
    }
}

impl Why {
    fn assumptions(&self) -> &[Assumption] {
        self.aside.as_ref().map_or(&[], |aside| &aside.assumptions)
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
        let passed_over = self.aside.as_ref().and_then(|aside| aside.passed_over.as_ref());
        if let Some(PassedOver { id, subject, unmatched }) = passed_over {
            write!(f, "rule {id} matches the {subject}, but not the {unmatched}; a bypass needs both; ")?;
        }
        match (&self.reason, passed_over) {
            (Reason::Rule { id, pattern, subject: Some(subject) }, _) => {
                write!(f, "`{pattern}` (rule {id}) matches the {subject}")
            }
            (Reason::Rule { id, pattern, subject: None }, _) => {
                write!(f, "`{pattern}` (rule {id}) matches every connection")
            }
            (Reason::Default(action), None) => write!(f, "no rule matches; the default is {action}"),
            (Reason::Default(action), Some(_)) => write!(f, "no other rule matches; the default is {action}"),
            (Reason::BuiltIn(clause), _) => f.write_str(clause),
            (Reason::Script(clause), _) => f.write_str(clause),
            (Reason::Subtracted { id, pattern, subject }, _) => {
                write!(f, "`{pattern}` (rule {id}) takes ")?;
                match subject {
                    Some(subject) => write!(f, "the {subject}")?,
                    None => f.write_str("every connection")?,
                }
                f.write_str(" away from the rules before it")
            }
        }?;
        self.assumptions().iter().try_for_each(|assumption| write!(f, "; {assumption}"))
    }
}

impl Serialize for Why {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Change, PolicyConfig, PolicyStore, RuleSpec, Selector};
    use super::*;

    /// A store with rules written `bypass *.okta.com`.
    fn store(default: Action, rules: &[&str]) -> PolicyStore {
        let spec = |rule: &&str| {
            let (action, pattern) = rule.split_once(' ').unwrap();
            RuleSpec::new(pattern, action.parse().unwrap())
        };
        let command_line = rules.iter().map(spec).collect();
        PolicyStore::new(PolicyConfig { default: Some(default), command_line, ..PolicyConfig::default() }).unwrap()
    }

    fn connect(host: &str) -> Subjects<'_> {
        let client = Some("192.0.2.77".parse().unwrap());
        Subjects { connect_host: Some(host), port: 443, sni: Sni::NotYet, address: None, certificate: None, client }
    }

    fn transparent(address: &str) -> Subjects<'_> {
        Subjects { connect_host: None, address: Some(address.parse().unwrap()), ..connect("") }
    }

    fn say(asked: &Asked) -> String {
        match asked {
            Asked::Decided(decision) => format!("{}: {}", decision.action, decision.why),
            Asked::Needs(need) => format!("needs {need:?}"),
        }
    }

    #[test]
    fn before_the_hello_only_a_block_decides() {
        let store = store(Action::Inspect, &["bypass *.okta.com", "block evil.example", "block okta.com:25"]);
        let ask = |host| say(&store.decide(&connect(host)));
        assert_eq!(ask("evil.example"), "block: `evil.example` (rule r2) matches the CONNECT host evil.example");
        assert_eq!(ask("acme.okta.com"), "needs Hello");
        assert_eq!(ask("okta.com"), "needs Hello");
        assert_eq!(say(&store.decide(&transparent("192.0.2.1"))), "needs Hello");
    }

    #[test]
    fn a_blocked_connect_host_stays_blocked_whatever_the_sni() {
        let store = store(Action::Inspect, &["inspect good.example", "block evil.example"]);
        let asked = store.decide(&Subjects { sni: Sni::Name("good.example"), ..connect("evil.example") });
        assert_eq!(say(&asked), "block: `evil.example` (rule r2) matches the CONNECT host evil.example");
        let asked = store.decide(&Subjects { sni: Sni::Name("evil.example"), ..connect("good.example") });
        assert_eq!(say(&asked), "block: `evil.example` (rule r2) matches the SNI evil.example");
    }

    #[test]
    fn the_sni_counts_and_a_bypass_needs_both() {
        let store = store(Action::Inspect, &["inspect raw.okta.com", "bypass *.okta.com"]);
        let ask = |host, sni| say(&store.decide(&Subjects { sni: Sni::Name(sni), ..connect(host) }));
        assert_eq!(
            ask("acme.okta.com", "ACME.okta.com."),
            "bypass: `*.okta.com` (rule r2) matches the SNI ACME.okta.com."
        );
        assert_eq!(ask("b.okta.com", "a.okta.com"), "bypass: `*.okta.com` (rule r2) matches the SNI a.okta.com");
        assert_eq!(
            ask("192.0.2.1", "a.okta.com"),
            "inspect: rule r2 matches the SNI a.okta.com, but not the CONNECT host 192.0.2.1; a bypass needs both; \
             no other rule matches; the default is inspect"
        );
        assert_eq!(ask("a.okta.com", "evil.example"), "inspect: no rule matches; the default is inspect");
        assert_eq!(ask("x.example", "raw.okta.com"), "inspect: `raw.okta.com` (rule r1) matches the SNI raw.okta.com");
        let store = self::store(Action::Block, &["inspect x.example", "bypass *.okta.com", "inspect .okta.com"]);
        assert_eq!(
            say(&store.decide(&Subjects { sni: Sni::Name("a.okta.com"), ..connect("x.example") })),
            "inspect: rule r2 matches the SNI a.okta.com, but not the CONNECT host x.example; a bypass needs both; \
             `.okta.com` (rule r3) matches the SNI a.okta.com"
        );
    }

    #[test]
    fn a_bypass_that_comes_too_late_is_not_said_to_be_passed_over() {
        let store = store(Action::Inspect, &["inspect *", "bypass *.okta.com"]);
        let asked = store.decide(&Subjects { sni: Sni::Name("a.okta.com"), ..connect("x.example") });
        assert_eq!(say(&asked), "inspect: `*` (rule r1) matches the SNI a.okta.com");
    }

    #[test]
    fn without_an_sni_the_connect_host_decides() {
        let store = store(Action::Inspect, &["bypass *.okta.com", "bypass 10.0.0.0/8"]);
        for sni in [Sni::Absent, Sni::NotTls] {
            let ask = |host| say(&store.decide(&Subjects { sni, ..connect(host) }));
            assert_eq!(ask("a.okta.com"), "bypass: `*.okta.com` (rule r1) matches the CONNECT host a.okta.com");
            assert_eq!(ask("10.9.8.7"), "bypass: `10.0.0.0/8` (rule r2) matches the CONNECT host 10.9.8.7");
            assert_eq!(ask("b.example"), "inspect: no rule matches; the default is inspect");
        }
    }

    #[test]
    fn addresses_are_literal_targets_and_original_destinations_and_never_resolved() {
        let store = store(Action::Inspect, &["bypass 10.0.0.0/8", "block *.evil.example"]);
        let any = Sni::Name("any.example");
        let literal = store.decide(&Subjects { sni: any, ..connect("10.9.8.7") });
        assert_eq!(say(&literal), "bypass: `10.0.0.0/8` (rule r1) matches the CONNECT host 10.9.8.7");
        let original = store.decide(&Subjects { sni: any, ..transparent("::ffff:10.9.8.7") });
        assert_eq!(say(&original), "bypass: `10.0.0.0/8` (rule r1) matches the address 10.9.8.7");
        let resolved = Subjects { sni: any, address: Some("10.9.8.7".parse().unwrap()), ..connect("any.example") };
        assert_eq!(say(&store.decide(&resolved)), "inspect: no rule matches; the default is inspect");
        // Nor does an SNI that looks like one count as one.
        let claimed = Subjects { sni: Sni::Name("10.9.8.7"), ..connect("any.example") };
        assert_eq!(say(&store.decide(&claimed)), "inspect: no rule matches; the default is inspect");
        let absent = store.decide(&Subjects { sni: Sni::Absent, ..transparent("11.0.0.1") });
        assert_eq!(absent.decision().unwrap().subject.as_ref().unwrap().to_string(), "address 11.0.0.1");
    }

    #[test]
    fn ports_and_clients_are_conditions() {
        let mut spec = RuleSpec::new("okta.com:443", Action::Bypass);
        spec.clients = vec!["192.0.2.0/24".parse().unwrap()];
        let mut web = RuleSpec::new(".okta.com", Action::Block);
        web.ports = vec!["8000-8999".parse().unwrap()];
        let config = PolicyConfig { command_line: vec![spec, web], ..PolicyConfig::default() };
        let store = PolicyStore::new(config).unwrap();
        let ask = |port, client: Option<&str>| {
            let client = client.map(|client| client.parse().unwrap());
            let asked = store.decide(&Subjects { port, client, sni: Sni::Absent, ..connect("okta.com") });
            asked.decision().unwrap().action
        };
        assert_eq!(ask(443, Some("192.0.2.9")), Action::Bypass);
        assert_eq!(ask(443, Some("::ffff:192.0.2.9")), Action::Bypass);
        assert_eq!(ask(443, Some("198.51.100.1")), Action::Inspect);
        assert_eq!(ask(443, None), Action::Inspect);
        assert_eq!(ask(444, Some("192.0.2.9")), Action::Inspect);
        assert_eq!(ask(8443, Some("192.0.2.9")), Action::Block);
    }

    #[test]
    fn a_decision_serialises_for_records_and_counts_once_asked_to() {
        let store = store(Action::Inspect, &["bypass *.okta.com"]);
        let asked = store.decide(&Subjects { sni: Sni::Name("acme.okta.com"), ..connect("acme.okta.com") });
        let decision = asked.decision().unwrap();
        assert_eq!(
            serde_json::to_value(decision).unwrap(),
            serde_json::json!({
                "action": "bypass",
                "rule": {"id": "r1", "pattern": "*.okta.com", "note": null, "source": "command-line", "line": null},
                "subject": {"kind": "sni", "text": "acme.okta.com"},
                "why": "`*.okta.com` (rule r1) matches the SNI acme.okta.com",
                "standing": "established",
                "epoch": 1,
            })
        );
        assert_eq!(store.current().rules()[0].hits(), 0);
        store.count_hit(decision);
        // The count belongs to the rule, whatever policy it is part of.
        store.change(Change::Disable(Selector::new("r1")), None).unwrap();
        store.count_hit(decision);
        assert_eq!(store.current().rules()[0].hits(), 2);
    }
}
