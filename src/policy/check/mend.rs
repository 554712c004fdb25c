//! The shortest mend of a list: as few edits as possible, in the syntax of its dialect, and none of which it has not been
//! tried whether it helps.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::lint::covers;
use super::{HostChecked, HostVerdict, passes};
use crate::policy::decision::Decision;
use crate::policy::dialects::{Dialect, Order};
use crate::policy::explain::Verdict;
use crate::policy::formats::Entry;
use crate::policy::product::{Needs, Requirement};
use crate::policy::reading::Reading;
use crate::policy::standing::Standing;
use crate::policy::{Action, Policy};

/// Edits of a list, in the order in which they are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mend {
    /// The edits.
    pub edits: Vec<Edit>,
    /// How well it is known that the product reads the new entries as they are meant.
    pub standing: Standing,
}

/// One edit of a list. Entries are meant by their number in the list as it was, from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "edit", rename_all = "kebab-case")]
pub enum Edit {
    /// A new bypass entry.
    Add {
        /// The entry, in the dialect's syntax.
        text: String,
        /// Whether it goes to the end of the list, and not to its top.
        last: bool,
    },
    /// Another text for an entry.
    Replace {
        /// The number of the entry.
        entry: usize,
        /// Its line in its file, from 1.
        line: Option<usize>,
        /// What it says now.
        text: String,
        /// What it is to say.
        with: String,
    },
    /// An entry is taken out.
    Remove {
        /// The number of the entry.
        entry: usize,
        /// Its line in its file, from 1.
        line: Option<usize>,
        /// What it says.
        text: String,
    },
    /// An entry goes to the top, or where the last one decides to the end.
    Move {
        /// The number of the entry.
        entry: usize,
        /// Its line in its file, from 1.
        line: Option<usize>,
        /// What it says.
        text: String,
        /// Whether it goes to the end of the list, and not to its top.
        last: bool,
    },
    /// An entry is switched on.
    Enable {
        /// The number of the entry.
        entry: usize,
        /// Its line in its file, from 1.
        line: Option<usize>,
        /// What it says.
        text: String,
    },
}

impl Mend {
    /// The list with the edits made.
    #[must_use]
    pub fn apply(&self, list: &[Entry]) -> Vec<Entry> {
        let mut gone = BTreeSet::new();
        let (mut top, mut end) = (Vec::new(), Vec::new());
        let mut changed: BTreeMap<usize, Entry> = BTreeMap::new();
        for edit in &self.edits {
            match edit {
                Edit::Add { text, last: at_end } => {
                    let written = Entry::typed(text, Action::Bypass);
                    if *at_end { end.push(written) } else { top.push(written) }
                }
                Edit::Replace { entry, with, .. } => {
                    changed.insert(*entry, list[*entry].clone().with_pattern(with));
                }
                Edit::Remove { entry, .. } => {
                    gone.insert(*entry);
                }
                Edit::Move { entry, last: at_end, .. } => {
                    gone.insert(*entry);
                    let written = list[*entry].clone();
                    if *at_end { end.push(written) } else { top.push(written) }
                }
                Edit::Enable { entry, .. } => {
                    changed.insert(*entry, list[*entry].clone().with_enabled(true));
                }
            }
        }
        let kept = list.iter().enumerate().filter(|(entry, _)| !gone.contains(entry));
        let kept = kept.map(|(entry, written)| changed.remove(&entry).unwrap_or_else(|| written.clone()));
        let kept: Vec<Entry> = kept.collect();
        top.into_iter().chain(kept).chain(end).collect()
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |line: &Option<usize>| line.map(|line| format!(" on line {line}")).unwrap_or_default();
        let end = |last: &bool| if *last { "the end" } else { "the top" };
        match self {
            Self::Add { text, last } => write!(f, "add `{text}` at {}", end(last)),
            Self::Replace { line, text, with, .. } => write!(f, "write `{with}` instead of `{text}`{}", place(line)),
            Self::Remove { line, text, .. } => write!(f, "take out `{text}`{}", place(line)),
            Self::Move { line, text, last, .. } => write!(f, "move `{text}`{} to {}", place(line), end(last)),
            Self::Enable { line, text, .. } => write!(f, "switch on `{text}`{}", place(line)),
        }
    }
}

/// The shortest mend that was found to help; none where none was found.
pub(super) fn find(
    list: &[Entry],
    dialect: Dialect,
    default: Option<Action>,
    requirements: &[Requirement],
) -> Option<Mend> {
    let search = Search { list, dialect, default, requirements };
    let refused = search.refused();
    let first = search.complete(refused.clone());
    // What was written in place of a refused entry may have made others needless, or the other way round.
    let taken_out = refused.into_iter().map(|edit| match edit {
        Edit::Replace { entry, line, text, .. } => Edit::Remove { entry, line, text },
        other => other,
    });
    let second = search.complete(taken_out.collect());
    [first, second].into_iter().flatten().min_by_key(|mend| (mend.standing, mend.edits.len()))
}

struct Search<'s> {
    list: &'s [Entry],
    dialect: Dialect,
    default: Option<Action>,
    requirements: &'s [Requirement],
}

impl Search<'_> {
    /// Edits for the entries that the product refuses: what it suggests in their place, unless that stands there.
    fn refused(&self) -> Vec<Edit> {
        let mut edits = Vec::new();
        let mut texts: BTreeSet<String> = self.list.iter().map(|written| written.pattern().to_owned()).collect();
        for (entry, written) in self.list.iter().enumerate() {
            let reads = written.dialect().unwrap_or(self.dialect);
            let Err(error) = reads.parse(written.pattern()) else { continue };
            let (line, text) = (written.line(), written.pattern().to_owned());
            let suggested = error.mend.as_deref().and_then(|mend| mend.split('`').nth(1));
            let suggested = suggested.filter(|with| reads.parse(with).is_ok() && texts.insert((*with).to_owned()));
            edits.push(match suggested {
                Some(with) => Edit::Replace { entry, line, text, with: with.to_owned() },
                None => Edit::Remove { entry, line, text },
            });
        }
        edits
    }

    /// Adds to these edits what the products still need, and makes sure that all of it together helps.
    fn complete(&self, mut edits: Vec<Edit>) -> Option<Mend> {
        let mut standing = Standing::Established;
        let broken = self.broken(&edits);
        if broken.is_empty() {
            return self.tried(edits, standing);
        }
        // One edit of an entry that is there may do for several hosts.
        let (policy, numbers) = self.policy(&edits);
        let mut rest: Vec<&Requirement> = broken.clone();
        let mut moved = Vec::new();
        for requirement in &broken {
            if !rest.iter().any(|left| std::ptr::eq(*left, *requirement)) {
                continue;
            }
            let Some(edit) = self.present(&policy, &numbers, requirement) else { continue };
            let with: Vec<Edit> = edits.iter().chain(&moved).cloned().chain([edit.clone()]).collect();
            let left = self.broken(&with);
            if left.len() < rest.len() {
                rest = left;
                moved.push(edit);
            }
        }
        let all_new = self.new_entries(&broken);
        let rest_new = self.new_entries(&rest);
        let few_new = match (all_new, rest_new) {
            (Some(all), Some(rest)) if all.0.len() < moved.len() + rest.0.len() => {
                moved.clear();
                all
            }
            (_, Some(rest)) => rest,
            (Some(all), None) => {
                moved.clear();
                all
            }
            (None, None) => return None,
        };
        edits.extend(moved);
        standing = standing.max(few_new.1);
        let last = self.dialect.order() == Order::LastMatch;
        edits.extend(few_new.0.into_iter().map(|text| Edit::Add { text, last }));
        if let Some(mend) = self.tried(edits.clone(), standing) {
            return Some(mend);
        }
        // Entries that decide otherwise stand above whatever is added: they have to go.
        for _ in 0..self.list.len() {
            let (policy, numbers) = self.policy(&edits);
            let next = self.requirements.iter().find_map(|requirement| {
                let decision = policy.rehearse(&requirement.question.subjects());
                let breaks = super::verdict(requirement.needs, decision.action) == HostVerdict::Breaks;
                breaks.then(|| self.in_the_way(&policy, &numbers, &decision)).flatten()
            })?;
            edits.retain(|edit| !matches!((edit, &next), (Edit::Move { entry, .. } | Edit::Replace { entry, .. }, Edit::Remove { entry: gone, .. }) if entry == gone));
            edits.push(next);
            if let Some(mend) = self.tried(edits.clone(), standing) {
                return Some(mend);
            }
        }
        None
    }

    /// The removal of the entry that decides.
    fn in_the_way(&self, policy: &Policy, numbers: &[Option<usize>], decision: &Decision) -> Option<Edit> {
        let rule = decision.rule.as_ref()?;
        let at = policy.rules().iter().position(|known| known.id == rule.id)?;
        let entry = numbers.get(at).copied().flatten()?;
        let written = &self.list[entry];
        Some(Edit::Remove { entry, line: written.line(), text: written.pattern().to_owned() })
    }

    /// The policy after these edits, with the number in the list of the entry behind each rule.
    fn policy(&self, edits: &[Edit]) -> (Policy, Vec<Option<usize>>) {
        // The number travels as the line, so that it survives every edit.
        let marked: Vec<Entry> =
            self.list.iter().zip(1..).map(|(entry, number)| entry.clone().on_line(number)).collect();
        let mend = Mend { edits: edits.to_vec(), standing: Standing::Established };
        let reading = Reading::of(self.dialect, self.default, mend.apply(&marked));
        let numbers = reading.policy.rules().iter().map(|rule| rule.line().map(|line| line - 1)).collect();
        (reading.policy, numbers)
    }

    /// What still breaks after these edits.
    fn broken(&self, edits: &[Edit]) -> Vec<&Requirement> {
        let (policy, _) = self.policy(edits);
        let breaks = |requirement: &&Requirement| {
            let decision = policy.rehearse(&requirement.question.subjects());
            super::verdict(requirement.needs, decision.action) == HostVerdict::Breaks
        };
        self.requirements.iter().filter(breaks).collect()
    }

    fn tried(&self, edits: Vec<Edit>, standing: Standing) -> Option<Mend> {
        let mend = Mend { edits, standing };
        let reading = Reading::of(self.dialect, self.default, mend.apply(self.list));
        let hosts: Vec<HostChecked> =
            self.requirements.iter().map(|requirement| HostChecked::of(&reading.policy, requirement)).collect();
        passes(&hosts, &reading).then_some(mend)
    }

    /// An edit of an entry that is there and would bypass this host.
    fn present(&self, policy: &Policy, numbers: &[Option<usize>], requirement: &Requirement) -> Option<Edit> {
        let explanation = policy.rehearse_explained(&requirement.question.subjects());
        explanation.rules.iter().enumerate().find_map(|(at, explained)| {
            let entry = numbers.get(at).copied().flatten()?;
            let written = &self.list[entry];
            let (line, text) = (written.line(), written.pattern().to_owned());
            match explained.verdict {
                _ if explained.rule.action != Action::Bypass => None,
                Verdict::Later { .. } => {
                    Some(Edit::Move { entry, line, text, last: self.dialect.order() == Order::LastMatch })
                }
                Verdict::Disabled => Some(Edit::Enable { entry, line, text }),
                _ => None,
            }
        })
    }

    /// The fewest new entries that cover these hosts and nothing beyond what the vendor names, the best known first.
    fn new_entries(&self, broken: &[&Requirement]) -> Option<(Vec<String>, Standing)> {
        let mut groups: BTreeMap<String, Vec<&Requirement>> = BTreeMap::new();
        for requirement in broken {
            let host = &requirement.question.host;
            let domain = psl::domain_str(host).unwrap_or(host).to_owned();
            groups.entry(domain).or_default().push(requirement);
        }
        let mut entries = Vec::new();
        let mut standing = Standing::Established;
        for group in groups.values() {
            let (texts, own) = self.fewest(group)?;
            entries.extend(texts);
            standing = standing.max(own);
        }
        Some((entries, standing))
    }

    /// The fewest entries for hosts of one domain.
    fn fewest(&self, group: &[&Requirement]) -> Option<(Vec<String>, Standing)> {
        let whole: u64 = (1u64.checked_shl(u32::try_from(group.len()).ok()?)?).checked_sub(1)?;
        // For each set of hosts the best entry that covers it.
        let mut by_set: BTreeMap<u64, (Standing, String)> = BTreeMap::new();
        for text in self.candidates(group) {
            let Some((set, standing)) = self.coverage(&text, group) else { continue };
            let better =
                |known: &(Standing, String)| (standing, text.len(), &text) < (known.0, known.1.len(), &known.1);
            if set != 0 && by_set.get(&set).is_none_or(better) {
                by_set.insert(set, (standing, text));
            }
        }
        let known: Vec<(u64, Standing, String)> =
            by_set.into_iter().map(|(set, (standing, text))| (set, standing, text)).collect();
        for count in 1..=3 {
            if let Some(found) = best_of(&known, count, whole) {
                return Some(found);
            }
        }
        // Beyond three, the widest first.
        let (mut left, mut texts, mut worst) = (whole, Vec::new(), Standing::Established);
        while left != 0 {
            let (set, standing, text) = known.iter().max_by_key(|(set, standing, text)| {
                ((set & left).count_ones(), std::cmp::Reverse((*standing, text.len())))
            })?;
            if set & left == 0 {
                return None;
            }
            left &= !set;
            worst = worst.max(*standing);
            texts.push(text.clone());
        }
        Some((texts, worst))
    }

    /// Entries that may cover hosts of a group: each host alone, and the vendor's own families of names.
    fn candidates(&self, group: &[&Requirement]) -> BTreeSet<String> {
        let mut texts = BTreeSet::new();
        for requirement in group {
            let host = requirement.question.host.as_str();
            texts.extend(forms(host));
            let families = self.requirements.iter().filter(|other| other.needs != Needs::Reach);
            for family in families.filter_map(|other| family(&other.name)) {
                if host.strip_suffix(family).is_some_and(|rest| rest.ends_with('.')) {
                    texts.extend(forms(family));
                }
            }
        }
        texts
    }

    /// Which hosts of a group an entry covers; none where it covers what it must not.
    fn coverage(&self, text: &str, group: &[&Requirement]) -> Option<(u64, Standing)> {
        let pattern = self.dialect.parse(text).ok()?;
        let alone = Reading::of(self.dialect, Some(Action::Inspect), [Entry::typed(text, Action::Bypass)]).policy;
        let (mut set, mut worst) = (0, Standing::Established);
        for (at, requirement) in group.iter().enumerate() {
            let decision = alone.rehearse(&requirement.question.subjects());
            let host = &requirement.question.host;
            let domain = psl::domain_str(host).unwrap_or(host);
            let strangers = [format!("not{domain}"), format!("{host}.evil.example"), format!("{domain}.evil.example")];
            if strangers.iter().any(|stranger| covers(&pattern, stranger)) {
                return None;
            }
            if decision.action == Action::Bypass {
                set |= 1 << at;
                worst = worst.max(decision.standing);
            }
        }
        Some((set, worst))
    }
}

/// The best way to cover the whole with so many entries.
fn best_of(known: &[(u64, Standing, String)], count: usize, whole: u64) -> Option<(Vec<String>, Standing)> {
    fn walk<'k>(
        known: &'k [(u64, Standing, String)],
        count: usize,
        whole: u64,
        taken: &mut Vec<&'k (u64, Standing, String)>,
        best: &mut Option<(Standing, usize, Vec<String>)>,
    ) {
        if count == 0 {
            if taken.iter().fold(0, |set, entry| set | entry.0) == whole {
                let worst = taken.iter().map(|entry| entry.1).max().unwrap_or_default();
                let length = taken.iter().map(|entry| entry.2.len()).sum();
                let texts: Vec<String> = taken.iter().map(|entry| entry.2.clone()).collect();
                let found = (worst, length, texts);
                if best.as_ref().is_none_or(|best| found < *best) {
                    *best = Some(found);
                }
            }
            return;
        }
        for (at, entry) in known.iter().enumerate() {
            taken.push(entry);
            walk(&known[at + 1..], count - 1, whole, taken, best);
            taken.pop();
        }
    }
    let mut best = None;
    walk(known, count, whole, &mut Vec::new(), &mut best);
    best.map(|(standing, _, texts)| (texts, standing))
}

/// The domain of a vendor's family of names: `okta.com` of `*.okta.com`, `cloudsink.net` of `ts01-*.cloudsink.net`.
fn family(name: &str) -> Option<&str> {
    let after = &name[name.rfind('*')? + 1..];
    let domain = &after[after.find('.')? + 1..];
    domain.contains('.').then_some(domain)
}

/// How products write a name, and a name with what lies below it.
fn forms(name: &str) -> Vec<String> {
    let escaped = name.replace('.', r"\.");
    let mut forms: Vec<String> = ["", ".", "*.", "^.", "*.*.", "*.*.*.", "^.^.", "url.domain=", "url.host="]
        .map(|start| format!("{start}{name}"))
        .into();
    forms.push(format!(r"^(.+\.)?{escaped}:443$"));
    forms.push(format!(r"^{escaped}:443$"));
    forms.push(format!(r"^{escaped}:"));
    forms.push(format!(r"^(.+\.)?{escaped}:"));
    forms
}
