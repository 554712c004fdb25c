//! The pins that are known of hosts: those that come with the program, or those that were given.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::net::{Host, Pin};
use crate::source::{Document, PlaceError};

/// The sets that come with the program.
const BUILT_IN: [(&str, &str); 1] = [("okta", include_str!("../../certs/pins/okta.toml"))];

/// The pins of one domain, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// `.okta.com` is okta.com and every host below it; `acme.okta.com` that host alone.
    pub domain: String,
    /// The keys that count.
    pub pins: Vec<Pin>,
    /// Where they are from.
    pub source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSet {
    title: String,
    source: String,
    domain: Vec<RawDomain>,
    /// Domains below those that have keys of their own, which are not published.
    #[serde(default)]
    unknown: Vec<RawUnknown>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDomain {
    name: String,
    pins: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUnknown {
    name: String,
}

/// The published pins of a host, if there are any.
#[must_use]
pub fn published(host: &Host) -> Option<&'static Pinned> {
    static SETS: LazyLock<Vec<Pinned>> = LazyLock::new(|| {
        let read = |(name, text): &(&str, &'static str)| {
            parse(&Document::new(format!("certs/pins/{name}.toml"), *text)).expect("a test reads every set")
        };
        BUILT_IN.iter().flat_map(read).collect()
    });
    let name = host.name()?;
    let covers = |pinned: &&Pinned| match pinned.domain.strip_prefix('.') {
        Some(apex) => name == apex || name.ends_with(&pinned.domain),
        None => name == pinned.domain,
    };
    let longest = SETS.iter().filter(covers).max_by_key(|pinned| pinned.domain.len());
    longest.filter(|pinned| !pinned.pins.is_empty())
}

fn parse(document: &Document) -> Result<Vec<Pinned>, PlaceError> {
    let RawSet { title, source, domain, unknown } = document.toml()?;
    let source = format!("published by {title}: {source}");
    let mut sets = Vec::new();
    for RawDomain { name, pins } in domain {
        let read = |pin: &String| pin.parse::<Pin>().map_err(|error| document.error(0..0, error.to_string(), None));
        let pins = pins.iter().map(read).collect::<Result<_, _>>()?;
        sets.push(Pinned { domain: name, pins, source: source.clone() });
    }
    let nothing = |RawUnknown { name }| Pinned { domain: name, pins: Vec::new(), source: source.clone() };
    sets.extend(unknown.into_iter().map(nothing));
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(host: &str) -> Option<&'static str> {
        published(&Host::parse(host).unwrap()).map(|pinned| pinned.domain.as_str())
    }

    #[test]
    fn every_set_reads_and_covers_its_hosts_alone() {
        for (name, text) in BUILT_IN {
            assert!(!parse(&Document::new(name, text)).unwrap().is_empty());
        }
        assert_eq!((domain("acme.okta.com"), domain("okta.com")), (Some(".okta.com"), Some(".okta.com")));
        assert_eq!((domain("acme.oktapreview.com"), domain("notokta.com")), (Some(".oktapreview.com"), None));
        assert_eq!(domain("acme.mtls.okta.com"), None, "its key is another, and not published");
    }
}
