//! Conditions of a rule beside its pattern: networks and ports.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use thiserror::Error;

/// A range of IP addresses (RFC 4632, RFC 4291 section 2.3), or one address.
///
/// IPv4-mapped IPv6 addresses (`::ffff:10.0.0.1`) count as the IPv4 addresses they stand for, because a dual-stack
/// socket reports IPv4 peers in that form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpNet);

/// Why a text is not a network.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NetworkError {
    /// Neither an address nor one with a prefix length.
    #[error("`{0}` is not an IP address or range; write `10.1.2.3`, `10.0.0.0/8` or `2001:db8::/32`")]
    Address(String),
    /// Bits after the prefix are set, so that one of the two is a mistake.
    #[error("`{typed}` has bits set after its prefix; write `{network}` for the range, or the address alone")]
    HostBits {
        /// As typed.
        typed: String,
        /// The range that the prefix describes.
        network: Network,
    },
    /// The prefix length is not a number in range.
    #[error("the prefix length of `{typed}` is not a number from 0 to {longest}")]
    Prefix {
        /// As typed.
        typed: String,
        /// 32 or 128.
        longest: u8,
    },
}

/// A port, or a range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ports {
    first: u16,
    last: u16,
}

/// The text is not a port or a range of ports.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a port; write a number from 1 to 65535, or a range such as \"8000-8999\"")]
pub struct PortsError(String);

impl Network {
    /// The network of one address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(IpNet::from(address.to_canonical()))
    }

    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    pub(super) fn net(self) -> IpNet {
        self.0
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let no_address = || NetworkError::Address(text.to_owned());
        let Some((address, length)) = text.split_once('/') else {
            return text.parse().map(Self::of).map_err(|_| no_address());
        };
        let address: IpAddr = address.parse().map_err(|_| no_address())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = || NetworkError::Prefix { typed: text.to_owned(), longest };
        if !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(prefix());
        }
        let length: u8 = length.parse().map_err(|_| prefix())?;
        let net = IpNet::new(address, length).map_err(|_| prefix())?;
        if net.trunc() != net {
            let network = Self(net.trunc());
            return Err(NetworkError::HostBits { typed: text.to_owned(), network });
        }
        Ok(Self(match (address.to_canonical(), length.checked_sub(96)) {
            (IpAddr::V4(v4), Some(short)) if address.is_ipv6() => Ipv4Net::new(v4, short).map_or(net, IpNet::V4),
            _ => net,
        }))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            write!(f, "{}", self.0.addr())
        } else {
            write!(f, "{}", self.0)
        }
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NetworkVisitor)
    }
}

/// A visitor, because an error out of a visitor keeps the place of an element within its array.
struct NetworkVisitor;

impl Visitor<'_> for NetworkVisitor {
    type Value = Network;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an IP address or range, such as \"10.0.0.0/8\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Network, E> {
        text.parse().map_err(E::custom)
    }
}

impl Ports {
    /// A range with both ends; `None` where it is empty or begins at 0.
    #[must_use]
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first != 0 && first <= last).then_some(Self { first, last })
    }

    /// Whether the port lies in it.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// The first and the last.
    #[must_use]
    pub fn ends(&self) -> (u16, u16) {
        (self.first, self.last)
    }

    /// The port, if it is one alone.
    #[must_use]
    pub fn single(&self) -> Option<u16> {
        (self.first == self.last).then_some(self.first)
    }
}

impl FromStr for Ports {
    type Err = PortsError;

    fn from_str(text: &str) -> Result<Self, PortsError> {
        let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let number = |text: &str| Some(text).filter(digits).and_then(|text| text.parse::<u16>().ok());
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = number(first).zip(number(last)).and_then(|(first, last)| Self::new(first, last));
        range.ok_or_else(|| PortsError(text.to_owned()))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.single() {
            Some(port) => write!(f, "{port}"),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.single() {
            Some(port) => serializer.serialize_u16(port),
            None => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortsVisitor)
    }
}

struct PortsVisitor;

impl Visitor<'_> for PortsVisitor {
    type Value = Ports;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port (443) or a range of ports (\"8000-8999\")")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Ports, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Ports, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Ports, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> String {
        text.parse::<Network>().map_or_else(|error| error.to_string(), |network| network.to_string())
    }

    #[test]
    fn networks_are_read_and_mended() {
        assert_eq!(network("10.0.0.0/8"), "10.0.0.0/8");
        assert_eq!(network("10.1.2.3"), "10.1.2.3");
        assert_eq!(network("10.1.2.3/32"), "10.1.2.3");
        assert_eq!(network("2001:db8::/32"), "2001:db8::/32");
        assert_eq!(network("::ffff:10.0.0.0/104"), "10.0.0.0/8");
        assert_eq!(
            network("10.1.2.3/8"),
            "`10.1.2.3/8` has bits set after its prefix; write `10.0.0.0/8` for the range, or the address alone"
        );
        assert_eq!(network("10.0.0.0/33"), "the prefix length of `10.0.0.0/33` is not a number from 0 to 32");
        assert_eq!(network("::/+1"), "the prefix length of `::/+1` is not a number from 0 to 128");
        assert!(network("okta.com").starts_with("`okta.com` is not an IP address or range"));
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        let network: Network = "10.0.0.0/8".parse().unwrap();
        assert!(network.contains("::ffff:10.9.9.9".parse().unwrap()));
        assert!(!network.contains("::ffff:11.0.0.1".parse().unwrap()));
        assert!(!network.contains("::1".parse().unwrap()));
    }

    #[test]
    fn ports_are_numbers_or_ranges() {
        let read = |json: &str| serde_json::from_str::<Ports>(json).map_err(|error| error.to_string());
        assert_eq!(read("443").unwrap().to_string(), "443");
        assert_eq!(read("\"8000-8999\"").unwrap().to_string(), "8000-8999");
        assert_eq!(serde_json::to_string(&read("\"443\"").unwrap()).unwrap(), "443");
        for bad in ["0", "-1", "65536", "\"9-8\"", "\"0-5\"", "\"+1\"", "\"\""] {
            assert!(read(bad).unwrap_err().contains("is not a port"), "{bad}");
        }
        let range = read("\"8000-8999\"").unwrap();
        assert!(range.contains(8000) && range.contains(8999) && !range.contains(7999) && !range.contains(9000));
    }
}
