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
