//! Resolve overrides: names that are answered here instead of by DNS, as with curl's `--resolve`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use super::{Destination, Host, HostError};

/// A table of destinations with the addresses that stand in for them.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    exact: HashMap<Destination, Vec<SocketAddr>>,
    /// By the name below which the hosts stand, and the port.
    below: HashMap<(Arc<str>, u16), Vec<SocketAddr>>,
    any_host: HashMap<u16, Vec<SocketAddr>>,
}

/// One override: `HOST:PORT:ADDR`, where `HOST` may be `*` or `*.example.com`, and `ADDR` may be several with commas
/// between them, each with a port of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveEntry {
    /// The hosts that it is for.
    pub hosts: ResolveHosts,
    /// The port that the client asks for.
    pub port: u16,
    /// Where it is sent instead.
    pub addresses: Vec<SocketAddr>,
}

/// The hosts that an override is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveHosts {
    /// `*`: every one.
    Any,
    /// `*.example.com`: every name below this one, at any depth, not the name itself.
    Below(Arc<str>),
    /// One host.
    Exact(Host),
}

/// Why a text is not a resolve override.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ResolveEntryError {
    /// A part is missing.
    #[error("write HOST:PORT:ADDR, as in `acme.okta.com:443:127.0.0.1` or `acme.okta.com:443:127.0.0.1:8443`")]
    Form,
    /// The host is not one.
    #[error("the host: {0}; it is a name, an address, `*.` before a name, or `*` for every host")]
    Host(#[from] HostError),
    /// The address is not one.
    #[error("`{0}` is not an IP address, nor an address with a port")]
    Address(String),
}

impl Overrides {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one entry; a later one for the same host and port replaces an earlier one.
    pub fn insert(&mut self, entry: ResolveEntry) {
        match entry.hosts {
            ResolveHosts::Exact(host) => self.exact.insert(Destination::new(host, entry.port), entry.addresses),
            ResolveHosts::Below(name) => self.below.insert((name, entry.port), entry.addresses),
            ResolveHosts::Any => self.any_host.insert(entry.port, entry.addresses),
        };
    }

    /// Adds one destination with one address.
    pub fn point(&mut self, destination: Destination, address: SocketAddr) {
        self.exact.insert(destination, vec![address]);
    }

    /// The addresses that stand in for a destination: of the host itself, else of the longest wildcard above it, else
    /// of `*` with that port.
    #[must_use]
    pub fn lookup(&self, destination: &Destination) -> Option<&[SocketAddr]> {
        let found = self.exact.get(destination).or_else(|| self.lookup_below(destination));
        found.or_else(|| self.any_host.get(&destination.port)).map(Vec::as_slice)
    }

    fn lookup_below(&self, destination: &Destination) -> Option<&Vec<SocketAddr>> {
        let mut name = destination.host.name().filter(|_| !self.below.is_empty())?;
        while let Some((_, above)) = name.split_once('.') {
            if let Some(found) = self.below.get(&(Arc::from(above), destination.port)) {
                return Some(found);
            }
            name = above;
        }
        None
    }

    /// The addresses that stand in for a host at any port, the lowest port first: of the host itself, else of `*`.
    #[must_use]
    pub fn addresses(&self, host: &Host) -> Vec<IpAddr> {
        let own = self.exact.iter().filter(|(destination, _)| destination.host == *host);
        let mut entries: Vec<_> = own.map(|(destination, found)| (destination.port, found)).collect();
        if entries.is_empty() {
            entries = self.any_host.iter().map(|(port, found)| (*port, found)).collect();
        }
        entries.sort_unstable_by_key(|(port, _)| *port);
        let mut addresses = Vec::new();
        for address in entries.into_iter().flat_map(|(_, found)| found).map(SocketAddr::ip) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }
}

impl ResolveEntry {
    /// The one name that it is for, with the addresses that stand in for it.
    #[must_use]
    pub fn name_with_addresses(&self) -> Option<(String, Vec<IpAddr>)> {
        match &self.hosts {
            ResolveHosts::Exact(Host::Name(name)) => {
                Some((name.to_string(), self.addresses.iter().map(SocketAddr::ip).collect()))
            }
            ResolveHosts::Any | ResolveHosts::Below(_) | ResolveHosts::Exact(Host::Ip(_)) => None,
        }
    }
}

impl FromStr for ResolveEntry {
    type Err = ResolveEntryError;

    fn from_str(text: &str) -> Result<Self, ResolveEntryError> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(v6) => {
                let (inner, rest) = v6.split_once("]:").ok_or(ResolveEntryError::Form)?;
                (inner, rest)
            }
            None => text.split_once(':').ok_or(ResolveEntryError::Form)?,
        };
        let (port, addresses) = rest.split_once(':').ok_or(ResolveEntryError::Form)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(ResolveEntryError::Form)?;
        let hosts = match (host, host.strip_prefix("*.")) {
            ("*", _) => ResolveHosts::Any,
            (_, None) => ResolveHosts::Exact(Host::parse(host)?),
            (_, Some(name)) => match Host::parse(name)? {
                Host::Name(name) => ResolveHosts::Below(name),
                // Nothing is below an address.
                Host::Ip(_) => return Err(HostError::Character('*').into()),
            },
        };
        let addresses = addresses
            .split(',')
            .map(|address| {
                let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
                bare.parse::<IpAddr>()
                    .map(|ip| SocketAddr::new(ip, port))
                    .or_else(|_| address.parse::<SocketAddr>())
                    .map_err(|_| ResolveEntryError::Address(address.to_owned()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { hosts, port, addresses })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Result<Vec<String>, ResolveEntryError> {
        let entry = text.parse::<ResolveEntry>()?;
        Ok(entry.addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn reads_what_curl_reads_and_a_port() {
        assert_eq!(entry("a.example:443:127.0.0.1").unwrap(), ["127.0.0.1:443"]);
        assert_eq!(entry("a.example:443:127.0.0.1,::1").unwrap(), ["127.0.0.1:443", "[::1]:443"]);
        assert_eq!(entry("a.example:443:[::1]").unwrap(), ["[::1]:443"]);
        assert_eq!(entry("a.example:443:127.0.0.1:8443").unwrap(), ["127.0.0.1:8443"]);
        assert_eq!(entry("[2001:db8::1]:443:127.0.0.1").unwrap(), ["127.0.0.1:443"]);
        assert_eq!(entry("a.example:443"), Err(ResolveEntryError::Form));
        assert_eq!(entry("a.example:x:127.0.0.1"), Err(ResolveEntryError::Form));
        assert_eq!(entry("a.example:443:nowhere"), Err(ResolveEntryError::Address("nowhere".into())));
    }

    #[test]
    fn an_exact_host_goes_before_the_wildcard() {
        let mut overrides = Overrides::new();
        overrides.insert("*:443:127.0.0.1:1".parse().unwrap());
        overrides.insert("a.example:443:127.0.0.1:2".parse().unwrap());
        let at = |text: &str| overrides.lookup(&text.parse().unwrap()).map(|found| found[0].port());
        assert_eq!((at("a.example:443"), at("b.example:443"), at("a.example:80")), (Some(2), Some(1), None));
    }

    #[test]
    fn the_longest_wildcard_counts_and_not_for_its_own_name() {
        let mut overrides = Overrides::new();
        overrides.insert("*.Example.com.:443:127.0.0.1:1".parse().unwrap());
        overrides.insert("*.b.example.com:443:127.0.0.1:2".parse().unwrap());
        overrides.insert("x.b.example.com:443:127.0.0.1:3".parse().unwrap());
        let at = |text: &str| overrides.lookup(&text.parse().unwrap()).map(|found| found[0].port());
        assert_eq!(at("a.example.com:443"), Some(1));
        assert_eq!(at("deep.a.example.com:443"), Some(1));
        assert_eq!(at("a.b.example.com:443"), Some(2));
        assert_eq!(at("x.b.example.com:443"), Some(3));
        assert_eq!(at("b.example.com:443"), Some(1));
        for none in ["example.com:443", "a.example.com:80", "notexample.com:443", "127.0.0.1:443"] {
            assert_eq!(at(none), None, "{none}");
        }
        for wrong in ["*.10.0.0.1:443:127.0.0.1", "a.*.example.com:443:127.0.0.1", "*.:443:127.0.0.1"] {
            assert!(matches!(wrong.parse::<ResolveEntry>(), Err(ResolveEntryError::Host(_))), "{wrong}");
        }
    }
}
