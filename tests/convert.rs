//! `middlebox policy convert`, and lists in other products' formats where a policy file is wanted.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "other test programs use more of what starts the program")]

#[path = "cli/program.rs"]
mod program;

use program::{Place, stderr, stdout};

const CATEGORY: &str = r#"{"configuredName": "Okta", "customCategory": true,
  "urls": ["login.acme.example", ".okta.com"],
  "ipRanges": ["192.0.2.0/24"]}
"#;

/// What is typed after `policy convert`, the exit code, and what is said of it on standard output and standard error.
type Case<'a> = (&'a [&'a str], i32, &'a [&'a str], &'a [&'a str]);

#[test]
fn the_same_hosts_are_written_and_others_are_refused_by_name() {
    let place = Place::new();
    place.write("category.json", CATEGORY);
    place.write("exact.txt", "# pins\nlogin.acme.example # sign-in\napi.acme.example\n");
    place.write("broken.json", "{\"urls\": [\n  \".okta.com\n]}\n");
    place.write("refused.txt", "*.okta.com\n.okta.com\n");
    place.write("proxy.pac", "function FindProxyForURL(url, host) { return 'DIRECT'; }\n");
    let cases: [Case; 8] = [
        (&["--help"], 0, &["Usage: middlebox policy convert", "--lossy"], &[]),
        (
            &["--from", "zscaler", "--to", "pan-os-url", "exact.txt"],
            0,
            &["# pins", "login.acme.example", "api.acme.example"],
            &[],
        ),
        (
            &["--to", "squid-server-name", "category.json"],
            1,
            &[],
            &["these hosts differ", "a.a.a.a.a.a.okta.com", "nothing was written", "not converted category.json:3:3"],
        ),
        (
            &["--to", "squid-server-name", "--to-format", "squid", "exact.txt"],
            0,
            &["acl splice ssl::server_name login.acme.example", "ssl_bump splice splice", "ssl_bump bump all"],
            &[],
        ),
        (&["--to", "squid-server-name", "broken.json"], 2, &[], &["broken.json:2:3"]),
        (
            &["--from", "zscaler", "--to", "pan-os-url", "refused.txt"],
            2,
            &[],
            &["refused by zscaler refused.txt:1: `*.okta.com`"],
        ),
        (&["--to", "zscaler", "--to-format", "squid", "exact.txt"], 2, &[], &["and not of zscaler"]),
        (&["--to", "zscaler", "proxy.pac"], 2, &[], &["a PAC file is a script"]),
    ];
    for (line, code, said, told) in cases {
        let output = place.run(&[&["policy", "convert"], line].concat());
        let (out, err) = (stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{line:?}\n{out}{err}");
        assert!(said.iter().all(|part| out.contains(part)), "{line:?}\n{out}{err}");
        assert!(told.iter().all(|part| err.contains(part)), "{line:?}\n{out}{err}");
        assert!(code == 0 || out.is_empty(), "{line:?}\n{out}");
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
    assert_eq!(place.read("out.txt"), "login.acme.example\n.okta.com\n", "{}", stderr(&written));
}

#[test]
fn up_reads_any_list_and_points_at_its_mistakes() {
    let place = Place::new();
    place.write("bypass.txt", "# Okta\n.okta.com\n*.oktapreview.com\n");
    let line = ["up", "--policy", "bypass.txt", "--dialect", "zscaler"];
    let refused = place.run(&line);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("bypass.txt:3:1"), "{}", stderr(&refused));
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
