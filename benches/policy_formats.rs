//! How fast a list of a million lines is read, and how much memory it takes: the columns on the right, `max alloc`.
//!
//! The goal is a list of a million entries read in under 2 s and held in under 300 MB. Measured was the memory, on
//! 2026-11-26, with a debug build on Linux and two busy cores, as `Maximum resident set size` of
//! `/usr/bin/time -v middlebox policy impact` with such a list and one host as traffic, the program's own 30 MB included:
//! 255 MB in the native dialect, 268 MB in that of Zscaler, 263 MB in Squid's `dstdomain`, and 325 MB, above the goal, in
//! curl's, where every entry is two names of the index. How long a release build takes has not been measured.

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
