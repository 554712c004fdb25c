//! What a list does to traffic that was seen: what is inspected, bypassed and blocked, by which entry, and what a change
//! of the list changes.

use std::collections::HashMap;
use std::hash::Hash;

use serde::Serialize;

use super::decision::Decision;
use super::rehearsal::Deciding;
use super::rule::RuleId;
use super::standing::{Assumption, Standing};
use super::traffic::{Traffic, TrafficFormat};
use super::{Action, Policy};

/// So many hosts are named for each entry.
const NAMED: usize = 5;

/// What a list does to traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Impact {
    /// The form in which the traffic was found.
    pub format: TrafficFormat,
    /// Connections that were decided.
    pub connections: u64,
    /// Different hosts among them.
    pub hosts: usize,
    /// Lines in which no host was found.
    pub without_host: u64,
    /// Lines whose host came after too many others to be told apart.
    pub beyond: u64,
    /// By what is done, the most connections first.
    pub decisions: Vec<Share>,
    /// By the entry that decides, the most connections first.
    pub entries: Vec<Share>,
}

/// What a change of a list changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shift {
    /// The form in which the traffic was found.
    pub format: TrafficFormat,
    /// Connections that were decided.
    pub connections: u64,
    /// Different hosts among them.
    pub hosts: usize,
    /// Lines in which no host was found.
    pub without_host: u64,
    /// Lines whose host came after too many others to be told apart.
    pub beyond: u64,
    /// Connections that are decided otherwise.
    pub changed: u64,
    /// What is decided otherwise, the most connections first.
    pub changes: Vec<Moved>,
}

/// The part of the traffic that has one thing in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// What is done with it.
    pub decision: Action,
    /// The entry that decides; none where the default does, and where several do.
    pub entry: Option<Deciding>,
    /// How many connections.
    pub connections: u64,
    /// How many hosts.
    pub hosts: usize,
    /// The hosts with the most connections.
    pub most: Vec<HostCount>,
    /// How well the least known of these decisions is known.
    pub standing: Standing,
    /// What was assumed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<Assumption>,
}

/// Traffic that is decided otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// What was done with it.
    pub before: Action,
    /// The entry that decided; none where the default did.
    pub entry_before: Option<Deciding>,
    /// What is done with it now.
    #[serde(flatten)]
    pub now: Share,
}

/// A host with its connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostCount {
    /// `host`, or `host:port` where that is not 443.
    pub host: String,
    /// How many connections.
    pub connections: u64,
}

/// Decides all traffic under a policy.
#[must_use]
pub fn impact(policy: &Policy, traffic: &Traffic) -> Impact {
    let mut decisions = Shares::default();
    let mut entries = Shares::default();
    let mut connections = 0;
    for (question, count) in traffic.questions() {
        let decision = policy.rehearse(&question.subjects());
        let host = HostCount { host: question.to_string(), connections: count };
        connections += count;
        decisions.add(decision.action, &decision, host.clone());
        entries.add((decision.action, id(&decision)), &decision, host);
    }
    let mut decisions: Vec<Share> = decisions.sorted().into_iter().map(|(_, share)| share).collect();
    for share in &mut decisions {
        share.entry = None;
    }
    Impact {
        format: traffic.format,
        connections,
        hosts: traffic.hosts(),
        without_host: traffic.without_host,
        beyond: traffic.beyond,
        decisions,
        entries: entries.sorted().into_iter().map(|(_, share)| share).collect(),
    }
}

/// What is done, and by which entry.
type Way = (Action, Option<RuleId>);

/// Decides all traffic under two policies, and keeps what they decide otherwise.
#[must_use]
pub fn shift(before: &Policy, now: &Policy, traffic: &Traffic) -> Shift {
    let mut shares: Shares<(Way, Way)> = Shares::default();
    let mut first: HashMap<Way, Decision> = HashMap::new();
    let (mut connections, mut changed) = (0, 0);
    for (question, count) in traffic.questions() {
        connections += count;
        let subjects = question.subjects();
        let (old, new) = (before.rehearse(&subjects), now.rehearse(&subjects));
        if old.action == new.action {
            continue;
        }
        changed += count;
        let host = HostCount { host: question.to_string(), connections: count };
        let key = (old.action, id(&old));
        shares.add((key.clone(), (new.action, id(&new))), &new, host);
        first.entry(key).or_insert(old);
    }
    let moved = |(key, now): ((Way, Way), Share)| {
        let entry_before = first.get(&key.0).and_then(|old| old.rule.clone()).map(Deciding::of);
        Moved { before: key.0.0, entry_before, now }
    };
    Shift {
        format: traffic.format,
        connections,
        hosts: traffic.hosts(),
        without_host: traffic.without_host,
        beyond: traffic.beyond,
        changed,
        changes: shares.sorted().into_iter().map(moved).collect(),
    }
}

fn id(decision: &Decision) -> Option<RuleId> {
    decision.rule.as_ref().map(|rule| rule.id.clone())
}

struct Shares<K>(HashMap<K, Share>);

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq> Shares<K> {
    fn add(&mut self, key: K, decision: &Decision, host: HostCount) {
        let share = self.0.entry(key).or_insert_with(|| Share {
            decision: decision.action,
            entry: decision.rule.clone().map(Deciding::of),
            connections: 0,
            hosts: 0,
            most: Vec::with_capacity(NAMED + 1),
            standing: Standing::Established,
            assumptions: Vec::new(),
        });
        share.connections += host.connections;
        share.hosts += 1;
        share.standing = share.standing.max(decision.standing);
        for assumption in decision.assumptions() {
            if !share.assumptions.contains(assumption) {
                share.assumptions.push(assumption.clone());
            }
        }
        let rank = |host: &HostCount| (std::cmp::Reverse(host.connections), host.host.clone());
        let comes_in = share.most.len() < NAMED || share.most.last().is_some_and(|last| rank(&host) < rank(last));
        if comes_in {
            let at = share.most.partition_point(|other| rank(other) < rank(&host));
            share.most.insert(at, host);
            share.most.truncate(NAMED);
        }
    }

    /// The most connections first; by the first host where they are as many.
    fn sorted(self) -> Vec<(K, Share)> {
        let mut shares: Vec<(K, Share)> = self.0.into_iter().collect();
        shares.sort_by(|(_, one), (_, other)| {
            let host = |share: &Share| share.most.first().map(|host| host.host.clone());
            other.connections.cmp(&one.connections).then_with(|| host(one).cmp(&host(other)))
        });
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::super::formats::Entry;
    use super::super::reading::Reading;
    use super::*;

    fn policy(list: &[&str]) -> Policy {
        let list = (1..).zip(list).map(|(line, entry)| Entry::typed(*entry, Action::Bypass).on_line(line));
        Reading::of(super::super::Dialect::MIDDLEBOX, None, list).policy
    }

    fn traffic() -> Traffic {
        let text = "a.okta.com\na.okta.com\nb.okta.com\nx.example\nx.example\nx.example\nx.example\nnot a host !\n";
        Traffic::read(text.replace("not a host !", "!!").as_bytes()).unwrap()
    }

    #[test]
    fn shares_come_by_decision_and_by_entry_the_largest_first() {
        let impact = impact(&policy(&["*.okta.com"]), &traffic());
        assert_eq!((impact.connections, impact.hosts, impact.without_host), (7, 3, 1));
        let told: Vec<_> =
            impact.decisions.iter().map(|share| (share.decision, share.connections, share.hosts)).collect();
        assert_eq!(told, [(Action::Inspect, 4, 1), (Action::Bypass, 3, 2)]);
        assert_eq!(impact.entries[1].entry.as_ref().unwrap().line, Some(1));
        assert_eq!(impact.entries[1].most[0], HostCount { host: "a.okta.com".into(), connections: 2 });
    }

    #[test]
    fn against_an_older_list_only_what_changes_is_shown() {
        let shift = shift(&policy(&["a.okta.com"]), &policy(&["*.okta.com"]), &traffic());
        assert_eq!((shift.connections, shift.changed, shift.changes.len()), (7, 1, 1));
        let moved = &shift.changes[0];
        assert_eq!((moved.before, moved.now.decision), (Action::Inspect, Action::Bypass));
        assert_eq!(moved.now.most[0].host, "b.okta.com");
        assert!(moved.entry_before.is_none());
    }
}
