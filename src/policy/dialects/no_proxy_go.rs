//! Go: an entry of NO_PROXY, as `golang.org/x/net/http/httpproxy` reads it.
//!
//! `okta.com` is the domain and everything below it; `.okta.com` and `*.okta.com` are what lies below it alone; `:port`
//! binds the port; addresses and ranges match literal addresses; `*` is every host. `localhost` and loopback addresses
//! never go to a proxy. Case does not count, a trailing dot does.
//!
//! Source: golang.org/x/net http/httpproxy at 094d438.

use super::draft::{Draft, one_of_a_list, range};
use super::stages::{Spelling, blank, decided, literal, needs, requested};
use super::{Limits, Order, Spec};
use crate::policy::decision::{Need, Subjects};
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{PatternError, PatternPorts};
use crate::policy::standing::Standing;
use crate::policy::view::Answer;
use crate::policy::{Action, Network, Policy};

pub(super) static SPEC: Spec = Spec {
    name: "no-proxy-go",
    title: "Go, NO_PROXY",
    default: (Action::Inspect, Standing::Established),
    order: (Order::BypassFirst, Standing::Established),
    subjects: "host of the request",
    limits: Limits::NONE,
    sources: &["golang.org/x/net http/httpproxy (094d438)"],
    unknown: &[],
    parse,
    ask,
};

fn ask<'a>(policy: &Policy, subjects: &Subjects<'a>) -> Answer<'a> {
    let Some(mut view) = requested(subjects, &Spelling::TEXT) else { return needs(Need::Hello, blank(subjects)) };
    let host = subjects.connect_host.unwrap_or_default();
    if host == "localhost" || literal(host).is_some_and(|address| address.is_loopback()) {
        view.built_in = Some((Action::Bypass, "Go takes localhost and loopback addresses to no proxy"));
    }
    decided(policy, view)
}

fn parse(text: &str) -> Result<Draft, PatternError> {
    one_of_a_list(text)?;
    let entry = text.trim().to_lowercase();
    if entry == "*" {
        return Ok(Draft::new(Matcher::Any));
    }
    if let Some(network) = range(&entry) {
        return Ok(Draft::new(Matcher::Network(network)));
    }
    let (host, port) = split_port(&entry);
    let host =
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).filter(|_| port.is_some()).unwrap_or(host);
    let ports = match port {
        None | Some("") => PatternPorts::Any,
        Some(port) => match port.parse::<u16>().ok().filter(|number| number.to_string() == port) {
            Some(number) => PatternPorts::One(number),
            None => {
                let draft = Draft::never(text);
                return Ok(draft.warn(0..text.len(), "the port is no number, so this entry never matches", None));
            }
        },
    };
    if let Ok(address) = host.parse() {
        return Ok(Draft::new(Matcher::Network(Network::of(address))).ports(ports));
    }
    if host.is_empty() {
        return Ok(Draft::never(text).warn(0..text.len(), "Go passes over an entry without a host", None));
    }
    if host.contains(['[', ']']) {
        let mend = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(|host| format!("write `{host}`"));
        let reason = "brackets count only before a port: this entry never matches";
        return Ok(Draft::never(text).warn(0..text.len(), reason, mend));
    }
    let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
    let ascii = |name: &str| {
        if name.is_ascii() { name.to_owned() } else { idna::domain_to_ascii(name).unwrap_or_else(|_| name.to_owned()) }
    };
    let matcher = match host.strip_prefix('.') {
        Some(name) => Matcher::Below(ascii(name).into()),
        None => Matcher::Within(ascii(host).into()),
    };
    let draft = Draft::new(matcher).ports(ports);
    Ok(if host.contains('*') {
        let name = entry.trim_start_matches(['*', '.']);
        let mend = Some(format!("write `{name}`, or `.{name}` for what lies below it alone"));
        draft.warn(0..text.len(), "`*` counts only alone and before a dot: this entry never matches", mend)
    } else {
        draft
    })
}

/// Host and port as Go's `net.SplitHostPort` takes them apart; without a port, or where it refuses, the whole.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    let Some(colon) = entry.rfind(':') else { return (entry, None) };
    let (host, port) = (&entry[..colon], &entry[colon + 1..]);
    let bracketed = host.starts_with('[') && host.ends_with(']') && host.matches(['[', ']']).count() == 2;
    let plain = !host.contains([':', '[', ']']) && !port.contains(['[', ']']);
    if bracketed || plain { (host, Some(port)) } else { (entry, None) }
}
