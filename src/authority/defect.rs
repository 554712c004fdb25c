//! Defects on request: certificates that no careful client accepts, each wrong in exactly one way.
//!
//! They serve to find out what a client checks. An origin that is not trusted is shown without the defect, as the
//! profile shows it: a defect is a fault of the middlebox and never hides one of the origin.
//!
//! Two classics are not here, because the TLS library refuses to make them and every present client refuses them
//! before it looks at anything else: keys of RSA with 1,024 bits, and signatures with SHA-1.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::names::MAX_COMMON_NAME;
use crate::net::Host;
use crate::source::did_you_mean;

/// One way in which a forged certificate or its chain is wrong.
#[derive(Clone, Copy, Debug, Deserialize, Hash, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Defect {
    /// The leaf is signed with its own key (RFC 5280, 6.1: no path to a trust anchor).
    SelfSigned,
    /// The leaf is signed by a CA that no client trusts.
    UnknownCa,
    /// The leaf names another host (RFC 9525, 6.3).
    WrongHost,
    /// The leaf names the domain above the host alone, as `okta.com` for `acme.okta.com` (RFC 9525, 6.3).
    ParentDomain,
    /// The leaf has a wildcard that would have to stand for two labels, as `*.okta.com` for `a.b.okta.com`
    /// (RFC 9525, 6.3: it stands for one).
    WildcardTwoLabels,
    /// The host stands in the common name and nowhere else (RFC 9525, 2: clients look at alternative names only).
    CommonNameOnly,
    /// The leaf ended yesterday (RFC 5280, 4.1.2.5).
    Expired,
    /// The leaf begins tomorrow (RFC 5280, 4.1.2.5).
    NotYetValid,
    /// The leaf is for TLS clients, not for servers (RFC 5280, 4.2.1.12).
    NoServerAuth,
    /// The leaf says that it is a CA. RFC 5280 leaves it open; webpki refuses it, OpenSSL accepts it.
    LeafIsCa,
    /// The leaf has a critical extension that nobody knows (RFC 5280, 4.2).
    UnknownCriticalExtension,
    /// The intermediate that signed the leaf is not sent, and the leaf does not say where to fetch it
    /// (RFC 8446, 4.4.2).
    IntermediateMissing,
    /// What signed the leaf is no CA (RFC 5280, 6.1.4 k).
    IssuerNotCa,
    /// One CA more than the CA above allows (RFC 5280, 6.1.4 l).
    PathTooLong,
    /// The intermediate may not sign for the host (RFC 5280, 6.1.3 c).
    NameConstraintExcludes,
    /// The certificate is a trusted forgery, and the origin's own leaf is sent behind it. The path verifies without
    /// it; a client that looks for its pins in everything that was sent, and not in the path, finds them there
    /// (CVE-2016-2402). Only where there is an origin's certificate.
    GenuineChainAppended,
}

/// A text names no defect.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("no defect is called `{name}`; there are {}{}", known(), guess.map(|guess| format!(" (did you mean `{guess}`?)")).unwrap_or_default())]
pub struct UnknownDefect {
    name: String,
    guess: Option<&'static str>,
}

/// What a leaf names in place of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Name(String),
    Ip(IpAddr),
    /// No alternative name; the host as common name.
    CommonNameAlone,
}

impl Defect {
    /// Every defect.
    pub const ALL: [Self; 16] = [
        Self::SelfSigned,
        Self::UnknownCa,
        Self::WrongHost,
        Self::ParentDomain,
        Self::WildcardTwoLabels,
        Self::CommonNameOnly,
        Self::Expired,
        Self::NotYetValid,
        Self::NoServerAuth,
        Self::LeafIsCa,
        Self::UnknownCriticalExtension,
        Self::IntermediateMissing,
        Self::IssuerNotCa,
        Self::PathTooLong,
        Self::NameConstraintExcludes,
        Self::GenuineChainAppended,
    ];

    /// The name, as `--defect` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SelfSigned => "self-signed",
            Self::UnknownCa => "unknown-ca",
            Self::WrongHost => "wrong-host",
            Self::ParentDomain => "parent-domain",
            Self::WildcardTwoLabels => "wildcard-two-labels",
            Self::CommonNameOnly => "common-name-only",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::NoServerAuth => "no-server-auth",
            Self::LeafIsCa => "leaf-is-ca",
            Self::UnknownCriticalExtension => "unknown-critical-extension",
            Self::IntermediateMissing => "intermediate-missing",
            Self::IssuerNotCa => "issuer-not-ca",
            Self::PathTooLong => "path-too-long",
            Self::NameConstraintExcludes => "name-constraint-excludes",
            Self::GenuineChainAppended => "genuine-chain-appended",
        }
    }

    /// Whether a certificate for this host can have the defect. An address has no parent domain, nor has `localhost`.
    #[must_use]
    pub fn fits(self, host: &Host) -> bool {
        match self {
            Self::ParentDomain | Self::WildcardTwoLabels => above(host).is_some(),
            Self::CommonNameOnly => {
                matches!(host, Host::Name(name) if name.chars().count() <= MAX_COMMON_NAME)
            }
            _ => true,
        }
    }

    /// What the leaf names instead of what it should; `None` where its names are right.
    pub(super) fn shown(self, host: &Host) -> Option<Shown> {
        Some(match self {
            // Below the host, so that a CA constrained to the host's domain may sign for it.
            Self::WrongHost => match host {
                Host::Name(name) => Shown::Name(format!("wrong-host.{name}")),
                Host::Ip(ip) => Shown::Ip(neighbour(*ip)),
            },
            Self::ParentDomain => Shown::Name(above(host)?.1.to_owned()),
            Self::WildcardTwoLabels => {
                let (_, parent) = above(host)?;
                let (_, grandparent) = parent.split_once('.')?;
                Shown::Name(format!("*.{grandparent}"))
            }
            Self::CommonNameOnly => Shown::CommonNameAlone,
            _ => return None,
        })
    }
}

/// The first label and the domain above it, where that has two labels or more.
fn above(host: &Host) -> Option<(&str, &str)> {
    match host {
        Host::Name(name) => name.split_once('.').filter(|(_, parent)| parent.contains('.')),
        Host::Ip(_) => None,
    }
}

fn neighbour(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) ^ 1).into()),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) ^ 1).into()),
    }
}

fn known() -> String {
    Defect::ALL.map(|defect| format!("`{defect}`")).join(", ")
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Defect {
    type Err = UnknownDefect;

    fn from_str(text: &str) -> Result<Self, UnknownDefect> {
        Self::ALL.into_iter().find(|defect| defect.name() == text).ok_or_else(|| UnknownDefect {
            name: text.to_owned(),
            guess: did_you_mean(text, Self::ALL.map(Self::name)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    #[test]
    fn names_are_the_same_everywhere() {
        for defect in Defect::ALL {
            assert_eq!(defect.name().parse(), Ok(defect));
            assert_eq!(serde_json::to_string(&defect).unwrap(), format!("\"{defect}\""));
        }
        let error = "selfsigned".parse::<Defect>().unwrap_err().to_string();
        assert!(error.starts_with("no defect is called `selfsigned`; there are `self-signed`, "), "{error}");
        assert!(error.ends_with("(did you mean `self-signed`?)"), "{error}");
    }

    #[test]
    fn wrong_names_are_near_the_right_one() {
        let name = |text: &str| Some(Shown::Name(text.to_owned()));
        let four = host("a.b.okta.com");
        assert_eq!(Defect::ParentDomain.shown(&four), name("b.okta.com"));
        assert_eq!(Defect::WildcardTwoLabels.shown(&four), name("*.okta.com"));
        assert_eq!(Defect::WrongHost.shown(&four), name("wrong-host.a.b.okta.com"));
        assert_eq!(Defect::WrongHost.shown(&host("10.0.0.1")), Some(Shown::Ip("10.0.0.0".parse().unwrap())));
        assert_eq!(Defect::Expired.shown(&four), None);
    }

    #[test]
    fn a_host_without_a_parent_domain_cannot_show_it() {
        for text in ["okta.com", "localhost", "10.0.0.1", "::1"] {
            for defect in [Defect::ParentDomain, Defect::WildcardTwoLabels] {
                assert!(!defect.fits(&host(text)), "{defect} {text}");
                assert_eq!(defect.shown(&host(text)), None);
            }
        }
        assert!(!Defect::CommonNameOnly.fits(&host("10.0.0.1")));
        assert!(Defect::ALL.into_iter().all(|defect| defect.fits(&host("acme.okta.com"))));
    }
}
