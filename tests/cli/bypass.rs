//! `middlebox bypass`, against a running middlebox.

use serde_json::Value;

use super::program::{Place, Up, curl, stderr, stdout};
use super::{ORG, golden, told};

fn control(up: &Up) -> String {
    format!("http://{}", up.ready["control"].as_str().unwrap())
}

/// The line with the control address of `up`, and what came of it.
fn bypass(place: &Place, up: &Up, line: &[&str]) -> (String, Option<i32>) {
    let line = [&["bypass"], line].concat();
    let output = place.command(&line).env("MIDDLEBOX_CONTROL", control(up)).output().unwrap();
    (told(place, &line, &output), output.status.code())
}

#[test]
fn a_rule_holds_for_the_next_connection() {
    let place = Place::new();
    let up = place.up(&["--simulate", "--control", "127.0.0.1:0"]);
    let pin = up.pin("acme.okta.com").replace("sha256/", "sha256//");
    let (proxy, bundle) = (up.proxy(), up.variable("SSL_CERT_FILE"));
    let line = ["--proxy", &proxy, "--cacert", &bundle, "--pinnedpubkey", &pin, ORG];
    let Some(inspected) = curl(&line) else { return };
    assert_eq!(inspected.status.code(), Some(90), "{}", stderr(&inspected));
    for (change, code) in [("add", 0), ("off", 90), ("on", 0), ("remove", 90)] {
        let (said, ended) = bypass(&place, &up, &[change, "*.okta.com"]);
        assert_eq!(ended, Some(0), "{said}");
        let after = curl(&line).unwrap();
        assert_eq!(after.status.code(), Some(code), "after {change}: {said}{}", stderr(&after));
    }
}

#[test]
fn the_rules_are_told_and_changed_in_their_order() {
    let place = Place::new();
    place.write(
        "policy.toml",
        "# Ours.\n[[rule]]\npattern = \"intranet.acme.example\"\naction  = \"inspect\"\nnote    = \"ours to see\"\n",
    );
    let flags = ["--simulate", "--control", "127.0.0.1:0", "--policy", "policy.toml", "--block", "ads.example"];
    let up = place.up(&flags);
    let lines: [&[&str]; 8] = [
        &["list"],
        &["add", "*.okta.com", "*.oktapreview.com"],
        &["add", "--at", "3", "login.acme.example", "--on-change", "drain", "--save"],
        &["add", "*.okta.com"],
        &["off", "ads.example"],
        &["remove", "okta.com"],
        &["add", "good.example", "b*d.example"],
        &["list"],
    ];
    let all: String = lines.iter().map(|line| bypass(&place, &up, line).0).collect();
    golden("bypass", &all);
    golden("bypass-saved", &place.read("policy.toml"));

    let (said, _) = bypass(&place, &up, &["list", "--format", "json"]);
    let json = said.split_once('\n').unwrap().1.rsplit_once("--- exit").unwrap().0;
    let rules: Value = serde_json::from_str(json).unwrap();
    assert_eq!(rules["rules"][0]["pattern"], "*.okta.com");
}

#[test]
fn mistakes_about_a_running_middlebox_say_what_to_do() {
    let place = Place::new();
    let up = place.up(&["--control", "127.0.0.1:0"]);
    let (said, code) = bypass(&place, &up, &["add", "*.okta.com", "--save"]);
    assert_eq!(code, Some(2));
    golden("bypass-without-file", &said);
    let nobody = control(&up);
    drop(up);
    let line = ["bypass", "list", "--control", &nobody];
    let output = place.run(&line);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    golden("bypass-nobody", &told(&place, &line, &output));
    assert_eq!(place.run(&["bypass", "list", "--control", "https://x"]).status.code(), Some(2));
}

#[test]
fn a_token_keeps_strangers_out() {
    let place = Place::new();
    place.write("token", "0123456789abcdef\n");
    let up = place.up(&["--control", "127.0.0.1:0", "--control-token-file", "token"]);
    let (said, code) = bypass(&place, &up, &["list"]);
    assert_eq!(code, Some(2), "{said}");
    golden("bypass-stranger", &said);
    let known = place.run(&["bypass", "list", "--control", &control(&up), "--control-token-file", "token"]);
    assert_eq!(known.status.code(), Some(0), "{}{}", stdout(&known), stderr(&known));
}

#[test]
fn its_own_ports_are_not_reached_through_the_proxy() {
    let place = Place::new();
    let up = place.up(&["--control", "127.0.0.1:0"]);
    let Some(output) = curl(&["--proxytunnel", "--proxy", &up.proxy(), &control(&up)]) else { return };
    assert!(!output.status.success(), "{}", stdout(&output));
}
