//! Skyhigh Secure Web Gateway (McAfee): `URL.Host matches in list` with a list of wildcard expressions.
//!
//! Only the host is visible at the CONNECT. An expression is a glob whose `*` is any text: `*.okta.com` covers every name
//! below `okta.com` and not itself. `regex(…)` holds a regular expression.
//!
//! Sources: success.skyhighsecurity.com "Considerations when Allowlisting HTTPS URLs" and "Add a Wildcard Expression to a
//! Global Allow List"; community.mcafee.com ta-p/554067.
//!
//! Not established: the details of the glob, of which the reading here is inferred; `regex(…)`; case and trailing dots;
//! the order and the default, which are the rule set's (taken here: the first match, and decrypt).

use super::draft::{Draft, one_entry};
use super::expression::{Syntax, expression};
use super::stages::{Spelling, requested_host};
use super::{Limits, Order, Spec};
use crate::policy::Action;
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{PatternError, Side};
use crate::policy::standing::Standing;

pub(super) static SPEC: Spec = Spec {
    name: "skyhigh",
    title: "Skyhigh Secure Web Gateway, URL.Host in a wildcard list",
    default: (Action::Inspect, Standing::NotEstablished),
    order: (Order::FirstMatch, Standing::NotEstablished),
    subjects: "CONNECT host",
    limits: Limits::NONE,
    sources: &[
        "success.skyhighsecurity.com Considerations when Allowlisting HTTPS URLs; Add a Wildcard Expression to a Global Allow List",
        "community.mcafee.com ta-p/554067",
    ],
    unknown: &[
        "the details of the glob and of `regex(…)`",
        "case and trailing dots",
        "the order of rules and the default",
    ],
    parse,
    ask: |policy, subjects| requested_host(policy, subjects, &Spelling::UNKNOWN),
};

fn parse(text: &str) -> Result<Draft, PatternError> {
    if text.starts_with("regex(") && text.ends_with(')') {
        // The engine has to see the expression alone; the bracket that closes the list type is none of it.
        let matcher = expression(&text[..text.len() - 1], "regex(".len(), Syntax::Perl)?;
        let assumed = "`regex(…)` is searched for in the host";
        return Ok(Draft::new(matcher).doubt(Matcher::Any, Side::Both, Standing::NotEstablished, assumed));
    }
    one_entry(text)?;
    if text.contains(['/', '?', ':']) {
        return Ok(Draft::undefined(text));
    }
    let lower = text.to_ascii_lowercase();
    let matcher = match lower.strip_prefix("*.") {
        Some(name) if !name.contains('*') => Matcher::Below(name.into()),
        _ if lower == "*" => Matcher::Any,
        _ if lower.contains('*') => Matcher::Glob(lower.into()),
        _ => Matcher::Exact(lower.into()),
    };
    let assumed = "the expression is a glob over the whole host, and `*` is any text";
    Ok(Draft::new(matcher).doubt(Matcher::Any, Side::Both, Standing::Inferred, assumed))
}
