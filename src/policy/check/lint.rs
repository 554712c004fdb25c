//! What is the matter with the entries of a list, whatever it is for.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use crate::policy::matcher::Matcher;
use crate::policy::pattern::Pattern;
use crate::policy::reading::{Reading, Rejected};
use crate::policy::rule::{Rule, RuleId};
use crate::policy::witness::{Seeds, of_rule};
use crate::policy::{Action, Policy};

/// A label that nobody writes into a list.
const UNLIKELY: &str = "zq7-unlikely";

/// Something that is the matter with one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// How bad it is.
    pub severity: Severity,
    /// The entry, as written; empty where it is about the whole list.
    pub text: String,
    /// Its line in its file, from 1.
    pub line: Option<usize>,
    /// What is the matter, as a clause.
    pub message: String,
    /// What to do.
    pub mend: Option<String>,
}

/// What can be the matter with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The product refuses it.
    Rejected,
    /// It loads, and no host ever matches it.
    Dead,
    /// An entry that asks for something else comes before it: it never decides.
    Shadowed,
    /// It covers more than anybody can want.
    OverBroad,
    /// The same entry stands above.
    Duplicate,
    /// Another entry covers everything that it covers.
    Redundant,
    /// The list is more than the product takes.
    Limit,
    /// It does not do what it seems to.
    Doubtful,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The list does not load as it is.
    Error,
    /// It loads, and does something else than it says or more than it should.
    Warning,
    /// It could be shorter.
    Note,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rejected => "refused",
            Self::Dead => "dead",
            Self::Shadowed => "wrongly ordered",
            Self::OverBroad => "over-broad",
            Self::Duplicate => "duplicate",
            Self::Redundant => "redundant",
            Self::Limit => "too much",
            Self::Doubtful => "doubtful",
        })
    }
}

/// What is the matter with the entries of a list, the worst first and then as written.
#[must_use]
pub fn lint(reading: &Reading) -> Vec<Finding> {
    let mut findings: Vec<Finding> = reading.rejected.iter().map(Finding::rejected).collect();
    let policy = &reading.policy;
    let by_id: HashMap<&RuleId, &Rule> = policy.rules().iter().map(|rule| (&rule.id, rule.as_ref())).collect();
    for rule in policy.rules().iter().filter(|rule| rule.enabled) {
        let broad = (rule.action == Action::Bypass).then(|| over_broad(&rule.pattern)).flatten();
        let warnings = rule.pattern.warnings();
        if never_matches(&rule.pattern.matcher) {
            let warning = warnings.first();
            let message = warning.map_or_else(|| "no host ever matches it".into(), |warning| warning.text.to_string());
            let mend = warning.and_then(|warning| warning.mend.clone());
            findings.push(Finding::of(FindingKind::Dead, rule, message, mend));
            continue;
        }
        if let Some(message) = broad {
            let mend = warnings.iter().find_map(|warning| warning.mend.clone());
            findings.push(Finding::of(FindingKind::OverBroad, rule, message, mend));
        } else {
            findings.extend(
                warnings
                    .into_iter()
                    .map(|warning| Finding::of(FindingKind::Doubtful, rule, warning.text.into_owned(), warning.mend)),
            );
        }
        findings.extend(overruled(policy, rule, &by_id));
    }
    findings.extend(limits(reading));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

impl Finding {
    fn rejected(rejected: &Rejected) -> Self {
        let advice = rejected.standing.advice().map(|advice| format!(" ({advice})")).unwrap_or_default();
        Self {
            kind: FindingKind::Rejected,
            severity: Severity::Error,
            text: rejected.text.to_string(),
            line: rejected.line,
            message: format!("{}{advice}", rejected.reason),
            mend: rejected.mend.as_deref().map(str::to_owned),
        }
    }

    fn of(kind: FindingKind, rule: &Rule, message: String, mend: Option<String>) -> Self {
        let severity = match kind {
            FindingKind::Rejected => Severity::Error,
            FindingKind::Duplicate | FindingKind::Redundant => Severity::Note,
            _ => Severity::Warning,
        };
        Self { kind, severity, text: rule.pattern.text().to_owned(), line: rule.line(), message, mend }
    }
}

/// Whether no host can match, by the shape alone.
pub(super) fn never_matches(matcher: &Matcher) -> bool {
    match matcher {
        Matcher::Never(_) => true,
        Matcher::Exact(name) | Matcher::Within(name) | Matcher::Below(name) => name.contains(['*', '/', ' ']),
        _ => false,
    }
}

/// Whether a pattern covers a host, its own dialect's doubts aside. An expression may be about `host:port`.
pub(super) fn covers(pattern: &Pattern, host: &str) -> bool {
    pattern.matches_name(host)
        || (matches!(pattern.matcher, Matcher::Regex(_)) && pattern.matches_name(&format!("{host}:443")))
}

/// What a bypass covers beyond what anybody can want, as a clause.
fn over_broad(pattern: &Pattern) -> Option<String> {
    if matches!(pattern.matcher, Matcher::Any) {
        return Some("it covers every host".to_owned());
    }
    if let Matcher::Network(network) = &pattern.matcher {
        let net = network.net();
        let few = if net.addr().is_ipv4() { 8 } else { 16 };
        return (net.prefix_len() < few).then(|| "it covers a great part of all addresses".to_owned());
    }
    let mut seeds = Seeds::default();
    seeds.take_text(pattern.text());
    seeds.take(&pattern.matcher);
    if covers(pattern, &format!("{UNLIKELY}.{UNLIKELY}.example")) && covers(pattern, "neither.test") {
        return Some("it covers every host".to_owned());
    }
    for name in seeds.names.iter().take(4) {
        let Some(suffix) = psl::suffix_str(name) else { continue };
        if covers(pattern, &format!("{UNLIKELY}.{suffix}")) {
            return Some(format!("it covers every name under {suffix}, below which anybody can have one"));
        }
        let Some(domain) = psl::domain_str(name) else { continue };
        let before = name.strip_suffix(domain).unwrap_or_default();
        if covers(pattern, &format!("{before}{UNLIKELY}.{suffix}")) {
            return Some(format!(
                "it covers {before}ANY.{suffix}, whoever has that name: {domain} stands for every domain"
            ));
        }
        // One host alone has no neighbours.
        if covers(pattern, name) && covers(pattern, &format!("not{name}")) {
            return Some(format!("there is no label boundary: not{name} is covered as well"));
        }
        if covers(pattern, name) && covers(pattern, &format!("{name}.evil.example")) {
            return Some(format!("nothing ends the name: {name}.evil.example is covered as well"));
        }
    }
    None
}

/// Whether the entry decides nothing, because others do.
fn overruled(policy: &Policy, rule: &Rule, by_id: &HashMap<&RuleId, &Rule>) -> Option<Finding> {
    let mut witnesses = of_rule(rule);
    if let Some(first) = witnesses.first() {
        let unlikely = format!("{UNLIKELY}.{}", first.host);
        witnesses.push(crate::policy::Question { host: unlikely, ..first.clone() });
    }
    let mut others: Vec<&Rule> = Vec::new();
    let alone = std::cell::OnceCell::new();
    for witness in witnesses {
        let decided = policy.rehearse(&witness.subjects());
        if decided.rule.as_ref().is_some_and(|decided| decided.id == rule.id) {
            return None;
        }
        let alone = alone.get_or_init(|| {
            Policy::compile(1, policy.dialect(), Action::Inspect, vec![std::sync::Arc::new(rule.clone())])
        });
        if alone.rehearse(&witness.subjects()).rule.is_none() {
            continue;
        }
        match decided.rule.as_ref().and_then(|decided| by_id.get(&decided.id)) {
            Some(other) if others.iter().any(|known| known.id == other.id) => {}
            Some(other) => others.push(other),
            None => return None,
        }
    }
    let first = *others.first()?;
    let line = first
        .line()
        .map_or_else(|| format!("`{}`", first.pattern), |line| format!("`{}` on line {line}", first.pattern));
    if others.iter().any(|other| other.action != rule.action) {
        let other = others.iter().find(|other| other.action != rule.action).copied().unwrap_or(first);
        let line = other
            .line()
            .map_or_else(|| format!("`{}`", other.pattern), |line| format!("`{}` on line {line}", other.pattern));
        let message = format!("it never decides: {line} ({}) comes before it", other.action);
        let mend = Some("move it above that entry".to_owned());
        return Some(Finding::of(FindingKind::Shadowed, rule, message, mend));
    }
    let same = first.pattern.matcher == rule.pattern.matcher && others.len() == 1;
    let (kind, message) = match same {
        true => (FindingKind::Duplicate, format!("it says what {line} says")),
        false => (FindingKind::Redundant, format!("{line} covers everything that it covers")),
    };
    Some(Finding::of(kind, rule, message, Some("leave it out".to_owned())))
}

/// What is more than the product takes.
fn limits(reading: &Reading) -> Vec<Finding> {
    let dialect = reading.policy.dialect();
    let count = reading.policy.rules().len() + reading.rejected.len();
    let limit = dialect.limits().entries.filter(|limit| count > *limit);
    let about = limit.map(|limit| Finding {
        kind: FindingKind::Limit,
        severity: Severity::Warning,
        text: String::new(),
        line: None,
        message: format!("the list has {count} entries, and {} takes {limit}", dialect.title()),
        mend: Some("split the list, or cover several hosts with one entry".to_owned()),
    });
    about.into_iter().collect()
}
