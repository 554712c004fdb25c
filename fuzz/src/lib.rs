//! What the targets check: nothing that is read brings a reader down, and what was written reads as it was.

use middlebox::policy::formats::{self, Entry, Format, List};
use middlebox::policy::{Action, Dialect};
use middlebox::source::Document;

/// Reads a text in one format, decides with it, and writes it again.
pub fn format(name: &str, text: &str) {
    let format: Format = name.parse().expect("the target names a format");
    if let Ok(list) = formats::read(&Document::new("fuzzed", text), Some(format)) {
        follow(&list, format);
    }
}

/// Reads a text in the format that it is recognised as.
pub fn detected(text: &str) {
    if let Ok(list) = formats::read(&Document::new("fuzzed", text), None) {
        follow(&list, list.format);
    }
}

/// Reads a text as a pattern of every dialect, and compares it with hosts and with itself.
pub fn patterns(text: &str) {
    for dialect in Dialect::all() {
        match dialect.parse(text) {
            Ok(pattern) => {
                for host in ["okta.com", "a.b.okta.com", "10.0.0.1", "", text] {
                    let _ = pattern.matches_name(host);
                }
                assert!(pattern.warnings().iter().all(|warning| text.get(warning.span.clone()).is_some()));
            }
            Err(error) => assert!(text.get(error.span.clone()).is_some(), "{dialect} {error:?}"),
        }
    }
}

fn follow(list: &List, format: Format) {
    for entry in &list.entries {
        let _ = list.locate(entry.place());
        if let Err(error) = list.dialect_or(None).parse(entry.pattern()) {
            let _ = list.pattern_error(entry, &error).to_string();
        }
    }
    let _ = list.under(None, None);
    let Ok(written) = formats::write(list, format) else { return };
    if list.script.is_some() || list.entries.is_empty() {
        return;
    }
    let again = formats::read(&Document::new("written", written.as_str()), Some(format));
    let again = again.unwrap_or_else(|error| panic!("{format}: {error}\n{written}"));
    assert_eq!(deciding(list), deciding(&again), "{format}\n{written}");
}

/// What decides, in the order in which it counts.
fn deciding(list: &List) -> Vec<(&str, Action, bool)> {
    let mut entries: Vec<_> = list.entries.iter().map(|entry: &Entry| (entry.pattern(), entry.action(), entry.enabled())).collect();
    if list.format.name().starts_with("mitmproxy") {
        entries.sort_by_key(|(_, action, _)| *action != Action::Bypass);
    }
    entries
}
