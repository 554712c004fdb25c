//! `policy.toml`, this program's own file, which says everything that a [`List`] holds.

use std::collections::HashSet;

use serde::Deserialize;
use toml::Spanned;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::super::Action;
use super::super::condition::{Network, Ports};
use super::super::rule::{RuleId, RuleIdError};
use super::say::{ALL_ACTIONS, Says};
use super::{Dialect, Entry, Format, List, Place, Sample, Spec};
use crate::source::{Document, PlaceError};

pub(super) static SPEC: Spec = Spec {
    name: "policy-toml",
    title: "a policy.toml",
    dialects: &[],
    recognises,
    read,
    says: Says {
        actions: ALL_ACTIONS,
        disabled: true,
        ports: true,
        clients: true,
        dialects: false,
        defaults: ALL_ACTIONS,
    },
    can_write: |_, _| true,
    write,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileToml {
    dialect: Option<Dialect>,
    default: Option<Action>,
    #[serde(default)]
    rule: Vec<RuleToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleToml {
    pattern: Spanned<String>,
    action: Action,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    ports: Vec<Ports>,
    #[serde(default)]
    clients: Vec<Network>,
    note: Option<String>,
    id: Option<Spanned<String>>,
}

fn yes() -> bool {
    true
}

fn recognises(sample: &Sample<'_>) -> bool {
    let mut lines = sample.text.lines().map(str::trim_start);
    let is_key = |line: &str| {
        ["dialect", "default"].iter().any(|key| {
            let rest = line.strip_prefix(key).map(str::trim_start);
            rest.and_then(|rest| rest.strip_prefix('=')).is_some_and(|rest| rest.trim_start().starts_with(['"', '\'']))
        })
    };
    sample.extension == "toml" || lines.any(|line| line.starts_with("[[rule]]") || is_key(line))
}

fn read(document: &Document) -> Result<List, PlaceError> {
    let FileToml { dialect, default, rule: written } = document.toml()?;
    let mut list = List::new(Format::POLICY_TOML, document);
    (list.dialect, list.default) = (dialect, default);
    list.entries.reserve(written.len());
    let mut ids = HashSet::new();
    let mut places = document.places();
    for rule in written {
        let RuleToml { pattern, action, enabled, ports, clients, note, id } = rule;
        if let Some(id) = &id {
            let wrong = |error: RuleIdError| document.error(id.span(), error.to_string(), None);
            if !ids.insert(RuleId::chosen(id.get_ref()).map_err(wrong)?) {
                return Err(wrong(RuleIdError::Taken(id.get_ref().clone())));
            }
        }
        let span = pattern.span();
        let raw = &document.text()[span.clone()];
        let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
        // With an escape in it, the string is not the pattern, and its place is that of the whole.
        let as_it_is = raw.get(quotes..).is_some_and(|inner| inner.starts_with(pattern.get_ref().as_str()));
        let (line, column) =
            places.at(if as_it_is && !pattern.get_ref().is_empty() { span.start + quotes } else { span.start });
        let entry = Entry::new(pattern.into_inner(), action, Place { document: 0, line, column })
            .with_enabled(enabled)
            .with_ports(ports)
            .with_clients(clients)
            .with_note(note)
            .with_name(id.map(Spanned::into_inner));
        list.entries.push(entry);
    }
    Ok(list)
}

fn write(list: &List) -> String {
    let mut toml = DocumentMut::new();
    if let Some(dialect) = list.dialect {
        toml["dialect"] = value(dialect.name());
    }
    if let Some(default) = list.default {
        toml["default"] = value(default.as_str());
    }
    let mut rules = ArrayOfTables::new();
    let mut ids = HashSet::new();
    for entry in &list.entries {
        let mut table = table(entry);
        // The name of a list is no id where several entries have it.
        if entry.name().is_some_and(|name| RuleId::chosen(name).is_err() || !ids.insert(name)) {
            table.remove("id");
        }
        rules.push(table);
    }
    if !rules.is_empty() {
        toml.insert("rule", Item::ArrayOfTables(rules));
    }
    toml.to_string()
}

/// One rule as the table that it is in the file.
pub(in super::super) fn table(entry: &Entry) -> Table {
    let mut table = Table::new();
    table["pattern"] = value(entry.pattern());
    table["action"] = value(entry.action().as_str());
    if !entry.enabled() {
        table["enabled"] = value(false);
    }
    if !entry.ports().is_empty() {
        let ports = entry.ports().iter().map(|ports| match ports.single() {
            Some(port) => Value::from(i64::from(port)),
            None => ports.to_string().into(),
        });
        table["ports"] = value(ports.collect::<Array>());
    }
    if !entry.clients().is_empty() {
        table["clients"] = value(entry.clients().iter().map(ToString::to_string).collect::<Array>());
    }
    if let Some(note) = entry.note() {
        table["note"] = value(note);
    }
    if let Some(name) = entry.name() {
        table["id"] = value(name);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_a_list_is_said_and_read_again() {
        let text = "dialect = \"zscaler\"\ndefault = \"block\"\n\n[[rule]]\npattern = \".okta.com\"\naction = \"bypass\"\n\
                    enabled = false\nports = [443, \"8000-8999\"]\nclients = [\"10.0.0.0/8\"]\nnote = \"why\"\nid = \"okta\"\n\n\
                    [[rule]]\npattern = \"b.example\"\naction = \"inspect\"\n";
        let list = super::super::read(&Document::new("x", text), None).unwrap();
        assert_eq!(list.format, Format::POLICY_TOML);
        assert_eq!(list.entries.iter().map(|entry| entry.place().to_string()).collect::<Vec<_>>(), ["5:12", "14:12"]);
        assert_eq!(super::super::write(&list, Format::POLICY_TOML).unwrap(), text);
    }

    #[test]
    fn an_empty_file_is_a_policy_without_rules() {
        assert!(super::super::read(&Document::new("policy.toml", ""), None).unwrap().entries.is_empty());
    }
}
