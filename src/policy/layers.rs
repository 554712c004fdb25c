//! The layers of a policy: live changes above the command line's rules above the file's.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::condition::{Network, Ports};
use super::dialects::Dialect;
use super::file::PolicyFile;
use super::formats::Unread;
use super::matcher::Matcher;
use super::pattern::{PatternError, PatternPorts};
use super::rule::{Rule, RuleId, RuleIdError, RuleSpec, Source};
use super::{Action, NamesByAddress, Policy};
use crate::pac::PacScript;

/// Everything from which the policy in force is built. Cloned for each change, so that one that fails leaves no trace.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    pub(super) dialect: Dialect,
    /// Chosen on the command line; goes before the file's.
    chosen_dialect: Option<Dialect>,
    /// Chosen on the command line; goes before the file's.
    chosen_default: Option<Action>,
    /// Set while running; goes before both.
    pub(super) live_default: Option<Action>,
    file_default: Option<Action>,
    /// All rules in order, with those that were removed from the layers below.
    pub(super) entries: Vec<Entry>,
    next_id: u64,
    /// The addresses that names are known to have.
    pub(super) names: Arc<NamesByAddress>,
    /// The PAC script that the file is.
    pub(super) script: Option<PacScript>,
    /// What of the file decides about hosts, and could not be read.
    pub(super) unread: Vec<Unread>,
}

/// One rule with what was done to it while running.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) rule: Arc<Rule>,
    /// Whether its file or command line has it enabled.
    pub(super) written_enabled: bool,
    /// Removed while running. Kept, because the next reload of the file brings it again.
    pub(super) removed: bool,
    /// It keeps its place among the others, whatever place its layer has: live rules, and rules that were saved from
    /// above those of the command line.
    pub(super) floating: bool,
}

/// What makes a rule of the file the same rule after a reload. A note may be rewritten, and a rule be switched.
#[derive(PartialEq, Eq, Hash)]
struct Likeness {
    own_id: Option<RuleId>,
    matcher: Matcher,
    ports_of_pattern: PatternPorts,
    action: Action,
    ports: Vec<Ports>,
    clients: Vec<Network>,
}

impl Likeness {
    fn of(rule: &Rule) -> Self {
        Self {
            own_id: Some(&rule.id).filter(|id| id.is_chosen()).cloned(),
            matcher: rule.pattern.matcher.clone(),
            ports_of_pattern: rule.pattern.ports,
            action: rule.action,
            ports: rule.ports().to_vec(),
            clients: rule.clients().to_vec(),
        }
    }
}

impl Entry {
    fn new(rule: Rule) -> Self {
        Self::of(Arc::new(rule))
    }

    fn of(rule: Arc<Rule>) -> Self {
        let floating = rule.source == Source::Live;
        Self { written_enabled: rule.enabled, rule, removed: false, floating }
    }

    fn inherit(&mut self, old: &Self) {
        let mut rule = Rule::clone(&self.rule);
        rule.id = old.rule.id.clone();
        rule.hits = old.rule.hits.clone();
        if old.rule.enabled != old.written_enabled {
            rule.enabled = old.rule.enabled;
        }
        self.rule = Arc::new(rule);
        self.removed = old.removed;
        self.floating = old.floating;
    }

    /// Switches the rule; says whether that changed anything.
    pub(super) fn switch(&mut self, enabled: bool) -> bool {
        let changes = self.rule.enabled != enabled;
        if changes {
            self.rule = Arc::new(Rule { enabled, ..Rule::clone(&self.rule) });
        }
        changes
    }
}

impl Layers {
    pub(super) fn new(dialect: Option<Dialect>, default: Option<Action>) -> Self {
        Self {
            dialect: dialect.unwrap_or(Dialect::MIDDLEBOX),
            chosen_dialect: dialect,
            chosen_default: default,
            live_default: None,
            file_default: None,
            entries: Vec::new(),
            next_id: 1,
            names: Arc::default(),
            script: None,
            unread: Vec::new(),
        }
    }

    pub(super) fn chosen_dialect(&self) -> Option<Dialect> {
        self.chosen_dialect
    }

    pub(super) fn chosen_default(&self) -> Option<Action> {
        self.chosen_default
    }

    pub(super) fn default(&self) -> Action {
        let chosen = self.live_default.or(self.chosen_default).or(self.file_default);
        chosen.unwrap_or(self.dialect.default_action())
    }

    /// The rules that are in force, in order.
    pub(super) fn effective(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.entries.iter().filter(|entry| !entry.removed).map(|entry| &entry.rule)
    }

    pub(super) fn compile(&self, epoch: u64) -> Policy {
        let policy = Policy::compile(epoch, self.dialect, self.default(), self.effective().cloned().collect());
        let chosen = self.live_default.or(self.chosen_default).or(self.file_default);
        let policy = policy.with_default_assumed(chosen.is_none());
        let (names, script, unread) = (Arc::clone(&self.names), self.script.clone(), self.unread.clone());
        Policy { names, script, unread, ..policy }
    }

    /// Builds a rule of the live layer or the command line.
    pub(super) fn rule(&mut self, spec: RuleSpec, source: Source) -> Result<Rule, RuleRefused> {
        let pattern = self.dialect.parse(&spec.pattern)?;
        let id = match &spec.id {
            Some(id) => {
                let own = RuleId::chosen(id)?;
                if self.entries.iter().any(|entry| entry.rule.id == own) {
                    return Err(RuleIdError::Taken(id.clone()).into());
                }
                own
            }
            None => self.give_id(),
        };
        Ok(spec.into_rule(id, pattern, source))
    }

    fn give_id(&mut self) -> RuleId {
        let id = RuleId::numbered(self.next_id);
        self.next_id += 1;
        id
    }

    pub(super) fn push(&mut self, rule: Rule) {
        self.entries.push(Entry::new(rule));
    }

    /// Inserts at a place of the effective list, counted from 0.
    pub(super) fn insert(&mut self, rule: Rule, place: usize) {
        let present = self.entries.iter().enumerate().filter(|(_, entry)| !entry.removed);
        let at = present.map(|(at, _)| at).nth(place).unwrap_or(self.entries.len());
        self.entries.insert(if place == 0 { 0 } else { at }, Entry::new(rule));
    }

    /// Removes the entries at these places. Those of the file and the command line are remembered as removed.
    pub(super) fn remove(&mut self, places: &[usize]) {
        for &place in places {
            self.entries[place].removed = true;
        }
        self.entries.retain(|entry| !(entry.removed && entry.rule.source == Source::Live));
    }

    /// Takes over a newly read file: its rules replace the file's layer, and what was done to them stays.
    #[expect(clippy::mutable_key_type, reason = "an expression is equal by its text, which never changes")]
    pub(super) fn take_file(&mut self, file: PolicyFile) -> Result<(), RuleRefused> {
        let dialect = self.chosen_dialect.or(file.dialect).unwrap_or(Dialect::MIDDLEBOX);
        if dialect != self.dialect {
            for entry in self.entries.iter_mut().filter(|entry| entry.rule.source != Source::File) {
                let pattern = dialect.parse(entry.rule.pattern.text())?;
                entry.rule = Arc::new(Rule { pattern, ..Rule::clone(&entry.rule) });
            }
            self.dialect = dialect;
        }
        self.file_default = file.default;
        self.script = file.script;
        self.unread = file.unread;

        let old = std::mem::take(&mut self.entries);
        let mut known: HashMap<Likeness, VecDeque<&Entry>> = HashMap::new();
        let mut ids_above = HashSet::new();
        for entry in &old {
            if entry.rule.source == Source::File {
                known.entry(Likeness::of(&entry.rule)).or_default().push_back(entry);
            } else {
                ids_above.insert(entry.rule.id.clone());
            }
        }
        let mut base: Vec<Entry> = Vec::with_capacity(old.len() + file.rules.len());
        base.extend(old.iter().filter(|entry| entry.rule.source == Source::CommandLine).cloned());
        let mut floating: HashMap<RuleId, Entry> = HashMap::new();
        for written in file.rules {
            let chosen = written.id.is_chosen();
            if chosen && ids_above.contains(&written.id) {
                return Err(RuleIdError::Taken(written.id.to_string()).into());
            }
            let before = match known.is_empty() {
                true => None,
                false => known.get_mut(&Likeness::of(&written)).and_then(VecDeque::pop_front),
            };
            let mut entry = Entry::of(written);
            match before {
                Some(before) => entry.inherit(before),
                // The number is given out only where no old rule lends its own.
                None if !chosen => {
                    let id = self.give_id();
                    Arc::make_mut(&mut entry.rule).id = id;
                }
                None => {}
            }
            if entry.floating {
                floating.insert(entry.rule.id.clone(), entry);
            } else {
                base.push(entry);
            }
        }
        self.entries = place(&old, base, floating);
        Ok(())
    }
}

/// Puts the floating rules among the others: those that stood above everything stay there, any other one stays before
/// the rule that followed it, or the next one after that which is still there.
fn place(old: &[Entry], base: Vec<Entry>, mut floating: HashMap<RuleId, Entry>) -> Vec<Entry> {
    // A long list is read without a place for each of its rules.
    if !old.iter().any(|entry| entry.floating) {
        return base;
    }
    let places: HashMap<RuleId, usize> = base.iter().zip(1..).map(|(entry, at)| (entry.rule.id.clone(), at)).collect();
    // slots[0] is above everything, slots[n] before the n-th rule, the last one at the end.
    let mut slots: Vec<Vec<Entry>> = Vec::new();
    slots.resize_with(base.len() + 2, Vec::new);
    let fixed_before = old.iter().take_while(|entry| entry.floating).count();
    let mut slot = base.len() + 1;
    for (at, entry) in old.iter().enumerate().rev() {
        if !entry.floating {
            slot = places.get(&entry.rule.id).copied().unwrap_or(slot);
            continue;
        }
        let newer = match entry.rule.source {
            Source::File => floating.remove(&entry.rule.id),
            Source::CommandLine | Source::Live => Some(entry.clone()),
        };
        slots[if at < fixed_before { 0 } else { slot }].extend(newer);
    }
    let mut slots = slots.into_iter().map(|slot| slot.into_iter().rev());
    let mut entries: Vec<Entry> = slots.next().into_iter().flatten().collect();
    for entry in base {
        entries.extend(slots.next().into_iter().flatten());
        entries.push(entry);
    }
    entries.extend(slots.flatten());
    entries
}

/// Why a rule cannot be part of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RuleRefused {
    Pattern(PatternError),
    Id(RuleIdError),
}

impl From<PatternError> for RuleRefused {
    fn from(error: PatternError) -> Self {
        Self::Pattern(error)
    }
}

impl From<RuleIdError> for RuleRefused {
    fn from(error: RuleIdError) -> Self {
        Self::Id(error)
    }
}
