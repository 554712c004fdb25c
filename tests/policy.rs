//! `middlebox policy` from outside: what is typed, what is printed, and the exit code.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "policy/answers.rs"]
mod answers;
#[path = "cli/program.rs"]
#[expect(dead_code, reason = "shared with the tests of other commands")]
mod program;
#[path = "policy/traffic.rs"]
mod traffic;

use std::process::Output;

use program::{Place, stderr, stdout};
use serde_json::Value;

/// Compares with the file in `tests/policy/golden`.
fn golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("policy/golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(r"middlebox\.exe", "middlebox");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The whole of what a command said.
fn told(place: &Place, line: &[&str], output: &Output) -> String {
    let mut told = format!("$ middlebox {}\n{}", line.join(" "), stdout(output));
    let complaints = stderr(output);
    if !complaints.is_empty() {
        told = told + "--- standard error\n" + &complaints;
    }
    told = told + "--- exit code " + &output.status.code().unwrap().to_string() + "\n";
    place.stable(&told)
}

/// Runs a command, holds what it says against its golden file, and gives its exit code.
fn shown(place: &Place, name: &str, line: &[&str]) -> i32 {
    let output = place.run(line);
    golden(name, &told(place, line, &output));
    let longest = stdout(&output).lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(120), "{line:?} is {longest:?} wide");
    output.status.code().unwrap()
}

/// What a command says as JSON.
fn json(place: &Place, line: &[&str]) -> (Value, i32) {
    let mut line = line.to_vec();
    line.extend(["--format", "json"]);
    let output = place.run(&line);
    let value = serde_json::from_slice(&output.stdout);
    (value.unwrap_or_else(|error| panic!("{error}: {}", stderr(&output))), output.status.code().unwrap())
}
