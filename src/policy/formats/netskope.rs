//! Netskope: a URL list as CSV, one URL on each line, and as JSON of its API (docs.netskope.com, "URL Lists"; REST API v2,
//! `/policy/urllist`).

use serde_json::json;

use super::super::Action;
use super::say::{Says, is_bare};
use super::tree::{self, Node, Value, place};
use super::{Entry, Format, List, Sample, Spec, plain};
use crate::source::{Document, PlaceError, Places};

pub(super) static CSV: Spec = Spec {
    name: "netskope-csv",
    title: "a table in CSV, as Netskope's URL lists are",
    dialects: &["netskope-url-list", "netskope-domain"],
    recognises: |sample: &Sample<'_>| {
        sample.extension == "csv" || header(sample.text).is_some() || has_columns(sample.text)
    },
    read: read_csv,
    says: Says::PATTERNS,
    can_write: |_, entry| is_bare(entry, &[]) && !entry.pattern().starts_with(['#', ';']),
    write: write_csv,
};

pub(super) static JSON: Spec = Spec {
    name: "netskope-json",
    title: "JSON of the Netskope API",
    dialects: &["netskope-url-list", "netskope-domain"],
    recognises: |sample: &Sample<'_>| {
        let has = |key: &str| sample.text.contains(key);
        sample.is_json() && has("\"urls\"") && (has("\"exact\"") || has("\"regex\"") || has("\"json_version\""))
    },
    read: read_json,
    says: Says::PATTERNS,
    can_write: |_, _| true,
    write: write_json,
};

/// Whether there are several lines, and a comma in some of them that belongs to no comment.
fn has_columns(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let has = |line: &str| {
        let entry = line.split([' ', '\t']).next().unwrap_or_default();
        entry.trim_end_matches(',').contains(',') && !line.contains(['{', '(', '=', '\\'])
    };
    lines.clone().count() > 1 && lines.any(has)
}

/// Which column holds the hosts, where the first line that says anything is a heading.
fn header(text: &str) -> Option<usize> {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(['#', ';']))?;
    first.split(',').map(|name| name.trim().trim_matches('"')).position(is_heading)
}

fn is_heading(name: &str) -> bool {
    let names = ["url", "urls", "host", "hosts", "hostname", "domain", "domains", "destination", "fqdn"];
    names.iter().any(|heading| heading.eq_ignore_ascii_case(name))
}

/// Whether a column says what an entry is there for.
fn is_about(name: &str) -> bool {
    let names = ["category", "comment", "comments", "description", "note", "notes", "reason", "serviceareadisplayname"];
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn read_csv(document: &Document) -> Result<List, PlaceError> {
    let mut list = List::new(Format(&CSV), document);
    list.dialect = "netskope-url-list".parse().ok();
    let text = document.text();
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut places = document.places();
    let mut record = csv::StringRecord::new();
    let header = header(text);
    let mut heading = header;
    // The columns that say something about an entry, where the heading names such columns; and whether there are more
    // columns than a URL list and its notes have.
    let (mut about, mut wide): (Vec<usize>, bool) = (Vec::new(), false);
    loop {
        let wrong = |error: &csv::Error| {
            let at = error.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(0));
            document.error(at..at + 1, error.to_string(), None)
        };
        if !reader.read_record(&mut record).map_err(|error| wrong(&error))? {
            break;
        }
        let start = record.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(0));
        // A record begins at its first byte that is none of a line end.
        let start = start + text[start..].len() - text[start..].trim_start().len();
        let is_comment = record.get(0).is_some_and(|first| first.starts_with(['#', ';']));
        let column = header.filter(|_| !is_comment).unwrap_or(0);
        let first = record.get(column).unwrap_or_default();
        if first.is_empty() {
            if header.is_some() && record.iter().any(|field| !field.is_empty()) {
                list.put_aside(place(&mut places, start), "this row of a table names no host");
            }
            continue;
        }
        let record_text = &text[start..];
        let before: usize = record.iter().take(column).map(str::len).sum();
        let offset = match column {
            0 => 0,
            _ => record_text.get(before..).and_then(|rest| rest.find(first)).map_or(0, |at| before + at),
        };
        let quoted = record_text[offset..].starts_with('"');
        let at = place(&mut places, start + offset + usize::from(quoted));
        if !is_comment && heading.take().is_some() {
            list.put_aside(at, format!("the heading {first} is no entry"));
            about = (0..record.len()).filter(|at| record.get(*at).is_some_and(is_about)).collect();
            wide = record.len() > 2;
            list.dialect = list.dialect.filter(|_| !wide);
        } else if let Some(comment) = first.strip_prefix(['#', ';']) {
            list.comments.push((list.entries.len(), comment.trim().to_owned()));
        } else {
            let others = record.iter().enumerate().filter(|(at, field)| *at != column && !field.is_empty());
            let others = others.filter(|(at, _)| about.is_empty() || about.contains(at));
            let note = others.map(|(_, field)| field).collect::<Vec<_>>().join(", ");
            let note = Some(note).filter(|note| !note.is_empty());
            // A cell of such a table may hold several hosts.
            let is_gap = |sign: char| wide && (matches!(sign, ',' | ';') || sign.is_whitespace());
            for host in first.split(is_gap).filter(|host| !host.is_empty()) {
                list.entries.push(Entry::new(host, Action::Bypass, at).with_note(note.clone()));
            }
        }
    }
    Ok(list)
}

fn write_csv(list: &List) -> String {
    let field = |text: &str| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let mut text = String::new();
    let mut comments = list.comments.iter().peekable();
    let one = |comment: &str| format!("# {}\n", plain::one_line(comment).replace([',', '"'], " "));
    // An entry that reads like a heading, or whose note does, is none where a heading stands above it.
    let first = list.entries.first();
    if first.is_some_and(|entry| {
        is_heading(entry.pattern())
            || entry.note().is_some_and(|note| note.split(',').any(|word| is_heading(word.trim())))
    }) {
        text.push_str("url\n");
    }
    for (number, entry) in list.entries.iter().enumerate() {
        while let Some((_, comment)) = comments.next_if(|(before, _)| *before <= number) {
            text.push_str(&one(comment));
        }
        text.push_str(&field(entry.pattern()));
        if let Some(note) = entry.note() {
            text.push(',');
            text.push_str(&field(&plain::one_line(note)));
        }
        text.push('\n');
    }
    text.extend(comments.map(|(_, comment)| one(comment)));
    text
}

fn read_json(document: &Document) -> Result<List, PlaceError> {
    let root = tree::json(document)?;
    let mut list = List::new(Format(&JSON), document);
    list.dialect = "netskope-url-list".parse().ok();
    take(&mut list, &mut document.places(), &root, None, 4);
    Ok(list)
}

/// Lists of URLs under a name, arrays of them, and whatever holds them.
fn take(list: &mut List, places: &mut Places<'_>, node: &Node, name: Option<&str>, depth: usize) {
    match &node.value {
        Value::Items(items) => items.iter().for_each(|item| take(list, places, item, name, depth)),
        Value::Fields(fields) => {
            let own = node.field("name").and_then(Node::text).or(name);
            if let Some(urls) = node.field("urls") {
                let title = own.unwrap_or("this list");
                if node.field("type").and_then(Node::text) == Some("regex") {
                    let what = format!("{title} is a list of regular expressions, which no dialect reads");
                    return list.put_aside(place(places, node.at), what);
                }
                for url in urls.items() {
                    let at = place(places, url.at);
                    match &url.value {
                        Value::Text(text) => list
                            .entries
                            .push(Entry::new(text.as_str(), Action::Bypass, at).with_name(own.map(ToOwned::to_owned))),
                        _ => list.put_aside(at, "this is no URL"),
                    }
                }
                list.name = list.name.take().or(own.map(ToOwned::to_owned));
                return;
            }
            for field in fields {
                match field.node.value {
                    Value::Items(_) | Value::Fields(_) if depth > 0 => take(list, places, &field.node, own, depth - 1),
                    _ if ["id", "name", "status", "total"].contains(&field.key.as_str()) => {}
                    _ => list.put_aside(place(places, field.at), format!("`{}` is no list of URLs", field.key)),
                }
            }
        }
        _ => list.put_aside(place(places, node.at), "this is no list of URLs"),
    }
}

fn write_json(list: &List) -> String {
    let title = list.name.as_deref().unwrap_or("Bypass list");
    let runs = list.entries.chunk_by(|one, other| one.name() == other.name());
    let mut values: Vec<_> = runs
        .map(|run| {
            let urls: Vec<_> = run.iter().map(Entry::pattern).collect();
            json!({"name": run[0].name().unwrap_or(title), "data": {"urls": urls, "type": "exact"}})
        })
        .collect();
    let json = if values.len() == 1 { values.remove(0) } else { values.into() };
    format!("{json:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_says_which_column_holds_the_hosts() {
        let text = "Name,Type,\"URL\"\n# ours\nokta,exact,*.okta.com\ncdn,exact,\"cdn.example\"\nempty,exact,\n";
        let list = super::super::read(&Document::new("list.csv", text), None).unwrap();
        let told: Vec<_> =
            list.entries.iter().map(|e| format!("{} {} {:?}", e.place(), e.pattern(), e.note())).collect();
        assert_eq!(told, ["3:12 *.okta.com Some(\"okta, exact\")", "4:12 cdn.example Some(\"cdn, exact\")"]);
        let aside: Vec<_> = list.aside.iter().map(|aside| aside.what.as_str()).collect();
        assert_eq!(aside, ["the heading URL is no entry", "this row of a table names no host"]);
        assert_eq!(list.comments.len(), 1);
    }

    #[test]
    fn blank_lines_and_comments_before_the_heading_make_no_entry_of_it() {
        for text in ["\nURL,Comment\na.example,x\n", "# ours, url\n\n  URL\na.example\n"] {
            let list = super::super::read(&Document::new("list.csv", text), None).unwrap();
            assert_eq!(list.entries.iter().map(Entry::pattern).collect::<Vec<_>>(), ["a.example"], "{text:?}");
        }
    }

    #[test]
    fn an_entry_that_reads_like_a_heading_stays_an_entry() {
        for text in ["url\nhosts\na.example\n", "url\nb.example,domain\na.example\n"] {
            let format = Some(Format(&CSV));
            let list = super::super::read(&Document::new("x", text), format).unwrap();
            let again = super::super::read(&Document::new("x", write_csv(&list)), format).unwrap();
            assert_eq!((again.entries.len(), again.aside.len()), (2, 1), "{text:?}");
        }
    }
}
