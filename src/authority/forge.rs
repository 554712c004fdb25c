//! Forging: a host and an origin's certificate in, a certified key for the client's handshake out.

use std::sync::Arc;

use aws_lc_rs::digest;
use quick_cache::sync::Cache;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use super::ca::{self, InspectionCa};
use super::error::CaError;
use super::fault::{Mirror, OriginFault, OriginTrust};
use super::forged::{ForgeError, Forged, Freshness, Mirrored, SignedBy};
use super::keys::LeafKeys;
use super::leaf::Sitter;
use super::order;
use super::origin::OriginLeaf;
use super::profile::{Profile, UntrustedAction};
use super::sign::{self, Signer};
use crate::net::{CertificateFacts, Host};

/// How many forged leaves are kept.
const LEAVES: usize = 4096;

/// The inspection CA at work: CA, profile, keys and the leaves forged so far. Shared in an [`Arc`].
pub struct Authority {
    ca: InspectionCa,
    untrusted: Signer,
    profile: Arc<Profile>,
    keys: LeafKeys,
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
        let untrusted = ca::make_untrusted(&profile, ca.common_name())?;
        let keys = LeafKeys::default();
        keys.warm(profile.leaf.key);
        Ok(Self { ca, untrusted, profile, keys, leaves: Cache::new(LEAVES) })
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

    async fn mint(&self, host: &Host, mirror: Option<&Mirror<'_>>, now: OffsetDateTime) -> Result<Forged, ForgeError> {
        let fault = mirror.and_then(|mirror| match &mirror.trust {
            OriginTrust::Trusted => None,
            OriginTrust::Untrusted(fault) => Some(fault),
        });
        let action = fault.map(|fault| (fault, self.profile.untrusted_action(*fault == OriginFault::SelfSigned)));
        let signed_by = match action {
            None => SignedBy::InspectionCa,
            Some((fault, UntrustedAction::Block)) => return Err(ForgeError::Blocked(fault.clone())),
            Some((_, UntrustedAction::Sign)) => SignedBy::UntrustedCa,
            Some((_, UntrustedAction::KeepSelfSigned)) => SignedBy::ItSelf,
        };
        let issuing = self.ca.issuing(now)?;
        let origin = mirror.and_then(|mirror| OriginLeaf::read(mirror.leaf));
        let sitter = Sitter {
            rules: &self.profile.leaf,
            host,
            origin: origin.as_ref(),
            fault,
            constraints: self.ca.constraints(),
            until: issuing.until,
            now,
        };
        let key = self.keys.take(sitter.key()).await?;
        let (leaf, above) = match signed_by {
            SignedBy::InspectionCa => {
                let draft = sitter.draft(&key.pair, &issuing.signer.key_id)?;
                let leaf = draft.sign(&key.pair, &issuing.signer.subject, &issuing.signer.key)?;
                let root = self.sent_root(self.ca.root());
                (leaf, issuing.chain.iter().cloned().chain(root).collect())
            }
            SignedBy::UntrustedCa => {
                let draft = sitter.draft(&key.pair, &self.untrusted.key_id)?;
                let leaf = draft.sign(&key.pair, &self.untrusted.subject, &self.untrusted.key)?;
                (leaf, self.sent_root(&self.untrusted.certificate).into_iter().collect())
            }
            SignedBy::ItSelf => {
                let draft = sitter.draft(&key.pair, &sign::key_id_of(&key.pair))?;
                let subject = draft.subject.clone();
                (draft.sign(&key.pair, &subject, &key.pair)?, Vec::new())
            }
        };
        let facts = CertificateFacts::of(&leaf)?;
        let issuer = CertificateFacts::issuer_name(&leaf).unwrap_or_else(|| facts.issuer.clone());
        let stale_at = stale_at(&leaf, issuing.until, now);
        let chain: Vec<_> = std::iter::once(leaf).chain::<Vec<_>>(above).collect();
        let root = match signed_by {
            SignedBy::InspectionCa => self.ca.root(),
            SignedBy::UntrustedCa => &self.untrusted.certificate,
            SignedBy::ItSelf => &chain[0],
        };
        let in_order = order::is_kept_by(&chain, root);
        Ok(Forged {
            certified: Arc::new(CertifiedKey::new(chain, key.signing)),
            facts,
            issuer,
            mirrored: if origin.is_some() { Mirrored::Origin } else { Mirrored::NameAlone },
            signed_by,
            in_order,
            stale_at,
        })
    }

    /// The root where the profile sends it and it is one: the top of a chain without its root is in the chain already.
    fn sent_root(&self, root: &CertificateDer<'static>) -> Option<CertificateDer<'static>> {
        (self.profile.root.send && ca::is_self_issued(root)).then(|| root.clone())
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("ca", &self.ca)
            .field("profile", &self.profile.name())
            .field("leaves", &self.leaves.len())
            .finish_non_exhaustive()
    }
}

fn fingerprint(mirror: &Mirror<'_>) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, mirror.leaf);
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A leaf goes with its chain, or when it ends; one that was over from the start would be forged for ever.
fn stale_at(leaf: &CertificateDer<'_>, until: OffsetDateTime, now: OffsetDateTime) -> OffsetDateTime {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let end = X509Certificate::from_der(leaf).map(|(_, leaf)| leaf.validity().not_after.to_datetime());
    match end {
        // A CA that has ended itself signs no better a second time.
        _ if until <= now => now + time::Duration::MINUTE,
        Ok(end) if end > now => end.min(until),
        _ => until,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::process::Command;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls_pki_types::UnixTime;

    use super::super::leaf::tests::{Origin, days};
    use super::super::profile::Profile;
    use super::*;

    /// The profiles whose root has basicConstraints that are not critical.
    const STRICTLY_REFUSED: [&str; 2] = ["fortigate", "zscaler"];

    fn authority(profile: &str, permits: &[&str]) -> Authority {
        let profile = Profile::load(profile).unwrap();
        let permits: Vec<_> = permits.iter().map(|permit| permit.parse().unwrap()).collect();
        Authority::new(InspectionCa::in_memory(&profile, &permits).unwrap(), profile).unwrap()
    }

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    fn untrusted(fault: OriginFault) -> OriginTrust {
        OriginTrust::Untrusted(fault)
    }

    /// What a client that trusts this root says.
    fn verify(root: &CertificateDer<'static>, forged: &Forged, name: &str) -> Result<(), String> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let (leaf, chain) = forged.certified.cert.split_first().unwrap();
        let verdict = verifier.verify_server_cert(leaf, chain, &host(name).server_name(), &[], UnixTime::now());
        verdict.map(drop).map_err(|error| format!("{error:?}"))
    }

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
            // Python refuses these two products' chains since it has become strict.
            assert_eq!(forged.in_order, !STRICTLY_REFUSED.contains(&profile), "{profile}");
            let root_sent = forged.certified.cert.contains(authority.ca().root());
            assert_eq!(root_sent, profile == "fortigate", "{profile}");
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
                let forged = authority.forge(&host("acme.example"), Some(mirror)).await.unwrap();
                let error = verify(authority.ca().root(), &forged, "acme.example").unwrap_err();
                assert!(error.contains("UnknownIssuer"), "{profile}: {error}");
                let keeps = profile == "squid" && fault == OriginFault::SelfSigned;
                let expected = if keeps { SignedBy::ItSelf } else { SignedBy::UntrustedCa };
                assert_eq!(forged.signed_by, expected, "{profile}");
                if profile == "squid" {
                    let issuer = if keeps { "acme.example" } else { "Not trusted by \"Squid CA\"" };
                    assert_eq!(forged.issuer, issuer);
                }
            }
            assert_ne!(authority.untrusted_root(), authority.ca().root());
        }
    }

    #[tokio::test]
    async fn the_faults_of_an_origin_stay_visible() {
        for profile in Profile::built_in() {
            let authority = authority(profile, &[]);
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
        let authority = altered("action = \"sign\"", "action = \"block\"");
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
                assert_eq!(forged.facts.names, names, "{san}");
                assert!(!format!("{forged:?}{authority:?}").contains("KeyPair"));
            }
        }
    }

    #[tokio::test]
    async fn every_leaf_has_a_key_of_its_own() {
        for profile in ["generic", "squid"] {
            let authority = authority(profile, &[]);
            let mut pins = HashSet::from([authority.ca().facts().pin]);
            for certificate in &authority.ca.issuing(OffsetDateTime::now_utc()).unwrap().chain {
                pins.insert(CertificateFacts::of(certificate).unwrap().pin);
            }
            for number in 0..5 {
                let forged = authority.forge(&host(&format!("h{number}.example")), None).await.unwrap();
                assert!(pins.insert(forged.facts.pin), "{profile} {number}");
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
            assert!(seen.insert(forged.facts.serial.clone()));
            let (again, freshness) = authority.forge_or_recall(&host("ACME.example."), Some(mirror)).await.unwrap();
            assert_eq!(freshness, Freshness::Cached);
            assert!(Arc::ptr_eq(&forged, &again));
        }
    }

    #[tokio::test]
    async fn an_expired_leaf_is_cached_and_a_stale_one_is_not() {
        let authority = authority("generic", &[]);
        let origin = Origin::new().valid(-90, -1).der();
        for expected in [Freshness::Minted, Freshness::Cached] {
            let mirror = Mirror { leaf: &origin, trust: untrusted(OriginFault::Expired) };
            let (_, freshness) = authority.forge_or_recall(&host("acme.example"), Some(mirror)).await.unwrap();
            assert_eq!(freshness, expected);
        }
        let now = OffsetDateTime::now_utc();
        let ending = Origin::new().valid(-90, 2).der();
        assert!(stale_at(&ending, now + days(90), now) < now + days(3));
        assert_eq!(stale_at(&ending, now + days(1), now), now + days(1));
        assert_eq!(stale_at(&origin, now + days(90), now), now + days(90));
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
        assert_eq!(forged.facts.names, ["acme.example", "*.acme.example", "192.0.2.7"]);
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
            assert_eq!(forged.facts.names, [host(name).to_string()]);
            assert_eq!(verify(authority.ca().root(), &forged, name), Ok(()), "{name}");
            let subject = if name == long { String::new() } else { format!("CN={}", host(name)) };
            assert_eq!(forged.facts.subject, subject);
        }
    }

    #[tokio::test]
    async fn an_origin_that_does_not_parse_leaves_the_name_alone() {
        let authority = authority("generic", &[]);
        let broken = CertificateDer::from(&b"\x30\x03no!"[..]);
        let mirror = Mirror { leaf: &broken, trust: untrusted(OriginFault::Malformed) };
        let forged = authority.forge(&host("acme.example"), Some(mirror)).await.unwrap();
        assert_eq!((forged.mirrored, forged.signed_by), (Mirrored::NameAlone, SignedBy::UntrustedCa));
        assert_eq!(forged.facts.names, ["acme.example"]);
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

    /// Python 3.13 and later verify like this by default.
    #[tokio::test]
    async fn generic_passes_openssl_in_strict_mode_and_zscaler_does_not() {
        if Command::new("openssl").arg("version").output().is_err() {
            println!("skipped: there is no `openssl` on the path");
            return;
        }
        let constrained = authority("generic", &["acme.example", "192.0.2.0/24"]);
        for (authority, passes) in
            [(authority("generic", &[]), true), (constrained, true), (authority("zscaler", &[]), false)]
        {
            let origin = Origin::new().der();
            let mirrored = Mirror { leaf: &origin, trust: OriginTrust::Trusted };
            for mirror in [Some(mirrored), None] {
                let forged = authority.forge(&host("acme.example"), mirror).await.unwrap();
                let folder = tempfile::tempdir().unwrap();
                let write = |name: &str, certificates: &[CertificateDer<'_>]| {
                    let text: String = certificates.iter().map(|der| ca::pem("CERTIFICATE", der)).collect();
                    std::fs::write(folder.path().join(name), text).unwrap();
                };
                let (leaf, chain) = forged.certified.cert.split_first().unwrap();
                write("leaf.pem", std::slice::from_ref(leaf));
                write("chain.pem", chain);
                write("root.pem", std::slice::from_ref(authority.ca().root()));
                let output = Command::new("openssl")
                    .args(["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "acme.example"])
                    .args(["-CAfile", "root.pem", "-untrusted", "chain.pem", "leaf.pem"])
                    .current_dir(folder.path())
                    .output()
                    .unwrap();
                let said = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.success(), passes, "{}: {said}", authority.profile().name());
                assert!(passes || said.contains("Basic Constraints of CA cert not marked critical"), "{said}");
            }
        }
    }
}
