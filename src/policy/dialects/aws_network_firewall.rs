//! AWS Network Firewall: a domain list of a stateful rule group.
//!
//! `.okta.com` is the domain and everything below it, `okta.com` that name alone.
//!
//! Sources: docs.aws.amazon.com, Network Firewall API reference, API_RulesSourceList.
//!
//! Not established: case and trailing dots; wildcards; the order of rules and what is done without one (taken here: the
//! first that matches, and inspection).

use super::draft::{Draft, host_name, one_entry};
use super::stages::{Spelling, sni_alone};
use super::{Limits, Order, Spec};
use crate::policy::Action;
use crate::policy::matcher::Matcher;
use crate::policy::pattern::PatternError;
use crate::policy::standing::Standing;

pub(super) static SPEC: Spec = Spec {
    name: "aws-network-firewall",
    title: "AWS Network Firewall, domain list",
    default: (Action::Inspect, Standing::NotEstablished),
    order: (Order::FirstMatch, Standing::NotEstablished),
    subjects: "SNI (not established)",
    limits: Limits::NONE,
    sources: &["docs.aws.amazon.com Network Firewall API_RulesSourceList"],
    unknown: &["case and trailing dots", "wildcards", "in which order rules count, and what is done without one"],
    parse,
    ask: |policy, subjects| sni_alone(policy, subjects, &Spelling::UNKNOWN),
};

fn parse(text: &str) -> Result<Draft, PatternError> {
    one_entry(text)?;
    if text.contains(['*', '/', ':']) || text.ends_with('.') {
        return Ok(Draft::undefined(text));
    }
    Ok(match text.strip_prefix('.') {
        Some(bare) => Draft::new(Matcher::Within(host_name(text, bare)?)),
        None => Draft::new(Matcher::Exact(host_name(text, text)?)),
    })
}
