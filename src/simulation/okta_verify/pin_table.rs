//! Which keys the pinned client accepts, by domain.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::net::{Host, HostError, Pin, PinError};
use crate::simulation::Internet;
use crate::simulation::internet::OKTA_ZONES;
use crate::simulation::workstation::Pinned;

/// Pins by domain, several each, as Okta publishes them: a renewed certificate on a known key passes.
///
/// `.okta.com` is `okta.com` and every host below it, at any depth; `acme.okta.com` is that host alone. Of several
/// entries that cover a host the longest counts, since the log line of Okta Verify names one domain. That Okta Verify
/// pins by domain suffix is concluded from that line, and not documented.
///
/// As text: `.okta.com=sha256/…,sha256/… .oktapreview.com=sha256/…`, entries separated by spaces, line ends or `;`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinTable {
    entries: BTreeMap<String, Vec<Pin>>,
}

/// Why a text is not a table of pins.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PinTableError {
    /// An entry without `=`.
    #[error("`{0}` is not an entry: write DOMAIN=PIN,PIN, as in `.okta.com=sha256/…`")]
    Form(String),
    /// The domain is not one.
    #[error("`{0}` is not a domain: {1}")]
    Domain(String, HostError),
    /// A pin is not one.
    #[error("`{0}` for {1}: {2}")]
    Pin(String, String, PinError),
}

impl PinTable {
    /// A table without an entry: nothing is pinned.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The keys of a simulated internet: those of its Okta hosts, under `.okta.com`, `.oktapreview.com`,
    /// `.okta-emea.com` and `.okta-gov.com`. The key of `*.mtls.okta.com` stands under `.okta.com` as well, because
    /// the only domains that the published log line names are these.
    #[must_use]
    pub fn simulated(internet: &Internet) -> Self {
        let mut table = Self::new();
        for (host, pin) in internet.origins() {
            if let Some(zone) = zone_of(&host) {
                table.add(format!(".{zone}"), pin);
            }
        }
        table
    }

    /// As [`Self::simulated`], with the custom domains of its organizations as hosts of their own: the strictest client
    /// that there may be. Whether Okta Verify pins a custom domain is not known; Okta asks to exclude both in any case.
    #[must_use]
    pub fn simulated_with_custom_domains(internet: &Internet) -> Self {
        let mut table = Self::simulated(internet);
        for (host, pin) in internet.origins() {
            if zone_of(&host).is_none() && internet.organization(&host).is_some() {
                table.add(host.to_string(), pin);
            }
        }
        table
    }

    /// Adds a pin to a domain: `.okta.com` (also written `*.okta.com`) or a single host.
    ///
    /// # Errors
    /// The domain is not one.
    pub fn insert(&mut self, domain: &str, pin: Pin) -> Result<(), HostError> {
        let below = domain.strip_prefix("*.").or_else(|| domain.strip_prefix('.'));
        let host = Host::parse(below.unwrap_or(domain))?;
        self.add(if below.is_some() { format!(".{host}") } else { host.to_string() }, pin);
        Ok(())
    }

    /// Whether nothing is pinned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The pins of a host, or none where it is not pinned.
    #[must_use]
    pub fn pins(&self, host: &Host) -> Option<&[Pin]> {
        self.entry(host).map(|(_, pins)| pins)
    }

    /// The pins of a host with the domain that the event log names.
    pub(crate) fn lookup(&self, host: &Host) -> Option<Pinned> {
        let (key, pins) = self.entry(host)?;
        // A table of single hosts, as a separate process is given it, writes the same log as a table of domains.
        let zone = if key.starts_with('.') { None } else { zone_of(host) };
        Some(Pinned { domain: zone.map_or_else(|| key.to_owned(), |zone| format!(".{zone}")), pins: pins.to_vec() })
    }

    fn entry(&self, host: &Host) -> Option<(&str, &[Pin])> {
        let name = host.to_string();
        let covers = |key: &str| match key.strip_prefix('.') {
            Some(apex) => name == apex || (host.name().is_some() && name.ends_with(key)),
            None => name == key,
        };
        let found = self.entries.iter().filter(|(key, _)| covers(key));
        // A single host goes before a domain of the same length, which is its own apex with a dot.
        let longest = found.max_by_key(|(key, _)| (key.trim_start_matches('.').len(), !key.starts_with('.')));
        longest.map(|(key, pins)| (key.as_str(), pins.as_slice()))
    }

    fn add(&mut self, key: String, pin: Pin) {
        let pins = self.entries.entry(key).or_default();
        if !pins.contains(&pin) {
            pins.push(pin);
        }
    }
}

impl FromStr for PinTable {
    type Err = PinTableError;

    fn from_str(text: &str) -> Result<Self, PinTableError> {
        let mut table = Self::new();
        for entry in text.split(|c: char| c.is_whitespace() || c == ';').filter(|entry| !entry.is_empty()) {
            // The first `=`: base64 ends with some.
            let (domain, pins) = entry.split_once('=').ok_or_else(|| PinTableError::Form(entry.to_owned()))?;
            for pin in pins.split(',') {
                let parsed =
                    read_pin(pin).map_err(|error| PinTableError::Pin(pin.to_owned(), domain.to_owned(), error))?;
                table.insert(domain, parsed).map_err(|error| PinTableError::Domain(domain.to_owned(), error))?;
            }
        }
        Ok(table)
    }
}

impl fmt::Display for PinTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (domain, pins)) in self.entries.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            let pins: Vec<_> = pins.iter().map(ToString::to_string).collect();
            write!(f, "{space}{domain}={}", pins.join(","))?;
        }
        Ok(())
    }
}

/// The slash after `sha256/` may be the first character of the base64 as well as curl's second slash: whichever of the
/// two has the length of a pin.
fn read_pin(text: &str) -> Result<Pin, PinError> {
    text.strip_prefix("sha256/").and_then(|base64| base64.parse().ok()).map_or_else(|| text.parse(), Ok)
}

fn zone_of(host: &Host) -> Option<&'static str> {
    let name = host.name()?;
    let below = |zone: &&str| name == *zone || name.strip_suffix(*zone).is_some_and(|rest| rest.ends_with('.'));
    OKTA_ZONES.into_iter().find(|zone| below(zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256/r5EfzZxQVvQpKo3AgYRaT7X2bDO/kj3ACwmxfdT2zt8=";
    const B: &str = "sha256/MaqlcUgk2mvY/RFSGeSwBRkI+rZ6/dxe/DuQfBT/vnQ=";

    fn domain(table: &str, host: &str) -> Option<String> {
        let table: PinTable = table.parse().unwrap();
        table.lookup(&Host::parse(host).unwrap()).map(|pinned| pinned.domain)
    }

    #[test]
    fn text_and_table_are_the_same() {
        let text = format!(".okta.com={A},{B} acme.example={B}");
        assert_eq!(text.parse::<PinTable>().unwrap().to_string(), text);
        assert_eq!(
            format!("*.okta.com={A};*.okta.com={B}\nacme.example={B}").parse::<PinTable>().unwrap(),
            text.parse().unwrap()
        );
        assert_eq!("nothing".parse::<PinTable>(), Err(PinTableError::Form("nothing".into())));
        assert!(matches!(format!("a b={A}").parse::<PinTable>(), Err(PinTableError::Form(_))));
        assert!(matches!("a.example=sha256/x".parse::<PinTable>(), Err(PinTableError::Pin(..))));
        assert!(matches!(format!("..={A}").parse::<PinTable>(), Err(PinTableError::Domain(..))));
    }

    #[test]
    fn a_pin_may_begin_with_a_slash() {
        let pin = "/aSdYFUTVzXmrGnY70lMlayGCJL3gNUmCpnmLIYpLPU=";
        let table: PinTable = format!("a.example=sha256/{pin},sha256//{pin}").parse().unwrap();
        assert_eq!(table.to_string(), format!("a.example=sha256/{pin}"));
    }

    #[test]
    fn a_domain_covers_its_hosts_at_any_depth_and_no_others() {
        let table = format!(".okta.com={A}");
        for host in ["okta.com", "acme.okta.com", "acme.mtls.okta.com"] {
            assert_eq!(domain(&table, host).as_deref(), Some(".okta.com"), "{host}");
        }
        for host in ["notokta.com", "okta.com.example", "acme.oktapreview.com", "10.0.0.1"] {
            assert_eq!(domain(&table, host), None, "{host}");
        }
    }

    #[test]
    fn the_longest_entry_counts_and_single_hosts_are_logged_by_domain() {
        let table = format!(".okta.com={A} .mtls.okta.com={B} acme.okta.com={B} app.example={A}");
        assert_eq!(domain(&table, "x.mtls.okta.com").as_deref(), Some(".mtls.okta.com"));
        assert_eq!(domain(&table, "acme.okta.com").as_deref(), Some(".okta.com"));
        assert_eq!(domain(&table, "app.example").as_deref(), Some("app.example"));
        let table: PinTable = table.parse().unwrap();
        assert_eq!(table.pins(&Host::parse("acme.okta.com").unwrap()), Some(&[B.parse().unwrap()][..]));
    }
}
