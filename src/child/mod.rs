//! A child process: what it is told of proxy and trust, how long it may run, and that nothing of it stays behind.

mod exit;
mod group;
mod java;
mod signals;
mod surroundings;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, sleep, timeout};

use self::group::Group;

pub use self::exit::{NOT_EXECUTABLE, NOT_FOUND, OUR_FAILURE, SIGNALLED, TIMED_OUT};
pub use self::java::{JAVA_STORE_PASSWORD, java_store};
pub use self::signals::Signals;
pub use self::surroundings::{ClientTrust, Kind, Surroundings, VARIABLES, Variable};

/// How much of each captured stream is kept; the rest is read and dropped, so that the child never waits for us.
pub const MAX_CAPTURED: usize = 1 << 20;

/// How long a child has to end after it was asked to (`SIGTERM`), before it is made to.
const GRACE: Duration = Duration::from_secs(2);

/// How long the captured streams are waited for once the child has ended: someone who left its process group may
/// hold them open for ever.
const LINGER: Duration = Duration::from_millis(500);

/// A program to run.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// The program first, found as the system finds it.
    pub argv: Vec<OsString>,
    /// Variables that are set, over those inherited.
    pub set: Vec<(OsString, OsString)>,
    /// Variables that are not passed on.
    pub remove: Vec<OsString>,
    /// Where its output goes.
    pub output: Output,
    /// When it is ended. `None`: never.
    pub time_limit: Option<Duration>,
    /// Where it runs. `None`: here.
    pub folder: Option<PathBuf>,
}

/// Where the output of a child goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// To us, at most [`MAX_CAPTURED`] of each stream; its input is empty.
    #[default]
    Captured,
    /// Where ours goes; its input is ours.
    ///
    /// Where that is a terminal, the child stays in our process group, which is the one that may read from the
    /// terminal and that Ctrl-C reaches. Only the child itself is then ended, not what it started.
    Inherited,
    /// As [`Output::Inherited`], but what it says goes to our standard error alone, so that standard output is free.
    ToStderr,
}

/// How a child ended, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildOutcome {
    /// How it ended.
    pub status: Status,
    /// Its standard output, if captured.
    pub stdout: Captured,
    /// Its standard error, if captured.
    pub stderr: Captured,
    /// How long it ran.
    pub duration: Duration,
}

/// What was kept of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Its beginning.
    pub bytes: Vec<u8>,
    /// Whether more came than was kept.
    pub cut: bool,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It was ended at its time limit.
    TimedOut,
    /// There is no such program.
    NotFound,
    /// There is such a file, and it cannot be run.
    NotExecutable,
}

/// A child could not be run, and the program is not to blame.
#[derive(Debug, Error)]
pub enum ChildError {
    /// There is no word in the command.
    #[error("the command is empty; name a program")]
    Empty,
    /// The folder to run in is not there.
    #[error("there is no folder {}; name one that exists", .0.display())]
    Folder(PathBuf),
    /// The system does not start it.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The first word of the command.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system does not say how it ended.
    #[error("lost track of the child: {0}")]
    Wait(io::Error),
}

/// Runs a program to its end, or to its time limit. When this returns, or is dropped, its whole process group is gone
/// (on Unix; elsewhere, the child itself).
///
/// # Errors
/// See [`ChildError`]; a program that is missing or cannot be run is no error but a [`Status`].
pub async fn run(command: &Command) -> Result<ChildOutcome, ChildError> {
    perform(command, None).await
}

/// As [`run`], and passes on the signals that are sent to us meanwhile, as `env` and `timeout` do: what the child does
/// with them is its own affair.
///
/// # Errors
/// As [`run`].
pub async fn run_with_signals(command: &Command, signals: &mut Signals) -> Result<ChildOutcome, ChildError> {
    perform(command, Some(signals)).await
}

async fn perform(command: &Command, signals: Option<&mut Signals>) -> Result<ChildOutcome, ChildError> {
    let (program, arguments) = command.argv.split_first().ok_or(ChildError::Empty)?;
    // Without this look, a missing folder and a missing program are the same error.
    if let Some(folder) = command.folder.as_ref().filter(|folder| !folder.is_dir()) {
        return Err(ChildError::Folder(folder.clone()));
    }
    let started = Instant::now();
    let own_group = command.output == Output::Captured || !io::stdin().is_terminal();
    let mut prepared = tokio::process::Command::new(program);
    prepared.args(arguments).kill_on_drop(true);
    for name in &command.remove {
        prepared.env_remove(name);
    }
    prepared.envs(command.set.iter().map(|(name, value)| (name, value)));
    if let Some(folder) = &command.folder {
        prepared.current_dir(folder);
    }
    match command.output {
        Output::Captured => prepared.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()),
        Output::Inherited => &mut prepared,
        Output::ToStderr => prepared.stdout(io::stderr()),
    };
    #[cfg(unix)]
    if own_group {
        prepared.process_group(0);
    }
    let mut child = match prepared.spawn() {
        Ok(child) => child,
        Err(error) => {
            let program = program.to_string_lossy().into_owned();
            let status = not_started(&error).ok_or(ChildError::Start { program, source: error })?;
            let (stdout, stderr) = (Captured::default(), Captured::default());
            return Ok(ChildOutcome { status, stdout, stderr, duration: started.elapsed() });
        }
    };
    let mut group = Group::of(&child, own_group);
    let (mut stdout, mut stderr) = (Captured::default(), Captured::default());
    let ended = {
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let reading = async {
            tokio::join!(stdout.fill(out), stderr.fill(err));
        };
        tokio::pin!(reading);
        let mut read = false;
        let ended = {
            let ending = end(&mut child, &group, command.time_limit, signals);
            tokio::pin!(ending);
            loop {
                tokio::select! {
                    ended = &mut ending => break ended,
                    () = &mut reading, if !read => read = true,
                }
            }
        };
        // The child has ended; what it has left behind ends with it, and lets go of the streams.
        group.kill();
        if !read {
            let _ = timeout(LINGER, &mut reading).await;
        }
        ended
    };
    let status = ended.map_err(ChildError::Wait)?;
    Ok(ChildOutcome { status, stdout, stderr, duration: started.elapsed() })
}

/// Waits for the end, and brings it about at the time limit.
async fn end(
    child: &mut tokio::process::Child,
    group: &Group,
    limit: Option<Duration>,
    mut signals: Option<&mut Signals>,
) -> io::Result<Status> {
    let limit = async {
        match limit {
            Some(limit) => sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(limit);
    loop {
        let signal = async {
            match &mut signals {
                Some(signals) => signals.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Who ends by itself in the last moment has ended by itself.
            biased;
            ended = child.wait() => return ended.map(of_system),
            number = signal => group.pass_on(number),
            () = &mut limit => break,
        }
    }
    if group.terminate() && timeout(GRACE, child.wait()).await.is_ok() {
        return Ok(Status::TimedOut);
    }
    child.kill().await?;
    Ok(Status::TimedOut)
}

fn of_system(status: ExitStatus) -> Status {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Status::Signalled(signal);
    }
    // Where no code is given, something ended it; a shell would not call that a success either.
    Status::Exited(status.code().unwrap_or(-1))
}

fn not_started(error: &io::Error) -> Option<Status> {
    /// `ENOEXEC`: neither a program nor a script that names its interpreter.
    #[cfg(unix)]
    const NO_PROGRAM: i32 = 8;
    /// `ERROR_BAD_EXE_FORMAT`.
    #[cfg(not(unix))]
    const NO_PROGRAM: i32 = 193;

    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Some(Status::NotFound),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ExecutableFileBusy | io::ErrorKind::IsADirectory => {
            Some(Status::NotExecutable)
        }
        _ if error.raw_os_error() == Some(NO_PROGRAM) => Some(Status::NotExecutable),
        _ => None,
    }
}

impl Captured {
    /// The bytes as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Reads a stream to its end, and keeps the beginning.
    async fn fill(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut chunk = vec![0; 8 << 10];
        // A stream that fails has ended as well.
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            let kept = count.min(MAX_CAPTURED - self.bytes.len());
            self.bytes.extend_from_slice(&chunk[..kept]);
            self.cut |= kept < count;
        }
    }
}
