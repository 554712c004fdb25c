//! A list in another product's syntax: the same hosts, or a list of those that differ.
//!
//! Each entry is read into what it covers, and written again in the forms that the other dialect knows, each of which is
//! read by that dialect and compared. Where one form does not say it, several together may; where none do, the nearest
//! ones are taken. Whether both lists treat hosts alike is not concluded from that: both policies decide the hosts
//! that their entries are about ([`compare`]).

use arcstr::Substr;

use thiserror::Error;

use super::compare::{Contrast, gather};
use super::dialects::Dialect;
use super::formats::{Entry, Format, Lack, List, Place};
use super::matcher::{Matcher, Token};
use super::pattern::{Pattern, PatternPorts};
use super::question::Question;
use super::reading::Rejected;
use super::witness::{Difference, difference, differences};
use super::{Action, Policy};
use crate::policy::Ports;

/// A converted list.
#[derive(Debug)]
pub struct Conversion {
    /// The list in the other dialect, which its format can say.
    pub list: List,
    /// What did not come along, each with its place in the first list.
    pub left_out: Vec<LeftOut>,
    /// The hosts that the two lists treat differently.
    pub contrasts: Vec<Contrast>,
    /// The same, where it lies in how the two products take capital letters or a trailing dot in the name that a client
    /// sends, which no list changes.
    pub spellings: Vec<Contrast>,
    /// Entries that the first product refuses, so that there is nothing to convert.
    pub rejected: Vec<Rejected>,
    /// What is done where nothing matches, under the first list.
    pub default: Action,
    /// What the other product does where nothing matches, where that is something else and the format cannot say it.
    pub other_default: Option<Action>,
}

/// An entry, or a part of one, that did not come along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it stands.
    pub place: Place,
    /// What it is and why, as a clause.
    pub what: String,
}

/// A list cannot be converted at all.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConvertError {
    /// The format is another product's.
    #[error("{} holds patterns of {}, and not of {to}", .format.title(), names(*.format))]
    Format {
        /// The format.
        format: Format,
        /// The dialect.
        to: Dialect,
    },
    /// It is a script.
    #[error("a PAC file is a script and no list of patterns, so there is nothing to write in another syntax")]
    Script,
}

fn names(format: Format) -> String {
    format.dialects().map(Dialect::name).collect::<Vec<_>>().join(" or ")
}

/// Converts a list into another dialect, so far as a format can hold it. Both lists are compared with the same default: the
/// one that the list says, or as if everything else were inspected, whatever the products do where nothing matches.
///
/// # Errors
/// The list is a script, or the format is not for that dialect.
pub fn convert(list: &List, from: Option<Dialect>, to: Dialect, format: Format) -> Result<Conversion, ConvertError> {
    if list.script.is_some() {
        return Err(ConvertError::Script);
    }
    if format.dialects().next().is_some() && !format.dialects().any(|own| own == to) {
        return Err(ConvertError::Format { format, to });
    }
    let reads = list.dialect_or(from);
    let default = list.default.unwrap_or(Action::Inspect);
    let first = list.under(from, Some(default));
    let mut out = List::new(format, &list.documents[0]);
    out.dialect = Some(to);
    out.name.clone_from(&list.name);
    out.default = Some(default).filter(|own| list.default.is_some() || *own != to.default_action());
    let mut left_out = Vec::new();
    let mut beyond = Vec::new();
    let mut refused = first.rejected.iter().peekable();
    for (number, entry) in list.entries.iter().enumerate() {
        out.comments.extend(
            list.comments
                .iter()
                .filter(|(before, _)| *before == number)
                .map(|(_, comment)| (out.entries.len(), comment.clone())),
        );
        let own = if from.is_some() { reads } else { entry.dialect().unwrap_or(reads) };
        let Ok(pattern) = own.parse(entry.pattern()) else {
            refused.next();
            continue;
        };
        let spelled = spell(own, to, &pattern);
        beyond.extend(first_beyond(own, to, &pattern, &spelled));
        if spelled.is_empty() {
            let why = match pattern.matcher {
                Matcher::Never(_) => "covers no host".to_owned(),
                _ => format!("has no form in {to}"),
            };
            left_out.push(LeftOut { place: entry.place(), what: format!("`{}` {why}", entry.pattern()) });
        }
        out.entries.extend(spelled.into_iter().map(|Spelled { text, ports }| {
            let ports = if ports.is_empty() { entry.ports().to_vec() } else { ports };
            Entry::new(text, entry.action(), entry.place())
                .with_enabled(entry.enabled())
                .with_ports(ports)
                .with_clients(entry.clients().to_vec())
                .with_note(entry.note().map(ToOwned::to_owned))
                .with_name(entry.name().map(ToOwned::to_owned))
        }));
    }
    out.comments.extend(
        list.comments
            .iter()
            .filter(|(before, _)| *before >= list.entries.len())
            .map(|(_, comment)| (out.entries.len(), comment.clone())),
    );
    let mut other_default = None;
    fit(&mut out, format, &mut left_out, |list| {
        list.default = None;
        other_default = Some(to.default_action());
    });
    let second = out.under(None, Some(default));
    let (contrasts, spellings) = contrasts(&first.policy, &second.policy, beyond);
    Ok(Conversion { list: out, left_out, contrasts, spellings, rejected: first.rejected, default, other_default })
}

/// The hosts that two policies treat differently, and those that differ in their spelling alone.
fn contrasts(first: &Policy, second: &Policy, beyond: Vec<Question>) -> (Vec<Contrast>, Vec<Contrast>) {
    let mut found: Vec<Difference> = differences(first, second).collect();
    let beyond = beyond.into_iter().filter_map(|question| difference(first, second, question));
    let beyond: Vec<_> = beyond.filter(|one| !found.iter().any(|known| known.question == one.question)).collect();
    found.extend(beyond);
    let (spelled, real): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| {
        let host = &found.question.host;
        let plain = host.trim_end_matches('.').to_ascii_lowercase();
        plain != *host && difference(first, second, Question { host: plain, ..found.question.clone() }).is_none()
    });
    (gather(real), gather(spelled))
}

/// Takes away what the format cannot say.
fn fit(list: &mut List, format: Format, left_out: &mut Vec<LeftOut>, without_default: impl FnOnce(&mut List)) {
    let unsaid = format.unsaid(list);
    let mut without_default = Some(without_default);
    let mut gone = vec![false; list.entries.len()];
    for lack in unsaid {
        let Some(number) = lack.entry else {
            if lack.lack == Lack::Default
                && let Some(without_default) = without_default.take()
            {
                without_default(list);
            }
            continue;
        };
        let entry = &mut list.entries[number];
        left_out.push(LeftOut { place: entry.place(), what: format!("{} is left out", lack.text) });
        match lack.lack {
            Lack::Ports => *entry = entry.clone().without_ports(),
            Lack::Clients => *entry = entry.clone().without_clients(),
            Lack::Action | Lack::Default | Lack::Dialect | Lack::Disabled | Lack::Pattern | Lack::Script => {
                gone[number] = true;
            }
        }
    }
    let mut gone = gone.into_iter();
    list.entries.retain(|_| !gone.next().unwrap_or(false));
}

/// One entry of the other dialect, with ports that its pattern does not say.
struct Spelled {
    text: String,
    ports: Vec<Ports>,
}

/// So many labels deep go entries that say a depth each, where the depth has no end.
const DEEPEST: u32 = 5;

/// Depths below a name as bits: bit 0 is the name itself, bit 1 one label below it. A name has at most 127 labels.
type Depths = u128;

/// What a pattern covers, where that is a name and names at some depths below it.
fn depths(matcher: &Matcher) -> Option<(Substr, Depths)> {
    let between = |fewest: u32, most: u32| (fewest..=most.min(127)).fold(0, |bits, depth| bits | (1 << depth));
    match matcher {
        Matcher::Exact(name) => Some((name.clone(), 1)),
        Matcher::Below(name) => Some((name.clone(), !1)),
        Matcher::Within(name) => Some((name.clone(), !0)),
        Matcher::Deeper { name, fewest, most } => Some((name.clone(), between((*fewest).into(), (*most).into()))),
        // The end of a text that begins with a dot is a domain without its apex.
        Matcher::Ends(end) => end.strip_prefix('.').map(|name| (name.into(), !1)),
        Matcher::Glob(form) => form.strip_prefix("*.").filter(|name| !name.contains('*')).map(|name| (name.into(), !1)),
        Matcher::Tokens(tokens) => {
            let wild = tokens.iter().take_while(|token| !matches!(token, Token::Label(_))).count();
            let (mut fewest, mut open) = (0, false);
            for token in &tokens[..wild] {
                match token {
                    Token::One => fewest += 1,
                    Token::Many => (fewest, open) = (fewest + 1, true),
                    Token::Rest | Token::Label(_) => open = true,
                }
            }
            let mut labels = Vec::new();
            for token in &tokens[wild..] {
                match token {
                    Token::Label(label) => labels.push(&**label),
                    _ => return None,
                }
            }
            let most = if open { 127 } else { fewest };
            (!labels.is_empty()).then(|| (labels.join(".").into(), between(fewest, most)))
        }
        _ => None,
    }
}

/// What a pattern is about: what its matcher says or, of the usual forms of expressions, what they say.
fn meaning(dialect: Dialect, pattern: &Pattern) -> (Option<(Substr, Depths)>, Vec<Ports>) {
    let single = |port| Ports::new(port, port).into_iter().collect::<Vec<_>>();
    if let (Matcher::Regex(expression), "mitmproxy") = (&pattern.matcher, dialect.name()) {
        let text = expression.0.as_str();
        let text = text.strip_prefix("(?i)").unwrap_or(text);
        return match usual_expression(pattern.text()).or_else(|| usual_expression(text)) {
            Some((name, depths, port)) => (Some((name.into(), depths)), port.map(single).unwrap_or_default()),
            None => (None, Vec::new()),
        };
    }
    let ports = match pattern.ports {
        PatternPorts::Any => Vec::new(),
        PatternPorts::One(port) => single(port),
        PatternPorts::Web => [single(80), single(443)].concat(),
    };
    (depths(&pattern.matcher), ports)
}

/// `^(.+\.)?okta\.com:443$` and its like: the name, the depths, the port.
fn usual_expression(text: &str) -> Option<(String, Depths, Option<u16>)> {
    let rest = text.strip_prefix('^')?;
    let starts = [(r"(.+\.)?", !0), (r"(.*\.)?", !0), (r"([^.]+\.)*", !0), (r".+\.", !1), (r".*\.", !1), ("", 1)];
    let (rest, depths) =
        starts.iter().find_map(|(start, depths)| rest.strip_prefix(start).map(|rest| (rest, *depths)))?;
    let (rest, port) = match rest.strip_suffix('$') {
        Some(rest) => {
            let (rest, port) = rest.rsplit_once(':')?;
            match port {
                r"\d+" | ".*" | ".+" | "[0-9]+" => (rest, None),
                port => (rest, Some(port.parse().ok()?)),
            }
        }
        None => (rest.strip_suffix(':')?, None),
    };
    let name = rest.replace(r"\.", "\u{0}").replace(r"\-", "-");
    let fits = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_' | '\u{0}');
    (!name.is_empty() && name.chars().all(fits))
        .then(|| (name.replace('\u{0}', ".").to_ascii_lowercase(), depths, port))
}

/// The entries of `to` that say what a pattern of `from` says, or the nearest ones; none where there are none.
fn spell(from: Dialect, to: Dialect, pattern: &Pattern) -> Vec<Spelled> {
    let (covered, ports) = meaning(from, pattern);
    if from == to {
        return vec![Spelled { text: pattern.text().to_owned(), ports: Vec::new() }];
    }
    match covered {
        Some((name, wanted)) if to.name() == "mitmproxy" => expressions(&name, wanted, &ports),
        Some((name, wanted)) => by_depth(to, &name, wanted, &ports),
        None => other(to, pattern, &ports),
    }
}

/// A host at the least depth at which entries do not cover what the pattern covers, or cover more. Products count labels
/// up to depths that nobody would think of asking about.
fn first_beyond(from: Dialect, to: Dialect, pattern: &Pattern, spelled: &[Spelled]) -> Option<Question> {
    let (Some((name, wanted)), ports) = meaning(from, pattern) else { return None };
    let read = |spelled: &Spelled| {
        let pattern = to.parse(&spelled.text).ok()?;
        let (own, covers) = meaning(to, &pattern).0?;
        (own == name).then_some(covers)
    };
    let covered = spelled.iter().filter_map(read).fold(0, |all, covers| all | covers);
    let depth = (covered ^ wanted).trailing_zeros();
    let host = format!("{}{name}", "a.".repeat(usize::try_from(depth).ok()?));
    let port = ports.first().map_or(443, |ports| ports.ends().0);
    (depth < 127 && host.len() <= 253).then(|| Question::new(host).to_port(port))
}

/// The forms in which products write names and what is below them.
fn forms(name: &str) -> Vec<String> {
    let mut forms: Vec<String> =
        ["", ".", "*.", "*", "^.", "CN=", "CN=*."].map(|start| format!("{start}{name}")).into();
    forms.extend((2..=9).map(|labels| format!("{}{name}", "*.".repeat(labels))));
    forms.extend((2..=9).map(|labels| format!("{}{name}", "^.".repeat(labels))));
    forms
}

fn by_depth(to: Dialect, name: &str, wanted: Depths, ports: &[Ports]) -> Vec<Spelled> {
    struct Candidate {
        text: String,
        covers: Depths,
        doubtful: bool,
        ports: Vec<Ports>,
    }
    let port = match ports {
        [one] => one.single(),
        _ => None,
    };
    let candidate = |form: String| {
        let bound = port.map(|port| format!("{form}:{port}")).and_then(|bound| {
            let pattern = to.parse(&bound).ok()?;
            (pattern.port() == port).then_some((bound, pattern, Vec::new()))
        });
        let (text, pattern, ports) = match bound {
            Some(bound) => bound,
            None => {
                let pattern = to.parse(&form).ok()?;
                (form, pattern, ports.to_vec())
            }
        };
        let (own, covers) = depths(&pattern.matcher)?;
        let doubtful = !pattern.doubts().is_empty() || !pattern.warnings().is_empty();
        (*own == *name).then_some(Candidate { text, covers, doubtful, ports })
    };
    let mut candidates: Vec<Candidate> = forms(name).into_iter().filter_map(candidate).collect();
    candidates.sort_by_key(|candidate| candidate.doubtful);
    let spelled = |candidate: &Candidate| Spelled { text: candidate.text.clone(), ports: candidate.ports.clone() };
    if let Some(exact) = candidates.iter().find(|candidate| candidate.covers == wanted) {
        return vec![spelled(exact)];
    }
    // Of a depth without end, so much is said by entries for single depths.
    let deepest = if wanted >> 127 & 1 == 1 { DEEPEST } else { 127 };
    let sensible = |covers: Depths| covers >> 127 & 1 == 1 || covers.trailing_zeros() <= deepest;
    let mut narrower: Vec<&Candidate> =
        candidates.iter().filter(|found| found.covers & !wanted == 0 && sensible(found.covers)).collect();
    narrower.sort_by_key(|candidate| std::cmp::Reverse(candidate.covers.count_ones()));
    let mut covered = 0;
    let mut chosen = Vec::new();
    for candidate in narrower {
        if candidate.covers & !covered != 0 {
            covered |= candidate.covers;
            chosen.push(spelled(candidate));
        }
    }
    // The nearest is what differs first at the greatest depth: few hosts are deep.
    let nearness = |covers: Depths| (covers ^ wanted).trailing_zeros();
    let single = candidates.iter().max_by_key(|candidate| nearness(candidate.covers));
    match single.filter(|single| chosen.is_empty() || nearness(single.covers) > nearness(covered)) {
        Some(single) => vec![spelled(single)],
        None => chosen,
    }
}

/// Expressions for mitmproxy, which are searched for in `host:port`.
fn expressions(name: &str, wanted: Depths, ports: &[Ports]) -> Vec<Spelled> {
    let name = regex_syntax::escape(name).replace(r"\-", "-");
    let mut starts: Vec<String> = Vec::new();
    let mut depth = 0;
    while depth < 128 {
        if wanted >> depth & 1 == 0 {
            depth += 1;
            continue;
        }
        let end = (depth..128).find(|at| wanted >> at & 1 == 0);
        starts.push(match (depth, end) {
            (0, None) => r"(.+\.)?".to_owned(),
            (1, None) => r".+\.".to_owned(),
            (0, Some(1)) => String::new(),
            (fewest, None) => format!(r"([^.]+\.){{{fewest},}}"),
            (fewest, Some(end)) if end == fewest + 1 => format!(r"([^.]+\.){{{fewest}}}"),
            (fewest, Some(end)) => format!(r"([^.]+\.){{{fewest},{}}}", end - 1),
        });
        depth = end.unwrap_or(128);
    }
    let ends: Vec<String> = match ports {
        [] => vec![":".to_owned()],
        ports => ports.iter().filter_map(Ports::single).map(|port| format!(":{port}$")).collect(),
    };
    let text = |(start, end): (&String, &String)| Spelled { text: format!("^{start}{name}{end}"), ports: Vec::new() };
    starts.iter().flat_map(|start| ends.iter().map(move |end| (start, end))).map(text).collect()
}

/// What is no name: addresses, every host, ends of names, expressions. The same matcher under another text.
fn other(to: Dialect, pattern: &Pattern, ports: &[Ports]) -> Vec<Spelled> {
    let shown = pattern.matcher.to_string();
    let mut texts = vec![pattern.text().to_owned(), shown.clone()];
    match &pattern.matcher {
        Matcher::Never(_) => return Vec::new(),
        Matcher::Any => texts.extend(["*", "**", ".*", "."].map(ToOwned::to_owned)),
        Matcher::Ends(end) => {
            texts.extend([end.to_string(), format!("*{end}"), format!("{}:", regex_syntax::escape(end))]);
        }
        Matcher::Plain => texts.push(r"^[^.:]+:".to_owned()),
        Matcher::Regex(expression) => texts.push(expression.0.as_str().to_owned()),
        _ => {}
    }
    let same = |text: &String| {
        let found = to.parse(text).ok()?;
        let is_it = found.matcher == pattern.matcher
            || matches!((to.name(), &found.matcher), ("mitmproxy", Matcher::Regex(_)))
                && *text != shown
                && *text != pattern.text();
        is_it.then(|| Spelled { text: text.clone(), ports: ports.to_vec() })
    };
    texts.iter().find_map(same).into_iter().collect()
}

impl Conversion {
    /// Whether both lists treat every host alike, as far as their entries say.
    #[must_use]
    pub fn is_faithful(&self) -> bool {
        self.contrasts.is_empty() && self.rejected.is_empty()
    }
}

/// The format in which a converted list is written where none is chosen: a plain list where that says everything, else
/// this program's own, in which a `policy.toml` stays, too.
#[must_use]
pub fn usual_format(list: &List, converted: &List) -> Format {
    let says_it = Format::PLAIN.unsaid(converted).iter().all(|unsaid| unsaid.lack == Lack::Default);
    if says_it && list.format != Format::POLICY_TOML { Format::PLAIN } else { Format::POLICY_TOML }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::Action;

    fn list(dialect: &str, patterns: &[&str]) -> List {
        let mut list = List::of_patterns(patterns.iter().copied(), Action::Bypass);
        list.dialect = dialect.parse().ok();
        list
    }

    fn texts(from: &str, to: &str, patterns: &[&str]) -> (Vec<String>, Vec<String>) {
        let done = convert(&list(from, patterns), None, to.parse().unwrap(), Format::POLICY_TOML).unwrap();
        let texts = done.list.entries.iter().map(|entry| entry.pattern().to_owned()).collect();
        (texts, done.contrasts.iter().map(|contrast| contrast.witnesses.join(" ")).collect())
    }

    #[test]
    fn the_same_hosts_in_other_words() {
        let same = |from, to, patterns: &[&str]| {
            let (texts, contrasts) = texts(from, to, patterns);
            assert_eq!(contrasts, [""; 0], "{from} {to} {patterns:?} {texts:?}");
            texts
        };
        assert_eq!(same("middlebox", "squid-server-name", &["okta.com"]), ["okta.com"]);
        assert_eq!(same("middlebox", "netskope-url-list", &["okta.com:8443"]), ["okta.com:8443"]);
        assert_eq!(same("middlebox", "pan-os-url", &["*.okta.com", "okta.com"]), ["*.okta.com", "okta.com"]);
        assert_eq!(same("cloudflare-domain", "middlebox", &["okta.com"]), [".okta.com"]);
        assert_eq!(same("middlebox", "no-proxy-go", &[".okta.com", "*.okta.com"]), ["okta.com", ".okta.com"]);
        assert_eq!(same("pan-os-exclusion", "pan-os-url", &["*.*.okta.com"]), ["^.^.okta.com"]);
        assert_eq!(same("zscaler", "pan-os-exclusion", &[".okta.com"]).len(), 6);
    }

    #[test]
    fn what_cannot_be_said_is_told_by_its_hosts() {
        let (narrower, contrasts) = texts("middlebox", "pan-os-exclusion", &[".okta.com"]);
        assert!(narrower.contains(&"*.okta.com".to_owned()), "{narrower:?}");
        assert_eq!(contrasts, ["a.a.a.a.a.a.okta.com"]);
        let (none, contrasts) = texts("middlebox", "zscaler", &["10.0.0.0/8"]);
        assert!(none.is_empty(), "{none:?}");
        assert!(contrasts[0].contains("10."), "{contrasts:?}");
    }

    #[test]
    fn expressions_are_understood_and_made() {
        let usual = |text: &str| usual_expression(text).map(|(name, depths, port)| (name, depths.count_ones(), port));
        assert_eq!(usual(r"^(.+\.)?okta\.com:443$"), Some(("okta.com".to_owned(), 128, Some(443))));
        assert_eq!(usual(r"^.+\.okta-x\.com:"), Some(("okta-x.com".to_owned(), 127, None)));
        assert_eq!(usual(r"^okta\.com:\d+$"), Some(("okta.com".to_owned(), 1, None)));
        for other in [r"okta\.com:443$", r"^okta.com:443$", r"^(okta|x)\.com:443$", r"^okta\.com$"] {
            assert_eq!(usual(other), None, "{other}");
        }
        let made = |depths, ports: &[Ports]| {
            expressions("okta.com", depths, ports).into_iter().map(|one| one.text).collect::<Vec<_>>()
        };
        assert_eq!(made(!0, &[]), [r"^(.+\.)?okta\.com:"]);
        assert_eq!(made(0b1101, &["443".parse().unwrap()]), [r"^okta\.com:443$", r"^([^.]+\.){2,3}okta\.com:443$"]);
    }

    fn hosts() -> impl Strategy<Value = Vec<String>> {
        let pattern = r"(\*\.|\.|)[a-c]{1,2}(\.[a-c]{1,2}){1,2}";
        prop::collection::vec(pattern, 1..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn convert_and_back_keeps_every_decision(patterns in hosts(), pair in any::<prop::sample::Index>(), pair_to in any::<prop::sample::Index>()) {
            let all: Vec<Dialect> = Dialect::all().collect();
            let (from, to) = (all[pair.index(all.len())], all[pair_to.index(all.len())]);
            let patterns: Vec<&str> = patterns.iter().map(String::as_str).filter(|text| from.parse(text).is_ok()).collect();
            let list = list(from.name(), &patterns);
            let there = convert(&list, None, to, Format::POLICY_TOML).unwrap();
            if there.is_faithful() {
                let back = convert(&there.list, None, from, Format::POLICY_TOML).unwrap();
                if back.is_faithful() {
                    let old: Policy = list.under(None, Some(Action::Inspect)).policy;
                    let new = back.list.under(None, Some(old.default_action())).policy;
                    prop_assert_eq!(contrasts(&old, &new, Vec::new()).0, []);
                }
            }
        }
    }
}
