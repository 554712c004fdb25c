//! Chrome: an entry of the proxy bypass list.
//!
//! `okta.com` is that host alone; `.okta.com` and `*.okta.com` are what lies below it; `*okta.com` is any host that ends
//! so, `notokta.com` included; a scheme and a port bind them; ranges match literal addresses alone; `<local>` is every
//! name without a dot. Localhost and link-local addresses are bypassed without an entry, unless `<-loopback>` takes them
//! away. Later entries are looked at first, so that their order matters where one subtracts.
//!
//! Sources: chromium `net/docs/proxy.md` at 0c00aa4; `net/base/scheme_host_port_matcher.cc` at 08815e6;
//! `net/proxy_resolution/proxy_host_matching_rules.cc` at af4909a.
//!
//! Inferred: that a trailing dot counts. Not looked into: a `?` in an entry; `loopback`, which Windows bypasses as well.

use super::draft::{Draft, Parts, one_of_a_list, range};
use super::stages::{Dot, Spelling, blank, decided, literal, needs, requested};
use super::{Limits, Order, Spec};
use crate::policy::decision::{Need, Subjects};
use crate::policy::matcher::{Matcher, is_loopback};
use crate::policy::pattern::{PatternError, PatternPorts};
use crate::policy::standing::Standing;
use crate::policy::view::Answer;
use crate::policy::{Action, Network, Policy};

pub(super) static SPEC: Spec = Spec {
    name: "chrome-bypass",
    title: "Chrome, proxy bypass list",
    default: (Action::Inspect, Standing::Established),
    order: (Order::LastMatch, Standing::Established),
    subjects: "host of the request",
    limits: Limits::NONE,
    sources: &[
        "chromium net/docs/proxy.md (0c00aa4)",
        "chromium net/base/scheme_host_port_matcher.cc, net/proxy_resolution/proxy_host_matching_rules.cc",
    ],
    unknown: &["whether a trailing dot counts: inferred that it does"],
    parse,
    ask,
};

static SPELLING: Spelling = Spelling { dot: Dot::Counts(Standing::Inferred), ..Spelling::TEXT };

fn ask<'a>(policy: &Policy, subjects: &Subjects<'a>) -> Answer<'a> {
    let Some(mut view) = requested(subjects, &SPELLING) else { return needs(Need::Hello, blank(subjects)) };
    let host = subjects.connect_host.unwrap_or_default();
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") || literal(host).is_some_and(is_loopback) {
        view.built_in = Some((Action::Bypass, "Chrome takes localhost and link-local addresses to no proxy"));
    }
    decided(policy, view)
}

fn parse(text: &str) -> Result<Draft, PatternError> {
    one_of_a_list(text)?;
    if let Some(at) = text.find(';') {
        let (problem, mend) = (crate::policy::PatternProblem::Character(';'), "write one rule for each host");
        let (pattern, mend) = (text.to_owned(), Some(mend.to_owned()));
        return Err(PatternError { pattern, span: at..at + 1, problem, mend, standing: Standing::Established });
    }
    let entry = text.trim().to_ascii_lowercase();
    match entry.as_str() {
        "<local>" => return Ok(Draft::new(Matcher::Plain)),
        "<-loopback>" => return Ok(Draft::new(Matcher::Loopback).subtracting()),
        _ => {}
    }
    let (scheme, rest) = match entry.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, entry.as_str()),
    };
    if let Some(scheme) = scheme.filter(|scheme| !matches!(*scheme, "https" | "wss")) {
        let reason = "an entry for another scheme covers no TLS connection";
        return Ok(Draft::never(text).warn(0..scheme.len() + 3, reason, Some(format!("write `{rest}`"))));
    }
    if let Some(network) = range(rest) {
        return Ok(Draft::new(Matcher::Network(network)));
    }
    let parts = Parts::of(rest);
    if parts.path.is_some() || parts.user || parts.host.is_empty() {
        if rest.contains('?') && !rest.contains('/') {
            return Ok(Draft::undefined(text));
        }
        let reason = "Chrome drops an entry that is neither a host nor a range";
        return Ok(Draft::never(text).warn(0..text.len(), reason, None));
    }
    let Ok(port) = parts.port_number() else {
        let typed = text.trim_end();
        let start = typed.rfind(':').map_or(0, |colon| colon + 1);
        return Ok(Draft::never(text).warn(start..typed.len(), "Chrome drops an entry whose port is no number", None));
    };
    let bound = port.map_or(PatternPorts::Any, PatternPorts::One);
    if let Some(address) = literal(parts.host) {
        return Ok(Draft::new(Matcher::Network(Network::of(address))).ports(bound));
    }
    let host = parts.host;
    let form = if host.starts_with('.') { format!("*{host}") } else { host.to_owned() };
    let matcher = match (form.strip_prefix("*."), form.strip_prefix('*')) {
        _ if !form.contains('*') => Matcher::Exact(form.as_str().into()),
        (_, Some("")) => Matcher::Any,
        (Some(name), _) if !name.is_empty() && !name.contains('*') => Matcher::Below(name.into()),
        (_, Some(end)) if !end.contains('*') => Matcher::Ends(end.into()),
        _ => Matcher::Glob(form.as_str().into()),
    };
    let boundless = matches!(&matcher, Matcher::Ends(end) if !end.starts_with('.'));
    let draft = Draft::new(matcher).ports(bound);
    Ok(if boundless {
        let name = form.trim_start_matches('*');
        let reason = format!("there is no label boundary: not{name} is covered as well");
        draft.warn(0..text.len(), reason, Some(format!("write `.{name}`, and `{name}` for itself")))
    } else {
        draft
    })
}
