//! curl: an entry of NO_PROXY or `--noproxy`, as curl 7.86 and later read it.
//!
//! `okta.com` and `.okta.com` are the domain and everything below it; a leading dot and a trailing dot of the entry and
//! a trailing dot of the host do not count; addresses and ranges match literal addresses, and a range of length 0 is
//! that address alone; there are no ports; `*` counts only where it is the whole list. Case does not count.
//!
//! Source: curl `lib/noproxy.c` (the logic of 7.86 to 8.x). Older versions compare suffixes in another way and know no
//! ranges. 7.88.1 was seen to match no range of IPv6 addresses, whatever it is; which versions do is not established. A list whose entries are separated by blanks alone stops after the first.

use std::net::IpAddr;

use ipnet::IpNet;

use super::draft::{Draft, one_of_a_list};
use super::stages::{Dot, Spelling, requested_host};
use super::{Limits, Order, Spec};
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{PatternError, Side};
use crate::policy::standing::Standing;
use crate::policy::{Action, Network};

pub(super) static SPEC: Spec = Spec {
    name: "no-proxy-curl",
    title: "curl 7.86 and later, NO_PROXY",
    default: (Action::Inspect, Standing::Established),
    order: (Order::BypassFirst, Standing::Established),
    subjects: "host of the request",
    limits: Limits { entries: None, entry_length: None, other: &["an address has at most 127 characters"] },
    sources: &["curl lib/noproxy.c (7.86 and later)"],
    unknown: &["from which version on ranges of IPv6 addresses match: 7.88.1 was seen to match none"],
    parse,
    ask: |policy, subjects| requested_host(policy, subjects, &SPELLING),
};

static SPELLING: Spelling = Spelling { dot: Dot::DropsOne, address_is_text: false, ..Spelling::TEXT };

fn parse(text: &str) -> Result<Draft, PatternError> {
    one_of_a_list(text)?;
    let entry = text.trim().to_ascii_lowercase();
    if entry == "*" {
        let draft = Draft::new(Matcher::Any);
        return Ok(draft.warn(0..text.len(), "`*` counts only where it is the whole list", None));
    }
    if let Some(range) = range_of(&entry) {
        let draft = Draft::new(Matcher::Network(range));
        return Ok(if entry.contains('/') && entry.contains(':') {
            let assumed = "this version compares ranges of IPv6 addresses, which curl 7.88.1 was seen not to do";
            draft.doubt(Matcher::Network(range), Side::Match, Standing::NotEstablished, assumed)
        } else {
            draft
        });
    }
    let name = entry.strip_suffix('.').unwrap_or(&entry);
    let name = name.strip_prefix('.').unwrap_or(name);
    if name.is_empty() {
        return Ok(Draft::never(text).warn(0..text.len(), "this entry never matches", None));
    }
    let draft = Draft::new(Matcher::Within(name.into()));
    Ok(match entry.find(['*', ':', '/']) {
        Some(at) => {
            let bare = entry.trim_start_matches(['*', '.']);
            let mend = bare.split([':', '/']).next().filter(|bare| !bare.is_empty() && !bare.contains('*'));
            let reason = match &entry[at..=at] {
                "*" => "`*` counts only alone: this entry never matches",
                ":" => "curl has no ports here: this entry never matches",
                _ => "this is no range of addresses, and never matches",
            };
            let at = text.len().min(text.find(['*', ':', '/']).unwrap_or_default());
            draft.warn(at..text.len(), reason, mend.map(|bare| format!("write `{bare}`")))
        }
        None => draft,
    })
}

/// Address and length without a check that the bits after the prefix are zero; a length of 0 is the whole address.
fn range_of(entry: &str) -> Option<Network> {
    let (address, length) = match entry.split_once('/') {
        None => (entry, 0),
        Some((address, length)) => {
            let digits = &length[..length.find(|c: char| !c.is_ascii_digit()).unwrap_or(length.len())];
            (address, digits.parse::<u32>().ok().unwrap_or_default())
        }
    };
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = if length == 0 { longest } else { length };
    let net = IpNet::new(address, u8::try_from(length).ok().filter(|_| length <= longest)?).ok()?;
    net.trunc().to_string().parse().ok()
}
