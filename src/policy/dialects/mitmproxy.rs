//! mitmproxy: the option `ignore_hosts`.
//!
//! Every entry is a Python regular expression that is searched for, without regard to case, in `host:port`: of the
//! CONNECT host, of the SNI, and of the address that is dialled. A hit anywhere ignores the connection; `okta.com` hits
//! `notokta.com` and `okta.com.evil.com` as well. Everything else is intercepted.
//!
//! Source: mitmproxy/mitmproxy at 8fc25b3: `addons/next_layer.py`, `docs` howto/ignore-domains.md.
//!
//! The engine here is linear in the text: look-around, back-references and the other means of Python's `re` that it
//! does not have are errors that say so. `allow_hosts`, which is tested first and turns the list around, is no part of a
//! pattern; the Host header is not looked at, because a decision is taken before there is one.

use super::draft::{Draft, refuse};
use super::expression::{Syntax, expression};
use super::stages::{blank, decided, literal, needs};
use super::{Limits, Order, Spec};
use crate::policy::decision::{Need, Sni, SubjectKind, Subjects};
use crate::policy::pattern::PatternError;
use crate::policy::standing::Standing;
use crate::policy::view::{Answer, Named, Target, View};
use crate::policy::{Action, Policy};

pub(super) static SPEC: Spec = Spec {
    name: "mitmproxy",
    title: "mitmproxy, ignore_hosts",
    default: (Action::Inspect, Standing::Established),
    order: (Order::BypassFirst, Standing::Established),
    subjects: "CONNECT host, SNI and address, each as host:port; any of them",
    limits: Limits::NONE,
    sources: &["mitmproxy/mitmproxy addons/next_layer.py, docs howto/ignore-domains.md (8fc25b3)"],
    unknown: &["Python syntax that a linear engine cannot have"],
    parse,
    ask,
};

fn ask<'a>(policy: &Policy, subjects: &Subjects<'a>) -> Answer<'a> {
    let mut view = blank(subjects);
    if let Some(host) = subjects.connect_host {
        add(&mut view, SubjectKind::ConnectHost, host.to_owned());
    }
    match subjects.sni {
        Sni::NotYet => return needs(Need::Hello, view),
        Sni::Name(name) => add(&mut view, SubjectKind::Sni, name.to_owned()),
        Sni::Absent | Sni::NotTls => {}
    }
    if policy.rules().is_empty() || view.rule(policy).is_some() {
        return decided(policy, view);
    }
    match subjects.address {
        Some(address) if !address.is_unspecified() => {
            add(&mut view, SubjectKind::Address, address.to_canonical().to_string());
        }
        None if subjects.connect_host.is_some_and(|host| literal(host).is_none()) => {
            return needs(Need::Address, view);
        }
        Some(_) | None => {}
    }
    decided(policy, view)
}

fn add(view: &mut View<'_>, kind: SubjectKind, host: String) {
    let text = format!("{host}:{}", view.port);
    let named = Named { kind, target: Target::Name(text.into()), text: host.into() };
    match view.subject {
        None => view.subject = Some(named),
        Some(_) => view.also.push(named),
    }
}

fn parse(text: &str) -> Result<Draft, PatternError> {
    if text.is_empty() {
        let reason = "an empty expression is found in every host";
        return Err(refuse(text, 0..0, reason, Some("write `.*` for every host".to_owned()), Standing::Established));
    }
    let draft = Draft::new(expression(text, 0, Syntax::Python)?);
    let plain = !text.contains(['\\', '^', '$', '(', '[']) && text.contains('.') && !text.contains('*');
    Ok(if plain {
        let name = text.trim_start_matches('.').replace('.', r"\.");
        let mend = Some(format!(r"write `^(.+\.)?{name}:443$`"));
        draft.warn(0..text.len(), "this is searched for anywhere in host:port, and each `.` is any character", mend)
    } else {
        draft
    })
}
