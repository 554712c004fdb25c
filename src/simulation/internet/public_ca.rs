//! The certificate authority that everybody on the simulated internet trusts, and the certificates it issues.

use std::fmt;

use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    CrlDistributionPoint, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize, SerialNumber,
    SigningKey as _,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::SimulationError;
use super::revocation::CRL_PATH;
use crate::net::der::{self, tag};
use crate::net::{Host, Pin};
use crate::simulation::ocsp::{self, CertId};

/// The zones whose genuine certificates are Okta's: one wildcard each, RSA, an organization in the subject.
pub(crate) const OKTA_ZONES: [&str; 4] = ["okta.com", "oktapreview.com", "okta-emea.com", "okta-gov.com"];

/// What is right or wrong with the certificate that an origin shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateKind {
    /// Issued by the simulated public CA, for this host, valid now.
    #[default]
    Genuine,
    /// Its validity ended a month ago.
    Expired,
    /// Its validity begins in a month.
    NotYetValid,
    /// Issued for `wrong-host.example`.
    WrongHost,
    /// Signed by its own key.
    SelfSigned,
    /// Issued by a CA that nobody trusts.
    Untrusted,
}

/// Where a certificate says that its revocation can be asked after (RFC 5280, 4.2.1.13 and 4.2.2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct RevocationHosts {
    /// The host of the OCSP responder.
    pub ocsp: Option<Host>,
    /// The host of the CRL.
    pub crl: Option<Host>,
}

/// Root and intermediate of one simulated certificate authority.
pub(super) struct PublicCa {
    root: Certificate,
    intermediate: CertifiedIssuer<'static, KeyPair>,
    /// Issues for clients alone.
    clients: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate for a client of the simulated internet, with its key.
#[derive(Clone)]
pub struct ClientIdentity {
    chain: Vec<CertificateDer<'static>>,
    key_pem: String,
}

impl ClientIdentity {
    /// The certificate, its chain behind it, and last its private key, in PEM: what `--client-cert` takes.
    #[must_use]
    pub fn pem(&self) -> String {
        let chain: String = self.chain.iter().map(crate::net::pem).collect();
        chain + &self.key_pem
    }

    /// The certificate and its chain.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity").finish_non_exhaustive()
    }
}

impl fmt::Debug for PublicCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicCa").finish_non_exhaustive()
    }
}

/// Whom a certificate is issued for, with the shape that the genuine one has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    common_name: String,
    names: Vec<String>,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Shape {
    /// RSA 2048 with Okta's subject, as Okta's certificates have had it for years.
    Okta,
    /// P-256 and the common name alone, as most of the web.
    Plain,
}

/// A server certificate with its chain and its key.
pub(super) struct Leaf {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) pin: Pin,
}

impl PublicCa {
    /// A new authority; `label` tells its names from those of another one.
    pub(super) fn generate(label: &str) -> Result<Self, SimulationError> {
        let now = OffsetDateTime::now_utc();
        let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut root = ca_params(&format!("{label} Root 1"), now - years(5), now + years(20));
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(root, root_key)?;

        let below = |name: &str, usage: ExtendedKeyUsagePurpose| {
            let mut params = ca_params(&format!("{label} {name}"), now - years(2), now + years(8));
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.extended_key_usages = vec![usage];
            params.use_authority_key_identifier_extension = true;
            CertifiedIssuer::signed_by(params, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?, &root)
        };
        let intermediate = below("TLS CA 1", ExtendedKeyUsagePurpose::ServerAuth)?;
        let clients = below("Client CA 1", ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(Self { root: root.as_ref().clone(), intermediate, clients })
    }

    /// Issues a certificate to a client of this name.
    pub(super) fn issue_to_client(&self, name: &str) -> Result<ClientIdentity, SimulationError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now - Duration::days(1), now + Duration::days(365));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial()?);
        let leaf = params.signed_by(&key, &self.clients)?;
        let chain = vec![leaf.der().clone(), self.clients.der().clone()];
        Ok(ClientIdentity { chain, key_pem: key.serialize_pem() })
    }

    pub(super) fn root(&self) -> &Certificate {
        &self.root
    }

    /// Issues one certificate on a key made for it alone. RSA keys take tens of milliseconds of a processor: not for a
    /// runtime's thread.
    pub(super) fn issue(&self, certificate: &Wanted) -> Result<Leaf, SimulationError> {
        let Wanted { identity, kind, revocation } = certificate;
        let key = match identity.shape {
            Shape::Okta => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
            Shape::Plain => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        };
        let params = leaf_params(identity, *kind, revocation)?;
        let chain = if *kind == CertificateKind::SelfSigned {
            vec![params.self_signed(&key)?.der().clone()]
        } else {
            vec![params.signed_by(&key, &self.intermediate)?.der().clone(), self.intermediate.der().clone()]
        };
        Ok(Leaf {
            chain,
            pin: Pin::of_spki(&key.subject_public_key_info()),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }
}

impl PublicCa {
    /// The list of revoked server certificates, of which there are none.
    pub(super) fn crl(&self) -> Result<Vec<u8>, rcgen::Error> {
        let now = OffsetDateTime::now_utc();
        let params = CertificateRevocationListParams {
            this_update: now - Duration::hours(1),
            next_update: now + Duration::hours(1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(&self.intermediate)?.der().to_vec())
    }

    /// The answer to an OCSP request: every certificate of this authority is good.
    pub(super) fn status(&self, asked: &CertId) -> Result<Vec<u8>, rcgen::Error> {
        if !asked.is_of(self.intermediate.der()) {
            return Ok(ocsp::unauthorized());
        }
        asked.good(self.intermediate.der(), |bytes| self.intermediate.key().sign(bytes))
    }
}

/// A certificate that an origin needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) identity: Identity,
    pub(super) kind: CertificateKind,
    pub(super) revocation: RevocationHosts,
}

impl Identity {
    /// Whom the genuine certificate of a host names. `acme.okta.com` is covered by `*.okta.com`, while
    /// `acme.mtls.okta.com` has a certificate of its own: a wildcard stands for one label (RFC 6125, 6.4.3).
    pub(super) fn of(host: &Host) -> Self {
        let name = host.to_string();
        for zone in OKTA_ZONES {
            if name == zone {
                return Self::okta(zone, true);
            }
            let below = name.strip_suffix(zone).and_then(|rest| rest.strip_suffix('.'));
            if let Some(labels) = below {
                return match labels.split_once('.') {
                    None => Self::okta(zone, true),
                    Some((_, parent)) => Self::okta(&format!("{parent}.{zone}"), false),
                };
            }
        }
        Self { common_name: name.clone(), names: vec![name], shape: Shape::Plain }
    }

    fn okta(parent: &str, apex: bool) -> Self {
        let wildcard = format!("*.{parent}");
        let names = if apex { vec![wildcard.clone(), parent.to_owned()] } else { vec![wildcard.clone()] };
        Self { common_name: wildcard, names, shape: Shape::Okta }
    }
}

fn leaf_params(
    identity: &Identity,
    kind: CertificateKind,
    revocation: &RevocationHosts,
) -> Result<CertificateParams, SimulationError> {
    let wrong = kind == CertificateKind::WrongHost;
    let (common_name, names) = if wrong {
        ("wrong-host.example", vec!["wrong-host.example".to_owned()])
    } else {
        (identity.common_name.as_str(), identity.names.clone())
    };
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    if identity.shape == Shape::Okta {
        params.distinguished_name.push(DnType::CountryName, "US");
        params.distinguished_name.push(DnType::StateOrProvinceName, "California");
        params.distinguished_name.push(DnType::LocalityName, "San Francisco");
        params.distinguished_name.push(DnType::OrganizationName, "Okta, Inc.");
    }
    params.distinguished_name.push(DnType::CommonName, common_name);
    let month = Duration::days(30);
    // Thirteen months, within the 398 days that browsers have allowed since 2020.
    let validity = Duration::days(396);
    let now = OffsetDateTime::now_utc();
    params.not_before = match kind {
        CertificateKind::Expired => now - month - validity,
        CertificateKind::NotYetValid => now + month,
        _ => now - month,
    };
    params.not_after = params.not_before + validity;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = match identity.shape {
        Shape::Okta => vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment],
        Shape::Plain => vec![KeyUsagePurpose::DigitalSignature],
    };
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    if let Some(host) = &revocation.crl {
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![format!("http://{host}{CRL_PATH}")] }];
    }
    if let Some(host) = &revocation.ocsp {
        let method = der::element(tag::OID, AD_OCSP);
        let location = der::element(tag::URI, format!("http://{host}").as_bytes());
        let access = der::element(tag::SEQUENCE, &der::wrap(tag::SEQUENCE, &[method, location]));
        params.custom_extensions.push(CustomExtension::from_oid_content(AUTHORITY_INFO_ACCESS, access));
    }
    params.serial_number = Some(serial()?);
    Ok(params)
}

/// `id-pe-authorityInfoAccess`
const AUTHORITY_INFO_ACCESS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];
/// `id-ad-ocsp`
const AD_OCSP: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1];

fn ca_params(common_name: &str, not_before: OffsetDateTime, not_after: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "middlebox simulated internet");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = not_before;
    params.not_after = not_after;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// 16 random bytes, positive and never zero (RFC 5280, 4.1.2.2).
fn serial() -> Result<SerialNumber, SimulationError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| SimulationError::Random)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn years(count: i64) -> Duration {
    Duration::days(365 * count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::CertificateFacts;

    fn wanted(host: &str) -> Wanted {
        let revocation = RevocationHosts::default();
        Wanted { identity: identity(host), kind: CertificateKind::Genuine, revocation }
    }

    fn identity(host: &str) -> Identity {
        Identity::of(&Host::parse(host).unwrap())
    }

    #[test]
    fn the_genuine_okta_certificate_has_okta_s_shape() {
        let ca = PublicCa::generate("Simulated Public").unwrap();
        let leaf = ca.issue(&wanted("acme.okta.com")).unwrap();
        let facts = CertificateFacts::of(&leaf.chain[0]).unwrap();
        assert_eq!(facts.subject, "C=US, ST=California, L=San Francisco, O=Okta, Inc., CN=*.okta.com");
        assert_eq!(facts.issuer, "O=middlebox simulated internet, CN=Simulated Public TLS CA 1");
        assert_eq!(facts.names, ["*.okta.com", "okta.com"]);
        assert_eq!(facts.key, "RSA 2048");
        assert_eq!(facts.pin, leaf.pin);
    }

    #[test]
    fn hosts_share_a_certificate_exactly_where_a_wildcard_covers_them() {
        assert_eq!(identity("acme.okta.com"), identity("okta.com"));
        assert_eq!(identity("acme.okta.com"), identity("other.okta.com"));
        assert_ne!(identity("acme.okta.com"), identity("acme.mtls.okta.com"));
        assert_eq!(identity("acme.mtls.okta.com").names, ["*.mtls.okta.com"]);
        assert_ne!(identity("acme.okta.com"), identity("acme.oktapreview.com"));
        assert_eq!(identity("notokta.com").names, ["notokta.com"]);
        assert_eq!(identity("10.0.0.1").names, ["10.0.0.1"]);
    }
}
