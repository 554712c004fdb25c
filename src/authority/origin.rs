//! What is read off an origin's certificate for mirroring it.

use time::OffsetDateTime;
use x509_parser::oid_registry;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::rules::LeafKey;
use super::sign;
use crate::net::der::{self, tag};

/// The parts of an origin's leaf that profiles copy, each as the bytes it had.
pub(super) struct OriginLeaf {
    /// The subject, DER.
    pub(super) subject: Vec<u8>,
    /// DNS names and addresses of the subject alternative name, each a whole GeneralName, in order.
    pub(super) names: Vec<Vec<u8>>,
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
    pub(super) key_usage: Option<Copied>,
    pub(super) extended_key_usage: Option<Copied>,
    pub(super) basic_constraints: Option<Copied>,
    pub(super) key: LeafKey,
}

/// An extension's criticality and value.
pub(super) struct Copied {
    pub(super) critical: bool,
    pub(super) value: Vec<u8>,
}

impl OriginLeaf {
    /// Reads a certificate; `None` where it does not parse, so that the host's name alone has to do.
    pub(super) fn read(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        // Of an extension that stands twice the certificate is malformed; the first is as good as any.
        let extension = |oid| {
            let extension = certificate.extensions().iter().find(|extension| extension.oid == oid)?;
            Some(Copied { critical: extension.critical, value: extension.value.to_vec() })
        };
        let names = extension(oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME).map_or_else(Vec::new, |names| {
            let names = der::inside(tag::SEQUENCE, &names.value).into_iter().flatten();
            let wanted = names.filter(|name| matches!(name.tag, tag::DNS_NAME | tag::IP_ADDRESS));
            wanted.map(|name| name.raw.to_vec()).collect()
        });
        Some(Self {
            subject: certificate.subject().as_raw().to_vec(),
            names,
            not_before: sign::utc(certificate.validity().not_before)?,
            not_after: sign::utc(certificate.validity().not_after)?,
            key_usage: extension(oid_registry::OID_X509_EXT_KEY_USAGE),
            extended_key_usage: extension(oid_registry::OID_X509_EXT_EXTENDED_KEY_USAGE),
            basic_constraints: extension(oid_registry::OID_X509_EXT_BASIC_CONSTRAINTS),
            key: key_like(&certificate),
        })
    }
}

/// The kind of the origin's key, or the nearest that rustls can sign with: RSA below 2,048 bits and curves other than
/// NIST's are not to be had.
fn key_like(certificate: &X509Certificate<'_>) -> LeafKey {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => match key.key_size() {
            0..=2048 => LeafKey::Rsa2048,
            2049..=3072 => LeafKey::Rsa3072,
            _ => LeafKey::Rsa4096,
        },
        Ok(PublicKey::EC(point)) => match point.key_size() {
            0..=256 => LeafKey::EcP256,
            257..=384 => LeafKey::EcP384,
            _ => LeafKey::EcP521,
        },
        _ if certificate.public_key().algorithm.algorithm == oid_registry::OID_SIG_ED25519 => LeafKey::Ed25519,
        _ => LeafKey::EcP256,
    }
}
