//! What is tried on a client, and what its acceptance means.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::authority::Defect;
use crate::net::Host;
use crate::source::did_you_mean;

/// One way to show a client a certificate that is not the origin's.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Attempt {
    /// Signed by the CA that the client was told to trust, and right in everything but its key: what a company's
    /// inspection shows. A client that accepts it does not pin.
    TrustedForgery,
    /// The same over TLS 1.2 and nothing newer.
    Tls12Only,
    /// Wrong in one way.
    Defect(Defect),
    /// A key of RSA with 1,024 bits.
    Rsa1024,
    /// Signed with SHA-1.
    Sha1,
}

/// What it means that a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The client does not check what it has to.
    Fault,
    /// The client does not check what it has to, if it pins: what was trusted without the pin is a trusted forgery.
    FaultWherePinned,
    /// Careful clients differ in it.
    Observation,
}

/// A text names nothing that is tried.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("nothing that is tried is called `{name}`{}", guess.map_or_else(|| format!("; there are {}", known()), |guess| format!(" (did you mean `{guess}`?)")))]
pub struct UnknownAttempt {
    name: String,
    guess: Option<&'static str>,
}

impl Attempt {
    /// Everything that there is, in the order in which it is told: observations first.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::TrustedForgery, Self::Tls12Only];
        all.extend(Defect::ALL.map(Self::Defect));
        all.extend([Self::Rsa1024, Self::Sha1]);
        all
    }

    /// The word for it, which a defect has as `--defect` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TrustedForgery => "trusted-forgery",
            Self::Tls12Only => "tls12-only",
            Self::Defect(defect) => defect.name(),
            Self::Rsa1024 => "rsa-1024",
            Self::Sha1 => "sha1-signature",
        }
    }

    /// What it means that a client accepts.
    #[must_use]
    pub fn meaning(self) -> Meaning {
        match self {
            // curl and OpenSSL take the last two, and no rule that all follow says that they must not.
            Self::TrustedForgery | Self::Tls12Only | Self::Defect(Defect::CommonNameOnly | Defect::LeafIsCa) => {
                Meaning::Observation
            }
            Self::Defect(Defect::GenuineChainAppended) => Meaning::FaultWherePinned,
            Self::Defect(_) | Self::Rsa1024 | Self::Sha1 => Meaning::Fault,
        }
    }

    /// What is shown, in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::TrustedForgery => "signed by a trusted CA, the pin wrong",
            Self::Tls12Only => "the same over TLS 1.2 alone",
            Self::Rsa1024 => "a key of RSA with 1,024 bits",
            Self::Sha1 => "signed with SHA-1",
            Self::Defect(defect) => match defect {
                Defect::SelfSigned => "signed by itself",
                Defect::UnknownCa => "signed by a CA that nobody trusts",
                Defect::WrongHost => "for another host",
                Defect::ParentDomain => "for the domain above",
                Defect::WildcardTwoLabels => "a wildcard over two labels",
                Defect::CommonNameOnly => "the host in the common name alone",
                Defect::Expired => "expired",
                Defect::NotYetValid => "not valid yet",
                Defect::NoServerAuth => "for clients, not for servers",
                Defect::LeafIsCa => "says that it is a CA",
                Defect::UnknownCriticalExtension => "a critical extension that nobody knows",
                Defect::IntermediateMissing => "the intermediate not sent",
                Defect::IssuerNotCa => "signed by what is no CA",
                Defect::PathTooLong => "one CA more than allowed",
                Defect::NameConstraintExcludes => "signed by a CA that may not sign for the host",
                Defect::GenuineChainAppended => "the genuine certificate sent behind it (CVE-2016-2402)",
            },
        }
    }

    /// Why it cannot be tried on a host, where it cannot.
    #[must_use]
    pub fn hindrance(self, host: &Host) -> Option<&'static str> {
        match self {
            Self::Rsa1024 => {
                Some("the TLS library makes no key of fewer than 2,048 bits, and no other is to be had safely")
            }
            Self::Sha1 => Some("the cryptographic library signs nothing with SHA-1, and no other is to be had safely"),
            Self::Defect(defect) if !defect.fits(host) => {
                Some("it takes a host name with a domain of two labels above it, of at most 64 characters")
            }
            Self::TrustedForgery | Self::Tls12Only | Self::Defect(_) => None,
        }
    }
}

fn known() -> String {
    Attempt::all().into_iter().map(Attempt::name).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Attempt {
    type Err = UnknownAttempt;

    fn from_str(text: &str) -> Result<Self, UnknownAttempt> {
        Self::all().into_iter().find(|attempt| attempt.name() == text).ok_or_else(|| UnknownAttempt {
            name: text.to_owned(),
            guess: did_you_mean(text, Self::all().into_iter().map(Self::name)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_near_ones_are_guessed() {
        for attempt in Attempt::all() {
            assert_eq!(attempt.name().parse(), Ok(attempt));
        }
        let error = "expird".parse::<Attempt>().unwrap_err().to_string();
        assert_eq!(error, "nothing that is tried is called `expird` (did you mean `expired`?)");
    }

    #[test]
    fn what_a_host_cannot_show_is_said() {
        let host = |text: &str| Host::parse(text).unwrap();
        let parent = Attempt::Defect(Defect::ParentDomain);
        assert!(parent.hindrance(&host("okta.com")).is_some());
        assert_eq!(parent.hindrance(&host("acme.okta.com")), None);
        assert!(Attempt::Rsa1024.hindrance(&host("acme.okta.com")).is_some());
    }
}
