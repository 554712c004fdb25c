//! `no-proxy-curl` against the real curl: with `--noproxy` it dials either the host or the proxy, and says which.

use std::process::Command;

use super::super::Dialect;
use super::generated::{self, Dice};
use crate::policy::matrix::{Cell, read};
use crate::policy::standing::Standing;

const ENTRIES: &[&str] = &[
    "okta.com",
    ".okta.com",
    ".okta.com.",
    "okta.com.",
    "..okta.com",
    "*.okta.com",
    "*okta.com",
    "*",
    "OKTA.com",
    "com",
    ".",
    "okta.com:8443",
    "10.1.2.3",
    "2.3",
    "10.0.0.0/8",
    "10.9.9.9/8",
    "10.0.0.0/0",
    "10.1.2.3/32",
    "10.1.2.3/33",
    "10.1.2.3/x",
    "0.0.0.0/1",
    "2001:db8::/32",
    "2001:db8::9",
    "[2001:db8::9]",
    "2001:db8::/0",
    "okta",
    "ta.com",
    "okta.com/x",
];
const HOSTS: &[&str] = &[
    "okta.com",
    "acme.okta.com",
    "a.b.okta.com",
    "notokta.com",
    "okta.com.evil.com",
    "ACME.OKTA.COM",
    "acme.okta.com.",
    "10.1.2.3",
    "10.0.0.0",
    "11.0.0.1",
    "[2001:db8::9]",
    "[2001:db9::9]",
    "okta",
    "com",
];

/// The version of curl, if it has the logic that is imitated.
fn version() -> Option<String> {
    let Ok(output) = Command::new("curl").arg("--version").output() else {
        println!("skipped: curl is not installed");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().nth(1)?.to_owned();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    let (major, minor) = (numbers.next()?, numbers.next()?);
    if (major, minor) < (7, 86) {
        println!("skipped: curl {version} reads NO_PROXY by other rules than curl 7.86 and later");
        return None;
    }
    println!("compared with curl {version}");
    Some(version)
}

#[test]
fn no_proxy_is_read_as_curl_reads_it() {
    if version().is_none() {
        return;
    }
    let dialect: Dialect = "no-proxy-curl".parse().unwrap();
    let mut dice = Dice::new(2);
    let entries = generated::with(ENTRIES, 120, || dice.entry());
    let hosts = generated::with(HOSTS, 60, || dice.host());
    let mut differing = Vec::new();
    for entry in &entries {
        let mut curl = Command::new("curl");
        curl.env_clear().args(["-q", "-s", "-v", "--noproxy", entry, "-x", "http://127.0.0.1:1", "-w", "%{stderr}=\n"]);
        // Nothing listens on either port; all that counts is which one is tried.
        curl.args(["--connect-to", "::127.0.0.1:2"]);
        curl.args(hosts.iter().map(|host| format!("http://{host}:8080/")));
        let output = curl.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let answers: Vec<bool> = told.split("=\n").map(|part| part.contains("Trying 127.0.0.1:2")).collect();
        assert!(answers.len() > hosts.len(), "{told}");
        for (host, real) in hosts.iter().zip(answers) {
            let cell = read(dialect, entry, host, 8080);
            if matches!(cell, Cell::NotEstablished { .. }) {
                println!("not compared: `{entry}` {host}: {cell}");
            } else if (cell == Cell::Match(Standing::Established)) != real {
                differing.push(format!("`{entry}` {host}: curl says {real}, here it is {cell}"));
            }
        }
    }
    assert!(differing.is_empty(), "\n{}", differing.join("\n"));
}
