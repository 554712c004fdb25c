//! Audits of real clients: a careless one, a strict one, and those that look at some things alone.

use std::collections::BTreeMap;

use serde_json::Value;

use super::program::{Place, stderr, stdout};
use super::{golden, installed, json, line, shell};

const INTRANET: &str = "https://intranet.acme.example/";
const ECHO: &str = "https://echo.acme.example/echo";
const OBSERVATIONS: [&str; 5] =
    ["trusted-forgery", "tls12-only", "common-name-only", "leaf-is-ca", "genuine-chain-appended"];
const NOT_TRIED: [&str; 2] = ["rsa-1024", "sha1-signature"];
const NAMES: [&str; 3] = ["wrong-host", "parent-domain", "wildcard-two-labels"];

/// What was tried on a host, by its word.
fn cells(told: &Value, host: &str) -> BTreeMap<String, Value> {
    let hosts = told["hosts"].as_array().unwrap();
    let host = hosts.iter().find(|known| known["host"] == host).unwrap_or_else(|| panic!("{host} is not in {told}"));
    let cells = host["cells"].as_array().unwrap();
    cells.iter().map(|cell| (cell["attempt"].as_str().unwrap().to_owned(), cell.clone())).collect()
}

fn audit(place: &Place, flags: &[&str], client: &[&str]) -> (Value, i32) {
    let flags = [&["audit", "--simulate", "--jobs", "2", "--format", "json", "--quiet"], flags].concat();
    json(place, &line(&flags, client))
}

#[test]
fn a_careless_client_accepts_everything() {
    if !installed("curl", "--version") {
        return;
    }
    let place = Place::new();
    let (told, code) = audit(&place, &["--junit", "audit.xml"], &["curl", "-sS", "-k", "-d", "secret=1", ECHO]);
    assert_eq!((code, &told["passed"]), (1, &Value::Bool(false)));
    let cells = cells(&told, "echo.acme.example");
    assert_eq!(cells.len(), 20);
    for (name, cell) in &cells {
        if NOT_TRIED.contains(&name.as_str()) {
            assert_eq!(cell["verdict"], "not-tried", "{cell}");
            assert!(cell["detail"].as_str().unwrap().contains("library"), "{cell}");
            continue;
        }
        assert_eq!(cell["verdict"], "accepted", "{cell}");
        assert_eq!(cell["fault"], !OBSERVATIONS.contains(&name.as_str()), "{cell}");
        assert_eq!(cell["sent"]["requests"], 1, "{cell}");
        assert_eq!(cell["sent"]["bytes"], 8, "{cell}");
    }
    let xml = place.junit("audit.xml");
    assert_eq!(xml.matches("<testcase").count(), 20, "{xml}");
    assert_eq!((xml.matches("<failure").count(), xml.matches("<skipped").count()), (13, 2), "{xml}");
    assert!(xml.contains("classname=\"echo.acme.example\""), "{xml}");
}

#[test]
fn a_strict_client_refuses_every_fault() {
    if !installed("curl", "--version") {
        return;
    }
    let place = Place::new();
    let (told, code) = audit(&place, &[], &["curl", "-sS", INTRANET]);
    let cells = cells(&told, "intranet.acme.example");
    for (name, cell) in &cells {
        let expected = match name.as_str() {
            name if NOT_TRIED.contains(&name) => "not-tried",
            name if OBSERVATIONS.contains(&name) => continue,
            _ => "refused",
        };
        assert_eq!(cell["verdict"], expected, "{cell}");
    }
    assert_eq!(cells["trusted-forgery"]["verdict"], "accepted");
    assert_eq!(cells["expired"]["cause"], "expired");
    assert_eq!(cells["unknown-ca"]["cause"], "untrusted-ca");
    assert_eq!((code, &told["hosts"][0]["note"]), (0, &Value::Null));
    // A client that does not pin, where one is demanded.
    let (told, code) =
        audit(&place, &["--fail-on", "trusted-forgery", "--only", "expired"], &["curl", "-sS", INTRANET]);
    assert_eq!((code, told["hosts"][0]["cells"].as_array().unwrap().len()), (1, 2));
}

#[test]
fn a_client_that_does_not_look_at_the_name_is_told_apart() {
    if !installed("python3", "--version") {
        return;
    }
    let place = Place::new();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/trial/programs/ca_without_name.py");
    let (told, code) = audit(&place, &[], &["python3", program, INTRANET]);
    assert_eq!(code, 1);
    for (name, cell) in cells(&told, "intranet.acme.example") {
        if NAMES.contains(&name.as_str()) {
            assert_eq!(cell["verdict"], "accepted", "{cell}");
        } else if !OBSERVATIONS.contains(&name.as_str()) && !NOT_TRIED.contains(&name.as_str()) {
            assert_eq!(cell["verdict"], "refused", "{cell}");
        }
    }
}

#[test]
fn a_client_that_finds_its_pin_in_what_was_sent_is_at_fault() {
    if !installed("curl", "--version") {
        return;
    }
    let place = Place::new();
    let pinned = ["curl", "-sS", "--pinnedpubkey", "sha256//{pin:acme.okta.com}", "https://acme.okta.com/"];
    let only = ["--only", "genuine-chain-appended,expired"];
    let (told, code) = audit(&place, &only, &pinned);
    let cells = cells(&told, "acme.okta.com");
    assert_eq!(cells["trusted-forgery"]["verdict"], "refused");
    // curl looks at the leaf: it is not the client of CVE-2016-2402, and for a client that pins this would be a fault.
    assert_eq!(cells["genuine-chain-appended"]["verdict"], "refused");
    assert_eq!((code, &cells["genuine-chain-appended"]["fault"]), (0, &Value::Bool(true)));
    let note = told["hosts"][0]["note"].as_str().unwrap();
    assert!(note.starts_with("the client pins this host: it refuses even a trusted forgery"), "{note}");
}

#[test]
fn each_host_has_its_runs_with_the_others_bypassed() {
    if !installed("curl", "--version") {
        return;
    }
    let place = Place::new();
    let script =
        format!("curl -sSf {INTRANET} && curl -sSfk https://echo.acme.example/ && curl -sSf https://acme.okta.com/");
    let (told, code) = audit(&place, &["--only", "self-signed"], &shell(&script));
    let verdict = |host: &str| cells(&told, host)["self-signed"]["verdict"].clone();
    assert_eq!(verdict("intranet.acme.example"), "refused");
    assert_eq!(verdict("echo.acme.example"), "accepted");
    assert_eq!(verdict("acme.okta.com"), "refused");
    assert_eq!((code, &told["runs"]), (1, &Value::from(7)));
    let (told, code) = audit(&place, &["--only", "self-signed", "--host", "*.okta.com"], &shell(&script));
    assert_eq!((code, told["hosts"].as_array().unwrap().len()), (0, 1));
}

#[test]
fn a_client_that_is_told_of_no_ca_is_not_called_careful() {
    if !installed("curl", "--version") {
        return;
    }
    let place = Place::new();
    // It trusts the simulated internet, and nothing of the middlebox.
    let client = ["curl", "-sS", "--cacert", "{public-ca}", INTRANET];
    let (told, code) = audit(&place, &["--only", "wrong-host"], &client);
    let note = told["hosts"][0]["note"].as_str().unwrap();
    assert_eq!((code, note.contains("does not trust the inspection CA")), (0, true), "{told}");
}

#[test]
fn a_baseline_accepts_what_is_known_and_nothing_new() {
    if !installed("curl", "--version") {
        return;
    }
    let place = Place::new();
    let only = ["audit", "--simulate", "--quiet", "--only", "expired,self-signed"];
    let careless = ["curl", "-sS", "-k", INTRANET];
    let written = place.run(&line(&[&only[..], &["--write-baseline", "known.toml"]].concat(), &careless));
    assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
    golden("audit-baseline", &place.read("known.toml"));
    let known = [&only[..], &["--baseline", "known.toml"]].concat();
    assert_eq!(place.run(&line(&known, &careless)).status.code(), Some(0));

    place.write("known.toml", "[[known]]\nhost = \"intranet.acme.example\"\naccepts = [\"expired\"]\n");
    assert_eq!(place.run(&line(&known, &careless)).status.code(), Some(1), "self-signed is new");
    let strict = place.run(&line(&known, &["curl", "-sS", INTRANET]));
    assert_eq!(strict.status.code(), Some(0));

    let told = ["audit", "--simulate", "--only", "expired", "--baseline", "known.toml"];
    let strict = place.run(&line(&told, &["curl", "-sS", INTRANET]));
    let stale = "to be removed from the baseline: intranet.acme.example: expired";
    assert!(stdout(&strict).replace('\n', " ").contains(stale), "{}", stdout(&strict));

    place.write("known.toml", "[[known]]\nhost = \"intranet.acme.example\"\naccepts = [\"expird\"]\n");
    let wrong = place.run(&line(&known, &careless));
    assert_eq!(wrong.status.code(), Some(2));
    golden("mistake-audit-baseline", &stderr(&wrong));
}

#[test]
fn it_is_told_to_people_and_for_pull_requests() {
    if !installed("curl", "--version") {
        return;
    }
    let place = Place::new();
    let flags = ["audit", "--simulate", "--only", "expired,parent-domain,tls12-only,rsa-1024"];
    let script = format!("curl -sS -k {INTRANET} && curl -sS https://echo.acme.example/");
    let output = place.run(&line(&flags, &shell(&script)));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    golden("audit-text", &stdout(&output));
    golden("audit-progress", &stderr(&output));
    let output = place.run(&line(&[&flags[..], &["--format", "markdown", "--quiet"]].concat(), &shell(&script)));
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), ""));
    golden("audit-markdown", &stdout(&output));
    let output = place.run(&line(&[&flags[..], &["--fail-on", "none", "--quiet"]].concat(), &shell(&script)));
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), ""));
}

#[test]
fn what_keeps_an_audit_from_beginning_is_said() {
    let place = Place::new();
    let ends: [(&str, &[&str], &[&str], i32); 5] = [
        ("nothing", &[], &shell("echo cannot connect >&2; exit 3"), 3),
        ("missing", &[], &["./no-such-program"], 2),
        ("name", &["--only", "expird"], &["true"], 2),
        ("fail-on", &["--fail-on", "pinned"], &["true"], 2),
        ("none", &["--fail-on", "none,expired"], &["true"], 2),
    ];
    for (name, flags, client, code) in ends {
        let output = place.run(&line(&[&["audit", "--simulate"], flags].concat(), client));
        assert_eq!(output.status.code(), Some(code), "{name}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
        golden(&format!("mistake-audit-{name}"), &stderr(&output));
    }
    if installed("curl", "--version") {
        let output = place.run(&line(&["audit", "--simulate", "--host", "*.okta.com"], &["curl", "-sS", INTRANET]));
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        golden("mistake-audit-host", &stderr(&output));
    }
}
