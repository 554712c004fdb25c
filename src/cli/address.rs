//! Addresses and networks as people type them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::net::Destination;

/// Where the control API listens, and is looked for, where nothing else is said.
pub(super) const DEFAULT_CONTROL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

/// Where the control API listens, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Off,
    At(SocketAddr),
}

impl FromStr for Control {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            _ => listen(text).map(Self::At).map_err(|error| format!("{error}, or `off`")),
        }
    }
}

/// An address to listen on.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    let own_machine = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    own_machine.as_deref().unwrap_or(text).parse().map_err(|_| {
        "write an address with its port, as in `127.0.0.1:8080`, or `127.0.0.1:0` for any free port".to_owned()
    })
}

/// A port here, with where it leads.
pub(super) fn forward(text: &str) -> Result<(SocketAddr, Destination), String> {
    let wrong = || "write PORT=HOST:PORT, as in `8443=acme.okta.com:443`".to_owned();
    let (here, there) = text.split_once('=').ok_or_else(wrong)?;
    let here = match here.parse::<u16>() {
        Ok(port) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
        Err(_) => listen(here).map_err(|_| wrong())?,
    };
    Destination::parse(there).map(|there| (here, there)).map_err(|error| format!("{}: {error}", wrong()))
}

/// A network of clients, or a single one.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let single = text.parse::<IpAddr>().map(IpNet::from);
    single
        .or_else(|_| text.parse::<IpNet>())
        .map(|network| network.trunc())
        .map_err(|_| "write a network as in `192.168.1.0/24`, or one address".to_owned())
}

/// Where clients of this machine reach what listens here.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_people_type_them() {
        assert_eq!(listen("localhost:80"), Ok(([127, 0, 0, 1], 80).into()));
        assert!(listen("8080").is_err() && listen("127.0.0.1").is_err());
        let forwarded = forward("8443=acme.okta.com:443").unwrap();
        assert_eq!(
            (forwarded.0.to_string(), forwarded.1.to_string()),
            ("127.0.0.1:8443".into(), "acme.okta.com:443".into())
        );
        assert!(forward("8443").is_err() && forward("8443=acme.okta.com").is_err() && forward("x=a:1").is_err());
        assert_eq!("off".parse(), Ok(Control::Off));
        assert!("on".parse::<Control>().is_err_and(|error| error.ends_with(", or `off`")));
        assert_eq!(network("10.1.2.3/8").map(|network| network.to_string()), Ok("10.0.0.0/8".to_owned()));
        assert_eq!(network("::1").map(|network| network.to_string()), Ok("::1/128".to_owned()));
        assert_eq!(reachable("0.0.0.0:1".parse().unwrap()), "127.0.0.1:1".parse().unwrap());
    }
}
