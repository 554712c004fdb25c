//! Cloudflare Gateway: a Do Not Inspect policy by Host (`cloudflare-host`) or by Domain (`cloudflare-domain`).
//!
//! Host `okta.com` is that host alone, Domain `okta.com` the domain and everything below it. The name has to be the SNI.
//! All Do Not Inspect policies come before all others, even before one that blocks.
//!
//! Sources: cloudflare/cloudflare-docs: http-policies/index.mdx, tls-decryption.mdx, the selectors host.mdx and
//! domain.mdx, order-of-enforcement.mdx.
//!
//! Not established: case, trailing dots and names in other scripts. A `*` compares as the character that it is, which is
//! inferred from the operator `==`.

use super::draft::{Draft, host_name, name_after_wildcards, one_entry};
use super::stages::{Spelling, sni_alone};
use super::{Limits, Order, Spec};
use crate::policy::Action;
use crate::policy::matcher::Matcher;
use crate::policy::pattern::{PatternError, Side};
use crate::policy::standing::Standing;

pub(super) static HOST: Spec = Spec {
    name: "cloudflare-host",
    title: "Cloudflare Gateway, Do Not Inspect by Host",
    default: (Action::Inspect, Standing::Established),
    order: (Order::BypassFirst, Standing::Established),
    subjects: "SNI alone",
    limits: Limits::NONE,
    sources: &[
        "cloudflare/cloudflare-docs http-policies/index.mdx, tls-decryption.mdx, order-of-enforcement.mdx",
        "cloudflare/cloudflare-docs partials selectors/host.mdx, selectors/domain.mdx",
    ],
    unknown: &["case, trailing dots and names in other scripts"],
    parse: |text| parse(text, Matcher::Exact),
    ask: |policy, subjects| sni_alone(policy, subjects, &Spelling::UNKNOWN),
};

pub(super) static DOMAIN: Spec = Spec {
    name: "cloudflare-domain",
    title: "Cloudflare Gateway, Do Not Inspect by Domain",
    parse: |text| parse(text, Matcher::Within),
    ..HOST
};

fn parse(text: &str, shape: fn(arcstr::Substr) -> Matcher) -> Result<Draft, PatternError> {
    one_entry(text)?;
    if text.contains(['*', '/', ':']) || text.starts_with('.') {
        let mend = name_after_wildcards(text).map(|name| format!("write `{name}` with the selector Domain"));
        let piece = text.trim_start_matches(['*', '.']).to_ascii_lowercase();
        return Ok(Draft::never(text)
            .doubt(
                Matcher::Glob(format!("*{piece}*").into()),
                Side::Both,
                Standing::Inferred,
                "the value is compared as text",
            )
            .warn(0..text.len(), "`==` compares the text as it is, and no host is written so", mend));
    }
    if text.ends_with('.') {
        return Ok(Draft::undefined(text));
    }
    Ok(Draft::new(shape(host_name(text, text)?)))
}
