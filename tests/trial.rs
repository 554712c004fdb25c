//! Commands behind a lab, from outside: real clients, their ends, and what is told of them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "trial/audit.rs"]
mod audit;
#[path = "trial/ends.rs"]
mod ends;
#[path = "trial/exec.rs"]
mod exec;
#[path = "cli/program.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod program;

use std::io::Write as _;
use std::process::Command;

use program::Place;

/// Compares with the file in `tests/golden`.
fn golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(r"\d+\.\d s", "[TIME] s");
    settings.add_filter(r"\d+ ms after", "[TIME] ms after");
    settings.add_filter(r"sha256/[A-Za-z0-9+/]{43}=", "sha256/[PIN]");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// Whether a program is there; says so where it is not.
fn installed(program: &str, flag: &str) -> bool {
    let there = Command::new(program).arg(flag).output().is_ok_and(|output| output.status.success());
    if !there {
        let _ = writeln!(std::io::stderr(), "skipped: this machine has no {program}");
    }
    there
}

/// The same command line before `--` and a client behind it.
fn line<'a>(flags: &[&'a str], client: &[&'a str]) -> Vec<&'a str> {
    [flags, &["--"], client].concat()
}

/// A script that the shell runs.
fn shell(script: &str) -> [&str; 3] {
    ["sh", "-c", script]
}

fn json(place: &Place, line: &[&str]) -> (serde_json::Value, i32) {
    let output = place.run(line);
    let value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", program::stdout(&output) + &program::stderr(&output)));
    (value, output.status.code().unwrap())
}
