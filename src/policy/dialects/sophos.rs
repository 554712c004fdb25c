//! Sophos Firewall: the TLS exclusion list, a URL group of plain domains.
//!
//! `okta.com` covers the domain and everything below it, on any port.
//!
//! Sources: docs.sophos.com, Sophos Firewall 17.5, 19.0, 19.5 and 21.0 (SSL/TLS inspection rules, web exceptions).
//!
//! Not established: case and trailing dots; wildcards; that the SNI is compared and without one the certificate's
//! common name is general knowledge and no vendor's word; the default (taken here: decrypt).

use super::draft::{Draft, host_name, one_entry};
use super::stages::{Spelling, sni_else_common_name};
use super::{Limits, Order, Spec};
use crate::policy::Action;
use crate::policy::matcher::Matcher;
use crate::policy::pattern::PatternError;
use crate::policy::standing::Standing;

pub(super) static SPEC: Spec = Spec {
    name: "sophos",
    title: "Sophos Firewall, TLS exclusion list",
    default: (Action::Inspect, Standing::NotEstablished),
    order: (Order::FirstMatch, Standing::NotEstablished),
    subjects: "SNI; the certificate's common name where there is none (not established)",
    limits: Limits::NONE,
    sources: &["docs.sophos.com Sophos Firewall 17.5, 19.0, 19.5, 21.0: SSL/TLS inspection rules, web exceptions"],
    unknown: &[
        "case and trailing dots",
        "wildcards in a URL group",
        "which name of the connection is compared",
        "in which order rules count, and what is done without one",
    ],
    parse,
    ask: |policy, subjects| sni_else_common_name(policy, subjects, &Spelling::UNKNOWN),
};

fn parse(text: &str) -> Result<Draft, PatternError> {
    one_entry(text)?;
    if text.contains(['*', '/', ':']) || text.starts_with('.') || text.ends_with('.') {
        return Ok(Draft::undefined(text));
    }
    Ok(Draft::new(Matcher::Within(host_name(text, text)?)))
}
