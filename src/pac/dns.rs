//! What a script may ask about names and addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::net::{Host, Overrides};

/// Whoever answers the look-ups of a PAC script.
///
/// Literal addresses and `localhost` are answered without it.
pub trait PacDns {
    /// The addresses of a name; none where it does not resolve.
    fn resolve(&self, name: &str) -> Vec<IpAddr>;

    /// The addresses of the machine that the script runs on, the most useful one first.
    fn own_addresses(&self) -> Vec<IpAddr> {
        vec![Ipv4Addr::LOCALHOST.into()]
    }
}

/// Names resolve to the addresses that stand in for them at any port; all others do not resolve.
impl PacDns for Overrides {
    fn resolve(&self, name: &str) -> Vec<IpAddr> {
        Host::parse(name).map(|host| self.addresses(&host)).unwrap_or_default()
    }
}

/// No name resolves.
pub(super) struct NoNames;

impl PacDns for NoNames {
    fn resolve(&self, _: &str) -> Vec<IpAddr> {
        Vec::new()
    }
}

/// The addresses of what a script calls a host: a literal is itself, `localhost` is this machine (RFC 6761, 6.3).
pub(super) fn resolve(dns: &dyn PacDns, host: &str) -> Vec<IpAddr> {
    match Host::parse(host) {
        Ok(Host::Ip(address)) => vec![address],
        Ok(Host::Name(name)) if *name == *"localhost" || name.ends_with(".localhost") => {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        Ok(Host::Name(name)) => dns.resolve(&name),
        Err(_) => Vec::new(),
    }
}

/// Addresses as Microsoft's functions write them.
pub(super) fn join(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(";")
}

/// `isInNetEx`: whether a literal address lies in a range such as `198.95.0.0/16` or `2001:db8::/32`.
pub(super) fn in_network(address: &str, range: &str) -> bool {
    let range = range.trim().parse::<IpNet>();
    address.trim().parse::<IpAddr>().is_ok_and(|address| range.is_ok_and(|range| range.contains(&address)))
}

/// `sortIpAddressList`: IPv6 before IPv4, each ascending; `None` where the list is empty or holds something else.
pub(super) fn sort(list: &str) -> Option<String> {
    let read: Result<Vec<IpAddr>, _> = list.split(';').map(|address| address.trim().parse()).collect();
    let mut addresses = read.ok()?;
    addresses.sort_by_key(|address| (address.is_ipv4(), *address));
    Some(join(&addresses))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_answer_for_any_port_and_literals_for_themselves() {
        let mut overrides = Overrides::new();
        overrides.insert("a.example:8443:10.0.0.2,2001:db8::2".parse().unwrap());
        overrides.insert("a.example:443:10.0.0.1,10.0.0.2".parse().unwrap());
        assert_eq!(join(&resolve(&overrides, "A.example.")), "10.0.0.1;10.0.0.2;2001:db8::2");
        assert_eq!(join(&resolve(&overrides, "b.example")), "");
        assert_eq!(join(&resolve(&overrides, "192.0.2.1")), "192.0.2.1");
        assert_eq!(join(&resolve(&overrides, "no host")), "");
        assert_eq!(join(&resolve(&overrides, "localhost")), "127.0.0.1;::1");
        overrides.insert("*:443:10.9.9.9".parse().unwrap());
        assert_eq!(join(&resolve(&overrides, "b.example")), "10.9.9.9");
        assert_eq!(join(&resolve(&overrides, "a.example")), "10.0.0.1;10.0.0.2;2001:db8::2");
    }

    #[test]
    fn lists_are_sorted_and_ranges_searched() {
        assert_eq!(sort("10.2.3.9;2001:db8::1;127.0.0.1;::9").unwrap(), "::9;2001:db8::1;10.2.3.9;127.0.0.1");
        assert_eq!((sort(""), sort("10.0.0.1;x")), (None, None));
        assert!(
            in_network("198.95.249.79", "198.95.249.79/32") && in_network("3ffe:8311:ffff::1", "3ffe:8311:ffff::/48")
        );
        assert!(
            !in_network("a.example", "0.0.0.0/0") && !in_network("10.0.0.1", "::/0") && !in_network("10.0.0.1", "x")
        );
    }
}
