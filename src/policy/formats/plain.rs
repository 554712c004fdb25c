//! The plain list: one entry on each line. `#` and `;` begin a comment, at the start of a line or behind a blank.
//!
//! A list that was copied from a page, a table or a program is read as well: the bullet or number before an entry is no
//! part of it, nor are quotes around it, a comma or semicolon behind it, or a remark in parentheses; and of the row of a
//! table, with tabs between its cells, the hosts are taken. What is left out is said. A log is refused.

use std::fmt::Write as _;

use super::super::Action;
use super::super::condition::Network;
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
    if let Some(log) = log_in(document.text()) {
        let help = "give it to `middlebox policy impact --traffic` beside a list".to_owned();
        return Err(document.error(0..log.len(), "this is a log of connections, and no list", Some(help)));
    }
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
    // What stood around entries: where first, what, and around how many.
    let mut trimmed: Option<(Place, String, usize)> = None;
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
        let place_of = |part: &str| {
            let before = (part.as_ptr() as usize).saturating_sub(line.as_ptr() as usize);
            let column = u32::try_from(line[..before].chars().count() + 1).unwrap_or(u32::MAX);
            Place { document: 0, line: number, column }
        };
        let entry = without_bullet(entry.trim_end());
        let bare = bare(entry);
        if bare.len() < entry.len() {
            trimmed.get_or_insert_with(|| (place_of(entry), entry.replacen(bare, "…", 1), 0)).2 += 1;
        }
        let entry = bare;
        let mut add = |entry: &str| {
            let piece = document.piece(entry);
            list.entries.push(Entry::of_piece(piece, Action::Bypass, place_of(entry)).with_note(note.clone()));
        };
        if !entry.contains('\t') {
            add(entry);
            continue;
        }
        let mut hosts = entry.split([',', ';', ' ', '\t']).filter(|word| is_host(word)).peekable();
        if hosts.peek().is_none() {
            list.put_aside(place_of(entry), "this row of a table names no host");
            continue;
        }
        hosts.for_each(add);
    }
    if let Some((place, what, count)) = trimmed {
        let others = match count {
            1 => String::new(),
            more => format!("; so it is with {} more", more - 1),
        };
        list.put_aside(place, format!("what stands around this entry (`{what}`) is no part of it{others}"));
    }
}

/// The first line of a log, if the text is one.
fn log_in(text: &str) -> Option<&str> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next()?;
    let is_head = |line: &&str| ["#Fields:", "#Software:", "#Version:"].iter().any(|head| line.starts_with(head));
    let is_log = is_head(&first) || crate::policy::traffic::is_line_of_a_log(first.as_bytes());
    is_log.then_some(first)
}

/// An entry without quotes around it, without a separator behind it, and without a remark in parentheses.
fn bare(entry: &str) -> &str {
    let unseparated = entry.trim_end_matches([',', ';']).trim_end();
    let unremarked = match unseparated.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (")) {
        Some((before, _)) => before.trim_end(),
        None => unseparated,
    };
    let quoted = ['"', '\'', '`'].iter().find_map(|quote| unremarked.strip_prefix(*quote)?.strip_suffix(*quote));
    let bare = quoted.unwrap_or(unremarked).trim();
    if bare.is_empty() { entry } else { bare }
}

/// An entry without the bullet or the number of a list item before it.
fn without_bullet(entry: &str) -> &str {
    let rest = match entry.trim_start_matches(|sign: char| sign.is_ascii_digit()) {
        numbered if numbered.len() < entry.len() => numbered.strip_prefix(['.', ')']),
        _ => entry.strip_prefix(['-', '*', '+', '•', '·', '‣', '◦', '▪', '–', '—']),
    };
    let item = rest.filter(|rest| rest.starts_with(char::is_whitespace)).map(str::trim_start);
    item.filter(|item| !item.is_empty()).unwrap_or(entry)
}

/// Whether a word of a table is a host, a pattern of hosts or a network, and not a word of a sentence.
fn is_host(word: &str) -> bool {
    let name = word.split_once("://").map_or(word, |(_, rest)| rest);
    let name = name.split(['/', ':']).next().unwrap_or_default();
    let (before, last) = name.rsplit_once('.').unwrap_or_default();
    let is_name = !before.is_empty()
        && last.len() > 1
        && last.chars().all(|sign| sign.is_alphanumeric() || sign == '-')
        && last.starts_with(char::is_alphabetic)
        && before.chars().all(|sign| sign.is_alphanumeric() || "-_.*^".contains(sign));
    is_name || (word.contains(['.', ':']) && word.parse::<Network>().is_ok())
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
    is_bare(entry, &[])
        && !pattern.starts_with(['#', ';'])
        && comment_in(pattern).is_none()
        && without_bullet(pattern) == pattern
        && bare(pattern) == pattern
        && !pattern.contains('\t')
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
    fn bullets_and_numbers_are_no_part_of_an_entry() {
        let text =
            "• *.a.example\n- b.example # pins\n* *.c.example\n 1. d.example\n12) e.example\n*.f.example\n1.2.3.4\n";
        let told: Vec<_> = list(text).entries.iter().map(|e| format!("{} {}", e.place(), e.pattern())).collect();
        assert_eq!(
            told,
            [
                "1:3 *.a.example",
                "2:3 b.example",
                "3:3 *.c.example",
                "4:5 d.example",
                "5:5 e.example",
                "6:1 *.f.example",
                "7:1 1.2.3.4"
            ]
        );
    }

    #[test]
    fn of_a_table_the_hosts_are_taken() {
        let text = "ID\tAddresses\tPorts\n7\tmail.a.example, *.b.example 192.0.2.0/24\tTCP: 443, 80\n\
                    *.push.c.example\t5223\tVersion 10.14. Device activation\n";
        let list = list(text);
        let told: Vec<_> = list.entries.iter().map(|e| format!("{} {}", e.place(), e.pattern())).collect();
        assert_eq!(told, ["2:3 mail.a.example", "2:19 *.b.example", "2:31 192.0.2.0/24", "3:1 *.push.c.example"]);
        assert_eq!(list.aside.len(), 1);
        assert_eq!(list.aside[0].what, "this row of a table names no host");
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
