//! What the tests of this room share: an origin to mirror, an authority, and a client that verifies.

use std::sync::Arc;

use rcgen::{DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use time::{Duration, OffsetDateTime};

use super::{Authority, Forged, InspectionCa, OriginFault, OriginTrust, Profile};
use crate::net::Host;

pub(super) fn authority(profile: &str, permits: &[&str]) -> Authority {
    let profile = Profile::load(profile).unwrap();
    let permits: Vec<_> = permits.iter().map(|permit| permit.parse().unwrap()).collect();
    Authority::new(InspectionCa::in_memory(&profile, &permits).unwrap(), profile).unwrap()
}

pub(super) fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

pub(super) fn untrusted(fault: OriginFault) -> OriginTrust {
    OriginTrust::Untrusted(fault)
}

/// What a client that trusts this root says.
pub(super) fn verify(root: &CertificateDer<'static>, forged: &Forged, name: &str) -> Result<(), String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let (leaf, chain) = forged.certified.cert.split_first().unwrap();
    let verdict = verifier.verify_server_cert(leaf, chain, &host(name).server_name(), &[], UnixTime::now());
    verdict.map(drop).map_err(|error| format!("{error:?}"))
}

pub(super) fn days(days: i64) -> Duration {
    Duration::days(days)
}

/// The certificate of an origin, to be mirrored.
pub(super) struct Origin(rcgen::CertificateParams);

impl Origin {
    pub(super) fn new() -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, DnValue::PrintableString("US".try_into().unwrap()));
        params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
        params.distinguished_name.push(DnType::CommonName, "acme.example");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.is_ca = IsCa::ExplicitNoCa;
        let names = ["acme.example", "*.acme.example"].map(|name| SanType::DnsName(name.try_into().unwrap()));
        params.subject_alt_names = names.into();
        params.subject_alt_names.push(SanType::IpAddress("192.0.2.7".parse().unwrap()));
        Self(params).valid(-10, 80)
    }

    /// Valid from and to so many days from now.
    pub(super) fn valid(mut self, from: i64, to: i64) -> Self {
        let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
        self.0.not_before = now + days(from);
        self.0.not_after = now + days(to);
        self
    }

    pub(super) fn named(mut self, name: &str) -> Self {
        self.0.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        self
    }

    pub(super) fn also_named(mut self, name: &str) -> Self {
        self.0.subject_alt_names.push(SanType::DnsName(name.try_into().unwrap()));
        self
    }

    pub(super) fn for_clients(mut self) -> Self {
        self.0.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.of(&rcgen::KeyPair::generate().unwrap())
    }

    pub(super) fn of(&self, key: &KeyPair) -> CertificateDer<'static> {
        self.0.self_signed(key).unwrap().der().clone()
    }
}
