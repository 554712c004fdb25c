//! `no-proxy-reqwest` against the real matcher of hyper-util, which is reqwest's.

use hyper_util::client::proxy::matcher::Matcher;

use super::super::Dialect;
use super::generated::{self, Dice};
use crate::policy::matrix::{Cell, read};

const ENTRIES: &[&str] = &[
    "okta.com",
    ".okta.com",
    "*.okta.com",
    "*",
    "OKTA.com",
    "10.0.0.0/8",
    "2001:db8::/32",
    "okta.com:443",
    " okta.com ",
];
const HOSTS: &[&str] = &["okta.com", "acme.okta.com", "notokta.com", "10.1.2.3", "[2001:db8::9]", "okta.com.evil.com"];

#[test]
fn no_proxy_is_read_as_hyper_util_reads_it() {
    let dialect: Dialect = "no-proxy-reqwest".parse().unwrap();
    let mut dice = Dice::new(6);
    let entries = generated::with(ENTRIES, 120, || dice.entry());
    let hosts = generated::with(HOSTS, 60, || dice.host());
    let mut differing = Vec::new();
    for entry in &entries {
        let matcher = Matcher::builder().https("http://127.0.0.1:1").no(&**entry).build();
        for host in &hosts {
            let Ok(uri) = format!("https://{host}/").parse() else { continue };
            let real = matcher.intercept(&uri).is_none();
            // What is established for this version alone is not said to be for all, but has to be what is assumed.
            let cell = read(dialect, entry, host, 443);
            let ours = matches!(cell, Cell::Match(_) | Cell::NotEstablished { assumed: true });
            if ours != real {
                differing.push(format!("`{entry}` {host}: hyper-util says {real}, here it is {cell}"));
            }
        }
    }
    assert!(differing.is_empty(), "{}\n{}", differing.len(), differing.join("\n"));
}
