//! Bypass lists in the formats of products, and the patterns in them.

use std::net::{IpAddr, Ipv4Addr};

use middlebox::policy::formats::{self, Entry, Format, List};
use middlebox::policy::{Action, Dialect};
use middlebox::source::Document;

use super::text;

/// Reads a text in one format, decides with it, and writes it again.
pub(super) fn format(name: &str, bytes: &[u8]) {
    let format: Format = name.parse().expect("the target names a format");
    match formats::read(&Document::new("fuzzed", text(bytes)), Some(format)) {
        Ok(list) => follow(&list, format),
        Err(error) => drop(error.to_string()),
    }
}

/// Reads a text in the format that it is recognised as.
pub(super) fn detected(bytes: &[u8]) {
    if let Ok(list) = formats::read(&Document::new("fuzzed", text(bytes)), None) {
        follow(&list, list.format);
    }
}

/// Reads a text as a pattern of every dialect, and compares it with hosts, addresses and itself.
pub(super) fn patterns(bytes: &[u8]) {
    let text = text(bytes);
    for dialect in Dialect::all() {
        match dialect.parse(text) {
            Ok(pattern) => {
                for host in ["okta.com", "a.b.okta.com", "10.0.0.1", "", text] {
                    let _ = pattern.matches_name(host);
                }
                for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1])] {
                    let _ = pattern.matches_address(address);
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
    let decides = |entry: &'_ Entry| (entry.action(), entry.enabled());
    let entries = list.entries.iter().map(|entry| (entry.pattern(), decides(entry)));
    let mut entries: Vec<_> = entries.map(|(pattern, (action, enabled))| (pattern, action, enabled)).collect();
    if list.format.name().starts_with("mitmproxy") {
        entries.sort_by_key(|(_, action, _)| *action != Action::Bypass);
    }
    entries
}
