//! Rules, dialects and decisions: which connections are inspected, bypassed or blocked.
//!
//! A [`Policy`] is compiled once and never changes. The [`PolicyStore`] holds the one in force, and builds the next
//! from three layers: live changes above the command line's rules above the policy file's. Reading it takes no lock.

mod action;
mod change;
mod condition;
mod decision;
mod dialects;
mod explain;
mod file;
pub mod formats;
mod index;
mod layers;
mod matcher;
mod matrix;
mod pac;
mod pattern;
mod rule;
mod save;
mod standing;
mod store;
mod view;
mod watch;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

pub use action::{Action, OnChange, WordError};
pub use change::{Applied, Change, ChangeError, Selector};
pub use condition::{Network, NetworkError, Ports, PortsError};
pub use decision::{Asked, Decision, MatchedRule, Need, Sni, Subject, SubjectKind, Subjects, Why};
pub use dialects::{Dialect, Limits, Order, UnknownDialect};
pub use explain::{Explained, Explanation, Verdict};
pub use matrix::{Cell, MatrixRow, matrix};
pub use pac::{GenerateError, GeneratedPac, LeftOut, NotInPac, generate as generate_pac};
pub use pattern::{Pattern, PatternError, PatternProblem, PatternWarning};
pub use rule::{PolicyView, Rule, RuleId, RuleIdError, RuleSpec, RuleView, Source};
pub use standing::{Assumption, Standing};
pub use store::{PolicyConfig, PolicyError, PolicyStore};
pub use watch::{ReloadEvent, Watcher, watch};

use index::Index;
use matcher::Matcher;

use crate::net::Host;

/// A compiled policy: the ordered rules, with a default for what none of them matches.
#[derive(Debug)]
pub struct Policy {
    dialect: Dialect,
    default: Action,
    rules: Vec<Arc<Rule>>,
    /// The rules' places in the order in which they count.
    ranks: Vec<u32>,
    index: Index,
    /// Whether the rules ask for different things, so that their order matters.
    mixed: bool,
    /// Whether some rule can match a host at all.
    live: bool,
    /// Names by the addresses that they are known to have.
    names: Arc<NamesByAddress>,
    epoch: u64,
}

/// Names by the addresses that they are known to have.
#[derive(Debug, Default, PartialEq, Eq)]
struct NamesByAddress(HashMap<IpAddr, Vec<Arc<str>>>);

impl NamesByAddress {
    fn of(known: impl IntoIterator<Item = (String, Vec<IpAddr>)>) -> Self {
        let mut names: HashMap<IpAddr, Vec<Arc<str>>> = HashMap::new();
        for (name, addresses) in known {
            let name: Arc<str> = name.to_ascii_lowercase().into();
            for address in addresses {
                names.entry(address.to_canonical()).or_default().push(name.clone());
            }
        }
        Self(names)
    }
}

impl Policy {
    pub(crate) fn compile(epoch: u64, dialect: Dialect, default: Action, rules: Vec<Arc<Rule>>) -> Self {
        let count = u32::try_from(rules.len()).expect("a policy file has at most 64 MiB, and no rule a single byte");
        let mut ranks: Vec<u32> = (0..count).collect();
        let rule = |at: &u32| &rules[*at as usize];
        match dialect.order() {
            Order::FirstMatch => {}
            Order::BypassFirst => ranks.sort_by_key(|at| rule(at).action != Action::Bypass),
            Order::ExactFirst => ranks.sort_by_key(|at| !matches!(rule(at).pattern.matcher, Matcher::Exact(_))),
            Order::LastMatch => ranks.reverse(),
            Order::MostSpecific => ranks.sort_by_key(|at| std::cmp::Reverse(rule(at).pattern.matcher.specificity())),
        }
        let index = Index::new((0u32..).zip(&ranks).map(|(rank, at)| (rank, &rule(at).pattern)));
        let mixed = rules.iter().any(|rule| rule.action != rules[0].action);
        let can_match =
            |pattern: &Pattern| !matches!(pattern.matcher, Matcher::Never(_)) || !pattern.doubts().is_empty();
        let live = rules.iter().any(|rule| can_match(&rule.pattern));
        Self { dialect, default, rules, ranks, index, mixed, live, names: Arc::default(), epoch }
    }

    /// Decides with what is known, or says what it needs to know.
    #[must_use]
    pub fn decide(&self, subjects: &Subjects<'_>) -> Asked {
        self.dialect.ask(self, subjects).asked
    }

    /// Decides offline: what the dialect asks for and `subjects` does not say is taken to be as it is in the common
    /// case. The ClientHello names the CONNECT host, the certificate is for that name alone, and the address could not
    /// be had.
    #[must_use]
    pub fn rehearse(&self, subjects: &Subjects<'_>) -> Decision {
        let mut subjects = *subjects;
        let host = match (subjects.sni, subjects.connect_host) {
            (Sni::Name(name), _) => Some(name),
            (_, host) => host,
        };
        let certificate: Vec<String> =
            host.map(|host| host.trim_end_matches('.').to_ascii_lowercase()).into_iter().collect();
        for _ in 0..4 {
            match self.decide(&subjects) {
                Asked::Decided(decision) => return decision,
                Asked::Needs(Need::Hello) => {
                    let named = host.filter(|host| !matches!(Host::parse(host), Ok(Host::Ip(_))));
                    subjects.sni = named.map_or(Sni::Absent, Sni::Name);
                }
                Asked::Needs(Need::Address) => subjects.address = Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
                Asked::Needs(Need::OriginCertificate) => subjects.certificate = Some(&certificate),
            }
        }
        Decision::by_default(self.default, None, self.epoch)
    }

    /// The same policy, with the addresses that some names are known to have, for products that compare addresses.
    #[must_use]
    pub fn with_addresses(self, known: impl IntoIterator<Item = (String, Vec<IpAddr>)>) -> Self {
        Self { names: Arc::new(NamesByAddress::of(known)), ..self }
    }

    /// The number that grows by one with each change.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How patterns are read.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What is done when no rule matches.
    #[must_use]
    pub fn default_action(&self) -> Action {
        self.default
    }

    /// The rules as written, in order, with the disabled ones.
    #[must_use]
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    fn is_live(&self) -> bool {
        self.live
    }

    fn is_mixed(&self) -> bool {
        self.mixed
    }

    /// The names that are known to have this address.
    fn names_of(&self, address: IpAddr) -> Option<&[Arc<str>]> {
        self.names.0.get(&address).map(Vec::as_slice)
    }

    fn knows_addresses(&self) -> bool {
        !self.names.0.is_empty()
    }

    fn at_rank(&self, rank: u32) -> &Rule {
        &self.rules[self.ranks[rank as usize] as usize]
    }
}
