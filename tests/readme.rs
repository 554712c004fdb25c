//! The README says what is true today: its transcript is what the program prints, its commands exist, and every
//! scenario that comes with the program stands in it.

// What a test cannot read or start ends it, which is what a test is for.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

fn middlebox(arguments: &[&str]) -> (String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_middlebox")).args(arguments).current_dir(root()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (text, output.status.code().unwrap())
}

/// What differs from run to run is left out: pins and times.
fn settled(text: &str) -> Vec<String> {
    let settle = |word: &str| match word.strip_prefix("sha256/") {
        Some(_) => "sha256/…".to_owned(),
        None => word.to_owned(),
    };
    let line = |line: &str| {
        let indent = line.len() - line.trim_start().len();
        let mut words: Vec<_> = line.trim().split(' ').map(settle).collect();
        for at in 1..words.len() {
            if words[at] == "ms" {
                "0".clone_into(&mut words[at - 1]);
            }
        }
        format!("{}{}", " ".repeat(indent), words.join(" ")).trim_end().to_owned()
    };
    text.lines().map(line).collect()
}

#[test]
fn the_transcript_is_what_the_program_prints() {
    let readme = readme();
    let (_, rest) = readme.split_once("<!-- transcript: ").unwrap();
    let (file, rest) = rest.split_once(" -->\n```text\n").unwrap();
    let (transcript, _) = rest.split_once("\n```").unwrap();
    let (story, code) = middlebox(&["run", file]);
    assert_eq!(code, 0, "{story}");
    let (story, transcript) = (settled(&story), settled(transcript));
    let stands = story.windows(transcript.len()).any(|part| part == transcript);
    assert!(stands, "the README's transcript:\n{}\n\nthe story:\n{}", transcript.join("\n"), story.join("\n"));
}

#[test]
fn every_scenario_stands_in_it_with_its_own_words() {
    let readme = readme();
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("scenarios")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let line = |key: &str| {
            let line = text.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_once('"').unwrap().1.trim_end_matches('"').to_owned()
        };
        let file = Path::new("scenarios").join(path.file_name().unwrap());
        let row = format!("| `{}` | {} | {} |", file.display(), line("name"), line("summary"));
        assert!(readme.contains(&row), "the README lacks this row:\n{row}");
        count += 1;
    }
    assert!(count >= 10, "{count} scenarios");
}

#[test]
fn the_commands_that_it_names_exist() {
    for command in ["run", "up", "exec", "audit", "solve", "verify", "bypass", "watch", "policy", "ca"] {
        assert!(readme().contains(&format!("middlebox {command}")), "{command}");
        let (help, code) = middlebox(&[command, "--help"]);
        assert_eq!(code, 0, "{help}");
    }
    for (command, flag) in [
        ("up", "--simulate"),
        ("up", "--ready-file"),
        ("up", "--policy"),
        ("run", "--junit"),
        ("exec", "--expect"),
        ("audit", "--baseline"),
        ("audit", "--fail-on"),
    ] {
        assert!(readme().contains(flag), "{flag}");
        assert!(middlebox(&[command, "--help"]).0.contains(flag), "{command} {flag}");
    }
}

/// Lines with a comment `# exec:` or `# audit:` above them run as they stand, and end as the comment says.
#[test]
fn the_lines_of_exec_and_audit_run_as_they_stand() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: this machine has no curl");
        return;
    }
    let readme = readme();
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_middlebox"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap_or_default());
    let (mut comment, mut count) = ("", 0);
    for line in readme.lines() {
        if line.starts_with("# ") {
            comment = line;
        }
        if !line.starts_with("middlebox exec ") && !line.starts_with("middlebox audit ") {
            continue;
        }
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", line]).current_dir(folder.path()).env("PATH", &path).output().unwrap();
        let expected = match comment {
            _ if line.contains("--expect") => 0,
            comment if comment.contains("exit code 1") => 1,
            comment if comment.contains("a pinned client refuses") => 90,
            _ => 0,
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(expected), "{comment}\n{line}\n{said}");
        count += 1;
    }
    assert!(count >= 6, "{count} lines");
    assert!(folder.path().join("works.xml").exists());
}

#[test]
fn the_list_that_it_shows_is_the_one_that_is_found() {
    let readme = readme();
    let (before, rest) = readme.split_once("<!-- solved -->\n```text\n").unwrap();
    let (list, _) = rest.split_once("```").unwrap();
    let line = before.lines().rfind(|line| line.starts_with("middlebox solve ")).unwrap();
    let program = env!("CARGO_BIN_EXE_middlebox");
    let arguments: Vec<_> =
        line.split(' ').skip(1).map(|word| if word == "middlebox" { program } else { word }).collect();
    let (told, code) = middlebox(&arguments);
    assert!(code == 0 && told.starts_with(list), "{told}");
    for flag in ["--dialect", "--policy", "--retries", "--format"] {
        assert!(middlebox(&["solve", "--help"]).0.contains(flag), "{flag}");
    }
}

#[test]
fn the_rehearsals_that_it_shows_run_as_they_stand() {
    let readme = readme();
    let (_, rest) = readme.split_once("## Rehearse a bypass list").unwrap();
    let (_, rest) = rest.split_once("```sh\n").unwrap();
    let (commands, _) = rest.split_once("```").unwrap();
    let mut count = 0;
    for line in commands.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').map(|word| word.trim_matches('\'')).collect();
        let (said, code) = middlebox(&words[1..]);
        // The check is of a list that misses a host, which is its point.
        assert_eq!(code, i32::from(words[2] == "check"), "{line}\n{said}");
        assert!(said.contains("acme.mtls.okta.com"), "{line}\n{said}");
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn the_policy_that_it_shows_is_a_policy() {
    let readme = readme();
    let (_, rest) = readme.split_once("```toml\n").unwrap();
    let (policy, _) = rest.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    std::fs::write(&file, policy).unwrap();
    let config = middlebox::policy::PolicyConfig { file: Some(file), ..Default::default() };
    let store = middlebox::policy::PolicyStore::new(config).unwrap();
    assert_eq!(store.current().rules().len(), 1);
}
