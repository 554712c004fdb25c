//! The native dialect.
//!
//! `okta.com` is that host alone, `*.okta.com` every name below it at any depth, `.okta.com` both, `*` every host.
//! `10.0.0.0/8`, `1.2.3.4` and `[::1]` match the address that a connection is for, where it is written as one or the
//! connection is transparent, and never one that a name resolved to. `host:port` binds the port. Case does not count,
//! nor does one trailing dot, and names are compared in their ASCII form (RFC 5890).
//!
//! First match wins. The subject is the SNI if there is one, else the CONNECT host. Where the two differ, a bypass by
//! name has to match both, lest a client that lies about one of them gets past the inspection. A CONNECT host that is
//! blocked stays blocked, whatever the SNI says: the client got its `403` before it could send one.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;

use super::draft::Draft;
use super::{Limits, Order, Spec};
use crate::net::{Host, HostError};
use crate::policy::condition::{Network, NetworkError};
use crate::policy::decision::{Asked, Need, Sni, SubjectKind, Subjects};
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{PatternError, PatternPorts, PatternProblem as Problem};
use crate::policy::standing::Standing;
use crate::policy::view::{Answer, Named, Target, View};
use crate::policy::{Action, Policy};

pub(super) static SPEC: Spec = Spec {
    name: "middlebox",
    title: "the native dialect of middlebox",
    default: (Action::Inspect, Standing::Established),
    order: (Order::FirstMatch, Standing::Established),
    subjects: "SNI, else CONNECT host; both for a bypass where they differ",
    limits: Limits::NONE,
    sources: &["this program"],
    unknown: &[],
    parse,
    ask,
};

fn ask<'a>(policy: &Policy, subjects: &Subjects<'a>) -> Answer<'a> {
    let connect = subjects.connect_host.map(|host| named(SubjectKind::ConnectHost, host));
    let address = match &connect {
        Some(connect) => matches!(connect.target, Target::Address(_)).then(|| connect.clone()),
        None => subjects.address.map(|address| Named {
            kind: SubjectKind::Address,
            text: address.to_canonical().to_string().into(),
            target: Target::Address(address.to_canonical()),
        }),
    };
    let has_connect = connect.is_some();
    let mut view = View {
        subject: connect.or_else(|| address.clone()),
        address,
        port: subjects.port,
        client: subjects.client,
        ..View::default()
    };
    if has_connect {
        let action = view.rule(policy).map_or(policy.default_action(), |rule| rule.action);
        if action == Action::Block || matches!(subjects.sni, Sni::Absent | Sni::NotTls) {
            return Answer { asked: Asked::Decided(view.decide(policy)), view };
        }
    }
    match subjects.sni {
        Sni::NotYet => return Answer { asked: Asked::Needs(Need::Hello), view },
        Sni::Absent | Sni::NotTls => {}
        Sni::Name(name) => {
            let sni = named(SubjectKind::Sni, name);
            let before = view.subject.replace(sni.clone());
            view.other = before.filter(|before| has_connect && before.target != sni.target);
        }
    }
    Answer { asked: Asked::Decided(view.decide(policy)), view }
}

fn named(kind: SubjectKind, text: &str) -> Named<'_> {
    Named { kind, text: Cow::Borrowed(text), target: target(text) }
}

/// The normal form of a subject; what is no valid host is compared as it stands.
fn target(text: &str) -> Target<'_> {
    // Nearly every subject is in its normal form already. Only an address ends in a digit and has to be parsed.
    if text.bytes().all(is_plain) && text.bytes().last().is_some_and(|last| last.is_ascii_lowercase()) {
        return Target::Name(Cow::Borrowed(text));
    }
    match Host::parse(text) {
        Ok(Host::Name(name)) => Target::Name(Cow::Owned(name.to_string())),
        Ok(Host::Ip(address)) => Target::Address(address.to_canonical()),
        Err(_) => Target::Name(Cow::Owned(text.strip_suffix('.').unwrap_or(text).to_lowercase())),
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
}

fn ends_in_a_number(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()))
}

const WHOLE_ADDRESS: &str = "write four numbers from 0 to 255, or a range such as `10.0.0.0/8`";
const ANY_HOST: &str = "write a host such as `okta.com`, or `*` for every host";

/// Characters that only a regular expression would have.
const REGEX: [char; 9] = ['^', '$', '(', ')', '|', '\\', '+', '{', '}'];

fn parse(text: &str) -> Result<Draft, PatternError> {
    let fail = |span: Range<usize>, problem: Problem, mend: Option<String>| {
        Err(PatternError { pattern: text.to_owned(), span, problem, mend, standing: Standing::Established })
    };
    let compiled = |matcher, port: Option<u16>| {
        let ports = port.map_or(PatternPorts::Any, PatternPorts::One);
        Ok(Draft::new(matcher).ports(ports))
    };

    if text.is_empty() {
        return fail(0..0, Problem::Empty, Some(ANY_HOST.to_owned()));
    }
    if let Some((at, blank)) = text.char_indices().find(|(_, c)| c.is_whitespace()) {
        let tight: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let mend = match text.split_whitespace().count() {
            0 => ANY_HOST.to_owned(),
            1 => format!("write `{tight}`"),
            _ => "write one rule for each host".to_owned(),
        };
        return fail(at..at + blank.len_utf8(), Problem::Space, Some(mend));
    }
    if let Some(at) = text.find("://") {
        return fail(0..at + 3, Problem::Url, host_alone(&text[at + 3..]));
    }
    match text.parse::<Network>() {
        Ok(network) => return compiled(Matcher::Network(network), None),
        Err(NetworkError::HostBits { network, .. }) => {
            let mend = format!("write `{network}` for the range, or the address alone");
            return fail(0..text.len(), Problem::HostBits, Some(mend));
        }
        Err(NetworkError::Prefix { longest, .. }) => {
            let at = text.find('/').map_or(0, |at| at + 1);
            let range = text[at..].split_once(':').filter(|_| longest == 32);
            if range.is_some_and(|(length, _)| format!("{}{length}", &text[..at]).parse::<Network>().is_ok()) {
                let colon = at + text[at..].find(':').unwrap_or_default();
                let mend = "a range takes its ports from the rule's `ports`";
                return fail(colon..text.len(), Problem::Port, Some(mend.to_owned()));
            }
            return fail(at..text.len(), Problem::Prefix(longest), None);
        }
        Err(NetworkError::Address(_)) => {}
    }
    if let Some((address, length)) = text.strip_prefix('[').and_then(|rest| rest.split_once("]/")) {
        let mend = Some(format!("write the range without brackets: `{address}/{length}`"));
        return fail(0..text.len(), Problem::Address, mend.filter(|_| address.parse::<IpAddr>().is_ok()));
    }
    if let Some((at, sign)) = text.char_indices().find(|(_, c)| REGEX.contains(c)) {
        let mend = "patterns are names and not regular expressions; write `*.okta.com`, `.okta.com` or `okta.com`";
        return fail(at..at + 1, Problem::Character(sign), Some(mend.to_owned()));
    }
    if let Some(at) = text.find(['/', '?', '#']) {
        return fail(at..text.len(), Problem::Path, host_alone(text));
    }

    let (host, port) = match split_port(text) {
        Ok(parts) => parts,
        Err((span, problem, mend)) => return fail(span, problem, mend),
    };
    if let Some(inner) = host.strip_prefix('[') {
        return match inner.strip_suffix(']').map(str::parse::<IpAddr>) {
            Some(Ok(address @ IpAddr::V6(_))) => compiled(Matcher::Network(Network::of(address)), port),
            _ => fail(0..host.len(), Problem::Address, Some("write an IPv6 address, as in `[2001:db8::1]`".to_owned())),
        };
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return compiled(Matcher::Network(Network::of(address)), port);
    }
    if host == "*" {
        return compiled(Matcher::Any, port);
    }
    let (start, shape): (usize, fn(arcstr::Substr) -> Matcher) = if host.starts_with("*.") {
        (2, Matcher::Below)
    } else if host.starts_with('.') {
        (1, Matcher::Within)
    } else {
        (0, Matcher::Exact)
    };
    let name = &host[start..];
    let bare = name.strip_suffix('.').unwrap_or(name);
    if let Some(star) = host[start..].find('*').map(|at| start + at) {
        return fail(star..star + 1, Problem::Wildcard, Some(mend_wildcard(host)));
    }
    if bare.is_empty() {
        return fail(0..host.len(), Problem::Empty, Some(ANY_HOST.to_owned()));
    }
    let mut at = start;
    for label in bare.split('.') {
        if label.is_empty() {
            let mend = Some("write the name without the empty part".to_owned());
            return fail(at..(at + 1).min(text.len()), Problem::Label, mend);
        }
        if label.is_ascii() && label.len() > 63 {
            return fail(at..at + label.len(), Problem::Label, None);
        }
        at += label.len() + 1;
    }
    let span = start..start + bare.len();
    match Host::parse(bare) {
        Ok(Host::Ip(address)) if start == 0 => compiled(Matcher::Network(Network::of(address)), port),
        Ok(Host::Ip(_)) => fail(span, Problem::Address, Some(WHOLE_ADDRESS.to_owned())),
        // No name ends in a number (RFC 3696, section 2): it would be half an address.
        Ok(Host::Name(name)) if ends_in_a_number(&name) => fail(span, Problem::Address, Some(WHOLE_ADDRESS.to_owned())),
        // Some letters have a compatibility form with a blank or a sign in it (`¨`), which no subject can have.
        Ok(Host::Name(name)) if !name.bytes().all(is_plain) => fail(span, Problem::Idna, None),
        Ok(Host::Name(name)) => compiled(shape((*name).into()), port),
        // A compatibility form may become what a name cannot hold, and then the text has no such character to show.
        Err(HostError::Character(bad)) if !bare.contains(bad) => fail(span, Problem::Idna, None),
        Err(HostError::Character(bad)) => {
            let at = start + bare.find(bad).unwrap_or_default();
            let mend = matches!(bad, ',' | ';').then(|| "write one rule for each host".to_owned());
            fail(at..at + bad.len_utf8(), Problem::Character(bad), mend)
        }
        Err(HostError::Length) => fail(span, Problem::Length, None),
        Err(HostError::Empty | HostError::Label) => fail(span, Problem::Label, None),
        Err(HostError::Idna | HostError::Ipv6 | HostError::Port) => fail(span, Problem::Idna, None),
    }
}

type Failure = (Range<usize>, Problem, Option<String>);

/// Splits `host:port`; several colons without brackets are an address that went wrong.
fn split_port(text: &str) -> Result<(&str, Option<u16>), Failure> {
    let colon = match text.rfind(']') {
        Some(bracket) if text.starts_with('[') => match &text[bracket + 1..] {
            "" => return Ok((text, None)),
            rest if rest.starts_with(':') => bracket + 1,
            _ => {
                let mend = "write a range without brackets, and a port as in `[2001:db8::1]:443`";
                return Err((bracket + 1..text.len(), Problem::Address, Some(mend.to_owned())));
            }
        },
        _ => match text.matches(':').count() {
            0 => return Ok((text, None)),
            1 => text.find(':').unwrap_or_default(),
            _ => {
                let mend = "write an IPv6 address as `2001:db8::1`, with a port as `[2001:db8::1]:443`";
                return Err((0..text.len(), Problem::Address, Some(mend.to_owned())));
            }
        },
    };
    let (host, digits) = (&text[..colon], &text[colon + 1..]);
    if host.is_empty() {
        return Err((0..text.len(), Problem::Empty, Some(format!("for every host on that port write `*:{digits}`"))));
    }
    let number = digits.parse::<u16>().ok().filter(|port| *port != 0 && digits.bytes().all(|b| b.is_ascii_digit()));
    match number {
        Some(port) => Ok((host, Some(port))),
        None if digits == "*" => {
            Err((colon..text.len(), Problem::Port, Some(format!("for every port write `{host}`"))))
        }
        None => Err((colon..text.len(), Problem::Port, Some(format!("write `{host}` or, say, `{host}:443`")))),
    }
}

/// The host of a URL, offered where it is a pattern itself.
fn host_alone(url: &str) -> Option<String> {
    let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
    let host = authority.rsplit('@').next().unwrap_or(authority);
    parse(host).is_ok().then(|| format!("write the host alone: `{host}`"))
}

fn mend_wildcard(host: &str) -> String {
    let (before, after) = host.rsplit_once('*').unwrap_or_default();
    let tail = after.trim_start_matches('.').trim_end_matches('.');
    if host.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'*')) {
        return "for addresses write a range such as `10.0.0.0/8`".to_owned();
    }
    let whole_labels = before.is_empty() || after.starts_with('.');
    match whole_labels && tail.contains('.') && Host::parse(tail).is_ok_and(|host| host.name().is_some()) {
        true if before.is_empty() => {
            format!("write `*.{tail}` for every name below, or `.{tail}` for those and {tail} itself")
        }
        true => format!("write `*.{tail}`, which covers every name below at any depth"),
        false => "write each host, or `*.okta.com` for every name below one".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{Dialect, Pattern};

    fn parse(text: &str) -> Result<Pattern, PatternError> {
        Dialect::MIDDLEBOX.parse(text)
    }

    fn matches(pattern: &str, host: &str) -> bool {
        let pattern = parse(pattern).unwrap();
        match target(host) {
            Target::Name(name) => pattern.matches_name(&name),
            Target::Address(address) => pattern.matches_address(address),
            Target::Wildcard(_) => false,
        }
    }

    #[test]
    fn the_table_of_the_native_dialect() {
        // As for every product: the apex, one below, two below, a name with the same end, one with the same start,
        // upper case, a trailing dot.
        let hosts = ["okta.com", "acme.okta.com", "a.b.okta.com", "notokta.com", "okta.com.evil.com", "ACME.OKTA.COM"];
        let row = |pattern: &str| hosts.map(|host| if matches(pattern, host) { 'Y' } else { 'n' }).iter().collect();
        let rows: [(&str, &str); 7] = [
            ("okta.com", "Ynnnnn"),
            ("*.okta.com", "nYYnnY"),
            (".okta.com", "YYYnnY"),
            ("*", "YYYYYY"),
            ("OKTA.Com.", "Ynnnnn"),
            ("*.com", "YYYYYY"),
            ("acme.okta.com", "nYnnnY"),
        ];
        for (pattern, expected) in rows {
            let row: String = row(pattern);
            assert_eq!(row, expected, "{pattern}");
            for host in hosts {
                assert_eq!(matches(pattern, host), matches(pattern, &format!("{host}.")), "{pattern} {host}.");
            }
        }
        assert!(
            matches("bücher.example", "xn--bcher-kva.example")
                && matches("*.xn--bcher-kva.example", "a.BÜCHER.example")
        );
    }

    #[test]
    fn addresses_match_however_they_are_written() {
        assert!(matches("10.0.0.0/8", "10.1.2.3") && matches("10.0.0.0/8", "10.1.2.3."));
        assert!(matches("[::1]", "::1") && matches("::1", "[::1]") && matches("2001:db8::/32", "[2001:db8::9]"));
        assert!(matches("1.2.3.4", "::ffff:1.2.3.4") && matches("[::ffff:1.2.3.4]", "1.2.3.4"));
        assert!(
            !matches("10.0.0.0/8", "11.0.0.1") && !matches("10.0.0.0/8", "10.okta.com") && matches("*", "10.0.0.1")
        );
    }

    #[test]
    fn one_spelling_for_what_means_the_same() {
        for (text, canonical) in [
            ("*.OKTA.com.", "*.okta.com"),
            ("Okta.com:443", "okta.com:443"),
            ("*:8443", "*:8443"),
            (".bücher.example", ".xn--bcher-kva.example"),
            ("[2001:DB8::1]:443", "[2001:db8::1]:443"),
            ("[2001:db8:0::1]", "2001:db8::1"),
            ("1.2.3.4:443", "1.2.3.4:443"),
            ("1.2.3.4/32", "1.2.3.4"),
        ] {
            let pattern = parse(text).unwrap();
            assert_eq!(pattern.canonical(), canonical);
            assert_eq!(parse(canonical).unwrap().canonical(), canonical);
        }
    }

    /// The error with its bytes marked, as a person sees it.
    fn error(pattern: &str) -> String {
        let error = parse(pattern).unwrap_err();
        let (span, text) = (error.span.clone(), error.pattern.clone());
        let mend = error.mend.unwrap_or_default();
        format!("{}<{}>{} {}; {mend}", &text[..span.start], &text[span.clone()], &text[span.end..], error.problem)
    }

    #[test]
    fn every_mistake_has_its_place_and_its_mend() {
        let mistakes = [
            "",
            " ",
            "okta.com ",
            "okta.com, acme.com",
            "*okta.com",
            "a.*.okta.com",
            "*.*.okta.com",
            "okta.*",
            "10.*",
            "https://acme.okta.com/",
            "https://me@acme.okta.com:8443/x?y",
            "acme.okta.com/login",
            "okta.com?",
            "a..b",
            "..okta.com",
            ".",
            "*.",
            "okta.com:0",
            "okta.com:https",
            "okta.com:*",
            ":443",
            "okta.com:x1",
            "10.1.2.3/8",
            "10.0.0.0/33",
            "10.0.0.0/8:443",
            "10.0.0",
            "256.1.1.1",
            "*.1.2.3.4",
            "[::1",
            "[::1]/64",
            "[1.2.3.4]",
            "2001:db8:::1",
            r"^.*\.okta\.com$",
            "(okta|acme).com",
            "okta_,com",
            "xn--a.example",
        ];
        let long = "a".repeat(64);
        let errors: Vec<String> = mistakes.into_iter().map(error).collect();
        insta::assert_snapshot!(errors.join("\n"));
        assert_eq!(parse(&format!("okta.{long}.com")).unwrap_err().span, 5..69);
        assert_eq!(parse(&vec!["abcd"; 60].join(".")).unwrap_err().problem, Problem::Length);
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_an_error_with_a_place(
            text in prop_oneof![r"\PC{0,24}", r"[*.a\[\]:/0-9é。 -]{0,16}"]
        ) {
            match parse(&text) {
                Ok(pattern) => {
                    let canonical = pattern.canonical();
                    let again = parse(&canonical).unwrap();
                    prop_assert_eq!((&again.matcher, again.ports), (&pattern.matcher, pattern.ports), "{}", canonical);
                }
                Err(error) => prop_assert!(error.pattern.get(error.span.clone()).is_some(), "{:?}", error),
            }
        }
    }
}
