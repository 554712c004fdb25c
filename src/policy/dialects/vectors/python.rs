//! `no-proxy-python` against the real `urllib.request`, and mitmproxy's expressions against the real `re`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::super::Dialect;
use super::generated::{self, Dice};
use crate::policy::matrix::{Cell, read};
use crate::policy::standing::Standing;

const ENTRIES: &[&str] = &[
    "okta.com",
    ".okta.com",
    "..okta.com",
    "*.okta.com",
    "*okta.com",
    "*",
    "OKTA.com",
    "okta.com.",
    "com",
    ".",
    "..",
    "okta.com:8443",
    "a.okta.com:80",
    "10.1.2.3",
    "2.3",
    "10.0.0.0/8",
    "[::1]",
    "::1",
    "[::1]:8443",
    "okta",
    "a.b.okta.com",
    "ta.com",
    "localhost",
    "okta.com/x",
    "xn--bcher-kva.example",
    "okta.com:",
    ":8443",
    "okta.com:x",
];
const HOSTS: &[&str] = &[
    "okta.com",
    "acme.okta.com",
    "a.b.okta.com",
    "notokta.com",
    "okta.com.evil.com",
    "ACME.OKTA.COM",
    "acme.okta.com.",
    "okta.com:8443",
    "acme.okta.com:8443",
    "a.okta.com:80",
    "10.1.2.3",
    "10.1.2.3:8443",
    "[::1]",
    "[::1]:8443",
    "localhost",
    "okta",
    "com",
    "xn--bcher-kva.example",
];

/// What a Python program answers to lines on its standard input; `None`, with the reason printed, where there is none.
fn python(program: &str, input: &str) -> Option<Vec<String>> {
    let child = Command::new("python3").args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        println!("skipped: python3 is not installed");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

fn pairs<'a>(entries: &'a [String], hosts: &'a [String]) -> Vec<(&'a str, &'a str)> {
    entries.iter().flat_map(|entry| hosts.iter().map(move |host| (&**entry, &**host))).collect()
}

fn lines(pairs: &[(&str, &str)]) -> String {
    let lines: Vec<String> = pairs.iter().map(|(entry, host)| format!("{entry}\t{host}")).collect();
    lines.join("\n") + "\n"
}

fn covers(dialect: Dialect, entry: &str, host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.parse().unwrap()),
        _ => (host, 443),
    };
    matches!(read(dialect, entry, name, port), Cell::Match(Standing::Established))
}

#[test]
fn no_proxy_is_read_as_urllib_reads_it() {
    let program = "import sys, urllib.request as r\n\
                   for line in sys.stdin:\n    entry, host = line.rstrip('\\n').split('\\t')\n    \
                   print(int(bool(r.proxy_bypass_environment(host, {'no': entry}))))";
    let mut dice = Dice::new(4);
    let entries = generated::with(ENTRIES, 150, || dice.entry());
    let hosts = generated::with(HOSTS, 60, || format!("{}{}", dice.host(), dice.one_of(&["", "", ":8443", ":80"])));
    let pairs = pairs(&entries, &hosts);
    let input = lines(&pairs);
    let Some(answers) = python(program, &input) else { return };
    assert_eq!(answers.len(), pairs.len());
    let dialect: Dialect = "no-proxy-python".parse().unwrap();
    let differing: Vec<String> = pairs
        .iter()
        .zip(&answers)
        .filter(|((entry, host), real)| covers(dialect, entry, host) != (real.as_str() == "1"))
        .map(|((entry, host), real)| format!("`{entry}` {host}: Python says {real}"))
        .collect();
    assert!(differing.is_empty(), "\n{}", differing.join("\n"));
}

#[test]
fn ignore_hosts_is_searched_for_as_re_searches() {
    let expressions = [
        "okta.com",
        ".okta.com",
        "*.okta.com",
        r"^(.+\.)?okta\.com:443$",
        "okta|acme",
        r"\bokta\b",
        "[a-m]+\\.okta",
        "(?i)OKTA",
        "okta\\.com$",
        "(",
        "a**",
        r"(?P<x>okta)",
        r"(?<x>okta)",
        "^$",
        ".*",
        "okta.{3}:",
        r"[[:alpha:]]okta",
        "a{2,1}",
    ];
    let hosts = ["okta.com:443", "acme.okta.com:443", "notokta.com:8443", "okta.com.evil.com:443", "ACME.OKTA.COM:443"];
    let program = "import sys, re, warnings\nwarnings.simplefilter('ignore')\n\
                   for line in sys.stdin:\n    entry, host = line.rstrip('\\n').split('\\t')\n    \
                   try: print(int(bool(re.search(entry, host, re.IGNORECASE))))\n    \
                   except re.error: print('error')";
    let mut dice = Dice::new(5);
    let expressions = generated::with(&expressions, 300, || dice.expression());
    let hosts = generated::with(&hosts, 10, || format!("{}:{}", dice.host(), dice.one_of(&["443", "8443"])));
    let pairs = pairs(&expressions, &hosts);
    let input = lines(&pairs);
    let Some(answers) = python(program, &input) else { return };
    let dialect: Dialect = "mitmproxy".parse().unwrap();
    let mut differing = Vec::new();
    for ((entry, host), real) in pairs.iter().zip(&answers) {
        let ours = match dialect.parse(entry) {
            Err(error) if error.standing == Standing::Established => "error",
            // An expression that cannot be tried here is an error in any case, never another answer.
            Err(_) => continue,
            Ok(_) if covers(dialect, entry, host) => "1",
            Ok(_) => "0",
        };
        if ours != real {
            differing.push(format!("`{entry}` {host}: Python says {real}, here it is {ours}"));
        }
    }
    assert!(differing.is_empty(), "{}\n{}", differing.len(), differing.join("\n"));
}
