//! The policy file, whatever format it is in, read with the place of every mistake.

use std::sync::Arc;

use super::Action;
use super::dialects::Dialect;
use super::formats::{self, Entry, Format, Unread};
use super::reading::Reader;
use super::rule::{Rule, RuleId, Source};
use crate::pac::PacScript;
use crate::source::{Document, PlaceError};

/// A policy file, understood.
#[derive(Debug)]
pub(super) struct PolicyFile {
    pub(super) dialect: Option<Dialect>,
    pub(super) default: Option<Action>,
    /// Its rules. Those without an id of their own have no number yet.
    pub(super) rules: Vec<Arc<Rule>>,
    /// A PAC script, which decides in place of rules.
    pub(super) script: Option<PacScript>,
    /// What decides about hosts, and could not be read.
    pub(super) unread: Vec<Unread>,
}

/// So many of the things that a file holds beside its rules are told.
const SHOWN: usize = 20;

impl PolicyFile {
    /// Reads the document; a dialect chosen elsewhere goes before the file's own. A policy in force has no holes, so an
    /// entry that its product refuses is a mistake here.
    pub(super) fn read(document: &Document, chosen: Option<Dialect>) -> Result<Self, PlaceError> {
        let mut list = formats::read(document, None)?;
        let reads = list.dialect_or(chosen);
        if let Some(other) = chosen.filter(|chosen| *chosen != reads) {
            let help = Some("leave the dialect out".to_owned());
            return Err(document.error(0..0, format!("a PAC file is a script, which {other} does not read"), help));
        }
        for aside in list.aside.iter().take(SHOWN) {
            tracing::warn!("set aside {}: {}", list.locate(aside.place), aside.what);
        }
        if let Some(more) = list.aside.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            tracing::warn!("set aside {more} more things that are no bypass rules");
        }
        if chosen.is_some() {
            list.entries = list.entries.into_iter().map(Entry::without_dialect).collect();
        }
        let mut rules = Vec::with_capacity(list.entries.len());
        let mut reader = Reader::new(reads);
        for entry in &list.entries {
            let pattern = reader.read(entry).map_err(|error| list.pattern_error(entry, &error))?;
            // Only in a policy.toml is the name of an entry its id.
            let named = entry.name().filter(|_| list.format == Format::POLICY_TOML);
            let id = named.and_then(|name| RuleId::chosen(name).ok()).unwrap_or(RuleId::UNNUMBERED);
            rules.push(Arc::new(Rule::of_entry(id, pattern, entry, Source::File)));
        }
        Ok(Self { dialect: list.dialect, default: list.default, rules, script: list.script, unread: list.unread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PolicyFile, PlaceError> {
        PolicyFile::read(&Document::new("policy.toml", text), None)
    }

    fn error(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn the_example_of_the_design_reads() {
        let file = read(
            r#"
dialect = "middlebox"
default = "block"

[[rule]]
pattern = "*.okta.com"
action  = "bypass"
note    = "Okta Verify pins its certificates"

[[rule]]
pattern = "okta.com"
action  = "inspect"
enabled = false
ports   = [443, "8000-8999"]
clients = ["10.0.0.0/8", "::1"]
id      = "apex"
"#,
        )
        .unwrap();
        assert_eq!((file.dialect, file.default), (Some(Dialect::MIDDLEBOX), Some(Action::Block)));
        assert_eq!(file.rules.iter().map(|rule| rule.line()).collect::<Vec<_>>(), [Some(6), Some(11)]);
        assert_eq!(file.rules[0].note(), Some("Okta Verify pins its certificates"));
        let apex = &file.rules[1];
        assert_eq!((file.rules[0].id.clone(), apex.id.to_string()), (RuleId::UNNUMBERED, "apex".to_owned()));
        assert!(!apex.enabled);
        assert_eq!(serde_json::to_value(apex.ports()).unwrap(), serde_json::json!([443, "8000-8999"]));
        assert_eq!(serde_json::to_value(apex.clients()).unwrap(), serde_json::json!(["10.0.0.0/8", "::1"]));
    }

    #[test]
    fn a_bad_pattern_points_into_its_string() {
        assert_eq!(
            error("[[rule]]\npattern = \"a.*.okta.com\"\naction = \"bypass\"\n"),
            "policy.toml:2:14: a wildcard stands alone before a dot \
             (write `*.okta.com`, which covers every name below at any depth)"
        );
        assert!(error("[[rule]]\npattern = '''okta.com:0'''\naction = \"bypass\"").starts_with("policy.toml:2:22: "));
        // With an escape the bytes of the string are not those of the pattern.
        assert!(error("[[rule]]\npattern = \"a.\\u002a.com\"\naction = \"bypass\"").starts_with("policy.toml:2:11: "));
        assert!(error("[[rule]]\npattern = \"\"\naction = \"bypass\"").starts_with("policy.toml:2:11: the pattern is"));
    }

    #[test]
    fn other_mistakes_have_a_place_and_a_mend() {
        let rule = |rest: &str| error(&format!("[[rule]]\npattern = \"okta.com\"\naction = \"bypass\"\n{rest}\n"));
        assert_eq!(
            error("defualt = \"inspect\""),
            "policy.toml:1:1: unknown field `defualt`, expected one of `dialect`, `default`, `rule` \
             (did you mean `default`?)"
        );
        assert!(error("default = \"inspct\"").ends_with("(did you mean `inspect`?)"));
        assert!(error("\ndialect = \"midlebox\"").starts_with("policy.toml:2:11: no dialect is called `midlebox`"));
        assert!(error("[[rule]]\naction = \"block\"").starts_with("policy.toml:1:1: missing field `pattern`"));
        assert!(rule("port = 443").contains("unknown field `port`"));
        assert!(rule("ports = [443, 0]").starts_with("policy.toml:4:15: `0` is not a port"));
        assert!(rule("ports = [1.5]").starts_with("policy.toml:4:10: invalid type"));
        assert!(rule("clients = [\"10.0.0.1/8\"]").starts_with("policy.toml:4:12: `10.0.0.1/8` has bits set"));
        assert!(rule("enabled = \"yes\"").starts_with("policy.toml:4:11: invalid type"));
        assert!(rule("id = \"r1\"").starts_with("policy.toml:4:6: ids such as `r1` are given out"));
        assert!(
            rule("id = \"a\"\n[[rule]]\npattern = \"b\"\naction = \"block\"\nid = \"a\"")
                .starts_with("policy.toml:8:6: ")
        );
    }
}
