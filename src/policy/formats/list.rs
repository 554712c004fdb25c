//! What a file says, as rules: the value between all formats and all dialects.

use std::fmt;
use std::ops::Range;

use arcstr::Substr;
use serde::{Serialize, Serializer};

use super::super::Action;
use super::super::condition::{Network, Ports};
use super::super::pattern::PatternError;
use super::super::standing::{Assumption, Standing};
use super::{Dialect, Format};
use crate::pac::PacScript;
use crate::source::{Document, PlaceError};

/// The rules of a file, with what else it holds.
#[derive(Clone, Debug)]
pub struct List {
    /// The format that it was read in.
    pub format: Format,
    /// How its patterns are meant to be read; `None` where the file does not say so.
    pub dialect: Option<Dialect>,
    /// What is done where no entry matches; `None` where the file does not say so.
    pub default: Option<Action>,
    /// What the list, its profile or its policy is called.
    pub name: Option<String>,
    /// The entries, in the order in which they count.
    pub entries: Vec<Entry>,
    /// The script of a PAC file, which decides in place of entries.
    pub script: Option<PacScript>,
    /// Everything that is not a bypass rule.
    pub aside: Vec<Aside>,
    /// What of it decides about hosts, and is not read here.
    pub unread: Vec<Unread>,
    /// Comments that stand by themselves, each before the entry with this number, from 0.
    pub comments: Vec<(usize, String)>,
    /// The file, and the files that it names.
    pub documents: Vec<Document>,
}

/// One entry of a list. Its pattern is a piece of the file where the file has it as it is, and what few entries have is
/// kept apart, so that long lists stay small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pattern: Substr,
    place: Place,
    action: Action,
    enabled: bool,
    more: Option<Box<More>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct More {
    dialect: Option<Dialect>,
    ports: Vec<Ports>,
    clients: Vec<Network>,
    note: Option<String>,
    name: Option<String>,
}

/// Where something stands: shown as `line:column`, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Which of [`List::documents`], from 0.
    #[serde(skip)]
    pub document: u16,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// Something of a file that is no bypass rule, or not one that can be read by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Aside {
    /// Where it stands.
    pub place: Place,
    /// What it is and what becomes of it, as a sentence without its full stop.
    pub what: String,
}

/// Something that decides about hosts, and of which cannot be said here about which. No answer is sure that it would
/// change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// What it does with its hosts; none where that depends.
    pub action: Option<Action>,
    /// That it does so with none, as an assumption.
    pub assumption: Assumption,
}

impl List {
    /// An empty list out of a document.
    #[must_use]
    pub fn new(format: Format, document: &Document) -> Self {
        Self {
            format,
            dialect: None,
            default: None,
            name: None,
            entries: Vec::new(),
            script: None,
            aside: Vec::new(),
            unread: Vec::new(),
            comments: Vec::new(),
            documents: vec![document.clone()],
        }
    }

    /// A list of patterns that were typed, all for one action. Their place is their number.
    #[must_use]
    pub fn of_patterns<'p>(patterns: impl IntoIterator<Item = &'p str>, action: Action) -> Self {
        let patterns: Vec<&str> = patterns.into_iter().collect();
        let mut list = Self::new(Format::PLAIN, &Document::new("command line", patterns.join("\n")));
        let entries = patterns.into_iter().zip(1u32..);
        list.entries = entries.map(|(text, line)| Entry::typed(text, action).on_line(line)).collect();
        list
    }

    /// Keeps something aside.
    pub(super) fn put_aside(&mut self, place: Place, what: impl Into<String>) {
        self.aside.push(Aside { place, what: what.into() });
    }

    /// Keeps something aside that decides about hosts.
    pub(super) fn put_unread(&mut self, place: Place, action: Option<Action>, what: impl Into<String>) {
        let what = what.into();
        if self.unread.iter().all(|unread| unread.action != action) {
            let assumed = format!("what was set aside is for other hosts: {what}");
            self.unread.push(Unread { action, assumption: Assumption::new(Standing::NotEstablished, assumed) });
        }
        self.put_aside(place, what);
    }

    /// The name of the file that an entry stands in, and its place there: `list.txt:3:1`.
    #[must_use]
    pub fn locate(&self, place: Place) -> String {
        match self.documents.get(usize::from(place.document)) {
            Some(document) => format!("{}:{place}", document.name()),
            None => place.to_string(),
        }
    }

    /// The mistake of an entry's pattern, at its place in the file.
    #[must_use]
    pub fn pattern_error(&self, entry: &Entry, error: &PatternError) -> PlaceError {
        let document = self.documents.get(usize::from(entry.place.document)).or(self.documents.first());
        let document = document.cloned().unwrap_or_else(|| Document::new("", ""));
        let span = span_in(&document, entry, &error.span);
        document.error(span, error.problem.to_string(), error.mend.clone())
    }
}

/// The bytes of a mistake in a pattern: inside it where the file writes it as it is, else all that is written there.
fn span_in(document: &Document, entry: &Entry, inner: &Range<usize>) -> Range<usize> {
    let start = document.offset(entry.place.line as usize, entry.place.column as usize);
    let rest = &document.text()[start..];
    if rest.starts_with(entry.pattern()) {
        return if inner.is_empty() {
            start..start + entry.pattern.len()
        } else {
            start + inner.start..start + inner.end
        };
    }
    let line = rest.lines().next().unwrap_or_default();
    let quote = line.chars().next().filter(|first| matches!(first, '"' | '\''));
    let end = match quote {
        Some(quote) => line[1..].find(quote).map_or(line.len(), |at| at + 2),
        None => line.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(line.len()),
    };
    start..start + end
}

impl Entry {
    /// An enabled entry without conditions, as it was typed somewhere.
    pub fn typed(pattern: impl AsRef<str>, action: Action) -> Self {
        Self::new(pattern, action, Place::default())
    }

    /// An enabled entry without conditions.
    pub fn new(pattern: impl AsRef<str>, action: Action, place: Place) -> Self {
        Self::of_piece(pattern.as_ref().into(), action, place)
    }

    pub(super) fn of_piece(pattern: Substr, action: Action, place: Place) -> Self {
        Self { pattern, place, action, enabled: true, more: None }
    }

    /// The same entry at the start of a line of its file, from 1.
    #[must_use]
    pub fn on_line(self, line: u32) -> Self {
        Self { place: Place { document: 0, line, column: 1 }, ..self }
    }

    /// The pattern, as the file has it.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// What is done with what it matches.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// Whether it counts.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    pub(in crate::policy) fn shared_pattern(&self) -> &Substr {
        &self.pattern
    }

    /// Where its pattern stands.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Its line in its file, from 1; none where it was typed.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        Some(self.place.line as usize).filter(|line| *line > 0)
    }

    /// How this one is read, where that differs from the rest of its file.
    #[must_use]
    pub fn dialect(&self) -> Option<Dialect> {
        self.more.as_ref().and_then(|more| more.dialect)
    }

    /// The ports that it is for; none means all.
    #[must_use]
    pub fn ports(&self) -> &[Ports] {
        self.more.as_ref().map_or(&[], |more| &more.ports)
    }

    /// The clients that it is for; none means all.
    #[must_use]
    pub fn clients(&self) -> &[Network] {
        self.more.as_ref().map_or(&[], |more| &more.clients)
    }

    /// What it is there for.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.more.as_ref().and_then(|more| more.note.as_deref())
    }

    /// What it is called: the id of a rule, the object or list that the entry is part of.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.more.as_ref().and_then(|more| more.name.as_deref())
    }

    /// The same entry with another pattern.
    #[must_use]
    pub fn with_pattern(self, pattern: &str) -> Self {
        Self { pattern: pattern.into(), ..self }
    }

    /// The same entry, for another action.
    #[must_use]
    pub fn with_action(self, action: Action) -> Self {
        Self { action, ..self }
    }

    /// The same entry, switched on or off.
    #[must_use]
    pub fn with_enabled(self, enabled: bool) -> Self {
        Self { enabled, ..self }
    }

    /// The same entry, read as another dialect reads it.
    #[must_use]
    pub fn with_dialect(self, dialect: Option<Dialect>) -> Self {
        self.with(dialect, |more, dialect| more.dialect = Some(dialect))
    }

    /// The same entry, read as the rest of its file.
    #[must_use]
    pub fn without_dialect(mut self) -> Self {
        if let Some(more) = &mut self.more {
            more.dialect = None;
        }
        self
    }

    /// The same entry, for these ports alone.
    #[must_use]
    pub fn with_ports(self, ports: Vec<Ports>) -> Self {
        self.with(Some(ports).filter(|ports| !ports.is_empty()), |more, ports| more.ports = ports)
    }

    /// The same entry, for these clients alone.
    #[must_use]
    pub fn with_clients(self, clients: Vec<Network>) -> Self {
        self.with(Some(clients).filter(|clients| !clients.is_empty()), |more, clients| more.clients = clients)
    }

    /// The same entry, for every port.
    #[must_use]
    pub fn without_ports(mut self) -> Self {
        if let Some(more) = &mut self.more {
            more.ports.clear();
        }
        self
    }

    /// The same entry, for every client.
    #[must_use]
    pub fn without_clients(mut self) -> Self {
        if let Some(more) = &mut self.more {
            more.clients.clear();
        }
        self
    }

    /// The same entry with a note.
    #[must_use]
    pub fn with_note(self, note: Option<String>) -> Self {
        self.with(note, |more, note| more.note = Some(note))
    }

    /// The same entry with a name.
    #[must_use]
    pub fn with_name(self, name: Option<String>) -> Self {
        self.with(name, |more, name| more.name = Some(name))
    }

    fn with<T>(mut self, value: Option<T>, set: impl FnOnce(&mut More, T)) -> Self {
        if let Some(value) = value {
            set(self.more.get_or_insert_default(), value);
        }
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'e> {
            pattern: &'e str,
            line: u32,
        }
        Shown { pattern: &self.pattern, line: self.place.line }.serialize(serializer)
    }
}
