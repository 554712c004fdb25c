//! Statements of configuration languages: words on lines, with quotes that may hold blanks and line ends.

use std::borrow::Cow;

use super::Place;
use crate::source::{Document, PlaceError, Places};

/// One word of a statement, without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) quoted: bool,
    /// Where its text begins, behind a quote.
    pub(super) place: Place,
    /// The byte offset of its first byte, the quote included.
    pub(super) at: usize,
}

/// The statements of a document, one after the other.
pub(super) struct Statements<'d> {
    document: &'d Document,
    at: usize,
    places: Places<'d>,
    /// Whether a backslash at the end of a line continues it, as in Squid; else one in quotes takes the next sign as it
    /// is.
    continues: bool,
}

impl<'d> Statements<'d> {
    /// Lines of network devices: a quoted word may go over several lines, and `#` begins a comment at a line's start.
    pub(super) fn of_device(document: &'d Document) -> Self {
        Self { document, at: 0, places: document.places(), continues: false }
    }

    /// Lines of Squid: a backslash at the end continues a line, and `#` begins a comment before any word.
    pub(super) fn of_squid(document: &'d Document) -> Self {
        Self { continues: true, ..Self::of_device(document) }
    }

    /// The words of the next statement that has some.
    pub(super) fn next(&mut self) -> Result<Option<Vec<Word<'d>>>, PlaceError> {
        let text = self.document.text();
        let mut words = Vec::new();
        loop {
            let rest = &text[self.at..];
            let Some(first) = rest.chars().next() else {
                return Ok(Some(words).filter(|words| !words.is_empty()));
            };
            let is_comment = first == '#' && (words.is_empty() || self.continues);
            match first {
                '\n' => {
                    self.at += 1;
                    if !words.is_empty() {
                        return Ok(Some(words));
                    }
                }
                '\\' if self.continues && rest[1..].trim_start_matches([' ', '\t', '\r']).starts_with('\n') => {
                    self.at += rest.find('\n').unwrap_or(rest.len() - 1) + 1;
                }
                _ if is_comment => self.at += rest.find('\n').unwrap_or(rest.len()),
                blank if blank.is_whitespace() => self.at += blank.len_utf8(),
                _ => words.push(self.word(rest)?),
            }
        }
    }

    fn word(&mut self, rest: &'d str) -> Result<Word<'d>, PlaceError> {
        let at = self.at;
        let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
        let quote = match rest.as_bytes()[0] {
            b'"' => Some('"'),
            // Without its other half it is an apostrophe.
            b'\'' if line[1..].contains('\'') => Some('\''),
            _ => None,
        };
        let (text, length) = match quote {
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (Cow::Borrowed(&rest[..end]), end)
            }
            Some(quote) => {
                let within = if self.continues { line } else { rest };
                let Some((text, length)) = quoted(&within[1..], quote, !self.continues) else {
                    let help = format!("close it with another {quote}");
                    return Err(self.document.error(at..at + 1, "this quote is not closed", Some(help)));
                };
                (text, length + 2)
            }
        };
        self.at += length;
        let (line, column) = self.places.at(at + usize::from(quote.is_some()));
        Ok(Word { text, quoted: quote.is_some(), place: Place { document: 0, line, column }, at })
    }
}

/// What stands before the closing quote, and its length as written.
fn quoted(rest: &str, quote: char, escapes: bool) -> Option<(Cow<'_, str>, usize)> {
    let mut text: Option<String> = None;
    let mut signs = rest.char_indices();
    while let Some((at, sign)) = signs.next() {
        if sign == quote {
            return Some((text.map_or(Cow::Borrowed(&rest[..at]), Cow::Owned), at));
        }
        if sign == '\\' && escapes && quote == '"' {
            let owned = text.get_or_insert_with(|| rest[..at].to_owned());
            match signs.next()? {
                (_, next @ ('"' | '\\' | '\'')) => owned.push(next),
                (_, next) => owned.extend(['\\', next]),
            }
        } else if let Some(owned) = &mut text {
            owned.push(sign);
        }
    }
    None
}

/// A text in double quotes, as devices write it.
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(mut statements: Statements<'_>) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(words) = statements.next().unwrap() {
            told.push(words.iter().map(|word| format!("{}@{}", word.text, word.place)).collect::<Vec<_>>().join(" "));
        }
        told
    }

    #[test]
    fn devices_quote_over_lines() {
        let document = Document::new("x", "#c\r\nset a \"b \\\"c\\\"\r\n d\"\tit's 'e f'\r\n\r\nend");
        assert_eq!(
            told(Statements::of_device(&document)),
            ["set@2:1 a@2:5 b \"c\"\r\n d@2:8 it's@3:5 e f@3:11", "end@5:1"]
        );
        let open = Document::new("x", "end\nset a \"b");
        let mut statements = Statements::of_device(&open);
        statements.next().unwrap();
        assert!(statements.next().unwrap_err().to_string().starts_with("x:2:7: this quote is not closed"));
    }

    #[test]
    fn squid_continues_lines_and_comments_anywhere() {
        let document = Document::new("x", "acl a b \\\r\n  c # d\nacl \"e#\" f\n");
        assert_eq!(told(Statements::of_squid(&document)), ["acl@1:1 a@1:5 b@1:7 c@2:3", "acl@3:1 e#@3:6 f@3:10"]);
    }

    proptest! {
        #[test]
        fn what_is_quoted_reads_back(text in r"\PC{0,12}", more in "[\"'\\\\ #a\n]{0,12}") {
            for text in [text, more] {
                let document = Document::new("x", format!("set {} end", quote(&text)));
                let words = Statements::of_device(&document).next().unwrap().unwrap();
                prop_assert_eq!(&words[1].text, &text);
                prop_assert_eq!(words.len(), 3);
            }
        }
    }
}
