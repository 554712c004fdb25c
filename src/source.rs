//! Files that people write: TOML read into typed values, and errors that point at the place and say what to do.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arcstr::{ArcStr, Substr};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The largest file that is read: far above any real policy in TOML, far below what would hurt.
pub const MAX_BYTES: u64 = 64 << 20;

/// A text with the name under which people know it.
#[derive(Clone, Debug)]
pub struct Document {
    name: Arc<str>,
    /// Shared with everything that was read out of it and is written in it as it is.
    text: ArcStr,
}

/// A document could not be used.
#[derive(Clone, Debug, Error)]
pub enum DocumentError {
    /// The file could not be read.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// As the user named it.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The text is wrong at one place.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

/// What is wrong at one place of a document.
#[derive(Clone, Debug)]
pub struct PlaceError(Box<Place>);

#[derive(Clone, Debug)]
struct Place {
    document: Document,
    span: Range<usize>,
    message: String,
    help: Option<String>,
}

impl Document {
    /// A document of a text at hand.
    pub fn new(name: impl Into<Arc<str>>, text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        // Editors on Windows put a byte order mark before the text, which is no part of it.
        Self { name: name.into(), text: text.strip_prefix('\u{feff}').unwrap_or(text).into() }
    }

    /// Reads a file, at most [`MAX_BYTES`] of UTF-8, or of UTF-16 with its mark, which PowerShell redirects into files.
    ///
    /// # Errors
    /// The file cannot be read, is too large, or is not UTF-8 (with the place).
    pub fn read(path: &Path) -> Result<Self, DocumentError> {
        let name = path.display().to_string();
        let unreadable = |reason: String| DocumentError::Read { path: name.clone(), reason };
        let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(unreadable(format!("it has {size} bytes, more than the {MAX_BYTES} that are read")));
        }
        let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        if let Some(text) = of_utf16(&bytes) {
            return Ok(Self::new(name, text));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.split(|byte| *byte == b'\n').count();
            unreadable(format!("line {line} is not UTF-8 text"))
        })?;
        Ok(Self::new(name, text))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A piece of the text that keeps the whole alive and costs no memory of its own; of any other text, a copy.
    pub(crate) fn piece(&self, text: &str) -> Substr {
        self.text.try_substr_from(text).unwrap_or_else(|| text.into())
    }

    /// Reads the text as TOML. Types that refuse unknown keys (`#[serde(deny_unknown_fields)]`) get a "did you mean".
    ///
    /// # Errors
    /// The place of the first mistake.
    pub fn toml<T: DeserializeOwned>(&self) -> Result<T, PlaceError> {
        toml::from_str(&self.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let message = error.message().to_owned();
            let help = did_you_mean_in(&message);
            self.error(span, message, help)
        })
    }

    /// An error at a byte range of the text.
    pub fn error(&self, span: Range<usize>, message: impl Into<String>, help: Option<String>) -> PlaceError {
        let length = self.text.len();
        let span = span.start.min(length)..span.end.clamp(span.start.min(length), length);
        PlaceError(Box::new(Place { document: self.clone(), span, message: message.into(), help }))
    }

    /// Line and column, both from 1, of a byte offset; the column counts characters.
    #[must_use]
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line = before.matches('\n').count() + 1;
        let column = before[before.rfind('\n').map_or(0, |at| at + 1)..].chars().count() + 1;
        (line, column)
    }

    /// The byte offset of a line and column, both from 1; the end of the text where it does not reach so far.
    #[must_use]
    pub fn offset(&self, line: usize, column: usize) -> usize {
        let start = match line.saturating_sub(2) {
            _ if line <= 1 => 0,
            nth => self.text.match_indices('\n').nth(nth).map_or(self.text.len(), |(at, _)| at + 1),
        };
        let rest = &self.text[start..];
        start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
    }

    /// Finds the lines and columns of many offsets in one walk through the text.
    #[must_use]
    pub fn places(&self) -> Places<'_> {
        Places { text: &self.text, line_start: 0, line: 1 }
    }

    /// One line of the text, from 1, without its end.
    #[must_use]
    pub fn line(&self, number: usize) -> &str {
        self.text.lines().nth(number.saturating_sub(1)).unwrap_or_default()
    }
}

/// The text of a file that begins with the mark of UTF-16, in either order of bytes.
fn of_utf16(bytes: &[u8]) -> Option<String> {
    let unit: fn([u8; 2]) -> u16 = match bytes {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return None,
    };
    let (pairs, rest) = bytes.as_chunks();
    let text = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect::<Result<String, _>>().ok()?;
    rest.is_empty().then_some(text)
}

/// A walk through a text, from offset to offset.
#[derive(Clone, Debug)]
pub struct Places<'t> {
    text: &'t str,
    line_start: usize,
    line: u32,
}

impl Places<'_> {
    /// Line and column, both from 1, of a byte offset. Takes as long as the text between this offset and the one before
    /// it; one that lies further up begins at the top.
    pub fn at(&mut self, offset: usize) -> (u32, u32) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        if offset < self.line_start {
            (self.line_start, self.line) = (0, 1);
        }
        let between = &self.text[self.line_start..offset];
        if let Some(end) = between.rfind('\n') {
            self.line += u32::try_from(between.bytes().filter(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX);
            self.line_start += end + 1;
        }
        let column = self.text[self.line_start..offset].chars().count() + 1;
        (self.line, u32::try_from(column).unwrap_or(u32::MAX))
    }
}

impl PlaceError {
    /// The name of the document.
    #[must_use]
    pub fn document(&self) -> &str {
        self.0.document.name()
    }

    /// Line and column, both from 1.
    #[must_use]
    pub fn line_column(&self) -> (usize, usize) {
        self.0.document.line_column(self.0.span.start)
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The error with the lines around its place, for a person at a terminal.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(100).with_links(false);
        let mut text = String::new();
        let source = NamedSource::new(self.document(), self.0.document.text.to_string());
        let report = Report { place: &self.0, source };
        if handler.render_report(&mut text, &report).is_err() {
            text = self.to_string();
        }
        text
    }
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}: {}", self.document(), self.0.message)?;
        match &self.0.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PlaceError {}

#[derive(Debug)]
struct Report<'a> {
    place: &'a Place,
    source: NamedSource<String>,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.place.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.place.span.clone();
        Some(Box::new(std::iter::once(LabeledSpan::underline(span))))
    }
}

/// The entry of `known` that `typed` was most likely meant to be.
pub fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&typed, name), name))
        .filter(|(distance, name)| *distance <= name.chars().count().max(3) / 3 || name.starts_with(&typed))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Finds the suggestion in serde's own words: ``unknown field `a`, expected one of `b`, `c` ``.
fn did_you_mean_in(message: &str) -> Option<String> {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let typed = names.next()?;
    did_you_mean(typed, names).map(|name| format!("did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(rename = "default")]
        _default: Option<String>,
        #[serde(rename = "dialect")]
        _dialect: Option<String>,
    }

    #[test]
    fn an_unknown_key_points_at_itself_and_is_guessed() {
        let document = Document::new("policy.toml", "dialect = \"middlebox\"\ndefalt = \"inspect\"\n");
        let error = document.toml::<Sample>().unwrap_err();
        assert_eq!(error.line_column(), (2, 1));
        assert_eq!(error.help(), Some("did you mean `default`?"));
        assert!(error.render(false).contains("policy.toml:2:1"), "{}", error.render(false));
        assert!(error.to_string().starts_with("policy.toml:2:1: unknown field `defalt`"), "{error}");
    }

    #[test]
    fn a_place_beyond_the_end_is_brought_back() {
        let document = Document::new("x", "äb");
        assert_eq!(document.error(9..12, "m", None).line_column(), (1, 3));
        assert_eq!(document.line_column(1), (1, 1));
    }

    #[test]
    fn utf_16_is_read_by_its_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        let bytes: Vec<u8> = "\u{feff}okta.com\r\nü".encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(Document::read(&path).unwrap().text(), "okta.com\r\nü");
        let bytes: Vec<u8> = "\u{feff}a".encode_utf16().flat_map(u16::to_be_bytes).collect();
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(Document::read(&path).unwrap().text(), "a");
        std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
        assert!(Document::read(&path).unwrap_err().to_string().ends_with("line 1 is not UTF-8 text"));
    }

    #[test]
    fn places_and_offsets_lead_to_each_other() {
        let document = Document::new("x", "\u{feff}a\nüb\r\n\nc");
        let mut places = document.places();
        for at in [0, 2, 4, 7, 8, 9, 2, 0] {
            let (line, column) = document.line_column(at);
            let walked = places.at(at);
            assert_eq!((walked.0 as usize, walked.1 as usize), (line, column));
            assert_eq!(document.offset(line, column), at);
        }
        assert_eq!((document.offset(9, 1), document.offset(1, 9), document.offset(0, 0)), (9, 9, 0));
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["enroll", "browse", "bypass"];
        assert_eq!(did_you_mean("bypas", known), Some("bypass"));
        assert_eq!(did_you_mean("zzz", known), None);
    }
}
