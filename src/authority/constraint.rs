//! X.509 name constraints (RFC 5280, 4.2.1.10): what a trusted test CA may sign for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use rustls_pki_types::CertificateDer;
use thiserror::Error;
use x509_parser::extensions::{GeneralName, GeneralSubtree};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::net::Host;
use crate::net::der::{self, tag};

/// What a constrained CA may sign for: a domain with every name below it, or a network.
///
/// Written `okta.com` (`.okta.com` and `*.okta.com` mean the same) or `10.0.0.0/8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit(Subtree);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subtree {
    Domain(String),
    Network(IpNet),
}

/// Why a text permits nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is neither a domain, as `okta.com`, nor a network, as `10.0.0.0/8`")]
pub struct PermitError(String);

impl FromStr for Permit {
    type Err = PermitError;

    fn from_str(text: &str) -> Result<Self, PermitError> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self(Subtree::Network(network.trunc())));
        }
        let domain = text.strip_prefix('*').unwrap_or(text);
        let domain = domain.strip_prefix('.').unwrap_or(domain);
        match Host::parse(domain) {
            Ok(Host::Name(name)) => Ok(Self(Subtree::Domain(name.to_string()))),
            Ok(Host::Ip(ip)) => Ok(Self(Subtree::Network(ip.into()))),
            Err(_) => Err(PermitError(text.to_owned())),
        }
    }
}

impl fmt::Display for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Subtree::Domain(domain) => f.write_str(domain),
            Subtree::Network(network) => write!(f, "{network}"),
        }
    }
}

/// Stands where no domain is permitted: with no name of the kind at all, every DNS name would be.
const NO_DOMAIN: &str = "name.invalid";

/// The value of the extension. A kind of name without a permit is shut, because RFC 5280 leaves it open.
pub(super) fn extension(permits: &[Permit]) -> Vec<u8> {
    let domains: Vec<&str> = permits.iter().filter_map(Permit::domain).collect();
    let networks: Vec<IpNet> = permits.iter().filter_map(Permit::network).collect();
    let mut permitted: Vec<Vec<u8>> = networks.iter().map(network_subtree).collect();
    if domains.is_empty() {
        permitted.push(domain_subtree(NO_DOMAIN));
    }
    permitted.extend(domains.into_iter().map(domain_subtree));
    let mut parts = vec![der::wrap(tag::context(0), &permitted)];
    if networks.is_empty() {
        let every = [IpNet::from(IpAddr::from(Ipv4Addr::UNSPECIFIED)), IpAddr::from(Ipv6Addr::UNSPECIFIED).into()]
            .map(|network| IpNet::new(network.addr(), 0).unwrap_or(network));
        parts.push(der::wrap(tag::context(1), &every.iter().map(network_subtree).collect::<Vec<_>>()));
    }
    der::wrap(tag::SEQUENCE, &parts)
}

/// The value of an extension that excludes one host and permits everything else.
pub(super) fn excluding(host: &Host) -> Vec<u8> {
    let subtree = match host {
        Host::Name(name) => domain_subtree(name),
        Host::Ip(ip) => network_subtree(&IpNet::from(*ip)),
    };
    der::element(tag::SEQUENCE, &der::element(tag::context(1), &subtree))
}

fn domain_subtree(domain: &str) -> Vec<u8> {
    der::element(tag::SEQUENCE, &der::element(tag::DNS_NAME, domain.as_bytes()))
}

fn network_subtree(network: &IpNet) -> Vec<u8> {
    let content = match network {
        IpNet::V4(network) => [network.network().octets(), network.netmask().octets()].concat(),
        IpNet::V6(network) => [network.network().octets(), network.netmask().octets()].concat(),
    };
    der::element(tag::SEQUENCE, &der::element(tag::IP_ADDRESS, &content))
}

impl Permit {
    fn domain(&self) -> Option<&str> {
        match &self.0 {
            Subtree::Domain(domain) => Some(domain),
            Subtree::Network(_) => None,
        }
    }

    fn network(&self) -> Option<IpNet> {
        match &self.0 {
            Subtree::Domain(_) => None,
            Subtree::Network(network) => Some(*network),
        }
    }
}

/// The constraints of one certificate, as far as they concern DNS names and addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Constraints {
    permitted: Vec<Permit>,
    excluded: Vec<Permit>,
}

impl Constraints {
    /// Reads them off a certificate; none where it has none.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Self::default() };
        let Ok(Some(constraints)) = certificate.name_constraints() else { return Self::default() };
        let read = |subtrees: &Option<Vec<GeneralSubtree<'_>>>| {
            subtrees.iter().flatten().filter_map(|subtree| permit_of(&subtree.base)).collect()
        };
        Self {
            permitted: read(&constraints.value.permitted_subtrees),
            excluded: read(&constraints.value.excluded_subtrees),
        }
    }

    /// What is permitted, as it was asked for.
    pub(super) fn permits(&self) -> impl Iterator<Item = &Permit> {
        self.permitted.iter().filter(|permit| permit.domain() != Some(NO_DOMAIN))
    }

    /// Whether anything is constrained.
    pub(super) fn is_none(&self) -> bool {
        self.permitted.is_empty() && self.excluded.is_empty()
    }

    /// Whether a certificate for this name (`*.okta.com` included) or address may be signed.
    pub(super) fn allow_name(&self, name: &str) -> bool {
        let name = name.strip_prefix("*.").unwrap_or(name);
        let below = |permit: &Permit| permit.domain().is_some_and(|domain| is_below(name, domain));
        let mut domains = self.permitted.iter().filter(|permit| permit.domain().is_some()).peekable();
        !self.excluded.iter().any(below) && (domains.peek().is_none() || domains.any(below))
    }

    /// Whether a certificate for this address may be signed.
    pub(super) fn allow_ip(&self, ip: IpAddr) -> bool {
        let inside = |permit: &Permit| permit.network().is_some_and(|network| network.contains(&ip));
        let mut networks = self.permitted.iter().filter(|permit| permit.network().is_some()).peekable();
        !self.excluded.iter().any(inside) && (networks.peek().is_none() || networks.any(inside))
    }

    /// Whether a certificate for this host may be signed.
    pub(super) fn allow(&self, host: &Host) -> bool {
        match host {
            Host::Name(name) => self.allow_name(name),
            Host::Ip(ip) => self.allow_ip(*ip),
        }
    }
}

fn is_below(name: &str, domain: &str) -> bool {
    if domain.is_empty() {
        return true;
    }
    let Some(split) = name.len().checked_sub(domain.len()) else { return false };
    name.get(split..).is_some_and(|end| end.eq_ignore_ascii_case(domain))
        && (split == 0 || domain.starts_with('.') || name.as_bytes()[split - 1] == b'.')
}

fn permit_of(name: &GeneralName<'_>) -> Option<Permit> {
    match name {
        GeneralName::DNSName(domain) => Some(Permit(Subtree::Domain((*domain).to_owned()))),
        GeneralName::IPAddress(bytes) => {
            let (address, mask) = bytes.split_at(bytes.len() / 2);
            let ip = |octets: &[u8]| {
                let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
                v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
            };
            IpNet::with_netmask(ip(address)?, ip(mask)?).ok().map(|network| Permit(Subtree::Network(network)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_read_in_every_spelling() {
        for text in ["okta.com", ".okta.com", "*.okta.com", "OKTA.com."] {
            assert_eq!(text.parse::<Permit>().unwrap().to_string(), "okta.com");
        }
        assert_eq!("10.1.2.3/8".parse::<Permit>().unwrap().to_string(), "10.0.0.0/8");
        assert_eq!("::1".parse::<Permit>().unwrap().to_string(), "::1/128");
        assert_eq!("a b".parse::<Permit>(), Err(PermitError("a b".to_owned())));
    }

    #[test]
    fn a_domain_covers_itself_and_what_is_below() {
        assert!(is_below("okta.com", "okta.com"));
        assert!(is_below("a.b.OKTA.com", "okta.com"));
        assert!(!is_below("notokta.com", "okta.com"));
        assert!(!is_below("com", "okta.com"));
        assert!(!is_below("okta.com", ".okta.com"));
        assert!(is_below("a.okta.com", ".okta.com"));
    }
}
