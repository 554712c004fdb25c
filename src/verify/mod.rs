//! What a client of this machine sees on its way to a host: is the path inspected, by which product, is the chain
//! trusted, do the pins hold, and what is left of the protocols?
//!
//! [`Verifier`] does one handshake for each host, along a given way, and judges it afterwards; it sends no request. A
//! middlebox takes such a look for a client that refuses politely.

mod look;
mod pins;

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Serialize, Serializer};
use thiserror::Error;

pub use look::Unseen;
pub use pins::{Pinned, published};

use crate::authority::{Fit, Recognised, recognise};
use crate::journal::Confidence;
use crate::net::{CertificateFacts, Destination, Dialer, Host, Pin, Way};
use look::{Look, look};

/// Looks at hosts and judges what they show.
#[derive(Debug)]
pub struct Verifier {
    dialer: Dialer,
    public: Arc<WebPkiServerVerifier>,
    system: Option<Arc<WebPkiServerVerifier>>,
    given: Option<Arc<WebPkiServerVerifier>>,
    pins: Vec<Pin>,
}

/// A verifier cannot be made of what was given.
#[derive(Debug, Error)]
#[error("the given roots cannot be used: {0}")]
pub struct VerifierError(String);

/// What was found about one host.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The host that was asked for.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// How it was reached, without credentials.
    pub by: Way,
    /// Whether the path is inspected.
    pub inspected: bool,
    /// How sure that is.
    pub confidence: Confidence,
    /// What it rests on, in sentences.
    pub evidence: Vec<String>,
    /// The product that signed, as far as its names tell.
    pub product: Option<Recognised>,
    /// Whether a client of this machine trusts the chain.
    pub trust: Trust,
    /// The pins that were compared, and whether one of them is the key that was shown; none where none are known.
    pub pins: Option<PinVerdict>,
    /// The TLS version that was agreed on; 1.3 was offered.
    pub version: &'static str,
    /// The protocol that was agreed on; HTTP/2 was offered.
    pub alpn: Option<String>,
    /// Whether a client certificate was asked for.
    pub asks_for_client_certificate: bool,
    /// The chain that was shown, the host's own certificate first.
    pub chain: Vec<CertificateFacts>,
}

/// Who trusts a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "by", content = "why")]
pub enum Trust {
    /// A root that public clients have (Mozilla's).
    PublicRoots,
    /// A root that was put into this system's store.
    SystemRoots,
    /// A root of the given file.
    GivenRoots,
    /// Nobody.
    Nobody(String),
}

/// Whether the pins of a host hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PinVerdict {
    /// Whether the key that was shown is one of them.
    pub hold: bool,
    /// The key that was shown.
    pub seen: SeenPin,
    /// Where the pins are from.
    pub source: String,
}

/// A pin in its usual form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenPin(pub Pin);

impl Serialize for SeenPin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Verifier {
    /// Looks through this dialer, and trusts these roots beside the public ones and the system's.
    ///
    /// # Errors
    /// The roots cannot be used.
    pub fn new(dialer: Dialer, given: RootCertStore) -> Result<Self, VerifierError> {
        let mut public = RootCertStore::empty();
        public.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let mut system = RootCertStore::empty();
        system.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let against = |roots: RootCertStore| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
            built.map_err(|error| VerifierError(error.to_string()))
        };
        let some = |roots: RootCertStore| if roots.is_empty() { Ok(None) } else { against(roots).map(Some) };
        Ok(Self { dialer, public: against(public)?, system: some(system)?, given: some(given)?, pins: Vec::new() })
    }

    /// Compares keys with these pins, instead of those that come with the program.
    #[must_use]
    pub fn with_pins(mut self, pins: Vec<Pin>) -> Self {
        self.pins = pins;
        self
    }

    /// Looks at one host.
    ///
    /// # Errors
    /// It cannot be reached, or does not complete a handshake.
    pub async fn verify(&self, destination: &Destination) -> Result<Verdict, Unseen> {
        let seen = look(&self.dialer, destination).await?;
        let unread = |error: &dyn ToString| Unseen::Tls(destination.clone(), error.to_string());
        let chain: Result<Vec<_>, _> = seen.chain.iter().map(CertificateFacts::of).collect();
        let chain = chain.map_err(|error| unread(&error))?;
        let leaf = chain.first().ok_or_else(|| unread(&"it shows no certificate"))?;
        let trust = self.trust(&seen, destination);
        let pins = self.compare(&destination.host, leaf.pin);
        let product = recognise(&seen.chain);
        let (inspected, confidence, evidence) = judge(&trust, pins.as_ref(), product.as_ref(), leaf);
        let Look { way, version, alpn, asks_for_client_certificate, .. } = seen;
        Ok(Verdict {
            host: destination.host.clone(),
            port: destination.port,
            by: way,
            inspected,
            confidence,
            evidence,
            product,
            trust,
            pins,
            version,
            alpn,
            asks_for_client_certificate,
            chain,
        })
    }

    fn trust(&self, seen: &Look, destination: &Destination) -> Trust {
        let Some((leaf, intermediates)) = seen.chain.split_first() else {
            return Trust::Nobody("no certificate was shown".to_owned());
        };
        let name = destination.host.server_name();
        let by = |verifier: &Arc<WebPkiServerVerifier>| {
            verifier.verify_server_cert(leaf, intermediates, &name, &[], UnixTime::now()).map(drop)
        };
        let verifiers = [
            (Some(&self.public), Trust::PublicRoots),
            (self.system.as_ref(), Trust::SystemRoots),
            (self.given.as_ref(), Trust::GivenRoots),
        ];
        let mut fault = None;
        for (verifier, trust) in verifiers {
            match verifier.map(by) {
                Some(Ok(())) => return trust,
                // What a known issuer signed wrongly says more than that the others do not know it.
                Some(Err(error)) if fault.is_none() || !is_unknown_issuer(&error) => fault = Some(error),
                Some(Err(_)) | None => {}
            }
        }
        Trust::Nobody(fault.map_or_else(String::new, |error| in_words(&error, leaf)))
    }

    fn compare(&self, host: &Host, seen: Pin) -> Option<PinVerdict> {
        let (pins, source) = if self.pins.is_empty() {
            let pinned = published(host)?;
            (pinned.pins.as_slice(), format!("{}, for {}", pinned.source, pinned.domain))
        } else {
            (self.pins.as_slice(), "given".to_owned())
        };
        Some(PinVerdict { hold: pins.contains(&seen), seen: SeenPin(seen), source })
    }
}

fn is_unknown_issuer(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
}

fn in_words(error: &rustls::Error, leaf: &CertificateDer<'_>) -> String {
    let rustls::Error::InvalidCertificate(error) = error else { return error.to_string() };
    let itself = CertificateFacts::of(leaf).is_ok_and(|facts| facts.issuer == facts.subject);
    match error {
        CertificateError::UnknownIssuer if itself => "the certificate signs itself".to_owned(),
        CertificateError::UnknownIssuer => "no root that is trusted here signed it".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its validity has not begun".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it does not name the host".to_owned()
        }
        other => other.to_string(),
    }
}

/// Whether it is inspected, how sure that is, and why. A key decides before a name, a name before a root.
fn judge(
    trust: &Trust,
    pins: Option<&PinVerdict>,
    product: Option<&Recognised>,
    leaf: &CertificateFacts,
) -> (bool, Confidence, Vec<String>) {
    let mut evidence = Vec::new();
    let named = product.map(|found| match found.fit {
        Fit::VendorsName => (Confidence::High, format!("{} names its CA so: {}", found.product, found.name)),
        Fit::ChosenName => (
            Confidence::Medium,
            format!(
                "its CA is named as that of the profile of {}, and administrators choose this name: {}",
                found.product, found.name
            ),
        ),
        Fit::Organization => {
            (Confidence::Medium, format!("the issuer names the vendor of {}: {}", found.product, found.name))
        }
    });
    let rooted = match trust {
        Trust::PublicRoots => (false, Confidence::High, "the chain ends at a public root".to_owned()),
        Trust::SystemRoots => (
            true,
            Confidence::Medium,
            "the chain ends at a root that was added to this system: a middlebox's, or that of an internal site"
                .to_owned(),
        ),
        Trust::GivenRoots => (
            true,
            Confidence::Medium,
            "the chain ends at a given root, which is no public one: a middlebox's, or that of an internal site"
                .to_owned(),
        ),
        Trust::Nobody(why) => (
            true,
            Confidence::Low,
            format!("no root vouches for it ({why}): a middlebox, or a fault of the host itself"),
        ),
    };
    let held = pins.map(|pins| match pins.hold {
        true => (false, "the key is one of the host's own: nobody else can show it".to_owned()),
        false => (true, format!("the key {} is none of the pinned ones", pins.seen.0)),
    });
    let verdict = match (&held, &named) {
        (Some((false, _)), _) => (false, Confidence::High),
        (Some((true, _)), Some((sure, _))) => (true, (*sure).max(Confidence::High)),
        (None, Some((sure, _))) => (true, *sure),
        // A public CA signed another key: renewed beside the pins, which are broken all the same.
        (Some((true, _)), None) if *trust == Trust::PublicRoots => (false, Confidence::Low),
        (Some((true, _)), None) => (true, Confidence::High),
        (None, None) => (rooted.0, rooted.1),
    };
    let held_by_pin = pins.map(|pins| pins.hold);
    evidence.extend(held.map(|(_, why)| why));
    evidence.extend(named.map(|(_, why)| why));
    // Where the key is the host's own, it does not matter which root vouches for it.
    if !matches!(held_by_pin, Some(true)) || *trust == Trust::PublicRoots {
        evidence.push(rooted.2);
    }
    if verdict.0 && product.is_none() {
        evidence.push(format!("no product is known by this issuer: {}", leaf.issuer));
    }
    (verdict.0, verdict.1, evidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf() -> CertificateFacts {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        CertificateFacts::of(made.der()).unwrap()
    }

    fn judged(trust: &Trust, hold: Option<bool>, fit: Option<Fit>) -> (bool, Confidence) {
        let leaf = leaf();
        let pins = hold.map(|hold| PinVerdict { hold, seen: SeenPin(leaf.pin), source: "given".to_owned() });
        let product = fit.map(|fit| Recognised {
            profile: "zscaler".to_owned(),
            product: "Zscaler".to_owned(),
            fit,
            name: "CN=x".to_owned(),
        });
        let (inspected, confidence, evidence) = judge(trust, pins.as_ref(), product.as_ref(), &leaf);
        assert!(!evidence.is_empty());
        (inspected, confidence)
    }

    #[test]
    fn a_key_decides_before_a_name_and_a_name_before_a_root() {
        let nobody = Trust::Nobody("unknown".to_owned());
        assert_eq!(judged(&Trust::PublicRoots, None, None), (false, Confidence::High));
        assert_eq!(judged(&nobody, Some(true), None), (false, Confidence::High));
        assert_eq!(judged(&Trust::SystemRoots, None, Some(Fit::VendorsName)), (true, Confidence::High));
        assert_eq!(judged(&Trust::SystemRoots, None, Some(Fit::ChosenName)), (true, Confidence::Medium));
        assert_eq!(judged(&Trust::SystemRoots, None, None), (true, Confidence::Medium));
        assert_eq!(judged(&Trust::SystemRoots, Some(false), None), (true, Confidence::High));
        assert_eq!(judged(&nobody, None, None), (true, Confidence::Low));
        assert_eq!(judged(&Trust::PublicRoots, Some(false), None), (false, Confidence::Low), "renewed, perhaps");
    }
}
