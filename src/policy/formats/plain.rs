//! The plain list: one entry on each line. `#` and `;` begin a comment, at the start of a line or behind a blank.

use std::fmt::Write as _;

use super::super::Action;
use super::say::{Says, is_bare};
use super::{Entry, Format, List, Place, Sample, Spec};
use crate::source::{Document, PlaceError};

pub(super) static SPEC: Spec = Spec {
    name: "list",
    title: "a plain list",
    dialects: &[],
    recognises: |_: &Sample<'_>| true,
    read,
    says: Says::PATTERNS,
    can_write: |_, entry| is_line(entry),
    write,
};

pub(super) fn read(document: &Document) -> Result<List, PlaceError> {
    let mut list = List::new(Format::PLAIN, document);
    lines(document, &mut list);
    if list.entries.is_empty() {
        let help = "write one host or pattern on each line, such as `okta.com`".to_owned();
        return Err(document.error(0..document.text().len(), "the list has no entry", Some(help)));
    }
    Ok(list)
}

/// Takes every line that is no comment as an entry.
pub(super) fn lines(document: &Document, list: &mut List) {
    for (line, number) in document.text().lines().zip(1u32..) {
        let rest = line.trim_start();
        if rest.is_empty() {
            continue;
        }
        if let Some(comment) = rest.strip_prefix(['#', ';']) {
            list.comments.push((list.entries.len(), comment.trim().to_owned()));
            continue;
        }
        let (entry, note) = match comment_in(rest) {
            Some((entry, note)) => (entry, Some(note.to_owned()).filter(|note| !note.is_empty())),
            None => (rest, None),
        };
        let column = u32::try_from(line[..line.len() - rest.len()].chars().count() + 1).unwrap_or(u32::MAX);
        let place = Place { document: 0, line: number, column };
        list.entries.push(Entry::new(entry.trim_end(), Action::Bypass, place).with_note(note));
    }
}

/// Splits a comment off the end of a line.
fn comment_in(line: &str) -> Option<(&str, &str)> {
    let at = line
        .char_indices()
        .zip(line.chars().skip(1))
        .find(|((_, blank), sign)| blank.is_whitespace() && matches!(sign, '#' | ';'));
    at.map(|((at, blank), _)| (&line[..at], line[at + blank.len_utf8() + 1..].trim()))
}

/// Whether a pattern can stand on a line and is no comment there.
pub(super) fn is_line(entry: &Entry) -> bool {
    let pattern = entry.pattern();
    is_bare(entry, &[]) && !pattern.starts_with(['#', ';']) && comment_in(pattern).is_none()
}

/// Writes an entry on each line, with its note behind it.
pub(super) fn write(list: &List) -> String {
    let mut text = String::new();
    let mut comments = list.comments.iter().peekable();
    for (at, entry) in list.entries.iter().enumerate() {
        while let Some((_, comment)) = comments.next_if(|(before, _)| *before <= at) {
            write_comment(&mut text, comment);
        }
        text.push_str(entry.pattern());
        if let Some(note) = entry.note() {
            let _ = write!(text, " # {}", one_line(note));
        }
        text.push('\n');
    }
    for (_, comment) in comments {
        write_comment(&mut text, comment);
    }
    text
}

fn write_comment(text: &mut String, comment: &str) {
    let _ = writeln!(text, "{}", format!("# {}", one_line(comment)).trim_end());
}

/// A text without line ends.
pub(super) fn one_line(text: &str) -> String {
    text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> List {
        super::super::read(&Document::new("list.txt", text), None).unwrap()
    }

    #[test]
    fn lines_are_entries_and_comments_stay() {
        let text = "\u{feff}# Okta.\r\n  *.okta.com\t# pins\r\n\r\n; Others.\r\nüber.example ; note\r\na#b\r\n#\r\n";
        let list = list(text);
        let told: Vec<_> =
            list.entries.iter().map(|e| format!("{} {} {:?}", e.place(), e.pattern(), e.note())).collect();
        assert_eq!(told, ["2:3 *.okta.com Some(\"pins\")", "5:1 über.example Some(\"note\")", "6:1 a#b None"]);
        let again = super::super::write(&list, Format::PLAIN).unwrap();
        assert_eq!(again, "# Okta.\n*.okta.com # pins\n# Others.\nüber.example # note\na#b\n#\n");
    }

    #[test]
    fn a_list_without_an_entry_says_so() {
        let error = |text: &str| super::super::read(&Document::new("l", text), None).unwrap_err().to_string();
        assert_eq!(error(" \n"), "l:1:1: the file is empty");
        assert!(error("# nothing\n").starts_with("l:1:1: the list has no entry"));
        assert!(error("a\0b").starts_with("l:1:2: this is not text"));
    }

    #[test]
    fn what_it_cannot_say_is_refused() {
        let place = Place::default();
        let mut list = list("a");
        list.entries = vec![
            Entry::new("a", Action::Block, place).with_enabled(false),
            Entry::new("b #c", Action::Bypass, place).with_ports(vec!["443".parse().unwrap()]),
        ];
        let refused = super::super::write(&list, Format::PLAIN).unwrap_err();
        let what: Vec<_> = refused.what.iter().map(|what| what.text.as_str()).collect();
        assert_eq!(
            what,
            ["that `a` is for block", "that `a` is switched off", "the ports of `b #c`", "`b #c` as an entry"]
        );
    }
}
