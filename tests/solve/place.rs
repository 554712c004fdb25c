//! A folder in which `solve` runs, and what it answers.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with nothing inherited that would change what the program or its client does.
pub(crate) struct Place {
    folder: TempDir,
}

/// What `solve --format json` says.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) json: Value,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_middlebox"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "CURL_HOME"]
        {
            command.env_remove(name);
        }
        command.env("HOME", self.folder.path()).env("NO_COLOR", "1");
        command.output().unwrap()
    }

    /// Solves for a shell script, in a simulated internet with these hosts.
    pub(crate) fn solve(&self, hosts: &[&str], flags: &[&str], script: &str) -> Answer {
        let origins: Vec<String> = hosts.iter().map(|host| format!("--origin={host}=static")).collect();
        let mut line: Vec<&str> = origins.iter().map(String::as_str).collect();
        line.extend(flags);
        line.extend(["--", "sh", "-c", script]);
        self.solve_command(&line)
    }

    /// Solves as the command line says it, flags and command.
    pub(crate) fn solve_command(&self, line: &[&str]) -> Answer {
        let mut arguments = vec!["solve", "--format", "json"];
        arguments.extend(line);
        let output = self.run(&arguments);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let json = serde_json::from_str(&said).unwrap_or_else(|_| {
            panic!("no JSON: {said}\n{}", String::from_utf8_lossy(&output.stderr));
        });
        Answer { code: output.status.code().unwrap(), json }
    }
}

impl Answer {
    /// The list, where one was found.
    pub(crate) fn list(&self) -> Vec<&str> {
        assert_eq!((self.json["result"].as_str(), self.code), (Some("found"), 0), "{:#}", self.json);
        self.json["list"].as_array().unwrap().iter().map(|entry| entry["entry"].as_str().unwrap()).collect()
    }

    pub(crate) fn runs(&self) -> usize {
        self.json["runs"].as_array().unwrap().len()
    }

    /// The texts of a list of them.
    pub(crate) fn texts(&self, key: &str) -> Vec<&str> {
        self.json[key].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
    }
}

/// Whether a program is there; says so where it is not.
pub(crate) fn missing(program: &str, argument: &str) -> bool {
    let there = Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("skipped: there is no {program} here");
    }
    !there
}

/// Whether curl is there and can pin keys; says so where it is not.
pub(crate) fn no_curl() -> bool {
    missing("curl", "--version")
}

/// Shell functions for scripts: `get HOST` takes any trusted certificate, `pinned HOST PIN` the genuine key alone.
pub(crate) const CLIENT: &str = "
get() { curl --disable -sS --fail --max-time 30 -o /dev/null https://$1/; }
pinned() { curl --disable -sS --fail --max-time 30 -o /dev/null --pinnedpubkey sha256//$2 https://$1/; }
";
