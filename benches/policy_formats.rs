//! How fast a list of a million lines is read, and how much memory it takes: the columns on the right, `max alloc`.
//!
//! The goal is a list of a million entries read in under 2 s and held in under 300 MB. It is missed in memory: a debug
//! build took at most 573 MB (`Maximum resident set size` of
//! `/usr/bin/time -v middlebox policy impact` with such a list in the native dialect and one host as traffic), about
//! 30 MB of them the program itself. The time of a release build has not been measured.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use middlebox::policy::formats;
use middlebox::source::Document;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const LINES: usize = 1_000_000;

/// Names, domains and domains without their apex in turn, as long as real ones are.
fn text() -> String {
    use std::fmt::Write as _;

    let mut text = String::new();
    for number in 0..LINES {
        let start = ["", ".", "*."][number % 3];
        let _ = writeln!(text, "{start}host{number}.example{}.com", number % 977);
    }
    text
}

/// The text becomes entries.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn entries_of_a_million_lines(bencher: Bencher<'_, '_>) {
    let document = Document::new("list.txt", text());
    bencher.counter(ItemsCount::new(LINES)).bench(|| formats::read(&document, None).unwrap());
}

/// The text becomes a policy that decides, everything in memory at once: text, entries, rules, index.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn policy_of_a_million_lines(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(LINES)).with_inputs(text).bench_values(|text| {
        let list = formats::read(&Document::new("list.txt", text), None).unwrap();
        list.under(None, None)
    });
}
