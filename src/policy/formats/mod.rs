//! The files in which bypass lists are kept: each product's own, read into one [`List`] and written out of it.
//!
//! A format says where the entries stand; how their patterns are read is said by a [`Dialect`]. The two meet in
//! [`List::under`]. A format is added with a file that holds one `Spec` and a line in `ALL`. What a file holds
//! beyond bypass rules is kept in [`List::aside`] with its place, so that nothing is dropped without a word.

mod client_lists;
mod cloudflare;
mod edl;
mod fortigate;
mod json;
mod list;
mod mitmproxy;
mod netskope;
mod pac;
mod pan_os;
mod pan_os_xml;
mod plain;
pub(super) mod policy_toml;
mod say;
mod squid;
mod terraform;
mod tree;
mod under;
mod words;
mod zscaler;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

use say::Says;

pub use list::{Aside, Entry, List, Place, Unread};
pub use say::{CannotSay, Lack, Unsaid};

use super::dialects::Dialect;
use crate::source::{Document, PlaceError, did_you_mean};

/// A kind of file in which rules are kept.
#[derive(Clone, Copy)]
pub struct Format(&'static Spec);

/// Everything in which a format differs from the others.
struct Spec {
    /// The name on the command line.
    name: &'static str,
    /// What it is, in a few words.
    title: &'static str,
    /// The dialects whose patterns it holds, the usual one first; none means any.
    dialects: &'static [&'static str],
    /// Whether a text looks like it.
    recognises: fn(&Sample<'_>) -> bool,
    /// Reads a document that is not blank.
    read: fn(&Document) -> Result<List, PlaceError>,
    /// What it has words for, beside patterns.
    says: Says,
    /// Whether it can hold an entry's pattern, name and note.
    can_write: fn(&List, &Entry) -> bool,
    /// Writes a list of which it can say everything.
    write: fn(&List) -> String,
}

/// What is looked at to tell one format from another.
struct Sample<'t> {
    /// The text.
    text: &'t str,
    /// What stands behind the last dot of the file's name, in lower case.
    extension: String,
}

impl Sample<'_> {
    /// Whether it begins as JSON does. A bracket alone does not say so: an address and the head of a table have one, too.
    fn is_json(&self) -> bool {
        let text = self.text.trim_start();
        let within = text.strip_prefix('[').map(str::trim_start);
        text.starts_with('{')
            || within.is_some_and(|within| within.starts_with(['{', '"', ']']))
            || self.extension == "json"
    }
}

/// In the order in which a text is compared with them. The last one takes every text.
static ALL: &[&Spec] = &[
    &pac::SPEC,
    &cloudflare::SPEC,
    &netskope::JSON,
    &zscaler::SPEC,
    &pan_os_xml::SPEC,
    &json::SPEC,
    &terraform::SPEC,
    &policy_toml::SPEC,
    &fortigate::SPEC,
    &pan_os::SET,
    &squid::SPEC,
    &mitmproxy::YAML,
    &mitmproxy::ARGUMENTS,
    &netskope::CSV,
    &client_lists::CHROME,
    &client_lists::NO_PROXY,
    &edl::SPEC,
    &plain::SPEC,
];

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
    let list = (format.0.read)(document)?;
    let says_nothing = list.entries.is_empty() && list.default.is_none() && list.script.is_none();
    if says_nothing && format != Format::POLICY_TOML {
        let first = list.aside.first();
        let at = first.map_or(0, |aside| document.offset(aside.place.line as usize, aside.place.column as usize));
        let message = format!("no bypass rule was found in this file, which was read as {}", format.title());
        return Err(document.error(at..at, message, first.map(|aside| aside.what.clone())));
    }
    Ok(list)
}

/// Writes a list in a format, whole.
///
/// # Errors
/// Everything that the format cannot say, so that nothing gets lost without a word.
pub fn write(list: &List, format: Format) -> Result<String, CannotSay> {
    let what = format.unsaid(list);
    match what.is_empty() {
        true => Ok((format.0.write)(list)),
        false => Err(CannotSay { format, what }),
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

    /// The dialects whose patterns it holds, the usual one first; none where it holds any.
    pub fn dialects(self) -> impl Iterator<Item = Dialect> {
        self.0.dialects.iter().filter_map(|name| name.parse().ok())
    }

    /// What it is, in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.0.title
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
