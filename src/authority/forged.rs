//! What comes out of forging: the leaf with its key, how it came about, or why there is none.

use std::ops::RangeInclusive;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use serde::Serialize;
use thiserror::Error;
use time::OffsetDateTime;

use super::defect::Defect;
use super::fault::OriginFault;
use super::keys::KeyError;
use super::sign::SignError;
use crate::net::{Certificate, CertificateError, Host};

/// A forged leaf with its chain and key.
#[derive(Debug)]
pub struct Forged {
    /// What the handshake needs: the chain as it is sent, and the leaf's key.
    pub certified: Arc<CertifiedKey>,
    /// The leaf.
    pub certificate: Certificate,
    /// The common name of the issuer.
    pub issuer: Arc<str>,
    /// The host that it was made for.
    pub host: Host,
    /// Whether the leaf names that host, by the rules of clients (RFC 6125).
    pub names_host: bool,
    /// From when to when the leaf is valid, in seconds since 1970.
    pub valid: RangeInclusive<i64>,
    /// What the leaf was made after.
    pub mirrored: Mirrored,
    /// How many names of the origin's certificate it does not have: of more than 1,024, only the host's own are mirrored.
    pub left_out: usize,
    /// Whose key signed it.
    pub signed_by: SignedBy,
    /// Whether the chain keeps the rules that strict clients insist on; those of some products do not.
    pub in_order: bool,
    /// In what it is wrong on request. `None` also where an untrusted origin goes before a defect.
    pub defect: Option<Defect>,
    /// From then on a new one is forged.
    pub(super) stale_at: OffsetDateTime,
}

#[cfg(test)]
impl Forged {
    /// What the leaf says.
    pub(super) fn facts(&self) -> crate::net::CertificateFacts {
        self.certificate.facts().unwrap()
    }
}

/// What a leaf was made after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mirrored {
    /// The origin's certificate.
    Origin,
    /// The host's name, because there was no certificate or it did not parse.
    NameAlone,
}

/// Whose key signed a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignedBy {
    /// The inspection CA, which clients trust.
    InspectionCa,
    /// The CA for untrusted origins, which no client trusts.
    UntrustedCa,
    /// The leaf's own key.
    ItSelf,
}

/// Whether a leaf was forged for the asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Freshness {
    /// It was in the cache, or another asking forged it at this moment.
    Cached,
    /// It was forged now.
    Minted,
}

/// No leaf could be forged.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ForgeError {
    /// The CA's name constraints do not cover the host.
    #[error("the inspection CA may not sign for {0}; bypass it, or permit it with `middlebox ca renew --permit`")]
    NotPermitted(Host),
    /// The profile refuses untrusted origins.
    #[error("the profile blocks untrusted origins: {0}")]
    Blocked(OriginFault),
    /// The defect that was asked for cannot be shown with this host.
    #[error("the defect `{defect}` cannot be shown for {host}: {reason}; audit it with another host")]
    NoDefect {
        /// The defect.
        defect: Defect,
        /// The host.
        host: Host,
        /// Why not.
        reason: &'static str,
    },
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// What was signed does not parse, which is our mistake.
    #[error("the forged certificate is malformed, please report this: {0}")]
    Facts(#[from] CertificateError),
}
