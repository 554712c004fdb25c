//! What a certificate says, in the words that records and reports use.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc3339;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::CertificateDer;
use serde::{Serialize, Serializer};
use thiserror::Error;
use x509_parser::oid_registry;
use x509_parser::prelude::*;
use x509_parser::public_key::PublicKey;

use super::Pin;

/// The facts of one X.509 certificate (RFC 5280) that people compare when they look for the middlebox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateFacts {
    /// Subject, as `CN=*.okta.com, O=Okta, Inc.` in the certificate's own order.
    pub subject: String,
    /// Issuer, written likewise.
    pub issuer: String,
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// Start of validity, RFC 3339 in UTC.
    pub not_before: String,
    /// End of validity, RFC 3339 in UTC.
    pub not_after: String,
    /// DNS names and addresses of the subject alternative name, in order.
    pub names: Vec<String>,
    /// The public key: `EC P-256`, `RSA 2048`, `Ed25519`.
    pub key: String,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub pin: Pin,
}

/// A certificate as it came, shared. What it says is read when somebody asks: there is one for each connection, and few
/// are looked at.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate(Arc<CertificateDer<'static>>);

impl Certificate {
    /// Its bytes, DER.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.0
    }

    /// What it says.
    ///
    /// # Errors
    /// The bytes do not parse as X.509 v1 to v3.
    pub fn facts(&self) -> Result<CertificateFacts, CertificateError> {
        CertificateFacts::of(self.der())
    }
}

impl From<CertificateDer<'static>> for Certificate {
    fn from(der: CertificateDer<'static>) -> Self {
        Self(Arc::new(der))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.facts()).finish()
    }
}

/// As its [`CertificateFacts`]; null where it does not parse.
impl Serialize for Certificate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.facts().ok().serialize(serializer)
    }
}

/// The bytes are not a certificate.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("not an X.509 certificate: {0}")]
pub struct CertificateError(String);

impl CertificateFacts {
    /// Reads the facts off a DER-encoded certificate.
    ///
    /// # Errors
    /// The bytes do not parse as X.509 v1 to v3.
    pub fn of(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| CertificateError(error.to_string()))?;
        let names = match certificate.subject_alternative_name() {
            Ok(Some(extension)) => extension.value.general_names.iter().filter_map(alternative_name).collect(),
            Ok(None) | Err(_) => Vec::new(),
        };
        Ok(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            serial: hex(certificate.raw_serial()),
            not_before: timestamp(certificate.validity().not_before.timestamp()),
            not_after: timestamp(certificate.validity().not_after.timestamp()),
            names,
            key: key_kind(certificate.public_key()),
            pin: Pin::of_spki(certificate.public_key().raw),
        })
    }

    /// The common name of the issuer, or the whole issuer where it has none: the short answer to "who signed this?".
    #[must_use]
    pub fn issuer_name(der: &CertificateDer<'_>) -> Option<String> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let issuer = certificate.issuer();
        let common = issuer.iter_common_name().last().and_then(|name| name.as_str().ok());
        Some(common.map_or_else(|| issuer.to_string(), ToOwned::to_owned))
    }
}

/// A certificate in PEM (RFC 7468).
#[must_use]
pub fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    let mut out = String::with_capacity(text.len() + text.len() / 64 + 60);
    out.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|octets| IpAddr::from(octets).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|octets| IpAddr::from(octets).to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn key_kind(spki: &SubjectPublicKeyInfo<'_>) -> String {
    match spki.parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        Ok(PublicKey::EC(point)) => {
            let curve = spki.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
            match curve {
                Some(oid) if oid == oid_registry::OID_EC_P256 => "EC P-256".to_owned(),
                Some(oid) if oid == oid_registry::OID_NIST_EC_P384 => "EC P-384".to_owned(),
                Some(oid) if oid == oid_registry::OID_NIST_EC_P521 => "EC P-521".to_owned(),
                _ => format!("EC {}", point.key_size()),
            }
        }
        _ if spki.algorithm.algorithm == oid_registry::OID_SIG_ED25519 => "Ed25519".to_owned(),
        _ => spki.algorithm.algorithm.to_id_string(),
    }
}

fn timestamp(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("@{seconds}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_key_and_pin() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "a.example");
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        let facts = CertificateFacts::of(certificate.der()).unwrap();
        assert_eq!(pem(certificate.der()).replace('\n', ""), certificate.pem().replace("\r\n", "").replace('\n', ""));
        assert_eq!(facts.subject, "CN=a.example");
        assert_eq!(facts.names, ["a.example", "10.0.0.1"]);
        assert_eq!(facts.key, "EC P-256");
        assert_eq!(facts.not_before, "2026-01-01T00:00:00Z");
        assert_eq!(facts.pin, Pin::of_spki(&rcgen::PublicKeyData::subject_public_key_info(&key)));
        assert!(CertificateFacts::of(&CertificateDer::from(&b"no"[..])).is_err());
    }
}
