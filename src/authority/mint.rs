//! Minting: one leaf, signed as profile, origin and defect ask for, with the chain that is sent behind it.

use std::sync::Arc;

use rcgen::CustomExtension;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::ca::{self, BACKDATE, Issuing};
use super::constraint::{self, Permit};
use super::defect::{Defect, Shown};
use super::fault::{Mirror, OriginFault, OriginTrust};
use super::forge::Authority;
use super::forged::{ForgeError, Forged, Mirrored, SignedBy};
use super::keys;
use super::leaf::Sitter;
use super::names::{self, Attribute, AttributeType};
use super::order;
use super::origin::OriginLeaf;
use super::profile::{CaKey, UntrustedAction};
use super::sign::{self, Draft, SignError, Signer, id_ce, usage};
use crate::net::{Certificate, CertificateFacts, Host};

/// How long an intermediate lives that is made for a defect.
const DEFECTIVE_DAYS: Duration = Duration::days(30);

/// Who signs a leaf, and what is sent behind it.
struct Above {
    signer: Signer,
    chain: Vec<CertificateDer<'static>>,
    /// Whether the chain up to the root keeps the rules that strict clients insist on.
    in_order: bool,
}

impl Authority {
    /// Makes a leaf. The defect is shown where nothing is wrong with the origin.
    pub(super) async fn mint(
        &self,
        host: &Host,
        mirror: Option<&Mirror<'_>>,
        now: OffsetDateTime,
    ) -> Result<Forged, ForgeError> {
        let fault = mirror.and_then(|mirror| match &mirror.trust {
            OriginTrust::Trusted => None,
            OriginTrust::Untrusted(fault) => Some(fault),
        });
        let defect = self.defect.filter(|_| fault.is_none());
        let signed_by = self.signed_by(fault, defect)?;
        if let Some(defect) = defect {
            self.can_show(defect, host, mirror)?;
        }
        let issuing = self.ca.issuing(now)?;
        let origin = mirror.and_then(|mirror| OriginLeaf::read(mirror.leaf));
        let sitter = Sitter {
            rules: &self.profile.leaf,
            host,
            origin: origin.as_ref(),
            fault,
            defect,
            clock: &self.clock,
            constraints: self.ca.constraints(),
            until: issuing.until,
            now,
        };
        let key = self.keys.take(sitter.key()).await?;
        let above = self.above(signed_by, defect, host, &issuing, now)?;
        let draft = match &above {
            Some(above) => sitter.draft(&key.pair, &above.signer.key_id)?,
            None => sitter.draft(&key.pair, &sign::key_id_of(&*key.pair))?,
        };
        let valid = draft.not_before.unix_timestamp()..=draft.not_after.unix_timestamp();
        let mut in_order = draft.identifies_issuer();
        let (leaf, issuer, mut above) = match above {
            Some(Above { signer, chain, in_order: kept }) => {
                in_order &= kept;
                (draft.sign(&*key.pair, &signer.subject, &signer.key)?, signer.common_name, chain)
            }
            None => {
                let subject = draft.subject.clone();
                let leaf = draft.sign(&*key.pair, &subject, &key.pair)?;
                in_order &= order::is_kept_by(&leaf);
                let issuer = CertificateFacts::issuer_name(&leaf).unwrap_or_default().into();
                (leaf, issuer, Vec::new())
            }
        };
        if let (Some(Defect::GenuineChainAppended), Some(mirror)) = (defect, mirror) {
            in_order &= order::is_kept_by(mirror.leaf);
            above.push(mirror.leaf.clone().into_owned());
        }
        let stale_at = stale_at(*valid.end(), issuing.until, now);
        let names_host = names(&leaf, host);
        // A copy of its own: records keep it, and are not to keep the key.
        let certificate = Certificate::from(leaf.clone());
        let chain = std::iter::once(leaf).chain(above).collect();
        Ok(Forged {
            certified: Arc::new(CertifiedKey::new(chain, key.signing)),
            certificate,
            issuer,
            host: host.clone(),
            names_host,
            valid,
            left_out: sitter.left_out(),
            mirrored: if origin.is_some() { Mirrored::Origin } else { Mirrored::NameAlone },
            signed_by,
            in_order,
            defect,
            stale_at,
        })
    }

    fn signed_by(&self, fault: Option<&OriginFault>, defect: Option<Defect>) -> Result<SignedBy, ForgeError> {
        let action = fault.map(|fault| (fault, self.profile.untrusted_action(*fault == OriginFault::SelfSigned)));
        match action {
            Some((fault, UntrustedAction::Block)) => Err(ForgeError::Blocked(fault.clone())),
            Some((_, UntrustedAction::Sign)) => Ok(SignedBy::UntrustedCa),
            Some((_, UntrustedAction::KeepSelfSigned)) => Ok(SignedBy::ItSelf),
            None => Ok(match defect {
                Some(Defect::SelfSigned) => SignedBy::ItSelf,
                Some(Defect::UnknownCa) => SignedBy::UntrustedCa,
                _ => SignedBy::InspectionCa,
            }),
        }
    }

    /// A defect that could not be seen would be taken for one that the client accepts.
    fn can_show(&self, defect: Defect, host: &Host, mirror: Option<&Mirror<'_>>) -> Result<(), ForgeError> {
        let cannot = |reason| Err(ForgeError::NoDefect { defect, host: host.clone(), reason });
        if !defect.fits(host) {
            return cannot("it takes a host name with a domain above it");
        }
        if defect == Defect::GenuineChainAppended && mirror.is_none() {
            return cannot("there is no certificate of the origin");
        }
        let constraints = self.ca.constraints();
        let permitted = match defect.shown(host) {
            Some(Shown::Name(name)) => constraints.allow_name(&name),
            Some(Shown::Ip(ip)) => constraints.allow_ip(ip),
            Some(Shown::CommonNameAlone) | None => true,
        };
        if permitted { Ok(()) } else { cannot("the inspection CA is not permitted to sign the wrong name") }
    }

    /// Who signs, `None` for the leaf itself.
    fn above(
        &self,
        signed_by: SignedBy,
        defect: Option<Defect>,
        host: &Host,
        issuing: &Issuing,
        now: OffsetDateTime,
    ) -> Result<Option<Above>, SignError> {
        let (above, root) = match signed_by {
            SignedBy::ItSelf => return Ok(None),
            SignedBy::UntrustedCa => {
                let signer = self.untrusted.clone();
                (Above { in_order: signer.in_order, signer, chain: Vec::new() }, &self.untrusted.certificate)
            }
            SignedBy::InspectionCa => {
                let above = match defect.map(|defect| self.defective(defect, host, now)).transpose()?.flatten() {
                    Some(defective) => defective,
                    None => {
                        let Issuing { signer, chain, in_order, .. } = issuing.clone();
                        Above { signer, chain, in_order }
                    }
                };
                (above, self.ca.root())
            }
        };
        let Above { signer, mut chain, in_order } = above;
        // The top of a chain without its root is in the chain already.
        if self.profile.root.send && ca::is_self_issued(root) {
            chain.push(root.clone());
        }
        Ok(Some(Above { signer, chain, in_order }))
    }

    /// The chain of a defect that lies in the chain. Its keys are gone when the leaf is signed.
    fn defective(&self, defect: Defect, host: &Host, now: OffsetDateTime) -> Result<Option<Above>, SignError> {
        let top = self.ca.top();
        let may_sign = || sign::key_usage(usage::CERT_SIGN | usage::CRL_SIGN);
        let authority = |most| vec![sign::ca_constraints(true, Some(most)), may_sign()];
        let (signer, mut chain) = match defect {
            Defect::IntermediateMissing => (self.lower(top, "Intermediate Not Sent", authority(0), now)?, Vec::new()),
            Defect::IssuerNotCa => {
                let extensions = vec![sign::leaf_constraints(true), sign::key_usage(usage::DIGITAL_SIGNATURE)];
                let signer = self.lower(top, "Issuer That Is No CA", extensions, now)?;
                let sent = vec![signer.certificate.clone()];
                (signer, sent)
            }
            Defect::PathTooLong => {
                let last = self.lower(top, "Last CA Allowed", authority(0), now)?;
                let signer = self.lower(&last, "One CA Too Many", authority(0), now)?;
                let sent = vec![signer.certificate.clone(), last.certificate];
                (signer, sent)
            }
            Defect::NameConstraintExcludes => {
                let mut extensions = authority(0);
                extensions.push(sign::extension(id_ce::NAME_CONSTRAINTS, true, constraint::excluding(host)));
                let signer = self.lower(top, "CA For Other Names", extensions, now)?;
                let sent = vec![signer.certificate.clone()];
                (signer, sent)
            }
            _ => return Ok(None),
        };
        chain.extend(self.ca.above_top());
        let in_order = chain.iter().chain([self.ca.root()]).all(order::is_kept_by);
        Ok(Some(Above { signer, chain, in_order }))
    }

    /// A certificate below another, with a key of its own.
    fn lower(
        &self,
        issuer: &Signer,
        common_name: &str,
        mut extensions: Vec<CustomExtension>,
        now: OffsetDateTime,
    ) -> Result<Signer, SignError> {
        let key = keys::ca_key(CaKey::EcP256)?;
        extensions.extend([sign::subject_key_id(&sign::key_id_of(&key)), sign::authority_key_id(&issuer.key_id)]);
        let permits: Vec<Permit> = self.ca.permitted().cloned().collect();
        let has_own =
            extensions.iter().any(|extension| extension.oid_components().eq([2, 5, 29, id_ce::NAME_CONSTRAINTS]));
        if !permits.is_empty() && !has_own {
            extensions.push(sign::extension(id_ce::NAME_CONSTRAINTS, true, constraint::extension(&permits)));
        }
        let draft = Draft {
            serial: sign::serial(16)?,
            subject: names::write(&[Attribute(AttributeType::Cn, common_name.to_owned())]),
            not_before: (now - BACKDATE).max(issuer.not_before),
            not_after: (now + DEFECTIVE_DAYS).min(issuer.not_after),
            extensions,
        };
        let certificate = draft.sign(&key, &issuer.subject, &issuer.key)?;
        Signer::of(certificate, Arc::new(key))
    }
}

fn names(leaf: &CertificateDer<'_>, host: &Host) -> bool {
    rustls::server::ParsedCertificate::try_from(leaf)
        .is_ok_and(|leaf| rustls::client::verify_server_name(&leaf, &host.server_name()).is_ok())
}

/// A leaf goes with its chain, or when it ends; one that was over from the start would be forged for ever.
fn stale_at(not_after: i64, until: OffsetDateTime, now: OffsetDateTime) -> OffsetDateTime {
    match OffsetDateTime::from_unix_timestamp(not_after) {
        // A CA that has ended itself signs no better a second time.
        _ if until <= now => now + Duration::MINUTE,
        Ok(end) if end > now => end.min(until),
        _ => until,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Origin, authority, days, host, untrusted, verify};
    use super::super::{Freshness, InspectionCa, Profile};
    use super::*;

    fn defective(profile: &str, defect: Defect, permits: &[&str]) -> Authority {
        let profile = Profile::load(profile).unwrap();
        let permits: Vec<_> = permits.iter().map(|permit| permit.parse().unwrap()).collect();
        let ca = InspectionCa::in_memory(&profile, &permits).unwrap();
        Authority::with_defect(ca, profile, Some(defect)).unwrap()
    }

    /// What webpki says of each defect; `None` where a path verifies all the same.
    fn refusal(defect: Defect) -> Option<&'static str> {
        Some(match defect {
            Defect::SelfSigned | Defect::UnknownCa | Defect::IntermediateMissing => "UnknownIssuer",
            Defect::WrongHost | Defect::ParentDomain | Defect::WildcardTwoLabels | Defect::CommonNameOnly => {
                "NotValidForName"
            }
            Defect::Expired => "Expired",
            Defect::NotYetValid => "NotValidYet",
            Defect::NoServerAuth => "InvalidPurpose",
            Defect::LeafIsCa => "CaUsedAsEndEntity",
            Defect::UnknownCriticalExtension => "UnsupportedCriticalExtension",
            Defect::IssuerNotCa => "EndEntityUsedAsCa",
            Defect::PathTooLong => "PathLenConstraintViolated",
            Defect::NameConstraintExcludes => "NameConstraintViolation",
            Defect::GenuineChainAppended => return None,
        })
    }

    #[tokio::test]
    async fn each_defect_is_refused_for_what_it_is() {
        let name = "login.acme.example";
        for profile in ["generic", "squid", "umbrella"] {
            for defect in Defect::ALL {
                let authority = defective(profile, defect, &[]);
                let origin = Origin::new().also_named(name).der();
                let mirrored = Mirror { leaf: &origin, trust: OriginTrust::Trusted };
                let by_name = (defect != Defect::GenuineChainAppended).then_some(None);
                for mirror in [Some(mirrored)].into_iter().chain(by_name) {
                    let forged = authority.forge(&host(name), mirror).await.unwrap();
                    assert_eq!(forged.defect, Some(defect));
                    let verdict = verify(authority.ca().root(), &forged, name);
                    match refusal(defect) {
                        Some(refusal) => {
                            let error = verdict.expect_err(defect.name());
                            assert!(error.contains(refusal), "{profile}, {defect}: {error}");
                        }
                        None => assert_eq!(verdict, Ok(()), "{profile}, {defect}"),
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn a_defect_is_the_only_fault() {
        let name = "login.acme.example";
        let origin = Origin::new().also_named(name).der();
        let forge = |defect| {
            let authority = defective("generic", defect, &[]);
            let mirror = Mirror { leaf: &origin, trust: OriginTrust::Trusted };
            async move { (authority.forge(&host(name), Some(mirror)).await.unwrap(), authority) }
        };
        let (forged, authority) = forge(Defect::UnknownCa).await;
        assert_eq!(verify(authority.untrusted_root(), &forged, name), Ok(()));
        assert_eq!(forged.signed_by, SignedBy::UntrustedCa);
        for (defect, shown) in
            [(Defect::WrongHost, "wrong-host.login.acme.example"), (Defect::ParentDomain, "acme.example")]
        {
            let (forged, authority) = forge(defect).await;
            assert_eq!(verify(authority.ca().root(), &forged, shown), Ok(()), "{defect}");
            assert_eq!(forged.facts().subject, format!("CN={shown}"));
        }
        let (forged, authority) = forge(Defect::NameConstraintExcludes).await;
        assert_eq!(forged.facts().names.last().map(String::as_str), Some(name));
        assert!(verify(authority.ca().root(), &forged, "acme.example").is_err(), "one excluded name refuses all");
        let (forged, _) = forge(Defect::SelfSigned).await;
        assert_eq!(forged.facts().subject, forged.facts().issuer);
        let (forged, _) = forge(Defect::CommonNameOnly).await;
        let facts = forged.facts();
        assert_eq!((facts.subject.as_str(), facts.names.len()), ("CN=login.acme.example", 0));
        let (forged, _) = forge(Defect::GenuineChainAppended).await;
        assert_eq!(forged.certified.cert.last(), Some(&origin));
        assert_ne!(forged.facts().pin, CertificateFacts::of(&origin).unwrap().pin);
    }

    #[tokio::test]
    async fn a_defect_never_repairs_an_origin() {
        for defect in Defect::ALL {
            let authority = defective("generic", defect, &[]);
            let origin = Origin::new().der();
            let mirror = Mirror { leaf: &origin, trust: untrusted(OriginFault::Revoked) };
            let forged = authority.forge(&host("acme.example"), Some(mirror)).await.unwrap();
            assert_eq!((forged.signed_by, forged.defect), (SignedBy::UntrustedCa, None), "{defect}");
        }
    }

    #[tokio::test]
    async fn a_defect_that_could_not_be_seen_is_an_error() {
        let forge = |defect, permits: &'static [&str], name: &'static str| async move {
            let error = defective("generic", defect, permits).forge(&host(name), None).await.unwrap_err();
            error.to_string()
        };
        let error = forge(Defect::ParentDomain, &[], "10.0.0.1").await;
        assert!(error.starts_with("the defect `parent-domain` cannot be shown for 10.0.0.1: it takes"), "{error}");
        let error = forge(Defect::GenuineChainAppended, &[], "a.example").await;
        assert!(error.contains("no certificate of the origin"), "{error}");
        let error = forge(Defect::ParentDomain, &["a.acme.example"], "a.acme.example").await;
        assert!(error.contains("not permitted to sign the wrong name"), "{error}");
    }

    #[tokio::test]
    async fn a_constrained_ca_shows_its_defects_too() {
        for defect in [Defect::WrongHost, Defect::PathTooLong, Defect::IssuerNotCa, Defect::NameConstraintExcludes] {
            let authority = defective("generic", defect, &["acme.example"]);
            let forged = authority.forge(&host("a.acme.example"), None).await.unwrap();
            let error = verify(authority.ca().root(), &forged, "a.acme.example").unwrap_err();
            assert!(error.contains(refusal(defect).unwrap()), "{defect}: {error}");
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
        let end = |day| (now + days(day)).unix_timestamp();
        assert!(stale_at(end(2), now + days(90), now) < now + days(3));
        assert_eq!(stale_at(end(2), now + days(1), now), now + days(1));
        assert_eq!(stale_at(end(-1), now + days(90), now), now + days(90));
    }
}
