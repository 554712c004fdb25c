//! Whatever a list says: what a format takes, it gives back.

use middlebox::policy::Action;
use middlebox::policy::formats::{self, Entry, Format, List, Place};
use middlebox::source::Document;
use proptest::prelude::*;

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let pattern = prop_oneof![
        8 => r"(\*\.|\.|\^\.|)[a-z0-9-]{1,8}(\.[a-z]{1,6}){0,3}(:[1-9][0-9]{0,3}|)",
        1 => r"[ -~]{1,12}",
        1 => r"\PC{1,8}",
        1 => Just("10.0.0.0/8".to_owned()),
    ];
    let action =
        prop::sample::select(vec![Action::Bypass, Action::Bypass, Action::Bypass, Action::Inspect, Action::Block]);
    let text = || prop_oneof![3 => Just(None), 1 => r"[ -~]{1,12}".prop_map(Some)];
    let entry = (pattern, action, prop::bool::weighted(0.9), text(), text(), any::<bool>(), any::<bool>());
    let entry = entry.prop_map(|(pattern, action, enabled, note, name, ports, clients)| {
        let trimmed = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let mut entry = Entry::new(pattern, action, Place::default())
            .with_enabled(enabled)
            .with_note(trimmed(note))
            .with_name(trimmed(name));
        if ports && clients {
            entry = entry.with_ports(vec!["443".parse().unwrap(), "8000-8999".parse().unwrap()]);
        } else if clients {
            entry = entry.with_clients(vec!["10.0.0.0/8".parse().unwrap()]);
        }
        entry
    });
    prop::collection::vec(entry, 1..6)
}

fn default() -> impl Strategy<Value = Option<Action>> {
    prop::option::of(prop::sample::select(vec![Action::Bypass, Action::Inspect, Action::Block]))
}

/// What decides, without the note and the name.
#[derive(Debug, PartialEq)]
struct Deciding {
    pattern: String,
    action: Action,
    enabled: bool,
    ports: Vec<String>,
    clients: Vec<String>,
}

fn deciding(list: &List) -> Vec<Deciding> {
    let of = |entry: &Entry| Deciding {
        pattern: entry.pattern().to_owned(),
        action: entry.action(),
        enabled: entry.enabled(),
        ports: entry.ports().iter().map(ToString::to_string).collect(),
        clients: entry.clients().iter().map(ToString::to_string).collect(),
    };
    list.entries.iter().map(of).collect()
}

/// As a list that holds each name once keeps them: the first, or the first that is enabled.
fn once(all: Vec<Deciding>) -> Vec<Deciding> {
    let mut kept: Vec<Deciding> = Vec::new();
    for one in all {
        match kept.iter_mut().find(|known| known.pattern == one.pattern) {
            Some(known) if one.enabled && !known.enabled => *known = one,
            Some(_) => {}
            None => kept.push(one),
        }
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn what_a_format_takes_it_gives_back(entries in entries(), default in default(), tame in any::<bool>()) {
        for format in Format::all().filter(|format| format.name() != "pac") {
            let mut list = List::new(format, &Document::new("x", ""));
            list.entries.clone_from(&entries);
            list.default = default;
            list.dialect = format.dialects().next();
            if tame {
                // Random lists hold something that most formats refuse; these are left with what the format takes.
                if let Err(refused) = formats::write(&list, format) {
                    let bad: Vec<_> = refused.what.iter().filter_map(|what| what.entry).collect();
                    let mut number = 0;
                    list.entries.retain(|_| {
                        number += 1;
                        !bad.contains(&(number - 1))
                    });
                    if refused.what.iter().any(|what| what.entry.is_none()) {
                        list.default = None;
                    }
                }
                if list.entries.is_empty() {
                    continue;
                }
            }
            let inspects = list.entries.iter().any(|entry| entry.action() == Action::Inspect);
            if format.name().starts_with("mitmproxy") && !inspects {
                // "Bypass everything" is one more expression there.
                list.default = None;
            }
            let Ok(text) = formats::write(&list, format) else { continue };
            let again = formats::read(&Document::new("x", text.as_str()), Some(format));
            let again = again.map_err(|error| TestCaseError::fail(format!("{format}: {error}\n{text}")))?;
            let mut said = deciding(&list);
            if format.name().starts_with("mitmproxy") {
                // Two options, and what is ignored counts first.
                said.sort_by_key(|deciding| deciding.action != Action::Bypass);
            }
            if list.dialect.is_some_and(|dialect| dialect.name() == "pan-os-exclusion") {
                said = once(said);
            }
            prop_assert_eq!(said, deciding(&again), "{}\n{}", format, text);
        }
    }

    #[test]
    fn no_text_brings_a_reader_down(text in r"(\PC|[\n\r\t \x00-\x1f]){0,80}", head in 0..super::EXAMPLES.len()) {
        let (name, _) = super::EXAMPLES[head];
        let real = std::fs::read_to_string(super::path(name)).unwrap();
        let at = real.char_indices().nth(text.len() * 7 % real.chars().count()).map_or(0, |(at, _)| at);
        let mixed = format!("{}{text}{}", &real[..at], &real[at..]);
        for format in Format::all() {
            let _ = formats::read(&Document::new("x", text.as_str()), Some(format));
            let _ = formats::read(&Document::new("x", mixed.as_str()), Some(format));
        }
        let _ = formats::read(&Document::new("x", mixed), None);
    }
}
