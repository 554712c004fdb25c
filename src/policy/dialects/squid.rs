//! Squid: an ACL of the type `dstdomain` (`squid-dstdomain`) or `ssl::server_name` (`squid-server-name`), in an
//! `ssl_bump splice`.
//!
//! `.okta.com` is `okta.com` and everything below it; `okta.com` that name alone; case does not count; `*` is no wildcard.
//! `dstdomain` compares the host of the request without its trailing dots. The subject of `ssl::server_name` changes
//! with the step: the CONNECT host at the first, the SNI at the second, the names of the certificate at the third, where
//! `*.okta.com` stands for every name below, at any depth. As in the usual configuration, which peeks at the first step
//! and splices or bumps at the second, the second decides; the third does where the certificate is known already. A
//! connection that no `ssl_bump` rule names is spliced.
//!
//! Sources: squid-cache/squid at 7c20a8a: `src/cf.data.pre` (acl, ssl_bump), `src/acl/ServerName.cc`,
//! `src/acl/DomainData.cc`, `src/anyp/Uri.cc`; implemented from tables, no code was taken.
//!
//! Not established: an entry with a trailing dot; names in other scripts, which are compared as text here.

use super::draft::{Draft, one_entry};
use super::stages::{Dot, Spelling, blank, decided, needs, requested_host};
use super::{Limits, Order, Spec};
use crate::policy::decision::{Need, Sni, SubjectKind, Subjects};
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{PatternError, Side};
use crate::policy::standing::Standing;
use crate::policy::view::{Answer, Named, Target};
use crate::policy::{Action, Network, Policy};

pub(super) static DSTDOMAIN: Spec = Spec {
    name: "squid-dstdomain",
    title: "Squid, acl dstdomain",
    default: (Action::Bypass, Standing::Established),
    order: (Order::FirstMatch, Standing::Established),
    subjects: "host of the request",
    limits: Limits::NONE,
    sources: &["squid-cache/squid src/cf.data.pre, src/acl/DomainData.cc, src/anyp/Uri.cc (7c20a8a)"],
    unknown: &["an entry with a trailing dot", "what a reverse lookup of a literal address finds"],
    parse,
    ask: |policy, subjects| requested_host(policy, subjects, &REQUEST),
};

pub(super) static SERVER_NAME: Spec = Spec {
    name: "squid-server-name",
    title: "Squid, acl ssl::server_name",
    subjects: "CONNECT host at step 1; SNI at step 2; the certificate's names at step 3",
    sources: &[
        "squid-cache/squid src/cf.data.pre, src/acl/ServerName.cc, src/acl/DomainData.cc, src/anyp/Uri.cc (7c20a8a)",
    ],
    unknown: &["an entry with a trailing dot"],
    ask: by_step,
    ..DSTDOMAIN
};

static REQUEST: Spelling = Spelling { dot: Dot::DropsAll, ..Spelling::TEXT };

fn by_step<'a>(policy: &Policy, subjects: &Subjects<'a>) -> Answer<'a> {
    let mut view = blank(subjects);
    if let Some(names) = subjects.certificate.filter(|names| !names.is_empty()) {
        for name in names {
            match name.strip_prefix("*.") {
                Some(base) => {
                    let target = Target::Wildcard(base.to_ascii_lowercase().into());
                    let named = Named { kind: SubjectKind::Certificate, text: name.as_str().into(), target };
                    match view.subject {
                        None => view.subject = Some(named),
                        Some(_) => view.also.push(named),
                    }
                }
                None => Spelling::TEXT.add(&mut view, SubjectKind::Certificate, name),
            }
        }
        return decided(policy, view);
    }
    match (subjects.sni, subjects.connect_host) {
        (Sni::NotYet, _) => return needs(Need::Hello, view),
        (Sni::Name(name), _) => Spelling::TEXT.add(&mut view, SubjectKind::Sni, name),
        (Sni::Absent | Sni::NotTls, Some(host)) => Spelling::TEXT.add(&mut view, SubjectKind::ConnectHost, host),
        (Sni::Absent | Sni::NotTls, None) => {
            if let Some(address) = subjects.address {
                let text = address.to_canonical().to_string();
                let target = Target::Name(text.clone().into());
                view.subject = Some(Named { kind: SubjectKind::Address, text: text.into(), target });
            }
        }
    }
    decided(policy, view)
}

fn parse(text: &str) -> Result<Draft, PatternError> {
    one_entry(text)?;
    let lower = text.to_lowercase();
    let bare = lower.strip_prefix('.');
    if text.contains('*') {
        let name = text.trim_start_matches(['*', '.']);
        let mend = Some(format!("write `.{name}`, which covers {name} and everything below it"));
        let matcher = match bare {
            Some(bare) => Matcher::Within(bare.into()),
            None => Matcher::Exact(lower.into()),
        };
        return Ok(Draft::new(matcher).warn(
            0..text.len(),
            "Squid takes this entry, and no host ever matches it: `*` is no wildcard",
            mend.filter(|_| !name.contains('*')),
        ));
    }
    if text.contains('/') {
        let (reason, mend) = match text.parse::<Network>() {
            Ok(_) => ("a range in a list of domains is compared as text: no host ever matches it", "use `acl … dst`"),
            Err(_) => {
                ("only the host is compared: an entry with a path or a scheme never matches", "write the host alone")
            }
        };
        return Ok(Draft::never(text).warn(0..text.len(), reason, Some(mend.to_owned())));
    }
    if lower.trim_start_matches('.').is_empty() {
        return Ok(Draft::undefined(text));
    }
    let draft = Draft::new(match bare {
        Some(bare) => Matcher::Within(bare.into()),
        None => Matcher::Exact(lower.as_str().into()),
    });
    Ok(if lower.ends_with('.') {
        draft
            .doubt(
                Matcher::Within(lower.trim_matches('.').into()),
                Side::Both,
                Standing::NotEstablished,
                "the trailing dot of an entry is part of the name",
            )
            .warn(text.len() - 1..text.len(), "write the entry without the trailing dot", None)
    } else {
        draft
    })
}
