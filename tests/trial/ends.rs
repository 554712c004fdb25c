//! How commands end, and that nothing of them is left.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::program::{Place, stderr, stdout};
use super::{golden, line, shell};

/// Whether a process is gone, or a zombie that nobody has collected yet.
fn gone(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

/// Waits for it to be gone; a signal takes its time.
fn await_gone(pid: &str) {
    let begun = Instant::now();
    while !gone(pid) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{pid} is still there");
        std::thread::yield_now();
    }
}

#[test]
fn the_end_of_a_command_is_passed_on() {
    let place = Place::new();
    let not_executable = place.write("data", "no program");
    let ends: [(&[&str], i32); 6] = [
        (&shell("exit 0"), 0),
        (&shell("exit 42"), 42),
        (&shell("kill -TERM $$"), 143),
        (&shell("kill -KILL $$"), 137),
        (&["./no-such-program"], 127),
        (&[not_executable.to_str().unwrap()], 126),
    ];
    for (command, code) in ends {
        let output = place.run(&line(&["exec"], command));
        assert_eq!(output.status.code(), Some(code), "{command:?}: {}", stderr(&output));
    }
    // An expectation cannot be judged where nothing ran.
    let output = place.run(&line(&["exec", "--expect", "a.example=untouched"], &["./no-such-program"]));
    assert_eq!(output.status.code(), Some(127));
}

#[test]
fn what_goes_wrong_with_us_is_not_taken_for_the_commands_end() {
    let place = Place::new();
    let output = place.run(&line(&["exec", "--junit", "no/such/folder.xml"], &["true"]));
    assert_eq!(output.status.code(), Some(125), "{}", stderr(&output));
    let output = place.run(&line(&["exec", "--junit", "no/folder.xml", "--expect", "a.example=untouched"], &["true"]));
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

#[test]
fn mistakes_are_pointed_at_before_the_command_runs() {
    let place = Place::new();
    let mistakes: [(&str, &[&str]); 7] = [
        ("expect-outcome", &["--expect", "acme.okta.com=refusd"]),
        ("expect-cause", &["--expect", "acme.okta.com=refused:pinned"]),
        ("expect-form", &["--expect", "acme.okta.com"]),
        ("expect-host", &["--expect", "https://acme.okta.com=refused", "--expect", "*=bypassed:expired"]),
        ("origin", &["--origin", "acme.example=nginx"]),
        ("timeout", &["--timeout", "10"]),
        ("pattern", &["--bypass", "ac*me.okta.com"]),
    ];
    for (name, flags) in mistakes {
        let output = place.run(&line(&[&["exec"], flags].concat(), &shell("touch ran")));
        assert_eq!(output.status.code(), Some(2), "{name}: {}", stderr(&output));
        golden(&format!("mistake-exec-{name}"), &stderr(&output));
    }
    let output = place.run(&line(&["exec"], &["sh", "-c", "touch ran", "{pin:acme.okta.com}"]));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    golden("mistake-exec-placeholder", &stderr(&output));
    let output = place.run(&["exec"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(!place.path("ran").exists());
}

#[test]
fn a_time_limit_ends_the_command_and_what_it_has_started() {
    let place = Place::new();
    let output = place.run(&line(&["exec", "--timeout", "500ms"], &shell("sleep 600 & echo $!; wait")));
    assert_eq!(output.status.code(), Some(124), "{}", stderr(&output));
    assert!(stderr(&output).contains("sh was ended at its time limit"), "{}", stderr(&output));
    await_gone(&stdout(&output));
}

#[test]
fn a_time_limit_is_no_failure_where_the_expectation_came_true() {
    let place = Place::new();
    let flags = ["exec", "--timeout", "500ms", "--expect", "a.example=untouched"];
    assert_eq!(place.run(&line(&flags, &["sleep", "600"])).status.code(), Some(0));
}

#[test]
fn what_a_command_leaves_behind_ends_with_it() {
    let place = Place::new();
    let output = place.run(&line(&["exec"], &shell("sleep 600 >/dev/null 2>&1 & echo $!")));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    await_gone(&stdout(&output));
}

/// A command that has begun, and said its first line.
struct Running {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
    first: String,
}

fn begin(place: &Place, script: &str) -> Running {
    // The limit is for a signal that never arrives.
    let flags = ["exec", "--quiet", "--timeout", "60s"];
    let mut command = place.command(&line(&flags, &shell(script)));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    Running { child, said, first }
}

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The rest of what it says, and its end.
    fn end(mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap().code())
    }
}

#[test]
fn signals_reach_the_command() {
    let place = Place::new();
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::USR1, "USR1"), (Signal::HUP, "HUP")] {
        let script = format!("trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.1; done");
        let running = begin(&place, &script);
        running.signal(signal);
        assert_eq!(running.end(), (format!("got {name}\n"), Some(9)), "{name}");
    }
}

#[test]
fn a_signal_that_ends_the_command_is_passed_on_with_all_that_it_started_gone() {
    let place = Place::new();
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        // In the foreground, so that the shell has not set its interrupts aside.
        let running = begin(&place, "sh -c 'echo $$; exec sleep 600'; exit 1");
        let grandchild = running.first.clone();
        running.signal(signal);
        assert_eq!(running.end().1, Some(code));
        await_gone(&grandchild);
    }
}
