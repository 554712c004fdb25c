//! One table: hosts and patterns, as every dialect reads them.

use std::fmt;

use serde::Serialize;

use super::decision::{Sni, Subjects};
use super::dialects::Dialect;
use super::rule::{RuleId, RuleSpec, Source};
use super::standing::{Assumption, Standing};
use super::{Action, Policy};
use crate::net::split_port;

/// One pattern as one dialect reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MatrixRow {
    /// The dialect.
    pub dialect: Dialect,
    /// The pattern, as written.
    pub pattern: String,
    /// One cell for each host, in the order given.
    pub cells: Vec<Cell>,
    /// What was assumed in some of the cells.
    pub assumptions: Vec<Assumption>,
    /// What the product takes without a word, and does not do.
    pub warnings: Vec<String>,
}

/// What a pattern does with a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// The pattern covers the host.
    Match(Standing),
    /// It does not.
    NoMatch(Standing),
    /// Nothing that is known says so; whether it is assumed to match.
    NotEstablished {
        /// What the answer is taken to be.
        assumed: bool,
    },
    /// The product refuses the pattern.
    Rejected {
        /// Why, and what to write instead.
        reason: String,
        /// How well it is known that it does.
        standing: Standing,
    },
}

/// Reads every pattern in every dialect against every host: a row for each pattern and dialect, pattern by pattern.
/// A host may be written `host:port`; without a port it is 443.
#[must_use]
pub fn matrix(hosts: &[&str], patterns: &[&str]) -> Vec<MatrixRow> {
    let rows = patterns.iter().flat_map(|pattern| Dialect::all().map(|dialect| (dialect, *pattern)));
    rows.map(|(dialect, pattern)| row(dialect, pattern, hosts)).collect()
}

fn row(dialect: Dialect, pattern: &str, hosts: &[&str]) -> MatrixRow {
    let mut assumptions: Vec<Assumption> = Vec::new();
    let mut cells = Vec::with_capacity(hosts.len());
    for host in hosts {
        let (name, port) = split_port(host).unwrap_or((host, 443));
        let (cell, assumed) = look(dialect, pattern, name, port);
        cells.push(cell);
        for assumption in assumed {
            if !assumptions.contains(&assumption) {
                assumptions.push(assumption);
            }
        }
    }
    let warnings = dialect.parse(pattern).map_or_else(
        |_| Vec::new(),
        |pattern| pattern.warnings().iter().map(|warning| warning.text.to_string()).collect(),
    );
    MatrixRow { dialect, pattern: pattern.to_owned(), cells, assumptions, warnings }
}

/// What one pattern does with one host that is CONNECT host, SNI and certificate name at once.
pub(super) fn read(dialect: Dialect, pattern: &str, host: &str, port: u16) -> Cell {
    look(dialect, pattern, host, port).0
}

fn look(dialect: Dialect, pattern: &str, host: &str, port: u16) -> (Cell, Vec<Assumption>) {
    let compiled = match dialect.parse(pattern) {
        Ok(compiled) => compiled,
        Err(error) => {
            let mend = error.mend.map(|mend| format!("; {mend}")).unwrap_or_default();
            let cell = Cell::Rejected { reason: format!("{}{mend}", error.problem), standing: error.standing };
            return (cell, Vec::new());
        }
    };
    let rule = RuleSpec::new(pattern, Action::Bypass).into_rule(RuleId::numbered(1), compiled, Source::CommandLine);
    let policy = Policy::compile(1, dialect, Action::Inspect, vec![rule.into()]);
    let subjects =
        Subjects { connect_host: Some(host), port, sni: Sni::NotYet, address: None, certificate: None, client: None };
    let decision = policy.rehearse(&subjects);
    let matches = decision.rule.is_some();
    let cell = match (matches, decision.standing) {
        (_, Standing::NotEstablished) => Cell::NotEstablished { assumed: matches },
        (true, standing) => Cell::Match(standing),
        (false, standing) => Cell::NoMatch(standing),
    };
    (cell, decision.assumptions().to_vec())
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Match(Standing::Established) => f.pad("match"),
            Self::NoMatch(Standing::Established) => f.pad("no match"),
            Self::Match(standing) => write!(f, "match ({standing})"),
            Self::NoMatch(standing) => write!(f, "no match ({standing})"),
            Self::NotEstablished { assumed } => {
                write!(f, "not established (assumed: {})", if *assumed { "match" } else { "no match" })
            }
            Self::Rejected { reason, .. } => write!(f, "rejected: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_dialect_and_pattern() {
        let hosts = ["okta.com", "acme.okta.com:8443", "a.b.okta.com"];
        let rows = matrix(&hosts, &["*.okta.com", "okta.com"]);
        assert_eq!(rows.len(), 2 * Dialect::all().count());
        let cells = |dialect: &str, pattern: &str| {
            let row = rows.iter().find(|row| row.dialect.name() == dialect && row.pattern == pattern).unwrap();
            row.cells.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(cells("pan-os-exclusion", "*.okta.com"), ["no match", "match", "no match"]);
        assert_eq!(cells("pan-os-url", "*.okta.com"), ["no match", "match", "match"]);
        assert_eq!(cells("netskope-url-list", "*.okta.com"), ["match", "no match", "match"]);
        assert!(cells("zscaler", "*.okta.com")[0].starts_with("rejected: "));
        let squid = rows.iter().find(|row| row.dialect.name() == "squid-dstdomain").unwrap();
        assert_eq!(squid.warnings.len(), 1);
    }
}
