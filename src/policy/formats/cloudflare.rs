//! Cloudflare Gateway: HTTP policies with the action `off`, "Do Not Inspect", and the lists that they name (Cloudflare
//! docs, "HTTP policies"; API `/gateway/rules` and `/gateway/lists`; cloudflare/terraform-provider-cloudflare).
//!
//! A policy says its hosts in an expression. Read are comparisons of the selectors Host (`http.conn.hostname`) and Domain
//! (`http.conn.domains`) that are joined by `or`; any other expression is kept aside whole.

use std::fmt::Write as _;

use serde_json::json;

use super::super::Action;
use super::say::{ALL_ACTIONS, Says};
use super::terraform::string;
use super::tree::{self, Node, Value, place};
use super::{Dialect, Entry, Format, List, Place, Sample, Spec};
use crate::source::{Document, PlaceError, Places};

pub(super) static SPEC: Spec = Spec {
    name: "cloudflare-json",
    title: "JSON of the Cloudflare API",
    dialects: &["cloudflare-host", "cloudflare-domain"],
    recognises,
    read,
    says: SAYS,
    can_write,
    write,
};

fn recognises(sample: &Sample<'_>) -> bool {
    let has = |key: &str| sample.text.contains(key);
    sample.is_json()
        && ((has("\"traffic\"") && has("\"action\""))
            || (has("\"items\"") && has("\"type\"") && (has("DOMAIN") || has("HOSTNAME"))))
}

/// Rules and lists, before they are put together.
#[derive(Default)]
pub(super) struct Gateway {
    rules: Vec<Rule>,
    lists: Vec<Hosts>,
}

struct Rule {
    name: String,
    note: Option<String>,
    place: Place,
    precedence: i64,
    enabled: bool,
    action: Action,
    terms: Vec<Term>,
}

struct Hosts {
    /// Every word by which a rule may name it.
    names: Vec<String>,
    title: String,
    place: Place,
    items: Vec<(String, Option<String>, Place)>,
}

/// One comparison of an expression.
struct Term {
    selector: Selector,
    values: Vec<(String, Place)>,
    list: Option<(String, Place)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Selector {
    Domain,
    Host,
}

impl Selector {
    fn dialect(self) -> Option<Dialect> {
        match self {
            Self::Domain => "cloudflare-domain".parse().ok(),
            Self::Host => "cloudflare-host".parse().ok(),
        }
    }
}

impl Gateway {
    pub(super) fn rule(&mut self, list: &mut List, places: &mut Places<'_>, node: &Node) {
        let said = |key: &str| node.field(key).and_then(Node::text);
        let at = place(places, node.at);
        let name = said("name").unwrap_or_default().to_owned();
        let action = match said("action") {
            Some("off") => Action::Bypass,
            Some("on") => Action::Inspect,
            Some("block") => Action::Block,
            other => {
                let what =
                    format!("policy {name} has the action {}, which decides nothing here", other.unwrap_or("nothing"));
                return list.put_aside(at, what);
            }
        };
        let is_http = node.all("filters").all(|filter| filter.text() == Some("http"));
        if !is_http {
            return list.put_aside(at, format!("policy {name} is no HTTP policy"));
        }
        for key in ["identity", "device_posture"] {
            if node.field(key).is_some_and(|field| !field.is_nothing()) {
                list.put_aside(at, format!("policy {name} is limited by `{key}`, which is not looked at"));
            }
        }
        let Some(traffic) = node.field("traffic") else {
            return list.put_aside(at, format!("policy {name} is for no traffic in particular"));
        };
        let text = traffic.text().unwrap_or_default();
        let base = place(places, traffic.at);
        match expression(text, base) {
            Some(terms) => self.rules.push(Rule {
                name,
                note: said("description").filter(|note| !note.is_empty()).map(ToOwned::to_owned),
                place: at,
                precedence: said("precedence").and_then(|number| number.parse().ok()).unwrap_or(i64::MAX),
                enabled: node.field("enabled").is_none_or(Node::is_true),
                action,
                terms,
            }),
            None => {
                let what = format!("the expression of policy {name} is more than a list of hosts: {text}");
                list.put_unread(base, Some(action), what);
            }
        }
    }

    pub(super) fn list(&mut self, places: &mut Places<'_>, node: &Node, address: Option<&str>) {
        let said = |key: &str| node.field(key).and_then(Node::text).map(ToOwned::to_owned);
        let title = said("name").unwrap_or_default();
        let mut names: Vec<String> = said("id").into_iter().map(|id| id.replace('-', "")).collect();
        names.extend(address.map(ToOwned::to_owned));
        let items = node.all("items").chain(node.all("items_with_description")).filter_map(|item| {
            let value = item.field("value").unwrap_or(item);
            let about = item.field("description").and_then(Node::text).filter(|about| !about.is_empty());
            Some((value.text()?.to_owned(), about.map(ToOwned::to_owned), place(places, value.at)))
        });
        let items = items.collect();
        self.lists.push(Hosts { names, title, place: place(places, node.at), items });
    }

    pub(super) fn finish(mut self, list: &mut List) {
        let lone_lists = self.rules.is_empty();
        if lone_lists && self.lists.is_empty() {
            return;
        }
        self.rules.sort_by_key(|rule| rule.precedence);
        let first = self.rules.iter().flat_map(|rule| &rule.terms).map(|term| term.selector).next();
        let main = first.unwrap_or(Selector::Domain);
        list.dialect = list.dialect.or(main.dialect());
        let entry = |text: &str, place: Place, rule: &Rule, selector: Selector, note: Option<&str>| {
            Entry::new(text, rule.action, place)
                .with_enabled(rule.enabled)
                .with_name(Some(rule.name.clone()).filter(|name| !name.is_empty()))
                .with_note(note.or(rule.note.as_deref()).map(ToOwned::to_owned))
                .with_dialect(selector.dialect().filter(|own| Some(*own) != list.dialect))
        };
        let mut entries = Vec::new();
        let mut aside = Vec::new();
        let mut used = vec![false; self.lists.len()];
        for rule in &self.rules {
            for term in &rule.terms {
                entries.extend(term.values.iter().map(|(text, at)| entry(text, *at, rule, term.selector, None)));
                let Some((named, at)) = &term.list else { continue };
                let is_it = |hosts: &Hosts| {
                    hosts.names.iter().any(|name| *name == named.replace('-', "") || named.contains(name))
                };
                match self.lists.iter().position(is_it) {
                    Some(found) => {
                        used[found] = true;
                        let items = self.lists[found].items.iter();
                        entries.extend(
                            items.map(|(text, note, at)| entry(text, *at, rule, term.selector, note.as_deref())),
                        );
                    }
                    None => aside.push((*at, format!("the list {named} of policy {} is not in this file", rule.name))),
                }
            }
            if rule.terms.is_empty() {
                aside.push((rule.place, format!("policy {} names no host", rule.name)));
            }
        }
        for (hosts, used) in self.lists.iter().zip(used) {
            if lone_lists {
                entries.extend(hosts.items.iter().map(|(text, note, at)| {
                    Entry::new(text.as_str(), Action::Bypass, *at)
                        .with_name(Some(hosts.title.clone()))
                        .with_note(note.clone())
                }));
            } else if !used {
                aside.push((hosts.place, format!("no policy is for the list {}", hosts.title)));
            }
        }
        list.entries.extend(entries);
        for (place, what) in aside {
            list.put_aside(place, what);
        }
    }
}

/// The comparisons of an expression, where it is a list of hosts joined by `or`. The place is that of its first byte.
fn expression(text: &str, base: Place) -> Option<Vec<Term>> {
    let tokens = tokens(text)?;
    let mut at = 0;
    let mut terms = vec![term(&tokens, &mut at, base, text)?];
    while at < tokens.len() {
        if !matches!(tokens[at].0, Token::Word("or" | "||")) {
            return None;
        }
        at += 1;
        terms.push(term(&tokens, &mut at, base, text)?);
    }
    Some(terms)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    Sign(char),
    Text(&'t str),
    Word(&'t str),
}

/// Texts, signs, and words with dots in them; with the offset of each.
fn tokens(text: &str) -> Option<Vec<(Token<'_>, usize)>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        match first {
            blank if blank.is_whitespace() => at += blank.len_utf8(),
            '"' => {
                let end = rest[1..].find('"')? + 1;
                if rest[..end].contains('\\') {
                    return None;
                }
                tokens.push((Token::Text(&rest[1..end]), at + 1));
                at += end + 1;
            }
            '(' | ')' | '{' | '}' => {
                tokens.push((Token::Sign(first), at));
                at += 1;
            }
            _ => {
                // The braces of an interpolation belong to the word.
                let end = match rest.trim_start_matches('$').starts_with('{') && first == '$' {
                    true => rest.find('}')? + 1,
                    false => {
                        let ends = |sign: char| sign.is_whitespace() || "(){}\"".contains(sign);
                        rest.find(ends).unwrap_or(rest.len())
                    }
                };
                tokens.push((Token::Word(&rest[..end]), at));
                at += end;
            }
        }
    }
    Some(tokens)
}

fn term(tokens: &[(Token<'_>, usize)], at: &mut usize, base: Place, text: &str) -> Option<Term> {
    let mut next = || {
        let token = tokens.get(*at).copied();
        *at += 1;
        token
    };
    // Texts on one line: a place is as far from the first byte as its characters are.
    let place = |offset: usize| {
        let before = &text[..offset];
        match before.contains('\n') {
            true => base,
            false => Place { column: base.column + u32::try_from(before.chars().count()).unwrap_or(0), ..base },
        }
    };
    let (mut word, _) = next()?;
    let mut open = 0;
    while word == Token::Sign('(') {
        open += 1;
        word = next()?.0;
    }
    let any = word == Token::Word("any");
    if any {
        (next()?.0 == Token::Sign('(')).then_some(())?;
        word = next()?.0;
    }
    let selector = match (word, any) {
        (Token::Word("http.conn.domains[*]"), true) => Selector::Domain,
        (Token::Word("http.conn.hostname"), false) => Selector::Host,
        _ => return None,
    };
    let mut term = Term { selector, values: Vec::new(), list: None };
    match next()?.0 {
        Token::Word("==" | "eq") => match next()? {
            (Token::Text(value), offset) => term.values.push((value.to_owned(), place(offset))),
            _ => return None,
        },
        Token::Word("in") => match next()? {
            (Token::Sign('{'), _) => loop {
                match next()? {
                    (Token::Text(value), offset) => term.values.push((value.to_owned(), place(offset))),
                    (Token::Sign('}'), _) => break,
                    _ => return None,
                }
            },
            (Token::Word(named), offset) if named.starts_with('$') => {
                term.list = Some((named.trim_start_matches('$').trim_matches(['{', '}']).to_owned(), place(offset)));
            }
            _ => return None,
        },
        _ => return None,
    }
    for _ in 0..open + usize::from(any) {
        (next()?.0 == Token::Sign(')')).then_some(())?;
    }
    Some(term)
}

fn read(document: &Document) -> Result<List, PlaceError> {
    let root = tree::json(document)?;
    let mut list = List::new(Format(&SPEC), document);
    let mut places = document.places();
    let mut gateway = Gateway::default();
    take_all(&mut gateway, &mut list, &mut places, &root, 4);
    gateway.finish(&mut list);
    Ok(list)
}

/// Rules, lists, arrays of them, and the envelope in which the API answers.
fn take_all(gateway: &mut Gateway, list: &mut List, places: &mut Places<'_>, node: &Node, depth: usize) {
    match &node.value {
        Value::Fields(_) if node.field("action").is_some() => gateway.rule(list, places, node),
        Value::Fields(_) if node.field("items").is_some() => gateway.list(places, node, None),
        Value::Fields(fields) if depth > 0 => {
            for field in fields {
                match (&field.node.value, field.key.as_str()) {
                    (_, "success" | "errors" | "messages" | "result_info") => {}
                    (Value::Items(_) | Value::Fields(_), _) => take_all(gateway, list, places, &field.node, depth - 1),
                    (_, key) => list.put_aside(place(places, field.at), format!("`{key}` is no policy and no list")),
                }
            }
        }
        Value::Items(items) => items.iter().for_each(|item| take_all(gateway, list, places, item, depth)),
        _ => list.put_aside(place(places, node.at), "this is no policy and no list"),
    }
}

const SAYS: Says = Says { actions: ALL_ACTIONS, disabled: true, dialects: true, ..Says::PATTERNS };

pub(super) fn can_write(_: &List, entry: &Entry) -> bool {
    !entry.pattern().contains(['"', '\\']) && !entry.pattern().contains(char::is_control)
}

struct Written {
    name: String,
    note: Option<String>,
    action: &'static str,
    enabled: bool,
    traffic: String,
}

/// The policies that a list makes: one for each run of entries of the same name, note, action and state.
fn policies(list: &List) -> Vec<Written> {
    let selector = |entry: &Entry| match entry.dialect().or(list.dialect).map(Dialect::name) {
        Some("cloudflare-host") => Selector::Host,
        _ => Selector::Domain,
    };
    let mut policies: Vec<Written> = Vec::new();
    for run in list.entries.chunk_by(|one, other| {
        (one.name(), one.note(), one.action(), one.enabled())
            == (other.name(), other.note(), other.action(), other.enabled())
    }) {
        let terms = run.chunk_by(|one, other| selector(one) == selector(other)).map(|same| {
            let values: Vec<_> = same.iter().map(|entry| format!("\"{}\"", entry.pattern())).collect();
            let values = values.join(" ");
            match selector(&same[0]) {
                Selector::Domain => format!("any(http.conn.domains[*] in {{{values}}})"),
                Selector::Host => format!("http.conn.hostname in {{{values}}}"),
            }
        });
        policies.push(Written {
            name: run[0].name().or(list.name.as_deref()).unwrap_or("Bypass list").to_owned(),
            note: run[0].note().map(ToOwned::to_owned),
            action: match run[0].action() {
                Action::Bypass => "off",
                Action::Inspect => "on",
                Action::Block => "block",
            },
            enabled: run[0].enabled(),
            traffic: terms.collect::<Vec<_>>().join(" or "),
        });
    }
    policies
}

fn write(list: &List) -> String {
    let policies = policies(list);
    let mut values: Vec<_> = policies
        .iter()
        .zip(1..)
        .map(|(policy, number)| {
            let mut value = json!({
                "name": policy.name,
                "precedence": number,
                "enabled": policy.enabled,
                "action": policy.action,
                "filters": ["http"],
                "traffic": policy.traffic,
            });
            if let Some(note) = &policy.note {
                value["description"] = note.as_str().into();
            }
            value
        })
        .collect();
    let json = if values.len() == 1 { values.remove(0) } else { values.into() };
    format!("{json:#}\n")
}

/// The same as Terraform resources.
pub(super) fn terraform(list: &List) -> String {
    let mut text = String::new();
    for (policy, number) in policies(list).iter().zip(1..) {
        let _ = writeln!(text, "resource \"cloudflare_zero_trust_gateway_policy\" \"policy_{number}\" {{");
        let _ = writeln!(text, "  account_id  = var.account_id\n  name        = {}", string(&policy.name));
        if let Some(note) = &policy.note {
            let _ = writeln!(text, "  description = {}", string(note));
        }
        let _ = writeln!(
            text,
            "  precedence  = {number}\n  enabled     = {}\n  action      = \"{}\"",
            policy.enabled, policy.action
        );
        let _ = writeln!(text, "  filters     = [\"http\"]\n  traffic     = {}\n}}\n", string(&policy.traffic));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<Vec<String>> {
        let terms = expression(text, Place { document: 0, line: 1, column: 1 })?;
        let selector = |term: &Term| if term.selector == Selector::Domain { "domain" } else { "host" };
        let one = |term: &Term| {
            let values: Vec<_> = term.values.iter().map(|(value, place)| format!("{value}@{}", place.column)).collect();
            format!(
                "{} {}{}",
                selector(term),
                values.join(" "),
                term.list.as_ref().map_or("", |(list, _)| list.as_str())
            )
        };
        Some(terms.iter().map(one).collect())
    }

    #[test]
    fn expressions_that_are_lists_of_hosts() {
        assert_eq!(
            told("any(http.conn.domains[*] in {\"a.b\" \"c\"}) or (http.conn.hostname == \"d\")").unwrap(),
            ["domain a.b@31 c@37", "host d@69"]
        );
        assert_eq!(told("http.conn.hostname in $0a1b-2c").unwrap(), ["host 0a1b-2c"]);
        assert_eq!(told("any(http.conn.domains[*] in $0a1b)").unwrap(), ["domain 0a1b"]);
        for more in [
            "http.conn.hostname == \"a\" and net.dst.port == 443",
            "not(http.conn.hostname == \"a\")",
            "http.conn.hostname matches \"a\"",
            "any(http.conn.domains[*] == \"a\"",
            "\"",
            "",
        ] {
            assert_eq!(told(more), None, "{more}");
        }
    }
}
