//! The origin's leg: TCP, TLS, and whether its certificate is to be trusted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use quick_cache::sync::Cache;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, KeyLog, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::respond::Answer;
use crate::authority::{OriginFault, OriginTrust};
use crate::net::{Destination, DialError, Dialer, Host};

/// Opens connections to origins, and remembers what they are like.
#[derive(Debug)]
pub(crate) struct Upstream {
    dialer: Dialer,
    verifier: Arc<OriginVerifier>,
    prototype: ClientConfig,
    known: Cache<OriginKey, Arc<KnownOrigin>>,
    handshake_limit: Duration,
}

/// What an origin is like may depend on all of these.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct OriginKey {
    pub(crate) destination: Destination,
    /// The name that is asked for and verified.
    pub(crate) name: Host,
    /// The protocols offered, in order.
    pub(crate) alpn: Vec<Vec<u8>>,
}

/// What was seen of an origin.
#[derive(Clone, Debug)]
pub(crate) struct KnownOrigin {
    pub(crate) address: SocketAddr,
    pub(crate) leaf: CertificateDer<'static>,
    pub(crate) trust: OriginTrust,
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) version: &'static str,
}

impl KnownOrigin {
    /// Whether a client that was given a certificate after this one may go on with `now`.
    pub(crate) fn same_for_client(&self, now: &Self) -> bool {
        self.leaf == now.leaf && self.trust == now.trust && self.alpn == now.alpn
    }
}

/// An open connection to an origin.
#[derive(Debug)]
pub(crate) struct OriginLeg {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) origin: Arc<KnownOrigin>,
}

/// Why there is no connection to an origin.
#[derive(Debug, Error)]
pub(crate) enum UpstreamError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{0} is a port of this proxy itself")]
    OwnPort(Destination),
    #[error("{0} does not speak TLS as we do: {1}")]
    Tls(Destination, String),
    #[error("{0} did not complete a TLS handshake within {1:?}")]
    Timeout(Destination, Duration),
}

impl UpstreamError {
    pub(crate) fn answer(&self) -> Answer {
        match self {
            Self::Dial(error) => Answer::unreachable(error),
            Self::OwnPort(destination) => Answer::own_port(&destination.to_string()),
            Self::Tls(..) => Answer::bad_gateway("tls_protocol_error", self.to_string()),
            Self::Timeout(..) => {
                let mut answer = Answer::bad_gateway("connection_timeout", self.to_string());
                answer.status = http::StatusCode::GATEWAY_TIMEOUT;
                answer
            }
        }
    }
}

impl Upstream {
    pub(crate) fn new(
        dialer: Dialer,
        roots: RootCertStore,
        provider: &Arc<CryptoProvider>,
        keylog: Option<Arc<dyn KeyLog>>,
        handshake_limit: Duration,
    ) -> Result<Self, rustls::Error> {
        let verifier = Arc::new(OriginVerifier::new(roots, provider)?);
        let mut prototype = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(rustls::ALL_VERSIONS)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        prototype.resumption = Resumption::in_memory_sessions(1024);
        if let Some(keylog) = keylog {
            prototype.key_log = keylog;
        }
        Ok(Self { dialer, verifier, prototype, known: Cache::new(4096), handshake_limit })
    }

    pub(crate) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// What was seen of this origin last time.
    pub(crate) fn known(&self, key: &OriginKey) -> Option<Arc<KnownOrigin>> {
        self.known.get(key)
    }

    pub(crate) fn forget(&self, key: &OriginKey) {
        self.known.remove(key);
    }

    /// Opens a connection and does the handshake; `connected` hears when TCP stands.
    pub(crate) async fn open(
        &self,
        key: &OriginKey,
        stream: TcpStream,
        connected: impl FnOnce(SocketAddr),
    ) -> Result<OriginLeg, UpstreamError> {
        let tls = |error: std::io::Error| UpstreamError::Tls(key.destination.clone(), error.to_string());
        let address = stream.peer_addr().map_err(tls)?;
        connected(address);
        let mut config = self.prototype.clone();
        config.alpn_protocols.clone_from(&key.alpn);
        let name = key.name.server_name();
        let handshake = TlsConnector::from(Arc::new(config)).connect(name.clone(), stream);
        let stream = tokio::time::timeout(self.handshake_limit, handshake)
            .await
            .map_err(|_| UpstreamError::Timeout(key.destination.clone(), self.handshake_limit))?
            .map_err(tls)?;
        let (_, connection) = stream.get_ref();
        let chain = connection.peer_certificates().unwrap_or_default();
        let alpn = connection.alpn_protocol().map(<[u8]>::to_vec);
        let version = version_name(connection.protocol_version());
        let leaf = chain.first().cloned().unwrap_or_else(|| CertificateDer::from(Vec::new()));
        let trust = self.verifier.trust(&leaf, chain, &name);
        let origin = match self.known.get(key) {
            Some(known)
                if known.leaf == leaf && known.trust == trust && known.alpn == alpn && known.address == address =>
            {
                known
            }
            _ => {
                let seen = Arc::new(KnownOrigin { address, leaf, trust, alpn, version });
                self.known.insert(key.clone(), Arc::clone(&seen));
                seen
            }
        };
        Ok(OriginLeg { stream, origin })
    }
}

pub(crate) fn version_name(version: Option<rustls::ProtocolVersion>) -> &'static str {
    match version {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "unknown",
    }
}

/// Verifies like any client, but remembers a failure instead of refusing: what becomes of an untrusted origin is the
/// profile's decision, not the TLS library's. Signatures of the handshake itself are never let through.
#[derive(Debug)]
struct OriginVerifier {
    webpki: Arc<WebPkiServerVerifier>,
    verdicts: Cache<[u8; 32], OriginTrust>,
}

impl OriginVerifier {
    fn new(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Self, rustls::Error> {
        let webpki = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self { webpki, verdicts: Cache::new(4096) })
    }

    /// The verdict on a chain that was shown, from memory where the handshake was resumed.
    fn trust(&self, leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>], name: &ServerName<'_>) -> OriginTrust {
        let intermediates = chain.get(1..).unwrap_or_default();
        if let Some(known) = self.verdicts.get(&verdict_key(leaf, intermediates, name)) {
            return known;
        }
        self.judge(leaf, intermediates, name, &[], UnixTime::now())
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> OriginTrust {
        let trust = match self.webpki.verify_server_cert(leaf, intermediates, name, ocsp, now) {
            Ok(_) => OriginTrust::Trusted,
            Err(error) => OriginTrust::Untrusted(fault_of(&error, leaf)),
        };
        self.verdicts.insert(verdict_key(leaf, intermediates, name), trust.clone());
        trust
    }
}

fn verdict_key(leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>], name: &ServerName<'_>) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(name.to_str().as_bytes());
    for certificate in std::iter::once(leaf).chain(intermediates) {
        context.update(&(certificate.len() as u64).to_be_bytes());
        context.update(certificate);
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn fault_of(error: &rustls::Error, leaf: &CertificateDer<'_>) -> OriginFault {
    let self_signed = X509Certificate::from_der(leaf)
        .is_ok_and(|(_, certificate)| certificate.issuer().as_raw() == certificate.subject().as_raw());
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => OriginFault::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => OriginFault::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                OriginFault::WrongHost
            }
            CertificateError::Revoked => OriginFault::Revoked,
            CertificateError::BadEncoding => OriginFault::Malformed,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                OriginFault::WrongUsage
            }
            _ if self_signed => OriginFault::SelfSigned,
            CertificateError::UnknownIssuer => OriginFault::UnknownIssuer,
            other => OriginFault::Other(other.to_string()),
        },
        _ if self_signed => OriginFault::SelfSigned,
        other => OriginFault::Other(other.to_string()),
    }
}

impl ServerCertVerifier for OriginVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(leaf, intermediates, name, ocsp, now);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
