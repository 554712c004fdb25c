//! The shapes that patterns compile to, whatever dialect they were written in.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use arcstr::Substr;
use regex::Regex;

use super::condition::Network;

/// What a pattern is compared with. A shape is one lookup in the index wherever that can be; names are lower-case, and
/// pieces of the text of their pattern where they stand in it like that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Matcher {
    /// Every host.
    Any,
    /// Every name below this one, at any depth.
    Below(Substr),
    /// Every name that has so many labels in front of this one; 0 is the name itself.
    Deeper { name: Substr, fewest: u8, most: u8 },
    /// Every name that ends in this text, wherever its labels begin.
    Ends(Substr),
    /// This name alone.
    Exact(Substr),
    /// Every name of this form, where `*` is any text.
    Glob(Substr),
    /// The names and addresses of the machine itself.
    Loopback,
    /// Addresses.
    Network(Network),
    /// Nothing. The text keeps two of them apart.
    Never(Substr),
    /// Names without a dot.
    Plain,
    /// Every name in which the expression is found.
    Regex(Expression),
    /// Names by their labels.
    Tokens(Arc<[Token]>),
    /// This name and every name below it.
    Within(Substr),
}

/// One part of a pattern that is compared label by label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Token {
    /// This label.
    Label(Substr),
    /// One label or more.
    Many,
    /// One label.
    One,
    /// Any number of labels, none included.
    Rest,
}

/// A regular expression; two are equal where their texts are. It stands apart so that other shapes stay small.
#[derive(Clone, Debug)]
pub(super) struct Expression(pub(super) Arc<Regex>);

impl Matcher {
    /// The same matcher, with its name as a piece of the text that it was read from.
    pub(super) fn within(mut self, text: &Substr) -> Self {
        if let Some(name) = self.name_mut()
            && let Some(at) = text.rfind(name.as_str())
        {
            *name = text.substr(at..at + name.len());
        }
        self
    }

    /// The one name, or text, that it is about.
    pub(super) fn name(&self) -> Option<&Substr> {
        match self {
            Self::Below(name)
            | Self::Deeper { name, .. }
            | Self::Ends(name)
            | Self::Exact(name)
            | Self::Glob(name)
            | Self::Never(name)
            | Self::Within(name) => Some(name),
            Self::Any | Self::Loopback | Self::Network(_) | Self::Plain | Self::Regex(_) | Self::Tokens(_) => None,
        }
    }

    fn name_mut(&mut self) -> Option<&mut Substr> {
        match self {
            Self::Below(name)
            | Self::Deeper { name, .. }
            | Self::Ends(name)
            | Self::Exact(name)
            | Self::Glob(name)
            | Self::Never(name)
            | Self::Within(name) => Some(name),
            Self::Any | Self::Loopback | Self::Network(_) | Self::Plain | Self::Regex(_) | Self::Tokens(_) => None,
        }
    }

    /// Whether it covers a name that its dialect has normalised.
    pub(super) fn matches_name(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Below(host) => is_below(name, host),
            Self::Deeper { name: host, fewest, most } => {
                let depth = if **host == *name {
                    Some(0)
                } else {
                    name.strip_suffix(&**host)
                        .and_then(|rest| rest.strip_suffix('.'))
                        .map(|rest| rest.split('.').count())
                };
                depth.is_some_and(|depth| (usize::from(*fewest)..=usize::from(*most)).contains(&depth))
            }
            Self::Ends(end) => name.ends_with(&**end),
            Self::Exact(host) => **host == *name,
            Self::Glob(form) => is_of_form(name, form),
            Self::Loopback => name == "localhost" || name.ends_with(".localhost"),
            Self::Network(_) | Self::Never(_) => false,
            Self::Plain => !name.contains(['.', ':']),
            Self::Regex(expression) => expression.0.is_match(name),
            Self::Tokens(tokens) => {
                let labels: Vec<&str> = name.split('.').collect();
                are_tokens_of(tokens, &labels)
            }
            Self::Within(host) => **host == *name || is_below(name, host),
        }
    }

    /// Whether it covers an address.
    pub(super) fn matches_address(&self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Loopback => is_loopback(address),
            Self::Network(network) => network.contains(address),
            Self::Below(_)
            | Self::Deeper { .. }
            | Self::Ends(_)
            | Self::Exact(_)
            | Self::Glob(_)
            | Self::Never(_)
            | Self::Plain
            | Self::Regex(_)
            | Self::Tokens(_)
            | Self::Within(_) => false,
        }
    }

    /// Whether it covers some of the names that a wildcard of a certificate stands for: `*.base`, at any depth, as
    /// Squid has it. Only for the shapes that Squid knows.
    pub(super) fn matches_wildcard(&self, base: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(host) => is_below(host, base),
            Self::Below(host) | Self::Within(host) => **host == *base || is_below(base, host) || is_below(host, base),
            _ => false,
        }
    }

    /// How narrow it is: one host before a suffix, a long suffix before a short one, everything last.
    pub(super) fn specificity(&self) -> usize {
        let labels = |host: &str| host.split('.').count();
        match self {
            Self::Any => 0,
            Self::Never(_) | Self::Regex(_) | Self::Loopback | Self::Plain => 1,
            Self::Glob(form) | Self::Ends(form) => 2 * labels(form),
            Self::Within(host) => 2 * labels(host),
            Self::Below(host) | Self::Deeper { name: host, .. } => 2 * labels(host) + 1,
            Self::Tokens(tokens) => 2 * tokens.len(),
            Self::Network(network) => 1 + usize::from(network.net().prefix_len()),
            Self::Exact(_) => usize::MAX,
        }
    }
}

/// Whether the address is one of the machine itself or of its link.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

pub(super) fn is_below(name: &str, host: &str) -> bool {
    name.strip_suffix(host).is_some_and(|rest| rest.ends_with('.'))
}

/// Greedy comparison with one place to come back to: linear for one star, and never worse than text times form.
fn is_of_form(text: &str, form: &str) -> bool {
    let (text, form) = (text.as_bytes(), form.as_bytes());
    let (mut at, mut place) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while at < text.len() {
        match form.get(place) {
            Some(b'*') => {
                back = Some((place, at));
                place += 1;
            }
            Some(byte) if *byte == text[at] => {
                at += 1;
                place += 1;
            }
            _ => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    at = from + 1;
                    place = star + 1;
                }
                None => return false,
            },
        }
    }
    form[place..].iter().all(|byte| *byte == b'*')
}

/// As [`is_of_form`], label by label: `Many` is one label and any number more.
fn are_tokens_of(tokens: &[Token], labels: &[&str]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while at < labels.len() {
        match tokens.get(place) {
            Some(Token::Rest) => {
                back = Some((place, at));
                place += 1;
                continue;
            }
            Some(Token::Many) => {
                at += 1;
                back = Some((place, at));
                place += 1;
                continue;
            }
            Some(Token::One) => {
                at += 1;
                place += 1;
                continue;
            }
            Some(Token::Label(label)) if **label == *labels[at] => {
                at += 1;
                place += 1;
                continue;
            }
            _ => {}
        }
        let Some((wild, from)) = back else { return false };
        back = Some((wild, from + 1));
        at = from + 1;
        place = wild + 1;
    }
    tokens[place..].iter().all(|token| *token == Token::Rest)
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(host) => write!(f, "*.{host}"),
            Self::Deeper { name, fewest, most } => write!(f, "{{{fewest}-{most}}}.{name}"),
            Self::Ends(end) => write!(f, "*{end}"),
            Self::Exact(host) => f.write_str(host),
            Self::Glob(form) => f.write_str(form),
            Self::Loopback => f.write_str("<loopback>"),
            Self::Network(network) => write!(f, "{network}"),
            Self::Never(text) => write!(f, "<nothing: {text}>"),
            Self::Plain => f.write_str("<local>"),
            Self::Regex(expression) => write!(f, "/{}/", expression.0.as_str()),
            Self::Tokens(tokens) => {
                for (at, token) in tokens.iter().enumerate() {
                    let dot = if at == 0 { "" } else { "." };
                    match token {
                        Token::Label(label) => write!(f, "{dot}{label}")?,
                        Token::Many => write!(f, "{dot}**")?,
                        Token::One => write!(f, "{dot}*")?,
                        Token::Rest => f.write_str("[.**]")?,
                    }
                }
                Ok(())
            }
            Self::Within(host) => write!(f, ".{host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by trying every way.
    fn tries(tokens: &[Token], labels: &[&str]) -> bool {
        match (tokens.split_first(), labels.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((Token::Rest, rest)), _) => (0..=labels.len()).any(|taken| tries(rest, &labels[taken..])),
            (Some((Token::Many, rest)), _) => (1..=labels.len()).any(|taken| tries(rest, &labels[taken..])),
            (Some(_), None) => false,
            (Some((Token::One, rest)), Some((_, after))) => tries(rest, after),
            (Some((Token::Label(label), rest)), Some((first, after))) => **label == **first && tries(rest, after),
        }
    }

    fn tries_form(form: &[u8], text: &[u8]) -> bool {
        match form.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|taken| tries_form(rest, &text[taken..])),
            Some((byte, rest)) => text.first() == Some(byte) && tries_form(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn labels_are_compared_as_if_every_way_were_tried(
            tokens in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(vec!["a", "b"]).prop_map(|label| Token::Label(label.into())),
                    Just(Token::Many),
                    Just(Token::One),
                    Just(Token::Rest),
                ],
                0..6,
            ),
            labels in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..7),
        ) {
            prop_assert_eq!(are_tokens_of(&tokens, &labels), tries(&tokens, &labels));
        }

        #[test]
        fn forms_are_compared_as_if_every_way_were_tried(form in "[ab*.]{0,7}", text in "[ab.]{0,8}") {
            prop_assert_eq!(is_of_form(&text, &form), tries_form(form.as_bytes(), text.as_bytes()));
        }
    }
}
