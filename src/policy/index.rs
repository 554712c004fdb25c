//! The index over the rules: a decision looks at the few that can match, however many there are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::pattern::Matcher;

/// Ranks of rules, by what they match. A rank is the place of a rule in the order in which rules count.
#[derive(Debug, Default)]
pub(super) struct Index {
    any: Vec<u32>,
    exact: HashMap<Arc<str>, Vec<u32>>,
    below: HashMap<Arc<str>, Vec<u32>>,
    networks: HashMap<IpNet, Vec<u32>>,
    prefixes_v4: Vec<u8>,
    prefixes_v6: Vec<u8>,
}

impl Index {
    /// Indexes matchers in the order in which their rules count.
    pub(super) fn new<'a>(matchers: impl IntoIterator<Item = (u32, &'a Matcher)>) -> Self {
        let mut index = Self::default();
        for (rank, matcher) in matchers {
            match matcher {
                Matcher::Any => index.any.push(rank),
                Matcher::Exact(name) => index.exact.entry(name.clone()).or_default().push(rank),
                Matcher::Below(name) => index.below.entry(name.clone()).or_default().push(rank),
                Matcher::Within(name) => {
                    index.exact.entry(name.clone()).or_default().push(rank);
                    index.below.entry(name.clone()).or_default().push(rank);
                }
                Matcher::Network(network) => {
                    let net = network.net();
                    let prefixes = if net.addr().is_ipv4() { &mut index.prefixes_v4 } else { &mut index.prefixes_v6 };
                    if let Err(at) = prefixes.binary_search(&net.prefix_len()) {
                        prefixes.insert(at, net.prefix_len());
                    }
                    index.networks.entry(net).or_default().push(rank);
                }
            }
        }
        index
    }

    /// The lowest rank that matches the name or the address and that `accept` takes. `accept` sees only ranks whose
    /// pattern matches, each list in ascending order, and none above one that it has taken.
    pub(super) fn first(
        &self,
        name: Option<&str>,
        address: Option<IpAddr>,
        mut accept: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let mut best: Option<u32> = None;
        let mut look = |ranks: Option<&Vec<u32>>| {
            for &rank in ranks.into_iter().flatten() {
                if best.is_some_and(|best| rank >= best) {
                    break;
                }
                if accept(rank) {
                    best = Some(rank);
                    break;
                }
            }
        };
        if let Some(name) = name {
            look(self.exact.get(name));
            if !self.below.is_empty() {
                for (dot, _) in name.rmatch_indices('.') {
                    look(self.below.get(&name[dot + 1..]));
                }
            }
        }
        if let Some(address) = address.map(|address| address.to_canonical()) {
            let prefixes = if address.is_ipv4() { &self.prefixes_v4 } else { &self.prefixes_v6 };
            for &prefix in prefixes {
                if let Ok(net) = IpNet::new(address, prefix) {
                    look(self.networks.get(&net.trunc()));
                }
            }
        }
        look(Some(&self.any));
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many rules are looked at for a host that the last of `count` rules matches.
    fn candidates(count: u32) -> usize {
        let matchers: Vec<Matcher> = (0..count)
            .map(|n| match n % 4 {
                0 => Matcher::Exact(format!("host{n}.example").into()),
                1 => Matcher::Below(format!("below{n}.example").into()),
                2 => Matcher::Within(format!("within{n}.example").into()),
                _ => Matcher::Network(format!("10.{}.{}.0/24", n / 256 % 256, n % 256).parse().unwrap()),
            })
            .chain([Matcher::Within("okta.com".into()), Matcher::Any])
            .collect();
        let index = Index::new((0u32..).zip(&matchers));
        let mut looked_at = 0;
        let found = index.first(Some("a.b.acme.okta.com"), Some("192.0.2.1".parse().unwrap()), |_| {
            looked_at += 1;
            true
        });
        assert_eq!(found, Some(count));
        looked_at
    }

    #[test]
    fn many_rules_cost_what_few_do() {
        assert_eq!(candidates(10), 1);
        assert_eq!(candidates(100_000), 1);
    }

    #[test]
    fn a_refused_candidate_gives_way_to_the_next_lowest() {
        let matchers = ["a.example", "example"].map(|name| Matcher::Within(name.into()));
        let ranks = [(0, &matchers[1]), (1, &matchers[0]), (2, &matchers[1]), (3, &Matcher::Any)];
        let index = Index::new(ranks);
        let first = |refused: &[u32]| index.first(Some("b.a.example"), None, |rank| !refused.contains(&rank));
        assert_eq!(first(&[]), Some(0));
        assert_eq!(first(&[0]), Some(1));
        assert_eq!(first(&[0, 1]), Some(2));
        assert_eq!(first(&[0, 1, 2]), Some(3));
        assert_eq!(first(&[0, 1, 2, 3]), None);
        assert_eq!(index.first(None, None, |_| true), Some(3));
    }
}
