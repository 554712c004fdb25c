//! Why a script gives no answer.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::source::PlaceError;

/// A PAC script could not be used, or did not answer.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum PacError {
    /// Earlier calls of this script are still inside the engine, past their time limit.
    #[error("the script is still busy with {0} earlier calls that were given up")]
    Busy(usize),
    /// The engine or the machine failed.
    #[error("the JavaScript engine cannot run the script: {0}")]
    Engine(String),
    /// A limit was reached.
    #[error("the script was stopped: {0}")]
    Limit(PacLimit),
    /// There is no function `FindProxyForURL`.
    #[error("{name} defines no function FindProxyForURL{}", .found.as_deref().map(near).unwrap_or_default())]
    Missing {
        /// The name of the script.
        name: String,
        /// A function whose name is nearly that.
        found: Option<String>,
    },
    /// A syntax error, or an exception that nothing catches, with its place.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The answer is no text.
    #[error("FindProxyForURL returned {kind} and no text; return a string such as \"DIRECT\"")]
    Returned {
        /// What it is instead, as JavaScript calls it.
        kind: String,
    },
    /// An exception without a place.
    #[error("uncaught exception: {0}")]
    Uncaught(String),
}

/// A limit that a script can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacLimit {
    /// It needed more memory, in bytes.
    Memory(usize),
    /// Its answer is longer, in bytes.
    Result(usize),
    /// Its text is longer, in bytes.
    Size(usize),
    /// It called too deep; the engine's stack in bytes.
    Stack(usize),
    /// It ran longer.
    Time(Duration),
}

impl fmt::Display for PacLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "it needs more than {} KiB of memory", bytes / 1024),
            Self::Result(bytes) => write!(f, "its answer is longer than {} KiB", bytes / 1024),
            Self::Size(bytes) => write!(f, "its text is longer than {} KiB", bytes / 1024),
            Self::Stack(bytes) => write!(f, "its calls are nested deeper than {} KiB of stack", bytes / 1024),
            Self::Time(time) => write!(f, "it runs longer than {} ms", time.as_millis()),
        }
    }
}

/// What to do where a function has nearly the right name.
fn near(name: &str) -> String {
    match name {
        "FindProxyForURLEx" => {
            " (its `FindProxyForURLEx` is called by WinHTTP and WinINet of Windows alone; name it `FindProxyForURL` for \
             every other client, such as Chrome and Firefox)"
                .to_owned()
        }
        name => format!(" (its `{name}` has to be named so)"),
    }
}
