//! Cisco Umbrella: a destination list.
//!
//! `okta.com` covers the domain and everything below it. An allow list wins over a block list, for a parent and its
//! child as well.
//!
//! Sources: docs.umbrella.com configure-destination-lists and manage-global-settings (the SNI is compared);
//! docs.sse.cisco.com edit-global-settings. That an asterisk and a trailing dot are refused is from
//! community.cisco.com ta-p/3374290.
//!
//! Not established: the selective decryption list itself, whose page was not at hand (taken here: the same reading);
//! case and trailing dots; entries with a path; the default, which is a setting of the ruleset (taken here: decrypt).

use super::draft::{Draft, Parts, host_name, name_after_wildcards, one_entry, refuse, span_of};
use super::stages::{Spelling, sni_alone};
use super::{Limits, Order, Spec};
use crate::policy::Action;
use crate::policy::matcher::Matcher;
use crate::policy::pattern::PatternError;
use crate::policy::standing::Standing;

pub(super) static SPEC: Spec = Spec {
    name: "umbrella",
    title: "Cisco Umbrella, destination list",
    default: (Action::Inspect, Standing::NotEstablished),
    order: (Order::BypassFirst, Standing::Established),
    subjects: "SNI alone",
    limits: Limits::NONE,
    sources: &[
        "docs.umbrella.com configure-destination-lists, manage-global-settings",
        "community.cisco.com ta-p/3374290",
    ],
    unknown: &[
        "whether the selective decryption list reads entries as destination lists do",
        "case and trailing dots",
        "entries with a path",
        "the default, which each ruleset sets for itself",
    ],
    parse,
    ask: |policy, subjects| sni_alone(policy, subjects, &Spelling::UNKNOWN),
};

fn parse(text: &str) -> Result<Draft, PatternError> {
    one_entry(text)?;
    if let Some(star) = text.find('*') {
        let mend =
            name_after_wildcards(text).map(|name| format!("write `{name}`, which covers everything below as well"));
        return Err(refuse(text, star..star + 1, "Umbrella takes no asterisk", mend, Standing::Secondary));
    }
    let parts = Parts::of(text);
    if parts.host.ends_with('.') {
        let span = span_of(text, parts.host);
        let mend = Some(format!("write `{}`", parts.host.trim_end_matches('.')));
        return Err(refuse(text, span.end - 1..span.end, "Umbrella takes no trailing dot", mend, Standing::Secondary));
    }
    if parts.scheme.is_some() || parts.user || parts.port.is_some() || parts.path.is_some() || text.starts_with('.') {
        return Ok(Draft::undefined(text));
    }
    Ok(Draft::new(Matcher::Within(host_name(text, text)?)))
}
