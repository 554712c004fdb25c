//! The inspection CA: what clients are made to trust, and the chain that signs leaves.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::KeyPair;
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::constraint::{self, Constraints, Permit};
use super::error::CaError;
use super::invent::Invented;
use super::password::Password;
use super::profile::{Criticality, Intermediate, Profile, Root};
use super::sign::{self, Draft, SignError, Signer, id_ce, usage};
use super::{external, keys, names, order, store};
use crate::net::{CertificateFacts, Host};

/// How far a certificate's start lies in the past, for clients whose clock is behind.
pub(super) const BACKDATE: Duration = Duration::days(1);

/// The CA of the middlebox: a root that clients trust, and the intermediates of its profile.
///
/// Intermediates are signed anew at each start and again when half of their life is over; only the root is kept.
#[derive(Debug)]
pub struct InspectionCa {
    /// From the signer of leaves or intermediates up to what clients trust, at least one.
    path: Vec<CertificateDer<'static>>,
    top: Signer,
    facts: CertificateFacts,
    constraints: Constraints,
    lower: Vec<Lower>,
    issuing: ArcSwap<Issuing>,
}

/// An intermediate of the profile, with the key that it keeps when it is signed anew.
struct Lower {
    plan: Intermediate,
    key: Arc<KeyPair>,
}

impl std::fmt::Debug for Lower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lower").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// What signs leaves at the moment.
#[derive(Clone, Debug)]
pub(super) struct Issuing {
    pub(super) signer: Signer,
    /// What is sent behind a leaf, the signer's certificate first, without any root.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The first end of validity in the chain.
    pub(super) until: OffsetDateTime,
    /// Whether the chain up to the root keeps the rules that strict clients insist on.
    pub(super) in_order: bool,
    renew_at: OffsetDateTime,
}

impl InspectionCa {
    /// A CA whose key lives in memory only.
    ///
    /// # Errors
    /// A key cannot be made or does not sign.
    pub fn in_memory(profile: &Profile, permits: &[Permit]) -> Result<Self, CaError> {
        Self::under(make_root(profile, permits)?, profile)
    }

    /// The CA of this profile in the state folder, made at first use.
    ///
    /// One file holds certificate and key, written whole or not at all. Without `permits` a stored CA keeps those
    /// that it was made with.
    ///
    /// # Errors
    /// The folder cannot be used, or the file is exposed, damaged, not valid now, or made for other permits.
    pub fn persisted(state_dir: &Path, profile: &Profile, permits: &[Permit]) -> Result<Self, CaError> {
        Self::under(store::load_or_make(state_dir, profile, permits)?, profile)
    }

    /// Replaces the stored CA of this profile with a new one.
    ///
    /// # Errors
    /// The folder cannot be written, or a key cannot be made.
    pub fn renew(state_dir: &Path, profile: &Profile, permits: &[Permit]) -> Result<Self, CaError> {
        Self::under(store::replace(state_dir, profile, permits)?, profile)
    }

    /// Where [`Self::persisted`] keeps the CA of a profile.
    #[must_use]
    pub fn path(state_dir: &Path, profile: &Profile) -> PathBuf {
        store::path(state_dir, profile)
    }

    /// A CA of the user's own, in PEM: EC, RSA or Ed25519, in PKCS #8, PKCS #1 or SEC1, the rest of its chain behind
    /// it. It signs leaves itself, whatever intermediates a profile has.
    ///
    /// # Errors
    /// Says what keeps the files from being used, and what to do.
    pub fn external(certificate: &Path, key: &Path) -> Result<Self, CaError> {
        Self::external_with_password(certificate, key, None)
    }

    /// As [`Self::external`], with the password of an encrypted PKCS #8 key. A key that is not encrypted needs none.
    ///
    /// # Errors
    /// As [`Self::external`]; the password is missing or wrong, or the encryption is one that is not read here.
    pub fn external_with_password(
        certificate: &Path,
        key: &Path,
        password: Option<&Password>,
    ) -> Result<Self, CaError> {
        let (top, path) = external::read(certificate, key, password)?;
        Self::build(top, path, Vec::new())
    }

    fn under(root: Signer, profile: &Profile) -> Result<Self, CaError> {
        let invented = Invented::of(&*root.key);
        let lower = profile.intermediates.iter().map(|plan| {
            let key = keys::ca_key(profile.root.key).map_err(SignError::from)?;
            let subject = invented.name(&plan.subject);
            Ok(Lower { plan: Intermediate { subject, ..plan.clone() }, key: Arc::new(key) })
        });
        let lower = lower.collect::<Result<_, SignError>>()?;
        let path = vec![root.certificate.clone()];
        Self::build(root, path, lower)
    }

    fn build(top: Signer, path: Vec<CertificateDer<'static>>, lower: Vec<Lower>) -> Result<Self, CaError> {
        let constraints = Constraints::of(&top.certificate);
        let issuing = sign_chain(&top, &path, &lower, &constraints, OffsetDateTime::now_utc())?;
        let facts = CertificateFacts::of(path.last().unwrap_or(&top.certificate))?;
        Ok(Self { path, top, facts, constraints, lower, issuing: ArcSwap::from_pointee(issuing) })
    }

    /// What clients have to trust, DER: the root, or the topmost certificate of an external CA's chain.
    #[must_use]
    pub fn root(&self) -> &CertificateDer<'static> {
        self.path.last().unwrap_or(&self.top.certificate)
    }

    /// What clients have to trust, PEM.
    #[must_use]
    pub fn root_pem(&self) -> String {
        pem("CERTIFICATE", self.root())
    }

    /// SHA-256 of the root's DER, lower-case hexadecimal without separators.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        use std::fmt::Write as _;
        digest::digest(&digest::SHA256, self.root()).as_ref().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// What the root says.
    #[must_use]
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// When the certificate that signs (the root, or an external CA) ends.
    #[must_use]
    pub fn not_after(&self) -> OffsetDateTime {
        self.top.not_after
    }

    /// Whether the CA may sign for a host (RFC 5280, 4.2.1.10). A host that it may not sign for has to be bypassed.
    #[must_use]
    pub fn permits(&self, host: &Host) -> bool {
        self.constraints.allow(host)
    }

    /// What the CA may sign for; empty where it is not constrained.
    pub fn permitted(&self) -> impl Iterator<Item = &Permit> {
        self.constraints.permits()
    }

    pub(super) fn constraints(&self) -> &Constraints {
        &self.constraints
    }

    /// What signs the topmost certificates: the root, or an external CA.
    pub(super) fn top(&self) -> &Signer {
        &self.top
    }

    /// What is sent behind a certificate that [`Self::top`] signed, without any root.
    pub(super) fn above_top(&self) -> impl Iterator<Item = CertificateDer<'static>> + '_ {
        self.path.iter().filter(|certificate| !is_self_issued(certificate)).cloned()
    }

    /// The common name of the certificate that signs leaves: what a client sees as their issuer.
    #[must_use]
    pub fn issuer_name(&self) -> String {
        self.issuing.load().signer.common_name.to_string()
    }

    /// What signs leaves now, signed anew where half of its life is over.
    pub(super) fn issuing(&self, now: OffsetDateTime) -> Result<Arc<Issuing>, SignError> {
        let current = self.issuing.load_full();
        if now < current.renew_at {
            return Ok(current);
        }
        let fresh = Arc::new(sign_chain(&self.top, &self.path, &self.lower, &self.constraints, now)?);
        self.issuing.store(Arc::clone(&fresh));
        Ok(fresh)
    }
}

/// A self-signed root as the profile describes it.
pub(super) fn make_root(profile: &Profile, permits: &[Permit]) -> Result<Signer, SignError> {
    let root = &profile.root;
    let key = keys::ca_key(root.key)?;
    let subject = names::write(&Invented::of(&key).name(root.subject.get_ref()));
    self_signed(&subject, key, root, permits)
}

/// The CA that signs for untrusted origins: a key of its own, in memory, and never part of what is exported.
pub(super) fn make_untrusted(profile: &Profile, root: &Signer) -> Result<Signer, SignError> {
    let subject = names::write(&profile.untrusted_issuer(&root.common_name, &Invented::of(&*root.key)));
    self_signed(&subject, keys::ca_key(profile.root.key)?, &profile.root, &[])
}

fn self_signed(subject: &[u8], key: KeyPair, root: &Root, permits: &[Permit]) -> Result<Signer, SignError> {
    let now = OffsetDateTime::now_utc();
    let id = sign::key_id_of(&key);
    let mut extensions = vec![
        sign::ca_constraints(root.basic_constraints == Criticality::Critical, None),
        sign::key_usage(usage::CERT_SIGN | usage::CRL_SIGN),
        sign::subject_key_id(&id),
    ];
    if !permits.is_empty() {
        extensions.push(sign::extension(id_ce::NAME_CONSTRAINTS, true, constraint::extension(permits)));
    }
    let draft = Draft {
        serial: sign::serial(16)?,
        subject: subject.to_vec(),
        not_before: now - BACKDATE,
        not_after: now + Duration::days(i64::from(*root.days.get_ref())),
        extensions,
    };
    Signer::of(draft.sign(&key, subject, &key)?, Arc::new(key))
}

/// Signs the intermediates from the top down.
fn sign_chain(
    top: &Signer,
    path: &[CertificateDer<'static>],
    lower: &[Lower],
    constraints: &Constraints,
    now: OffsetDateTime,
) -> Result<Issuing, SignError> {
    let mut chain: Vec<_> = path.iter().filter(|certificate| !is_self_issued(certificate)).cloned().collect();
    let mut signer = top.clone();
    let mut until = top.not_after;
    // Verifiers may ignore the constraints of a trust anchor, so the intermediates repeat them.
    let permits: Vec<Permit> = constraints.permits().cloned().collect();
    for (index, Lower { plan, key }) in lower.iter().enumerate() {
        let below = u8::try_from(lower.len() - 1 - index).unwrap_or(u8::MAX);
        let mut extensions = vec![
            sign::ca_constraints(plan.basic_constraints == Criticality::Critical, Some(below)),
            sign::key_usage(usage::CERT_SIGN | usage::CRL_SIGN),
            sign::subject_key_id(&sign::key_id_of(&**key)),
            sign::authority_key_id(&signer.key_id),
        ];
        if !constraints.is_none() {
            extensions.push(sign::extension(id_ce::NAME_CONSTRAINTS, true, constraint::extension(&permits)));
        }
        let draft = Draft {
            serial: sign::serial(16)?,
            subject: names::write(&plan.subject),
            not_before: (now - BACKDATE).max(signer.not_before),
            not_after: (now + Duration::days(i64::from(*plan.days.get_ref()))).min(signer.not_after),
            extensions,
        };
        let certificate = draft.sign(&**key, &signer.subject, &signer.key)?;
        signer = Signer::of(certificate, Arc::clone(key))?;
        until = until.min(signer.not_after);
        chain.insert(0, signer.certificate.clone());
    }
    let renew_at = if lower.is_empty() { until } else { now + (until - now) / 2 };
    let in_order = path.iter().chain(&chain).all(order::is_kept_by);
    Ok(Issuing { signer, chain, until, in_order, renew_at })
}

/// Whether subject and issuer are one name, as of a root.
pub(super) fn is_self_issued(certificate: &CertificateDer<'_>) -> bool {
    use x509_parser::prelude::{FromDer, X509Certificate};
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, certificate)| certificate.subject().as_raw() == certificate.issuer().as_raw())
}

/// PEM (RFC 7468) of one section.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    // It may be a private key, so no copy of it stays behind.
    let base64 = Zeroizing::new(BASE64_STANDARD.encode(der));
    let mut text = String::with_capacity(base64.len() + base64.len() / 64 + 2 * label.len() + 40);
    text.extend(["-----BEGIN ", label, "-----\n"]);
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.extend([line, "\n"]);
        rest = after;
    }
    text.extend(["-----END ", label, "-----\n"]);
    text
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    fn profile(name: &str) -> Arc<Profile> {
        Profile::load(name).unwrap()
    }

    #[test]
    fn the_root_says_what_its_profile_says() {
        let ca = InspectionCa::in_memory(&profile("zscaler"), &[]).unwrap();
        assert_eq!(
            ca.facts().subject,
            "C=US, ST=California, L=San Jose, O=Zscaler Inc., OU=Zscaler Inc., CN=Zscaler Root CA, Email=support@zscaler.com"
        );
        assert_eq!(ca.facts().key, "RSA 2048");
        let (_, root) = X509Certificate::from_der(ca.root()).unwrap();
        assert!(!root.basic_constraints().unwrap().unwrap().critical);
        assert!(root.is_ca());
        let issuing = ca.issuing(OffsetDateTime::now_utc()).unwrap();
        assert_eq!(&*issuing.signer.common_name, "Zscaler Intermediate Root CA (zscalertwo.net) (t) ");
        assert_eq!(issuing.chain.len(), 2);
        let lengths = issuing.chain.iter().map(|der| {
            let (_, certificate) = X509Certificate::from_der(der).unwrap();
            certificate.basic_constraints().unwrap().unwrap().value.path_len_constraint.unwrap()
        });
        assert_eq!(lengths.collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn intermediates_are_signed_anew_before_they_end() {
        let ca = InspectionCa::in_memory(&profile("generic"), &[]).unwrap();
        let now = OffsetDateTime::now_utc();
        let first = ca.issuing(now).unwrap();
        assert!(Arc::ptr_eq(&first, &ca.issuing(now + Duration::days(190)).unwrap()));
        let second = ca.issuing(now + Duration::days(200)).unwrap();
        assert!(second.until > first.until);
        assert_eq!(second.signer.key_id, first.signer.key_id);
    }

    #[test]
    fn a_constrained_ca_permits_what_it_was_made_for() {
        let permits = |list: &[&str]| {
            let permits: Vec<Permit> = list.iter().map(|text| text.parse().unwrap()).collect();
            let ca = InspectionCa::in_memory(&profile("generic"), &permits).unwrap();
            assert_eq!(ca.permitted().map(ToString::to_string).collect::<Vec<_>>().len(), list.len());
            move |host: &str| ca.permits(&Host::parse(host).unwrap())
        };
        let okta = permits(&["okta.com"]);
        assert!(okta("okta.com") && okta("a.b.okta.com"));
        assert!(!okta("notokta.com") && !okta("10.0.0.1") && !okta("::1"));
        let network = permits(&["10.0.0.0/8"]);
        assert!(network("10.1.2.3"));
        assert!(!network("11.0.0.1") && !network("okta.com") && !network("::1"));
        assert!(permits(&[])("anything.example"));
    }

    #[test]
    fn debug_shows_no_key() {
        let ca = InspectionCa::in_memory(&profile("generic"), &[]).unwrap();
        let text = format!("{ca:?}");
        assert!(!text.contains("KeyPair") && !text.contains("serialized"), "{text}");
    }
}
