//! One look at a connection: the normalised subjects of one stage, compared with rules.

use std::borrow::Cow;
use std::net::IpAddr;

use super::decision::{Asked, Decision, PassedOver, Reason, Subject, SubjectKind};
use super::matcher::Matcher;
use super::pattern::Side;
use super::rule::Rule;
use super::standing::{Assumption, Standing};
use super::{Action, Policy};

/// What the rules are compared with in one stage.
#[derive(Clone, Debug, Default)]
pub(super) struct View<'a> {
    /// The subject that counts; none for a connection of which nothing is known.
    pub(super) subject: Option<Named<'a>>,
    /// Further names, each of which counts as well.
    pub(super) also: Vec<Named<'a>>,
    /// A second name, which a bypass by name has to match as well.
    pub(super) other: Option<Named<'a>>,
    /// The address that the connection is for: a literal target or an original destination, for some dialects one
    /// that a name resolved to.
    pub(super) address: Option<Named<'a>>,
    /// The port that the client wants.
    pub(super) port: u16,
    /// The client's own address.
    pub(super) client: Option<IpAddr>,
    /// What the product does by itself where no rule matches, and a clause that says so.
    pub(super) built_in: Option<(Action, &'static str)>,
    /// What is not established about how the product sees this connection.
    pub(super) doubts: Vec<(Side, Assumption)>,
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
    /// A certificate's `*.name` that stands for the names below; for dialects that honour it.
    Wildcard(Cow<'a, str>),
}

/// The answer of a dialect with the view that led to it.
pub(super) struct Answer<'a> {
    pub(super) asked: Asked,
    pub(super) view: View<'a>,
}

/// How one rule stands to one view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bearing {
    Applies,
    Disabled,
    NotBoth,
    OtherClient,
    OtherName,
    OtherPort,
}

impl<'a> View<'a> {
    fn names(&self) -> impl Iterator<Item = &Named<'a>> {
        self.subject.iter().chain(&self.also)
    }

    /// The subject that a rule is compared with: an address rule with the address, any other with the name.
    pub(super) fn subject_of(&self, rule: &Rule) -> Option<&Named<'a>> {
        self.compared_with(&rule.pattern.matcher)
    }

    fn compared_with(&self, matcher: &Matcher) -> Option<&Named<'a>> {
        match matcher {
            Matcher::Network(_) => self.address.as_ref(),
            _ => {
                let also_by_address = self.address.iter().filter(|_| matches!(matcher, Matcher::Loopback));
                let found = self.names().chain(also_by_address).find(|named| named.target.is_matched_by(matcher));
                found.or(self.subject.as_ref())
            }
        }
    }

    fn is_covered_by(&self, matcher: &Matcher) -> bool {
        matches!(matcher, Matcher::Any)
            || self.compared_with(matcher).is_some_and(|named| named.target.is_matched_by(matcher))
    }

    /// How the rule stands to this connection. The one definition of a match: the index only leaves out rules for
    /// which this says [`Bearing::OtherName`].
    pub(super) fn bearing(&self, rule: &Rule) -> Bearing {
        let matcher = &rule.pattern.matcher;
        if !self.is_covered_by(matcher) {
            Bearing::OtherName
        } else if !rule.enabled {
            Bearing::Disabled
        } else if !rule.is_for_port(self.port) {
            Bearing::OtherPort
        } else if !rule.is_for_client(self.client) {
            Bearing::OtherClient
        } else if rule.action == Action::Bypass
            // Where the bytes really go is no claim of the client, so an address needs no second witness.
            && !matches!(matcher, Matcher::Network(_))
            && self.other.as_ref().is_some_and(|other| !other.target.is_matched_by(matcher))
        {
            Bearing::NotBoth
        } else {
            Bearing::Applies
        }
    }

    /// What was assumed about this rule and this connection.
    pub(super) fn assumptions(&self, rule: &Rule, bearing: Bearing) -> Vec<Assumption> {
        if matches!(bearing, Bearing::Disabled | Bearing::OtherClient | Bearing::NotBoth)
            || !rule.enabled
            || !rule.is_for_port(self.port)
            || !rule.is_for_client(self.client)
        {
            return Vec::new();
        }
        let matches = bearing == Bearing::Applies;
        let own = rule.pattern.doubts().iter();
        let own =
            own.filter(|doubt| doubt.side.is_about(matches) && self.is_covered_by(&rule.pattern.covered_by(doubt)));
        own.map(|doubt| doubt.assumption.clone()).collect()
    }

    /// What was assumed about this connection, whatever the rule.
    pub(super) fn own_assumptions(&self, matches: bool) -> impl Iterator<Item = &Assumption> {
        self.doubts.iter().filter(move |(side, _)| side.is_about(matches)).map(|(_, assumption)| assumption)
    }

    /// The decision of a policy about this view.
    pub(super) fn decide(&self, policy: &Policy) -> Decision {
        let mut passed: Option<u32> = None;
        let mut doubted: Vec<u32> = Vec::new();
        let found = self.first(policy, |rank| {
            let rule = policy.at_rank(rank);
            let bearing = self.bearing(rule);
            if !rule.pattern.doubts().is_empty() {
                doubted.push(rank);
            }
            if bearing == Bearing::NotBoth {
                passed = Some(passed.map_or(rank, |earlier| earlier.min(rank)));
            }
            bearing == Bearing::Applies
        });
        let default =
            |reason: Reason, action: Action, subject| Decision::without_rule(action, reason, subject, policy.epoch());
        let mut decision = match (found.map(|rank| policy.at_rank(rank)), self.built_in) {
            (Some(rule), _) if rule.pattern.subtracts() => {
                let subject = self.subject_of(rule).map(Named::subject);
                let (id, pattern) = (rule.id.clone(), rule.pattern.text().into());
                let reason = Reason::Subtracted { id, pattern, subject: subject.clone() };
                default(reason, policy.default_action(), subject)
            }
            (Some(rule), _) => Decision::by_rule(rule, self.subject_of(rule).map(Named::subject), policy.epoch()),
            (None, Some((action, clause))) => {
                default(Reason::BuiltIn(clause), action, self.subject.as_ref().map(Named::subject))
            }
            (None, None) => {
                let action = policy.default_action();
                let mut decision = default(Reason::Default(action), action, self.subject.as_ref().map(Named::subject));
                if let Some(assumption) = policy.assumed_default() {
                    decision.assume(assumption);
                }
                decision
            }
        };
        let passed = passed.filter(|passed| found.is_none_or(|found| *passed < found));
        if let (Some(rank), Some(subject), Some(other)) = (passed, &self.subject, &self.other) {
            let id = policy.at_rank(rank).id.clone();
            let passed_over = PassedOver { id, subject: subject.subject(), unmatched: other.subject() };
            decision.why.aside.get_or_insert_default().passed_over = Some(passed_over);
        }
        doubted.sort_unstable();
        doubted.dedup();
        for rank in doubted.into_iter().filter(|rank| found.is_none_or(|found| *rank <= found)) {
            let rule = policy.at_rank(rank);
            // Where it would have decided the same, it does not matter whether it matches.
            if Some(rank) == found || rule.action != decision.action {
                for assumption in self.assumptions(rule, self.bearing(rule)) {
                    decision.assume(assumption);
                }
            }
        }
        // What decides the same leaves no doubt.
        let action = decision.action;
        for doubt in policy.everywhere.iter().filter(|doubt| doubt.action != action) {
            let before = doubt.ranks.iter().take_while(|rank| found.is_none_or(|found| **rank <= found));
            let is_open = |rank| {
                let rule = policy.at_rank(rank);
                self.assumptions(rule, self.bearing(rule)).contains(&doubt.assumption)
            };
            if before.copied().any(is_open) {
                decision.assume(doubt.assumption.clone());
            }
        }
        // What can match no host at all does not do so however the host is read.
        if found.is_some() || policy.is_live() {
            for assumption in self.own_assumptions(found.is_some()) {
                decision.assume(assumption.clone());
            }
        }
        self.doubt_order(policy, found, &mut decision);
        for unread in policy.unread.iter().filter(|unread| unread.action != Some(action)) {
            decision.assume(unread.assumption.clone());
        }
        decision
    }

    /// Where the order in which rules count is not established, and another rule would decide otherwise, says so.
    fn doubt_order(&self, policy: &Policy, found: Option<u32>, decision: &mut Decision) {
        let standing = policy.dialect().order_standing();
        if standing == Standing::Established || !policy.is_mixed() || found.is_none() {
            return;
        }
        let other = self.first(policy, |rank| {
            let rule = policy.at_rank(rank);
            rule.action != decision.action && self.bearing(rule) == Bearing::Applies
        });
        if other.is_some() {
            decision.assume(Assumption::new(standing, policy.dialect().order().assumed()));
        }
    }

    /// The rule that applies, without the account that a decision gives.
    pub(super) fn rule<'p>(&self, policy: &'p Policy) -> Option<&'p Rule> {
        let applies = |rank| self.bearing(policy.at_rank(rank)) == Bearing::Applies;
        self.first(policy, applies).map(|rank| policy.at_rank(rank))
    }

    fn first(&self, policy: &Policy, mut accept: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.names().any(|named| matches!(named.target, Target::Wildcard(_))) {
            // What lies below a wildcard is in no index.
            return (0u32..).take(policy.rules().len()).find(|rank| accept(*rank));
        }
        let address = self.address.as_ref().and_then(|named| named.target.address());
        policy.index.first(self.names().filter_map(|named| named.target.name()), address, accept)
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
            Self::Name(name) => Some(name),
            Self::Address(_) | Self::Wildcard(_) => None,
        }
    }

    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name(_) | Self::Wildcard(_) => None,
        }
    }

    fn is_matched_by(&self, matcher: &Matcher) -> bool {
        match self {
            Self::Address(address) => matcher.matches_address(*address),
            Self::Name(name) => matcher.matches_name(name),
            Self::Wildcard(base) => matcher.matches_wildcard(base),
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
            Arc::new(spec.into_rule(RuleId::numbered(number), pattern, Source::Live))
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
            let scanned = policy.rules().iter().find(|rule| answer.view.bearing(rule) == Bearing::Applies);
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
