//! What stands in a forged leaf: the profile's rules applied to the host and the origin's certificate.

use std::net::IpAddr;

use rcgen::{CustomExtension, KeyPair};
use time::{Duration, OffsetDateTime};

use super::ca::BACKDATE;
use super::constraint::Constraints;
use super::defect::{Defect, Shown};
use super::fault::OriginFault;
use super::names::{self, Keep};
use super::origin::{Copied, OriginLeaf};
use super::rules::{ExtendedKeyUsage, KeyUsage, Leaf, LeafConstraints, LeafKey, San, Serial, Subject, Validity};
use super::sign::{self, Clock, Draft, SignError, id_ce, purpose, usage};
use crate::net::Host;
use crate::net::der::{self, Elements, tag};

/// The life of a leaf that has no origin to copy dates from.
const DAYS_BY_NAME_ALONE: i64 = 90;

/// A leaf that is copied with a limit begins this long ago at the earliest, so that the limit leaves it a future.
const PAST_OF_A_LIMITED_COPY: Duration = Duration::days(30);

/// A leaf that is over ended a day ago and began so long ago; one that has not begun, the other way round.
const WRONG_DATES: Duration = Duration::days(31);

/// As many names are mirrored. Public CAs sign up to some hundreds; what has more is a test or an attack, and a leaf with
/// all of them would be made, kept and sent for every host that it names.
const MOST_NAMES: usize = 1024;

/// Everything that a leaf is made from, except its key.
pub(super) struct Sitter<'a> {
    pub(super) rules: &'a Leaf,
    pub(super) host: &'a Host,
    pub(super) origin: Option<&'a OriginLeaf>,
    pub(super) fault: Option<&'a OriginFault>,
    pub(super) defect: Option<Defect>,
    /// For serial numbers that follow it.
    pub(super) clock: &'a Clock,
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
        let names = self.names();
        let subject = self.subject(&names);
        let (not_before, not_after) = self.validity();
        let extensions = self.extensions(key, issuer_key_id, &names, names::is_empty(&subject));
        let mut draft = Draft { serial: Vec::new(), subject, not_before, not_after, extensions };
        draft.serial = match self.rules.serial {
            Serial::Random { octets } => sign::serial(octets)?,
            Serial::UnixTime => self.clock.serial(self.now),
            Serial::ContentSha1 => sign::content_serial(&draft, key, issuer_key_id),
        };
        Ok(draft)
    }

    /// The subject, where these are the alternative names.
    fn subject(&self, names: &[Vec<u8>]) -> Vec<u8> {
        match self.defect.and_then(|defect| defect.shown(self.host)) {
            Some(Shown::Name(name)) => return names::common_name_alone(&name),
            Some(Shown::Ip(ip)) => return names::common_name_alone(&ip.to_string()),
            Some(Shown::CommonNameAlone) => return names::common_name_alone(&self.host.to_string()),
            None => {}
        }
        let host = || names::common_name_alone(&self.host.to_string());
        let Some(origin) = self.origin else { return host() };
        match self.rules.subject {
            Subject::Copy => names::copy(&origin.subject, Keep::All),
            Subject::CnOnly => names::copy(&origin.subject, Keep::CommonName),
            Subject::CnAndOrganization => names::copy(&origin.subject, Keep::CommonNameAndOrganization),
            // The host would repair a certificate that is for another.
            Subject::HostOnly if self.has_wrong_host() => names::copy(&origin.subject, Keep::CommonName),
            Subject::HostOnly => host(),
            Subject::FirstNameAndOrganization => {
                let first = names.first().and_then(|name| text_of(name));
                let first = first.map_or_else(|| names::write(&[]), |name| names::common_name_alone(&name));
                names::join(&[first, names::copy(&origin.subject, Keep::Organization)])
            }
        }
    }

    fn has_wrong_host(&self) -> bool {
        self.fault == Some(&OriginFault::WrongHost)
    }

    fn validity(&self) -> (OffsetDateTime, OffsetDateTime) {
        let now = self.now;
        match self.defect {
            Some(Defect::Expired) => return (now - WRONG_DATES, now - Duration::DAY),
            Some(Defect::NotYetValid) => return (now + Duration::DAY, now + WRONG_DATES),
            _ => {}
        }
        match (self.rules.validity, self.origin) {
            (Validity::Fixed { days, backdate_days }, _) => {
                let start = now - Duration::days(i64::from(backdate_days));
                let end = start + Duration::days(i64::from(days));
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
                if within_issuer && valid {
                    end = end.min(self.until);
                }
                (start, end)
            }
        }
    }

    fn extensions(
        &self,
        key: &KeyPair,
        issuer_key_id: &[u8],
        names: &[Vec<u8>],
        nameless: bool,
    ) -> Vec<CustomExtension> {
        let rules = self.rules;
        let is_rsa = key.algorithm() == &rcgen::PKCS_RSA_SHA256;
        let mut list = Vec::with_capacity(8);
        if !names.is_empty() {
            // Without a subject the alternative name is critical (RFC 5280, 4.2.1.6).
            list.push(sign::extension(id_ce::SUBJECT_ALT_NAME, nameless, der::wrap(tag::SEQUENCE, names)));
        }
        let origin_usage = self.origin.and_then(|origin| origin.key_usage.as_ref());
        match (rules.key_usage, origin_usage) {
            (KeyUsage::Copy, Some(origin)) => list.push(copied_usage(origin, is_rsa && self.origin_is_ec())),
            (KeyUsage::ForKey, _) => list.push(own_usage(is_rsa)),
            // Without an origin there is nothing to copy, but what a leaf needs is known.
            (KeyUsage::Copy, None) if self.origin.is_none() => list.push(own_usage(is_rsa)),
            (KeyUsage::Copy | KeyUsage::Absent, _) => {}
        }
        list.extend(self.purposes());
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
            _ if self.defect == Some(Defect::LeafIsCa) => list.push(sign::ca_constraints(true, None)),
            (LeafConstraints::Critical, _) | (LeafConstraints::Copy, None) => list.push(sign::leaf_constraints(true)),
            (LeafConstraints::NotCritical, _) => list.push(sign::leaf_constraints(false)),
            // Only the criticality: a forged leaf is never a CA, even where a self-signed origin says it is one.
            (LeafConstraints::Copy, Some(origin)) => {
                list.extend(origin.basic_constraints.as_ref().map(|origin| sign::leaf_constraints(origin.critical)));
            }
            (LeafConstraints::Absent, _) => {}
        }
        if self.defect == Some(Defect::UnknownCriticalExtension) {
            list.push(sign::unknown_critical_extension());
        }
        list
    }

    /// extendedKeyUsage.
    fn purposes(&self) -> Option<CustomExtension> {
        if self.defect == Some(Defect::NoServerAuth) {
            return Some(sign::extended_key_usage(&[purpose::CLIENT_AUTH]));
        }
        let own: &[u8] = match self.rules.extended_key_usage {
            ExtendedKeyUsage::Absent => return None,
            ExtendedKeyUsage::ServerAndClientAuth => &[purpose::SERVER_AUTH, purpose::CLIENT_AUTH],
            ExtendedKeyUsage::ServerAuth | ExtendedKeyUsage::Copy => &[purpose::SERVER_AUTH],
        };
        let Some(origin) = self.origin else { return Some(sign::extended_key_usage(own)) };
        let copied = origin.extended_key_usage.as_ref().map(|origin| origin.again(id_ce::EXTENDED_KEY_USAGE));
        match self.rules.extended_key_usage {
            ExtendedKeyUsage::Copy => copied,
            // A certificate that is not meant for servers stays so, or its fault would be repaired.
            _ if self.fault == Some(&OriginFault::WrongUsage) && copied.is_some() => copied,
            _ => Some(sign::extended_key_usage(own)),
        }
    }

    /// The alternative names, each a whole GeneralName.
    fn names(&self) -> Vec<Vec<u8>> {
        match self.defect.and_then(|defect| defect.shown(self.host)) {
            Some(Shown::Name(name)) => return vec![der::element(tag::DNS_NAME, name.as_bytes())],
            Some(Shown::Ip(ip)) => return vec![ip_name(ip)],
            Some(Shown::CommonNameAlone) => return Vec::new(),
            None => {}
        }
        let host = host_name(self.host);
        let Some(origin) = self.origin else { return vec![host] };
        // With the host's name in it, a certificate for another host would be right.
        let wrong_host = self.has_wrong_host();
        let mut names = match self.rules.san {
            San::HostOnly if !wrong_host => Vec::new(),
            San::HostOnly | San::Copy | San::CopyAndHost => self.mirrored_names(origin),
            San::Union => {
                let common_name = origin.common_name_as_name();
                let names = self.mirrored_names(origin).into_iter();
                let rest = names.filter(|name| Some(name) != common_name.as_ref());
                common_name.clone().into_iter().chain(rest).collect()
            }
        };
        if self.rules.san != San::Copy && !wrong_host && !names.contains(&host) {
            names.push(host);
        }
        if !self.constraints.is_none() {
            names.retain(|name| self.permitted(name));
        }
        names
    }

    /// The origin's names; of more than [`MOST_NAMES`] those that are the host's own, and where there are none, which is
    /// the origin's fault and has to stay one, the first.
    fn mirrored_names(&self, origin: &OriginLeaf) -> Vec<Vec<u8>> {
        if origin.names.len() <= MOST_NAMES {
            return origin.names.clone();
        }
        let host = self.host.to_string();
        let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let is_own = |name: &&Vec<u8>| {
            let name = text_of(name).map(|name| name.to_ascii_lowercase());
            name.is_some_and(|name| name == host || Some(name) == wildcard)
        };
        let own: Vec<_> = origin.names.iter().filter(is_own).cloned().collect();
        if own.is_empty() { origin.names[..MOST_NAMES].to_vec() } else { own }
    }

    /// How many of the origin's names are not mirrored because there are too many.
    pub(super) fn left_out(&self) -> usize {
        let Some(origin) = self.origin else { return 0 };
        origin.names.len() - self.mirrored_names(origin).len()
    }

    fn permitted(&self, name: &[u8]) -> bool {
        let Some(name) = Elements(name).next() else { return false };
        if name.tag == tag::DNS_NAME {
            return std::str::from_utf8(name.content).is_ok_and(|name| self.constraints.allow_name(name));
        }
        ip_of(name.content).is_some_and(|ip| self.constraints.allow_ip(ip))
    }

    fn origin_is_ec(&self) -> bool {
        self.origin.is_some_and(|origin| matches!(origin.key, LeafKey::EcP256 | LeafKey::EcP384 | LeafKey::EcP521))
    }
}

impl OriginLeaf {
    /// The common name as an alternative name, where it is a host's name or a wildcard.
    fn common_name_as_name(&self) -> Option<Vec<u8>> {
        let text = names::common_name(&self.subject)?;
        let host = Host::parse(text.strip_prefix("*.").unwrap_or(&text)).ok()?;
        match &host {
            Host::Name(_) if text.is_ascii() => Some(der::element(tag::DNS_NAME, text.as_bytes())),
            Host::Ip(ip) if !text.starts_with('*') => Some(ip_name(*ip)),
            _ => None,
        }
    }

    fn is_valid_at(&self, now: OffsetDateTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

impl Copied {
    fn again(&self, number: u64) -> CustomExtension {
        sign::extension(number, self.critical, self.value.clone())
    }
}

fn host_name(host: &Host) -> Vec<u8> {
    match host {
        Host::Name(name) => der::element(tag::DNS_NAME, name.as_bytes()),
        Host::Ip(ip) => ip_name(*ip),
    }
}

fn ip_name(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => der::element(tag::IP_ADDRESS, &ip.octets()),
        IpAddr::V6(ip) => der::element(tag::IP_ADDRESS, &ip.octets()),
    }
}

/// A DNS name or address as text.
fn text_of(name: &[u8]) -> Option<String> {
    let name = Elements(name).next()?;
    match name.tag {
        tag::DNS_NAME => std::str::from_utf8(name.content).ok().map(ToOwned::to_owned),
        _ => ip_of(name.content).map(|ip| ip.to_string()),
    }
}

fn ip_of(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
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
mod tests {
    use std::sync::Arc;

    use rustls_pki_types::CertificateDer;
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::super::golden::portrait;
    use super::super::testing::{Origin, days};
    use super::super::{Authority, Forged, InspectionCa, Mirror, OriginTrust, Profile};
    use super::*;
    use crate::source::Document;

    async fn forge(profile: Arc<Profile>, origin: Option<&CertificateDer<'static>>) -> Arc<Forged> {
        let authority = Authority::new(InspectionCa::in_memory(&profile, &[]).unwrap(), profile).unwrap();
        let mirror = origin.map(|leaf| Mirror { leaf, trust: OriginTrust::Trusted });
        authority.forge(&Host::parse("acme.example").unwrap(), mirror).await.unwrap()
    }

    fn dates(certificate: &CertificateDer<'_>) -> (OffsetDateTime, OffsetDateTime) {
        let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
        (certificate.validity().not_before.to_datetime(), certificate.validity().not_after.to_datetime())
    }

    #[tokio::test]
    async fn following_the_origin_takes_its_kind_of_key() {
        let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let key = |algorithm| KeyPair::generate_for(algorithm).unwrap();
        for (key, expected) in [
            (rsa, "RSA 2048"),
            (key(&rcgen::PKCS_ECDSA_P256_SHA256), "EC P-256"),
            (key(&rcgen::PKCS_ECDSA_P384_SHA384), "EC P-384"),
            (key(&rcgen::PKCS_ECDSA_P521_SHA512), "EC P-521"),
            (key(&rcgen::PKCS_ED25519), "Ed25519"),
        ] {
            let forged = forge(Profile::load("pan-os").unwrap(), Some(&Origin::new().of(&key))).await;
            assert_eq!(forged.facts().key, expected);
            forged.certified.keys_match().unwrap();
        }
    }

    #[tokio::test]
    async fn a_profile_may_ask_for_every_kind_of_key() {
        let text = include_str!("../../certs/profiles/generic.toml");
        let (head, leaf) = text.split_once("[leaf]\n").unwrap();
        for (key, expected) in [
            ("ec-p256", "EC P-256"),
            ("ec-p384", "EC P-384"),
            ("ec-p521", "EC P-521"),
            ("ed25519", "Ed25519"),
            ("rsa-2048", "RSA 2048"),
            ("rsa-3072", "RSA 3072"),
            ("rsa-4096", "RSA 4096"),
        ] {
            let leaf = leaf.replacen("ec-p256", key, 1);
            let profile = Profile::parse(&Document::new("own.toml", format!("{head}[leaf]\n{leaf}"))).unwrap();
            let forged = forge(Arc::new(profile), Some(&Origin::new().der())).await;
            assert_eq!(forged.facts().key, expected);
            forged.certified.keys_match().unwrap();
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
