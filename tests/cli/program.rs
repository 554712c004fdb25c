//! The program as a test starts it: in a folder of its own, with nothing inherited that would change what it does.

#[path = "../support/junit.rs"]
mod junit;

use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Nothing here takes this long; it is for what never comes.
const LIMIT: Duration = Duration::from_secs(60);

/// A folder in which the program runs and keeps its CA.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// A report as JUnit XML, which has the shape that CI systems read.
    pub(crate) fn junit(&self, name: &str) -> String {
        let xml = self.read(name);
        junit::assert_junit(&xml);
        xml
    }

    pub(crate) fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_middlebox"));
        command.args(line).current_dir(self.folder.path()).stdin(Stdio::null());
        quiet_environment(&mut command);
        command.env("MIDDLEBOX_STATE", self.path("state"));
        command
    }

    /// Runs to the end.
    pub(crate) fn run(&self, line: &[&str]) -> Output {
        self.command(line).output().unwrap()
    }

    /// Starts `up` on free ports, and waits until it says that it serves.
    pub(crate) fn up(&self, flags: &[&str]) -> Up {
        let mut line = vec!["up", "--listen", "127.0.0.1:0", "--ready-file", "ready.json"];
        if !flags.contains(&"--control") {
            line.extend(["--control", "off"]);
        }
        line.extend(flags);
        let mut child = self.command(&line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = lines(child.stderr.take().unwrap());
        let said = lines(child.stdout.take().unwrap());
        let mut up = Up { child, guide: String::new(), log, ready: Value::Null };
        loop {
            let Ok(line) = said.recv_timeout(LIMIT) else {
                panic!("`up` did not begin to serve: {}", up.log.try_iter().collect::<Vec<_>>().join("\n"));
            };
            up.guide += &line;
            up.guide.push('\n');
            if line.starts_with("Ready") {
                break;
            }
        }
        up.ready = serde_json::from_str(&self.read("ready.json")).unwrap();
        up
    }

    /// What was said, with what differs from run to run replaced.
    pub(crate) fn stable(&self, text: &str) -> String {
        let folder = self.folder.path().display().to_string();
        text.replace(&folder, "[FOLDER]")
    }
}

fn quiet_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let upper = name.to_uppercase();
        let meddles = upper.ends_with("_PROXY") || upper.starts_with("MIDDLEBOX_") || upper.starts_with("SSL_CERT");
        if meddles || ["COLUMNS", "NO_COLOR", "CLICOLOR_FORCE", "RUST_LOG"].contains(&upper.as_str()) {
            command.env_remove(name);
        }
    }
}

/// A running `up`; killed when it is dropped.
pub(crate) struct Up {
    child: Child,
    pub(crate) guide: String,
    pub(crate) ready: Value,
    log: Receiver<String>,
}

impl Up {
    pub(crate) fn proxy(&self) -> String {
        self.ready["proxy"].as_str().unwrap().to_owned()
    }

    pub(crate) fn pin(&self, host: &str) -> String {
        self.ready["origins"][host]["pin"].as_str().unwrap().to_owned()
    }

    /// The value of a variable that the guide exports.
    pub(crate) fn variable(&self, name: &str) -> String {
        let at = self.guide.find(&format!("{name}=")).unwrap() + name.len() + 1;
        self.guide[at..].split_whitespace().next().unwrap().to_owned()
    }

    /// Waits for a line of the log.
    pub(crate) fn logged(&self, part: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.log.recv_timeout(LIMIT) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => before.push(line),
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {
                    panic!("no line of the log has `{part}`:\n{}", before.join("\n"))
                }
            }
        }
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Waits for its end, which closes its log; gives the rest of that, too.
    pub(crate) fn end(&mut self) -> (ExitStatus, Vec<String>) {
        let mut rest = Vec::new();
        loop {
            match self.log.recv_timeout(LIMIT) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("`up` does not end: {}", rest.join("\n")),
            }
        }
        (self.child.wait().unwrap(), rest)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // Read to the end whether or not somebody listens, so that nobody is stopped by a full pipe.
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

/// curl, or a printed reason why the test is skipped.
pub(crate) fn curl(arguments: &[&str]) -> Option<Output> {
    if let Ok(output) = curl_command(arguments).output() {
        return Some(output);
    }
    skipped();
    None
}

/// Says why nothing was tried.
pub(crate) fn skipped() {
    let _ = writeln!(std::io::stderr(), "skipped: this machine has no curl");
}

pub(crate) fn curl_command(arguments: &[&str]) -> Command {
    let mut command = Command::new("curl");
    quiet_environment(&mut command);
    command.args(["-sS", "--max-time", "30"]).args(arguments);
    command
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
