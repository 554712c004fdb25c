//! The same entries and hosts for every product. The sources of each product stand in its dialect.

use super::differences;

/// The apex, one label below, two labels below, a name with the same end, one with the same start, upper case, a
/// trailing dot.
const HOSTS: [&str; 7] = [
    "okta.com",
    "acme.okta.com",
    "a.b.okta.com",
    "notokta.com",
    "okta.com.evil.com",
    "ACME.OKTA.COM",
    "acme.okta.com.",
];

/// Dialect, entry, one letter for each host, the kind of source: `V` the vendor's documents or code, `C` secondary,
/// `I` inferred, `K` general knowledge.
const ROWS: &[(&str, &str, &str, &str)] = &[
    ("middlebox", "okta.com", "Ynnnnnn", "V"),
    ("middlebox", "*.okta.com", "nYYnnYY", "V"),
    ("middlebox", ".okta.com", "YYYnnYY", "V"),
    ("zscaler", "okta.com", "Ynnnnn?", "V"),
    ("zscaler", ".okta.com", "YYYnny?", "V, upper case I"),
    ("zscaler", "*.okta.com", "RRRRRRR", "V"),
    ("zscaler", "*okta.com", "RRRRRRR", "V"),
    ("pan-os-exclusion", "okta.com", "Y--nn-?", "V/I"),
    ("pan-os-exclusion", "*.okta.com", "nYnnny?", "V, upper case I"),
    ("pan-os-exclusion", "*.*.okta.com", "nnYnnn?", "V"),
    ("pan-os-exclusion", ".okta.com", "???????", "undefined"),
    ("pan-os-exclusion", "*okta.com", "???????", "undefined"),
    ("pan-os-url", "okta.com", "Ynnnnn?", "V"),
    ("pan-os-url", "okta.com/", "Ynnnnn?", "V"),
    ("pan-os-url", "*.okta.com", "nYYnnY?", "V"),
    ("pan-os-url", "^.okta.com", "nYnnnY?", "V"),
    ("pan-os-url", "*okta.com", "RRRRRRR", "V"),
    ("pan-os-url-legacy", "okta.com", "YnnnYn?", "V"),
    ("netskope-url-list", "okta.com", "Ynnnn-?", "V"),
    ("netskope-url-list", "*.okta.com", "YYYnn+?", "V"),
    ("netskope-url-list", "*okta.com", "RRRRRRR", "V"),
    ("netskope-url-list", "okta.*", "RRRRRRR", "V"),
    ("netskope-domain", "okta.com", "Ynnnn-?", "V/I"),
    ("netskope-domain", "*.okta.com", "nYYnn+?", "V"),
    ("fortigate-flow", "*.okta.com", "+YYnn+?", "V, apex C"),
    ("fortigate-flow", "okta.com", "Ynnnn-?", "V/I"),
    ("fortigate-proxy", "okta.com", "Y-----?", "V: by address"),
    ("umbrella", "okta.com", "YYYnn+?", "V"),
    ("umbrella", "*.okta.com", "rrrrrrr", "C"),
    ("umbrella", "okta.com.", "rrrrrrr", "C"),
    ("cisco-ftd", "CN=okta.com", "Ynnnn??", "V"),
    ("cisco-ftd", "CN=*.okta.com", "nYYnn??", "V"),
    ("proxysg-domain", "okta.com", "YYYnnY?", "V"),
    ("proxysg-host", "okta.com", "Ynnnnn?", "V"),
    ("proxysg-host-suffix", "okta.com", "YYYYnY?", "V"),
    ("sophos", "okta.com", "YYYnn+?", "V"),
    ("cloudflare-host", "okta.com", "Ynnnn??", "V"),
    ("cloudflare-domain", "okta.com", "YYYnn??", "V"),
    ("check-point-fqdn", ".okta.com", "Ynnnn??", "V"),
    ("check-point-domain", ".okta.com", "YYYnn??", "V"),
    ("forcepoint", "okta.com", "???????", "K"),
    ("skyhigh", "*.okta.com", "myymm??", "I"),
    ("squid-dstdomain", "okta.com", "Ynnnnnn", "V"),
    ("squid-dstdomain", ".okta.com", "YYYnnYY", "V"),
    ("squid-dstdomain", "*.okta.com", "nnnnnnn", "V"),
    ("squid-dstdomain", "*okta.com", "nnnnnnn", "V"),
    ("squid-server-name", "okta.com", "Ynnnnnn", "V"),
    ("squid-server-name", ".okta.com", "YYYnnYn", "V"),
    ("squid-server-name", "*.okta.com", "nnnnnnn", "V"),
    ("mitmproxy", "okta.com", "YYYYYYY", "V"),
    ("mitmproxy", ".okta.com", "nYYYnYY", "V"),
    ("mitmproxy", "*.okta.com", "RRRRRRR", "V"),
    ("mitmproxy", r"^(.+\.)?okta\.com:443$", "YYYnnYn", "V"),
    ("aws-network-firewall", ".okta.com", "YYYnn??", "V"),
    ("aws-network-firewall", "okta.com", "Ynnnn??", "V"),
    ("no-proxy-go", "okta.com", "YYYnnYn", "V"),
    ("no-proxy-go", ".okta.com", "nYYnnYn", "V"),
    ("no-proxy-go", "*.okta.com", "nYYnnYn", "V"),
    ("no-proxy-curl", "okta.com", "YYYnnYY", "V"),
    ("no-proxy-curl", ".okta.com", "YYYnnYY", "V"),
    ("no-proxy-curl", "*.okta.com", "nnnnnnn", "V"),
    ("no-proxy-python", "okta.com", "YYYnnYn", "V"),
    ("no-proxy-python", ".okta.com", "YYYnnYn", "V"),
    ("no-proxy-python", "*.okta.com", "nnnnnnn", "V"),
    ("no-proxy-reqwest", "okta.com", "YYYnn??", "V"),
    ("no-proxy-reqwest", ".okta.com", "YYYnn??", "V"),
    ("no-proxy-reqwest", "*.okta.com", "nnnnnnn", "V"),
    ("chrome-bypass", "okta.com", "Ynnnnnm", "V, trailing dot I"),
    ("chrome-bypass", ".okta.com", "nYYnnYm", "V, trailing dot I"),
    ("chrome-bypass", "*.okta.com", "nYYnnYm", "V, trailing dot I"),
    ("chrome-bypass", "*okta.com", "YYYYnYm", "V, trailing dot I"),
    ("windows-proxy-override", "*.okta.com", "???????", "none"),
    ("pac", "okta.com", "YYYYnyn", "V, upper case K"),
    ("pac", ".okta.com", "nYYnnyn", "V, upper case K"),
];

#[test]
fn every_product_reads_the_same_entries_as_its_sources_say() {
    let differing: Vec<String> =
        ROWS.iter().flat_map(|(dialect, entry, cells, _)| differences(dialect, entry, &HOSTS, cells)).collect();
    assert!(differing.is_empty(), "\n{}", differing.join("\n"));
}

#[test]
fn every_dialect_has_a_row() {
    for dialect in super::Dialect::all() {
        assert!(ROWS.iter().any(|(name, ..)| *name == dialect.name()), "{dialect}");
    }
}
