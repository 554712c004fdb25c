//! Certificates as they are signed: rcgen frames them, names and extensions are ours to the byte.
//!
//! rcgen keeps one attribute per type in a name and always marks basicConstraints critical. Enterprise CAs have
//! several `DC`, and products differ in criticality; so both are written here, and the CA's key signs the result.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::{digest, rand};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, IsCa, Issuer, KeyPair, PublicKeyData, SigningKey};
use rustls_pki_types::CertificateDer;
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use super::order;
use crate::net::der::{self, Elements, tag};

/// A certificate could not be made.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SignError {
    /// The system's random number generator failed.
    #[error("the system gives no random numbers")]
    Random,
    /// The key did not sign, or could not be made.
    #[error("cannot sign: {0}")]
    Sign(String),
    /// A certificate that is to sign does not parse.
    #[error("the certificate of the CA does not parse: {0}")]
    Issuer(String),
}

impl From<rcgen::Error> for SignError {
    fn from(error: rcgen::Error) -> Self {
        Self::Sign(error.to_string())
    }
}

/// A CA certificate with its private key. The key is shared, never copied.
#[derive(Clone)]
pub(super) struct Signer {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: Arc<KeyPair>,
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
    /// The subject, DER.
    pub(super) subject: Vec<u8>,
    /// The common name of the subject, or all of it where it has none.
    pub(super) common_name: Arc<str>,
    /// Whether it keeps the rules that strict clients insist on.
    pub(super) in_order: bool,
    /// Its subject key identifier, which becomes the authority key identifier of what it signs.
    pub(super) key_id: Vec<u8>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("common_name", &self.common_name).finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer of a certificate and the key that is known to belong to it.
    pub(super) fn of(certificate: CertificateDer<'static>, key: Arc<KeyPair>) -> Result<Self, SignError> {
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|e| SignError::Issuer(e.to_string()))?;
        let key_id = parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        let key_id = key_id.unwrap_or_else(|| key_id_of(&*key));
        let common_name = parsed.subject().iter_common_name().last().and_then(|name| name.as_str().ok());
        let common_name = common_name.map_or_else(|| parsed.subject().to_string(), ToOwned::to_owned).into();
        let subject = parsed.subject().as_raw().to_vec();
        let bad_date = || SignError::Issuer("its validity is out of range".to_owned());
        let not_before = utc(parsed.validity().not_before).ok_or_else(bad_date)?;
        let not_after = utc(parsed.validity().not_after).ok_or_else(bad_date)?;
        drop(parsed);
        let in_order = order::is_kept_by(&certificate);
        Ok(Self { certificate, key, not_before, not_after, subject, common_name, in_order, key_id })
    }
}

/// A certificate before it is signed.
pub(super) struct Draft {
    pub(super) serial: Vec<u8>,
    /// The subject, DER.
    pub(super) subject: Vec<u8>,
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
    pub(super) extensions: Vec<CustomExtension>,
}

impl Draft {
    /// Whether it says which key of its issuer signs it (authorityKeyIdentifier; RFC 5280, 4.2.1.1).
    pub(super) fn identifies_issuer(&self) -> bool {
        self.extensions
            .iter()
            .any(|extension| extension.oid_components().eq([2, 5, 29, id_ce::AUTHORITY_KEY_IDENTIFIER]))
    }

    /// Signs with the key of the issuer, whose name is given as DER.
    pub(super) fn sign(
        self,
        public: &impl PublicKeyData,
        issuer: &[u8],
        key: &KeyPair,
    ) -> Result<CertificateDer<'static>, SignError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.is_ca = IsCa::NoCa;
        params.not_before = self.not_before;
        params.not_after = self.not_after;
        params.serial_number = Some(self.serial.into());
        params.custom_extensions = self.extensions;
        let nameless = CertificateParams::default();
        let framed = params.signed_by(public, &Issuer::from_params(&nameless, Unsigned(key)))?;
        let frame = || SignError::Sign("the frame of the certificate is not as expected".to_owned());
        let mut outer = der::inside(tag::SEQUENCE, framed.der()).ok_or_else(frame)?;
        let (body, algorithm) = outer.next().zip(outer.next()).ok_or_else(frame)?;
        let mut fields: Vec<&[u8]> = Elements(body.content).map(|field| field.raw).collect();
        // version, serial number, signature, issuer, validity, subject, subjectPublicKeyInfo, extensions
        if fields.len() < 7 {
            return Err(frame());
        }
        fields[3] = issuer;
        fields[5] = &self.subject;
        let body = der::wrap(tag::SEQUENCE, &fields);
        let mut signature = vec![0];
        signature.extend(key.sign(&body)?);
        let signature = der::element(tag::BIT_STRING, &signature);
        Ok(CertificateDer::from(der::wrap(tag::SEQUENCE, &[&body, algorithm.raw, &signature])))
    }
}

/// Lets rcgen frame a certificate without spending a signature on it.
struct Unsigned<'a>(&'a KeyPair);

impl PublicKeyData for Unsigned<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for Unsigned<'_> {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}

/// A time of a certificate in UTC. `None` for a year that no certificate can be written with: another zone than UTC,
/// which RFC 5280 forbids and parsers let pass, can carry 9999 into the next.
pub(super) fn utc(time: ASN1Time) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(time.timestamp()).ok().filter(|time| (0..=9999).contains(&time.year()))
}

/// A positive serial number of exactly this many octets, at most 20 (RFC 5280, 4.1.2.2).
pub(super) fn serial(octets: u8) -> Result<Vec<u8>, SignError> {
    let mut serial = vec![0; usize::from(octets.clamp(1, 20))];
    rand::fill(&mut serial).map_err(|_| SignError::Random)?;
    // The top bit would make it negative; a leading zero would shorten it.
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

/// Hands out serial numbers that follow the clock.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicI64);

impl Clock {
    /// The seconds since 1970, or the next number where this one is used already: an issuer gives each number once.
    pub(super) fn serial(&self, now: OffsetDateTime) -> Vec<u8> {
        let next = |last: i64| now.unix_timestamp().max(last + 1);
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        let octets = next(last.unwrap_or_else(|last| last)).to_be_bytes();
        octets.into_iter().skip_while(|octet| *octet == 0).collect()
    }
}

/// The SHA-1 of what stands in a certificate, as a positive number of 20 octets. SHA-1 names here and proves nothing.
pub(super) fn content_serial(draft: &Draft, public: &impl PublicKeyData, issuer_key_id: &[u8]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    for part in [&draft.subject, issuer_key_id, &public.subject_public_key_info()] {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    for time in [draft.not_before, draft.not_after] {
        context.update(&time.unix_timestamp().to_be_bytes());
    }
    for extension in &draft.extensions {
        extension.oid_components().for_each(|number| context.update(&number.to_be_bytes()));
        context.update(&[u8::from(extension.criticality())]);
        context.update(&extension.content().len().to_be_bytes());
        context.update(extension.content());
    }
    let mut serial = context.finish().as_ref().to_vec();
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

/// The key identifier of RFC 7093, method 1.
pub(super) fn key_id_of(public: &impl PublicKeyData) -> Vec<u8> {
    digest::digest(&digest::SHA256, &public.subject_public_key_info()).as_ref()[..20].to_vec()
}

/// Bits of keyUsage (RFC 5280, 4.2.1.3) in the first octet.
pub(super) mod usage {
    pub(in crate::authority) const DIGITAL_SIGNATURE: u8 = 0x80;
    pub(in crate::authority) const KEY_ENCIPHERMENT: u8 = 0x20;
    pub(in crate::authority) const CERT_SIGN: u8 = 0x04;
    pub(in crate::authority) const CRL_SIGN: u8 = 0x02;
}

/// An extension under `id-ce`, 2.5.29.
pub(super) fn extension(number: u64, critical: bool, content: Vec<u8>) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, number], content);
    extension.set_criticality(critical);
    extension
}

/// Numbers of extensions under `id-ce`.
pub(super) mod id_ce {
    pub(in crate::authority) const SUBJECT_KEY_IDENTIFIER: u64 = 14;
    pub(in crate::authority) const KEY_USAGE: u64 = 15;
    pub(in crate::authority) const SUBJECT_ALT_NAME: u64 = 17;
    pub(in crate::authority) const BASIC_CONSTRAINTS: u64 = 19;
    pub(in crate::authority) const NAME_CONSTRAINTS: u64 = 30;
    pub(in crate::authority) const CRL_DISTRIBUTION_POINTS: u64 = 31;
    pub(in crate::authority) const AUTHORITY_KEY_IDENTIFIER: u64 = 35;
    pub(in crate::authority) const EXTENDED_KEY_USAGE: u64 = 37;
}

/// keyUsage of these bits, critical.
pub(super) fn key_usage(bits: u8) -> CustomExtension {
    let unused = u8::try_from(bits.trailing_zeros()).unwrap_or(0) & 7;
    extension(id_ce::KEY_USAGE, true, der::element(tag::BIT_STRING, &[unused, bits]))
}

/// basicConstraints of a CA, with the number of CAs that may follow it.
pub(super) fn ca_constraints(critical: bool, path_length: Option<u8>) -> CustomExtension {
    let mut parts = vec![der::element(tag::BOOLEAN, &[0xff])];
    parts.extend(path_length.map(|length| der::element(tag::INTEGER, &[length & 0x7f])));
    extension(id_ce::BASIC_CONSTRAINTS, critical, der::wrap(tag::SEQUENCE, &parts))
}

/// basicConstraints of a leaf: `CA:FALSE`, which DER writes as nothing.
pub(super) fn leaf_constraints(critical: bool) -> CustomExtension {
    extension(id_ce::BASIC_CONSTRAINTS, critical, der::element(tag::SEQUENCE, &[]))
}

/// subjectKeyIdentifier.
pub(super) fn subject_key_id(id: &[u8]) -> CustomExtension {
    extension(id_ce::SUBJECT_KEY_IDENTIFIER, false, der::element(tag::OCTET_STRING, id))
}

/// authorityKeyIdentifier with the issuer's key identifier alone.
pub(super) fn authority_key_id(id: &[u8]) -> CustomExtension {
    let content = der::element(tag::SEQUENCE, &der::element(0x80, id));
    extension(id_ce::AUTHORITY_KEY_IDENTIFIER, false, content)
}

/// Purposes under `id-kp` (RFC 5280, 4.2.1.12).
pub(super) mod purpose {
    pub(in crate::authority) const SERVER_AUTH: u8 = 1;
    pub(in crate::authority) const CLIENT_AUTH: u8 = 2;
}

/// extendedKeyUsage of these purposes.
pub(super) fn extended_key_usage(purposes: &[u8]) -> CustomExtension {
    let purposes = purposes.iter().map(|number| der::element(tag::OID, &[0x2b, 6, 1, 5, 5, 7, 3, *number]));
    extension(id_ce::EXTENDED_KEY_USAGE, false, der::wrap(tag::SEQUENCE, &purposes.collect::<Vec<_>>()))
}

/// A critical extension that no client knows, under the number that RFC 5612 keeps for examples.
pub(super) fn unknown_critical_extension() -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 32473, 1], vec![5, 0]);
    extension.set_criticality(true);
    extension
}

/// cRLDistributionPoints with one address.
pub(super) fn crl_distribution_point(uri: &str) -> CustomExtension {
    let full_name = der::element(tag::context(0), &der::element(tag::URI, uri.as_bytes()));
    let point = der::element(tag::SEQUENCE, &der::element(tag::context(0), &full_name));
    extension(id_ce::CRL_DISTRIBUTION_POINTS, false, der::element(tag::SEQUENCE, &point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_positive_and_as_long_as_asked() {
        for octets in [1, 16, 20, 255] {
            let serial = serial(octets).unwrap();
            assert_eq!(serial.len(), usize::from(octets.min(20)));
            assert!(serial[0] & 0x80 == 0 && serial[0] != 0);
        }
    }

    #[test]
    fn the_clock_gives_each_number_once() {
        let clock = Clock::default();
        let now = time::macros::datetime!(2022-05-18 15:11:28 UTC);
        assert_eq!(clock.serial(now), [0x62, 0x85, 0x0c, 0xa0]);
        assert_eq!(clock.serial(now), [0x62, 0x85, 0x0c, 0xa1]);
        assert_eq!(clock.serial(now + time::Duration::seconds(9)), [0x62, 0x85, 0x0c, 0xa9]);
    }

    #[test]
    fn a_time_beyond_the_last_year_is_refused() {
        let last = time::macros::datetime!(9999-12-31 23:30 -1);
        assert_eq!(utc(ASN1Time::from(last)), None);
        let zoned = time::macros::datetime!(2049-12-31 23:30 -1);
        assert_eq!(utc(ASN1Time::from(zoned)), Some(time::macros::datetime!(2050-01-01 00:30 UTC)));
        assert_eq!(utc(ASN1Time::from(zoned)).unwrap().offset(), time::UtcOffset::UTC);
    }

    #[test]
    fn key_usage_trims_its_trailing_zeros() {
        assert_eq!(key_usage(usage::DIGITAL_SIGNATURE).content(), [3, 2, 7, 0x80]);
        assert_eq!(key_usage(usage::CERT_SIGN | usage::CRL_SIGN).content(), [3, 2, 1, 6]);
    }
}
