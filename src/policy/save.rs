//! Writing live changes into the policy file: its text edited, then replaced whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value};

use super::formats::policy_toml;
use super::layers::{Entry, Layers};
use super::rule::{Rule, Source};
use super::store::PolicyError;
use crate::source::Document;

/// The text of the file with the live changes in it.
pub(super) fn edited(document: &Document, layers: &Layers) -> Result<String, PolicyError> {
    let layout = || PolicyError::Layout { path: document.name().to_owned() };
    // Editors on Windows end lines with CR LF, and new lines shall end as the others do.
    let crlf = document.text().contains("\r\n");
    let text = if crlf { document.text().replace("\r\n", "\n") } else { document.text().to_owned() };
    let mut toml: DocumentMut = text.parse().map_err(|_| layout())?;
    let mut written: Vec<Option<Table>> = match toml.get("rule") {
        None => Vec::new(),
        Some(Item::ArrayOfTables(tables)) => tables.iter().cloned().map(Some).collect(),
        Some(_) => return Err(layout()),
    };
    // The place of a rule in the file, by its line: rules in tables of their own never share one.
    let mut lines: Vec<_> = layers.entries.iter().filter_map(|entry| entry.rule.line()).collect();
    lines.sort_unstable();
    let place = |entry: &Entry| entry.rule.line().and_then(|line| lines.binary_search(&line).ok());
    if lines.len() != written.len() {
        return Err(layout());
    }

    let mut before: Vec<Vec<Table>> = Vec::new();
    before.resize_with(written.len() + 1, Vec::new);
    let mut next = written.len();
    for entry in layers.entries.iter().rev() {
        match (entry.rule.source, place(entry)) {
            (Source::File, Some(at)) => {
                next = at;
                if entry.removed {
                    written[at] = written[at].take().map(emptied);
                } else if let Some(table) = &mut written[at]
                    && entry.rule.enabled != entry.written_enabled
                {
                    set(table, "enabled", entry.rule.enabled.into());
                }
            }
            (Source::Live, _) if !entry.removed => before[next].push(table_of(&entry.rule)),
            _ => {}
        }
    }

    // Comments that stand apart above a rule belong to the file and outlive the rule.
    let mut comments = String::new();
    if written.is_empty() && !before[0].is_empty() {
        comments.push_str(toml.trailing().as_str().unwrap_or_default());
        toml.set_trailing("");
    }
    let bare = !toml.iter().any(|(_, item)| item.is_value());
    let mut tables: Vec<Table> = Vec::new();
    for (at, written) in written.into_iter().map(Some).chain([None]).enumerate() {
        let mut written = written.flatten();
        if let Some(table) = written.as_mut().filter(|_| at == 0) {
            comments.push_str(&take_comments(table));
        }
        let kept = written.filter(|table| {
            let removed = table.is_empty();
            if removed {
                comments.push_str(&prefix(table));
            }
            !removed
        });
        for mut table in before[at].drain(..).rev().chain(kept) {
            let own = prefix(&table);
            let prefix = match (comments.is_empty(), tables.is_empty()) {
                (true, true) if bare => own.trim_start_matches('\n').to_owned(),
                (true, false) if at == 0 && !own.starts_with('\n') => format!("\n{own}"),
                (true, _) => own,
                (false, _) if comments.ends_with("\n\n") => format!("{comments}{}", own.trim_start_matches('\n')),
                (false, _) => format!("{comments}{own}"),
            };
            comments.clear();
            table.decor_mut().set_prefix(prefix);
            tables.push(table);
        }
    }
    if let Some(default) = layers.live_default {
        set(&mut toml, "default", default.as_str().into());
        // The heading of the file stays its heading.
        if bare && tables.is_empty() {
            comments.push_str(toml.trailing().as_str().unwrap_or_default());
            toml.set_trailing("");
        }
        if bare && let Some(first) = tables.first_mut() {
            comments = take_comments(first);
            let rest = prefix(first);
            first.decor_mut().set_prefix(format!("\n{}", rest.trim_start_matches('\n')));
        }
        if bare && let Some(mut key) = toml.key_mut("default") {
            key.leaf_decor_mut().set_prefix(std::mem::take(&mut comments));
        }
    }
    if tables.is_empty() {
        toml.remove("rule");
    } else {
        let mut rules = ArrayOfTables::new();
        for (mut table, at) in tables.into_iter().zip(1..) {
            table.set_position(Some(at));
            rules.push(table);
        }
        toml.insert("rule", Item::ArrayOfTables(rules));
    }
    if !comments.is_empty() {
        let trailing = toml.trailing().as_str().unwrap_or_default().to_owned();
        toml.set_trailing(format!("{comments}{trailing}"));
    }
    let text = toml.to_string();
    Ok(if crlf { text.replace('\n', "\r\n") } else { text })
}

/// A removed rule: only the comments that stand apart from it are left.
fn emptied(mut table: Table) -> Table {
    let comments = take_comments(&mut table);
    let mut rest = Table::new();
    rest.decor_mut().set_prefix(comments);
    rest
}

fn prefix(table: &Table) -> String {
    table.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default().to_owned()
}

/// Takes the comments above a rule that a blank line sets apart from it.
fn take_comments(table: &mut Table) -> String {
    let whole = prefix(table);
    let end = whole.rfind("\n\n").map_or(0, |at| at + 2);
    if !whole[..end].contains('#') {
        return String::new();
    }
    table.decor_mut().set_prefix(&whole[end..]);
    whole[..end].to_owned()
}

/// Sets a key to a value; the comment behind an old value stays.
fn set(table: &mut Table, key: &str, mut new: Value) {
    if let Some(old) = table.get_mut(key).and_then(Item::as_value_mut) {
        *new.decor_mut() = old.decor().clone();
        *old = new;
    } else {
        table.insert(key, Item::Value(new));
    }
}

fn table_of(rule: &Rule) -> Table {
    let mut table = policy_toml::table(&rule.entry());
    table.decor_mut().set_prefix("\n");
    table
}

/// Makes the layers what they are once the file holds their changes.
pub(super) fn settle(layers: &mut Layers) {
    if layers.chosen_default().is_none() {
        layers.live_default = None;
    }
    layers.entries.retain(|entry| !(entry.removed && entry.rule.source == Source::File));
    let mut above_command_line = false;
    for entry in layers.entries.iter_mut().rev() {
        match entry.rule.source {
            Source::CommandLine => above_command_line = true,
            Source::File => entry.written_enabled = entry.rule.enabled,
            Source::Live => {
                entry.rule = Arc::new(Rule { source: Source::File, ..Rule::clone(&entry.rule) });
                entry.written_enabled = entry.rule.enabled;
                entry.floating = above_command_line;
            }
        }
    }
}

/// Replaces the file at a path: the text is on the disk under another name before it takes the file's place.
pub(super) fn write(path: &Path, text: &str) -> Result<(), PolicyError> {
    replace(path, text)
        .map_err(|error| PolicyError::Write { path: path.display().to_string(), reason: error.to_string() })
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A symbolic link stays; the file that it names is replaced.
    let target = fs::canonicalize(path)?;
    let folder = target.parent().ok_or_else(|| io::Error::other("it is not a file in a folder"))?;
    let mut file = tempfile::Builder::new().prefix(".policy-").suffix(".toml").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(fs::metadata(&target)?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    if cfg!(unix) {
        // The rename itself is on the disk only with its folder.
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Action, Change, PolicyConfig, PolicyStore, RuleSpec, Selector};
    use super::*;

    fn store(path: &Path) -> PolicyStore {
        PolicyStore::new(PolicyConfig { file: Some(path.to_owned()), ..PolicyConfig::default() }).unwrap()
    }

    fn list(store: &PolicyStore) -> Vec<String> {
        let view = |rule: &Arc<Rule>| {
            let mut view = serde_json::to_value(rule.view()).unwrap();
            for key in ["id", "source", "line", "hits"] {
                view.as_object_mut().unwrap().remove(key);
            }
            view.to_string()
        };
        store.current().rules().iter().map(view).collect()
    }

    #[derive(Clone, Debug)]
    enum Move {
        Add(u8, usize),
        Remove(usize),
        Switch(usize, bool),
        Default(Action),
        Save,
        Edit,
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            4 => (any::<u8>(), 0..9usize).prop_map(|(name, at)| Move::Add(name, at)),
            2 => (0..9usize).prop_map(Move::Remove),
            2 => (0..9usize, any::<bool>()).prop_map(|(at, on)| Move::Switch(at, on)),
            1 => prop::sample::select(vec![Action::Inspect, Action::Block]).prop_map(Move::Default),
            2 => Just(Move::Save),
            1 => Just(Move::Edit),
        ];
        prop::collection::vec(one, 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_saved_policy_is_the_one_that_ran(moves in moves(), command_line in prop::collection::vec(0..9u8, 0..3)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("policy.toml");
            fs::write(&path, "# Heading.\n\n# One.\n[[rule]]\npattern = \"one\"\naction = \"block\"\n").unwrap();
            let typed: Vec<_> =
                command_line.iter().map(|n| RuleSpec::new(format!("typed{n}"), Action::Inspect)).collect();
            let config = PolicyConfig { command_line: typed, file: Some(path.clone()), ..PolicyConfig::default() };
            let store = PolicyStore::new(config).unwrap();
            for step in moves {
                let at = |at: usize| {
                    let policy = store.current();
                    policy.rules().get(at % policy.rules().len().max(1)).map(|rule| Selector::new(rule.id.to_string()))
                };
                let change = match step {
                    Move::Add(name, at) => {
                        let mut rule = RuleSpec::new(format!("host{name}.example"), Action::Bypass);
                        rule.ports = vec!["443".parse().unwrap(), "8000-8999".parse().unwrap()];
                        rule.clients = vec!["10.0.0.0/8".parse().unwrap()];
                        rule.note = Some("why \"so\"".to_owned()).filter(|_| name % 2 == 0);
                        rule.enabled = name % 3 != 0;
                        Some(Change::Add { rule, at: Some(at % (store.current().rules().len() + 1) + 1) })
                    }
                    Move::Remove(place) => at(place).map(Change::Remove),
                    Move::Switch(place, true) => at(place).map(Change::Enable),
                    Move::Switch(place, false) => at(place).map(Change::Disable),
                    Move::Default(action) => Some(Change::SetDefault(action)),
                    Move::Save => {
                        prop_assert!(!store.save().unwrap().changed);
                        None
                    }
                    Move::Edit => {
                        let text = fs::read_to_string(&path).unwrap();
                        fs::write(&path, format!("{text}# edited\n")).unwrap();
                        prop_assert!(!store.reload_file().unwrap().unwrap().changed);
                        None
                    }
                };
                if let Some(change) = change {
                    store.change(change, None).unwrap();
                }
            }
            prop_assert!(!store.save().unwrap().changed);
            let fresh = self::store(&path);
            let mut running = list(&store);
            running.retain(|rule| !rule.contains("typed"));
            prop_assert_eq!(list(&fresh), running);
            prop_assert_eq!(fresh.current().default_action(), store.current().default_action());
            let text = fs::read_to_string(&path).unwrap();
            prop_assert_eq!(text.matches("# Heading.").count(), 1, "{}", text);
            prop_assert!(text.starts_with("# Heading."), "{}", text);
        }
    }

    #[test]
    fn lines_end_as_those_of_the_file_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        fs::write(&path, "default = \"block\" # strict\r\n").unwrap();
        let store = store(&path);
        let rule = RuleSpec::new("okta.com", Action::Bypass);
        store.change(Change::Add { rule, at: None }, None).unwrap();
        store.change(Change::SetDefault(Action::Inspect), None).unwrap();
        store.save().unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "default = \"inspect\" # strict\r\n\r\n[[rule]]\r\npattern = \"okta.com\"\r\naction = \"bypass\"\r\n"
        );
    }
}
