//! `middlebox policy convert`, and lists in other products' formats where a policy file is wanted.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "other test programs use more of what starts the program")]

#[path = "cli/program.rs"]
mod program;

use std::process::Output;

use program::{Place, stderr, stdout};

fn golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn told(place: &Place, line: &[&str], output: &Output) -> String {
    let code = output.status.code().unwrap();
    let said = stdout(output);
    let complained = stderr(output);
    place.stable(&format!(
        "$ middlebox {}\n{said}--- standard error\n{complained}--- exit code {code}\n",
        line.join(" ")
    ))
}

const CATEGORY: &str = r#"{"configuredName": "Okta", "customCategory": true,
  "urls": ["login.acme.example", ".okta.com"],
  "ipRanges": ["192.0.2.0/24"]}
"#;

#[test]
fn the_same_hosts_are_written_and_others_are_refused_by_name() {
    let place = Place::new();
    place.write("category.json", CATEGORY);
    place.write("exact.txt", "# pins\nlogin.acme.example # sign-in\napi.acme.example\n");
    place.write("broken.json", "{\"urls\": [\n  \".okta.com\n]}\n");
    place.write("refused.txt", "*.okta.com\n.okta.com\n");
    place.write("proxy.pac", "function FindProxyForURL(url, host) { return 'DIRECT'; }\n");
    let cases: [(&str, &[&str], i32); 9] = [
        ("help", &["policy", "convert", "--help"], 0),
        ("same", &["policy", "convert", "--from", "zscaler", "--to", "pan-os-url", "exact.txt"], 0),
        ("differs", &["policy", "convert", "--to", "squid-server-name", "category.json"], 1),
        (
            "lossy",
            &["policy", "convert", "--to", "pan-os-url", "--to-format", "pan-os-set", "--lossy", "category.json"],
            0,
        ),
        ("squid", &["policy", "convert", "--to", "squid-server-name", "--to-format", "squid", "exact.txt"], 0),
        ("place", &["policy", "convert", "--to", "squid-server-name", "broken.json"], 2),
        ("refused", &["policy", "convert", "--from", "zscaler", "--to", "pan-os-url", "refused.txt"], 2),
        ("format", &["policy", "convert", "--to", "zscaler", "--to-format", "squid", "exact.txt"], 2),
        ("script", &["policy", "convert", "--to", "zscaler", "proxy.pac"], 2),
    ];
    for (name, line, code) in cases {
        let output = place.run(line);
        assert_eq!(output.status.code(), Some(code), "{line:?}\n{}{}", stdout(&output), stderr(&output));
        if code != 0 {
            assert_eq!(stdout(&output), "", "{line:?}");
        }
        golden(&format!("convert-{name}"), &told(&place, line, &output));
    }
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let place = Place::new();
    place.write("category.json", CATEGORY);
    place.write("out.txt", "as it was\n");
    let refused = place.run(&["policy", "convert", "--to", "squid-server-name", "category.json", "-o", "out.txt"]);
    assert_eq!((refused.status.code(), place.read("out.txt").as_str()), (Some(1), "as it was\n"));
    let line = ["policy", "convert", "--to", "squid-server-name", "category.json", "-o", "out.txt", "--lossy"];
    let written = place.run(&line);
    assert_eq!((written.status.code(), stdout(&written).as_str()), (Some(0), ""));
    assert_eq!(place.read("out.txt"), "login.acme.example\n.okta.com\n");
}

#[test]
fn up_reads_any_list_and_points_at_its_mistakes() {
    let place = Place::new();
    place.write("bypass.txt", "# Okta\n.okta.com\n*.oktapreview.com\n");
    let line = ["up", "--policy", "bypass.txt", "--dialect", "zscaler"];
    let refused = place.run(&line);
    assert_eq!(refused.status.code(), Some(2));
    golden("convert-up-place", &told(&place, &line, &refused));
    place.write("category.json", CATEGORY);
    let up = place.up(&["--policy", "category.json", "--control", "127.0.0.1:0"]);
    let control = format!("http://{}", up.ready["control"].as_str().unwrap());
    let listed = place.run(&["bypass", "list", "--control", &control]);
    assert!(
        stdout(&listed).contains(".okta.com") && stdout(&listed).contains("login.acme.example"),
        "{}",
        stdout(&listed)
    );
    // A change cannot be written into a file that is not ours.
    let saved = place.run(&["bypass", "add", "x.example", "--save", "--control", &control]);
    assert_eq!(saved.status.code(), Some(2), "{}", stderr(&saved));
    assert!(stderr(&saved).contains("changes are saved into a policy.toml alone"), "{}", stderr(&saved));
    assert_eq!(place.read("category.json"), CATEGORY);
    // It is read again when it changes.
    place.write("category.json", &CATEGORY.replace("login.acme", "sign-in.acme"));
    up.logged("policy file reloaded");
    let listed = place.run(&["bypass", "list", "--control", &control]);
    assert!(stdout(&listed).contains("sign-in.acme.example"), "{}", stdout(&listed));
}
