//! The files in which bypass lists are kept: each product's own, read into one [`List`] and written out of it.
//!
//! A format says where the entries stand; how their patterns are read is said by a [`Dialect`]. The two meet in
//! [`List::under`]. A format is added with a file that holds one [`Spec`] and a line in [`ALL`]. What a file holds
//! beyond bypass rules is kept in [`List::aside`] with its place, so that nothing is dropped without a word.

mod list;
mod plain;
pub(super) mod policy_toml;
mod under;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

pub use list::{Aside, Entry, List, Place};
pub use under::{Rejected, Under};

use super::dialects::Dialect;
use crate::source::{Document, PlaceError, did_you_mean};

/// A kind of file in which rules are kept.
#[derive(Clone, Copy)]
pub struct Format(&'static Spec);

/// Everything in which a format differs from the others.
pub(super) struct Spec {
    /// The name on the command line.
    pub(super) name: &'static str,
    /// What it is, in a few words.
    pub(super) title: &'static str,
    /// The dialects whose patterns it holds, the usual one first; none means any.
    pub(super) dialects: &'static [&'static str],
    /// Whether a text looks like it.
    pub(super) recognises: fn(&Sample<'_>) -> bool,
    /// Reads a document that is not blank.
    pub(super) read: fn(&Document) -> Result<List, PlaceError>,
    /// Writes a list whole, or says what it cannot say.
    pub(super) write: fn(&List) -> Result<String, CannotSay>,
}

/// What is looked at to tell one format from another.
pub(super) struct Sample<'t> {
    /// The text.
    pub(super) text: &'t str,
    /// What stands behind the last dot of the file's name, in lower case.
    pub(super) extension: String,
}

/// In the order in which a text is compared with them. The last one takes every text.
static ALL: &[&Spec] = &[&policy_toml::SPEC, &plain::SPEC];

/// A list holds what a format has no words for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct CannotSay {
    /// The format.
    pub format: Format,
    /// Each thing that it cannot say, as a clause.
    pub what: Vec<String>,
}

/// No format has this name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("no format is called `{name}`{}; known are {known}", .guess.as_ref().map(|guess| format!(" (did you mean `{guess}`?)")).unwrap_or_default())]
pub struct UnknownFormat {
    name: String,
    known: String,
    guess: Option<&'static str>,
}

/// Which format a text is in, by its content; the name of its file counts where the content leaves it open. A text
/// that nothing else claims is a plain list.
#[must_use]
pub fn detect(text: &str, file_name: &str) -> Format {
    let extension = Path::new(file_name).extension().map(|extension| extension.to_string_lossy().to_lowercase());
    let sample = Sample { text, extension: extension.unwrap_or_default() };
    let found = ALL.iter().find(|spec| (spec.recognises)(&sample));
    Format(found.copied().unwrap_or(&plain::SPEC))
}

/// Reads a document in the given format, or in the one that it is recognised as.
///
/// # Errors
/// The place of the first mistake. A document with nothing in it is one, and so is a document that is no text.
pub fn read(document: &Document, format: Option<Format>) -> Result<List, PlaceError> {
    let text = document.text();
    if let Some(at) = text.find('\0') {
        let help = "a bypass list is a text file; export it as one".to_owned();
        return Err(document.error(at..at + 1, "this is not text", Some(help)));
    }
    let format = format.unwrap_or_else(|| detect(text, document.name()));
    if text.trim().is_empty() && format != Format::POLICY_TOML {
        return Err(document.error(0..0, "the file is empty", None));
    }
    (format.0.read)(document)
}

/// Writes a list in a format, whole.
///
/// # Errors
/// Everything that the format cannot say, so that nothing gets lost without a word.
pub fn write(list: &List, format: Format) -> Result<String, CannotSay> {
    let own = format.0.dialects;
    match list.dialect.filter(|dialect| !own.is_empty() && !own.contains(&dialect.name())) {
        Some(other) => {
            let what = vec![format!("patterns that are written as {other} reads them, and not {}", own.join(" or "))];
            Err(CannotSay { format, what })
        }
        None => (format.0.write)(list),
    }
}

impl Format {
    /// This program's own file.
    pub const POLICY_TOML: Self = Self(&policy_toml::SPEC);
    /// One entry on each line.
    pub const PLAIN: Self = Self(&plain::SPEC);

    /// All formats.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().copied().map(Self)
    }

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// What it is, in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.0.title
    }
}

/// So many of the things that a format cannot say are shown.
const SHOWN: usize = 20;

impl fmt::Display for CannotSay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot say everything that the list holds:", self.format.title())?;
        for what in self.what.iter().take(SHOWN) {
            write!(f, "\n  {what}")?;
        }
        match self.what.len().checked_sub(SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\n  and {more} more"),
        }
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Format {}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Format").field(&self.name()).finish()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::all().find(|format| format.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::all().map(|format| format!("`{format}`")).collect();
            let guess = did_you_mean(name, Self::all().map(Self::name));
            UnknownFormat { name: name.to_owned(), known: known.join(", "), guess }
        })
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
