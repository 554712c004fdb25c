//! Fortinet FortiGate: the exempt list of an SSL/SSH inspection profile, in flow mode (`fortigate-flow`) and in proxy
//! mode (`fortigate-proxy`).
//!
//! Flow mode compares the object with the SNI, without one with the certificate's common name. Proxy mode resolves an
//! FQDN object to addresses and exempts whatever goes to one of them: every other name on the same address is exempt
//! with it. The list is a set: any entry that matches exempts.
//!
//! Sources: community.fortinet.com ta-p/387569, ta-p/191170, ta-p/218813, ta-p/190830; docs.fortinet.com CLI reference,
//! firewall ssl-ssh-profile (6.0.6 to 7.6.0).
//!
//! Not established: whether `*.okta.com` covers `okta.com` in the exempt list (taken here: it does, as forum answers and
//! the 5.4 help say of the web filter); case and trailing dots. For a wildcard object in proxy mode the pages disagree:
//! compared with the SNI (taken here) or by address. The addresses of an FQDN object are known here only as far as
//! resolve overrides tell them.

use super::draft::{Draft, host_name, one_entry, refuse};
use super::stages::{Spelling, add_address, blank, decided, is_name, needs, sni_else_common_name};
use super::{Limits, Order, Spec};
use crate::policy::decision::{Need, Sni, SubjectKind, Subjects};
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{Covers, PatternError, Side};
use crate::policy::standing::{Assumption, Standing};
use crate::policy::view::{Answer, Named, Target};
use crate::policy::{Action, Network, Policy};

pub(super) static FLOW: Spec = Spec {
    name: "fortigate-flow",
    title: "FortiGate, ssl-exempt in flow mode",
    default: (Action::Inspect, Standing::Inferred),
    order: (Order::BypassFirst, Standing::Inferred),
    subjects: "SNI; the certificate's common name where there is none",
    limits: Limits::NONE,
    sources: &["community.fortinet.com ta-p/387569", "docs.fortinet.com CLI reference, firewall ssl-ssh-profile"],
    unknown: &["whether `*.name` covers the name itself", "case and trailing dots"],
    parse: flow,
    ask: |policy, subjects| sni_else_common_name(policy, subjects, &Spelling::UNKNOWN),
};

pub(super) static PROXY: Spec = Spec {
    name: "fortigate-proxy",
    title: "FortiGate, ssl-exempt in proxy mode",
    subjects: "the address that is dialled, with the addresses of FQDN objects; the SNI for wildcard objects",
    sources: &[
        "community.fortinet.com ta-p/387569, ta-p/191170, ta-p/218813",
        "docs.fortinet.com CLI reference, firewall ssl-ssh-profile",
    ],
    unknown: &[
        "whether a wildcard object is compared with the SNI or by address",
        "whether `*.name` covers the name itself",
        "which addresses an FQDN object has at the moment, beyond those that resolve overrides tell",
    ],
    parse: proxy,
    ask: by_address,
    ..FLOW
};

fn by_address<'a>(policy: &Policy, subjects: &Subjects<'a>) -> Answer<'a> {
    let mut view = blank(subjects);
    match subjects.sni {
        Sni::NotYet => return needs(Need::Hello, view),
        Sni::Name(name) => Spelling::UNKNOWN.add(&mut view, SubjectKind::Sni, name),
        Sni::Absent | Sni::NotTls => {}
    }
    let Some(host) = subjects.connect_host else {
        add_address(&mut view, subjects);
        return decided_by_address(policy, view);
    };
    // A name has the same address for the client as for an FQDN object of the same name.
    Spelling::UNKNOWN.add(&mut view, SubjectKind::ConnectHost, host);
    if subjects.address.is_none() && is_name(host) {
        return needs(Need::Address, view);
    }
    add_address(&mut view, subjects);
    decided_by_address(policy, view)
}

fn decided_by_address<'a>(policy: &Policy, mut view: crate::policy::view::View<'a>) -> Answer<'a> {
    let address = view.address.as_ref().and_then(|named| match named.target {
        Target::Address(address) => Some(address),
        Target::Name(_) | Target::Wildcard(_) => None,
    });
    let shared = address.and_then(|address| policy.names_of(address)).unwrap_or_default();
    for name in shared {
        let text = format!("{} (also {name})", address.map(|address| address.to_string()).unwrap_or_default());
        view.also.push(Named {
            kind: SubjectKind::Address,
            text: text.into(),
            target: Target::Name(name.to_string().into()),
        });
    }
    if !policy.knows_addresses() {
        let assumed = "this connection goes to no address of an exempt name; where it does, it is exempt as well";
        view.doubts.push((Side::Miss, Assumption::new(Standing::NotEstablished, assumed)));
    }
    decided(policy, view)
}

fn flow(text: &str) -> Result<Draft, PatternError> {
    one_entry(text)?;
    entry(text)
}

fn proxy(text: &str) -> Result<Draft, PatternError> {
    one_entry(text)?;
    if let Ok(network) = text.parse::<Network>() {
        return Ok(Draft::new(Matcher::Network(network)));
    }
    let draft = entry(text)?;
    Ok(if text.contains('*') {
        draft.doubt(
            Matcher::Any,
            Side::Both,
            Standing::NotEstablished,
            "a wildcard object is compared with the SNI, though one page says that it goes by address too",
        )
    } else {
        draft
    })
}

fn entry(text: &str) -> Result<Draft, PatternError> {
    if text.contains(['/', ':']) {
        let mend = Some("write a name, such as `*.okta.com`".to_owned());
        let reason = "an FQDN or wildcard-fqdn object is a name";
        return Err(refuse(text, 0..text.len(), reason, mend, Standing::Inferred));
    }
    let bare = text.strip_prefix("*.").unwrap_or(text);
    if bare.contains('*') || text.starts_with('.') || text.ends_with('.') {
        return Ok(Draft::undefined(text));
    }
    let name = host_name(text, bare)?;
    if bare.len() == text.len() {
        return Ok(Draft::new(Matcher::Exact(name)));
    }
    Ok(Draft::new(Matcher::Within(name)).doubt(
        Covers::Depths { fewest: 0, most: 0 },
        Side::Both,
        Standing::NotEstablished,
        "a wildcard object covers the name itself too",
    ))
}
