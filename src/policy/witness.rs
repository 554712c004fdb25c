//! Hosts by which two lists can be told apart, made out of what their entries say.
//!
//! From each entry come the name that it is about, names below it at the depths where products count labels, its
//! neighbours without a label boundary and with something behind it, its parent, other spellings, the ports that it is
//! bound to, and for networks the addresses on both sides of each edge. Two lists that decide all of these alike may
//! still differ, but hardly by what one of their entries says.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use regex_syntax::hir::{Hir, HirKind};

use super::Policy;
use super::condition::Network;
use super::decision::Decision;
use super::matcher::{Matcher, Token};
use super::pattern::PatternPorts;
use super::question::Question;
use super::rule::Rule;

/// How many texts are made from one expression.
const SAMPLES: usize = 12;

/// A host that two policies treat differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The connection that differs.
    pub question: Question,
    /// What the first policy does with it.
    pub first: Decision,
    /// What the second one does.
    pub second: Decision,
}

/// Hosts that the two policies treat differently. Each is decided under both, so each one really differs; they come in
/// the order of the entries that they are made from, those of the first policy before those of the second.
pub fn differences<'p>(first: &'p Policy, second: &'p Policy) -> impl Iterator<Item = Difference> + 'p {
    witnesses([first, second]).filter_map(|question| difference(first, second, question))
}

/// The question, where the two policies answer it differently.
pub(super) fn difference(first: &Policy, second: &Policy, question: Question) -> Option<Difference> {
    let subjects = question.subjects();
    let (first, second) = (first.rehearse(&subjects), second.rehearse(&subjects));
    (first.action != second.action).then_some(Difference { question, first, second })
}

/// The hosts, each once, that say something about the entries of these policies.
pub fn witnesses<'p>(policies: impl IntoIterator<Item = &'p Policy>) -> impl Iterator<Item = Question> {
    let policies: Vec<&'p Policy> = policies.into_iter().collect();
    let mut seen = HashSet::new();
    let rules = policies.into_iter().flat_map(|policy| policy.rules().iter());
    let by_rule = rules.flat_map(move |rule| {
        let mut questions = of_rule(rule);
        questions.retain(|question| seen.insert(question.clone()));
        questions
    });
    // What no entry is about.
    by_rule.chain(std::iter::once(Question::new("neither.example")))
}

/// The hosts that say something about one rule.
pub(super) fn of_rule(rule: &Rule) -> Vec<Question> {
    let mut seeds = Seeds::default();
    seeds.take(&rule.pattern.matcher);
    for doubt in rule.pattern.doubts() {
        seeds.take(&rule.pattern.covered_by(doubt));
    }
    seeds.take_text(rule.pattern.text());
    let (usual, others) = ports(rule, &seeds.ports);
    let client = rule.clients().first().map(|network| network.net().addr());
    let mut questions = Vec::new();
    let mut ask = |host: &str, port: u16, client: Option<IpAddr>| {
        if is_host(host) {
            questions.push(Question { client, ..Question::new(host).to_port(port) });
        }
    };
    for name in &seeds.names {
        for host in around(name, &seeds.depths) {
            ask(&host, usual, client);
        }
        for &port in &others {
            ask(name, port, client);
            ask(&format!("any.{name}"), port, client);
        }
    }
    for address in &seeds.addresses {
        ask(&address.to_string(), usual, client);
    }
    if let Some(name) = seeds.names.first().filter(|_| client.is_some()) {
        ask(name, usual, None);
        ask(&format!("any.{name}"), usual, None);
    }
    questions
}

/// A name, and what lies around it.
fn around(name: &str, depths: &[u8]) -> Vec<String> {
    let mut hosts = vec![name.to_owned(), format!("any.{name}"), format!("some.any.{name}")];
    let mut depths: Vec<u8> = depths.iter().copied().chain([5, 6]).filter(|depth| (3..=9).contains(depth)).collect();
    depths.sort_unstable();
    depths.dedup();
    hosts.extend(depths.into_iter().map(|depth| format!("{}{name}", "a.".repeat(depth.into()))));
    hosts.push(format!("not{name}"));
    hosts.push(format!("any.not{name}"));
    hosts.push(format!("{name}.evil.example"));
    hosts.push(format!("any.{name}.evil.example"));
    if let Some((_, parent)) = name.split_once('.') {
        hosts.push(parent.to_owned());
        hosts.push(format!("other.{parent}"));
    }
    hosts.push(name.to_ascii_uppercase());
    hosts.push(format!("Any.{name}"));
    hosts.push(format!("{name}."));
    hosts.push(format!("any.{name}."));
    hosts
}

/// The port at which a rule is asked about, and the ports on both sides of its edges.
fn ports(rule: &Rule, named: &[u16]) -> (u16, Vec<u16>) {
    let mut others = named.to_vec();
    match rule.pattern.ports {
        PatternPorts::Any => {}
        PatternPorts::One(port) => others.push(port),
        PatternPorts::Web => others.extend([80, 8443]),
    }
    for ports in rule.ports() {
        let (first, last) = ports.ends();
        others.extend([first, last, first.saturating_sub(1).max(1), last.saturating_add(1)]);
    }
    let usual = others.iter().copied().chain([443]).find(|port| rule.is_for_port(*port)).unwrap_or(443);
    let usual = if rule.is_for_port(443) { 443 } else { usual };
    if usual != 443 || !others.is_empty() {
        others.extend([443, 8443]);
    }
    others.sort_unstable();
    others.dedup();
    others.retain(|port| *port != usual);
    (usual, others)
}

/// What the entries are about.
#[derive(Default)]
pub(super) struct Seeds {
    pub(super) names: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
    depths: Vec<u8>,
    /// Ports that stand in a text, whatever its dialect makes of them.
    ports: Vec<u16>,
}

impl Seeds {
    pub(super) fn take(&mut self, matcher: &Matcher) {
        match matcher {
            Matcher::Any => {
                self.name("any.example");
                self.addresses.push(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
            }
            Matcher::Below(name) | Matcher::Exact(name) | Matcher::Within(name) => self.name(name),
            Matcher::Deeper { name, fewest, most } => {
                self.name(name);
                self.depths.extend([*fewest, *most, most.saturating_add(1), fewest.saturating_sub(1)]);
            }
            Matcher::Ends(end) => {
                self.name(end.trim_start_matches('.'));
                self.name(&format!("x{end}"));
            }
            Matcher::Glob(form) => ["", "any", "some.any"].iter().for_each(|text| self.name(&form.replace('*', text))),
            Matcher::Loopback => {
                self.name("localhost");
                self.addresses.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
            }
            Matcher::Network(network) => self.network(*network),
            Matcher::Never(text) => self.take_text(text),
            Matcher::Plain => self.name("intranet"),
            Matcher::Regex(expression) => {
                for sample in samples(expression.0.as_str()) {
                    self.take_text(&sample);
                }
            }
            Matcher::Tokens(tokens) => {
                for filling in ["any", "some.any"] {
                    let label = |token: &Token| match token {
                        Token::Label(label) => label.to_string(),
                        Token::One => "any".to_owned(),
                        Token::Many => filling.to_owned(),
                        Token::Rest if filling == "any" => String::new(),
                        Token::Rest => filling.to_owned(),
                    };
                    let labels: Vec<String> = tokens.iter().map(label).filter(|label| !label.is_empty()).collect();
                    self.name(&labels.join("."));
                }
            }
        }
    }

    /// The host that somebody may have meant by a text, whatever its dialect makes of it.
    pub(super) fn take_text(&mut self, text: &str) {
        if let Ok(network) = text.parse() {
            return self.network(network);
        }
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let rest = rest.split_once('=').map_or(rest, |(_, rest)| rest);
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (rest, port) = rest.split_once(':').unwrap_or((rest, ""));
        self.ports.extend(port.trim_end_matches('$').parse::<u16>().ok().filter(|port| *port != 0));
        let name = rest.trim_matches(['.', '*', '^', '$']);
        if name.contains('.') {
            self.name(&name.to_ascii_lowercase());
        }
    }

    fn name(&mut self, name: &str) {
        let name = name.trim_matches('.');
        if is_host(name) && !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
    }

    fn network(&mut self, network: Network) {
        let range = network.net();
        let step = |address: IpAddr, up: bool| match address {
            IpAddr::V4(v4) => {
                let bits = u32::from(v4);
                let next = if up { bits.checked_add(1) } else { bits.checked_sub(1) };
                next.map(|bits| IpAddr::V4(bits.into()))
            }
            IpAddr::V6(v6) => {
                let bits = u128::from(v6);
                let next = if up { bits.checked_add(1) } else { bits.checked_sub(1) };
                next.map(|bits| IpAddr::V6(bits.into()))
            }
        };
        let last = match range {
            IpNet::V4(v4) => IpAddr::V4(v4.broadcast()),
            IpNet::V6(v6) => IpAddr::V6(v6.broadcast()),
        };
        self.addresses.extend([range.addr(), last]);
        self.addresses.extend([step(range.addr(), false), step(last, true)].into_iter().flatten());
    }
}

/// Whether a text can be asked about: a name in ASCII, or an address.
fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    let name = text.strip_suffix('.').unwrap_or(text);
    (name.len() <= 253 && name.split('.').all(label)) || text.parse::<IpAddr>().is_ok()
}

/// Texts in which an expression is found.
fn samples(expression: &str) -> Vec<String> {
    regex_syntax::parse(expression).map(|hir| texts(&hir)).unwrap_or_default()
}

fn texts(hir: &Hir) -> Vec<String> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![String::new()],
        HirKind::Literal(literal) => vec![String::from_utf8_lossy(&literal.0).into_owned()],
        HirKind::Class(class) => {
            let has = |wanted: char| match class {
                regex_syntax::hir::Class::Unicode(class) => {
                    class.iter().any(|range| (range.start()..=range.end()).contains(&wanted))
                }
                regex_syntax::hir::Class::Bytes(class) => class
                    .iter()
                    .any(|range| u8::try_from(wanted).is_ok_and(|byte| (range.start()..=range.end()).contains(&byte))),
            };
            let wanted = ['a', 'b', '0', '1', '-', '.', ':'].into_iter().chain('c'..='z').chain('2'..='9');
            wanted.filter(|wanted| has(*wanted)).take(1).map(String::from).collect()
        }
        HirKind::Repetition(repetition) => {
            let inner = texts(&repetition.sub);
            let fewest = usize::try_from(repetition.min.min(8)).unwrap_or(8);
            let most = repetition.max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
            let counts = [fewest, fewest + 1].into_iter().filter(|count| *count <= most);
            counts.flat_map(|count| inner.iter().map(move |text| text.repeat(count))).take(SAMPLES).collect()
        }
        HirKind::Capture(capture) => texts(&capture.sub),
        HirKind::Concat(parts) => parts.iter().fold(vec![String::new()], |before, part| {
            let after = texts(part);
            let joined = before.iter().flat_map(|start| after.iter().map(move |end| format!("{start}{end}")));
            joined.take(SAMPLES).collect()
        }),
        HirKind::Alternation(ways) => ways.iter().flat_map(texts).take(SAMPLES).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::formats::Entry;
    use super::super::reading::Reading;
    use super::super::{Action, Dialect};
    use super::*;

    fn policy(dialect: &str, list: &[&str]) -> Policy {
        let list = list.iter().map(|entry| Entry::typed(*entry, Action::Bypass));
        Reading::of(dialect.parse().unwrap(), Some(Action::Inspect), list).policy
    }

    fn differing(first: (&str, &[&str]), second: (&str, &[&str])) -> Vec<String> {
        let (first, second) = (policy(first.0, first.1), policy(second.0, second.1));
        differences(&first, &second).map(|difference| difference.question.to_string()).collect()
    }

    #[test]
    fn the_same_list_does_not_differ_from_itself() {
        for dialect in Dialect::all() {
            let list = ["*.okta.com", ".okta.com", "okta.com", "10.0.0.0/8"];
            assert_eq!(differing((dialect.name(), &list), (dialect.name(), &list)), [""; 0], "{dialect}");
        }
    }

    #[test]
    fn six_readings_of_one_entry_are_told_apart() {
        let entry: &[&str] = &["*.okta.com"];
        let found = differing(("pan-os-exclusion", entry), ("pan-os-url", entry));
        assert_eq!(found[0], "some.any.okta.com");
        assert!(!found.contains(&"any.okta.com".to_owned()));
        assert!(differing(("netskope-url-list", entry), ("pan-os-url", entry)).contains(&"okta.com".to_owned()));
        let suffix: &[&str] = &["okta.com"];
        let found = differing(("proxysg-domain", suffix), ("proxysg-host-suffix", suffix));
        assert!(found.contains(&"notokta.com".to_owned()), "{found:?}");
        let found = differing(("pan-os-url", suffix), ("pan-os-url-legacy", suffix));
        assert!(found.contains(&"okta.com.evil.example".to_owned()), "{found:?}");
        let found = differing(("zscaler", &[".okta.com"]), ("squid-dstdomain", &[".okta.com"]));
        assert!(found.contains(&"a.a.a.a.a.a.okta.com".to_owned()), "{found:?}");
        assert!(found.contains(&"any.okta.com.".to_owned()), "{found:?}");
    }

    #[test]
    fn expressions_ports_and_networks_have_their_witnesses() {
        let found = differing(("mitmproxy", &[r"^(.+\.)?okta\.com:443$"]), ("mitmproxy", &["okta.com"]));
        assert!(found.contains(&"notokta.com".to_owned()), "{found:?}");
        assert!(found.contains(&"okta.com:8443".to_owned()), "{found:?}");
        let found = differing(("middlebox", &["10.0.0.0/8"]), ("middlebox", &["10.0.0.0/9"]));
        assert_eq!(found, ["10.255.255.255", "10.128.0.0"]);
        let found = differing(("no-proxy-go", &["okta.com:8443"]), ("no-proxy-go", &["okta.com"]));
        assert!(found.contains(&"okta.com".to_owned()), "{found:?}");
    }

    #[test]
    fn an_expression_is_found_in_its_samples() {
        for source in [r"^(.+\.)?okta\.com:443$", "okta|ping", r"^[a-f]{2,4}\d+\.example$", "a?b+c*"] {
            let expression = regex::Regex::new(source).unwrap();
            let samples = samples(source);
            assert!(!samples.is_empty(), "{source}");
            assert!(samples.iter().all(|sample| expression.is_match(sample)), "{source}: {samples:?}");
        }
    }

    fn entry() -> impl Strategy<Value = String> {
        let start = prop::sample::select(vec!["", ".", "*.", "*", "^.", "*.*.", "https://"]);
        let name = prop::sample::select(vec!["okta.com", "acme.okta.com", "example", "10.0.0.0/8", "10.1.2.3", "com"]);
        let end = prop::sample::select(vec!["", "", "", ":8443", "/", "."]);
        (start, name, end).prop_map(|(start, name, end)| format!("{start}{name}{end}"))
    }

    proptest! {
        #[test]
        fn every_witness_really_differs(
            first in prop::collection::vec(entry(), 0..6),
            second in prop::collection::vec(entry(), 0..6),
            dialects in prop::sample::subsequence(Dialect::all().collect::<Vec<_>>(), 2),
        ) {
            let read = |dialect: Dialect, list: &[String]| {
                let list = list.iter().map(|entry| Entry::typed(entry.as_str(), Action::Bypass));
                Reading::of(dialect, Some(Action::Inspect), list)
            };
            let (first, second) = (read(dialects[0], &first), read(dialects[1], &second));
            for Difference { question, .. } in differences(&first.policy, &second.policy) {
                let typed: Question = match question.client {
                    None => question.to_string().parse().unwrap(),
                    Some(_) => question.clone(),
                };
                prop_assert_ne!(first.rehearse(&typed).decision, second.rehearse(&typed).decision, "{}", question);
            }
        }
    }
}
