//! Windows: an entry of the proxy exceptions (`ProxyOverride`) of WinINET.
//!
//! No source was at hand: every answer is "not established". Taken here: an entry is a glob over the whole host whose
//! `*` is any text, `<local>` is every name without a dot, and entries are separated by `;`.

use super::draft::{Draft, one_entry};
use super::stages::{Spelling, requested_host};
use super::{Limits, Order, Spec};
use crate::policy::Action;
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{PatternError, Side};
use crate::policy::standing::Standing;

pub(super) static SPEC: Spec = Spec {
    name: "windows-proxy-override",
    title: "Windows (WinINET), proxy exceptions",
    default: (Action::Inspect, Standing::NotEstablished),
    order: (Order::BypassFirst, Standing::NotEstablished),
    subjects: "host of the request (not established)",
    limits: Limits::NONE,
    sources: &[],
    unknown: &["how an entry is read, as a whole"],
    parse,
    ask: |policy, subjects| requested_host(policy, subjects, &Spelling::UNKNOWN),
};

fn parse(text: &str) -> Result<Draft, PatternError> {
    let local = text.eq_ignore_ascii_case("<local>");
    one_entry(text)?;
    let form = text.to_ascii_lowercase();
    let matcher = match form.strip_prefix("*.") {
        _ if local => Matcher::Plain,
        Some(name) if !name.contains('*') => Matcher::Below(name.into()),
        _ if form == "*" => Matcher::Any,
        _ if form.contains('*') => Matcher::Glob(form.into()),
        _ => Matcher::Exact(form.into()),
    };
    let assumed = "an entry is a glob over the whole host, and `*` is any text";
    Ok(Draft::new(matcher).doubt(Matcher::Any, Side::Both, Standing::NotEstablished, assumed))
}
