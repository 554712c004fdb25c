//! The index over the rules: a decision looks at the few that can match, however many there are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::matcher::{Matcher, Token};
use super::pattern::Pattern;

/// Ranks of rules, by what they match. A rank is the place of a rule in the order in which rules count.
#[derive(Debug, Default)]
pub(super) struct Index {
    any: Vec<u32>,
    exact: HashMap<Arc<str>, Vec<u32>>,
    below: HashMap<Arc<str>, Vec<u32>>,
    ends: Ends,
    labels: HashMap<Arc<str>, Vec<u32>>,
    networks: HashMap<IpNet, Vec<u32>>,
    prefixes_v4: Vec<u8>,
    prefixes_v6: Vec<u8>,
    /// What has to be tried one by one.
    others: Vec<u32>,
}

/// Ends of names, sorted by their reversed bytes, so that all ends of one name lie on one chain.
#[derive(Debug, Default)]
struct Ends {
    sorted: Vec<End>,
}

#[derive(Debug)]
struct End {
    reversed: Box<[u8]>,
    ranks: Vec<u32>,
    /// The longest other end that is an end of this one.
    shorter: Option<usize>,
}

impl Index {
    /// Indexes patterns in the order in which their rules count: by what they match, and by what they may match.
    pub(super) fn new<'a>(patterns: impl IntoIterator<Item = (u32, &'a Pattern)>) -> Self {
        let mut index = Self::default();
        let mut ends: HashMap<Vec<u8>, Vec<u32>> = HashMap::new();
        for (rank, pattern) in patterns {
            index.insert(rank, &pattern.matcher, &mut ends);
            for doubt in pattern.doubts() {
                index.insert(rank, &doubt.covers, &mut ends);
            }
        }
        index.ends = Ends::new(ends);
        index
    }

    fn insert(&mut self, rank: u32, matcher: &Matcher, ends: &mut HashMap<Vec<u8>, Vec<u32>>) {
        let mut end = |text: &str| push(ends.entry(text.bytes().rev().collect()).or_default(), rank);
        match matcher {
            Matcher::Any => push(&mut self.any, rank),
            Matcher::Below(name) => push(self.below.entry(name.clone()).or_default(), rank),
            Matcher::Deeper { name, fewest, most } => {
                if *fewest == 0 {
                    push(self.exact.entry(name.clone()).or_default(), rank);
                }
                if *most > 0 {
                    push(self.below.entry(name.clone()).or_default(), rank);
                }
            }
            Matcher::Ends(text) if !text.is_empty() => end(text),
            Matcher::Exact(name) => push(self.exact.entry(name.clone()).or_default(), rank),
            Matcher::Glob(form) => match form.rsplit('*').next() {
                Some(tail) if !tail.is_empty() => end(tail),
                _ => push(&mut self.others, rank),
            },
            Matcher::Network(network) => {
                let net = network.net();
                let prefixes = if net.addr().is_ipv4() { &mut self.prefixes_v4 } else { &mut self.prefixes_v6 };
                if let Err(at) = prefixes.binary_search(&net.prefix_len()) {
                    prefixes.insert(at, net.prefix_len());
                }
                push(self.networks.entry(net).or_default(), rank);
            }
            Matcher::Never(_) => {}
            Matcher::Ends(_) | Matcher::Loopback | Matcher::Plain | Matcher::Regex(_) => push(&mut self.others, rank),
            Matcher::Tokens(tokens) => {
                let label = |token: &Token| match token {
                    Token::Label(label) => Some(label.clone()),
                    Token::Many | Token::One | Token::Rest => None,
                };
                // The longest label is as a rule the rarest.
                match tokens.iter().filter_map(label).max_by_key(|label| label.len()) {
                    Some(label) => push(self.labels.entry(label).or_default(), rank),
                    None => push(&mut self.others, rank),
                }
            }
            Matcher::Within(name) => {
                push(self.exact.entry(name.clone()).or_default(), rank);
                push(self.below.entry(name.clone()).or_default(), rank);
            }
        }
    }

    /// The lowest rank that `accept` takes. `accept` sees every rank below that one whose pattern matches, or may
    /// match, one of the names or the address, some of them twice, and a few others.
    pub(super) fn first<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
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
        for name in names {
            look(self.exact.get(name));
            if !self.below.is_empty() {
                for (dot, _) in name.rmatch_indices('.') {
                    look(self.below.get(&name[dot + 1..]));
                }
            }
            if !self.labels.is_empty() {
                for label in name.split('.') {
                    look(self.labels.get(label));
                }
            }
            if !self.ends.sorted.is_empty() {
                for ranks in self.ends.of(name) {
                    look(Some(ranks));
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
        look(Some(&self.others));
        look(Some(&self.any));
        best
    }

    /// Whether some rule is compared with addresses.
    pub(super) fn has_networks(&self) -> bool {
        !self.networks.is_empty()
    }
}

impl Ends {
    fn new(ends: HashMap<Vec<u8>, Vec<u32>>) -> Self {
        let end = |(reversed, ranks): (Vec<u8>, _)| End { reversed: reversed.into(), ranks, shorter: None };
        let mut sorted: Vec<End> = ends.into_iter().map(end).collect();
        sorted.sort_unstable_by(|one, other| one.reversed.cmp(&other.reversed));
        let mut chain: Vec<usize> = Vec::new();
        for at in 0..sorted.len() {
            while chain.last().is_some_and(|last| !sorted[at].reversed.starts_with(&sorted[*last].reversed)) {
                chain.pop();
            }
            sorted[at].shorter = chain.last().copied();
            chain.push(at);
        }
        Self { sorted }
    }

    /// The ranks of all ends of a name, the longest first.
    fn of(&self, name: &str) -> impl Iterator<Item = &Vec<u32>> {
        let reversed: Vec<u8> = name.bytes().rev().collect();
        // All ends of the name come before it, and whatever lies between such an end and the name has that end too.
        let before = self.sorted.partition_point(|end| *end.reversed <= *reversed);
        std::iter::successors(before.checked_sub(1), |at| self.sorted[*at].shorter)
            .map(|at| &self.sorted[at])
            .filter(move |end| reversed.starts_with(&end.reversed))
            .map(|end| &end.ranks)
    }
}

fn push(ranks: &mut Vec<u32>, rank: u32) {
    if ranks.last() != Some(&rank) {
        ranks.push(rank);
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::PatternPorts;
    use super::*;

    fn pattern(matcher: Matcher) -> Pattern {
        Pattern { text: "".into(), matcher, ports: PatternPorts::Any, remarks: None }
    }

    /// How many rules are looked at for a host that the last but one of `count` rules matches.
    fn candidates(count: u32) -> usize {
        let patterns: Vec<Pattern> = (0..count)
            .map(|n| match n % 7 {
                0 => Matcher::Exact(format!("host{n}.example").into()),
                1 => Matcher::Below(format!("below{n}.example").into()),
                2 => Matcher::Within(format!("within{n}.example").into()),
                3 => Matcher::Ends(format!("end{n}.example").into()),
                4 => Matcher::Glob(format!("a*.glob{n}.example").into()),
                5 => Matcher::Tokens([Token::Many, Token::Label(format!("token{n}").into())].into()),
                _ => Matcher::Network(format!("10.{}.{}.0/24", n / 256 % 256, n % 256).parse().unwrap()),
            })
            .chain([Matcher::Within("okta.com".into()), Matcher::Any])
            .map(pattern)
            .collect();
        let index = Index::new((0u32..).zip(&patterns));
        let mut looked_at = 0;
        let found = index.first(["a.b.acme.okta.com"].into_iter(), Some("192.0.2.1".parse().unwrap()), |_| {
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
        let patterns = ["a.example", "example"].map(|name| pattern(Matcher::Within(name.into())));
        let any = pattern(Matcher::Any);
        let ranks = [(0, &patterns[1]), (1, &patterns[0]), (2, &patterns[1]), (3, &any)];
        let index = Index::new(ranks);
        let name = || ["b.a.example"].into_iter();
        let first = |refused: &[u32]| index.first(name(), None, |rank| !refused.contains(&rank));
        assert_eq!(first(&[]), Some(0));
        assert_eq!(first(&[0]), Some(1));
        assert_eq!(first(&[0, 1]), Some(2));
        assert_eq!(first(&[0, 1, 2]), Some(3));
        assert_eq!(first(&[0, 1, 2, 3]), None);
        assert_eq!(index.first([].into_iter(), None, |_| true), Some(3));
    }

    #[test]
    fn all_ends_of_a_name_are_found() {
        let ends = ["m", "com", "okta.com", "notokta.com", "xokta.com", "ta.com", "org", "a.okta.com"];
        let patterns = ends.map(|end| pattern(Matcher::Ends(end.into())));
        let index = Index::new((0u32..).zip(&patterns));
        let mut seen = Vec::new();
        index.first(["notokta.com"].into_iter(), None, |rank| {
            seen.push(ends[rank as usize]);
            false
        });
        assert_eq!(seen, ["notokta.com", "okta.com", "ta.com", "com", "m"]);
    }
}
