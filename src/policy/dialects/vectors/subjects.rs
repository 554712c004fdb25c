//! Which name each product compares an entry with, and what it does where nothing matches. The sources of each product
//! stand in its dialect.

use std::sync::Arc;

use super::super::{Dialect, Order};
use crate::policy::decision::{Sni, Subjects};
use crate::policy::rule::{RuleId, RuleSpec, Source};
use crate::policy::standing::Standing;
use crate::policy::{Action, Policy};

/// What a product is shown: the host of the `CONNECT`, the SNI (`-` for a hello without one), the origin's certificate
/// (the common name first), and the address.
type Shown = (&'static str, &'static str, &'static [&'static str], &'static str);

/// Dialect, entry, what is shown, and by which subject it matches; with `?` where that is not established, with `~`
/// where it is by inference or a secondary source.
const ROWS: &[(&str, &str, Shown, &str)] = &[
    // CONNECT host first, the exemption on the SNI; neither certificate nor address.
    ("zscaler", "acme.okta.com", ("acme.okta.com", "acme.okta.com", &["x.example"], "192.0.2.1"), "SNI"),
    ("zscaler", "acme.okta.com", ("x.example", "acme.okta.com", &[], "192.0.2.1"), "SNI~"),
    ("zscaler", "acme.okta.com", ("x.example", "x.example", &["acme.okta.com"], "192.0.2.1"), "none"),
    ("zscaler", "192.0.2.1", ("x.example", "x.example", &[], "192.0.2.1"), "none"),
    // SNI or common name; alternative names are not mentioned.
    ("pan-os-exclusion", "acme.okta.com", ("x.example", "acme.okta.com", &["x.example"], "192.0.2.1"), "SNI"),
    (
        "pan-os-exclusion",
        "acme.okta.com",
        ("x.example", "x.example", &["acme.okta.com"], "192.0.2.1"),
        "certificate name",
    ),
    ("pan-os-exclusion", "acme.okta.com", ("acme.okta.com", "x.example", &["x.example"], "192.0.2.1"), "none"),
    // SNI; the common name only where there is none.
    ("pan-os-url", "acme.okta.com", ("x.example", "acme.okta.com", &["x.example"], "192.0.2.1"), "SNI"),
    ("pan-os-url", "acme.okta.com", ("x.example", "x.example", &["acme.okta.com"], "192.0.2.1"), "none"),
    ("pan-os-url", "acme.okta.com", ("x.example", "-", &["acme.okta.com"], "192.0.2.1"), "certificate name"),
    // The SNI alone.
    ("netskope-url-list", "acme.okta.com", ("x.example", "acme.okta.com", &["x.example"], "192.0.2.1"), "SNI"),
    ("netskope-url-list", "acme.okta.com", ("acme.okta.com", "x.example", &["acme.okta.com"], "192.0.2.1"), "none"),
    ("netskope-domain", "acme.okta.com", ("acme.okta.com", "-", &["acme.okta.com"], "192.0.2.1"), "none"),
    // SNI; the common name where there is none.
    ("fortigate-flow", "acme.okta.com", ("x.example", "acme.okta.com", &["x.example"], "192.0.2.1"), "SNI"),
    ("fortigate-flow", "acme.okta.com", ("x.example", "-", &["acme.okta.com"], "192.0.2.1"), "certificate name"),
    ("fortigate-flow", "acme.okta.com", ("acme.okta.com", "x.example", &["acme.okta.com"], "192.0.2.1"), "none"),
    // The SNI where the certificate agrees, else the common name.
    (
        "cisco-ftd",
        "CN=acme.okta.com",
        ("x.example", "acme.okta.com", &["x.example", "acme.okta.com"], "192.0.2.1"),
        "SNI",
    ),
    ("cisco-ftd", "CN=acme.okta.com", ("x.example", "acme.okta.com", &["x.example"], "192.0.2.1"), "none"),
    ("cisco-ftd", "CN=acme.okta.com", ("x.example", "-", &["acme.okta.com"], "192.0.2.1"), "certificate name"),
    // The SNI alone; without one the exclusion does not apply.
    ("umbrella", "acme.okta.com", ("x.example", "acme.okta.com", &["x.example"], "192.0.2.1"), "SNI"),
    ("umbrella", "acme.okta.com", ("x.example", "-", &["acme.okta.com"], "192.0.2.1"), "none"),
    // The host of the request.
    ("proxysg-domain", "acme.okta.com", ("acme.okta.com", "x.example", &["x.example"], "192.0.2.1"), "CONNECT host"),
    ("proxysg-host", "url.address=192.0.2.0/24", ("192.0.2.1", "x.example", &[], "192.0.2.1"), "CONNECT host"),
    // CONNECT host where there is one.
    ("forcepoint", "acme.okta.com", ("acme.okta.com", "x.example", &["x.example"], "192.0.2.1"), "CONNECT host?"),
    // The SNI has to match.
    ("cloudflare-host", "acme.okta.com", ("x.example", "acme.okta.com", &["x.example"], "192.0.2.1"), "SNI"),
    ("cloudflare-host", "acme.okta.com", ("acme.okta.com", "x.example", &["acme.okta.com"], "192.0.2.1"), "none"),
    ("cloudflare-domain", "okta.com", ("acme.okta.com", "-", &["acme.okta.com"], "192.0.2.1"), "none"),
    // The URL's host.
    ("squid-dstdomain", ".okta.com", ("acme.okta.com", "x.example", &["x.example"], "192.0.2.1"), "CONNECT host"),
    ("squid-dstdomain", ".okta.com", ("x.example", "acme.okta.com", &["acme.okta.com"], "192.0.2.1"), "none"),
    // Address, host and SNI, each with its port; no certificate.
    ("mitmproxy", r"^192\.0\.2\.1:443$", ("x.example", "x.example", &[], "192.0.2.1"), "address"),
    ("mitmproxy", r"^acme\.okta\.com:443$", ("acme.okta.com", "x.example", &[], "192.0.2.1"), "CONNECT host"),
    ("mitmproxy", r"^acme\.okta\.com:443$", ("x.example", "acme.okta.com", &[], "192.0.2.1"), "SNI"),
    ("mitmproxy", r"^acme\.okta\.com:443$", ("x.example", "x.example", &["acme.okta.com"], "192.0.2.1"), "none"),
];

fn policy(dialect: Dialect, entry: &str) -> Policy {
    let spec = RuleSpec::new(entry, Action::Bypass);
    let rule = spec.into_rule(RuleId::numbered(1), dialect.parse(entry).unwrap(), Source::Live);
    Policy::compile(1, dialect, Action::Inspect, vec![Arc::new(rule)])
}

#[test]
fn each_product_compares_what_its_sources_say() {
    let differing = ROWS.iter().filter_map(|(dialect, entry, (connect, sni, names, address), expected)| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let subjects = Subjects {
            connect_host: Some(connect),
            port: 443,
            sni: if *sni == "-" { Sni::Absent } else { Sni::Name(sni) },
            address: address.parse().ok(),
            certificate: Some(&names),
            client: None,
        };
        let asked = policy(dialect.parse().unwrap(), entry).decide(&subjects);
        let decision = asked.decision().expect("all there is to know is known");
        let why = decision.why.to_string();
        let kinds = ["SNI", "CONNECT host", "certificate name", "address"];
        let kind = kinds.iter().find(|kind| why.contains(&format!("matches the {kind} "))).unwrap_or(&"none");
        let doubt = match decision.standing {
            Standing::Established => "",
            Standing::NotEstablished => "?",
            Standing::Inferred | Standing::Observed | Standing::Secondary => "~",
        };
        let is = format!("{kind}{doubt}");
        (is != *expected)
            .then(|| format!("{dialect} `{entry}` {connect} {sni} {names:?}: expected {expected}, is {is} ({why})"))
    });
    let differing: Vec<String> = differing.collect();
    assert!(differing.is_empty(), "\n{}", differing.join("\n"));
}

#[test]
fn order_and_default_are_the_products() {
    use Standing::{Established, Inferred, NotEstablished, Secondary};

    let rows = [
        ("zscaler", (Order::ExactFirst, Established), (Action::Inspect, Established)),
        ("pan-os-exclusion", (Order::BypassFirst, Established), (Action::Inspect, NotEstablished)),
        ("pan-os-url", (Order::FirstMatch, Secondary), (Action::Inspect, NotEstablished)),
        ("netskope-url-list", (Order::FirstMatch, NotEstablished), (Action::Inspect, Established)),
        ("fortigate-flow", (Order::BypassFirst, Inferred), (Action::Inspect, Inferred)),
        ("cisco-ftd", (Order::FirstMatch, Established), (Action::Inspect, NotEstablished)),
        ("umbrella", (Order::BypassFirst, Established), (Action::Inspect, NotEstablished)),
        ("proxysg-domain", (Order::FirstMatch, NotEstablished), (Action::Bypass, Secondary)),
        ("cloudflare-host", (Order::BypassFirst, Established), (Action::Inspect, Established)),
        ("squid-server-name", (Order::FirstMatch, Established), (Action::Bypass, Established)),
        ("mitmproxy", (Order::BypassFirst, Established), (Action::Inspect, Established)),
        ("check-point-fqdn", (Order::FirstMatch, Secondary), (Action::Inspect, NotEstablished)),
        ("sophos", (Order::FirstMatch, NotEstablished), (Action::Inspect, NotEstablished)),
    ];
    for (dialect, order, default) in rows {
        let spec = dialect.parse::<Dialect>().unwrap().0;
        assert_eq!((spec.order, spec.default), (order, default), "{dialect}");
    }
}
