//! The index over the rules: a decision looks at the few that can match, however many there are.
//!
//! It holds no names of its own. A rule is found by the hash of its name, and whoever asks compares the rule itself, so
//! that two names with one hash cost a comparison and nothing else.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::num::NonZeroU32;

use arcstr::Substr;
use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use ipnet::IpNet;

use super::matcher::{Matcher, Token};
use super::pattern::Pattern;

/// Ranks of rules, by what they match. A rank is the place of a rule in the order in which rules count.
#[derive(Debug, Default)]
pub(super) struct Index {
    any: Vec<u32>,
    exact: Names,
    below: Names,
    /// What is both exact and below.
    within: Names,
    ends: Ends,
    labels: Names,
    networks: HashMap<IpNet, Vec<u32>>,
    prefixes_v4: Vec<u8>,
    prefixes_v6: Vec<u8>,
    /// What has to be tried one by one.
    others: Vec<u32>,
}

/// Ranks by the hash of a name.
#[derive(Debug, Default)]
struct Names {
    hasher: DefaultHashBuilder,
    heads: HashTable<Head>,
    postings: Vec<Posting>,
}

/// The chain of the postings of one name.
#[derive(Debug)]
struct Head {
    hash: u64,
    first: u32,
    last: u32,
}

#[derive(Debug)]
struct Posting {
    rank: u32,
    next: Option<NonZeroU32>,
}

/// Ends of names, sorted by their reversed bytes, so that all ends of one name lie on one chain.
#[derive(Debug, Default)]
struct Ends {
    sorted: Vec<End>,
}

#[derive(Debug)]
struct End {
    text: Substr,
    rank: u32,
    /// Another one that is an end of this one: one of the same text, else of the longest shorter text.
    shorter: Option<u32>,
}

impl Index {
    /// Indexes patterns in the order in which their rules count: by what they match, and by what they may match unless
    /// that is every host ([`Policy::everywhere`](super::Policy)).
    pub(super) fn new<'a>(patterns: impl IntoIterator<Item = (u32, &'a Pattern)>) -> Self {
        let mut index = Self::default();
        for (rank, pattern) in patterns {
            index.insert(rank, &pattern.matcher);
            for doubt in pattern.doubts().iter().filter(|doubt| doubt.is_about_misses() && !doubt.is_about_every_host())
            {
                index.insert(rank, &pattern.covered_by(doubt));
            }
        }
        index.ends.sort();
        index
    }

    fn insert(&mut self, rank: u32, matcher: &Matcher) {
        match matcher {
            Matcher::Any => push(&mut self.any, rank),
            Matcher::Below(name) => self.below.insert(name, rank),
            Matcher::Deeper { name, fewest: 0, most: 0 } => self.exact.insert(name, rank),
            Matcher::Deeper { name, fewest: 0, .. } | Matcher::Within(name) => self.within.insert(name, rank),
            Matcher::Deeper { name, .. } => self.below.insert(name, rank),
            Matcher::Ends(text) if !text.is_empty() => self.ends.add(text.clone(), rank),
            Matcher::Exact(name) => self.exact.insert(name, rank),
            Matcher::Glob(form) => match form.rfind('*').map_or(0, |star| star + 1) {
                tail if tail < form.len() => self.ends.add(form.substr(tail..), rank),
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
                match tokens.iter().filter_map(label).max_by_key(Substr::len) {
                    Some(label) => self.labels.insert(&label, rank),
                    None => push(&mut self.others, rank),
                }
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
        let mut search = Search { best: None, accept: &mut accept };
        for name in names {
            search.look(self.exact.of(name));
            search.look(self.within.of(name));
            if !self.below.is_empty() || !self.within.is_empty() {
                for (dot, _) in name.rmatch_indices('.') {
                    search.look(self.below.of(&name[dot + 1..]));
                    search.look(self.within.of(&name[dot + 1..]));
                }
            }
            if !self.labels.is_empty() {
                for label in name.split('.') {
                    search.look(self.labels.of(label));
                }
            }
            for rank in self.ends.of(name) {
                search.look([rank]);
            }
        }
        if let Some(address) = address.map(|address| address.to_canonical()) {
            let prefixes = if address.is_ipv4() { &self.prefixes_v4 } else { &self.prefixes_v6 };
            for &prefix in prefixes {
                if let Ok(net) = IpNet::new(address, prefix) {
                    search.look(self.networks.get(&net.trunc()).into_iter().flatten().copied());
                }
            }
        }
        search.look(self.others.iter().copied());
        search.look(self.any.iter().copied());
        search.best
    }

    /// Whether some rule is compared with addresses.
    pub(super) fn has_networks(&self) -> bool {
        !self.networks.is_empty()
    }
}

/// A search for the lowest rank that is accepted.
struct Search<F> {
    best: Option<u32>,
    accept: F,
}

impl<F: FnMut(u32) -> bool> Search<F> {
    /// Looks at ranks in ascending order, as far as they can be better than what was found.
    fn look(&mut self, ranks: impl IntoIterator<Item = u32>) {
        let best = self.best.unwrap_or(u32::MAX);
        let accept = &mut self.accept;
        let found = ranks.into_iter().take_while(|rank| *rank < best).find(|rank| accept(*rank));
        self.best = found.or(self.best);
    }
}

impl Names {
    fn insert(&mut self, name: &str, rank: u32) {
        let hash = self.hasher.hash_one(name);
        let new = u32::try_from(self.postings.len()).expect("a rule has at most two names, and a list 64 MiB");
        match self.heads.entry(hash, |head| head.hash == hash, |head| head.hash) {
            Entry::Vacant(vacant) => {
                vacant.insert(Head { hash, first: new, last: new });
            }
            Entry::Occupied(mut occupied) => {
                let head = occupied.get_mut();
                let last = &mut self.postings[head.last as usize];
                if last.rank == rank {
                    return;
                }
                last.next = NonZeroU32::new(new);
                head.last = new;
            }
        }
        self.postings.push(Posting { rank, next: None });
    }

    /// The ranks of a name, in ascending order.
    fn of(&self, name: &str) -> impl Iterator<Item = u32> {
        let hash = if self.is_empty() { 0 } else { self.hasher.hash_one(name) };
        let first = self.heads.find(hash, |head| head.hash == hash).map(|head| head.first);
        let posting = |at: u32| &self.postings[at as usize];
        let next = move |last: &&Posting| last.next.map(|next| posting(next.get()));
        std::iter::successors(first.map(posting), next).map(|posting| posting.rank)
    }

    fn is_empty(&self) -> bool {
        self.postings.is_empty()
    }
}

impl Ends {
    fn add(&mut self, text: Substr, rank: u32) {
        self.sorted.push(End { text, rank, shorter: None });
    }

    /// Puts the ends into their order, once all are there.
    fn sort(&mut self) {
        // The lowest rank of a text comes last, where a search meets it first.
        self.sorted.sort_unstable_by(|one, other| {
            let order = one.text.bytes().rev().cmp(other.text.bytes().rev());
            order.then_with(|| other.rank.cmp(&one.rank))
        });
        self.sorted.dedup_by(|one, other| one.rank == other.rank && one.text == other.text);
        let mut chain: Vec<u32> = Vec::new();
        for (at, here) in (0..self.sorted.len()).zip(0u32..) {
            while chain.last().is_some_and(|last| !self.sorted[at].text.ends_with(&*self.sorted[*last as usize].text)) {
                chain.pop();
            }
            self.sorted[at].shorter = chain.last().copied();
            chain.push(here);
        }
    }

    /// The ranks of all ends of a name, the longest first.
    fn of(&self, name: &str) -> impl Iterator<Item = u32> {
        // All ends of the name come before it, and whatever lies between such an end and the name has that end too.
        let before = self.sorted.partition_point(|end| end.text.bytes().rev().le(name.bytes().rev()));
        let end = |at: usize| &self.sorted[at];
        std::iter::successors(before.checked_sub(1).map(end), move |last| last.shorter.map(|at| end(at as usize)))
            .filter(move |end| name.ends_with(&*end.text))
            .map(|end| end.rank)
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
