//! Errors of commands: one place that says how each is shown and which exit code it has.

use std::error::Error as StdError;
use std::io;

use anstyle::AnsiColor;
use thiserror::Error;

use super::exit;
use crate::authority::{CaError, ProfileError};
use crate::child::ChildError;
use crate::control::{ClientError, ControlError};
use crate::lab::LabError;
use crate::policy::{PatternError, PolicyError};
use crate::proxy::{CredentialsError, ProxyError};
use crate::report::{JunitError, WriteError};
use crate::scenario::RunError;
use crate::simulation::SimulationError;
use crate::source::{Document, DocumentError, PlaceError};
use crate::trial::TrialError;

const TOKEN_HELP: &str = "give the token in a file with --control-token-file, or in the variable MIDDLEBOX_TOKEN";

/// A command could not do its work.
#[derive(Debug, Error)]
pub(super) enum CliError {
    /// The command line is wrong in a way that only its meaning shows.
    #[error("{message}")]
    Usage { message: String, help: Option<String> },
    /// The machine is not as it has to be.
    #[error("{message}")]
    Environment { message: String, help: Option<String> },
    /// Several files are wrong, each in its own way.
    #[error("{} mistakes", .0.len())]
    Several(Vec<CliError>),
    /// Standard output takes nothing more.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Lab(#[from] LabError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Pattern(PatternError),
    #[error(transparent)]
    Report(#[from] WriteError),
    #[error(transparent)]
    Junit(#[from] JunitError),
}

impl CliError {
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), help: None }
    }

    pub(super) fn environment(message: impl Into<String>) -> Self {
        Self::Environment { message: message.into(), help: None }
    }

    /// Says what to do.
    pub(super) fn with_help(mut self, text: impl Into<String>) -> Self {
        if let Self::Usage { help, .. } | Self::Environment { help, .. } = &mut self {
            *help = Some(text.into());
        }
        self
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            // The reader has read enough, which is no mistake.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => exit::AS_EXPECTED,
            Self::Several(errors) => errors.iter().map(Self::exit_code).max().unwrap_or(exit::USAGE),
            Self::Output(_) | Self::Environment { .. } | Self::Report(_) => exit::ENVIRONMENT,
            Self::Ca(error) | Self::Lab(LabError::Ca(error)) | Self::Run(RunError::Lab(LabError::Ca(error))) => {
                if matches!(error, CaError::Write { .. }) { exit::ENVIRONMENT } else { exit::USAGE }
            }
            Self::Client(error) => of_client(error),
            Self::Run(RunError::Loopback(_)) => exit::ENVIRONMENT,
            Self::Lab(error) | Self::Run(RunError::Lab(error)) if error.is_environment() => exit::ENVIRONMENT,
            Self::Usage { .. }
            | Self::Document(_)
            | Self::Profile(_)
            | Self::Credentials(_)
            | Self::Lab(_)
            | Self::Run(_)
            | Self::Pattern(_)
            | Self::Junit(_) => exit::USAGE,
        }
    }

    /// Tells it on standard error.
    pub(super) fn show(&self) {
        // Standard error may be closed as well; then the exit code says it alone.
        let _ = self.write(&mut anstream::stderr().lock());
    }

    /// Tells it with colours; the stream takes them out where they do not belong.
    fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Self::Several(errors) => return errors.iter().try_for_each(|error| error.write(to)),
            _ => {}
        }
        if let Some(place) = self.place() {
            return to.write_all(place.render(true).as_bytes());
        }
        let bad = AnsiColor::Red.on_default().bold();
        let good = AnsiColor::Cyan.on_default().bold();
        let text = self.to_string();
        writeln!(to, "{bad}error{bad:#}: {text}")?;
        let mut cause = StdError::source(self);
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.contains(&said) {
                writeln!(to, "  {bad}cause{bad:#}: {said}")?;
            }
            cause = error.source();
        }
        match self.help() {
            Some(help) => writeln!(to, "  {good}help{good:#}: {help}"),
            None => Ok(()),
        }
    }

    /// Where a text is wrong, if one is.
    fn place(&self) -> Option<PlaceError> {
        match self {
            Self::Document(error)
            | Self::Profile(ProfileError::Document(error))
            | Self::Credentials(CredentialsError::Document(error)) => of_document(error),
            Self::Run(RunError::Place(error)) => Some(error.clone()),
            Self::Pattern(error) => Some(of_pattern(error)),
            Self::Lab(error) | Self::Run(RunError::Lab(error)) => of_lab(error),
            _ => None,
        }
    }

    /// What to do, where the error itself does not say it.
    fn help(&self) -> Option<String> {
        let lab = match self {
            Self::Usage { help, .. } | Self::Environment { help, .. } => return help.clone(),
            Self::Client(ClientError::Problem(problem)) if problem.status == 401 => {
                return Some(TOKEN_HELP.to_owned());
            }
            Self::Lab(error) | Self::Run(RunError::Lab(error)) => error,
            _ => return None,
        };
        match lab {
            LabError::Proxy(ProxyError::Bind(_, error)) => Some(port_help(error, "--listen")),
            LabError::Control(ControlError::Bind(_, error)) => Some(port_help(error, "--control")),
            LabError::Control(ControlError::Open(_) | ControlError::Token) => {
                Some(TOKEN_HELP.to_owned())
            }
            LabError::Simulation(SimulationError::Listen(_)) => {
                Some("the simulated internet needs a few free loopback ports; end something that holds many".to_owned())
            }
            LabError::Policy(PolicyError::Document(_)) => Some("a policy file is written like this:\n\n    default = \"inspect\"\n\n    [[rule]]\n    pattern = \"*.okta.com\"\n    action  = \"bypass\"\n".to_owned()),
            LabError::OriginCa { .. } => Some("--origin-ca takes a PEM file with at least one certificate".to_owned()),
            _ => None,
        }
    }
}

impl From<TrialError> for CliError {
    fn from(error: TrialError) -> Self {
        match error {
            TrialError::Lab(error) => error.into(),
            TrialError::Browser(error) => Self::environment(error.to_string()),
            TrialError::Word(error) => Self::usage(error.to_string()),
            TrialError::Child(error @ ChildError::Empty) => Self::usage(error.to_string()),
            TrialError::Child(error) => Self::environment(error.to_string()),
        }
    }
}

/// What to do about an address that cannot be listened on.
fn port_help(error: &io::Error, flag: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "another program has this port: end it, or choose another with {flag}, where port 0 is any free one"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("no interface of this machine has this address; give {flag} one that has, such as 127.0.0.1")
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "the system does not allow it; ports below 1024 are for its administrator: choose another with {flag}"
            )
        }
        _ => format!("choose another address with {flag}"),
    }
}

/// A middlebox that refuses was asked for the wrong thing; one that does not answer is the environment's.
fn of_client(error: &ClientError) -> u8 {
    match error {
        ClientError::Url(_) | ClientError::Token => exit::USAGE,
        ClientError::Problem(problem) if problem.status < 500 => exit::USAGE,
        _ => exit::ENVIRONMENT,
    }
}

fn of_document(error: &DocumentError) -> Option<PlaceError> {
    match error {
        DocumentError::Place(place) => Some(place.clone()),
        DocumentError::Read { .. } => None,
    }
}

fn of_lab(error: &LabError) -> Option<PlaceError> {
    match error {
        LabError::Policy(PolicyError::Document(error)) | LabError::Profile(ProfileError::Document(error)) => {
            of_document(error)
        }
        LabError::Policy(PolicyError::Pattern(error)) => Some(of_pattern(error)),
        _ => None,
    }
}

/// A pattern of the command line is a document of one line.
fn of_pattern(error: &PatternError) -> PlaceError {
    let document = Document::new("command line", error.pattern.as_str());
    document.error(error.span.clone(), error.problem.to_string(), error.mend.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(error: &CliError) -> String {
        let mut text = Vec::new();
        error.write(&mut text).unwrap();
        anstream::adapter::strip_str(&String::from_utf8(text).unwrap()).to_string()
    }

    #[test]
    fn a_closed_pipe_is_no_mistake_and_says_nothing() {
        let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((error.exit_code(), shown(&error).as_str()), (exit::AS_EXPECTED, ""));
        let full = CliError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit_code(), exit::ENVIRONMENT);
    }

    #[test]
    fn blame_decides_the_code() {
        let taken = LabError::Proxy(ProxyError::Bind(([127, 0, 0, 1], 1).into(), io::ErrorKind::AddrInUse.into()));
        let taken = CliError::from(taken);
        assert_eq!(taken.exit_code(), exit::ENVIRONMENT);
        assert!(shown(&taken).contains("\n  help: another program has this port"), "{}", shown(&taken));
        let open = CliError::from(LabError::Proxy(ProxyError::Open(([0, 0, 0, 0], 1).into())));
        assert_eq!(open.exit_code(), exit::USAGE);
        let both = CliError::Several(vec![CliError::usage("a"), CliError::environment("b")]);
        assert_eq!((both.exit_code(), shown(&both).as_str()), (exit::ENVIRONMENT, "error: a\nerror: b\n"));
    }

    #[test]
    fn what_the_message_says_is_not_said_again_as_its_cause() {
        let error = WriteError { path: "r.xml".into(), source: io::ErrorKind::NotFound.into() };
        assert_eq!(shown(&error.into()).lines().count(), 1);
    }
}
