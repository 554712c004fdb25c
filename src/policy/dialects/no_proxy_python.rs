//! Python: an entry of NO_PROXY, as `urllib.request` reads it, and with it `requests` but for its ranges.
//!
//! `okta.com` and `.okta.com` are the domain and everything below it, however many dots lead; a port in an entry matches
//! only where the URL writes the port out; there are no ranges of addresses; `*` counts only where it is the whole list.
//! Case does not count, a trailing dot does.
//!
//! Source: CPython 3.11 `Lib/urllib/request.py` (`proxy_bypass_environment`). `requests` adds IPv4 ranges and reads the
//! lower-case variable first.

use super::draft::{Draft, one_of_a_list};
use super::stages::{Spelling, requested_host};
use super::{Limits, Order, Spec};
use crate::policy::Action;
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{PatternError, PatternPorts};
use crate::policy::standing::Standing;

pub(super) static SPEC: Spec = Spec {
    name: "no-proxy-python",
    title: "Python urllib and requests, NO_PROXY",
    default: (Action::Inspect, Standing::Established),
    order: (Order::BypassFirst, Standing::Established),
    subjects: "host of the request, and host:port where the URL writes it",
    limits: Limits::NONE,
    sources: &["CPython 3.11 Lib/urllib/request.py"],
    unknown: &["whether a URL writes its port out: taken to be so for every port but 443"],
    parse,
    ask: |policy, subjects| requested_host(policy, subjects, &Spelling::TEXT),
};

fn parse(text: &str) -> Result<Draft, PatternError> {
    one_of_a_list(text)?;
    let entry = text.trim().to_lowercase();
    if entry == "*" {
        let draft = Draft::new(Matcher::Any);
        return Ok(draft.warn(0..text.len(), "`*` counts only where it is the whole list", None));
    }
    let name = entry.trim_start_matches('.');
    if name.is_empty() {
        // Nothing but dots leaves the dot that is put before a suffix: every host with a trailing one.
        let draft = Draft::new(Matcher::Ends(".".into()));
        return Ok(draft.warn(0..text.len(), "this matches hosts with a trailing dot alone", None));
    }
    let port = name.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    if let Some((host, port)) = port
        && let Some(number) = port.parse::<u16>().ok().filter(|number| number.to_string() == port)
    {
        return Ok(match number {
            443 => Draft::never(text).warn(
                text.find(':').unwrap_or_default()..text.len(),
                "this matches only where a URL writes its `:443` out",
                Some(format!("write `{host}`")),
            ),
            port => Draft::new(Matcher::Within(host.into())).ports(PatternPorts::One(port)),
        });
    }
    let draft = Draft::new(Matcher::Within(name.into()));
    Ok(match name.find(['*', '/']) {
        Some(at) => {
            let bare = name.trim_start_matches(['*', '.']);
            let mend = Some(format!("write `{bare}`")).filter(|_| !bare.is_empty() && !bare.contains(['*', '/']));
            let reason = match &name[at..=at] {
                "*" => "`*` counts only alone: this entry never matches",
                _ => "urllib has no ranges of addresses: this entry never matches",
            };
            draft.warn(0..text.len(), reason, mend)
        }
        None => draft,
    })
}
