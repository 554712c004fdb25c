//! Which name is compared, when, in which order rules count, and what is done without one.

use std::sync::Arc;

use super::super::Dialect;
use crate::policy::decision::{Asked, Need, Sni, Subjects};
use crate::policy::rule::{RuleId, RuleSpec, Source};
use crate::policy::{Action, Policy, PolicyConfig, PolicyStore};

/// A policy of rules written `bypass okta.com`, with the default of its product.
fn policy(dialect: &str, rules: &[&str]) -> Policy {
    let dialect: Dialect = dialect.parse().unwrap();
    let rules = rules.iter().zip(1..).map(|(rule, number)| {
        let (action, pattern) = rule.split_once(' ').unwrap();
        let spec = RuleSpec::new(pattern, action.parse().unwrap());
        let pattern = dialect.parse(pattern).unwrap();
        Arc::new(spec.into_rule(RuleId::numbered(number), pattern, Source::Live))
    });
    Policy::compile(1, dialect, dialect.default_action(), rules.collect())
}

fn nothing<'a>() -> Subjects<'a> {
    Subjects { connect_host: None, port: 443, sni: Sni::NotYet, address: None, certificate: None, client: None }
}

fn told(asked: &Asked) -> String {
    match asked {
        Asked::Needs(need) => format!("{need:?}"),
        Asked::Decided(decision) => format!("{}: {}", decision.action, decision.why),
    }
}

fn certificate(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn each_product_asks_for_what_it_looks_at() {
    let connect = Subjects { connect_host: Some("a.example"), ..nothing() };
    let hello = Subjects { sni: Sni::Absent, ..connect };
    let rows = [
        ("middlebox", Some(Need::Hello), None),
        ("zscaler", Some(Need::Hello), None),
        ("pan-os-exclusion", Some(Need::Hello), Some(Need::OriginCertificate)),
        ("pan-os-url", Some(Need::Hello), Some(Need::OriginCertificate)),
        ("netskope-url-list", Some(Need::Hello), None),
        ("fortigate-flow", Some(Need::Hello), Some(Need::OriginCertificate)),
        ("fortigate-proxy", Some(Need::Hello), Some(Need::Address)),
        ("cisco-ftd", Some(Need::Hello), Some(Need::OriginCertificate)),
        ("umbrella", Some(Need::Hello), None),
        ("proxysg-domain", None, None),
        ("cloudflare-host", Some(Need::Hello), None),
        ("forcepoint", None, None),
        ("skyhigh", None, None),
        ("squid-dstdomain", None, None),
        ("squid-server-name", Some(Need::Hello), None),
        ("mitmproxy", Some(Need::Hello), Some(Need::Address)),
        ("no-proxy-go", None, None),
        ("chrome-bypass", None, None),
    ];
    for (dialect, first, second) in rows {
        let entry = if dialect.starts_with("check") { "bypass .okta.com" } else { "bypass okta.com" };
        let policy = policy(dialect, &[entry]);
        let need = |subjects: &Subjects<'_>| match policy.decide(subjects) {
            Asked::Needs(need) => Some(need),
            Asked::Decided(_) => None,
        };
        assert_eq!((need(&connect), need(&hello)), (first, second), "{dialect}");
    }
}

#[test]
fn an_exclusion_of_pan_os_goes_by_sni_or_common_name() {
    let policy = policy("pan-os-exclusion", &["bypass *.okta.com"]);
    let ask = |sni, names: Option<&[&str]>| {
        let names = names.map(certificate);
        told(&policy.decide(&Subjects { sni, certificate: names.as_deref(), ..nothing() }))
    };
    assert_eq!(ask(Sni::Name("acme.okta.com"), None), "bypass: `*.okta.com` (rule r1) matches the SNI acme.okta.com");
    assert_eq!(ask(Sni::Name("a.example"), None), "OriginCertificate");
    assert_eq!(
        ask(Sni::Absent, Some(&["acme.okta.com", "other.example"])),
        "bypass: `*.okta.com` (rule r1) matches the certificate name acme.okta.com"
    );
    // Alternative names do not count, and a wildcard's reading is nobody's word.
    assert!(ask(Sni::Absent, Some(&["a.example", "acme.okta.com"])).starts_with("inspect: no rule matches"));
    assert!(ask(Sni::Absent, Some(&["*.okta.com"])).contains("not established: test it on your appliance"));
    assert!(ask(Sni::Name("a.example"), Some(&[])).starts_with("inspect: no rule matches"));
}

#[test]
fn firepower_takes_the_sni_only_where_the_certificate_agrees() {
    let policy = policy("cisco-ftd", &["bypass CN=acme.okta.com"]);
    let ask = |sni, names: &[&str]| {
        let names = certificate(names);
        told(&policy.decide(&Subjects { sni, certificate: Some(&names), ..nothing() }))
    };
    let matched = "bypass: `CN=acme.okta.com` (rule r1) matches the SNI acme.okta.com";
    assert_eq!(ask(Sni::Name("acme.okta.com"), &["x.example", "acme.okta.com"]), matched);
    assert!(ask(Sni::Name("acme.okta.com"), &["*.okta.com"]).starts_with(&format!("{matched}; inferred")));
    assert!(ask(Sni::Name("acme.okta.com"), &["evil.example"]).starts_with("inspect: no rule matches"));
    assert!(ask(Sni::Name("evil.example"), &["acme.okta.com"]).contains("certificate name acme.okta.com"));
}

#[test]
fn the_subject_of_squid_changes_with_the_step() {
    let policy = policy("squid-server-name", &["inspect other.example", "bypass .okta.com", "bypass 2001:db8::1"]);
    let ask = |connect_host, sni, names: Option<&[&str]>| {
        let names = names.map(certificate);
        told(&policy.decide(&Subjects { connect_host, sni, certificate: names.as_deref(), ..nothing() }))
    };
    assert_eq!(ask(Some("acme.okta.com"), Sni::NotYet, None), "Hello");
    assert_eq!(
        ask(Some("acme.okta.com"), Sni::Name("other.example"), None),
        "inspect: `other.example` (rule r1) matches the SNI other.example"
    );
    assert!(ask(Some("acme.okta.com"), Sni::Absent, None).ends_with("matches the CONNECT host acme.okta.com"));
    assert!(ask(Some("x"), Sni::Name("other.example"), Some(&["www.okta.com"])).starts_with("bypass: "));
    assert_eq!(ask(Some("x.example"), Sni::Absent, None), "bypass: no rule matches; the default is bypass");
    // A name in the certificate that is an address is compared as text.
    assert!(ask(None, Sni::Absent, Some(&["2001:db8::1"])).starts_with("bypass: `2001:db8::1`"));
}

#[test]
fn a_wildcard_of_a_certificate_stands_for_every_name_below_in_squid() {
    let covered = |entry: &str| {
        let names = certificate(&["*.okta.com"]);
        let policy = policy("squid-server-name", &[&format!("inspect {entry}")]);
        let asked = policy.decide(&Subjects { sni: Sni::Absent, certificate: Some(&names), ..nothing() });
        asked.decision().unwrap().rule.is_some()
    };
    assert!([".okta.com", "acme.okta.com", "a.b.okta.com"].into_iter().all(covered));
    assert!(!["okta.com", "notokta.com", "acme.example"].into_iter().any(covered));
}

#[test]
fn a_fortigate_proxy_exempts_what_shares_an_address() {
    let policy = policy("fortigate-proxy", &["bypass okta.com"]);
    let ask = |policy: &Policy, host, address: &str| {
        let address = address.parse().ok();
        told(&policy.decide(&Subjects { connect_host: Some(host), sni: Sni::Name(host), address, ..nothing() }))
    };
    assert_eq!(ask(&policy, "okta.com", "192.0.2.1"), "bypass: `okta.com` (rule r1) matches the SNI okta.com");
    assert!(ask(&policy, "second.example.com", "192.0.2.1").contains("not established"));
    let policy = policy.with_addresses([("okta.com".to_owned(), vec!["192.0.2.1".parse().unwrap()])]);
    assert_eq!(
        ask(&policy, "second.example.com", "192.0.2.1"),
        "bypass: `okta.com` (rule r1) matches the address 192.0.2.1 (also okta.com)"
    );
    assert_eq!(ask(&policy, "second.example.com", "192.0.2.2"), "inspect: no rule matches; the default is inspect");
}

#[test]
fn a_running_policy_learns_addresses_as_a_change() {
    let config = PolicyConfig {
        dialect: Some("fortigate-proxy".parse().unwrap()),
        command_line: vec![RuleSpec::new("okta.com", Action::Bypass)],
        ..PolicyConfig::default()
    };
    let store = PolicyStore::new(config).unwrap();
    let known = || [("okta.com".to_owned(), vec!["192.0.2.1".parse().unwrap()])];
    let subjects = Subjects {
        connect_host: Some("second.example.com"),
        sni: Sni::Absent,
        address: "192.0.2.1".parse().ok(),
        ..nothing()
    };
    let action = || store.decide(&subjects).decision().unwrap().action;
    assert_eq!(action(), Action::Inspect);
    assert_eq!((store.know_addresses(known()).epoch, store.know_addresses(known()).epoch), (2, 2));
    assert_eq!(action(), Action::Bypass);
}

#[test]
fn mitmproxy_searches_in_every_name_with_its_port() {
    let policy = policy("mitmproxy", &[r"bypass ^192\.0\.2\.7:443$", r"bypass ^(.+\.)?okta\.com:443$"]);
    let ask = |connect_host, sni, address: Option<&str>| {
        let address = address.map(|address| address.parse().unwrap());
        told(&policy.decide(&Subjects { connect_host: Some(connect_host), sni, address, ..nothing() }))
    };
    assert!(ask("x.example", Sni::Name("acme.okta.com"), None).ends_with("matches the SNI acme.okta.com"));
    assert!(ask("okta.com", Sni::Name("x.example"), None).ends_with("matches the CONNECT host okta.com"));
    assert_eq!(ask("x.example", Sni::Absent, None), "Address");
    assert!(ask("x.example", Sni::Absent, Some("192.0.2.7")).ends_with("matches the address 192.0.2.7"));
}

#[test]
fn zscaler_goes_by_the_sni_and_blocks_at_the_connect() {
    let policy = policy("zscaler", &["block blocked.example", "bypass .okta.com", "inspect acme.okta.com"]);
    let ask =
        |connect_host, sni| told(&policy.decide(&Subjects { connect_host: Some(connect_host), sni, ..nothing() }));
    assert!(ask("blocked.example", Sni::NotYet).starts_with("block: "));
    assert_eq!(ask("x.okta.com", Sni::NotYet), "Hello");
    // An exact entry counts before a wildcard, whatever the order.
    assert!(ask("acme.okta.com", Sni::Name("acme.okta.com")).starts_with("inspect: `acme.okta.com`"));
    assert!(ask("x.example", Sni::Name("x.okta.com")).contains("from a secondary source"));
    assert!(ask("x.okta.com", Sni::Absent).ends_with("matches the CONNECT host x.okta.com"));
}

#[test]
fn forcepoint_looks_at_the_next_name_where_one_is_missing() {
    let policy = policy("forcepoint", &["bypass acme.okta.com", "bypass 192.0.2.1"]);
    let ask = |names: Option<&[&str]>| {
        let names = names.map(certificate);
        let address = "192.0.2.1".parse().ok();
        told(&policy.decide(&Subjects { sni: Sni::Absent, certificate: names.as_deref(), address, ..nothing() }))
    };
    assert_eq!(ask(None), "OriginCertificate");
    assert!(
        ask(Some(&["acme.okta.com"])).starts_with("bypass: `acme.okta.com` (rule r1) matches the certificate name")
    );
    assert!(ask(Some(&["*.okta.com"])).starts_with("bypass: `192.0.2.1` (rule r2) matches the address"));
}

#[test]
fn a_bypass_comes_first_where_the_product_says_so() {
    for (dialect, action) in [
        ("umbrella", Action::Bypass),
        ("cloudflare-domain", Action::Bypass),
        ("squid-dstdomain", Action::Block),
        ("proxysg-domain", Action::Block),
    ] {
        let (block, bypass) = match dialect {
            "squid-dstdomain" => ("block .okta.com", "bypass acme.okta.com"),
            _ => ("block okta.com", "bypass acme.okta.com"),
        };
        let policy = policy(dialect, &[block, bypass]);
        let decision = policy.rehearse(&Subjects { connect_host: Some("acme.okta.com"), ..nothing() });
        assert_eq!(decision.action, action, "{dialect}");
        assert_eq!(decision.why.to_string().contains("not established"), dialect == "proxysg-domain");
    }
}

#[test]
fn what_subtracts_counts_by_its_place_in_chrome() {
    let ask = |rules: &[&str], host| {
        told(&policy("chrome-bypass", rules).decide(&Subjects { connect_host: Some(host), ..nothing() }))
    };
    assert!(ask(&["bypass okta.com"], "localhost").starts_with("bypass: Chrome takes localhost"));
    assert_eq!(
        ask(&["bypass 127.0.0.1", "bypass <-loopback>"], "127.0.0.1"),
        "inspect: `<-loopback>` (rule r2) takes the CONNECT host 127.0.0.1 away from the rules before it"
    );
    assert!(ask(&["bypass <-loopback>", "bypass 127.0.0.1"], "127.0.0.1").starts_with("bypass: `127.0.0.1`"));
    assert!(ask(&["bypass okta.com"], "localhost.").starts_with("bypass: Chrome takes localhost"));
    assert!(ask(&["bypass <-loopback>"], "localhost").starts_with("inspect: "));
    assert!(ask(&["bypass okta.com"], "169.254.1.1").starts_with("bypass: "));
}

#[test]
fn go_takes_loopback_to_no_proxy() {
    let policy = policy("no-proxy-go", &["bypass okta.com"]);
    let ask = |host| told(&policy.decide(&Subjects { connect_host: Some(host), ..nothing() }));
    assert!(ask("127.0.0.9").starts_with("bypass: Go takes"));
    assert!(ask("[::1]").starts_with("bypass: Go takes") && ask("localhost").starts_with("bypass: Go takes"));
    assert!(ask("localhost.example").starts_with("inspect: "));
}

#[test]
fn a_doubt_about_an_earlier_rule_is_told_where_it_would_decide_otherwise() {
    let rehearse = |rules: &[&str], host| {
        let policy = policy("pan-os-url-legacy", rules);
        policy.rehearse(&Subjects { connect_host: Some(host), ..nothing() }).why.to_string()
    };
    let doubted = rehearse(&["bypass okta.com/login", "inspect okta.com/"], "okta.com");
    assert!(doubted.contains("`okta.com/` (rule r2)") && doubted.contains("a path covers nothing"), "{doubted}");
    assert!(!rehearse(&["inspect okta.com/login", "inspect okta.com/"], "okta.com").contains("assumed"));
}

#[test]
fn an_explanation_has_the_standing_of_each_rule_and_the_nearest_first() {
    let policy = policy("pan-os-exclusion", &["bypass other.example", "bypass *.okta.com", "bypass okta.com"]);
    let names = certificate(&["acme.mtls.okta.com"]);
    let sni = Sni::Name("acme.mtls.okta.com");
    let explanation = policy.explain(&Subjects { sni, certificate: Some(&names), ..nothing() });
    let nearest = explanation.nearest_first();
    let lines: Vec<String> =
        nearest.iter().map(|it| format!("{} {} [{}]", it.rule.pattern, it.verdict, it.standing)).collect();
    assert_eq!(
        lines,
        [
            "*.okta.com does not match the SNI acme.mtls.okta.com: it covers exactly one label below okta.com; \
             `*.*.okta.com` covers this one [established]",
            "okta.com does not match the SNI acme.mtls.okta.com: it covers okta.com alone [not-established]",
            "other.example does not match the SNI acme.mtls.okta.com [established]",
        ]
    );
    assert_eq!(explanation.asked.decision().unwrap().standing.as_str(), "not-established");
}
