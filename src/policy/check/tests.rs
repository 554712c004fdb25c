use proptest::prelude::*;

use super::*;

fn list(entries: &[&str]) -> Vec<Entry> {
    let written = |(entry, line): (&&str, u32)| match entry.split_once(' ') {
        Some((action, pattern)) => Entry::typed(pattern, action.parse().unwrap()).on_line(line),
        None => Entry::typed(*entry, Action::Bypass).on_line(line),
    };
    entries.iter().zip(1..).map(written).collect()
}

fn okta(dialect: &str, entries: &[&str], org: &str, custom: Option<&str>) -> Checked {
    let customer = Customer { org: Some(org.to_owned()), custom_domain: custom.map(str::to_owned) };
    check(&list(entries), dialect.parse().unwrap(), None, &[], &[Product::load("okta").unwrap()], &customer).unwrap()
}

fn half_right(checked: &Checked) -> Vec<&str> {
    checked.half_right.iter().map(|found| found.id).collect()
}

fn edits(checked: &Checked) -> Vec<String> {
    checked.mend.iter().flat_map(|mend| &mend.edits).map(ToString::to_string).collect()
}

#[test]
fn half_right_configurations_are_recognised() {
    let recognised = |dialect: &str, entries: &[&str], org: &str, custom: Option<&str>| {
        let checked = okta(dialect, entries, org, custom);
        half_right(&checked).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let acme = "acme.okta.com";
    let custom = Some("login.acme.example");
    assert_eq!(recognised("middlebox", &["okta.com", ".oktacdn.com"], acme, None), ["H1"]);
    assert_eq!(recognised("pan-os-exclusion", &["*.okta.com", "*.oktacdn.com"], acme, None), ["H2"]);
    assert_eq!(recognised("middlebox", &["*.okta.com", ".oktacdn.com"], "acme.oktapreview.com", None), ["H3"]);
    assert_eq!(recognised("middlebox", &["login.acme.example", ".oktacdn.com"], acme, custom), ["H4"]);
    assert_eq!(recognised("middlebox", &["*.okta.com", ".oktacdn.com"], acme, custom), ["H5"]);
    assert_eq!(recognised("middlebox", &["inspect *", "*.okta.com", ".oktacdn.com"], acme, None), ["H6", "H22"]);
    assert_eq!(recognised("middlebox", &["3.33.0.0/16", ".oktacdn.com"], acme, None), ["H7"]);
    assert_eq!(recognised("zscaler", &["3.33.0.0/16", ".okta.com", ".oktacdn.com"], acme, None), ["H8"]);
    assert_eq!(recognised("umbrella", &["okta.com", "oktacdn.com"], acme, None), ["H10"]);
    assert_eq!(recognised("middlebox", &[".okta.com", ".oktacdn.com", "block *.digicert.com"], acme, None), ["H16"]);
    assert_eq!(recognised("middlebox", &["*.okta.com"], acme, None), ["H22"]);
    assert_eq!(recognised("zscaler", &["https://acme.okta.com/", ".okta.com", ".oktacdn.com"], acme, None), ["H27"]);
    let mut scoped = list(&["*.okta.com", ".oktacdn.com"]);
    scoped[0] = scoped[0].clone().with_clients(vec!["10.0.0.0/8".parse().unwrap()]);
    let customer = Customer { org: Some(acme.to_owned()), custom_domain: None };
    let products = [Product::load("okta").unwrap()];
    let checked = check(&scoped, Dialect::MIDDLEBOX, None, &[], &products, &customer).unwrap();
    assert_eq!(half_right(&checked), ["H19"]);
}

#[test]
fn a_script_that_sends_the_device_itself_to_the_proxy_is_noticed() {
    let found = |way: &str| {
        let text = format!(
            "function FindProxyForURL(url, host) {{ if ({way}) return 'DIRECT'; return dnsDomainIs(host, '.okta.com') || \
             dnsDomainIs(host, '.oktacdn.com') ? 'DIRECT' : 'PROXY p.example:3128'; }}"
        );
        let list = crate::policy::formats::read(&crate::source::Document::new("proxy.pac", text), None).unwrap();
        let customer = Customer { org: Some("acme.okta.com".to_owned()), custom_domain: None };
        let checked = check_reading(&list.under(None, None), &[Product::load("okta").unwrap()], &customer).unwrap();
        checked.half_right.into_iter().filter(|found| found.id == "H13").map(|found| found.what).collect::<Vec<_>>()
    };
    assert_eq!(found("false"), ["localhost is sent to the proxy: the script answers `PROXY p.example:3128`"]);
    assert_eq!(
        found("isPlainHostName(host)"),
        ["127.0.0.1 is sent to the proxy: the script answers `PROXY p.example:3128`"]
    );
    assert!(found("isPlainHostName(host) || host == '127.0.0.1'").is_empty());
}

#[test]
fn another_organization_of_the_same_certificate_is_noticed() {
    let found = |dialect: &str, entry: &str| {
        let customer = Customer { org: Some("acme.okta.com".to_owned()), custom_domain: None };
        let products = [Product::load("okta").unwrap()];
        let checked =
            check(&list(&[entry]), dialect.parse().unwrap(), Some(Action::Inspect), &[], &products, &customer);
        checked.unwrap().half_right.into_iter().find(|found| found.id == "H11").map(|found| found.what)
    };
    let open = "with the certificate *.okta.com, other organizations of okta.com are bypassed as well";
    assert_eq!(found("squid-server-name", "acme.okta.com").as_deref(), Some(open));
    // Whoever excludes all of them means it, and other products compare no name of a certificate here.
    assert_eq!(found("squid-server-name", ".okta.com"), None);
    assert_eq!(found("squid-dstdomain", "acme.okta.com"), None);
    assert_eq!(found("netskope-domain", "acme.okta.com"), None);
}

#[test]
fn the_mend_is_the_shortest_in_the_dialects_own_syntax() {
    let mended = |dialect: &str, entries: &[&str]| edits(&okta(dialect, entries, "acme.okta.com", None));
    assert_eq!(mended("middlebox", &[]), ["add `.okta.com` at the top"]);
    assert_eq!(mended("zscaler", &[]), ["add `.okta.com` at the top"]);
    assert_eq!(mended("umbrella", &[]), ["add `okta.com` at the top"]);
    assert_eq!(mended("mitmproxy", &[]), [r"add `^(.+\.)?okta\.com:` at the top"]);
    assert_eq!(mended("chrome-bypass", &[]), ["add `.okta.com` at the end"]);
    assert_eq!(mended("pan-os-exclusion", &["*.okta.com"]), ["add `*.*.okta.com` at the top"]);
    assert_eq!(mended("pan-os-exclusion", &[]), ["add `*.okta.com` at the top", "add `*.*.okta.com` at the top"]);
    assert_eq!(mended("middlebox", &["inspect *", "*.okta.com"]), ["move `*.okta.com` on line 2 to the top"]);
    assert_eq!(mended("zscaler", &["*.okta.com"]), ["write `.okta.com` instead of `*.okta.com` on line 1"]);
    assert_eq!(mended("middlebox", &["*.okta.com"]), [""; 0]);
}

#[test]
fn hosts_of_their_own_are_mended_one_by_one() {
    let products = [Product::load("chrome-os").unwrap()];
    let checked = check(&[], Dialect::MIDDLEBOX, None, &[], &products, &Customer::default()).unwrap();
    assert!(edits(&checked).contains(&"add `accounts.google.com` at the top".to_owned()), "{:?}", edits(&checked));
    assert!(!edits(&checked).iter().any(|edit| edit.contains("`.google.com`")));
}

#[test]
fn entries_have_their_findings() {
    let findings = |dialect: &str, entries: &[&str]| {
        let reading = Reading::of(dialect.parse().unwrap(), None, list(entries));
        let told =
            lint(&reading).into_iter().map(|finding| format!("{}: {} {}", finding.kind, finding.text, finding.message));
        told.collect::<Vec<_>>()
    };
    let one = |dialect: &str, entry: &str| findings(dialect, &[entry]).join("; ");
    assert!(one("netskope-url-list", "*.com").starts_with("over-broad: *.com it covers every name under com"));
    assert!(one("middlebox", "*.co.uk").contains("under co.uk"));
    assert!(one("proxysg-host-suffix", "okta.com").contains("no label boundary: notokta.com"));
    assert!(one("mitmproxy", "okta.com").contains("notokta.com is covered"));
    assert!(one("pan-os-url-legacy", "okta.com").contains("okta.com.evil.example is covered"));
    assert!(one("pan-os-exclusion", "mail.*.com").contains("it covers mail.ANY.com"));
    assert!(one("middlebox", "*").contains("it covers every host"));
    assert!(one("squid-dstdomain", "*.okta.com").starts_with("dead: "));
    assert!(one("zscaler", "*.okta.com").starts_with("refused: "));
    assert_eq!(one("middlebox", "*.okta.com"), "");
    assert_eq!(
        findings("middlebox", &[".okta.com", "a.okta.com", ".OKTA.com"]),
        [
            "redundant: a.okta.com `.okta.com` on line 1 covers everything that it covers",
            "duplicate: .OKTA.com it says what `.okta.com` on line 1 says",
        ]
    );
    assert_eq!(
        findings("middlebox", &["inspect *", "*.okta.com"]),
        ["wrongly ordered: *.okta.com it never decides: `*` on line 1 (inspect) comes before it"]
    );
    assert_eq!(findings("zscaler", &["inspect .okta.com", "acme.okta.com"]), [""; 0]);
}

fn entry() -> impl Strategy<Value = String> {
    let action = prop::sample::select(vec!["bypass", "bypass", "bypass", "inspect", "block"]);
    let start = prop::sample::select(vec!["", ".", "*.", "*", "https://", "^(.+\\.)?", "*.*."]);
    let name = prop::sample::select(vec![
        "okta.com",
        "acme.okta.com",
        "mtls.okta.com",
        "com",
        "login.acme.example",
        "x.example",
    ]);
    (action, start, name).prop_map(|(action, start, name)| format!("{action} {start}{name}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_mended_list_passes(
        entries in prop::collection::vec(entry(), 0..6),
        dialect in prop::sample::select(Dialect::all().collect::<Vec<_>>()),
        default in prop::option::of(prop::sample::select(vec![Action::Inspect, Action::Block])),
        custom in prop::option::of(Just("login.acme.example".to_owned())),
    ) {
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let list = list(&entries);
        let customer = Customer { org: Some("acme.okta.com".to_owned()), custom_domain: custom };
        let products = [Product::load("okta").unwrap()];
        let checked = check(&list, dialect, default, &[], &products, &customer).unwrap();
        prop_assert_eq!(checked.passed, edits(&checked).is_empty() && checked.mend.is_none() && checked.passed);
        if let Some(mend) = &checked.mend {
            prop_assert!(!checked.passed);
            let mended = check(&mend.apply(&list), dialect, default, &[], &products, &customer).unwrap();
            prop_assert!(mended.passed, "{:?}\n{:?}", edits(&checked), mended);
        }
    }
}
