//! Forcepoint (Websense) Content Gateway: the incident list, action Tunnel by URL.
//!
//! An explicit proxy compares the CONNECT host. A transparent one compares the SNI; without one the certificate's common
//! name, if it is a unique host name; where that has a wildcard, the address is looked up instead.
//!
//! Sources: help.forcepoint.com websec on-prem 85, guid-d0c1ac07 (incident list), guid-9a801aac (SSL inspection),
//! guid-f45a8d4a (cloud).
//!
//! Not established: how an entry is compared with a name (taken here: as a whole, and `*.name` with every name below);
//! case and trailing dots; the default (taken here: decrypt; in the cloud decryption is off for all categories).

use super::draft::{Draft, Parts, host_name, one_entry};
use super::stages::{Spelling, add_address, add_common_name, blank, decided, needs};
use super::{Limits, Order, Spec};
use crate::policy::decision::{Need, Sni, SubjectKind, Subjects};
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{PatternError, Side};
use crate::policy::standing::Standing;
use crate::policy::view::Answer;
use crate::policy::{Action, Network, Policy};

pub(super) static SPEC: Spec = Spec {
    name: "forcepoint",
    title: "Forcepoint Content Gateway, incident list",
    default: (Action::Inspect, Standing::NotEstablished),
    order: (Order::FirstMatch, Standing::NotEstablished),
    subjects: "CONNECT host; SNI of a transparent connection; without one the certificate's unique common name, else the address",
    limits: Limits {
        entries: None,
        entry_length: None,
        other: &["no wildcard certificates in entries by certificate"],
    },
    sources: &["help.forcepoint.com websec on-prem 85 guid-d0c1ac07, guid-9a801aac, guid-f45a8d4a"],
    unknown: &["how an entry is compared with a name", "case and trailing dots", "the default action"],
    parse,
    ask,
};

fn ask<'a>(policy: &Policy, subjects: &Subjects<'a>) -> Answer<'a> {
    let mut view = blank(subjects);
    match (subjects.connect_host, subjects.sni, subjects.certificate) {
        (Some(host), ..) => Spelling::UNKNOWN.add(&mut view, SubjectKind::ConnectHost, host),
        (None, Sni::NotYet, _) => return needs(Need::Hello, view),
        (None, Sni::Name(name), _) => Spelling::UNKNOWN.add(&mut view, SubjectKind::Sni, name),
        (None, Sni::Absent, None) => return needs(Need::OriginCertificate, view),
        (None, Sni::Absent, Some(names)) => match names.first() {
            Some(name) if !name.contains('*') => add_common_name(&mut view, names, &Spelling::UNKNOWN),
            _ => add_address(&mut view, subjects),
        },
        (None, Sni::NotTls, _) => add_address(&mut view, subjects),
    }
    decided(policy, view)
}

fn parse(text: &str) -> Result<Draft, PatternError> {
    one_entry(text)?;
    let assumed = "an entry is compared with the whole host, and `*.name` with every name below";
    let doubtful = |matcher| Ok(Draft::new(matcher).doubt(Matcher::Any, Side::Both, Standing::NotEstablished, assumed));
    if let Ok(network) = text.parse::<Network>() {
        return doubtful(Matcher::Network(network));
    }
    let host = Parts::of(text).host;
    let bare = host.strip_prefix("*.").unwrap_or(host);
    if host.len() < text.len() || bare.contains('*') || bare.starts_with('.') || bare.ends_with('.') {
        return Ok(Draft::undefined(text));
    }
    let name = host_name(text, bare)?;
    doubtful(if bare.len() < host.len() { Matcher::Below(name) } else { Matcher::Exact(name) })
}
