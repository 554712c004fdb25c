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
mod index;
mod layers;
mod pac;
mod pattern;
mod rule;
mod save;
mod store;
mod view;
mod watch;

use std::sync::Arc;

pub use action::{Action, OnChange, WordError};
pub use change::{Applied, Change, ChangeError, Selector};
pub use condition::{Network, NetworkError, Ports, PortsError};
pub use decision::{Asked, Decision, MatchedRule, Need, Sni, Subject, SubjectKind, Subjects, Why};
pub use dialects::{Dialect, Order, UnknownDialect};
pub use explain::{Explained, Explanation, Verdict};
pub use pac::{GenerateError, GeneratedPac, LeftOut, NotInPac, generate as generate_pac};
pub use pattern::{Pattern, PatternError, PatternProblem};
pub use rule::{PolicyView, Rule, RuleId, RuleIdError, RuleSpec, RuleView, Source};
pub use store::{PolicyConfig, PolicyError, PolicyStore};
pub use watch::{ReloadEvent, Watcher, watch};

use index::Index;

/// A compiled policy: the ordered rules, with a default for what none of them matches.
#[derive(Debug)]
pub struct Policy {
    dialect: Dialect,
    default: Action,
    rules: Vec<Arc<Rule>>,
    /// The rules' places in the order in which they count.
    ranks: Vec<u32>,
    index: Index,
    epoch: u64,
}

impl Policy {
    pub(crate) fn compile(epoch: u64, dialect: Dialect, default: Action, rules: Vec<Arc<Rule>>) -> Self {
        let count = u32::try_from(rules.len()).expect("a policy file has at most 64 MiB, and no rule a single byte");
        let mut ranks: Vec<u32> = (0..count).collect();
        let rule = |at: &u32| &rules[*at as usize];
        match dialect.order() {
            Order::FirstMatch => {}
            Order::BypassFirst => ranks.sort_by_key(|at| rule(at).action != Action::Bypass),
            Order::MostSpecific => ranks.sort_by_key(|at| std::cmp::Reverse(rule(at).pattern.specificity())),
        }
        let index = Index::new((0u32..).zip(&ranks).map(|(rank, at)| (rank, &rule(at).pattern.matcher)));
        Self { dialect, default, rules, ranks, index, epoch }
    }

    /// Decides with what is known, or says what it needs to know.
    #[must_use]
    pub fn decide(&self, subjects: &Subjects<'_>) -> Asked {
        self.dialect.ask(self, subjects).asked
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

    fn at_rank(&self, rank: u32) -> &Rule {
        &self.rules[self.ranks[rank as usize] as usize]
    }
}
