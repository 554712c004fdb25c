//! Flags that take one of a few words.

use std::error::Error;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Takes one of these words, names them in help and completions, and guesses at others.
pub(super) fn words<T>(known: impl IntoIterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(known).try_map(|word| word.parse::<T>())
}

/// The WebSockets of a connection: frames of client and origin, and the first status with which one was closed.
pub(super) fn websockets(up: u64, down: u64, close: Option<u64>) -> String {
    let close = close.map_or(String::new(), |status| format!(", closed with {status}"));
    format!("WebSocket, frames {up} up and {down} down{close}")
}

/// How a command tells what it found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Text,
    /// For scripts.
    Json,
}
