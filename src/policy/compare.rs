//! Two lists, by the hosts that they treat differently.

use std::collections::HashMap;

use serde::Serialize;

use super::decision::Decision;
use super::rehearsal::Deciding;
use super::rule::RuleId;
use super::standing::{Assumption, Standing};
use super::witness::{Difference, differences};
use super::{Action, Policy};

/// So many witnesses are kept for each way in which two lists differ.
const WITNESSES: usize = 8;

/// One way in which two lists differ: the same entry, or none, decides on each side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contrast {
    /// Hosts that are treated differently, the simplest first; `host`, or `host:port` where that is not 443.
    pub witnesses: Vec<String>,
    /// How many were found.
    pub found: usize,
    /// What the first list does with them.
    pub first: Treatment,
    /// What the second one does.
    pub second: Treatment,
}

/// What one list does with a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Treatment {
    /// What is done.
    pub decision: Action,
    /// The entry that decides; none where the default does.
    pub entry: Option<Deciding>,
    /// How well it is known that the product decides like this.
    pub standing: Standing,
    /// What was assumed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<Assumption>,
}

/// Every way in which two policies were found to differ, in the order of their entries. Two policies without any may
/// still differ, but hardly by what one of their entries says.
#[must_use]
pub fn compare(first: &Policy, second: &Policy) -> Vec<Contrast> {
    gather(differences(first, second))
}

/// Puts differences together by what decides on both sides.
pub(super) fn gather(differences: impl IntoIterator<Item = Difference>) -> Vec<Contrast> {
    type Key = (Action, Option<RuleId>, Action, Option<RuleId>);
    let mut contrasts: Vec<Contrast> = Vec::new();
    let mut places: HashMap<Key, usize> = HashMap::new();
    let id = |decision: &Decision| decision.rule.as_ref().map(|rule| rule.id.clone());
    for Difference { question, first, second } in differences {
        let key = (first.action, id(&first), second.action, id(&second));
        let place = *places.entry(key).or_insert_with(|| {
            let (first, second) = (Treatment::of(first), Treatment::of(second));
            contrasts.push(Contrast { witnesses: Vec::new(), found: 0, first, second });
            contrasts.len() - 1
        });
        let contrast = &mut contrasts[place];
        contrast.found += 1;
        if contrast.witnesses.len() < WITNESSES {
            contrast.witnesses.push(question.to_string());
        }
    }
    contrasts
}

impl Treatment {
    fn of(decision: Decision) -> Self {
        let assumptions = decision.assumptions().to_vec();
        let entry = decision.rule.map(Deciding::of);
        Self { decision: decision.action, entry, standing: decision.standing, assumptions }
    }
}

#[cfg(test)]
mod tests {
    use super::super::formats::Entry;
    use super::super::reading::Reading;
    use super::*;

    #[test]
    fn ways_of_differing_are_told_once_with_their_entries() {
        let read = |dialect: &str| {
            let list = [Entry::typed("*.okta.com", Action::Bypass).on_line(3)];
            Reading::of(dialect.parse().unwrap(), Some(Action::Inspect), list).policy
        };
        let contrasts = compare(&read("pan-os-exclusion"), &read("netskope-url-list"));
        let told: Vec<_> =
            contrasts.iter().map(|contrast| (contrast.witnesses[0].as_str(), contrast.first.decision)).collect();
        // One entry against the default is one way; the other way round it is the trailing dot.
        assert_eq!(told, [("okta.com", Action::Inspect), ("any.okta.com.", Action::Bypass)]);
        assert!(contrasts[0].witnesses.contains(&"some.any.okta.com".to_owned()));
        assert_eq!(contrasts[0].second.entry.as_ref().unwrap().line, Some(3));
    }
}
