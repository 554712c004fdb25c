//! mitmproxy: the options `ignore_hosts` and `allow_hosts`, in `config.yaml` and on its command line (mitmproxy docs,
//! "Options"; `addons/next_layer.py`).
//!
//! What `ignore_hosts` matches is a bypass. With `allow_hosts`, everything that it does not match is one, too.

use std::fmt::Write as _;

use saphyr_parser::{Event, Parser, Span};

use super::super::Action;
use super::say::Says;
use super::words::Statements;
use super::{Entry, Format, List, Place, Sample, Spec};
use crate::source::{Document, PlaceError};

pub(super) static YAML: Spec = Spec {
    name: "mitmproxy-yaml",
    title: "a mitmproxy config.yaml",
    dialects: &["mitmproxy"],
    recognises: |sample: &Sample<'_>| {
        let is_key = |line: &str| ["ignore_hosts:", "allow_hosts:"].iter().any(|key| line.starts_with(key));
        sample.text.lines().any(is_key)
    },
    read: read_yaml,
    says: SAYS,
    can_write,
    write: write_yaml,
};

pub(super) static ARGUMENTS: Spec = Spec {
    name: "mitmproxy-arguments",
    title: "a mitmproxy command line",
    dialects: &["mitmproxy"],
    recognises: |sample: &Sample<'_>| {
        ["--ignore-hosts", "--allow-hosts", "--set ignore_hosts=", "--set allow_hosts="]
            .iter()
            .any(|flag| sample.text.contains(flag))
    },
    read: read_arguments,
    says: SAYS,
    can_write: |list, entry| can_write(list, entry) && !entry.pattern().contains(['\'', '\n', '\r']),
    write: write_arguments,
};

fn blank(document: &Document, spec: &'static Spec) -> List {
    let mut list = List::new(Format(spec), document);
    list.dialect = "mitmproxy".parse().ok();
    list
}

/// Takes one value of an option.
fn take(list: &mut List, option: &str, value: &str, place: Place) {
    match option {
        "ignore_hosts" => list.entries.push(Entry::new(value, Action::Bypass, place)),
        _ => {
            list.default = Some(Action::Bypass);
            list.entries.push(Entry::new(value, Action::Inspect, place));
        }
    }
}

fn read_yaml(document: &Document) -> Result<List, PlaceError> {
    let mut list = blank(document, &YAML);
    let place = |span: &Span, quoted: bool| Place {
        document: 0,
        line: u32::try_from(span.start.line()).unwrap_or(u32::MAX),
        column: u32::try_from(span.start.col() + 1 + usize::from(quoted)).unwrap_or(u32::MAX),
    };
    // The keys that are open, from the outside in; `None` where one is to come next, or in a sequence.
    let mut depth = 0;
    let mut key: Option<String> = None;
    for event in Parser::new_from_str(document.text()) {
        let (event, span) = event.map_err(|error| {
            let at = document.offset(error.marker().line(), error.marker().col() + 1);
            // An alias is the one thing in YAML that begins like a wildcard.
            let alias = document.line(error.marker().line()).contains("- *");
            let help =
                alias.then_some("put the entry into quotes; without them YAML takes what begins with `*` for an alias");
            document.error(at..at + 1, error.info().to_owned(), help.map(ToOwned::to_owned))
        })?;
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => depth += 1,
            Event::MappingEnd | Event::SequenceEnd => {
                depth -= 1;
                if depth == 1 {
                    key = None;
                }
            }
            Event::Scalar(text, style, ..) => {
                let quoted = style != saphyr_parser::ScalarStyle::Plain;
                match (&key, depth) {
                    (None, 1) => {
                        if !matches!(&*text, "ignore_hosts" | "allow_hosts") {
                            list.put_aside(place(&span, quoted), format!("the option {text} is no bypass rule"));
                        }
                        key = Some(text.into_owned());
                    }
                    (Some(option), _) => {
                        if matches!(option.as_str(), "ignore_hosts" | "allow_hosts") && (quoted || !text.is_empty()) {
                            take(&mut list, &option.clone(), &text, place(&span, quoted));
                        }
                        if depth == 1 {
                            key = None;
                        }
                    }
                    (None, _) => list.put_aside(place(&span, quoted), "this belongs to no option"),
                }
            }
            Event::Alias(_) => list.put_aside(place(&span, false), "a reference to another value is not followed"),
            _ => {}
        }
    }
    Ok(list)
}

fn read_arguments(document: &Document) -> Result<List, PlaceError> {
    let mut list = blank(document, &ARGUMENTS);
    let mut statements = Statements::of_device(document);
    while let Some(words) = statements.next()? {
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let (flag, inline) = match word.text.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
                _ => (&*word.text, None),
            };
            let option = match flag {
                "--ignore-hosts" => "ignore_hosts",
                "--allow-hosts" => "allow_hosts",
                "--set" => {
                    let Some(next) = words.next() else { continue };
                    match next.text.split_once('=') {
                        Some((option @ ("ignore_hosts" | "allow_hosts"), value)) => {
                            let skipped = u32::try_from(option.chars().count() + 1).unwrap_or(0);
                            let place = Place { column: next.place.column + skipped, ..next.place };
                            take(&mut list, option, value.trim_matches(['\'', '"']), place);
                        }
                        _ => list.put_aside(next.place, format!("`--set {}` is no bypass rule", next.text)),
                    }
                    continue;
                }
                // The program itself, and the end of a line that goes on.
                "mitmproxy" | "mitmdump" | "mitmweb" | "\\" => continue,
                other => {
                    list.put_aside(word.place, format!("`{other}` is no bypass rule"));
                    continue;
                }
            };
            match inline {
                Some(value) => {
                    let skipped = u32::try_from(flag.len() + 1).unwrap_or(0);
                    let place = Place { column: word.place.column + skipped, ..word.place };
                    take(&mut list, option, value.trim_matches(['\'', '"']), place);
                }
                None => {
                    let Some(value) = words.next() else {
                        let help =
                            Some(format!("write an expression behind it, such as `{flag} '^acme\\.okta\\.com:443$'`"));
                        return Err(document.error(
                            word.at..word.at + flag.len(),
                            format!("`{flag}` has no value"),
                            help,
                        ));
                    };
                    take(&mut list, option, &value.text, value.place);
                }
            }
        }
    }
    Ok(list)
}

/// Where something is to be inspected, everything else is bypassed, and the other way round.
const SAYS: Says = Says {
    actions: &[Action::Bypass, Action::Inspect],
    defaults: &[Action::Bypass, Action::Inspect],
    ..Says::PATTERNS
};

fn can_write(list: &List, entry: &Entry) -> bool {
    let inspects_some = list.default == Some(Action::Bypass);
    !entry.pattern().is_empty() && (entry.action() == Action::Bypass || inspects_some)
}

/// The expressions to ignore, and those to allow. Where everything is to be bypassed, every host is ignored.
fn options(list: &List) -> [(&'static str, Vec<&str>); 2] {
    let of = |action| list.entries.iter().filter(move |entry| entry.action() == action).map(Entry::pattern).collect();
    let (mut ignore, allow): (Vec<_>, Vec<_>) = (of(Action::Bypass), of(Action::Inspect));
    if list.default == Some(Action::Bypass) && allow.is_empty() {
        ignore.push(".*");
    }
    [("ignore_hosts", ignore), ("allow_hosts", allow)]
}

fn write_yaml(list: &List) -> String {
    let mut text = String::new();
    for (option, values) in options(list) {
        if !values.is_empty() {
            let _ = writeln!(text, "{option}:");
            for value in values {
                // JSON strings are YAML.
                let _ = match value.contains('\'') || value.chars().any(char::is_control) {
                    true => writeln!(text, "  - {}", serde_json::Value::from(value)),
                    false => writeln!(text, "  - '{value}'"),
                };
            }
        }
    }
    text
}

fn write_arguments(list: &List) -> String {
    let mut words = Vec::new();
    for (option, values) in options(list) {
        let flag = format!("--{}", option.replace('_', "-"));
        words.extend(values.into_iter().map(|value| format!("{flag} '{value}'")));
    }
    words.join(" ") + "\n"
}
