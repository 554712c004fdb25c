//! What is done with a connection, and with the open ones when a rule changes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What the policy asks for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Pass the client's bytes through untouched.
    Bypass,
    /// Refuse the connection.
    Block,
    /// Terminate the client's TLS with a forged certificate.
    Inspect,
}

/// What happens to open connections that a changed policy would decide otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnChange {
    /// They are closed after their running exchange, so that the client reconnects under the new policy.
    Drain,
    /// They are closed at once.
    Kill,
    /// They keep the decision they began with, as on real appliances.
    NewOnly,
}

/// A word is not one of those that are known here.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{typed}` is not one of {known}")]
pub struct WordError {
    typed: String,
    known: &'static str,
}

impl Action {
    /// The word for it in files, on the command line and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Block => "block",
            Self::Inspect => "inspect",
        }
    }
}

impl OnChange {
    /// The word for it in files and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Kill => "kill",
            Self::NewOnly => "new-only",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for OnChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Action {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let known = [Self::Bypass, Self::Block, Self::Inspect];
        let found = known.into_iter().find(|action| action.as_str() == text);
        found.ok_or_else(|| WordError { typed: text.to_owned(), known: "`inspect`, `bypass`, `block`" })
    }
}

impl FromStr for OnChange {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let known = [Self::Drain, Self::Kill, Self::NewOnly];
        let found = known.into_iter().find(|choice| choice.as_str() == text);
        found.ok_or_else(|| WordError { typed: text.to_owned(), known: "`new-only`, `drain`, `kill`" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_everywhere() {
        for action in [Action::Inspect, Action::Bypass, Action::Block] {
            assert_eq!(action.to_string().parse(), Ok(action));
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
        for choice in [OnChange::NewOnly, OnChange::Drain, OnChange::Kill] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
            assert_eq!(serde_json::to_value(choice).unwrap(), choice.as_str());
        }
        let error = "decrypt".parse::<Action>().unwrap_err().to_string();
        assert_eq!(error, "`decrypt` is not one of `inspect`, `bypass`, `block`");
    }
}
