//! Forging: a host and an origin's certificate in, a certified key for the client's handshake out.

use std::sync::Arc;

use aws_lc_rs::digest;
use quick_cache::sync::Cache;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use super::ca::{self, InspectionCa};
use super::defect::Defect;
use super::error::CaError;
use super::fault::{Mirror, OriginTrust};
use super::forged::{ForgeError, Forged, Freshness};
use super::keys::LeafKeys;
use super::profile::Profile;
use super::sign::{Clock, Signer};
use crate::net::Host;

/// How many forged leaves are kept.
const LEAVES: usize = 4096;

/// The inspection CA at work: CA, profile, keys and the leaves forged so far. Shared in an [`Arc`].
pub struct Authority {
    pub(super) ca: InspectionCa,
    pub(super) untrusted: Signer,
    pub(super) profile: Arc<Profile>,
    pub(super) defect: Option<Defect>,
    pub(super) keys: LeafKeys,
    pub(super) clock: Clock,
    leaves: Cache<Occasion, Arc<Forged>>,
}

/// What a cached leaf was forged for.
#[derive(Clone, Hash, PartialEq, Eq)]
struct Occasion {
    host: Host,
    /// SHA-256 of the origin's leaf.
    origin: Option<[u8; 32]>,
    trust: OriginTrust,
}

impl Authority {
    /// An authority of a CA and a profile. The CA is to be made or loaded with the same profile.
    ///
    /// # Errors
    /// The CA for untrusted origins cannot be made.
    pub fn new(ca: InspectionCa, profile: Arc<Profile>) -> Result<Self, CaError> {
        Self::with_defect(ca, profile, None)
    }

    /// As [`Self::new`], and what is forged is wrong in this way wherever the origin is not wrong itself.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_defect(ca: InspectionCa, profile: Arc<Profile>, defect: Option<Defect>) -> Result<Self, CaError> {
        let untrusted = ca::make_untrusted(&profile, ca.top())?;
        let keys = LeafKeys::new(profile.leaf.key_reuse);
        keys.warm(profile.leaf.key);
        Ok(Self { ca, untrusted, profile, defect, keys, clock: Clock::default(), leaves: Cache::new(LEAVES) })
    }

    /// In what the forged certificates are wrong on request.
    #[must_use]
    pub fn defect(&self) -> Option<Defect> {
        self.defect
    }

    /// The inspection CA.
    #[must_use]
    pub fn ca(&self) -> &InspectionCa {
        &self.ca
    }

    /// The profile.
    #[must_use]
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// The root that signs for untrusted origins: for showing, never for trusting.
    #[must_use]
    pub fn untrusted_root(&self) -> &CertificateDer<'static> {
        &self.untrusted.certificate
    }

    /// Whether the CA may sign for a host; if not, it has to be bypassed.
    #[must_use]
    pub fn permits(&self, host: &Host) -> bool {
        self.ca.permits(host)
    }

    /// A certified key for a host, after the origin's certificate where there is one.
    ///
    /// Asked for one thing several times at once, it forges once. Cancel safe: whoever waits goes on.
    ///
    /// # Errors
    /// The CA or the profile forbid it, or no key or signature could be made.
    pub async fn forge(&self, host: &Host, mirror: Option<Mirror<'_>>) -> Result<Arc<Forged>, ForgeError> {
        self.forge_or_recall(host, mirror).await.map(|(forged, _)| forged)
    }

    /// As [`Self::forge`], and says whether the leaf was there already.
    ///
    /// # Errors
    /// As [`Self::forge`].
    pub async fn forge_or_recall(
        &self,
        host: &Host,
        mirror: Option<Mirror<'_>>,
    ) -> Result<(Arc<Forged>, Freshness), ForgeError> {
        if !self.permits(host) {
            return Err(ForgeError::NotPermitted(host.clone()));
        }
        let trust = mirror.as_ref().map_or(OriginTrust::Trusted, |mirror| mirror.trust.clone());
        let occasion = Occasion { host: host.clone(), origin: mirror.as_ref().map(fingerprint), trust };
        let now = OffsetDateTime::now_utc();
        loop {
            match self.leaves.get_value_or_guard_async(&occasion).await {
                Ok(forged) if now < forged.stale_at => return Ok((forged, Freshness::Cached)),
                // Only this stale leaf goes, not one that another asking has put in its place.
                Ok(stale) => drop(self.leaves.remove_if(&occasion, |forged| Arc::ptr_eq(forged, &stale))),
                Err(guard) => {
                    let forged = Arc::new(self.mint(host, mirror.as_ref(), now).await?);
                    // Fails only if the cache was emptied meanwhile; the leaf is good all the same.
                    let _ = guard.insert(Arc::clone(&forged));
                    return Ok((forged, Freshness::Minted));
                }
            }
        }
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("ca", &self.ca)
            .field("profile", &self.profile.name())
            .field("defect", &self.defect)
            .field("leaves", &self.leaves.len())
            .finish_non_exhaustive()
    }
}

fn fingerprint(mirror: &Mirror<'_>) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, mirror.leaf);
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::fault::OriginFault;
    use super::super::forged::{Mirrored, SignedBy};
    use super::super::profile::UntrustedAction;
    use super::super::testing::{Origin, authority, host, untrusted, verify};
    use super::*;
    use crate::net::CertificateFacts;

    #[tokio::test]
    async fn every_profile_forges_what_its_root_vouches_for() {
        for profile in Profile::built_in() {
            let authority = authority(profile, &[]);
            let origin = Origin::new().der();
            let mirror = Mirror { leaf: &origin, trust: OriginTrust::Trusted };
            let forged = authority.forge(&host("acme.example"), Some(mirror)).await.unwrap();
            assert_eq!(verify(authority.ca().root(), &forged, "acme.example"), Ok(()), "{profile}");
            assert_eq!((forged.mirrored, forged.signed_by), (Mirrored::Origin, SignedBy::InspectionCa), "{profile}");
            forged.certified.keys_match().unwrap();
            // OpenSSL is strict about these products' chains, and Python since 3.13.
            assert_eq!(forged.in_order, !["fortigate", "netskope", "zscaler"].contains(&profile), "{profile}");
            let by_name = authority.forge(&host("other.example"), None).await.unwrap();
            assert_eq!(verify(authority.ca().root(), &by_name, "other.example"), Ok(()), "{profile}");
            assert_eq!(by_name.mirrored, Mirrored::NameAlone);
        }
    }

    #[tokio::test]
    async fn an_untrusted_origin_is_never_made_trusted() {
        for profile in Profile::built_in() {
            let authority = authority(profile, &[]);
            let origin = Origin::new().der();
            for fault in [OriginFault::UnknownIssuer, OriginFault::SelfSigned, OriginFault::Other("x".to_owned())] {
                let mirror = Mirror { leaf: &origin, trust: untrusted(fault.clone()) };
                let forged = authority.forge(&host("acme.example"), Some(mirror)).await;
                if authority.profile().untrusted_action(fault == OriginFault::SelfSigned) == UntrustedAction::Block {
                    assert_eq!(forged.unwrap_err(), ForgeError::Blocked(fault), "{profile}");
                    continue;
                }
                let forged = forged.unwrap();
                let error = verify(authority.ca().root(), &forged, "acme.example").unwrap_err();
                assert!(error.contains("UnknownIssuer"), "{profile}: {error}");
                let keeps = ["squid", "sophos"].contains(&profile) && fault == OriginFault::SelfSigned;
                let expected = if keeps { SignedBy::ItSelf } else { SignedBy::UntrustedCa };
                assert_eq!(forged.signed_by, expected, "{profile}");
                if profile == "squid" {
                    let issuer = if keeps { "acme.example" } else { "Not trusted by \"Squid CA\"" };
                    assert_eq!(&*forged.issuer, issuer);
                }
            }
            assert_ne!(authority.untrusted_root(), authority.ca().root());
        }
    }

    #[tokio::test]
    async fn the_faults_of_an_origin_stay_visible() {
        for profile in Profile::built_in() {
            let authority = authority(profile, &[]);
            if authority.profile().untrusted_action(false) == UntrustedAction::Block {
                continue;
            }
            let root = authority.untrusted_root().clone();
            let says = |origin: CertificateDer<'static>, fault: OriginFault| {
                let (authority, root) = (&authority, &root);
                async move {
                    let mirror = Mirror { leaf: &origin, trust: untrusted(fault) };
                    let forged = authority.forge(&host("acme.example"), Some(mirror)).await.unwrap();
                    verify(root, &forged, "acme.example").unwrap_err()
                }
            };
            let error = says(Origin::new().valid(-900, -20).der(), OriginFault::Expired).await;
            assert!(error.contains("Expired"), "{profile}: {error}");
            let error = says(Origin::new().valid(20, 90).der(), OriginFault::NotYetValid).await;
            assert!(error.contains("NotValidYet"), "{profile}: {error}");
            let error = says(Origin::new().named("evil.example").der(), OriginFault::WrongHost).await;
            assert!(error.contains("NotValidForName"), "{profile}: {error}");
            let error = says(Origin::new().for_clients().der(), OriginFault::WrongUsage).await;
            assert!(error.contains("Purpose"), "{profile}: {error}");
        }
    }

    /// `generic` with one setting changed.
    fn altered(from: &str, to: &str) -> Authority {
        let text = include_str!("../../certs/profiles/generic.toml").replacen(from, to, 1);
        let profile = Arc::new(Profile::parse(&crate::source::Document::new("p.toml", text)).unwrap());
        Authority::new(InspectionCa::in_memory(&profile, &[]).unwrap(), profile).unwrap()
    }

    #[tokio::test]
    async fn a_profile_may_block_untrusted_origins() {
        let authority = altered("action = \"sign\"", "action = \"block\"\nblock-status = 503");
        assert_eq!(authority.profile().block_status(), Some(http::StatusCode::SERVICE_UNAVAILABLE));
        let origin = Origin::new().der();
        let mirror = Mirror { leaf: &origin, trust: untrusted(OriginFault::Revoked) };
        let error = authority.forge(&host("acme.example"), Some(mirror)).await.unwrap_err();
        assert_eq!(error, ForgeError::Blocked(OriginFault::Revoked));
    }

    #[tokio::test]
    async fn the_host_is_added_to_the_names_except_where_its_absence_is_the_fault() {
        for (san, right) in [("copy-and-host", &["evil.example", "acme.example"][..]), ("host-only", &["acme.example"])]
        {
            let authority = altered("san = \"copy\"", &format!("san = \"{san}\""));
            let origin = Origin::new().named("evil.example").der();
            for (trust, names) in
                [(OriginTrust::Trusted, right), (untrusted(OriginFault::WrongHost), &["evil.example"])]
            {
                let mirror = Mirror { leaf: &origin, trust };
                let forged = authority.forge(&host("acme.example"), Some(mirror)).await.unwrap();
                assert_eq!(forged.facts().names, names, "{san}");
                assert!(!format!("{forged:?}{authority:?}").contains("KeyPair"));
            }
        }
    }

    #[tokio::test]
    async fn every_leaf_has_a_key_of_its_own() {
        for profile in ["cloudflare", "zscaler"] {
            let authority = authority(profile, &[]);
            let mut pins = HashSet::from([authority.ca().facts().pin]);
            for certificate in &authority.ca.issuing(OffsetDateTime::now_utc()).unwrap().chain {
                pins.insert(CertificateFacts::of(certificate).unwrap().pin);
            }
            for number in 0..5 {
                let forged = authority.forge(&host(&format!("h{number}.example")), None).await.unwrap();
                assert!(pins.insert(forged.facts().pin), "{profile} {number}");
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_host_is_forged_once_however_many_ask() {
        for profile in ["generic", "fortigate"] {
            let authority = Arc::new(authority(profile, &[]));
            let asking = (0..64).map(|_| {
                let authority = Arc::clone(&authority);
                tokio::spawn(async move { authority.forge_or_recall(&host("acme.example"), None).await.unwrap() })
            });
            let mut answers = Vec::new();
            for answer in asking.collect::<Vec<_>>() {
                answers.push(answer.await.unwrap());
            }
            assert!(answers.iter().all(|(forged, _)| Arc::ptr_eq(forged, &answers[0].0)));
            assert_eq!(answers.iter().filter(|(_, fresh)| *fresh == Freshness::Minted).count(), 1);
        }
    }

    #[tokio::test]
    async fn another_certificate_or_verdict_is_another_leaf() {
        let authority = authority("generic", &[]);
        let (one, two) = (Origin::new().der(), Origin::new().der());
        let mut seen = HashSet::new();
        for (leaf, trust) in [
            (&one, OriginTrust::Trusted),
            (&two, OriginTrust::Trusted),
            (&one, untrusted(OriginFault::UnknownIssuer)),
            (&one, untrusted(OriginFault::Revoked)),
        ] {
            let mirror = Mirror { leaf, trust };
            let (forged, freshness) =
                authority.forge_or_recall(&host("acme.example"), Some(mirror.clone())).await.unwrap();
            assert_eq!(freshness, Freshness::Minted);
            assert!(seen.insert(forged.facts().serial.clone()));
            let (again, freshness) = authority.forge_or_recall(&host("ACME.example."), Some(mirror)).await.unwrap();
            assert_eq!(freshness, Freshness::Cached);
            assert!(Arc::ptr_eq(&forged, &again));
        }
    }

    #[tokio::test]
    async fn a_constrained_ca_forges_only_what_clients_will_take() {
        let authority = authority("generic", &["acme.example", "192.0.2.0/24"]);
        assert!(authority.permits(&host("a.acme.example")) && !authority.permits(&host("okta.com")));
        let error = authority.forge(&host("okta.com"), None).await.unwrap_err();
        assert_eq!(error, ForgeError::NotPermitted(host("okta.com")));
        // One name outside would make clients refuse the whole certificate.
        let origin = Origin::new().also_named("other.example").der();
        let mirror = Mirror { leaf: &origin, trust: OriginTrust::Trusted };
        let forged = authority.forge(&host("acme.example"), Some(mirror)).await.unwrap();
        assert_eq!(forged.facts().names, ["acme.example", "*.acme.example", "192.0.2.7"]);
        assert_eq!(verify(authority.ca().root(), &forged, "acme.example"), Ok(()));
        let by_ip = authority.forge(&host("192.0.2.9"), None).await.unwrap();
        assert_eq!(verify(authority.ca().root(), &by_ip, "192.0.2.9"), Ok(()));
    }

    #[tokio::test]
    async fn every_kind_of_host_gets_a_certificate() {
        let authority = authority("generic", &[]);
        let long = format!("{}.{}.example", "a".repeat(63), "b".repeat(63));
        for name in ["bücher.example", "192.0.2.1", "2001:db8::1", "_service.example", &long] {
            let forged = authority.forge(&host(name), None).await.unwrap();
            assert_eq!(forged.facts().names, [host(name).to_string()]);
            assert_eq!(verify(authority.ca().root(), &forged, name), Ok(()), "{name}");
            let subject = if name == long { String::new() } else { format!("CN={}", host(name)) };
            assert_eq!(forged.facts().subject, subject);
        }
    }

    #[tokio::test]
    async fn an_origin_that_does_not_parse_leaves_the_name_alone() {
        let authority = authority("generic", &[]);
        let broken = CertificateDer::from(&b"\x30\x03no!"[..]);
        let mirror = Mirror { leaf: &broken, trust: untrusted(OriginFault::Malformed) };
        let forged = authority.forge(&host("acme.example"), Some(mirror)).await.unwrap();
        assert_eq!((forged.mirrored, forged.signed_by), (Mirrored::NameAlone, SignedBy::UntrustedCa));
        assert_eq!(forged.facts().names, ["acme.example"]);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

        /// Whatever an origin sends, the client's handshake gets a certificate that parses.
        #[test]
        fn a_damaged_certificate_of_an_origin_is_forged_all_the_same(
            damage in proptest::collection::vec((0_usize..600, proptest::num::u8::ANY), 1..4),
        ) {
            static SQUID: std::sync::LazyLock<Authority> = std::sync::LazyLock::new(|| {
                let text = include_str!("../../certs/profiles/squid.toml").replace("rsa-2048", "ec-p256");
                let profile = Arc::new(Profile::parse(&crate::source::Document::new("p.toml", text)).unwrap());
                Authority::new(InspectionCa::in_memory(&profile, &[]).unwrap(), profile).unwrap()
            });
            let mut bytes = Origin::new().der().to_vec();
            for (at, byte) in damage {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let leaf = CertificateDer::from(bytes);
            let mirror = Mirror { leaf: &leaf, trust: untrusted(OriginFault::UnknownIssuer) };
            let forged = runtime.block_on(SQUID.forge(&host("acme.example"), Some(mirror)));
            proptest::prop_assert!(forged.is_ok(), "{forged:?}");
        }
    }
}
