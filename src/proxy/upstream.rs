//! The origin's leg: TCP, TLS, and whether its certificate is to be trusted.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use quick_cache::sync::Cache;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, HandshakeKind, RootCertStore, SignatureScheme,
    SupportedCipherSuite,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use thiserror::Error;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::client_auth::{self, Answering, ClientCert};
use super::exchange::Http2Origin;
use super::observed::alert_in;
use super::respond::Answer;
use super::{ProxyConfig, protocol_versions, undecryptable};
use crate::authority::{OriginFault, OriginTrust, TlsVersion};
use crate::journal::ClientCertificate;
use crate::net::{Certificate, Destination, DialError, Dialer, Dialled, Host, Way};

/// An origin's handshake has to be complete within this.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// An origin that asked for a client certificate has at least this long to refuse what it got, once.
const JUDGEMENT: Duration = Duration::from_millis(500);

/// How many origins are remembered.
const ORIGINS: usize = 4096;

/// For how many origins a session is kept that can be resumed. Each holds the origin's chain once for each ticket.
const SESSIONS: usize = 256;

/// How many lists of protocols are remembered.
const CONFIGS: usize = 64;

/// Opens connections to origins, and remembers what they are like.
#[derive(Debug)]
pub(crate) struct Upstream {
    dialer: Dialer,
    verifier: Arc<OriginVerifier>,
    prototype: ClientConfig,
    /// The prototype with a list of protocols; clients offer few different ones.
    configs: Cache<Vec<Vec<u8>>, Arc<ClientConfig>>,
    known: Cache<OriginKey, Arc<KnownOrigin>>,
    client_certs: Vec<ClientCert>,
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

impl OriginKey {
    /// The host that is asked for, with its port.
    pub(crate) fn host(&self) -> Destination {
        Destination::new(self.name.clone(), self.destination.port)
    }
}

/// What was seen of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownOrigin {
    pub(crate) by: Way,
    pub(crate) address: SocketAddr,
    /// Shared by the records of all connections to it.
    pub(crate) leaf: Certificate,
    pub(crate) trust: OriginTrust,
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) version: &'static str,
    /// What it got where it asked for a client certificate; it has gone on with that.
    pub(crate) client_certificate: Option<ClientCertificate>,
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
    pub(crate) carrier: LegCarrier,
    pub(crate) origin: Arc<KnownOrigin>,
}

/// What carries the requests to an origin.
#[derive(Debug)]
pub(crate) enum LegCarrier {
    /// A connection of one client's own, or one that was its own before.
    Tls(Box<TlsStream<Dialled>>),
    /// A share in an HTTP/2 connection.
    Http2(Http2Origin),
}

/// Why there is no connection to an origin.
#[derive(Debug, Error)]
pub(crate) enum UpstreamError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{destination} does not speak TLS as we do: {said}")]
    Tls {
        destination: Destination,
        said: String,
        /// Versions, ciphers or groups are what does not fit.
        does_not_fit: bool,
    },
    #[error("{0} did not complete a TLS handshake within {1:?}")]
    Timeout(Destination, Duration),
    #[error("{}", client_certificate_fault(destination, *given, said))]
    ClientCertificate { destination: Destination, given: ClientCertificate, said: String },
}

fn client_certificate_fault(destination: &Destination, given: ClientCertificate, said: &str) -> String {
    match given {
        ClientCertificate::Missing => {
            format!("{destination} asks for a client certificate: cannot be inspected, bypass it ({said})")
        }
        ClientCertificate::Presented => format!("{destination} does not take the client certificate: {said}"),
    }
}

impl UpstreamError {
    pub(crate) fn answer(&self) -> Answer {
        match self {
            Self::Dial(error) => Answer::unreachable(error),
            Self::Tls { .. } => Answer::bad_gateway("tls_protocol_error", self.to_string()),
            Self::Timeout(..) => {
                let mut answer = Answer::bad_gateway("connection_timeout", self.to_string());
                answer.status = http::StatusCode::GATEWAY_TIMEOUT;
                answer
            }
            Self::ClientCertificate { given, .. } => {
                let mut answer = Answer::bad_gateway("tls_alert_received", self.to_string());
                answer.hint = Some(match given {
                    ClientCertificate::Missing => {
                        "--client-cert HOST=FILE gives the middlebox a certificate of its own to present".to_owned()
                    }
                    ClientCertificate::Presented => "--client-cert gives another".to_owned(),
                });
                answer
            }
        }
    }
}

/// With AES-128 first, as browsers have it: it has less to compute, and its hash is one that processors have
/// instructions for.
fn as_browsers_prefer(provider: &CryptoProvider) -> CryptoProvider {
    let mut provider = provider.clone();
    let is_aes_128 = |suite: &SupportedCipherSuite| suite.suite().as_str().is_some_and(|name| name.contains("AES_128"));
    provider.cipher_suites.sort_by_key(|suite| !is_aes_128(suite));
    provider
}

impl Upstream {
    pub(crate) fn new(
        config: &ProxyConfig,
        own_ports: &[u16],
        versions: &[TlsVersion],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, rustls::Error> {
        let dialer = config.dialer.clone().avoiding(own_ports.iter().copied());
        let verifier = Arc::new(OriginVerifier::new(config.origin_roots.clone(), config.system_roots, provider)?);
        let answering = Answering { has_any: !config.client_certs.is_empty() };
        let mut prototype = ClientConfig::builder_with_provider(Arc::new(as_browsers_prefer(provider)))
            .with_protocol_versions(&protocol_versions(versions))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_client_cert_resolver(Arc::new(answering));
        prototype.resumption = Resumption::in_memory_sessions(SESSIONS);
        if let Some(keylog) = &config.keylog {
            prototype.key_log = Arc::clone(keylog);
        }
        let client_certs = config.client_certs.clone();
        Ok(Self { dialer, verifier, prototype, configs: Cache::new(CONFIGS), known: Cache::new(ORIGINS), client_certs })
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

    /// Does the handshake on an open connection.
    pub(crate) async fn open(&self, key: &OriginKey, stream: Dialled) -> Result<OriginLeg, UpstreamError> {
        let (by, address) = (stream.by().clone(), stream.peer());
        let name = key.name.server_name();
        let asked_for = key.host();
        let certified = self.client_certs.iter().find(|cert| cert.is_for(&asked_for));
        let begun = Instant::now();
        let handshake = TlsConnector::from(self.config(&key.alpn)).connect(name.clone(), stream);
        let handshake = client_auth::watched(certified.map(|cert| Arc::clone(cert.certified())), handshake);
        let (stream, asked) = tokio::time::timeout(HANDSHAKE, handshake)
            .await
            .map_err(|_| UpstreamError::Timeout(key.destination.clone(), HANDSHAKE))?;
        let refused = |given: ClientCertificate, said: String| UpstreamError::ClientCertificate {
            destination: key.destination.clone(),
            given,
            said,
        };
        let mut stream = match (stream, asked) {
            (Ok(stream), _) => Box::new(stream),
            // In TLS 1.2 the origin judges before the handshake is complete. What is no alert and no end is our doing.
            (Err(error), Some(given)) if alert_in(&error).is_some() || !is_rustls(&error) => {
                return Err(refused(given, error.to_string()));
            }
            (Err(error), _) => {
                return Err(UpstreamError::Tls {
                    destination: key.destination.clone(),
                    said: error.to_string(),
                    does_not_fit: undecryptable::does_not_fit(&error),
                });
            }
        };
        let before = self.known.get(key);
        let (_, connection) = stream.get_ref();
        let version = version_name(connection.protocol_version());
        // A session that is resumed was judged when it began.
        let client_certificate = match connection.handshake_kind() {
            Some(HandshakeKind::Resumed) => before.as_ref().and_then(|known| known.client_certificate),
            _ => asked,
        };
        if let Some(given) = asked
            && version == "TLS 1.3"
            && before.as_ref().is_none_or(|known| known.client_certificate != asked)
        {
            let limit = JUDGEMENT.max(begun.elapsed() * 4);
            if let Ok(Err(said)) = tokio::time::timeout(limit, client_auth::first_word(&mut stream)).await {
                return Err(refused(given, said));
            }
        }
        let (_, connection) = stream.get_ref();
        let chain = connection.peer_certificates().unwrap_or_default();
        let alpn = connection.alpn_protocol().map(<[u8]>::to_vec);
        let leaf = chain.first().cloned().unwrap_or_else(|| CertificateDer::from(Vec::new()));
        let trust = self.verifier.trust(&leaf, chain, &name);
        let seen = KnownOrigin { by, address, leaf: leaf.into(), trust, alpn, version, client_certificate };
        let origin = match before {
            Some(known) if *known == seen => known,
            _ => {
                let seen = Arc::new(seen);
                self.known.insert(key.clone(), Arc::clone(&seen));
                seen
            }
        };
        Ok(OriginLeg { carrier: LegCarrier::Tls(stream), origin })
    }
}

impl Upstream {
    fn config(&self, alpn: &[Vec<u8>]) -> Arc<ClientConfig> {
        let make = || {
            let mut config = self.prototype.clone();
            config.alpn_protocols = alpn.to_vec();
            Ok::<_, std::convert::Infallible>(Arc::new(config))
        };
        let Ok(config) = self.configs.get_or_insert_with(alpn, make);
        config
    }
}

fn is_rustls(error: &std::io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some()
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
    /// Against the CAs that were given.
    given: Option<Arc<WebPkiServerVerifier>>,
    /// Against the system's and Mozilla's, where they count. Hundreds of certificates: read when one is first needed.
    system: Option<LazyLock<Option<Arc<WebPkiServerVerifier>>>>,
    algorithms: WebPkiSupportedAlgorithms,
    verdicts: Cache<[u8; 32], OriginTrust>,
}

impl OriginVerifier {
    fn new(given: RootCertStore, system: bool, provider: &Arc<CryptoProvider>) -> Result<Self, rustls::Error> {
        let given = if given.is_empty() { None } else { Some(against(given, provider)?) };
        let system = system.then(|| LazyLock::new(system_verifier as fn() -> Option<Arc<WebPkiServerVerifier>>));
        let algorithms = provider.signature_verification_algorithms;
        Ok(Self { given, system, algorithms, verdicts: Cache::new(4096) })
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let against = |verifier: &Arc<WebPkiServerVerifier>| {
            verifier.verify_server_cert(leaf, intermediates, name, ocsp, now).map(|_| ())
        };
        let unknown = || Err(CertificateError::UnknownIssuer.into());
        let given = self.given.as_ref().map_or_else(unknown, against);
        match (given, self.system.as_ref()) {
            (Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)), Some(system)) => {
                LazyLock::force(system).as_ref().map_or_else(unknown, against)
            }
            (given, _) => given,
        }
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
        let trust = match self.verify(leaf, intermediates, name, ocsp, now) {
            Ok(()) => OriginTrust::Trusted,
            Err(error) => OriginTrust::Untrusted(fault_of(&error, leaf)),
        };
        self.verdicts.insert(verdict_key(leaf, intermediates, name), trust.clone());
        trust
    }
}

fn against(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider))
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))
}

fn system_verifier() -> Option<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    against(roots, &Arc::new(rustls::crypto::aws_lc_rs::default_provider())).ok()
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
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
