//! The simulated Okta Verify, and its list in the dialects of products.

use crate::place::Place;

/// Solves for an enrollment at this address.
fn list(flags: &[&str], url: &str) -> Vec<String> {
    let client = ["--simulate", "--", env!("CARGO_BIN_EXE_middlebox"), "enroll", url];
    let answer = Place::new().solve_command(&[flags, &client[..]].concat());
    assert!(answer.runs() <= 7, "{:#}", answer.json["runs"]);
    answer.list().into_iter().map(ToOwned::to_owned).collect()
}

#[test]
fn an_enrollment_needs_what_okta_asks_for() {
    assert_eq!(list(&[], "https://acme.okta.com"), ["*.okta.com"]);
    // Another address of the same organization, whose own one is called as well.
    assert_eq!(list(&[], "https://acme.oktapreview.com"), ["*.okta.com", "*.oktapreview.com"]);
}

#[test]
fn a_custom_domain_makes_it_a_pair() {
    assert_eq!(list(&[], "https://login.acme.example"), ["*.okta.com", "login.acme.example"]);
}

#[test]
fn each_product_gets_its_own_spelling() {
    for (dialect, expected) in [
        ("zscaler", [".okta.com", "login.acme.example"]),
        ("pan-os-exclusion", ["*.okta.com", "login.acme.example"]),
        ("squid-server-name", [".okta.com", "login.acme.example"]),
        ("no-proxy-curl", ["login.acme.example", "okta.com"]),
        ("cloudflare-host", ["acme.okta.com", "login.acme.example"]),
    ] {
        assert_eq!(list(&["--dialect", dialect], "https://login.acme.example"), expected, "{dialect}");
    }
}

#[test]
fn people_read_the_list_first_and_then_why() {
    let line = ["solve", "--simulate", "--", env!("CARGO_BIN_EXE_middlebox"), "enroll", "https://acme.okta.com"];
    let output = Place::new().run(&line);
    let (said, progress) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(
        said.starts_with("It works with this bypass list: 1 entry for middlebox, found in 4 runs.\n\n  *.okta.com\n"),
        "{said}"
    );
    for part in ["acme.okta.com was refused in run 2", "without acme.okta.com the command fails (run 2)"] {
        assert!(said.contains(part), "{said}");
    }
    let lines: Vec<_> = progress.lines().collect();
    assert_eq!(lines.len(), 4, "{progress}");
    assert_eq!(lines[1], "run 2: everything inspected: fails (exit 1), refused acme.okta.com");
    assert_eq!(lines[3], "run 4: the list itself: *.okta.com: works (exit 0)");
}
