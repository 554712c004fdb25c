//! How long a decision takes, and whether that depends on the length of the list; how fast traffic is read.
//!
//! The goals are a decision in under 1 us with 10 rules, in under twice as long with 100,000, and a million lines of
//! traffic a second on one core. Measured on 2026-11-27, medians, on one of two virtual cores (Xeon, KVM) that did
//! nothing else:
//!
//! | a decision, ns | 10 rules | 1,000 | 100,000 |
//! | --- | ---: | ---: | ---: |
//! | native, hit | 572 | 593 | 611 |
//! | native, miss | 445 | 299 | 305 |
//! | Zscaler, hit | 830 | 822 | 815 |
//! | PAN-OS URL, hit | 322 | 318 | 318 |
//! | ProxySG suffix, hit | 590 | 655 | 727 |
//! | Squid `dstdomain`, hit | 350 | 332 | 330 |
//! | `NO_PROXY` of curl, miss | 234 | 192 | 229 |
//! | Forcepoint, miss | 278 | 379 | 318 |
//!
//! Traffic is read at 3.8 million lines a second; `impact` reads, decides and counts 2.4 million. That is a Squid log
//! with 20,000 hosts; where a million lines name a million hosts, `middlebox policy impact` took 1.7 s of CPU beside its
//! reading of the list, on a busy machine.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use middlebox::policy::formats::Entry;
use middlebox::policy::{Action, Dialect, Policy, Question, Reading, Traffic, impact};

fn main() {
    divan::main();
}

const LENGTHS: [usize; 3] = [10, 1000, 100_000];

fn policy(dialect: &str, length: usize, entry: impl Fn(usize) -> String) -> Policy {
    let list = (0..length).map(|number| Entry::typed(entry(number), Action::Bypass));
    Reading::of(dialect.parse::<Dialect>().unwrap(), Some(Action::Inspect), list).policy
}

fn decide(bencher: Bencher<'_, '_>, policy: &Policy, host: &str) {
    let question = Question::new(host);
    let subjects = question.subjects();
    bencher.bench(|| black_box(policy).decide(black_box(&subjects)));
}

#[divan::bench(args = LENGTHS)]
fn native_hit(bencher: Bencher<'_, '_>, length: usize) {
    let policy = policy("middlebox", length, |number| format!("*.host{number}.example"));
    decide(bencher, &policy, "a.b.host7.example");
}

#[divan::bench(args = LENGTHS)]
fn native_miss(bencher: Bencher<'_, '_>, length: usize) {
    let policy = policy("middlebox", length, |number| format!("*.host{number}.example"));
    decide(bencher, &policy, "acme.mtls.okta.com");
}

#[divan::bench(args = LENGTHS)]
fn zscaler_hit(bencher: Bencher<'_, '_>, length: usize) {
    let policy = policy("zscaler", length, |number| format!(".host{number}.example"));
    decide(bencher, &policy, "a.b.host7.example");
}

#[divan::bench(args = LENGTHS)]
fn pan_os_url_hit(bencher: Bencher<'_, '_>, length: usize) {
    let policy = policy("pan-os-url", length, |number| format!("*.host{number}.example"));
    decide(bencher, &policy, "a.b.host7.example");
}

#[divan::bench(args = LENGTHS)]
fn proxysg_suffix_hit(bencher: Bencher<'_, '_>, length: usize) {
    let policy = policy("proxysg-host-suffix", length, |number| format!("host{number}.example"));
    decide(bencher, &policy, "a.b.host7.example");
}

#[divan::bench(args = LENGTHS)]
fn squid_dstdomain_hit(bencher: Bencher<'_, '_>, length: usize) {
    let policy = policy("squid-dstdomain", length, |number| format!(".host{number}.example"));
    decide(bencher, &policy, "a.b.host7.example");
}

#[divan::bench(args = LENGTHS)]
fn no_proxy_curl_miss(bencher: Bencher<'_, '_>, length: usize) {
    let policy = policy("no-proxy-curl", length, |number| format!("host{number}.example"));
    decide(bencher, &policy, "acme.mtls.okta.com");
}

/// Of each of these entries it is open for every host whether it is read as it is taken to be.
#[divan::bench(args = LENGTHS)]
fn forcepoint_miss(bencher: Bencher<'_, '_>, length: usize) {
    let policy = policy("forcepoint", length, |number| format!("*.host{number}.example"));
    decide(bencher, &policy, "acme.mtls.okta.com");
}

/// A Squid access log with as many different hosts as a large company's day has.
fn log(lines: usize) -> String {
    use std::fmt::Write as _;

    let mut log = String::new();
    for line in 0..lines {
        let host = (line * 7919) % 20_000;
        let _ = writeln!(
            log,
            "17000{:05}.123    456 192.0.2.{} TCP_TUNNEL/200 3900 CONNECT host{host}.example:443 - HIER_DIRECT/198.51.100.1 -",
            line % 100_000,
            line % 250
        );
    }
    log
}

#[divan::bench(sample_count = 10)]
fn traffic_of_a_million_lines(bencher: Bencher<'_, '_>) {
    let log = log(1_000_000);
    let counted = bencher.counter(ItemsCount::new(1_000_000usize)).counter(BytesCount::new(log.len()));
    counted.bench(|| Traffic::read(black_box(log.as_bytes())).unwrap());
}

#[divan::bench(sample_count = 10)]
fn impact_of_a_million_lines(bencher: Bencher<'_, '_>) {
    let log = log(1_000_000);
    let policy = policy("zscaler", 10_000, |number| format!(".host{number}.example"));
    bencher.counter(ItemsCount::new(1_000_000usize)).bench(|| {
        let traffic = Traffic::read(black_box(log.as_bytes())).unwrap();
        impact(&policy, &traffic)
    });
}
