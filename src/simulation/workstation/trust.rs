//! How a program on the workstation judges a certificate: chain and name first, then pins.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde::Serialize;

use crate::net::{CertificateFacts, Pin};

/// Why a program refused a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCause {
    /// The CA that issued it is not in the workstation's trust store.
    UntrustedCa,
    /// It is for other names.
    WrongHost,
    /// Its validity is over.
    Expired,
    /// Its validity has not begun.
    NotYetValid,
    /// The chain is good, and the key is none of the pinned ones.
    PinMismatch,
    /// Nobody could be asked whether it has been revoked.
    RevocationUnknown,
    /// Another rule of certificate validation: usage, signature, form.
    Policy,
}

/// A refused certificate: why, and what the other side is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Why.
    pub cause: RefusalCause,
    /// The TLS alert (RFC 8446, 6) that is sent within the handshake; none where the handshake is finished and the
    /// connection then closed.
    pub alert: Option<u8>,
    /// What exactly was wrong.
    pub detail: String,
}

/// A certificate as a program saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateSeen {
    /// What it says.
    pub facts: CertificateFacts,
    /// The issuer's common name: the short answer to "who signed this?".
    pub issuer: String,
    /// Whether chain, time and name are good by the workstation's trust store.
    pub chain_ok: bool,
    /// The domain under which the host is pinned, as `.okta.com`; none for a host that is not pinned.
    pub pinned_suffix: Option<String>,
    /// The pins of that domain.
    pub expected_pins: Vec<Pin>,
    /// Whether the chain is good and the key is one of the pinned ones; false where nothing is pinned.
    pub matched: bool,
}

/// The pins that hold for one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pinned {
    /// The domain under which the host is pinned.
    pub(crate) domain: String,
    pub(crate) pins: Vec<Pin>,
}

/// What a program does about certificates.
#[derive(Clone, Debug)]
pub(super) struct Conduct {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) pinned: Option<Pinned>,
    /// Pins are compared after the handshake.
    pub(super) late: bool,
    /// A wrong name together with a bad chain is told as alert 46, as .NET on Windows is expected to.
    pub(super) joint_alert: bool,
}

/// The verifier of one connection: judges the certificate and remembers it.
#[derive(Debug)]
pub(super) struct Judge {
    conduct: Conduct,
    algorithms: WebPkiSupportedAlgorithms,
    verdict: Mutex<Option<Verdict>>,
}

/// What a judge saw and decided.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) seen: Option<CertificateSeen>,
    pub(super) refusal: Option<Refusal>,
    /// The leaf and what was sent behind it.
    pub(super) chain: Vec<CertificateDer<'static>>,
}

impl Refusal {
    fn new(cause: RefusalCause, error: &CertificateError) -> Self {
        let alert = u8::from(AlertDescription::from(error.clone()));
        Self { cause, alert: Some(alert), detail: error.to_string() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate was refused: {}", self.detail)
    }
}

impl Judge {
    pub(super) fn new(conduct: Conduct, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { conduct, algorithms, verdict: Mutex::new(None) }
    }

    pub(super) fn verdict(&self) -> Option<Verdict> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The alert of the handshake is the one that rustls sends for the error returned here.
    fn chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        let reason = |error| match error {
            Error::InvalidCertificate(reason) => reason,
            other => CertificateError::Other(OtherError(Arc::new(other))),
        };
        let parsed = ParsedCertificate::try_from(leaf).map_err(reason)?;
        let chain = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.conduct.roots,
            intermediates,
            now,
            self.algorithms.all,
        );
        let name = verify_server_name(&parsed, name);
        match (chain.map_err(reason), name.map_err(reason)) {
            (Err(chain), Err(name)) if self.conduct.joint_alert => {
                Err(CertificateError::Other(OtherError(Arc::new(Both { chain, name }))))
            }
            (Err(chain), _) => Err(chain),
            (Ok(()), name) => name,
        }
    }

    /// The pins are compared with the key of the leaf whose chain was just validated, never with whatever else the
    /// server sent (CVE-2016-2402).
    fn pin(&self, leaf: Option<&CertificateFacts>) -> Result<(), CertificateError> {
        let Some(pinned) = &self.conduct.pinned else { return Ok(()) };
        if leaf.is_some_and(|leaf| pinned.pins.contains(&leaf.pin)) {
            return Ok(());
        }
        Err(CertificateError::Other(OtherError(Arc::new(PinMismatch { domain: pinned.domain.clone() }))))
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let facts = CertificateFacts::of(leaf).ok();
        let chain = self.chain(leaf, intermediates, name, now);
        let chain_ok = chain.is_ok();
        let judged = match chain {
            Err(error) => Err((cause_of(&error), error)),
            Ok(()) => self.pin(facts.as_ref()).map_err(|error| (RefusalCause::PinMismatch, error)),
        };
        let passed = judged.is_ok();
        let refused = judged.err();
        let late = |cause| self.conduct.late && cause == RefusalCause::PinMismatch;
        let pinned = self.conduct.pinned.as_ref();
        let verdict = Verdict {
            seen: facts.map(|facts| CertificateSeen {
                issuer: CertificateFacts::issuer_name(leaf).unwrap_or_else(|| facts.issuer.clone()),
                facts,
                chain_ok,
                pinned_suffix: pinned.map(|pinned| pinned.domain.clone()),
                expected_pins: pinned.map(|pinned| pinned.pins.clone()).unwrap_or_default(),
                matched: passed && pinned.is_some(),
            }),
            refusal: refused.as_ref().map(|(cause, error)| {
                let refusal = Refusal::new(*cause, error);
                if late(*cause) { Refusal { alert: None, ..refusal } } else { refusal }
            }),
            chain: std::iter::once(leaf).chain(intermediates).map(|one| one.clone().into_owned()).collect(),
        };
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
        match refused {
            Some((cause, error)) if !late(cause) => Err(Error::InvalidCertificate(error)),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn cause_of(error: &CertificateError) -> RefusalCause {
    match error {
        CertificateError::UnknownIssuer => RefusalCause::UntrustedCa,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => RefusalCause::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => RefusalCause::NotYetValid,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => RefusalCause::WrongHost,
        // The chain weighs more: a name can be repaired only where the issuer is known.
        CertificateError::Other(other) => {
            other.0.downcast_ref::<Both>().map_or(RefusalCause::Policy, |both| cause_of(&both.chain))
        }
        _ => RefusalCause::Policy,
    }
}

/// The key is none of the pinned ones.
#[derive(Debug, thiserror::Error)]
#[error("its key is none of those pinned for {domain}")]
struct PinMismatch {
    domain: String,
}

/// Chain and name are both wrong.
#[derive(Debug, thiserror::Error)]
#[error("{chain}; also {name}")]
struct Both {
    chain: CertificateError,
    name: CertificateError,
}
