//! Hosts and destinations: text from the network or a user becomes one of these once, at the edge.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// A host that a client wants to reach: a DNS name or an IP address.
///
/// A name is kept in its ASCII form (RFC 5890), lower-case, without the trailing dot of the root, so that two
/// spellings of one host compare equal. What the client typed is the business of whoever compares texts
/// (the policy room).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A DNS name.
    Name(Arc<str>),
    /// An IP literal.
    Ip(IpAddr),
}

/// Why a text is not a host.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HostError {
    /// Nothing was given.
    #[error("the host is empty")]
    Empty,
    /// A character that no host name has.
    #[error("`{0}` cannot stand in a host name")]
    Character(char),
    /// A label is empty or over 63 octets (RFC 1035, 2.3.4).
    #[error("each label of a host name has 1 to 63 characters")]
    Label,
    /// The whole name is over 253 characters.
    #[error("a host name has at most 253 characters")]
    Length,
    /// The Unicode form has no ASCII form (RFC 5891).
    #[error("the name has no valid ASCII (punycode) form")]
    Idna,
    /// An IPv6 literal does not parse.
    #[error("the address in brackets is not an IPv6 address")]
    Ipv6,
    /// A port is missing or is not a number from 1 to 65535.
    #[error("a port from 1 to 65535 has to follow the host, as in `example.com:443`")]
    Port,
}

impl Host {
    /// Reads a host name, an IPv4 address, or an IPv6 address with or without brackets.
    ///
    /// # Errors
    /// Says which rule of RFC 1035, RFC 5890 or RFC 4291 the text breaks.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(HostError::Ipv6)?;
            return inner.parse::<Ipv6Addr>().map(|ip| Self::Ip(ip.into())).map_err(|_| HostError::Ipv6);
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(ip));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if let Some(bad) = name.chars().find(|c| c.is_ascii() && !is_name_character(*c)) {
            return Err(HostError::Character(bad));
        }
        let name = idna::domain_to_ascii(name).map_err(|_| HostError::Idna)?;
        // Compatibility forms may hold what a name cannot: `¨` becomes a blank and a mark.
        if let Some(bad) = name.chars().find(|c| !is_name_character(*c)) {
            return Err(HostError::Character(bad));
        }
        if name.is_empty() {
            return Err(HostError::Empty);
        }
        if name.len() > 253 {
            return Err(HostError::Length);
        }
        if name.split('.').any(|label| label.is_empty() || label.len() > 63) {
            return Err(HostError::Label);
        }
        // `1.2.3.4.` and full-width digits become an address only now.
        if let Ok(ip) = name.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(ip.into()));
        }
        Ok(Self::Name(name.into()))
    }

    /// The DNS name, if it is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Ip(_) => None,
        }
    }

    /// The IP address, if it is a literal.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::Ip(ip) => Some(*ip),
        }
    }

    /// The form that TLS verification takes.
    #[must_use]
    pub fn server_name(&self) -> rustls_pki_types::ServerName<'static> {
        match self {
            Self::Ip(ip) => rustls_pki_types::ServerName::IpAddress((*ip).into()),
            // A name that DNS allows and RFC 6066 does not (`-a.example`) is looked for as `invalid.`, which no
            // certificate carries, so that verification fails instead of the program.
            Self::Name(name) => rustls_pki_types::ServerName::try_from(name.to_string())
                .unwrap_or_else(|_| rustls_pki_types::ServerName::try_from("name.invalid").expect("a literal name")),
        }
    }
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(ip) => write!(f, "{ip}"),
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::parse(text)
    }
}

impl serde::Serialize for Host {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A host with the port that the client wants, as in the target of a `CONNECT` (RFC 9110, 9.3.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// The host.
    pub host: Host,
    /// The TCP port, never 0.
    pub port: u16,
}

impl Destination {
    /// A destination of its two parts.
    #[must_use]
    pub fn new(host: Host, port: u16) -> Self {
        Self { host, port }
    }

    /// Reads `host:port`, `1.2.3.4:port` or `[v6]:port`.
    ///
    /// # Errors
    /// The port is missing or wrong, or the host is not one.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let (host, port) = split_port(text).ok_or(HostError::Port)?;
        Ok(Self { host: Host::parse(host)?, port })
    }

    /// Reads `host` or `host:port`; without a port it is `default_port`.
    ///
    /// # Errors
    /// The port is wrong, or the host is not one.
    pub fn parse_or(text: &str, default_port: u16) -> Result<Self, HostError> {
        match Host::parse(text) {
            Ok(host) => Ok(Self { host, port: default_port }),
            Err(_) => Self::parse(text),
        }
    }
}

/// Splits `host:port` at the colon that ends the host; `None` without a port from 1 to 65535.
pub(crate) fn split_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    if host.contains(':') && !host.starts_with('[') {
        return None;
    }
    if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    port.parse().ok().filter(|port| *port != 0).map(|port| (host, port))
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

impl FromStr for Destination {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::parse(text)
    }
}

impl serde::Serialize for Destination {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> String {
        Host::parse(text).map_or_else(|error| format!("{error:?}"), |host| host.to_string())
    }

    #[test]
    fn spellings_of_one_host_are_equal() {
        assert_eq!(host("ACME.Okta.com."), "acme.okta.com");
        assert_eq!(host("bücher.example"), "xn--bcher-kva.example");
        assert_eq!(host("[::1]"), "::1");
        assert_eq!(host("::1"), "::1");
        assert_eq!(host("127.0.0.1."), "127.0.0.1");
        assert_eq!(host("_dmarc.example.com"), "_dmarc.example.com");
    }

    #[test]
    fn what_is_no_host_says_why() {
        assert_eq!(Host::parse(""), Err(HostError::Empty));
        assert_eq!(Host::parse("."), Err(HostError::Empty));
        assert_eq!(Host::parse("a..b"), Err(HostError::Label));
        assert_eq!(Host::parse("a b"), Err(HostError::Character(' ')));
        assert_eq!(Host::parse("*.okta.com"), Err(HostError::Character('*')));
        assert!(Host::parse("¨").is_err());
        assert_eq!(Host::parse("[::1"), Err(HostError::Ipv6));
        assert_eq!(Host::parse(&"a".repeat(64)), Err(HostError::Label));
        assert_eq!(Host::parse(&vec!["abcd"; 60].join(".")), Err(HostError::Length));
    }

    #[test]
    fn destinations_need_a_port() {
        assert_eq!(Destination::parse("a.example:443").unwrap().to_string(), "a.example:443");
        assert_eq!(Destination::parse("[2001:db8::1]:8443").unwrap().to_string(), "[2001:db8::1]:8443");
        for bad in ["a.example", "a.example:", "a.example:0", "a.example:65536", "a.example:+1", "::1:443"] {
            assert_eq!(Destination::parse(bad), Err(HostError::Port), "{bad}");
        }
        assert_eq!(Destination::parse_or("::1", 443).unwrap().to_string(), "[::1]:443");
        assert_eq!(Destination::parse_or("a.example:8443", 443).unwrap().port, 8443);
    }
}
