//! Palo Alto PAN-OS: entries of a custom URL category or an external list of the type URL.
//!
//! An entry is a row of tokens between `.`, `/`, `?`, `&`, `=`, `;` and `+`. `*` stands for one token or more, `^` for
//! exactly one, and either stands alone in its token: `*.okta.com` covers every name below `okta.com` and not itself,
//! `^.okta.com` one label below. With the ending token that PAN-OS 10.2 and later append (`pan-os-url`), the name ends
//! where the entry ends; without it (`pan-os-url-legacy`) anything may follow, so that `okta.com` covers
//! `okta.com.evil.com` as well. Case does not count.
//!
//! Sources: docs.paloaltonetworks.com guidelines-for-url-category-exceptions; create-a-custom-url-category-pan-os; the
//! PAN-OS 7.1 wildcard guidelines; formatting-guidelines-for-an-external-dynamic-list; knowledge base kA10g000000PObsCAG
//! (SNI, and the common name without one).
//!
//! Not established: trailing dots; whether an entry with a path counts before there is one; the default of a policy
//! that names nothing (taken here: everything else is decrypted).

use std::sync::Arc;

use super::draft::{Draft, Parts, host_name, name_after_wildcards, one_entry, refuse, span_of};
use super::stages::{Spelling, sni_else_common_name};
use super::{Limits, Order, Spec};
use crate::policy::decision::Subjects;
use crate::policy::matcher::{Matcher, Token};
use crate::policy::pattern::{PatternError, PatternPorts, Side};
use crate::policy::standing::Standing;
use crate::policy::view::Answer;
use crate::policy::{Action, Policy};

pub(super) static SPEC: Spec = Spec {
    name: "pan-os-url",
    title: "PAN-OS, custom URL category with the ending token",
    default: (Action::Inspect, Standing::NotEstablished),
    order: (Order::FirstMatch, Standing::Secondary),
    subjects: "SNI; the certificate's common name where there is none",
    limits: Limits {
        entries: None,
        entry_length: Some(255),
        other: &["no two `*` in a row", "at most 9 `^` in a row", "30 external lists"],
    },
    sources: &[
        "docs.paloaltonetworks.com guidelines-for-url-category-exceptions",
        "docs.paloaltonetworks.com create-a-custom-url-category-pan-os",
        "docs.paloaltonetworks.com formatting-guidelines-for-an-external-dynamic-list",
        "Palo Alto knowledge base kA10g000000PObsCAG",
    ],
    unknown: &[
        "trailing dots",
        "whether an entry with a path counts when the decision to decrypt is taken",
        "what happens to a session that no decryption policy names",
    ],
    parse: with_ending_token,
    ask,
};

pub(super) static LEGACY: Spec = Spec {
    name: "pan-os-url-legacy",
    title: "PAN-OS, custom URL category without the ending token",
    parse: without_ending_token,
    ..SPEC
};

static SPELLING: Spelling = Spelling { case: (Side::Both, Standing::Established), ..Spelling::UNKNOWN };

fn ask<'a>(policy: &Policy, subjects: &Subjects<'a>) -> Answer<'a> {
    sni_else_common_name(policy, subjects, &SPELLING)
}

fn with_ending_token(text: &str) -> Result<Draft, PatternError> {
    parse(text, true)
}

fn without_ending_token(text: &str) -> Result<Draft, PatternError> {
    parse(text, false)
}

fn parse(text: &str, appends: bool) -> Result<Draft, PatternError> {
    one_entry(text)?;
    let established = |span, reason: &'static str, mend| Err(refuse(text, span, reason, mend, Standing::Established));
    if text.chars().count() > 255 {
        return established(0..text.len(), "PAN-OS takes entries of at most 255 characters", None);
    }
    let parts = Parts::of(text);
    if let Some(scheme) = parts.scheme {
        let mend = Some(format!("write `{}`", &text[scheme.len() + 3..]));
        return established(0..scheme.len() + 3, "PAN-OS asks for entries without a scheme", mend);
    }
    let tokens = tokens_of(text);
    if let Some((at, token)) = tokens.iter().find(|(_, token)| token.len() > 1 && token.contains(['*', '^'])) {
        let mend = name_after_wildcards(parts.host).map(|name| format!("write `*.{name}`, and `{name}` for itself"));
        return established(*at..at + token.len(), "in PAN-OS a wildcard stands alone between its separators", mend);
    }
    for (wildcard, most) in [("*", 1), ("^", 9)] {
        let mut run = 0;
        for (at, token) in &tokens {
            run = if *token == wildcard { run + 1 } else { 0 };
            if run > most {
                let reason = match wildcard {
                    "*" => "PAN-OS takes no two `*` in a row",
                    _ => "PAN-OS takes at most nine `^` in a row",
                };
                let mend = (wildcard == "*").then(|| "one `*` stands for any number of tokens, from one on".to_owned());
                return established(*at..at + token.len(), reason, mend);
            }
        }
    }
    if parts.host.starts_with('.') || parts.host.ends_with('.') || parts.host.is_empty() {
        return Ok(Draft::undefined(text));
    }
    let plain: Vec<&str> = parts.host.split('.').filter(|label| !matches!(*label, "*" | "^")).collect();
    if !plain.is_empty() {
        host_name(text, &plain.join(".")).map_err(|mut error| {
            error.span = span_of(text, parts.host);
            error
        })?;
    }
    // What ends in `/` ends there, and what ends in `*` goes on; anything else gets its end only where it is appended.
    let open = !appends && parts.path.is_none();
    let shape = shape(parts.host, open);
    let whole = (Matcher::Any, Side::Match);
    let draft = match parts.path {
        None | Some("/") => {
            let draft = Draft::new(shape);
            let legacy_wildcard = open && parts.host.contains(['*', '^']);
            if legacy_wildcard {
                draft.doubt(whole.0, whole.1, Standing::Inferred, "an entry with a wildcard is open to the right too")
            } else {
                draft
            }
        }
        Some("/*") => Draft::new(shape).doubt(
            whole.0,
            whole.1,
            Standing::NotEstablished,
            "`/*` covers a connection of which only the host is known",
        ),
        Some(path) => Draft::never(text)
            .doubt(
                shape,
                Side::Both,
                Standing::NotEstablished,
                "an entry with a path covers nothing before there is one",
            )
            .warn(
                span_of(text, path),
                "only the host is known when the decision to decrypt is taken",
                Some(format!("write `{}`", parts.host)),
            ),
    };
    match parts.port_number() {
        Ok(None) => Ok(draft),
        Ok(Some(port)) => Ok(draft.ports(PatternPorts::One(port)).doubt(
            Matcher::Any,
            Side::Match,
            Standing::NotEstablished,
            "a port in an entry binds it to that port",
        )),
        Err(()) => {
            let span = span_of(text, parts.port.unwrap_or_default());
            Err(refuse(text, span, "a port is a number from 1 to 65535", None, Standing::NotEstablished))
        }
    }
}

fn shape(host: &str, open: bool) -> Matcher {
    let host = host.to_ascii_lowercase();
    let token = |label: &str| match label {
        "*" => Token::Many,
        "^" => Token::One,
        label => Token::Label(label.into()),
    };
    let tokens: Vec<Token> = host.split('.').map(token).collect();
    let after_first = host.split_once('.').map(|(_, rest)| rest).filter(|rest| !rest.contains(['*', '^']));
    match (&tokens[..], after_first, open) {
        (_, _, true) => Matcher::Tokens(tokens.into_iter().chain([Token::Rest]).collect()),
        ([Token::Many], ..) => Matcher::Any,
        ([Token::Many, ..], Some(name), false) => Matcher::Below(name.into()),
        ([Token::One, ..], Some(name), false) => Matcher::Deeper { name: name.into(), fewest: 1, most: 1 },
        _ if !host.contains(['*', '^']) => Matcher::Exact(host.into()),
        _ => Matcher::Tokens(Arc::from(tokens)),
    }
}

/// The tokens of an entry with their places.
fn tokens_of(text: &str) -> Vec<(usize, &str)> {
    let tokens = text.split(['.', '/', '?', '&', '=', ';', '+']);
    tokens.map(|token| (span_of(text, token).start, token)).collect()
}
