//! What the sources say of each product beyond the common table.

use super::super::Dialect;
use super::differences;

/// Dialect, entry, host, letter, the kind of source.
const ROWS: &[(&str, &str, &str, char, &str)] = &[
    // Zscaler: help.zscaler.com/zia/url-format-guidelines
    ("zscaler", ".safemarch.com", "safemarch.com", 'Y', "V"),
    ("zscaler", ".safemarch.com", "atlanta.safemarch.com", 'Y', "V"),
    ("zscaler", ".safemarch.com", "serv3.serv2.serv1.atlanta.safemarch.com", 'Y', "V"),
    ("zscaler", ".safemarch.com", "a.b.c.d.e.safemarch.com", '+', "V, ambiguous"),
    ("zscaler", ".safemarch.com", "a.b.c.d.e.f.safemarch.com", 'm', "I"),
    ("zscaler", "safemarch.com", "safemarch.com:10443", 'Y', "V"),
    ("zscaler", "safemarch.com", "www.safemarch.com", 'n', "V"),
    ("zscaler", "*.safemarch.com", "safemarch.com", 'R', "V"),
    ("zscaler", "*safemarch.com", "safemarch.com", 'R', "V"),
    ("zscaler", ".gov", "agency.gov", 'R', "V / C"),
    ("zscaler", "www.Safemarch.com", "www.safemarch.com", 'R', "V"),
    ("zscaler", "http://safemarch.com", "safemarch.com", 'R', "V"),
    ("zscaler", "bücher.example", "xn--bcher-kva.example", 'R', "V"),
    ("zscaler", "10.0.0.0/8", "10.1.2.3", 't', "C"),
    ("zscaler", "my_app.safemarch.com", "my_app.safemarch.com", 'Y', "V"),
    ("zscaler", "safe_march.com", "safe_march.com", 'Y', "V"),
    ("zscaler", "www.safe_march.com", "www.safe_march.com", 'R', "V"),
    // PAN-OS exclusion list: device-certificate-management-ssl-decryption-exclusion
    ("pan-os-exclusion", "mail.*.com", "mail.company.com", 'Y', "V"),
    ("pan-os-exclusion", "mail.*.com", "mail.company.sso.com", 'n', "V"),
    ("pan-os-exclusion", "*.company.com", "tools.company.com", 'Y', "V"),
    ("pan-os-exclusion", "*.company.com", "eng.tools.company.com", 'n', "V"),
    ("pan-os-exclusion", "*.*.company.com", "eng.tools.company.com", 'Y', "V"),
    ("pan-os-exclusion", "*.*.company.com", "eng.company.com", 'n', "V"),
    ("pan-os-exclusion", "*.*.*.company.com", "corp.exec.mail.company.com", 'Y', "V"),
    ("pan-os-exclusion", "*.*.*.company.com", "corp.mail.company.com", 'n', "V"),
    ("pan-os-exclusion", "*.okta.com", "acme.mtls.okta.com", 'n', "V"),
    // PAN-OS URL category: guidelines-for-url-category-exceptions
    ("pan-os-url", "*.*.okta.com", "a.b.okta.com", 'R', "V"),
    ("pan-os-url", "^.^.okta.com", "a.b.okta.com", 'Y', "V"),
    ("pan-os-url", "^.^.okta.com", "a.okta.com", 'n', "V"),
    ("pan-os-url", "^.^.^.^.^.^.^.^.^.com", "a.b.c.d.e.f.g.h.i.com", 'Y', "V"),
    ("pan-os-url", "^.^.^.^.^.^.^.^.^.^.com", "a.com", 'R', "V"),
    ("pan-os-url", "https://okta.com", "okta.com", 'R', "V"),
    ("pan-os-url", "okta.*", "okta.com", 'Y', "V"),
    ("pan-os-url", "okta.*", "okta.com.evil.com", 'Y', "V"),
    ("pan-os-url", "OKTA.com", "okta.com", 'Y', "V"),
    ("pan-os-url", "mail.*.com", "mail.company.sso.com", 'Y', "V"),
    ("pan-os-url", "okta.com/login", "okta.com", '-', "K"),
    ("pan-os-url-legacy", "okta.com/", "okta.com.evil.com", 'n', "V"),
    ("pan-os-url-legacy", "okta.com/", "okta.com", 'Y', "V"),
    ("pan-os-url-legacy", "*.okta.com", "a.okta.com.evil.com", 'y', "I"),
    // Netskope: url-lists.html
    ("netskope-url-list", "www.example.com", "www.example.com", 'Y', "V"),
    ("netskope-url-list", "example.com", "www.example.com", 'n', "V"),
    ("netskope-url-list", "*.example.com", "www.us.example.com", 'Y', "V"),
    ("netskope-url-list", "*.example.com", "example.com", 'Y', "V"),
    ("netskope-url-list", "www.example.com:8080", "www.example.com:8080", 'Y', "V"),
    ("netskope-url-list", "www.example.com:8080", "www.example.com:443", 'n', "V"),
    ("netskope-url-list", "www.example.com", "www.example.com:80", 'Y', "V"),
    ("netskope-url-list", "www.example.com", "www.example.com:8080", 'n', "V"),
    ("netskope-url-list", "*.gov", "agency.gov", 'Y', "V"),
    ("netskope-url-list", "https://example.com", "example.com", 'Y', "V"),
    ("netskope-url-list", "user:pass@example.com", "example.com", 'R', "V"),
    // FortiGate: ta-p/387569, ta-p/191170
    ("fortigate-flow", "*.okta.com", "a.b.c.d.e.f.g.h.i.j.k.okta.com", 'Y', "V"),
    ("fortigate-proxy", "okta.com", "second.example.com", '-', "V: by address"),
    ("fortigate-proxy", "*.okta.com", "acme.okta.com", '+', "V and V disagree"),
    // FTD: c_do-not-decrypt-best-practice.html
    ("cisco-ftd", "CN=*.amp.cisco.com", "www.amp.cisco.com", 'Y', "V"),
    ("cisco-ftd", "CN=*.amp.cisco.com", "auth.us.amp.cisco.com", 'Y', "V"),
    ("cisco-ftd", "CN=*.amp.cisco.com", "amp.cisco.com", 'n', "V"),
    ("cisco-ftd", "*.youtube.com", "kids.youtube.com", 'Y', "V"),
    ("cisco-ftd", "*.youtube.com", "youtube.com", 'n', "V"),
    ("cisco-ftd", "*.yt.be", "yt.be", 'n', "V"),
    ("cisco-ftd", "a1234567890123456789012345678901234567890123456789012.okta.test.com", "okta.com", 'R', "V"),
    ("cisco-ftd", "O=Okta", "okta.com", '-', "K"),
    // ProxySG: knowledge.broadcom.com 165956, 166961, 169432
    ("proxysg-domain", ".com", "okta.com", 'Y', "V"),
    ("proxysg-domain", "url.domain=company.com", "www.company.com", 'Y', "V"),
    ("proxysg-host", "OKTA.com", "okta.com", 'Y', "V"),
    ("proxysg-host", "*.okta.com", "acme.okta.com", 'n', "V"),
    ("proxysg-host", ".okta.com", "acme.okta.com", 'n', "V"),
    ("proxysg-host", "url.host.prefix=acme", "acme.okta.com", 'Y', "V"),
    ("proxysg-host", "url.host.substring=okta", "notokta.com", 'Y', "V"),
    ("proxysg-host", "url.host.regex=okta", "notokta.com", 'Y', "V"),
    ("proxysg-host", "url.host.regex=^okta", "notokta.com", 'n', "V"),
    ("proxysg-host", "url.address=10.1.198.0/24", "10.1.198.7", 'Y', "V"),
    ("proxysg-host", "url.address=10.1.198.0/24", "10.1.199.7", 'n', "V"),
    ("proxysg-domain", "okta.com/login", "okta.com", 'm', "I"),
    // Check Point: Domains.htm
    ("check-point-fqdn", "okta.com", "okta.com", 'R', "V"),
    ("check-point-domain", "okta.com", "okta.com", 'R', "V"),
    ("check-point-fqdn", ".www.example.com", "www.example.com", 'Y', "V"),
    // Squid: src/cf.data.pre
    ("squid-dstdomain", ".foo.com", "y.x.foo.com", 'Y', "V"),
    ("squid-dstdomain", ".FOO.com", "foo.com", 'Y', "V"),
    ("squid-dstdomain", "foo.com", "x.foo.com", 'n', "V"),
    ("squid-dstdomain", "10.0.0.0/8", "10.1.2.3", 'n', "V"),
    // mitmproxy: docs howto/ignore-domains.md
    ("mitmproxy", r"^(.+\.)?okta\.com:443$", "acme.okta.com:8443", 'n', "V"),
    ("mitmproxy", r"OKTA\.COM", "acme.okta.com", 'Y', "V"),
    ("mitmproxy", ":8443$", "acme.okta.com:8443", 'Y', "V"),
    // Skyhigh, Forcepoint
    ("skyhigh", r"regex(^(.+\.)?okta\.com$)", "acme.okta.com", '+', "K"),
    ("forcepoint", "*.okta.com", "acme.okta.com", '+', "K"),
    // Sophos: any port; PAC: docs of pac-resolver
    ("sophos", "okta.com", "acme.okta.com:8443", 'Y', "V"),
    ("pac", "okta.com", "notokta.com", 'Y', "V"),
    // Umbrella, Sophos, Cloudflare, AWS: forms of which nothing is said
    ("umbrella", "okta.com/login", "okta.com", '-', "K"),
    ("sophos", "*.okta.com", "acme.okta.com", '-', "K"),
    ("cloudflare-host", "*.okta.com", "acme.okta.com", 'm', "I"),
    ("aws-network-firewall", "*.okta.com", "acme.okta.com", '-', "K"),
    // Go: x/net http/httpproxy
    ("no-proxy-go", "okta.com:8443", "a.okta.com:8443", 'Y', "V"),
    ("no-proxy-go", "okta.com:8443", "a.okta.com:443", 'n', "V"),
    ("no-proxy-go", "*", "okta.com", 'Y', "V"),
    ("no-proxy-go", "10.0.0.0/8", "10.1.2.3", 'Y', "V"),
    ("no-proxy-go", "10.1.2.3/8", "10.9.9.9", 'Y', "V"),
    ("no-proxy-go", "10.1.2.3:8443", "10.1.2.3:8443", 'Y', "V"),
    ("no-proxy-go", "10.1.2.3:8443", "10.1.2.3:443", 'n', "V"),
    ("no-proxy-go", "[::1]:443", "[::1]:443", 'Y', "V"),
    ("no-proxy-go", "2001:db8::/32", "[2001:db8::9]", 'Y', "V"),
    ("no-proxy-go", "[2001:db8::9]", "[2001:db8::9]", 'n', "V"),
    ("no-proxy-go", "bücher.example", "a.xn--bcher-kva.example", 'Y', "V"),
    ("no-proxy-go", "*okta.com", "okta.com", 'n', "V"),
    ("no-proxy-go", " Okta.com ", "okta.com", 'Y', "V"),
    // curl: lib/noproxy.c
    ("no-proxy-curl", ".okta.com.", "acme.okta.com", 'Y', "V"),
    ("no-proxy-curl", "10.0.0.0/8", "10.1.2.3", 'Y', "V"),
    ("no-proxy-curl", "10.0.0.0/0", "10.1.2.3", 'n', "V"),
    ("no-proxy-curl", "2001:db8::/32", "[2001:db8::9]", '+', "V, and 7.88.1 seen not to"),
    ("no-proxy-curl", "2001:db8::9", "[2001:db8::9]", 'Y', "V"),
    ("no-proxy-curl", "*", "okta.com", 'Y', "V"),
    ("no-proxy-curl", "okta.com:443", "okta.com", 'n', "V"),
    ("no-proxy-curl", "2.3", "10.1.2.3", 'n', "V"),
    // Python: urllib.request
    ("no-proxy-python", "..okta.com", "acme.okta.com", 'Y', "V"),
    ("no-proxy-python", "okta.com:8443", "acme.okta.com:8443", 'Y', "V"),
    ("no-proxy-python", "okta.com:8443", "acme.okta.com:443", 'n', "V"),
    ("no-proxy-python", "10.0.0.0/8", "10.1.2.3", 'n', "V"),
    ("no-proxy-python", "2.3", "10.1.2.3", 'Y', "V"),
    ("no-proxy-python", "*", "okta.com", 'Y', "V"),
    // reqwest: hyper-util client::proxy::matcher
    ("no-proxy-reqwest", "10.0.0.0/8", "10.1.2.3", 'Y', "V"),
    ("no-proxy-reqwest", "*", "okta.com", 'Y', "V"),
    ("no-proxy-reqwest", "*", "10.1.2.3", 'n', "V"),
    ("no-proxy-reqwest", "okta.com:443", "okta.com", 'n', "V"),
    // Chrome: net/docs/proxy.md
    ("chrome-bypass", "okta.com:8443", "okta.com:8443", 'Y', "V"),
    ("chrome-bypass", "okta.com:8443", "okta.com:443", 'n', "V"),
    ("chrome-bypass", "https://okta.com", "okta.com", 'Y', "V"),
    ("chrome-bypass", "http://okta.com", "okta.com", 'n', "V"),
    ("chrome-bypass", "https://x.*.y.com:99", "x.a.b.y.com:99", 'Y', "V"),
    ("chrome-bypass", "10.0.0.0/8", "10.1.2.3", 'Y', "V"),
    ("chrome-bypass", "10.0.0.0/8", "ten.okta.com", 'n', "V"),
    ("chrome-bypass", "[::1]", "[::1]", 'Y', "V"),
    ("chrome-bypass", "<local>", "intranet", 'Y', "V"),
    ("chrome-bypass", "<local>", "okta.com", 'n', "V"),
    ("chrome-bypass", "<local>", "intranet.", 'm', "V, trailing dot I"),
    ("chrome-bypass", "*.org:443", "a.org", 'Y', "V"),
    ("chrome-bypass", "*foobar.com", "blahfoobar.com", 'Y', "V"),
    ("chrome-bypass", "okta.com/login", "okta.com", 'n', "V"),
    ("chrome-bypass", "okta.com:x", "okta.com", 'n', "V"),
    ("chrome-bypass", "[0:0:0::1]", "[::1]", 'Y', "V"),
    ("chrome-bypass", "*", "okta.com", 'Y', "V"),
];

#[test]
fn every_product_reads_its_own_examples_as_its_sources_say() {
    let differing: Vec<String> = ROWS
        .iter()
        .flat_map(|(dialect, entry, host, letter, _)| differences(dialect, entry, &[host], &letter.to_string()))
        .collect();
    assert!(differing.is_empty(), "\n{}", differing.join("\n"));
}

#[test]
fn limits_of_length_are_the_products() {
    let refused =
        |dialect: &str, entry: &str| dialect.parse::<Dialect>().unwrap().parse(entry).unwrap_err().to_string();
    assert!(refused("zscaler", &format!("okta.com/{}", "a".repeat(1024))).contains("1,024"));
    assert!(refused("zscaler", &format!("{}.com", "a.".repeat(127) + "b")).contains("255"));
    assert!(refused("zscaler", &format!("{}.com", "a".repeat(64))).contains("63"));
    assert!(refused("pan-os-url", &format!("okta.com/{}", "a".repeat(255))).contains("255"));
    assert!(refused("cisco-ftd", &format!("CN={}", "a".repeat(65))).contains("64"));
    assert_eq!("zscaler".parse::<Dialect>().unwrap().limits().entries, Some(25_000));
}

#[test]
fn a_refusal_has_its_place_and_its_mend() {
    let rows = [
        ("zscaler", "*.okta.com"),
        ("zscaler", ".gov"),
        ("zscaler", "https://okta.com/"),
        ("zscaler", "www.Safemarch.com"),
        ("pan-os-url", "*okta.com"),
        ("pan-os-url", "*.*.okta.com"),
        ("netskope-url-list", "acme*.okta.com"),
        ("umbrella", "*.okta.com"),
        ("umbrella", "okta.com."),
        ("check-point-fqdn", "okta.com"),
        ("fortigate-flow", "okta.com/login"),
        ("mitmproxy", "*.okta.com"),
        ("mitmproxy", r"^(?!evil\.)okta\.com"),
        ("proxysg-host", "url.path=/x"),
    ];
    let told: Vec<String> = rows
        .iter()
        .map(|(dialect, entry)| {
            let error = dialect.parse::<Dialect>().unwrap().parse(entry).unwrap_err();
            let (span, text) = (error.span.clone(), &error.pattern);
            let marked = format!("{}<{}>{}", &text[..span.start], &text[span.clone()], &text[span.end..]);
            format!("{dialect} {marked}: {} [{}]; {}", error.problem, error.standing, error.mend.unwrap_or_default())
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_loads_and_never_matches_is_a_warning() {
    let rows = [
        ("squid-dstdomain", "*.okta.com"),
        ("squid-dstdomain", "10.0.0.0/8"),
        ("squid-server-name", "okta.com/login"),
        ("zscaler", "10.0.0.0/8"),
        ("zscaler", "okta.com/login"),
        ("pan-os-exclusion", "*okta.com"),
        ("pan-os-url", "okta.com/login"),
        ("proxysg-host", "*.okta.com"),
        ("proxysg-host-suffix", "okta.com"),
        ("cloudflare-host", "*.okta.com"),
        ("mitmproxy", "okta.com"),
        ("no-proxy-go", "*okta.com"),
        ("no-proxy-curl", "*.okta.com"),
        ("no-proxy-curl", "okta.com:443"),
        ("no-proxy-python", "*.okta.com"),
        ("no-proxy-python", "10.0.0.0/8"),
        ("no-proxy-reqwest", "*.okta.com"),
        ("chrome-bypass", "*okta.com"),
    ];
    let told: Vec<String> = rows
        .iter()
        .map(|(dialect, entry)| {
            let pattern = dialect.parse::<Dialect>().unwrap().parse(entry).unwrap();
            let warnings = pattern.warnings().into_iter();
            let warnings = warnings.map(|it| format!("{}; {}", it.text, it.mend.as_deref().unwrap_or("-")));
            format!("{dialect} {entry}: {}", warnings.collect::<Vec<_>>().join(" | "))
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}
