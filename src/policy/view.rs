//! One look at a connection: the normalised subjects of one stage, compared with rules.

use std::borrow::Cow;
use std::net::IpAddr;

use super::decision::{Asked, Decision, PassedOver, Subject, SubjectKind};
use super::pattern::Matcher;
use super::rule::Rule;
use super::{Action, Policy};

/// What the rules are compared with in one stage.
#[derive(Clone, Debug)]
pub(super) struct View<'a> {
    /// The subject that counts; none for a connection of which nothing is known.
    pub(super) subject: Option<Named<'a>>,
    /// A second name, which a bypass by name has to match as well.
    pub(super) other: Option<Named<'a>>,
    /// The address that the connection is for: a literal target or an original destination.
    pub(super) address: Option<Named<'a>>,
    /// The port that the client wants.
    pub(super) port: u16,
    /// The client's own address.
    pub(super) client: Option<IpAddr>,
}

/// A subject with its normal form.
#[derive(Clone, Debug)]
pub(super) struct Named<'a> {
    pub(super) kind: SubjectKind,
    pub(super) text: Cow<'a, str>,
    pub(super) target: Target<'a>,
}

/// The normal form of a subject, as its dialect wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    Address(IpAddr),
    Name(Cow<'a, str>),
}

/// The answer of a dialect with the view that led to it.
pub(super) struct Answer<'a> {
    pub(super) asked: Asked,
    pub(super) view: View<'a>,
}

/// How one rule stands to one view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Applies,
    Disabled,
    NotBoth,
    OtherClient,
    OtherName,
    OtherPort,
}

impl<'a> View<'a> {
    /// The subject that a rule is compared with: an address rule with the address, any other with the name.
    pub(super) fn subject_of(&self, rule: &Rule) -> Option<&Named<'a>> {
        match rule.pattern.matcher {
            Matcher::Network(_) => self.address.as_ref(),
            Matcher::Any | Matcher::Exact(_) | Matcher::Below(_) | Matcher::Within(_) => self.subject.as_ref(),
        }
    }

    /// How the rule stands to this connection. The one definition of a match: the index only leaves out rules for
    /// which this says [`Standing::OtherName`].
    pub(super) fn standing(&self, rule: &Rule) -> Standing {
        let matches = matches!(rule.pattern.matcher, Matcher::Any)
            || self.subject_of(rule).is_some_and(|named| named.target.is_matched_by(rule));
        if !matches {
            Standing::OtherName
        } else if !rule.enabled {
            Standing::Disabled
        } else if !rule.is_for_port(self.port) {
            Standing::OtherPort
        } else if !rule.is_for_client(self.client) {
            Standing::OtherClient
        } else if rule.action == Action::Bypass
            // Where the bytes really go is no claim of the client, so an address needs no second witness.
            && !matches!(rule.pattern.matcher, Matcher::Network(_))
            && self.other.as_ref().is_some_and(|other| !other.target.is_matched_by(rule))
        {
            Standing::NotBoth
        } else {
            Standing::Applies
        }
    }

    /// The decision of a policy about this view.
    pub(super) fn decide(&self, policy: &Policy) -> Decision {
        let name = self.subject.as_ref().and_then(|named| named.target.name());
        let address = self.address.as_ref().and_then(|named| named.target.address());
        let mut passed: Option<u32> = None;
        let found = policy.index.first(name, address, |rank| match self.standing(policy.at_rank(rank)) {
            Standing::Applies => true,
            Standing::NotBoth => {
                passed = Some(passed.map_or(rank, |earlier| earlier.min(rank)));
                false
            }
            Standing::Disabled | Standing::OtherClient | Standing::OtherName | Standing::OtherPort => false,
        });
        let mut decision = if let Some(rule) = found.map(|rank| policy.at_rank(rank)) {
            Decision::by_rule(rule, self.subject_of(rule).map(Named::subject), policy.epoch())
        } else {
            let subject = self.subject.as_ref().map(Named::subject);
            Decision::by_default(policy.default_action(), subject, policy.epoch())
        };
        let passed = passed.filter(|passed| found.is_none_or(|found| *passed < found));
        if let (Some(rank), Some(subject), Some(other)) = (passed, &self.subject, &self.other) {
            let id = policy.at_rank(rank).id.clone();
            decision.why.passed_over =
                Some(Box::new(PassedOver { id, subject: subject.subject(), unmatched: other.subject() }));
        }
        decision
    }
}

impl Named<'_> {
    /// The subject for records.
    pub(super) fn subject(&self) -> Subject {
        Subject { kind: self.kind, text: self.text.as_ref().into() }
    }
}

impl Target<'_> {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Address(_) => None,
            Self::Name(name) => Some(name),
        }
    }

    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name(_) => None,
        }
    }

    fn is_matched_by(&self, rule: &Rule) -> bool {
        match self {
            Self::Address(address) => rule.pattern.matches_address(*address),
            Self::Name(name) => rule.pattern.matches_name(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::decision::{Sni, Subjects};
    use super::super::dialects::Dialect;
    use super::super::rule::{RuleId, RuleSpec, Source};
    use super::*;

    /// The native dialect once more, as plainly as it can be said.
    fn naive(pattern: &str, host: &str) -> bool {
        fn labels(text: &str) -> Vec<String> {
            text.strip_suffix('.').unwrap_or(text).split('.').map(str::to_lowercase).collect()
        }
        let host = labels(host);
        match (pattern, pattern.strip_prefix("*."), pattern.strip_prefix('.')) {
            ("*", ..) => true,
            (_, Some(below), _) => host.len() > labels(below).len() && host.ends_with(&labels(below)),
            (_, _, Some(within)) => host.ends_with(&labels(within)),
            _ => host == labels(pattern),
        }
    }

    fn name() -> impl Strategy<Value = String> {
        // Few labels, so that matches are common, and with common ends.
        prop::collection::vec(prop::sample::select(vec!["a", "B", "aa", "okta", "com"]), 1..5)
            .prop_flat_map(|labels| prop::sample::select(vec![labels.join("."), format!("{}.", labels.join("."))]))
    }

    fn pattern() -> impl Strategy<Value = String> {
        prop_oneof![
            1 => Just("*".to_owned()),
            2 => prop::sample::select(vec!["10.0.0.0/8", "10.1.0.0/16", "10.1.1.1", "::/0"]).prop_map(str::to_owned),
            9 => (prop::sample::select(vec!["", ".", "*."]), name()).prop_map(|(start, name)| format!("{start}{name}")),
        ]
    }

    fn rule() -> impl Strategy<Value = RuleSpec> {
        let action = prop::sample::select(vec![Action::Inspect, Action::Bypass, Action::Block]);
        let ports = prop::sample::select(vec![vec![], vec!["443"], vec!["80", "8000-8999"]]);
        (pattern(), action, prop::bool::weighted(0.8), ports).prop_map(|(pattern, action, enabled, ports)| {
            let ports = ports.iter().map(|ports| ports.parse().unwrap()).collect();
            RuleSpec { enabled, ports, ..RuleSpec::new(pattern, action) }
        })
    }

    fn policy(specs: Vec<RuleSpec>) -> Policy {
        let rules = specs.into_iter().zip(1..).map(|(spec, number)| {
            let pattern = Dialect::MIDDLEBOX.parse(&spec.pattern).unwrap();
            Arc::new(spec.into_rule(RuleId::numbered(number), pattern, Source::Live, None))
        });
        Policy::compile(1, Dialect::MIDDLEBOX, Action::Inspect, rules.collect())
    }

    fn host() -> impl Strategy<Value = String> {
        prop_oneof![5 => name(), 1 => prop::sample::select(vec!["10.1.1.1", "10.9.9.9", "[::1]"]).prop_map(str::to_owned)]
    }

    proptest! {
        #[test]
        fn the_matcher_does_what_the_plain_words_say(pattern in pattern(), host in name()) {
            let compiled = Dialect::MIDDLEBOX.parse(&pattern).unwrap();
            let normal = host.strip_suffix('.').unwrap_or(&host).to_lowercase();
            let expected = !pattern.contains('/') && naive(&pattern, &host);
            prop_assert_eq!(compiled.matches_name(&normal), expected, "{} {}", pattern, host);
        }

        #[test]
        fn the_index_finds_what_a_scan_finds(
            specs in prop::collection::vec(rule(), 0..12),
            connect in prop::option::of(host()),
            sni in prop::option::of(host()),
            address in prop::sample::select(vec!["10.1.1.1", "192.0.2.1"]),
            port in prop::sample::select(vec![443, 80, 8443]),
        ) {
            let policy = policy(specs);
            let sni = sni.as_deref().map_or(Sni::Absent, Sni::Name);
            let address = address.parse().ok();
            let connect_host = connect.as_deref();
            let subjects = Subjects { connect_host, port, sni, address, certificate: None, client: None };
            let answer = Dialect::MIDDLEBOX.ask(&policy, &subjects);
            let scanned = policy.rules().iter().find(|rule| answer.view.standing(rule) == Standing::Applies);
            let decision = answer.asked.decision().cloned();
            let decided = decision.as_ref().and_then(|decision| decision.rule.as_ref());
            prop_assert_eq!(decided.map(|rule| &rule.id), scanned.map(|rule| &rule.id));

            // The stage before the hello says nothing that the end does not confirm.
            let early = policy.decide(&Subjects { sni: Sni::NotYet, ..subjects });
            if let Some(early) = early.decision() {
                prop_assert_eq!(early.action, Action::Block);
                prop_assert_eq!(Some(early), decision.as_ref());
            }
        }
    }

    #[test]
    fn long_lists_and_long_names_decide() {
        let mut specs: Vec<_> =
            (0..100_000).map(|n| RuleSpec::new(format!("*.host{n}.example"), Action::Bypass)).collect();
        specs.push(RuleSpec::new(".okta.com", Action::Block));
        let policy = policy(specs);
        let ask = |host: &str| {
            let host = Some(host);
            let sni = Sni::NotYet;
            let subjects =
                Subjects { connect_host: host, port: 443, sni, address: None, certificate: None, client: None };
            policy.decide(&subjects).decision().map(|decision| decision.action)
        };
        assert_eq!(ask("a.b.okta.com"), Some(Action::Block));
        assert_eq!(ask(&format!("{}okta.com", "a.".repeat(120))), Some(Action::Block));
        assert_eq!(ask("a.host99999.example"), None);
    }
}
