//! OCSP (RFC 6960) as far as the question after one certificate needs it: asked by a workstation, answered by the
//! simulated CA. The issuer answers for itself, with an ECDSA P-256 key; nothing is stapled and no nonce is sent.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::net::der::{self, Element, Elements, tag};

/// SHA-1, which identifies the issuer here and signs nothing.
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
/// `id-pkix-ocsp-basic`
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1];
/// `ecdsa-with-SHA256`
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// `successful` and `unauthorized` of OCSPResponseStatus.
const SUCCESSFUL: u8 = 0;
const UNAUTHORIZED: u8 = 6;
/// `good` and `revoked` of CertStatus.
const GOOD: u8 = 0x80;
const REVOKED: u8 = 0xa1;

/// What a responder says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CertStatus {
    Good,
    Revoked,
}

/// The name of a certificate in questions and answers, as DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CertId(Vec<u8>);

impl CertId {
    /// `None` where one of the two does not parse.
    pub(super) fn of(leaf: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> Option<Self> {
        let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
        Some(Self(der::wrap(tag::SEQUENCE, &[issuer_id(issuer)?, der::element(tag::INTEGER, leaf.raw_serial())])))
    }

    /// The question after it (OCSPRequest, 4.1.1).
    pub(super) fn request(&self) -> Vec<u8> {
        let within = |inner: &[u8]| der::element(tag::SEQUENCE, inner);
        within(&within(&within(&within(&self.0))))
    }

    /// The certificate that a question is after; of several the first.
    pub(super) fn asked(request: &[u8]) -> Option<Self> {
        let mut to_be_signed = der::inside(tag::SEQUENCE, der::inside(tag::SEQUENCE, request)?.next()?.raw)?;
        let list = to_be_signed.find(|element| element.tag == tag::SEQUENCE)?;
        let one = der::inside(tag::SEQUENCE, Elements(list.content).next()?.raw)?.next()?;
        Some(Self(one.raw.to_vec()))
    }

    /// Whether it is one of this issuer's certificates.
    pub(super) fn is_of(&self, issuer: &CertificateDer<'_>) -> bool {
        issuer_id(issuer).is_some_and(|id| {
            let fields: Vec<u8> = der::inside(tag::SEQUENCE, &self.0)
                .into_iter()
                .flatten()
                .take(3)
                .flat_map(|element| element.raw.iter().copied())
                .collect();
            fields == id
        })
    }

    /// A signed answer (OCSPResponse, 4.2.1): this certificate is good, for an hour around now.
    pub(super) fn good<E>(
        &self,
        issuer: &CertificateDer<'_>,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        let now = OffsetDateTime::now_utc();
        let hour = time::Duration::hours(1);
        let time = |at: OffsetDateTime| der::element(tag::GENERALIZED_TIME, generalized(at).as_bytes());
        let next = der::element(tag::context(0), &time(now + hour));
        let single = der::wrap(tag::SEQUENCE, &[&self.0, &vec![GOOD, 0], &time(now - hour), &next]);
        let responder = der::element(tag::context(2), &der::element(tag::OCTET_STRING, &key_hash(issuer)));
        let list = der::element(tag::SEQUENCE, &single);
        let to_be_signed = der::wrap(tag::SEQUENCE, &[responder, time(now), list]);
        let signature = sign(&to_be_signed)?;
        let algorithm = der::element(tag::SEQUENCE, &der::element(tag::OID, ECDSA_WITH_SHA256));
        let signature = der::element(tag::BIT_STRING, &[&[0], &signature[..]].concat());
        let basic = der::wrap(tag::SEQUENCE, &[to_be_signed, algorithm, signature]);
        let basic = [der::element(tag::OID, BASIC), der::element(tag::OCTET_STRING, &basic)];
        let bytes = der::element(tag::context(0), &der::wrap(tag::SEQUENCE, &basic));
        Ok(der::wrap(tag::SEQUENCE, &[der::element(tag::ENUMERATED, &[SUCCESSFUL]), bytes]))
    }

    /// What an answer says of this certificate, or why it says nothing that counts.
    pub(super) fn status(&self, answer: &[u8], issuer: &CertificateDer<'_>) -> Result<CertStatus, &'static str> {
        let malformed = "the answer is not OCSP";
        let mut outer = der::inside(tag::SEQUENCE, answer).ok_or(malformed)?;
        let status = outer.next().filter(|element| element.tag == tag::ENUMERATED).ok_or(malformed)?;
        if status.content != [SUCCESSFUL] {
            return Err("the responder answers with an error");
        }
        let bytes = outer.next().ok_or(malformed)?;
        let mut bytes = der::inside(tag::SEQUENCE, bytes.content).ok_or(malformed)?;
        let (Some(_), Some(basic)) = (bytes.next().filter(|kind| kind.content == BASIC), bytes.next()) else {
            return Err(malformed);
        };
        let mut basic = der::inside(tag::SEQUENCE, basic.content).ok_or(malformed)?;
        let (Some(said), Some(_), Some(signature)) = (basic.next(), basic.next(), basic.next()) else {
            return Err(malformed);
        };
        let signature = signature.content.split_first().ok_or(malformed)?.1;
        if !signed_by(issuer, said.raw, signature) {
            return Err("the answer is not signed by the issuer");
        }
        let list = Elements(said.content).find(|element| element.tag == tag::SEQUENCE).ok_or(malformed)?;
        let singles = Elements(list.content).map(|single| Elements(single.content).collect::<Vec<_>>());
        let about = |single: &Vec<Element<'_>>| single.first().is_some_and(|id| id.raw == self.0);
        let single = singles.into_iter().find(about).ok_or("the answer is about another certificate")?;
        let [_, status, this_update, rest @ ..] = &single[..] else { return Err(malformed) };
        let now = generalized(OffsetDateTime::now_utc());
        let next = rest.iter().find(|element| element.tag == tag::context(0));
        let next = next.and_then(|next| Elements(next.content).next());
        if this_update.content > now.as_bytes() || next.is_some_and(|next| next.content <= now.as_bytes()) {
            return Err("the answer is out of date");
        }
        match status.tag {
            GOOD => Ok(CertStatus::Good),
            REVOKED => Ok(CertStatus::Revoked),
            _ => Err("the responder does not know the certificate"),
        }
    }
}

/// The answer to a question after somebody else's certificate.
pub(super) fn unauthorized() -> Vec<u8> {
    der::element(tag::SEQUENCE, &der::element(tag::ENUMERATED, &[UNAUTHORIZED]))
}

/// The first three fields of a CertID (4.1.1).
fn issuer_id(issuer: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(issuer).ok()?;
    let algorithm = [der::element(tag::OID, SHA1), der::element(tag::NULL, &[])];
    let name = digest(&SHA1_FOR_LEGACY_USE_ONLY, parsed.subject().as_raw());
    let parts = [
        der::wrap(tag::SEQUENCE, &algorithm),
        der::element(tag::OCTET_STRING, name.as_ref()),
        der::element(tag::OCTET_STRING, &key_hash(issuer)),
    ];
    Some(parts.concat())
}

/// SHA-1 of the key, without tag and length of the BIT STRING around it.
fn key_hash(certificate: &CertificateDer<'_>) -> Vec<u8> {
    let parsed = X509Certificate::from_der(certificate).ok();
    let key = parsed.as_ref().map(|(_, parsed)| parsed.public_key().subject_public_key.data.as_ref());
    digest(&SHA1_FOR_LEGACY_USE_ONLY, key.unwrap_or_default()).as_ref().to_vec()
}

fn signed_by(issuer: &CertificateDer<'_>, message: &[u8], signature: &[u8]) -> bool {
    X509Certificate::from_der(issuer).is_ok_and(|(_, issuer)| {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &issuer.public_key().subject_public_key.data);
        key.verify(message, signature).is_ok()
    })
}

/// `YYYYMMDDHHMMSSZ` in UTC (RFC 5280, 4.1.2.5.2); such texts compare as their times do.
fn generalized(at: OffsetDateTime) -> String {
    let form = time::macros::format_description!("[year][month][day][hour][minute][second]Z");
    at.format(form).expect("the form has nothing that a time lacks")
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SigningKey as _};

    use super::*;

    fn issuer() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn an_answer_counts_for_its_certificate_and_issuer_alone() {
        let (ours, other) = (issuer(), issuer());
        let leaf = || {
            let params = CertificateParams::new(["a.example".into()]).unwrap();
            params.signed_by(&KeyPair::generate().unwrap(), &ours).unwrap()
        };
        let (leaf, second) = (leaf(), leaf());
        let id = CertId::of(leaf.der(), ours.der()).unwrap();
        assert_eq!(CertId::asked(&id.request()), Some(id.clone()));
        assert!(id.is_of(ours.der()) && !id.is_of(other.der()));

        let answer = id.good(ours.der(), |bytes| ours.key().sign(bytes)).unwrap();
        assert_eq!(id.status(&answer, ours.der()), Ok(CertStatus::Good));
        assert_eq!(id.status(&answer, other.der()), Err("the answer is not signed by the issuer"));
        let second = CertId::of(second.der(), ours.der()).unwrap();
        assert_eq!(second.status(&answer, ours.der()), Err("the answer is about another certificate"));
        assert_eq!(id.status(&unauthorized(), ours.der()), Err("the responder answers with an error"));
        assert_eq!(id.status(b"<html>", ours.der()), Err("the answer is not OCSP"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = CertId::asked(&bytes);
            let _ = CertId(vec![0x30, 0]).status(&bytes, &CertificateDer::from(vec![0]));
        }
    }
}
