//! Rules, dialects and decisions: which connections are inspected, bypassed or blocked.
//!
//! A [`Policy`] is compiled once and never changes. The [`PolicyStore`] holds the one in force, and builds the next
//! from three layers: live changes above the command line's rules above the policy file's. Reading it takes no lock.

mod action;
mod change;
mod check;
mod compare;
mod condition;
mod convert;
mod decision;
mod dialects;
mod entry;
mod explain;
mod file;
pub mod formats;
mod impact;
mod index;
mod layers;
mod matcher;
mod matrix;
mod pac;
mod pattern;
mod product;
mod question;
mod reading;
mod rehearsal;
mod rule;
mod save;
mod standing;
mod store;
mod traffic;
mod view;
mod watch;
mod witness;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

pub use action::{Action, OnChange, WordError};
pub use change::{Applied, Change, ChangeError, Selector};
pub use check::{
    Checked, Edit, Finding, FindingKind, HalfRight, HostChecked, HostVerdict, Mend, Severity, check, check_reading,
    lint,
};
pub use compare::{Contrast, Treatment, compare};
pub use condition::{Network, NetworkError, Ports, PortsError};
pub use convert::{Conversion, ConvertError, LeftOut as NotConverted, convert, usual_format};
pub use decision::{Asked, Decision, MatchedRule, Need, Sni, Subject, SubjectKind, Subjects, Why};
pub use dialects::{Dialect, Limits, Order, UnknownDialect};
pub use explain::{Explained, Explanation, Verdict};
pub use impact::{HostCount, Impact, Moved, Share, Shift, impact, shift};
pub use matrix::{Cell, MatrixRow, matrix};
pub use pac::{GenerateError, GeneratedPac, LeftOut, NotInPac, generate as generate_pac};
pub use pattern::{Pattern, PatternError, PatternProblem, PatternWarning};
pub use product::{Customer, Needs, OrgDomains, Part, Product, ProductError, ProductHost, Requirement};
pub use question::{AskedSni, Question, QuestionError};
pub use reading::{Reading, Rejected};
pub use rehearsal::{Confidence, Deciding, Other, Rehearsed};
pub use rule::{PolicyView, Rule, RuleId, RuleIdError, RuleSpec, RuleView, Source};
pub use standing::{Assumption, Standing};
pub use store::{PolicyConfig, PolicyError, PolicyStore};
pub use traffic::{Traffic, TrafficError, TrafficFormat};
pub use watch::{ReloadEvent, Watcher, watch};
pub use witness::{Difference, differences, witnesses};

use formats::Unread;
use index::Index;
use matcher::Matcher;

use crate::net::Host;
use crate::pac::PacScript;

/// A compiled policy: the ordered rules, with a default for what none of them matches.
#[derive(Debug)]
pub struct Policy {
    dialect: Dialect,
    default: Action,
    /// Whether nobody chose the default, so that it is as sure as what is known of the product's.
    default_assumed: bool,
    rules: Vec<Arc<Rule>>,
    /// The rules' places in the order in which they count.
    ranks: Vec<u32>,
    index: Index,
    /// Doubts that are about every host, which no index leads to.
    everywhere: Vec<Everywhere>,
    /// Whether the rules ask for different things, so that their order matters.
    mixed: bool,
    /// Whether some rule can match a host at all.
    live: bool,
    /// Names by the addresses that they are known to have.
    names: Arc<NamesByAddress>,
    /// A PAC script, which decides in place of the rules where the dialect is PAC.
    script: Option<PacScript>,
    /// What decides about hosts, and could not be read.
    unread: Vec<Unread>,
    epoch: u64,
}

/// A doubt about every host that many rules share.
#[derive(Debug)]
struct Everywhere {
    assumption: Assumption,
    /// What these rules do.
    action: Action,
    /// Their ranks, the lowest first.
    ranks: Vec<u32>,
}

impl Everywhere {
    fn of<'r>(rules: impl Iterator<Item = (u32, &'r Rule)>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for (rank, rule) in rules {
            let doubts = rule.pattern.doubts().iter();
            for doubt in doubts.filter(|doubt| doubt.is_about_misses() && doubt.is_about_every_host()) {
                let is_it = |known: &&mut Self| known.action == rule.action && known.assumption == doubt.assumption;
                match all.iter_mut().find(is_it) {
                    Some(known) => known.ranks.push(rank),
                    None => {
                        all.push(Self { assumption: doubt.assumption.clone(), action: rule.action, ranks: vec![rank] });
                    }
                }
            }
        }
        all
    }
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
        let everywhere = Everywhere::of((0u32..).zip(&ranks).map(|(rank, at)| (rank, &**rule(at))));
        let mixed = rules.iter().any(|rule| rule.action != rules[0].action);
        let can_match =
            |pattern: &Pattern| !matches!(pattern.matcher, Matcher::Never(_)) || !pattern.doubts().is_empty();
        let live = rules.iter().any(|rule| can_match(&rule.pattern));
        let names = Arc::default();
        Self {
            dialect,
            default,
            default_assumed: false,
            rules,
            ranks,
            index,
            everywhere,
            mixed,
            live,
            names,
            script: None,
            unread: Vec::new(),
            epoch,
        }
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
        let asked = Self::suppose(subjects, |subjects| self.decide(subjects), |asked| asked);
        match asked {
            Asked::Decided(decision) => decision,
            Asked::Needs(_) => Decision::by_default(self.default, None, self.epoch),
        }
    }

    /// As [`Self::rehearse`], with what each rule has to say about it.
    #[must_use]
    pub fn rehearse_explained(&self, subjects: &Subjects<'_>) -> Explanation {
        Self::suppose(subjects, |subjects| self.explain(subjects), |explanation| &explanation.asked)
    }

    /// Asks again and again, with what is needed as it is in the common case.
    fn suppose<T>(subjects: &Subjects<'_>, ask: impl Fn(&Subjects<'_>) -> T, asked: impl Fn(&T) -> &Asked) -> T {
        let known = subjects;
        // As in a running proxy, which looks an address up only where it is asked for.
        let mut subjects = Subjects { address: known.address.filter(|_| known.connect_host.is_none()), ..*known };
        let host = match (subjects.sni, subjects.connect_host) {
            (Sni::Name(name), _) => Some(name),
            (_, host) => host,
        };
        let certificate: Vec<String> =
            host.map(|host| host.trim_end_matches('.').to_ascii_lowercase()).into_iter().collect();
        let mut answer = ask(&subjects);
        // There are three things to need, and none is needed twice.
        for _ in 0..3 {
            let Asked::Needs(need) = asked(&answer) else { break };
            match need {
                Need::Hello => {
                    let named = host.filter(|host| !matches!(Host::parse(host), Ok(Host::Ip(_))));
                    subjects.sni = named.map_or(Sni::Absent, Sni::Name);
                }
                Need::Address => subjects.address = known.address.or(Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
                Need::OriginCertificate => subjects.certificate = Some(&certificate),
            }
            answer = ask(&subjects);
        }
        answer
    }

    /// Whether the default is as sure as what is known of the product, because nobody chose it.
    fn with_default_assumed(self, default_assumed: bool) -> Self {
        Self { default_assumed, ..self }
    }

    /// The same policy, with the addresses that some names are known to have, for products that compare addresses.
    #[must_use]
    pub fn with_addresses(self, known: impl IntoIterator<Item = (String, Vec<IpAddr>)>) -> Self {
        Self { names: Arc::new(NamesByAddress::of(known)), ..self }
    }

    pub(crate) fn with_script(self, script: Option<PacScript>) -> Self {
        Self { script, ..self }
    }

    /// The PAC script that decides in place of rules.
    fn script(&self) -> Option<&PacScript> {
        self.script.as_ref()
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

    /// What is assumed of the product where the default decides; nothing where somebody chose it or it is established.
    fn assumed_default(&self) -> Option<Assumption> {
        let standing = self.dialect.default_standing();
        let assumed = match self.default {
            Action::Bypass => "what no entry matches is bypassed",
            Action::Block => "what no entry matches is blocked",
            Action::Inspect => "what no entry matches is inspected",
        };
        let open = self.default_assumed && standing > Standing::Established;
        open.then(|| Assumption::new(standing, assumed))
    }

    /// What of its file decides about hosts, and could not be read.
    #[must_use]
    pub fn unread(&self) -> &[Unread] {
        &self.unread
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

    /// The addresses that this name is known to have.
    fn addresses_of(&self, name: &str) -> Vec<IpAddr> {
        let is_it = |names: &[Arc<str>]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        let mut addresses: Vec<_> =
            self.names.0.iter().filter(|(_, names)| is_it(names)).map(|(address, _)| *address).collect();
        addresses.sort_unstable();
        addresses
    }

    fn knows_addresses(&self) -> bool {
        !self.names.0.is_empty()
    }

    fn at_rank(&self, rank: u32) -> &Rule {
        &self.rules[self.ranks[rank as usize] as usize]
    }
}
