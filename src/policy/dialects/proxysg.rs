//! Broadcom ProxySG (Blue Coat): conditions of the content policy language.
//!
//! `url.domain=okta.com` (`proxysg-domain`) is the domain and everything below it; `url.host=` (`proxysg-host`) that host
//! alone; `url.host.suffix=` (`proxysg-host-suffix`) any host that ends so, `notokta.com` included. A bare text is the
//! dialect's own condition; a condition written out is read as what it is, in all three: `.prefix`, `.substring` and
//! `.regex` of `url.host`, unanchored, and `url.address`, which looks up a name's address where it has to.
//!
//! Sources: knowledge.broadcom.com 165956, 166961, 169432; the ProxySG CPL guide, pages 43, 140 and 142.
//!
//! Not established: trailing dots; the name in a transparent deployment (taken here: the SNI); which rule of a layer
//! counts (taken here: the first); that nothing is intercepted without a rule is from a secondary source.

use super::draft::{Draft, host_name, one_entry, refuse, span_of};
use super::expression::{Syntax, expression};
use super::stages::{Spelling, blank, decided, is_name, needs, requested};
use super::{Limits, Order, Spec};
use crate::policy::decision::{Need, Subjects};
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{PatternError, Side};
use crate::policy::standing::{Assumption, Standing};
use crate::policy::view::Answer;
use crate::policy::{Action, Network, Policy};

pub(super) static DOMAIN: Spec = Spec {
    name: "proxysg-domain",
    title: "ProxySG, url.domain=",
    default: (Action::Bypass, Standing::Secondary),
    order: (Order::FirstMatch, Standing::NotEstablished),
    subjects: "CONNECT host; its address for url.address; the SNI of a transparent connection (not established)",
    limits: Limits::NONE,
    sources: &["knowledge.broadcom.com 165956, 166961, 169432", "ProxySG CPL guide, pages 43, 140, 142"],
    unknown: &[
        "trailing dots",
        "which name a transparent deployment compares",
        "which of several matching rules of a layer counts",
    ],
    parse: |text| parse(text, "url.domain"),
    ask,
};

pub(super) static HOST: Spec =
    Spec { name: "proxysg-host", title: "ProxySG, url.host=", parse: |text| parse(text, "url.host"), ..DOMAIN };

pub(super) static HOST_SUFFIX: Spec = Spec {
    name: "proxysg-host-suffix",
    title: "ProxySG, url.host.suffix=",
    parse: |text| parse(text, "url.host.suffix"),
    ..DOMAIN
};

static SPELLING: Spelling = Spelling { case: (Side::Both, Standing::Established), ..Spelling::UNKNOWN };

fn ask<'a>(policy: &Policy, subjects: &Subjects<'a>) -> Answer<'a> {
    let Some(mut view) = requested(subjects, &SPELLING) else { return needs(Need::Hello, blank(subjects)) };
    if subjects.connect_host.is_none() {
        let assumed = "a transparent connection is compared by its SNI";
        view.doubts.push((Side::Both, Assumption::new(Standing::NotEstablished, assumed)));
    }
    let unresolved = subjects.connect_host.is_some_and(is_name) && subjects.address.is_none();
    if unresolved && policy.index.has_networks() && view.rule(policy).is_none() {
        return needs(Need::Address, view);
    }
    decided(policy, view)
}

fn parse(text: &str, own: &str) -> Result<Draft, PatternError> {
    if let Some(source) = text.strip_prefix("url.host.regex=") {
        return Ok(Draft::new(expression(text, text.len() - source.len(), Syntax::Perl)?));
    }
    one_entry(text)?;
    let (condition, value) = match text.split_once('=') {
        Some((condition, value)) => (condition, value),
        None => (own, text),
    };
    let lower = value.to_ascii_lowercase();
    let span = span_of(text, value);
    if value.is_empty() {
        return Err(refuse(text, span, "the condition has no value", None, Standing::Inferred));
    }
    let wildcard = |draft: Draft| {
        let mend = value.strip_prefix("*.").map(|name| format!("write `url.domain={name}`"));
        draft.warn(span.clone(), "`*` is no wildcard here: it compares as the character that it is", mend)
    };
    let starred = value.contains('*');
    match condition {
        "url.domain" => {
            let host = value.find('/').map_or(value, |at| &value[..at]);
            let bare = host.strip_prefix('.').unwrap_or(host);
            if starred {
                return Ok(wildcard(Draft::undefined(text)));
            }
            let shape = Matcher::Within(host_name(text, bare)?);
            if host.len() < value.len() && &value[host.len()..] != "/" {
                let assumed = "a condition with a path covers nothing before there is one";
                return Ok(Draft::never(text).doubt(shape, Side::Both, Standing::Inferred, assumed).warn(
                    span,
                    "only the host is known at the CONNECT",
                    Some(format!("write `{host}`")),
                ));
            }
            Ok(Draft::new(shape))
        }
        "url.host" | "url.host.suffix" if starred => Ok(wildcard(Draft::never(text))),
        "url.host" if value.starts_with('.') => Ok(Draft::never(text).warn(
            span,
            "url.host= compares whole hosts, and none begins with a dot",
            Some(format!("write `url.domain={}`", value.trim_start_matches('.'))),
        )),
        "url.host" => Ok(Draft::new(Matcher::Exact(host_name(text, value)?))),
        "url.host.suffix" => {
            let inside = !value.starts_with('.');
            let draft = Draft::new(Matcher::Ends(lower.into()));
            Ok(if inside {
                let mend = Some(format!("write `url.domain={value}`"));
                draft.warn(span, format!("a suffix has no label boundary: not{value} is covered as well"), mend)
            } else {
                draft
            })
        }
        "url.host.prefix" if !starred => Ok(Draft::new(Matcher::Glob(format!("{lower}*").into()))),
        "url.host.substring" if !starred => Ok(Draft::new(Matcher::Glob(format!("*{lower}*").into()))),
        "url.host.prefix" | "url.host.substring" => Ok(wildcard(Draft::never(text))),
        "url.address" => match value.parse::<Network>() {
            Ok(network) => Ok(Draft::new(Matcher::Network(network))),
            Err(error) => Err(refuse(text, span, error.to_string(), None, Standing::Inferred)),
        },
        _ => {
            let known = "write `url.domain=`, `url.host=`, `url.host.suffix=`, `.prefix=`, `.substring=`, `.regex=` or `url.address=`";
            let reason = "this condition cannot be rehearsed here";
            Err(refuse(text, 0..condition.len(), reason, Some(known.to_owned()), Standing::NotEstablished))
        }
    }
}
