//! Rust's reqwest and hyper-util: an entry of NO_PROXY.
//!
//! `okta.com` and `.okta.com` are the domain and everything below it; addresses and ranges match literal addresses; `*`
//! is every name, no literal address, and the only wildcard.
//!
//! Sources: docs.rs reqwest `NoProxy::from_string`; hyper-util 0.1.21 `client::proxy::matcher`.
//!
//! Not established for all versions: case and trailing dots. hyper-util 0.1.21 takes no notice of case and counts the dot.

use super::draft::{Draft, one_of_a_list, range};
use super::stages::{Spelling, requested_host};
use super::{Limits, Order, Spec};
use crate::policy::matcher::Matcher;
use crate::policy::pattern::PatternError;
use crate::policy::standing::Standing;
use crate::policy::{Action, Network};

pub(super) static SPEC: Spec = Spec {
    name: "no-proxy-reqwest",
    title: "reqwest and hyper-util, NO_PROXY",
    default: (Action::Inspect, Standing::Established),
    order: (Order::BypassFirst, Standing::Established),
    subjects: "host of the request",
    limits: Limits::NONE,
    sources: &["docs.rs reqwest NoProxy::from_string", "hyper-util 0.1.21 client::proxy::matcher"],
    unknown: &["case and trailing dots, in versions other than hyper-util 0.1.21"],
    parse,
    ask: |policy, subjects| requested_host(policy, subjects, &SPELLING),
};

static SPELLING: Spelling = Spelling { address_is_text: false, ..Spelling::UNKNOWN };

fn parse(text: &str) -> Result<Draft, PatternError> {
    one_of_a_list(text)?;
    let entry = text.trim().to_lowercase();
    if entry == "*" {
        // Every name: a literal address is compared with addresses alone.
        return Ok(Draft::new(Matcher::Glob("*".into())));
    }
    if let Some(network) = range(&entry) {
        return Ok(Draft::new(Matcher::Network(network)));
    }
    if let Ok(address) = entry.parse() {
        return Ok(Draft::new(Matcher::Network(Network::of(address))));
    }
    let name = entry.strip_prefix('.').unwrap_or(&entry);
    if name.is_empty() {
        return Ok(Draft::undefined(text));
    }
    if name.contains(['*', ':', '/']) {
        let bare = name.trim_start_matches(['*', '.']);
        let mend = bare.split([':', '/']).next().filter(|bare| !bare.is_empty() && !bare.contains('*'));
        let reason = "`*` is the only wildcard, and there are no ports: this entry never matches";
        return Ok(Draft::never(text).warn(0..text.len(), reason, mend.map(|bare| format!("write `{bare}`"))));
    }
    Ok(Draft::new(Matcher::Within(name.into())))
}
