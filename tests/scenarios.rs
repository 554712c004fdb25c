//! The scenarios that come with the program: each goes as it says, and each fails without the mechanism that it shows.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

fn run(file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_middlebox"))
        .arg("run")
        .arg(file)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program starts")
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn has_curl() -> bool {
    Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn each_goes_as_it_says() {
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        if path.ends_with("okta-verify-beside-curl.toml") && !has_curl() {
            eprintln!("skipped: {}: there is no curl", path.display());
            continue;
        }
        let output = run(&path);
        assert_eq!(output.status.code(), Some(0), "{}\n{}", path.display(), told(&output));
        count += 1;
    }
    assert!(count >= 24, "{count} scenarios");
}

/// A scenario, what of it is changed, and into what: the half-right configuration is right then, so that the failure
/// which the file expects does not come.
const WITHOUT_MECHANISM: &[(&str, &str, &str)] = &[
    ("h01-exact-domain", "pattern = \"okta.com\"", "pattern = \".okta.com\""),
    ("h02-one-label", "dialect = \"pan-os-exclusion\"", "dialect = \"middlebox\""),
    ("h03-preview-domain", "pattern = \"*.okta.com\"", "pattern = \"*.oktapreview.com\""),
    ("h04-custom-domain-only", "pattern = \"login.acme.example\"", "pattern = \"*\""),
    ("h05-custom-domain-forgotten", "pattern = \"*.okta.com\"", "pattern = \"*\""),
    ("h06-rule-below-inspect-all", "action  = \"inspect\"", "action  = \"bypass\""),
    ("h07-bypass-by-address", "pattern = \"127.0.0.0/8\"", "pattern = \"*.okta.com\""),
    ("h08-range-in-url-list", "[\"198.18.0.0/15\"]", "[\".okta.com\"]"),
    ("h09-decided-before-the-sni", "decide-at = \"request\"", "decide-at = \"hello\""),
    ("h10-another-sni", "dialect = \"netskope-domain\"", "dialect = \"middlebox\""),
    ("h11-certificate-name", "decide-at = \"certificate\"", "decide-at = \"hello\""),
    (
        "h12-direct-is-not-bypassed",
        "dialect = \"pan-os-url\"\nprofile = \"pan-os\"\ndefault = \"inspect\"",
        "default = \"bypass\"",
    ),
    ("h13-localhost-to-the-proxy", "  if (dns", "  if (host == \"localhost\" || dns"),
    ("h14-proxy-authentication", "proxy-auth =", "permit = [] #"),
    ("h15-two-proxy-settings", "service-proxy       = \"off\"", "service-proxy       = \"on\""),
    ("h16-revocation-blocked", "action  = \"block\"", "action  = \"inspect\""),
    ("h17-root-installed", "default = \"inspect\"", "default = \"bypass\""),
    ("h19-user-not-identified", "clients = [\"192.0.2.0/24\"]", "clients = [\"127.0.0.0/8\"]"),
    ("h22-cdn-forgotten", "pattern = \"*.okta.com\"", "pattern = \"*\""),
    ("h24-another-path", "profile = \"zscaler\"", "profile = \"generic\""),
    ("h27-url-in-squid-list", "dialect = \"squid-server-name\"", "dialect = \"netskope-url-list\""),
    ("h27-url-in-zscaler-list", "dialect = \"zscaler\"", "dialect = \"squid-dstdomain\""),
    ("h28-old-connection", "on-change = \"new-only\"", "on-change = \"kill\""),
];

#[test]
fn each_fails_without_what_it_shows() {
    let place = tempfile::tempdir().unwrap();
    for (name, from, to) in WITHOUT_MECHANISM {
        let text = std::fs::read_to_string(folder().join(format!("{name}.toml"))).unwrap();
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed, "{name} has no `{from}`");
        let file = place.path().join(format!("{name}.toml"));
        std::fs::write(&file, changed).unwrap();
        let output = run(&file);
        assert_eq!(output.status.code(), Some(1), "{name}\n{}", told(&output));
    }
}
