//! Check Point: a domain object with FQDN ticked (`check-point-fqdn`) or not (`check-point-domain`).
//!
//! The object begins with a dot. Ticked, `.okta.com` is `okta.com` alone, by forward lookups; unticked it is the domain
//! and everything below it, by reverse lookups, of which the vendor says that they can be inaccurate. Here names stand
//! for what those lookups would find.
//!
//! Sources: sc1.checkpoint.com R82 and R81 Domains.htm; SASE BypassRules and HTTPS_Inspection_Policy. That the rulebase
//! counts from the top and the SNI is seen without HTTPS inspection is from community posts.
//!
//! Not established: case and trailing dots; whether names that share an address with a ticked object are covered with
//! it; the default, which is the cleanup rule (taken here: decrypt).

use super::draft::{Draft, host_name, one_entry, refuse};
use super::stages::{Spelling, sni_alone};
use super::{Limits, Order, Spec};
use crate::policy::Action;
use crate::policy::matcher::Matcher;
use crate::policy::pattern::PatternError;
use crate::policy::standing::Standing;

pub(super) static FQDN: Spec = Spec {
    name: "check-point-fqdn",
    title: "Check Point, domain object with FQDN",
    default: (Action::Inspect, Standing::NotEstablished),
    order: (Order::FirstMatch, Standing::Secondary),
    subjects: "the address, by lookups of the name; rehearsed by the SNI",
    limits: Limits::NONE,
    sources: &[
        "sc1.checkpoint.com R82, R81 Domains.htm",
        "sc1.checkpoint.com SASE BypassRules, HTTPS_Inspection_Policy",
    ],
    unknown: &[
        "case and trailing dots",
        "which other names the lookups bring in: those on the same address, those that reverse DNS names so",
        "the default, which is the cleanup rule",
    ],
    parse: |text| parse(text, Matcher::Exact),
    ask: |policy, subjects| sni_alone(policy, subjects, &Spelling::UNKNOWN),
};

pub(super) static DOMAIN: Spec = Spec {
    name: "check-point-domain",
    title: "Check Point, domain object without FQDN",
    parse: |text| parse(text, Matcher::Within),
    ..FQDN
};

fn parse(text: &str, shape: fn(arcstr::Substr) -> Matcher) -> Result<Draft, PatternError> {
    one_entry(text)?;
    let Some(bare) = text.strip_prefix('.') else {
        let name = text.trim_start_matches(['*', '.']);
        let mend = Some(format!("write `.{name}`")).filter(|_| !name.is_empty() && !name.contains('*'));
        return Err(refuse(text, 0..text.len(), "a domain object begins with a dot", mend, Standing::Established));
    };
    if bare.contains(['*', '/', ':']) || bare.ends_with('.') {
        return Ok(Draft::undefined(text));
    }
    Ok(Draft::new(shape(host_name(text, bare)?)))
}
