//! How entries are taken apart, and patterns put together, for all dialects.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arcstr::Substr;
use ipnet::IpNet;

use super::Dialect;
use crate::policy::Network;
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{
    Covers, Doubt, Pattern, PatternError, PatternPorts, PatternProblem as Problem, PatternWarning, Remarks, Side,
};
use crate::policy::standing::{Assumption, Standing};

/// What a dialect makes of an entry: a [`Pattern`] but for its text, and what there is to say about it.
pub(in crate::policy) struct Draft {
    matcher: Matcher,
    ports: PatternPorts,
    doubts: Vec<Doubt>,
    subtracts: bool,
    /// What the product takes without a word, and does not do.
    pub(super) warnings: Vec<PatternWarning>,
}

/// The parts of an entry that may be written like a URL.
pub(super) struct Parts<'t> {
    pub(super) scheme: Option<&'t str>,
    pub(super) user: bool,
    pub(super) host: &'t str,
    pub(super) port: Option<&'t str>,
    /// From the first `/`, `?` or `#` on.
    pub(super) path: Option<&'t str>,
}

impl Draft {
    pub(super) fn new(matcher: Matcher) -> Self {
        let ports = PatternPorts::Any;
        Self { matcher, ports, doubts: Vec::new(), subtracts: false, warnings: Vec::new() }
    }

    /// An entry that loads and covers nothing.
    pub(super) fn never(text: &str) -> Self {
        Self::new(Matcher::Never(text.into()))
    }

    /// An entry of which nothing says how it is read. It is taken to cover nothing, and whatever holds its longest
    /// piece may be covered after all.
    pub(super) fn undefined(text: &str) -> Self {
        let piece = text.split(['*', '^', '/', '?', ':']).map(|piece| piece.trim_matches('.'));
        let piece = piece.max_by_key(|piece| piece.len()).unwrap_or_default().to_ascii_lowercase();
        let covers = if piece.is_empty() { Matcher::Any } else { Matcher::Glob(format!("*{piece}*").into()) };
        Self::never(text)
            .doubt(covers, Side::Both, Standing::NotEstablished, "an entry of this form covers nothing")
            .warn(
                0..text.len(),
                "nothing that is known says how the product reads this; test it on your appliance",
                None,
            )
    }

    pub(super) fn ports(mut self, ports: PatternPorts) -> Self {
        self.ports = ports;
        self
    }

    pub(super) fn doubt(
        mut self,
        covers: impl Into<Covers>,
        side: Side,
        standing: Standing,
        assumed: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.doubts.push(Doubt { covers: covers.into(), side, assumption: Assumption::new(standing, assumed) });
        self
    }

    pub(super) fn warn(mut self, span: Range<usize>, text: impl Into<Cow<'static, str>>, mend: Option<String>) -> Self {
        self.warnings.push(PatternWarning { span, text: text.into(), mend });
        self
    }

    /// What it covers is not bypassed, whatever the rules after it say.
    pub(super) fn subtracting(mut self) -> Self {
        self.subtracts = true;
        self
    }

    /// The pattern of this text, which `dialect` has read.
    pub(super) fn pattern(self, text: &Substr, dialect: Dialect) -> Pattern {
        let Self { matcher, ports, doubts, subtracts, warnings } = self;
        let warned_of_by = (!warnings.is_empty()).then_some(dialect);
        let remarks = Remarks { doubts: doubts.into(), warned_of_by, subtracts };
        let remarks = (remarks != Remarks::default()).then(|| Arc::new(remarks));
        Pattern { text: text.clone(), matcher: matcher.within(text), ports, remarks }
    }
}

impl<'t> Parts<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let (scheme, rest) = match text.find("://") {
            Some(at) => (Some(&text[..at]), &text[at + 3..]),
            None => (None, text),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = (&rest[..end], &rest[end..]);
        let (user, authority) = match authority.rsplit_once('@') {
            Some((_, authority)) => (true, authority),
            None => (false, authority),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        Self { scheme, user, host, port, path: Some(path).filter(|path| !path.is_empty()) }
    }

    /// A port as a number from 1 to 65535; `Err` where something else is written.
    pub(super) fn port_number(&self) -> Result<Option<u16>, ()> {
        let Some(port) = self.port else { return Ok(None) };
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        port.parse().ok().filter(|number| digits && *number != 0).map(Some).ok_or(())
    }
}

/// Where a part of a text lies in it.
pub(super) fn span_of(text: &str, part: &str) -> Range<usize> {
    let at = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    at.min(text.len())..(at + part.len()).min(text.len())
}

/// The product refuses the pattern, and says so.
pub(super) fn refuse(
    text: &str,
    span: Range<usize>,
    reason: impl Into<Cow<'static, str>>,
    mend: Option<String>,
    standing: Standing,
) -> PatternError {
    PatternError { pattern: text.to_owned(), span, problem: Problem::Refused(reason.into()), mend, standing }
}

/// What no list of any product holds in one entry: nothing, blanks, several entries.
pub(super) fn one_entry(text: &str) -> Result<(), PatternError> {
    let fail = |span, problem, mend: &str| {
        Err(PatternError {
            pattern: text.to_owned(),
            span,
            problem,
            mend: Some(mend.to_owned()),
            standing: Standing::Established,
        })
    };
    if text.is_empty() {
        return fail(0..0, Problem::Empty, "write a host such as `okta.com`");
    }
    if let Some((at, blank)) = text.char_indices().find(|(_, c)| c.is_whitespace() || c.is_control()) {
        return fail(at..at + blank.len_utf8(), Problem::Space, "write one rule for each host, without blanks");
    }
    if let Some(at) = text.find([',', ';']) {
        let sign = if text[at..].starts_with(',') { ',' } else { ';' };
        return fail(at..at + 1, Problem::Character(sign), "write one rule for each host");
    }
    Ok(())
}

/// A range as other libraries read it: bits after the prefix do not count.
pub(super) fn range(entry: &str) -> Option<Network> {
    let net: IpNet = entry.parse().ok()?;
    net.trunc().to_string().parse().ok()
}

/// Lists of clients take almost any text as an entry; a comma makes it two.
pub(super) fn one_of_a_list(text: &str) -> Result<(), PatternError> {
    let fail = |span, problem, mend: &str| {
        let mend = Some(mend.to_owned());
        Err(PatternError { pattern: text.to_owned(), span, problem, mend, standing: Standing::Established })
    };
    if text.trim().is_empty() {
        return fail(0..text.len(), Problem::Empty, "write a host such as `okta.com`");
    }
    if let Some(at) = text.find(',') {
        return fail(at..at + 1, Problem::Character(','), "write one rule for each host");
    }
    if let Some((at, blank)) = text.trim_end().char_indices().find(|(at, c)| *at > 0 && c.is_whitespace()) {
        return fail(at..at + blank.len_utf8(), Problem::Space, "write one rule for each host");
    }
    Ok(())
}

/// A host name in lower case. That a name is impossible is certain, what the product says to it as a rule is not.
pub(super) fn host_name(text: &str, name: &str) -> Result<Substr, PatternError> {
    let fail = |span, problem, mend: Option<String>| {
        Err(PatternError { pattern: text.to_owned(), span, problem, mend, standing: Standing::NotEstablished })
    };
    let whole = span_of(text, name);
    if name.is_empty() {
        return fail(0..text.len(), Problem::Empty, Some("write a host such as `okta.com`".to_owned()));
    }
    if !name.is_ascii() {
        let punycode = idna::domain_to_ascii(name).ok().map(|ascii| format!("write its ASCII form `{ascii}`"));
        return fail(whole, Problem::Idna, punycode);
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if let Some(at) = name.bytes().position(|byte| !fits(byte)) {
        let place = whole.start + at;
        return fail(place..place + 1, Problem::Character(char::from(name.as_bytes()[at])), None);
    }
    if name.len() > 253 {
        return fail(whole, Problem::Length, None);
    }
    let mut at = whole.start;
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 {
            return fail(at..(at + label.len().max(1)).min(text.len()), Problem::Label, None);
        }
        at += label.len() + 1;
    }
    Ok(name.to_ascii_lowercase().into())
}

/// What a person most likely means by a pattern with wildcards: the name after them.
pub(super) fn name_after_wildcards(host: &str) -> Option<&str> {
    let tail = host.trim_start_matches(['*', '^', '.']);
    (!tail.is_empty() && !tail.contains(['*', '^']) && tail.contains('.')).then_some(tail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_come_apart() {
        let parts = Parts::of("https://me@okta.com:8443/x?y");
        assert_eq!((parts.scheme, parts.user, parts.host), (Some("https"), true, "okta.com"));
        assert_eq!((parts.port_number(), parts.path), (Ok(Some(8443)), Some("/x?y")));
        let bare = Parts::of("[::1]:443");
        assert_eq!((bare.host, bare.port_number()), ("[::1]", Ok(Some(443))));
        assert_eq!((Parts::of("::1").host, Parts::of("a:").port_number()), ("::1", Err(())));
    }

    proptest! {
        #[test]
        fn any_text_comes_apart_and_has_its_places(text in r"\PC{0,24}") {
            let parts = Parts::of(&text);
            prop_assert_eq!(&text[span_of(&text, parts.host)], parts.host);
            let _ = host_name(&text, parts.host);
        }
    }
}
