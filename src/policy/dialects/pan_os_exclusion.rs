//! Palo Alto PAN-OS: the SSL decryption exclusion list.
//!
//! Each `*` stands for exactly one label: `*.okta.com` covers `acme.okta.com` and neither `okta.com` nor
//! `acme.mtls.okta.com`; `mail.*.com` covers `mail.company.com`. A session is excluded by its SNI or by the common name
//! of the server's certificate. The list stands outside the decryption policy, so an exclusion counts before any rule.
//!
//! Sources: docs.paloaltonetworks.com device-certificate-management-ssl-decryption-exclusion (9.1, 10.2, 11.0, 12.1);
//! decryption-exclusions.
//!
//! Not established: the documentation also says that a common name that "contains the defined domain" is excluded, which
//! would make a plain name cover more than itself; a leading dot; a `*` that is not a whole label; case and trailing
//! dots; whether the certificate's alternative names count; what is done with a session that no policy names (taken here:
//! a decryption policy that decrypts everything).

use std::sync::Arc;

use super::draft::{Draft, host_name, name_after_wildcards, one_entry, refuse};
use super::stages::{Spelling, add_common_name, blank, decided, needs};
use super::{Limits, Order, Spec};
use crate::policy::decision::{Need, Sni, SubjectKind, Subjects};
use crate::policy::matcher::{Matcher, Token};
use crate::policy::pattern::{Covers, PatternError, Side};
use crate::policy::standing::Standing;
use crate::policy::view::Answer;
use crate::policy::{Action, Policy};

pub(super) static SPEC: Spec = Spec {
    name: "pan-os-exclusion",
    title: "PAN-OS, SSL decryption exclusion list",
    default: (Action::Inspect, Standing::NotEstablished),
    order: (Order::BypassFirst, Standing::Established),
    subjects: "SNI or the certificate's common name, either",
    limits: Limits::NONE,
    sources: &[
        "docs.paloaltonetworks.com device-certificate-management-ssl-decryption-exclusion (9.1, 10.2, 11.0, 12.1)",
        "docs.paloaltonetworks.com decryption-exclusions",
    ],
    unknown: &[
        "whether a common name that merely contains the entry is excluded",
        "a leading dot, and a `*` that is not a whole label",
        "case and trailing dots",
        "whether alternative names of the certificate count",
        "what happens to a session that no decryption policy names",
    ],
    parse,
    ask,
};

static SPELLING: Spelling = Spelling { case: (Side::Match, Standing::Inferred), ..Spelling::UNKNOWN };

fn ask<'a>(policy: &Policy, subjects: &Subjects<'a>) -> Answer<'a> {
    let mut view = blank(subjects);
    match subjects.sni {
        Sni::NotYet => return needs(Need::Hello, view),
        Sni::NotTls => return decided(policy, view),
        Sni::Absent => {}
        Sni::Name(name) => {
            SPELLING.add(&mut view, SubjectKind::Sni, name);
            if view.decide(policy).action == Action::Bypass {
                return decided(policy, view);
            }
        }
    }
    match subjects.certificate {
        None => needs(Need::OriginCertificate, view),
        Some(names) => {
            add_common_name(&mut view, names, &SPELLING);
            decided(policy, view)
        }
    }
}

fn parse(text: &str) -> Result<Draft, PatternError> {
    one_entry(text)?;
    if text.contains(['/', ':']) {
        let mend = "write a host name, such as `*.okta.com`";
        return Err(refuse(
            text,
            0..text.len(),
            "an exclusion is a host name",
            Some(mend.to_owned()),
            Standing::Inferred,
        ));
    }
    let undefined = text.starts_with('.')
        || text.ends_with('.')
        || text.contains('^')
        || text.split('.').any(|label| label.contains('*') && label != "*")
        || text.split('.').all(|label| label == "*");
    if undefined {
        let draft = Draft::undefined(text);
        let mend = name_after_wildcards(text).map(|name| format!("write `*.{name}` for one label before {name}"));
        return Ok(match mend {
            Some(mend) => draft.warn(0..text.len(), "this form is not documented for the exclusion list", Some(mend)),
            None => draft,
        });
    }
    let literal = text.trim_start_matches("*.");
    let name = host_name(text, &literal.replace('*', "x")).map_err(|mut error| {
        error.span = 0..text.len();
        error
    })?;
    let stars = u8::try_from((text.len() - literal.len()) / 2).unwrap_or(u8::MAX);
    if literal.contains('*') {
        let token = |label: &str| match label {
            "*" => Token::One,
            label => Token::Label(label.to_ascii_lowercase().into()),
        };
        let tokens: Arc<[Token]> = text.split('.').map(token).collect();
        return Ok(Draft::new(Matcher::Tokens(tokens)));
    }
    if stars > 0 {
        return Ok(Draft::new(Matcher::Deeper { name, fewest: stars, most: stars }));
    }
    Ok(Draft::new(Matcher::Exact(name)).doubt(
        Covers::Depths { fewest: 1, most: u8::MAX },
        Side::Miss,
        Standing::NotEstablished,
        "a name that merely contains the entry is not excluded, though the documentation has a sentence that says so",
    ))
}
