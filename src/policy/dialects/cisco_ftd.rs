//! Cisco Firepower Threat Defense: distinguished-name conditions of an SSL policy.
//!
//! `CN=okta.com` is that name alone, `CN=*.okta.com` every name below it at any depth and not itself; `CN=` is put in
//! front where it is missing. What is compared is the SNI if it agrees with the certificate (its common name or an
//! alternative name), and else the certificate's common name.
//!
//! Sources: docs.manage.security.cisco.com/cdfmc/r_distinguished-name--dn--rule-conditions.html;
//! docs.defenseorchestrator.com/cdfmc/c_distinguished_name_objects.html and c_do-not-decrypt-best-practice.html;
//! developer.cisco.com, FTD SSLPolicy.
//!
//! Not established: case and trailing dots; other attributes than the common name; the default action, which is the
//! policy's own (taken here: decrypt). That the SNI agrees with a wildcard name of the certificate is inferred.

use super::draft::{Draft, host_name, one_entry, refuse, span_of};
use super::stages::{Spelling, add_common_name, blank, certifies, decided, needs};
use super::{Limits, Order, Spec};
use crate::policy::decision::{Need, Sni, SubjectKind, Subjects};
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{PatternError, Side};
use crate::policy::standing::{Assumption, Standing};
use crate::policy::view::Answer;
use crate::policy::{Action, Policy};

pub(super) static SPEC: Spec = Spec {
    name: "cisco-ftd",
    title: "Cisco FTD, distinguished names of an SSL policy",
    default: (Action::Inspect, Standing::NotEstablished),
    order: (Order::FirstMatch, Standing::Established),
    subjects: "SNI where it agrees with the certificate; else the certificate's common name",
    limits: Limits { entries: None, entry_length: Some(64), other: &["the length is that of the value after `CN=`"] },
    sources: &[
        "docs.manage.security.cisco.com/cdfmc/r_distinguished-name--dn--rule-conditions.html",
        "docs.defenseorchestrator.com/cdfmc/c_distinguished_name_objects.html, c_do-not-decrypt-best-practice.html",
    ],
    unknown: &[
        "case and trailing dots",
        "how attributes other than the common name are compared",
        "the default action, which each policy sets for itself",
    ],
    parse,
    ask,
};

fn ask<'a>(policy: &Policy, subjects: &Subjects<'a>) -> Answer<'a> {
    let mut view = blank(subjects);
    let sni = match subjects.sni {
        Sni::NotYet => return needs(Need::Hello, view),
        Sni::NotTls => return decided(policy, view),
        Sni::Absent => None,
        Sni::Name(name) => Some(name),
    };
    let Some(names) = subjects.certificate else { return needs(Need::OriginCertificate, view) };
    match sni.filter(|sni| names.iter().any(|name| certifies(name, sni))) {
        Some(sni) => {
            Spelling::UNKNOWN.add(&mut view, SubjectKind::Sni, sni);
            if !names.iter().any(|name| name.eq_ignore_ascii_case(sni)) {
                let assumed = "an SNI agrees with a certificate whose wildcard covers it";
                view.doubts.push((Side::Both, Assumption::new(Standing::Inferred, assumed)));
            }
        }
        None => add_common_name(&mut view, names, &Spelling::UNKNOWN),
    }
    decided(policy, view)
}

fn parse(text: &str) -> Result<Draft, PatternError> {
    one_entry(text)?;
    let value = match text.split_once('=') {
        None => text,
        Some((attribute, value)) if attribute.eq_ignore_ascii_case("cn") => value,
        Some(_) => {
            return Ok(Draft::never(text)
                .doubt(Matcher::Any, Side::Both, Standing::NotEstablished, "an attribute other than CN covers nothing")
                .warn(
                    0..text.len(),
                    "only the common name can be compared here",
                    Some("write `CN=okta.com`".to_owned()),
                ));
        }
    };
    let span = span_of(text, value);
    if value.chars().count() > 64 {
        return Err(refuse(text, span, "FTD takes common names of at most 64 characters", None, Standing::Established));
    }
    let bare = value.strip_prefix("*.").unwrap_or(value);
    if bare.contains('*') || value.starts_with('.') || value.ends_with('.') {
        return Ok(Draft::undefined(text));
    }
    let name = host_name(text, bare)?;
    let below = bare.len() < value.len();
    Ok(Draft::new(if below { Matcher::Below(name) } else { Matcher::Exact(name) }))
}
