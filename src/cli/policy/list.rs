//! `--policy`, `--pattern`, `--dialect` and `--default`: the list that a command works on.

use std::path::{Path, PathBuf};

use super::super::error::CliError;
use super::super::words::words;
use crate::policy::{Action, Dialect, Reading, Written};
use crate::source::Document;

/// A list, and how it is read.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "List")]
pub(super) struct ListArgs {
    /// The list, one entry on each line; `#` begins a comment
    #[arg(long = "policy", value_name = "FILE", required_unless_present = "patterns")]
    file: Option<PathBuf>,

    /// An entry, as it would stand in the list; repeatable, read above those of --policy
    #[arg(long = "pattern", value_name = "PATTERN")]
    patterns: Vec<String>,

    #[command(flatten)]
    how: ReadingArgs,
}

/// How a list is read.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "List")]
pub(super) struct ReadingArgs {
    /// The product that reads it [default: what the file says, else middlebox]
    #[arg(long, value_name = "NAME", value_parser = dialects(), hide_possible_values = true)]
    dialect: Option<Dialect>,

    /// What is done with what no entry matches [default: what the file says, else what the product does]
    #[arg(long, value_name = "ACTION", value_parser = words::<Action>(["inspect", "bypass", "block"]))]
    pub(super) default: Option<Action>,
}

/// A list as it is written, with the dialect that reads it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) dialect: Dialect,
    pub(super) default: Option<Action>,
    pub(super) written: Vec<Written>,
}

pub(super) fn dialects() -> impl clap::builder::TypedValueParser<Value = Dialect> {
    words::<Dialect>(Dialect::all().map(Dialect::name))
}

impl ListArgs {
    pub(super) fn listed(&self) -> Result<Listed, CliError> {
        let mut listed = match &self.file {
            Some(path) => Listed::open(path, self.how.dialect, self.how.default)?,
            None => Listed {
                name: "command line".to_owned(),
                dialect: self.how.dialect.unwrap_or(Dialect::MIDDLEBOX),
                default: self.how.default,
                written: Vec::new(),
            },
        };
        let typed = self.patterns.iter().map(|pattern| Written::new(pattern, Action::Bypass));
        listed.written.splice(0..0, typed);
        Ok(listed)
    }
}

impl Listed {
    /// Reads a file; what was chosen on the command line goes before what it says.
    pub(super) fn open(path: &Path, dialect: Option<Dialect>, default: Option<Action>) -> Result<Self, CliError> {
        let document = Document::read(path)?;
        let entry = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
        let lines = document.text().lines().zip(1..);
        let entries = lines.map(|(line, number)| (entry(line), number)).filter(|(entry, _)| !entry.is_empty());
        let written = entries.map(|(entry, number)| Written::new(entry, Action::Bypass).on_line(number)).collect();
        let dialect = dialect.unwrap_or(Dialect::MIDDLEBOX);
        Ok(Self { name: path.display().to_string(), dialect, default, written })
    }

    /// The list, read.
    pub(super) fn reading(self) -> Reading {
        Reading::of(self.dialect, self.default, self.written)
    }
}
