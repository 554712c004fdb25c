//! How fast a list of a million lines is read, and how much memory it takes: the columns on the right, `max alloc`.
//!
//! The goal is a list of a million entries read in under 2 s and held in under 300 MB. Measured on 2026-11-27, medians,
//! on one of two virtual cores (Xeon, KVM) that did nothing else. Reading the lines takes 0.58 s. Reading them and making
//! a policy of them, where the list has the forms that the product knows; and `middlebox policy impact` as a process
//! (`/usr/bin/time`), with a list of host names, `.names` and `*.names` in turn, of which some products refuse a third
//! or say that it never matches:
//!
//! | | policy, s | held, MB | process, s of CPU | resident, MB |
//! | --- | ---: | ---: | ---: | ---: |
//! | native dialect | 1.31 | 207 | 1.9 | 218 |
//! | Zscaler | 1.37 | 242 | 1.7 | 248 |
//! | PAN-OS URL | 1.41 | 221 | 2.0 | 276 |
//! | Squid `dstdomain` | 0.73 | 220 | 1.3 | 214 |
//! | `NO_PROXY` of curl | 0.70 | 229 | 1.4 | 242 |
//! | Umbrella | | | 1.8 | 294 |
//! | FortiGate, flow mode | | | 1.9 | 300 |
//! | PAN-OS exclusion list | | | 2.8 | 319 |
//! | Sophos | | | 2.3 | 343 |
//! | PAN-OS URL without ending token | | | 2.6 | 456 |
//!
//! So three dialects miss the goal with this list: those whose entries stay open questions, each with a shape of its own.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use middlebox::policy::Dialect;
use middlebox::policy::formats::{self, Format};
use middlebox::source::Document;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const LINES: usize = 1_000_000;

/// Dialects with the ways in which they write a domain.
const DIALECTS: [(&str, &[&str]); 5] = [
    ("middlebox", &["", ".", "*."]),
    ("zscaler", &["", "."]),
    ("pan-os-url", &["", "*."]),
    ("squid-dstdomain", &["", "."]),
    ("no-proxy-curl", &["", "."]),
];

/// Names and domains in turn, as long as real ones are.
fn text(dialect: &str) -> String {
    use std::fmt::Write as _;

    let (_, starts) = DIALECTS.iter().find(|(name, _)| *name == dialect).unwrap();
    let mut text = String::new();
    for number in 0..LINES {
        let start = starts[number % starts.len()];
        let _ = writeln!(text, "{start}host{number}.example{}.com", number % 977);
    }
    text
}

/// The text becomes entries.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn entries_of_a_million_lines(bencher: Bencher<'_, '_>) {
    let document = Document::new("list.txt", text("middlebox"));
    bencher.counter(ItemsCount::new(LINES)).bench(|| formats::read(&document, None).unwrap());
}

/// The text becomes a policy that decides, everything in memory at once: text, entries, rules, index.
#[divan::bench(sample_count = 3, sample_size = 1, args = DIALECTS.map(|(name, _)| name))]
fn policy_of_a_million_lines(bencher: Bencher<'_, '_>, dialect: &str) {
    let reads: Dialect = dialect.parse().unwrap();
    bencher.counter(ItemsCount::new(LINES)).with_inputs(|| text(dialect)).bench_values(|text| {
        let list = formats::read(&Document::new("list.txt", text), Some(Format::PLAIN)).unwrap();
        list.under(Some(reads), None)
    });
}
