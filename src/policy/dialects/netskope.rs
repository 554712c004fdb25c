//! Netskope: a URL list of the type exact (`netskope-url-list`), and a domain typed into a policy or a steering
//! exception (`netskope-domain`).
//!
//! `okta.com` is that host alone in both. `*.okta.com` is the host and everything below it in a URL list, and only what
//! lies below it where a domain is typed, so that two entries are needed there. An entry without a port is for ports 80
//! and 443. Only the SNI is looked at; everything is decrypted that no policy leaves encrypted.
//!
//! Sources: docs.netskope.com url-lists.html; url-list-best-practices.html; add-a-policy-for-ssl-decryption.html;
//! managing-error-settings.html; exceptions.html.
//!
//! Not established: case and trailing dots. An older revision of the documentation says that `*.okta.com` in a URL list
//! does not cover `okta.com`. The setting for connections without SNI is global; taken here: they are decrypted.

use super::draft::{Draft, Parts, host_name, name_after_wildcards, one_entry, refuse, span_of};
use super::stages::{Spelling, sni_alone};
use super::{Limits, Order, Spec};
use crate::policy::decision::Subjects;
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{PatternError, PatternPorts, Side};
use crate::policy::standing::Standing;
use crate::policy::view::Answer;
use crate::policy::{Action, Policy};

pub(super) static URL_LIST: Spec = Spec {
    name: "netskope-url-list",
    title: "Netskope, URL list of the type exact",
    default: (Action::Inspect, Standing::Established),
    order: (Order::FirstMatch, Standing::NotEstablished),
    subjects: "SNI alone",
    limits: Limits { entries: None, entry_length: None, other: &["a CSV file has at most 8 MB, one URL per line"] },
    sources: &[
        "docs.netskope.com url-lists.html",
        "docs.netskope.com url-list-best-practices.html",
        "docs.netskope.com add-a-policy-for-ssl-decryption.html",
    ],
    unknown: &[
        "case and trailing dots",
        "an older revision of the documentation says that `*.name` in a URL list does not cover the name itself",
        "in which order policies count that contradict each other",
    ],
    parse: url_list,
    ask,
};

pub(super) static DOMAIN: Spec = Spec {
    name: "netskope-domain",
    title: "Netskope, domain in a policy or steering exception",
    parse: domain,
    ..URL_LIST
};

fn ask<'a>(policy: &Policy, subjects: &Subjects<'a>) -> Answer<'a> {
    sni_alone(policy, subjects, &Spelling::UNKNOWN)
}

fn url_list(text: &str) -> Result<Draft, PatternError> {
    parse(text, true)
}

fn domain(text: &str) -> Result<Draft, PatternError> {
    parse(text, false)
}

fn parse(text: &str, is_list: bool) -> Result<Draft, PatternError> {
    one_entry(text)?;
    let parts = Parts::of(text);
    let standing = if is_list { Standing::Established } else { Standing::Inferred };
    if parts.user {
        let mend = Some(format!("write `{}`", parts.host));
        return Err(refuse(text, 0..text.len(), "Netskope refuses a user name in an entry", mend, standing));
    }
    let bare = parts.host.strip_prefix("*.").unwrap_or(parts.host);
    if let Some(star) = bare.find('*') {
        let at = span_of(text, bare).start + star;
        let mend = name_after_wildcards(parts.host).map(|name| format!("write `*.{name}`"));
        return Err(refuse(text, at..at + 1, "in Netskope `*` stands first and a dot follows it", mend, standing));
    }
    if parts.host.starts_with('.') || parts.host.ends_with('.') {
        return Ok(Draft::undefined(text));
    }
    let name = host_name(text, bare)?;
    let shape = match (bare.len() < parts.host.len(), is_list) {
        (false, _) => Matcher::Exact(name),
        (true, true) => Matcher::Within(name),
        (true, false) => Matcher::Below(name),
    };
    let draft = match parts.path.filter(|path| *path != "/") {
        None => Draft::new(shape),
        Some(path) => Draft::never(text)
            .doubt(
                shape,
                Side::Both,
                Standing::NotEstablished,
                "an entry with a path covers nothing before there is one",
            )
            .warn(
                span_of(text, path),
                "only the SNI is known when the decision to decrypt is taken",
                Some(format!("write `{}`", parts.host)),
            ),
    };
    match (parts.port_number(), is_list) {
        (Ok(None), true) => Ok(draft.ports(PatternPorts::Web)),
        (Ok(None), false) => Ok(draft),
        (Ok(Some(port)), _) => Ok(draft.ports(PatternPorts::One(port))),
        (Err(()), _) => {
            let span = span_of(text, parts.port.unwrap_or_default());
            Err(refuse(text, span, "a port is a number from 1 to 65535", None, Standing::NotEstablished))
        }
    }
}
