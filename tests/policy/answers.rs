//! explain, check, matrix, diff and pac: their texts, their JSON, their exit codes.

use super::{Place, json, shown, stderr, stdout};

#[test]
fn every_command_explains_itself() {
    let place = Place::new();
    for command in ["", "explain", "check", "matrix", "diff", "impact", "pac"] {
        let line: Vec<&str> = ["policy", command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        assert_eq!(shown(&place, format!("help {command}").trim().replace(' ', "-").as_str(), &line), 0);
    }
}

#[test]
fn explain_says_what_decides_and_why_the_others_do_not() {
    let place = Place::new();
    place.write(
        "list.txt",
        "# what pins\n*.okta.com\nhttps://login.acme.example/\n*.*.okta.com\nx.example\ny.example\n",
    );
    let line = [
        "policy",
        "explain",
        "acme.mtls.okta.com",
        "okta.com",
        "--policy",
        "list.txt",
        "--dialect",
        "pan-os-exclusion",
    ];
    assert_eq!(shown(&place, "explain", &line), 0);
    let doubtful = ["policy", "explain", "a.b.c.d.e.okta.com", "--pattern", ".okta.com", "--dialect", "zscaler"];
    assert_eq!(shown(&place, "explain-not-established", &doubtful), 0);
}

#[test]
fn explain_in_json_is_an_array_in_the_order_given() {
    let place = Place::new();
    place.write("list.txt", "*.okta.com\nhttps://login.acme.example/\n");
    let hosts = ["policy", "explain", "okta.com", "acme.okta.com:8443", "[2001:db8::1]", "--policy", "list.txt"];
    let mut line = hosts.to_vec();
    line.extend(["--dialect", "middlebox"]);
    let (answers, code) = json(&place, &line);
    assert_eq!((answers.as_array().unwrap().len(), code), (3, 0));
    let got = |at: usize, key: &str| answers[at][key].clone();
    assert_eq!((got(0, "host"), got(0, "port"), got(0, "decision")), ("okta.com".into(), 443.into(), "inspect".into()));
    assert!(got(0, "entry").is_null());
    assert_eq!(
        (got(1, "host"), got(1, "port"), got(1, "decision")),
        ("acme.okta.com".into(), 8443.into(), "bypass".into())
    );
    assert_eq!((&answers[1]["entry"]["text"], &answers[1]["entry"]["line"]), (&"*.okta.com".into(), &1.into()));
    assert_eq!(got(2, "host"), "2001:db8::1");
    assert_eq!(got(0, "confidence"), "high");
    let rejected = &answers[0]["rejected"][0];
    assert_eq!((&rejected["text"], &rejected["line"]), (&"https://login.acme.example/".into(), &2.into()));
    assert!(rejected["reason"].is_string());
}

#[test]
fn the_server_name_the_port_and_the_address_count() {
    let place = Place::new();
    let decision = |flags: &[&str]| {
        let mut line = vec!["policy", "explain", "acme.okta.com"];
        line.extend(flags);
        json(&place, &line).0[0]["decision"].as_str().unwrap().to_owned()
    };
    let umbrella = ["--pattern", "okta.com", "--dialect", "umbrella"];
    assert_eq!(decision(&umbrella), "bypass");
    assert_eq!(decision(&[&umbrella[..], &["--sni", "none"]].concat()), "inspect");
    assert_eq!(decision(&[&umbrella[..], &["--sni", "other.example"]].concat()), "inspect");
    let port = ["--pattern", "okta.com:8443", "--dialect", "no-proxy-go"];
    assert_eq!(decision(&port), "inspect");
    assert_eq!(decision(&[&port[..], &["--port", "8443"]].concat()), "bypass");
    let address = ["--pattern", "url.address=192.0.2.0/24", "--dialect", "proxysg-host", "--default", "inspect"];
    assert_eq!(decision(&[&address[..], &["--ip", "192.0.2.7"]].concat()), "bypass");
    assert_eq!(decision(&[&address[..], &["--ip", "198.51.100.7"]].concat()), "inspect");
}

#[test]
fn check_says_what_breaks_and_what_mends_it() {
    let place = Place::new();
    place.write("list.txt", "*.okta.com\n*.com\nhttps://acme.okta.com/\n");
    let line = [
        "policy",
        "check",
        "--policy",
        "list.txt",
        "--dialect",
        "pan-os-exclusion",
        "--product",
        "okta",
        "--org",
        "acme.okta.com",
    ];
    assert_eq!(shown(&place, "check-fails", &line), 1);
    place.write("good.txt", ".okta.com\n.oktacdn.com\n");
    let good = ["policy", "check", "--policy", "good.txt", "--dialect", "zscaler", "--product", "okta"];
    assert_eq!(shown(&place, "check-passes", &good), 0);
}

#[test]
fn the_mend_of_check_makes_check_pass() {
    let place = Place::new();
    for dialect in ["middlebox", "zscaler", "pan-os-exclusion", "mitmproxy", "chrome-bypass", "squid-server-name"] {
        place.write("list.txt", "x.example\n");
        let check = |file: &str| {
            let products = ["--product", "okta", "--product", "zoom", "--custom-domain", "login.acme.example"];
            let mut line = vec!["policy", "check", "--policy", file, "--dialect", dialect, "--default", "inspect"];
            line.extend(products);
            json(&place, &line)
        };
        let (checked, code) = check("list.txt");
        assert_eq!((code, &checked["passed"]), (1, &false.into()), "{dialect}");
        let (mut first, mut last) = (String::new(), String::new());
        for edit in checked["mend"]["edits"].as_array().unwrap() {
            assert_eq!(edit["edit"], "add", "{dialect}");
            let to = if edit["last"] == true { &mut last } else { &mut first };
            *to = format!("{to}{}\n", edit["text"].as_str().unwrap());
        }
        place.write("mended.txt", &format!("{first}x.example\n{last}"));
        let (mended, code) = check("mended.txt");
        assert_eq!((code, &mended["passed"]), (0, &true.into()), "{dialect}: {mended}");
    }
}

#[test]
fn check_writes_junit_and_takes_packs_of_ones_own() {
    let place = Place::new();
    place.write(
        "ours.toml",
        "title = \"Ours\"\n\n[[host]]\nname = \"*.api.acme.example\"\nneeds = \"bypass\"\npinned = \"key\"\n\
         breaks = \"it does not start\"\nsource = \"wiki\"\n",
    );
    let line = ["policy", "check", "--pattern", "x.example", "--product", "ours.toml", "--junit", "out.xml"];
    let output = place.run(&line);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stdout(&output).contains("any.api.acme.example") && stdout(&output).contains("it does not start"));
    let xml = place.junit("out.xml");
    assert!(xml.contains("<failure") && xml.contains("any.api.acme.example:443"), "{xml}");
    place.write("bad.toml", "title = \"Ours\"\n\n[[host]]\nname = \"a.example\"\nneds = \"bypass\"\n");
    assert_eq!(
        shown(&place, "mistake-pack", &["policy", "check", "--pattern", "x.example", "--product", "bad.toml"]),
        2
    );
}

#[test]
fn strict_fails_on_warnings() {
    let place = Place::new();
    let mut line = vec!["policy", "check", "--pattern", "*.com", "--product", "dropbox"];
    assert_eq!(place.run(&line).status.code(), Some(0));
    line.push("--strict");
    assert_eq!(place.run(&line).status.code(), Some(1));
}

#[test]
fn matrix_shows_all_dialects_side_by_side() {
    let place = Place::new();
    let line =
        ["policy", "matrix", "okta.com", "acme.okta.com", "a.b.okta.com", "notokta.com", "--pattern", "*.okta.com"];
    assert_eq!(shown(&place, "matrix", &line), 0);
    let (table, _) = json(&place, &line);
    assert_eq!(table["hosts"].as_array().unwrap().len(), 4);
    let row = table["rows"].as_array().unwrap().iter().find(|row| row["dialect"] == "pan-os-exclusion").unwrap();
    assert_eq!(row["cells"][2]["no-match"], "established");
}

/// The common table of the sources, for the hosts in it: the apex, one label below, two labels below, a name with the
/// same end, one with the same start, upper case, a trailing dot. What each cell has to be is in `src/policy/dialects/
/// vectors`; here it is what the command says.
#[test]
fn matrix_reproduces_the_table_of_the_sources() {
    let hosts = [
        "okta.com",
        "acme.okta.com",
        "a.b.okta.com",
        "notokta.com",
        "okta.com.evil.com",
        "ACME.OKTA.COM",
        "acme.okta.com.",
    ];
    let mut line = [&["policy", "matrix"][..], &hosts].concat();
    for pattern in ["okta.com", ".okta.com", "*.okta.com", "*okta.com"] {
        line.extend(["--pattern", pattern]);
    }
    assert_eq!(shown(&Place::new(), "matrix-of-the-sources", &line), 0);
}

#[test]
fn diff_shows_hosts_that_really_differ() {
    let place = Place::new();
    place.write("a.txt", "*.okta.com\nokta.com\n");
    place.write("b.txt", ".okta.com\n");
    let line = ["policy", "diff", "a.txt", "b.txt", "--from", "pan-os-exclusion", "--to", "zscaler"];
    assert_eq!(shown(&place, "diff", &line), 0);
    let (told, _) = json(&place, &line);
    let mut witnesses = 0;
    for difference in told["differences"].as_array().unwrap() {
        for witness in difference["witnesses"].as_array().unwrap() {
            let decision = |file: &str, dialect: &str| {
                let host = witness.as_str().unwrap();
                json(&place, &["policy", "explain", host, "--policy", file, "--dialect", dialect]).0[0]["decision"]
                    .clone()
            };
            assert_eq!(decision("a.txt", "pan-os-exclusion"), difference["first"]["decision"], "{witness}");
            assert_eq!(decision("b.txt", "zscaler"), difference["second"]["decision"], "{witness}");
            witnesses += 1;
        }
    }
    assert!(witnesses > 1, "{told}");
    let same = ["policy", "diff", "b.txt", "b.txt", "--exit-code"];
    assert_eq!(place.run(&same).status.code(), Some(0));
    assert_eq!(place.run(&[&line[..], &["--exit-code"]].concat()).status.code(), Some(1));
}

#[test]
fn pac_makes_a_script_of_a_list() {
    let place = Place::new();
    let output = place.run(&["policy", "pac", "--pattern", "*.okta.com", "--proxy", "proxy.acme.example:8080"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("\"PROXY proxy.acme.example:8080\"") && stdout(&output).contains(".okta.com"));
}

#[test]
fn mistakes_are_named_with_their_mend() {
    let place = Place::new();
    let mistakes: [(&str, &[&str]); 7] = [
        ("host-url", &["policy", "explain", "https://acme.okta.com/", "--pattern", "*.okta.com"]),
        ("host-pattern", &["policy", "explain", "*.okta.com", "--pattern", "*.okta.com"]),
        ("no-list", &["policy", "explain", "acme.okta.com"]),
        ("dialect", &["policy", "explain", "acme.okta.com", "--pattern", "x", "--dialect", "zscalr"]),
        ("list-missing", &["policy", "check", "--policy", "nope.txt", "--product", "okta"]),
        ("product", &["policy", "check", "--pattern", "x", "--product", "okat"]),
        ("org", &["policy", "check", "--pattern", "x", "--product", "okta", "--org", "login.acme.example"]),
    ];
    for (name, line) in mistakes {
        assert_eq!(shown(&place, &format!("mistake-{name}"), line), 2, "{line:?}");
    }
}
