//! What stands in a forged leaf: the profile's rules applied to the host and the origin's certificate.

use rcgen::{CustomExtension, KeyPair};
use time::{Duration, OffsetDateTime};

use super::ca::BACKDATE;
use super::constraint::Constraints;
use super::der::{self, Elements, tag};
use super::fault::OriginFault;
use super::names::{self, Keep};
use super::origin::{Copied, OriginLeaf};
use super::profile::{ExtendedKeyUsage, KeyUsage, Leaf, LeafConstraints, LeafKey, San, Subject, Validity};
use super::sign::{self, Draft, SignError, id_ce, usage};
use crate::net::Host;

/// The life of a leaf that has no origin to copy dates from.
const DAYS_BY_NAME_ALONE: i64 = 90;

/// A leaf that is copied with a limit begins this long ago at the earliest, so that the limit leaves it a future.
const PAST_OF_A_LIMITED_COPY: Duration = Duration::days(30);

/// Everything that a leaf is made from, except its key.
pub(super) struct Sitter<'a> {
    pub(super) rules: &'a Leaf,
    pub(super) host: &'a Host,
    pub(super) origin: Option<&'a OriginLeaf>,
    pub(super) fault: Option<&'a OriginFault>,
    /// What the root permits; nothing outside may stand in a leaf, or clients refuse all of it.
    pub(super) constraints: &'a Constraints,
    /// The first end of validity in the issuer's chain.
    pub(super) until: OffsetDateTime,
    pub(super) now: OffsetDateTime,
}

impl Sitter<'_> {
    /// The kind of key that the leaf gets.
    pub(super) fn key(&self) -> LeafKey {
        match (self.rules.key, self.origin) {
            (LeafKey::FollowOrigin, Some(origin)) => origin.key,
            (LeafKey::FollowOrigin, None) => LeafKey::EcP256,
            (key, _) => key,
        }
    }

    /// The leaf before it is signed, for this key, by an issuer with this key identifier.
    pub(super) fn draft(&self, key: &KeyPair, issuer_key_id: &[u8]) -> Result<Draft, SignError> {
        let subject = self.subject();
        let (not_before, not_after) = self.validity();
        let extensions = self.extensions(key, issuer_key_id, names::is_empty(&subject));
        let serial = sign::serial(*self.rules.serial_octets.get_ref())?;
        Ok(Draft { serial, subject, not_before, not_after, extensions })
    }

    fn subject(&self) -> Vec<u8> {
        let Some(origin) = self.origin else { return names::common_name_alone(&self.host.to_string()) };
        match self.rules.subject {
            Subject::Copy => names::copy(&origin.subject, Keep::All),
            Subject::CnOnly => names::copy(&origin.subject, Keep::CommonName),
            Subject::CnAndOrganization => names::copy(&origin.subject, Keep::CommonNameAndOrganization),
        }
    }

    fn validity(&self) -> (OffsetDateTime, OffsetDateTime) {
        let now = self.now;
        match (self.rules.validity.get_ref(), self.origin) {
            (Validity::Fixed { days, backdate_days }, _) => {
                let start = now - Duration::days(i64::from(*backdate_days));
                let end = start + Duration::days(i64::from(*days));
                // An origin whose time is over, or has not come, is not made valid by new dates.
                match self.origin.filter(|origin| !origin.is_valid_at(now)) {
                    Some(origin) => (origin.not_before, origin.not_after),
                    None => (start, end),
                }
            }
            (Validity::Copy { .. }, None) => {
                let end = (now + Duration::days(DAYS_BY_NAME_ALONE)).min(self.until);
                (now - BACKDATE, end)
            }
            (Validity::Copy { max_days, within_issuer }, Some(origin)) => {
                let (mut start, mut end) = (origin.not_before, origin.not_after);
                let valid = origin.is_valid_at(now);
                // Both ends count (RFC 5280, 4.1.2.5), so one second less than the limit.
                if let Some(most) = max_days.map(|days| Duration::days(i64::from(days)) - Duration::SECOND)
                    && end - start > most
                {
                    if valid {
                        start = start.max(now - PAST_OF_A_LIMITED_COPY);
                        end = end.min(start + most);
                    } else if end < now {
                        start = end - most;
                    } else {
                        end = start + most;
                    }
                }
                if *within_issuer && valid {
                    end = end.min(self.until);
                }
                (start, end)
            }
        }
    }

    fn extensions(&self, key: &KeyPair, issuer_key_id: &[u8], nameless: bool) -> Vec<CustomExtension> {
        let rules = self.rules;
        let is_rsa = key.algorithm() == &rcgen::PKCS_RSA_SHA256;
        let mut list = Vec::with_capacity(8);
        let names = self.names();
        if !names.is_empty() {
            // Without a subject the alternative name is critical (RFC 5280, 4.2.1.6).
            list.push(sign::extension(id_ce::SUBJECT_ALT_NAME, nameless, der::wrap(tag::SEQUENCE, &names)));
        }
        let origin_usage = self.origin.and_then(|origin| origin.key_usage.as_ref());
        match (rules.key_usage, origin_usage) {
            (KeyUsage::Copy, Some(origin)) => list.push(copied_usage(origin, is_rsa && self.origin_is_ec())),
            (KeyUsage::ForKey, _) => list.push(own_usage(is_rsa)),
            // Without an origin there is nothing to copy, but what a leaf needs is known.
            (KeyUsage::Copy, None) if self.origin.is_none() => list.push(own_usage(is_rsa)),
            (KeyUsage::Copy | KeyUsage::Absent, _) => {}
        }
        let origin_purposes = self.origin.and_then(|origin| origin.extended_key_usage.as_ref());
        match (rules.extended_key_usage, origin_purposes) {
            (ExtendedKeyUsage::Copy, Some(origin)) => list.push(origin.again(id_ce::EXTENDED_KEY_USAGE)),
            // A certificate that is not meant for servers stays so, or its fault would be repaired.
            (ExtendedKeyUsage::ServerAuth, Some(origin)) if self.fault == Some(&OriginFault::WrongUsage) => {
                list.push(origin.again(id_ce::EXTENDED_KEY_USAGE));
            }
            (ExtendedKeyUsage::ServerAuth, _) => list.push(sign::server_auth()),
            (ExtendedKeyUsage::Copy, None) if self.origin.is_none() => list.push(sign::server_auth()),
            (ExtendedKeyUsage::Copy | ExtendedKeyUsage::Absent, _) => {}
        }
        if let Some(uri) = &rules.crl_distribution_point {
            list.push(sign::crl_distribution_point(uri));
        }
        if rules.subject_key_identifier {
            list.push(sign::subject_key_id(&sign::key_id_of(key)));
        }
        if rules.authority_key_identifier {
            list.push(sign::authority_key_id(issuer_key_id));
        }
        match (rules.basic_constraints, self.origin) {
            (LeafConstraints::Critical, _) | (LeafConstraints::Copy, None) => list.push(sign::leaf_constraints(true)),
            (LeafConstraints::NotCritical, _) => list.push(sign::leaf_constraints(false)),
            // Only the criticality: a forged leaf is never a CA, even where a self-signed origin says it is one.
            (LeafConstraints::Copy, Some(origin)) => {
                list.extend(origin.basic_constraints.as_ref().map(|origin| sign::leaf_constraints(origin.critical)));
            }
            (LeafConstraints::Absent, _) => {}
        }
        list
    }

    /// The alternative names, each a whole GeneralName.
    fn names(&self) -> Vec<Vec<u8>> {
        let host = match self.host {
            Host::Name(name) => der::element(tag::DNS_NAME, name.as_bytes()),
            Host::Ip(std::net::IpAddr::V4(ip)) => der::element(tag::IP_ADDRESS, &ip.octets()),
            Host::Ip(std::net::IpAddr::V6(ip)) => der::element(tag::IP_ADDRESS, &ip.octets()),
        };
        let Some(origin) = self.origin else { return vec![host] };
        // With the host's name in it, a certificate for another host would be right.
        let wrong_host = self.fault == Some(&OriginFault::WrongHost);
        let mut names = match self.rules.san {
            San::HostOnly if !wrong_host => Vec::new(),
            San::HostOnly | San::Copy | San::CopyAndHost => origin.names.clone(),
        };
        if self.rules.san != San::Copy && !wrong_host && !names.contains(&host) {
            names.push(host);
        }
        if !self.constraints.is_none() {
            names.retain(|name| self.permitted(name));
        }
        names
    }

    fn permitted(&self, name: &[u8]) -> bool {
        let Some(name) = Elements(name).next() else { return false };
        if name.tag == tag::DNS_NAME {
            return std::str::from_utf8(name.content).is_ok_and(|name| self.constraints.allow_name(name));
        }
        let v4 = <[u8; 4]>::try_from(name.content).map(std::net::IpAddr::from);
        let ip = v4.or_else(|_| <[u8; 16]>::try_from(name.content).map(std::net::IpAddr::from));
        ip.is_ok_and(|ip| self.constraints.allow_ip(ip))
    }

    fn origin_is_ec(&self) -> bool {
        self.origin.is_some_and(|origin| matches!(origin.key, LeafKey::EcP256 | LeafKey::EcP384))
    }
}

impl OriginLeaf {
    fn is_valid_at(&self, now: OffsetDateTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

impl Copied {
    fn again(&self, number: u64) -> CustomExtension {
        sign::extension(number, self.critical, self.value.clone())
    }
}

fn own_usage(is_rsa: bool) -> CustomExtension {
    let encipherment = if is_rsa { usage::KEY_ENCIPHERMENT } else { 0 };
    sign::key_usage(usage::DIGITAL_SIGNATURE | encipherment)
}

/// The origin's key usage, with keyEncipherment added where an RSA key takes the place of an EC key.
fn copied_usage(origin: &Copied, add_encipherment: bool) -> CustomExtension {
    let bits = Elements(&origin.value).next().filter(|bits| bits.tag == tag::BIT_STRING);
    match bits.map(|bits| bits.content) {
        Some(&[unused, first, ref rest @ ..]) if add_encipherment => {
            let first = first | usage::KEY_ENCIPHERMENT;
            let unused = if rest.is_empty() { unused.min(5) } else { unused };
            let content = [&[unused, first], rest].concat();
            sign::extension(id_ce::KEY_USAGE, origin.critical, der::element(tag::BIT_STRING, &content))
        }
        _ => origin.again(id_ce::KEY_USAGE),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fmt::Write as _;
    use std::sync::Arc;

    use rcgen::{DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
    use rustls_pki_types::CertificateDer;
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::super::{Authority, Forged, InspectionCa, Mirror, OriginTrust, Profile};
    use super::*;
    use crate::source::Document;

    pub(in crate::authority) fn days(days: i64) -> Duration {
        Duration::days(days)
    }

    /// The certificate of an origin, to be mirrored.
    pub(in crate::authority) struct Origin(rcgen::CertificateParams);

    impl Origin {
        pub(in crate::authority) fn new() -> Self {
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
        pub(in crate::authority) fn valid(mut self, from: i64, to: i64) -> Self {
            let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
            self.0.not_before = now + days(from);
            self.0.not_after = now + days(to);
            self
        }

        pub(in crate::authority) fn named(mut self, name: &str) -> Self {
            self.0.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
            self
        }

        pub(in crate::authority) fn also_named(mut self, name: &str) -> Self {
            self.0.subject_alt_names.push(SanType::DnsName(name.try_into().unwrap()));
            self
        }

        pub(in crate::authority) fn for_clients(mut self) -> Self {
            self.0.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            self
        }

        pub(in crate::authority) fn der(&self) -> CertificateDer<'static> {
            self.of(&rcgen::KeyPair::generate().unwrap())
        }

        fn of(&self, key: &KeyPair) -> CertificateDer<'static> {
            self.0.self_signed(key).unwrap().der().clone()
        }
    }

    async fn forge(profile: Arc<Profile>, origin: Option<&CertificateDer<'static>>) -> Arc<Forged> {
        let authority = Authority::new(InspectionCa::in_memory(&profile, &[]).unwrap(), profile).unwrap();
        let mirror = origin.map(|leaf| Mirror { leaf, trust: OriginTrust::Trusted });
        authority.forge(&Host::parse("acme.example").unwrap(), mirror).await.unwrap()
    }

    fn dates(certificate: &CertificateDer<'_>) -> (OffsetDateTime, OffsetDateTime) {
        let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
        (certificate.validity().not_before.to_datetime(), certificate.validity().not_after.to_datetime())
    }

    /// Every field of a forged leaf that a client can see; `!` marks a critical extension.
    fn portrait(forged: &Forged) -> String {
        let leaf = forged.certified.end_entity_cert().unwrap();
        let (_, certificate) = X509Certificate::from_der(leaf).unwrap();
        let (start, end) = dates(leaf);
        let now = OffsetDateTime::now_utc();
        // To the nearest day.
        let round = |span: Duration| (span + Duration::hours(if span.is_negative() { -12 } else { 12 })).whole_days();
        let mut text = String::new();
        let mut line = |name: &str, value: String| writeln!(text, "{name}: {value}").unwrap();
        line("subject", forged.facts.subject.clone());
        line("issuer", forged.facts.issuer.clone());
        line("names", forged.facts.names.join(" "));
        line("key", forged.facts.key.clone());
        line("signature", certificate.signature_algorithm.algorithm.to_id_string());
        line("days", format!("{} to {}", round(start - now), round(end - now)));
        line("serial", format!("{} octets", certificate.raw_serial().len()));
        let extensions = certificate.extensions().iter().map(|extension| {
            let oid = extension.oid.to_id_string();
            let name = match oid.as_str() {
                "2.5.29.14" => "ski",
                "2.5.29.15" => "ku",
                "2.5.29.17" => "san",
                "2.5.29.19" => "bc",
                "2.5.29.31" => "crldp",
                "2.5.29.35" => "aki",
                "2.5.29.37" => "eku",
                other => other,
            };
            format!("{name}{}", if extension.critical { "!" } else { "" })
        });
        line("extensions", extensions.collect::<Vec<_>>().join(" "));
        line("usage", certificate.key_usage().unwrap().map_or_else(String::new, |usage| usage.value.to_string()));
        let purposes = certificate.extended_key_usage().unwrap().unwrap().value;
        line("purpose", format!("server {} client {}", purposes.server_auth, purposes.client_auth));
        let chain = forged.certified.cert[1..].iter().map(|der| {
            let (_, certificate) = X509Certificate::from_der(der).unwrap();
            format!("[{}]", certificate.subject().iter_common_name().next().unwrap().as_str().unwrap())
        });
        line("chain", chain.collect::<Vec<_>>().join(" "));
        text
    }

    async fn looks(profile: &str, expected: [&str; 11]) {
        let forged = forge(Profile::load(profile).unwrap(), Some(&Origin::new().der())).await;
        let text = portrait(&forged);
        assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{profile}");
    }

    #[tokio::test]
    async fn a_leaf_as_generic_forges_it() {
        let expected = [
            "subject: C=US, O=Acme, Inc., CN=acme.example",
            "issuer: O=middlebox, CN=middlebox Inspection Issuing CA",
            "names: acme.example *.acme.example 192.0.2.7",
            "key: EC P-256",
            "signature: 1.2.840.10045.4.3.2",
            "days: -10 to 80",
            "serial: 16 octets",
            "extensions: san ku! eku aki bc!",
            "usage: Digital Signature",
            "purpose: server true client false",
            "chain: [middlebox Inspection Issuing CA]",
        ];
        looks("generic", expected).await;
    }

    #[tokio::test]
    async fn a_leaf_as_zscaler_forges_it() {
        let expected = [
            "subject: O=Acme, Inc., CN=acme.example",
            "issuer: C=US, ST=California, O=Zscaler Inc., OU=Zscaler Inc., CN=Zscaler Intermediate Root CA (zscalertwo.net) (t) ",
            "names: acme.example *.acme.example 192.0.2.7",
            "key: RSA 2048",
            "signature: 1.2.840.113549.1.1.11",
            "days: 0 to 14",
            "serial: 16 octets",
            "extensions: san ku! eku aki bc",
            "usage: Digital Signature, Key Encipherment",
            "purpose: server true client false",
            "chain: [Zscaler Intermediate Root CA (zscalertwo.net) (t) ] [Zscaler Intermediate Root CA (zscalertwo.net)]",
        ];
        looks("zscaler", expected).await;
    }

    #[tokio::test]
    async fn a_leaf_as_pan_os_forges_it() {
        let expected = [
            "subject: C=US, O=Acme, Inc., CN=acme.example",
            "issuer: O=Example Corp, CN=Forward Trust CA",
            "names: acme.example *.acme.example 192.0.2.7",
            "key: EC P-256",
            "signature: 1.2.840.113549.1.1.11",
            "days: -10 to 80",
            "serial: 16 octets",
            "extensions: san ku! eku aki bc!",
            "usage: Digital Signature",
            "purpose: server true client true",
            "chain: ",
        ];
        looks("pan-os", expected).await;
    }

    #[tokio::test]
    async fn a_leaf_as_fortigate_forges_it() {
        let expected = [
            "subject: C=US, O=Acme, Inc., CN=acme.example",
            "issuer: C=US, ST=California, L=Sunnyvale, O=Fortinet, OU=Certificate Authority, CN=FGVM000000000000, Email=support@fortinet.com",
            "names: acme.example *.acme.example 192.0.2.7",
            "key: RSA 2048",
            "signature: 1.2.840.113549.1.1.11",
            "days: -10 to 80",
            "serial: 16 octets",
            "extensions: san ku! eku aki bc",
            "usage: Digital Signature, Key Encipherment",
            "purpose: server true client false",
            "chain: [FGVM000000000000]",
        ];
        looks("fortigate", expected).await;
    }

    #[tokio::test]
    async fn a_leaf_as_squid_forges_it() {
        let expected = [
            "subject: C=US, O=Acme, Inc., CN=acme.example",
            "issuer: O=Example Corp, CN=Squid CA",
            "names: acme.example *.acme.example 192.0.2.7",
            "key: RSA 2048",
            "signature: 1.2.840.113549.1.1.11",
            "days: -10 to 80",
            "serial: 20 octets",
            "extensions: san ku! eku aki bc!",
            "usage: Digital Signature, Key Encipherment",
            "purpose: server true client true",
            "chain: ",
        ];
        looks("squid", expected).await;
    }

    #[tokio::test]
    async fn following_the_origin_takes_its_kind_of_key() {
        let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        for (key, expected) in [(rsa, "RSA 2048"), (p384, "EC P-384"), (ed25519, "EC P-256")] {
            let forged = forge(Profile::load("pan-os").unwrap(), Some(&Origin::new().of(&key))).await;
            assert_eq!(forged.facts.key, expected);
        }
    }

    #[tokio::test]
    async fn the_subject_keeps_its_bytes() {
        let origin = Origin::new().der();
        let forged = forge(Profile::load("generic").unwrap(), Some(&origin)).await;
        let subject = |der: &CertificateDer<'_>| X509Certificate::from_der(der).unwrap().1.subject().as_raw().to_vec();
        assert_eq!(subject(forged.certified.end_entity_cert().unwrap()), subject(&origin));
    }

    #[tokio::test]
    async fn copied_dates_are_limited_only_where_the_profile_says_so() {
        let now = OffsetDateTime::now_utc();
        for (from, to) in [(-10, 80), (-700, 60), (-10, 3000), (-3000, 3000)] {
            let origin = Origin::new().valid(from, to).der();
            let forged = forge(Profile::load("generic").unwrap(), Some(&origin)).await;
            let (start, end) = dates(forged.certified.end_entity_cert().unwrap());
            assert!(start <= now && now + days(50) < end, "{from} to {to}: {start} to {end}");
            assert!(end - start < days(398), "{from} to {to}: {start} to {end}");
            for issuer in &forged.certified.cert[1..] {
                assert!(end <= dates(issuer).1);
            }
            let forged = forge(Profile::load("squid").unwrap(), Some(&origin)).await;
            assert_eq!(dates(forged.certified.end_entity_cert().unwrap()), dates(&origin));
        }
    }

    #[tokio::test]
    async fn a_profile_of_ones_own_changes_what_it_names() {
        let text = include_str!("../../certs/profiles/generic.toml")
            .replace(
                "subject = \"copy\"",
                "subject = \"cn-only\"\ncrl-distribution-point = \"http://crl.example/1.crl\"",
            )
            .replace("san = \"copy\"", "san = \"host-only\"")
            .replace("key-usage = \"for-key\"", "key-usage = \"absent\"")
            .replace("subject-key-identifier = false", "subject-key-identifier = true");
        let profile = Profile::parse(&Document::new("own.toml", text)).unwrap();
        let text = portrait(forge(Arc::new(profile), Some(&Origin::new().der())).await.as_ref());
        assert!(text.contains("subject: CN=acme.example\n"), "{text}");
        assert!(text.contains("names: acme.example\n"), "{text}");
        assert!(text.contains("extensions: san eku crldp ski aki bc!\n"), "{text}");
    }
}
