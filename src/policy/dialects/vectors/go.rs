//! `no-proxy-go` against the real Go: `http.ProxyFromEnvironment`, which is golang.org/x/net/http/httpproxy.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::super::Dialect;
use super::generated::{self, Dice};
use crate::policy::matrix::{Cell, read};
use crate::policy::standing::Standing;

const PROGRAM: &str = r#"package main

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"os"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		target, err := url.Parse("https://" + lines.Text() + "/")
		if err != nil {
			fmt.Println("unread")
			continue
		}
		proxy, err := http.ProxyFromEnvironment(&http.Request{URL: target})
		fmt.Println(err == nil && proxy == nil)
	}
}
"#;

const ENTRIES: &[&str] = &[
    "okta.com",
    ".okta.com",
    "*.okta.com",
    "*okta.com",
    "*",
    "OKTA.com",
    "okta.com.",
    "com",
    "okta.com:8443",
    ".okta.com:8443",
    "okta.com:",
    "okta.com:x",
    "10.1.2.3",
    "10.1.2.3:8443",
    "10.0.0.0/8",
    "10.9.9.9/8",
    "10.0.0.0/33",
    "2001:db8::/32",
    "2001:db8::9",
    "[2001:db8::9]",
    "[2001:db8::9]:8443",
    "okta",
    "ta.com",
    "okta.com/x",
    "xn--bcher-kva.example",
    " okta.com ",
    ".",
    ":8443",
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
    "10.1.2.3",
    "10.1.2.3:8443",
    "11.0.0.1",
    "[2001:db8::9]",
    "[2001:db8::9]:8443",
    "[2001:db9::9]",
    "localhost",
    "127.0.0.1",
    "okta",
    "com",
    "xn--bcher-kva.example",
];

#[test]
fn no_proxy_is_read_as_go_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("asks.go");
    std::fs::write(&source, PROGRAM).unwrap();
    let program = folder.path().join("asks");
    let mut build = Command::new("go");
    build.arg("build").arg("-o").arg(&program).arg(&source).current_dir(folder.path());
    build.env("GO111MODULE", "off").env("GOTOOLCHAIN", "local").env("GOFLAGS", "");
    match build.output() {
        Err(_) => return println!("skipped: go is not installed"),
        Ok(output) if !output.status.success() => {
            return println!("skipped: go does not build here: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(_) => {}
    }
    let dialect: Dialect = "no-proxy-go".parse().unwrap();
    let mut dice = Dice::new(1);
    let entries = generated::with(ENTRIES, 100, || dice.entry());
    let hosts = generated::with(HOSTS, 60, || format!("{}{}", dice.host(), dice.one_of(&["", "", ":8443", ":80"])));
    let mut differing = Vec::new();
    for entry in &entries {
        let mut asks = Command::new(&program);
        asks.env_clear().env("HTTPS_PROXY", "http://127.0.0.1:1").env("NO_PROXY", entry);
        let mut asks = asks.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        asks.stdin.take().unwrap().write_all(hosts.join("\n").as_bytes()).unwrap();
        let told = String::from_utf8(asks.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(told.lines().count(), hosts.len(), "{told}");
        for (host, real) in hosts.iter().zip(told.lines()) {
            let (name, port) = crate::net::split_port(host).unwrap_or((host, 443));
            let cell = read(dialect, entry, name, port);
            // What goes to no proxy by itself is no matter of the entry.
            let built_in = ["localhost", "127.0.0.1"].contains(&&**host);
            let ours = cell == Cell::Match(Standing::Established) || built_in;
            if !matches!(cell, Cell::Rejected { .. }) && ours.to_string() != real {
                differing.push(format!("`{entry}` {host}: Go says {real}, here it is {cell}"));
            }
        }
    }
    assert!(differing.is_empty(), "\n{}", differing.join("\n"));
}
