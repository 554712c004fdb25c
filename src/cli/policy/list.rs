//! `--policy`, `--pattern`, `--dialect` and `--default`: the list that a command works on.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::super::error::CliError;
use super::super::words::words;
use super::text::Paint;
use crate::pac::PacScript;
use crate::policy::formats::{Entry, Format as ListFormat, List, Unread, read};
use crate::policy::{Action, Dialect, Reading};
use crate::source::{Document, DocumentError};

/// A list, and how it is read.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "List")]
pub(super) struct ListArgs {
    /// The list: a policy file, or any file that a product keeps its list in
    #[arg(long = "policy", value_name = "FILE", required_unless_present = "patterns")]
    file: Option<PathBuf>,

    /// An entry, as it would stand in the list; repeatable, read above those of --policy
    #[arg(long = "pattern", value_name = "PATTERN")]
    patterns: Vec<String>,

    /// The format of the file [default: told by its content]
    #[arg(long = "format-of", value_name = "FORMAT", value_parser = formats(), hide_possible_values = true)]
    format_of: Option<ListFormat>,

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
    pub(super) entries: Vec<Entry>,
    /// The script of a PAC file, which decides in place of entries.
    script: Option<PacScript>,
    /// What decides about hosts, and could not be read.
    pub(super) unread: Vec<Unread>,
}

/// So many of the things that a file holds beside its rules are told.
const SHOWN: usize = 20;

/// Tells on standard error what a file holds that is no bypass rule.
pub(super) fn tell_aside(list: &List, what_for: &str) -> io::Result<()> {
    let Paint { faint, .. } = Paint::default();
    let mut to = anstream::stderr().lock();
    for aside in list.aside.iter().take(SHOWN) {
        writeln!(to, "{faint}{what_for}{faint:#} {}: {}", list.locate(aside.place), aside.what)?;
    }
    match list.aside.len().checked_sub(SHOWN) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(to, "and {more} more {what_for}"),
    }
}

pub(super) fn dialects() -> impl clap::builder::TypedValueParser<Value = Dialect> {
    words::<Dialect>(Dialect::all().map(Dialect::name))
}

pub(super) fn formats() -> impl clap::builder::TypedValueParser<Value = ListFormat> {
    words::<ListFormat>(ListFormat::all().map(ListFormat::name))
}

impl ListArgs {
    pub(super) fn listed(&self) -> Result<Listed, CliError> {
        let mut listed = match &self.file {
            Some(path) => Listed::open(path, self.format_of, self.how.dialect, self.how.default)?,
            None => Listed {
                name: "command line".to_owned(),
                dialect: self.how.dialect.unwrap_or(Dialect::MIDDLEBOX),
                default: self.how.default,
                entries: Vec::new(),
                script: None,
                unread: Vec::new(),
            },
        };
        let typed = self.patterns.iter().map(|pattern| Entry::typed(pattern, Action::Bypass));
        listed.entries.splice(0..0, typed);
        Ok(listed)
    }
}

impl Listed {
    /// Reads a file; what was chosen on the command line goes before what it says.
    pub(super) fn open(
        path: &Path,
        format: Option<ListFormat>,
        dialect: Option<Dialect>,
        default: Option<Action>,
    ) -> Result<Self, CliError> {
        let document = Document::read(path)?;
        let list = read(&document, format).map_err(DocumentError::Place)?;
        tell_aside(&list, "set aside")?;
        let own = |entry: Entry| if dialect.is_some() { entry.without_dialect() } else { entry };
        Ok(Self {
            name: path.display().to_string(),
            dialect: list.dialect_or(dialect),
            default: default.or(list.default),
            // Whoever names a dialect wants the whole list read in it.
            entries: list.entries.into_iter().map(own).collect(),
            script: list.script,
            unread: list.unread,
        })
    }

    /// Whether a PAC script decides in place of entries.
    pub(super) fn has_script(&self) -> bool {
        self.script.is_some()
    }

    /// The list, read.
    pub(super) fn reading(self) -> Reading {
        Reading::of(self.dialect, self.default, self.entries).with_script(self.script).with_unread(self.unread)
    }
}
