//! What it answers where there is no list, and with which exit code.

use crate::place::{CLIENT, Place, no_curl};

#[test]
fn a_command_that_fails_for_another_reason_is_told_so() {
    if no_curl() {
        return;
    }
    let script = format!("{CLIENT} get a.one.test; echo the disk is full >&2; exit 7");
    let answer = Place::new().solve(&["a.one.test"], &[], &script);
    assert_eq!((answer.json["result"].as_str(), answer.code), (Some("fails-bypassed"), 1), "{:#}", answer.json);
    assert_eq!(answer.texts("said"), ["the disk is full"]);
    assert!(answer.json["says"].as_str().unwrap().contains("exit 7"), "{:#}", answer.json);
    // Once more, in case it was chance.
    assert_eq!(answer.runs(), 2);
    assert_eq!(answer.json["list"].as_array().unwrap().len(), 0);
}

#[test]
fn a_command_that_works_inspected_needs_no_list() {
    if no_curl() {
        return;
    }
    let place = Place::new();
    let answer = place.solve(&["a.one.test"], &[], &format!("{CLIENT} get a.one.test"));
    assert_eq!((answer.json["result"].as_str(), answer.code), (Some("works-inspected"), 1), "{:#}", answer.json);
    assert_eq!((answer.texts("works_inspected"), answer.runs()), (vec!["a.one.test"], 2));
    let answer = place.solve(&["a.one.test"], &[], "true");
    assert!(answer.texts("remarks")[0].starts_with("Nothing arrived"), "{:#}", answer.json);
}

#[test]
fn a_flaky_command_without_repetitions_is_called_flaky() {
    if no_curl() {
        return;
    }
    // The second run fails, and nothing was refused in it.
    let script = format!("{CLIENT} get a.one.test; echo x >> runs; [ $(wc -l < runs) != 2 ]");
    let answer = Place::new().solve(&["a.one.test"], &[], &script);
    assert_eq!((answer.json["result"].as_str(), answer.code), (Some("flaky"), 1), "{:#}", answer.json);
    assert!(answer.texts("remarks").iter().any(|remark| remark.contains("--retries")), "{:#}", answer.json);
}

#[test]
fn another_exit_code_may_be_what_works() {
    if no_curl() {
        return;
    }
    let script = format!("{CLIENT} pinned a.one.test {{pin:a.one.test}} && exit 4");
    let answer = Place::new().solve(&["a.one.test"], &["--success-exit", "4"], &script);
    assert_eq!(answer.list(), ["a.one.test"]);
}

#[test]
fn a_run_that_does_not_end_has_failed() {
    if no_curl() {
        return;
    }
    // A client that waits for ever where it is refused.
    let script = format!("{CLIENT} pinned a.one.test {{pin:a.one.test}} || sleep 600");
    let answer = Place::new().solve(&["a.one.test"], &["--timeout", "20s"], &script);
    assert_eq!(answer.list(), ["a.one.test"]);
    assert_eq!(answer.json["runs"][1]["ended"], "ended at its time limit");
}

#[test]
fn the_number_of_runs_is_limited() {
    if no_curl() {
        return;
    }
    let script = format!("{CLIENT} pinned a.one.test {{pin:a.one.test}}");
    let answer = Place::new().solve(&["a.one.test"], &["--max-runs", "2"], &script);
    assert_eq!((answer.json["result"].as_str(), answer.code), (Some("out-of-runs"), 1), "{:#}", answer.json);
    assert_eq!(answer.runs(), 2);
}

#[test]
fn a_wrong_command_line_is_told_before_anything_runs() {
    let place = Place::new();
    let told = |line: &[&str]| {
        let output = place.run(line);
        assert_eq!(output.status.code(), Some(2), "{line:?}");
        assert!(output.stdout.is_empty(), "{line:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(told(&["solve", "--", "no-such-program-here"]).contains("`no-such-program-here` cannot be run"));
    assert!(told(&["solve", "--dialect", "zscalr", "--", "true"]).contains("'zscaler'"));
    assert!(told(&["solve", "--bypass", "a*b", "--", "true"]).contains("a*b"));
    assert!(told(&["solve"]).contains("COMMAND"));
}

#[test]
fn junit_has_one_case_that_says_what_was_found() {
    if no_curl() {
        return;
    }
    let place = Place::new();
    place.solve(&["a.one.test"], &["--junit", "found.xml"], &format!("{CLIENT} pinned a.one.test {{pin:a.one.test}}"));
    let found = std::fs::read_to_string(place.path("found.xml")).unwrap();
    crate::junit::assert_junit(&found);
    assert!(found.contains(r#"tests="1" skipped="0" failures="0" errors="0""#), "{found}");
    place.solve(&["a.one.test"], &["--junit", "none.xml"], &format!("{CLIENT} get a.one.test"));
    let none = std::fs::read_to_string(place.path("none.xml")).unwrap();
    crate::junit::assert_junit(&none);
    assert!(none.contains("<failure") && none.contains("Nothing has to be bypassed"), "{none}");
}

#[test]
fn a_file_that_cannot_be_written_loses_no_result() {
    let line =
        ["solve", "--simulate", "--junit", "no/such/folder.xml", "--", env!("CARGO_BIN_EXE_middlebox"), "enroll"];
    let output = Place::new().run(&[&line[..], &["https://acme.okta.com"]].concat());
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("It works with this bypass list"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no/such/folder.xml"));
}
