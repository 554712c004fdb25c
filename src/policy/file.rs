//! `policy.toml`, read with the place of every mistake.

use std::collections::HashSet;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::Action;
use super::condition::{Network, Ports};
use super::dialects::Dialect;
use super::pattern::{Pattern, PatternError};
use super::rule::{RuleId, RuleIdError, RuleSpec};
use crate::source::{Document, PlaceError};

/// A policy file, understood.
#[derive(Debug)]
pub(super) struct PolicyFile {
    pub(super) dialect: Option<Dialect>,
    pub(super) default: Option<Action>,
    pub(super) rules: Vec<FileRule>,
}

/// One rule of the file.
#[derive(Debug)]
pub(super) struct FileRule {
    pub(super) spec: RuleSpec,
    pub(super) pattern: Pattern,
    pub(super) id: Option<RuleId>,
    pub(super) line: usize,
}

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

impl PolicyFile {
    /// Reads the document; a dialect chosen elsewhere goes before the file's own.
    pub(super) fn read(document: &Document, chosen: Option<Dialect>) -> Result<Self, PlaceError> {
        let FileToml { dialect, default, rule: written } = document.toml()?;
        let reads = chosen.or(dialect).unwrap_or(Dialect::MIDDLEBOX);
        let mut rules = Vec::with_capacity(written.len());
        let mut ids = HashSet::new();
        let (mut line, mut counted) = (1, 0);
        for rule in written {
            let RuleToml { pattern, action, enabled, ports, clients, note, id } = rule;
            let span = pattern.span();
            line += document.text()[counted..span.start].matches('\n').count();
            counted = span.start;
            let compiled = reads
                .parse(pattern.get_ref())
                .map_err(|error| pattern_error(document, span, pattern.get_ref(), &error))?;
            let own = match &id {
                Some(id) => {
                    let wrong = |error: RuleIdError| document.error(id.span(), error.to_string(), None);
                    let own = RuleId::chosen(id.get_ref()).map_err(wrong)?;
                    if !ids.insert(own.clone()) {
                        return Err(wrong(RuleIdError::Taken(id.get_ref().clone())));
                    }
                    Some(own)
                }
                None => None,
            };
            let id = id.map(Spanned::into_inner);
            let spec = RuleSpec { pattern: pattern.into_inner(), action, enabled, ports, clients, note, id };
            rules.push(FileRule { spec, pattern: compiled, id: own, line });
        }
        Ok(Self { dialect, default, rules })
    }
}

/// The place of a mistake in a pattern: inside the string where its bytes are the pattern's, else the whole string.
fn pattern_error(document: &Document, string: Range<usize>, pattern: &str, error: &PatternError) -> PlaceError {
    let raw = &document.text()[string.clone()];
    let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
    let inside = raw.len().checked_sub(quotes).and_then(|end| raw.get(quotes..end));
    let at = if inside == Some(pattern) && !error.span.is_empty() {
        string.start + quotes + error.span.start..string.start + quotes + error.span.end
    } else {
        string
    };
    document.error(at, error.problem.to_string(), error.mend.clone())
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
        assert_eq!(file.rules.iter().map(|rule| rule.line).collect::<Vec<_>>(), [6, 11]);
        assert_eq!(file.rules[0].spec.note.as_deref(), Some("Okta Verify pins its certificates"));
        let apex = &file.rules[1];
        assert_eq!(apex.id.as_ref().map(RuleId::as_str), Some("apex"));
        assert!(!apex.spec.enabled);
        assert_eq!(serde_json::to_value(&apex.spec.ports).unwrap(), serde_json::json!([443, "8000-8999"]));
        assert_eq!(serde_json::to_value(&apex.spec.clients).unwrap(), serde_json::json!(["10.0.0.0/8", "::1"]));
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
