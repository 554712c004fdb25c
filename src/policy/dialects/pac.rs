//! PAC: a pattern is the second argument of `dnsDomainIs(host, PATTERN)`, and a whole file is asked about every host.
//!
//! `dnsDomainIs` compares the end of the host's text and knows no label boundary: `okta.com` is also in `notokta.com`.
//! Browsers hand the host over in lower case; the pattern is compared as it is written. What the script answers counts:
//! `DIRECT` first is a bypass, a proxy first leads here and is inspected.
//!
//! Source: Netscape, "Navigator Proxy Auto-Config File Format"; pac-resolver `dnsDomainIs`; Chromium, `net/docs/proxy.md`,
//! for what an empty answer and a script that fails mean.

use std::net::IpAddr;

use super::draft::Draft;
use super::stages::{Dot, Spelling, decided, needs, requested};
use super::{Limits, Order, Spec};
use crate::net::Host;
use crate::pac::{PacDns, PacScript};
use crate::policy::decision::{Asked, Decision, Need, Reason, SubjectKind, Subjects};
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{PatternError, Side};
use crate::policy::standing::{Assumption, Standing};
use crate::policy::view::{Answer, Named, View};
use crate::policy::{Action, Policy};

pub(super) static SPEC: Spec = Spec {
    name: "pac",
    title: "a PAC file, dnsDomainIs(host, PATTERN)",
    default: (Action::Inspect, Standing::Established),
    order: (Order::FirstMatch, Standing::Established),
    subjects: "host of the request",
    limits: Limits { entries: None, entry_length: None, other: &["a script runs 2 seconds and uses 32 MiB"] },
    sources: &[
        "Netscape, Navigator Proxy Auto-Config File Format",
        "TooTallNate/proxy-agents pac-resolver dnsDomainIs.ts",
        "Chromium net/docs/proxy.md",
    ],
    unknown: &["whether a browser hands the host over in lower case: taken to be so"],
    parse,
    ask,
};

/// The text of a host as a script sees it.
const SPELLING: Spelling = Spelling {
    case: (Side::Both, Standing::Inferred),
    dot: Dot::Counts(Standing::Established),
    unicode: Standing::Inferred,
    address_is_text: true,
};

#[expect(clippy::unnecessary_wraps, reason = "other dialects refuse some texts; every text is the end of some text")]
fn parse(text: &str) -> Result<Draft, PatternError> {
    if text.is_empty() {
        return Ok(Draft::new(Matcher::Any).warn(0..0, "the empty text is the end of every host", None));
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let mend = Some(format!("write `{}`", text.to_ascii_lowercase()));
        return Ok(Draft::never(text).warn(0..text.len(), "hosts come in lower case, so this matches none", mend));
    }
    let draft = Draft::new(Matcher::Ends(text.into()));
    let draft = match text.find('*') {
        Some(at) => draft.warn(at..at + 1, "dnsDomainIs knows no wildcards; shExpMatch does", None),
        None if text.starts_with('.') => draft,
        None => {
            let what = "this is compared with the end of the host, whatever stands before it";
            draft.warn(
                0..text.len(),
                what,
                Some(format!("write `.{text}` for what is below, and compare the host itself")),
            )
        }
    };
    Ok(draft)
}

fn ask<'a>(policy: &Policy, subjects: &Subjects<'a>) -> Answer<'a> {
    let Some(view) = requested(subjects, &SPELLING) else {
        return needs(Need::Hello, super::stages::blank(subjects));
    };
    match (policy.script(), &view.subject) {
        (Some(script), Some(subject)) => {
            let decision = of_script(policy, script, &subject.text, &view);
            Answer { asked: Asked::Decided(decision), view }
        }
        _ => decided(policy, view),
    }
}

/// What the names of a policy resolve to, as far as it is known.
struct Known<'p>(&'p Policy);

impl PacDns for Known<'_> {
    fn resolve(&self, name: &str) -> Vec<IpAddr> {
        self.0.addresses_of(name)
    }
}

fn of_script(policy: &Policy, script: &PacScript, host: &str, view: &View<'_>) -> Decision {
    let bracketed = match Host::parse(host) {
        Ok(Host::Ip(IpAddr::V6(address))) => format!("[{address}]"),
        _ => host.to_owned(),
    };
    let subject = view.subject.as_ref().map(Named::subject);
    debug_assert!(view.subject.as_ref().is_none_or(|named| named.kind != SubjectKind::Certificate));
    let asked = format!("https://{bracketed}:{}/", view.port).parse().map_err(|_| "the host makes no URL".to_owned());
    let answer = asked.and_then(|url| script.find_proxy(&url, host, &Known(policy)).map_err(|error| error.to_string()));
    let decision = |action, clause: String| {
        Decision::without_rule(action, Reason::Script(clause.into()), subject.clone(), policy.epoch())
    };
    match answer {
        Ok(answer) => {
            let first = answer.split(';').map(str::trim).find(|part| !part.is_empty()).unwrap_or("DIRECT");
            let direct = first.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("DIRECT"));
            let action = if direct { Action::Bypass } else { Action::Inspect };
            decision(action, format!("the script answers `{answer}`"))
        }
        Err(error) => {
            let mut decision = decision(Action::Bypass, format!("the script gives no answer: {error}"));
            let assumed = "a client goes direct where a script fails, unless its administrator forbids it";
            decision.assume(Assumption::new(Standing::Secondary, assumed));
            decision
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::formats;
    use crate::policy::{Action, Dialect, Sni, Subjects};
    use crate::source::Document;

    fn subjects(host: &str) -> Subjects<'_> {
        Subjects {
            connect_host: Some(host),
            port: 443,
            sni: Sni::Absent,
            address: None,
            certificate: None,
            client: None,
        }
    }

    #[test]
    fn a_pattern_is_an_end_of_the_host() {
        let dialect: Dialect = "pac".parse().unwrap();
        let row = |pattern: &str| {
            let pattern = dialect.parse(pattern).unwrap();
            ["okta.com", "a.okta.com", "notokta.com", "okta.com.evil.com", "okta.com."]
                .map(|host| pattern.matches_name(host))
        };
        assert_eq!(row("okta.com"), [true, true, true, false, false]);
        assert_eq!(row(".okta.com"), [false, true, false, false, false]);
        assert_eq!(row("OKTA.com"), [false; 5]);
        assert_eq!(dialect.parse("okta.com").unwrap().warnings().len(), 1);
    }

    #[test]
    fn a_script_is_asked_about_every_host() {
        let text = "function FindProxyForURL(url, host) {\n  if (host === 'fails.example') throw 'x';\n  if (isInNet(host, \
                    '10.0.0.0', '255.0.0.0')) return 'DIRECT';\n  return shExpMatch(host, '*.okta.com') ? 'DIRECT; PROXY a:1' \
                    : url.indexOf(':8443') > 0 ? '' : 'PROXY p.example:3128; DIRECT';\n}";
        let list = formats::read(&Document::new("proxy.pac", text), None).unwrap();
        let under = list.under(None, None);
        let known = [("inner.example".to_owned(), vec!["10.1.2.3".parse().unwrap()])];
        let policy = under.policy.with_addresses(known);
        let ask = |host: &str| {
            let decision = policy.rehearse(&subjects(host));
            (decision.action, decision.why.to_string())
        };
        assert_eq!(ask("Acme.Okta.com"), (Action::Bypass, "the script answers `DIRECT; PROXY a:1`".to_owned()));
        assert_eq!(ask("x.example").0, Action::Inspect);
        assert_eq!(ask("inner.example").0, Action::Bypass);
        assert_eq!(policy.rehearse(&Subjects { port: 8443, ..subjects("x.example") }).action, Action::Bypass);
        let failed = policy.rehearse(&subjects("fails.example"));
        assert_eq!((failed.action, failed.assumptions().len()), (Action::Bypass, 1));
    }
}
