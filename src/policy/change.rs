//! Changes of a running policy.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

use super::Action;
use super::layers::{Layers, RuleRefused};
use super::pattern::PatternError;
use super::rule::{Rule, RuleIdError, RuleSpec, RuleView, Source};
use super::store::PolicyError;
use crate::source::did_you_mean;

/// One change of a running policy.
#[derive(Clone, Debug)]
pub enum Change {
    /// Adds a live rule.
    Add {
        /// The rule.
        rule: RuleSpec,
        /// Its place among all rules, from 1; none is the top.
        at: Option<usize>,
    },
    /// Switches rules off.
    Disable(Selector),
    /// Switches rules on.
    Enable(Selector),
    /// Reads the policy file again.
    Reload,
    /// Removes rules. Those of the file and the command line stay away until the end of the program.
    Remove(Selector),
    /// Makes these the live rules, in this order at the top, in the place of all live rules there are.
    Replace(Vec<RuleSpec>),
    /// Chooses what is done when no rule matches.
    SetDefault(Action),
}

/// Names rules: by id, else by pattern, which means every rule with that pattern however it is spelt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(String);

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// The epoch that is now in force.
    pub epoch: u64,
    /// Whether the policy is another one than before.
    pub changed: bool,
    /// The rules that were added, removed, switched, or brought by the file.
    pub rules: Vec<RuleView>,
}

/// A change was refused; the policy is as it was.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The policy is not the one that the change was meant for.
    #[error("the policy has changed meanwhile and is now at epoch {epoch}; read it again, then repeat the change")]
    Conflict {
        /// The epoch in force.
        epoch: u64,
    },
    /// The id cannot be used.
    #[error(transparent)]
    Id(#[from] RuleIdError),
    /// No rule has this id or pattern.
    #[error("no rule has the id or the pattern `{selector}`{}", .did_you_mean.as_ref().map(|guess| format!("; did you mean `{guess}`?")).unwrap_or_default())]
    NotFound {
        /// What was looked for.
        selector: String,
        /// What comes near.
        did_you_mean: Option<String>,
    },
    /// The pattern does not read.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The policy file was refused.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The place is not one.
    #[error("there is no place {at}; count from 1 at the top to {last} at the end")]
    Position {
        /// As asked for.
        at: usize,
        /// The place after all rules.
        last: usize,
    },
}

impl Change {
    /// Makes the change to the layers, and names the rules that it is about. Reloading is not a change of the layers
    /// alone, and does nothing here.
    pub(super) fn apply(self, layers: &mut Layers) -> Result<Vec<RuleView>, ChangeError> {
        match self {
            Self::Add { rule, at } => add(layers, rule, at),
            Self::Disable(selector) => switch(layers, &selector, false),
            Self::Enable(selector) => switch(layers, &selector, true),
            Self::Reload => Ok(Vec::new()),
            Self::Remove(selector) => {
                let places = selector.places(layers)?;
                let views = places.iter().map(|place| layers.entries[*place].rule.view()).collect();
                layers.remove(&places);
                Ok(views)
            }
            Self::Replace(specs) => replace(layers, specs),
            Self::SetDefault(action) => {
                if layers.default() != action {
                    layers.live_default = Some(action);
                }
                Ok(Vec::new())
            }
        }
    }
}

fn add(layers: &mut Layers, spec: RuleSpec, at: Option<usize>) -> Result<Vec<RuleView>, ChangeError> {
    let last = layers.effective().count() + 1;
    let position = at.unwrap_or(1);
    if !(1..=last).contains(&position) {
        return Err(ChangeError::Position { at: position, last });
    }
    // The same rule given twice is one rule: where it is live already and everything above it has the same action,
    // a second one would decide nothing.
    let same = layers.dialect.parse(&spec.pattern).ok().and_then(|pattern| {
        let present: Vec<_> = layers.effective().collect();
        let candidate = spec.clone().into_rule(present.first()?.id.clone(), pattern, Source::Live);
        let equal = |rule: &Rule| {
            let live = rule.source == Source::Live && spec.id.is_none();
            live && rule.decides_as(&candidate) && rule.note() == candidate.note()
        };
        let reach = if let Some(at) = at {
            present.get(at - 1..at).unwrap_or_default()
        } else {
            let other = present.iter().position(|rule| rule.enabled && rule.action != candidate.action);
            &present[..other.unwrap_or(present.len())]
        };
        reach.iter().find(|rule| equal(rule)).map(|rule| rule.view())
    });
    if let Some(same) = same {
        return Ok(vec![same]);
    }
    let rule = layers.rule(spec, Source::Live)?;
    let view = rule.view();
    layers.insert(rule, position - 1);
    Ok(vec![view])
}

fn switch(layers: &mut Layers, selector: &Selector, enabled: bool) -> Result<Vec<RuleView>, ChangeError> {
    let places = selector.places(layers)?;
    let mut views = Vec::new();
    for place in places {
        let entry = &mut layers.entries[place];
        entry.switch(enabled);
        views.push(entry.rule.view());
    }
    Ok(views)
}

fn replace(layers: &mut Layers, specs: Vec<RuleSpec>) -> Result<Vec<RuleView>, ChangeError> {
    let is_live = |layers: &Layers, at: &usize| layers.entries[*at].rule.source == Source::Live;
    let places: Vec<_> = (0..layers.entries.len()).filter(|at| is_live(layers, at)).collect();
    let mut old: Vec<_> = places.iter().map(|at| layers.entries[*at].rule.clone()).collect();
    layers.remove(&places);
    let mut views = Vec::new();
    for (place, spec) in specs.into_iter().enumerate() {
        let pattern = layers.dialect.parse(&spec.pattern)?;
        // A rule that was there before keeps its id and its count.
        let alike = old.iter().position(|rule| {
            let candidate = spec.clone().into_rule(rule.id.clone(), pattern.clone(), Source::Live);
            spec.id.as_deref().is_none_or(|id| rule.id == *id) && rule.reads_as(&candidate)
        });
        let rule = match alike {
            Some(at) => Rule::clone(&old.remove(at)),
            None => layers.rule(spec, Source::Live)?,
        };
        views.push(rule.view());
        layers.insert(rule, place);
    }
    Ok(views)
}

impl Selector {
    /// A rule's id or pattern.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn places(&self, layers: &Layers) -> Result<Vec<usize>, ChangeError> {
        let present = || layers.entries.iter().enumerate().filter(|(_, entry)| !entry.removed);
        if let Some((at, _)) = present().find(|(_, entry)| entry.rule.id == *self.0.as_str()) {
            return Ok(vec![at]);
        }
        let places: Vec<_> = match layers.dialect.parse(&self.0) {
            Ok(pattern) => {
                let same = |rule: &Rule| rule.pattern.matcher == pattern.matcher && rule.pattern.ports == pattern.ports;
                present().filter(|(_, entry)| same(&entry.rule)).map(|(at, _)| at).collect()
            }
            Err(_) => Vec::new(),
        };
        if places.is_empty() {
            let patterns = present().map(|(_, entry)| entry.rule.pattern.text());
            let ids: Vec<String> = match self.0.len() {
                0..=2 => Vec::new(),
                _ => present().map(|(_, entry)| entry.rule.id.to_string()).collect(),
            };
            let guess = did_you_mean(&self.0, patterns.chain(ids.iter().map(String::as_str))).map(str::to_owned);
            return Err(ChangeError::NotFound { selector: self.0.clone(), did_you_mean: guess });
        }
        Ok(places)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<RuleRefused> for ChangeError {
    fn from(refused: RuleRefused) -> Self {
        match refused {
            RuleRefused::Pattern(error) => Self::Pattern(error),
            RuleRefused::Id(error) => Self::Id(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PolicyConfig, PolicyStore};
    use super::*;

    fn store(command_line: &[&str]) -> PolicyStore {
        let spec = |pattern: &&str| RuleSpec::new(*pattern, Action::Bypass);
        let command_line = command_line.iter().map(spec).collect();
        PolicyStore::new(PolicyConfig { command_line, ..PolicyConfig::default() }).unwrap()
    }

    fn list(store: &PolicyStore) -> String {
        let line = |rule: &std::sync::Arc<Rule>| format!("{}:{}", rule.id, rule.pattern);
        store.current().rules().iter().map(line).collect::<Vec<_>>().join(" ")
    }

    fn add(pattern: &str, at: Option<usize>) -> Change {
        Change::Add { rule: RuleSpec::new(pattern, Action::Bypass), at }
    }

    #[test]
    fn live_rules_go_to_the_top_or_where_they_are_told() {
        let store = store(&["a", "b"]);
        store.change(add("c", None), None).unwrap();
        store.change(add("d", None), None).unwrap();
        assert_eq!(list(&store), "r4:d r3:c r1:a r2:b");
        store.change(add("e", Some(4)), None).unwrap();
        store.change(add("f", Some(6)), None).unwrap();
        assert_eq!(list(&store), "r4:d r3:c r1:a r5:e r2:b r6:f");
        for at in [0, 8] {
            let refused = store.change(add("g", Some(at)), None).unwrap_err().to_string();
            assert_eq!(refused, format!("there is no place {at}; count from 1 at the top to 7 at the end"));
        }
    }

    #[test]
    fn a_change_that_changes_nothing_keeps_the_epoch() {
        let store = store(&["x"]);
        let epochs = store.subscribe();
        let first = store.change(add("*.okta.com", None), None).unwrap();
        assert_eq!((first.epoch, first.changed), (2, true));
        store.change(add("b", None), None).unwrap();
        let again = store.change(add("*.OKTA.com.", None), None).unwrap();
        assert_eq!((again.epoch, again.changed, &again.rules), (3, false, &first.rules));
        // Where a rule with another action stands between, the order matters.
        let inspect = RuleSpec::new("c.okta.com", Action::Inspect);
        store.change(Change::Add { rule: inspect, at: None }, None).unwrap();
        assert!(store.change(add("*.okta.com", None), None).unwrap().changed);
        assert!(!store.change(Change::Enable(Selector::new("b")), None).unwrap().changed);
        assert!(!store.change(Change::SetDefault(Action::Inspect), None).unwrap().changed);
        assert_eq!((store.current().epoch(), *epochs.borrow()), (5, 5));
        assert!(store.change(Change::SetDefault(Action::Block), None).unwrap().changed);
        assert_eq!((store.current().default_action(), *epochs.borrow()), (Action::Block, 6));
    }

    #[test]
    fn a_pattern_selects_all_that_mean_it_and_an_id_one() {
        let store = store(&["okta.com", "OKTA.com.", "okta.com:443"]);
        let applied = store.change(Change::Disable(Selector::new("Okta.com")), None).unwrap();
        assert_eq!(applied.rules.iter().map(|rule| rule.id.to_string()).collect::<Vec<_>>(), ["r1", "r2"]);
        assert!(applied.rules.iter().all(|rule| !rule.enabled));
        store.change(Change::Remove(Selector::new("r2")), None).unwrap();
        assert_eq!(list(&store), "r1:okta.com r3:okta.com:443");
        let wrong =
            |selector: &str| store.change(Change::Remove(Selector::new(selector)), None).unwrap_err().to_string();
        assert_eq!(wrong("okta.cm"), "no rule has the id or the pattern `okta.cm`; did you mean `okta.com`?");
        assert_eq!(wrong("r2"), "no rule has the id or the pattern `r2`");
    }

    #[test]
    fn a_refused_change_leaves_no_trace() {
        let store = store(&["a"]);
        let refused = |change, expected| store.change(change, expected).unwrap_err();
        assert!(matches!(refused(add("b", None), Some(7)), ChangeError::Conflict { epoch: 1 }));
        assert!(matches!(refused(add("*b", None), None), ChangeError::Pattern(_)));
        let named = |id: &str| Change::Add {
            rule: RuleSpec { id: Some(id.into()), ..RuleSpec::new("b", Action::Block) },
            at: None,
        };
        assert!(matches!(refused(named("r9"), None), ChangeError::Id(RuleIdError::Reserved(_))));
        let two = vec![RuleSpec::new("b", Action::Bypass), RuleSpec::new("a b", Action::Bypass)];
        assert!(matches!(refused(Change::Replace(two), None), ChangeError::Pattern(_)));
        assert_eq!((list(&store).as_str(), store.current().epoch()), ("r1:a", 1));
        store.change(named("mine"), Some(1)).unwrap();
        assert!(matches!(refused(named("mine"), None), ChangeError::Id(RuleIdError::Taken(_))));
        assert_eq!(list(&store), "mine:b r1:a");
    }

    #[test]
    fn replaced_live_rules_that_stay_keep_their_ids() {
        let store = store(&["x"]);
        let replace = |patterns: &[&str]| {
            let specs = patterns.iter().map(|pattern| RuleSpec::new(*pattern, Action::Bypass)).collect();
            store.change(Change::Replace(specs), None).unwrap().changed
        };
        assert!(replace(&["a", "b"]));
        assert_eq!(list(&store), "r2:a r3:b r1:x");
        assert!(!replace(&["a", "b"]));
        assert!(replace(&["c", "b"]));
        assert_eq!(list(&store), "r4:c r3:b r1:x");
        assert!(replace(&[]));
        assert_eq!(list(&store), "r1:x");
    }
}
