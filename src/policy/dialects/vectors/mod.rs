//! What the sources say, as data, and every dialect held against it.
//!
//! A cell is one letter: `Y` the entry covers the host, `n` it does not, both established; `y`, `m` the same, inferred;
//! `s`, `t` the same, from a secondary source; `+`, `-` not established, and assumed to cover it or not; `?` not
//! established, whatever is assumed; `R` the product refuses the entry, `r` it does so by a source that is not the
//! vendor's or by inference.

mod curl;
mod details;
mod generated;
mod go;
mod master;
mod properties;
mod python;
mod reqwest;
mod squid;
mod stages;
mod subjects;

use super::Dialect;
use crate::policy::matrix::{Cell, read};
use crate::policy::standing::Standing;

/// Whether a cell is what the letter says.
fn is(cell: &Cell, letter: char) -> bool {
    use Standing::{Established, Inferred, Secondary};

    let expected = match letter {
        'Y' => Cell::Match(Established),
        'n' => Cell::NoMatch(Established),
        'y' => Cell::Match(Inferred),
        'm' => Cell::NoMatch(Inferred),
        's' => Cell::Match(Secondary),
        't' => Cell::NoMatch(Secondary),
        '+' => Cell::NotEstablished { assumed: true },
        '-' => Cell::NotEstablished { assumed: false },
        '?' => return matches!(cell, Cell::NotEstablished { .. }),
        'R' => return matches!(cell, Cell::Rejected { standing: Established, .. }),
        'r' => return matches!(cell, Cell::Rejected { standing, .. } if *standing != Established),
        _ => return false,
    };
    *cell == expected
}

/// Compares one entry with hosts, and says what differs.
fn differences(dialect: &str, entry: &str, hosts: &[&str], expected: &str) -> Vec<String> {
    let dialect: Dialect = dialect.parse().unwrap();
    assert_eq!(hosts.len(), expected.chars().count(), "{dialect} `{entry}`");
    let cells = hosts.iter().zip(expected.chars()).filter_map(|(host, letter)| {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.parse().unwrap()),
            _ => (*host, 443),
        };
        let cell = read(dialect, entry, name, port);
        (!is(&cell, letter)).then(|| format!("{dialect} `{entry}` {host}: expected {letter}, is {cell}"))
    });
    cells.collect()
}
