//! Zscaler Internet Access: entries of a custom URL category, used in an SSL inspection rule.
//!
//! `okta.com` is that host alone, whatever port, path or query follows; `.okta.com` is the host and what lies up to
//! five levels below it. A wildcard is refused. An exact entry beats a wildcard entry of another category whatever the
//! order of the rules; apart from that the first rule that matches decides, and without one everything is inspected.
//!
//! Sources: help.zscaler.com/zia/url-format-guidelines; support.zscaler.com article 206734323; terraform-provider-zia
//! `docs/resources/zia_url_categories.md` and `zia_ssl_inspection_rules.md`; help.zscaler.com/zia/deploying-ssl-inspection.
//! The order of SNI and CONNECT host is from third-party notes that quote Zscaler's papers.
//!
//! Not established: whether "up to 5 levels" includes the fifth; what a `*` does that the console saved; trailing dots;
//! names in other scripts; which of two overlapping `.name` entries counts.

use super::draft::{Draft, Parts, host_name, name_after_wildcards, one_entry, refuse, span_of};
use super::stages::{Spelling, add_address, blank, decided, needs};
use super::{Limits, Order, Spec};
use crate::policy::decision::{Need, Sni, SubjectKind, Subjects};
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{Covers, PatternError, PatternPorts, Side};
use crate::policy::standing::{Assumption, Standing};
use crate::policy::view::Answer;
use crate::policy::{Action, Network, Policy};

pub(super) static SPEC: Spec = Spec {
    name: "zscaler",
    title: "Zscaler Internet Access, custom URL category",
    default: (Action::Inspect, Standing::Established),
    order: (Order::ExactFirst, Standing::Established),
    subjects: "SNI; CONNECT host where there is none",
    limits: Limits {
        entries: Some(25_000),
        entry_length: Some(1024),
        other: &[
            "a host has at most 255 characters",
            "48 custom categories",
            "2,000 IP ranges",
            "one bad entry rejects a whole API batch",
        ],
    },
    sources: &[
        "help.zscaler.com/zia/url-format-guidelines",
        "support.zscaler.com article 206734323",
        "zscaler/terraform-provider-zia docs/resources/zia_url_categories.md, zia_ssl_inspection_rules.md",
    ],
    unknown: &[
        "whether the fifth level below `.name` counts",
        "what a `*` does that the console has saved",
        "trailing dots and names in other scripts",
        "which of two overlapping `.name` entries of different categories counts",
    ],
    parse,
    ask,
};

static SPELLING: Spelling = Spelling { case: (Side::Match, Standing::Inferred), ..Spelling::UNKNOWN };

/// In explicit forwarding the exemption is evaluated on the SNI; a CONNECT host that is blocked is blocked at once.
fn ask<'a>(policy: &Policy, subjects: &Subjects<'a>) -> Answer<'a> {
    let mut view = blank(subjects);
    if let Some(host) = subjects.connect_host {
        SPELLING.add(&mut view, SubjectKind::ConnectHost, host);
        if view.rule(policy).is_some_and(|rule| rule.action == Action::Block) {
            return decided(policy, view);
        }
    }
    add_address(&mut view, subjects);
    match subjects.sni {
        Sni::NotYet => return needs(Need::Hello, view),
        Sni::Absent | Sni::NotTls => {}
        Sni::Name(name) => {
            let before = view.subject.take();
            view.doubts.clear();
            SPELLING.add(&mut view, SubjectKind::Sni, name);
            if before.is_some_and(|before| view.subject.as_ref().is_some_and(|sni| sni.target != before.target)) {
                let assumed = "where SNI and CONNECT host differ, the SNI alone counts";
                view.doubts.push((Side::Both, Assumption::new(Standing::Secondary, assumed)));
            }
        }
    }
    decided(policy, view)
}

fn parse(text: &str) -> Result<Draft, PatternError> {
    one_entry(text)?;
    let parts = Parts::of(text);
    let established = |span, reason: &'static str, mend| Err(refuse(text, span, reason, mend, Standing::Established));
    if text.len() > 1024 {
        return established(0..text.len(), "Zscaler takes URLs of at most 1,024 characters", None);
    }
    if let Some(scheme) = parts.scheme {
        let mend = Some(format!("write the host alone: `{}`", parts.host)).filter(|_| !parts.host.is_empty());
        return established(0..scheme.len() + 3, "Zscaler refuses an entry with a scheme", mend);
    }
    if let Some(star) = text.find('*') {
        let mend = name_after_wildcards(parts.host)
            .map(|name| format!("write `.{name}`, which covers {name} itself and up to five levels below"));
        return established(star..star + 1, "Zscaler does not permit `*` in an entry", mend);
    }
    if let Some((at, bad)) = text.char_indices().find(|(_, c)| !c.is_ascii()) {
        let mend = idna::domain_to_ascii(parts.host).ok().map(|ascii| format!("write its ASCII form `{ascii}`"));
        return established(at..at + bad.len_utf8(), "Zscaler takes ASCII entries only", mend);
    }
    // What follows the host is not compared here, and may be in any case.
    let host = span_of(text, parts.host);
    if let Some(at) = parts.host.find(|c: char| c.is_ascii_uppercase()) {
        let mend = Some(format!("write `{}`", text.replacen(parts.host, &parts.host.to_ascii_lowercase(), 1)));
        let span = host.start + at..host.start + at + 1;
        return established(span, "Zscaler demands lower case in an entry", mend);
    }
    if parts.host.ends_with('.') && parts.host.len() > 1 {
        return Ok(Draft::undefined(text));
    }
    let (wide, bare) = match parts.host.strip_prefix('.') {
        Some(bare) => (true, bare),
        None => (false, parts.host),
    };
    if bare.len() > 255 {
        return established(host, "Zscaler takes hosts of at most 255 characters", None);
    }
    if let Some(label) = bare.split('.').find(|label| label.len() > 63) {
        return established(span_of(text, label), "Zscaler takes labels of at most 63 characters", None);
    }
    let name = host_name(text, bare)?;
    let labels: Vec<&str> = bare.split('.').collect();
    if wide && labels.len() == 1 {
        let reason = "Zscaler refuses a top-level domain alone, except in a category of the type TLD_CATEGORY";
        return established(span_of(text, parts.host), reason, None);
    }
    // An underscore stands in a sub-domain label, or in the second-level one where there is no sub-domain.
    let allowed = if labels.len() == 2 { 1 } else { labels.len().saturating_sub(2) };
    if let Some(label) = labels.iter().skip(allowed).find(|label| label.contains('_')) {
        return established(span_of(text, label), "Zscaler takes an underscore in a sub-domain's label only", None);
    }
    let shape =
        if wide { Matcher::Deeper { name: name.clone(), fewest: 0, most: 5 } } else { Matcher::Exact(name.clone()) };
    if let Ok(network) = text.parse::<Network>()
        && text.contains('/')
    {
        return Ok(Draft::new(shape)
            .doubt(Matcher::Network(network), Side::Miss, Standing::Secondary, "a range is compared as text")
            .warn(
                0..text.len(),
                "a URL category compares this as text: it covers no address of the range",
                Some("put the range into the category's IP ranges or a destination IP group".to_owned()),
            ));
    }
    if let Some(path) = parts.path.filter(|path| *path != "/") {
        let span = span_of(text, path);
        return Ok(Draft::never(text)
            .doubt(shape, Side::Both, Standing::Inferred, "the decision to decrypt is taken before there is a path")
            .warn(
                span,
                "only the host is known when the decision to decrypt is taken",
                Some(format!("write `{}`", parts.host)),
            ));
    }
    let mut draft = Draft::new(shape);
    if wide {
        let deeper = |fewest, most| Covers::Depths { fewest, most };
        draft = draft.doubt(deeper(5, 5), Side::Both, Standing::NotEstablished, "the fifth level counts").doubt(
            deeper(6, u8::MAX),
            Side::Both,
            Standing::Inferred,
            "more than five levels are not covered",
        );
    }
    match parts.port_number() {
        Ok(None) => {}
        Ok(Some(port)) => {
            draft = draft.ports(PatternPorts::One(port)).doubt(
                Matcher::Any,
                Side::Match,
                Standing::Inferred,
                "an entry with a port is for that port alone",
            );
        }
        Err(()) => {
            let span = span_of(text, parts.port.unwrap_or_default());
            return Err(refuse(text, span, "a port is a number from 1 to 65535", None, Standing::NotEstablished));
        }
    }
    Ok(draft)
}
