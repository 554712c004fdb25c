//! One look at a host: a handshake as any client would do it, that judges nothing and sends nothing.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, ProtocolVersion, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use crate::net::{Destination, DialError, Dialer, Way};

/// A handshake has to be complete within this.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// What a host showed.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) way: Way,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) version: &'static str,
    pub(super) alpn: Option<String>,
    pub(super) asks_for_client_certificate: bool,
}

/// A host could not be looked at.
#[derive(Debug, Error)]
pub enum Unseen {
    /// It cannot be reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// There is no handshake with it.
    #[error("{0} does not complete a TLS handshake: {1}")]
    Tls(Destination, String),
    /// It takes too long.
    #[error("{0} did not complete a TLS handshake within {1:?}")]
    Timeout(Destination, Duration),
}

/// Looks at a host through the way that the dialer chooses.
pub(super) async fn look(dialer: &Dialer, destination: &Destination) -> Result<Look, Unseen> {
    let way = dialer.way(destination);
    let stream = dialer.dial(destination).await?;
    let failed = |error: &dyn fmt::Display| Unseen::Tls(destination.clone(), error.to_string());
    let config = config().map_err(|error| failed(&error))?;
    let name = destination.host.server_name();
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let handshake = ASKED.scope(Cell::new(false), async { (handshake.await, ASKED.with(Cell::get)) });
    let (stream, asks_for_client_certificate) = tokio::time::timeout(HANDSHAKE, handshake)
        .await
        .map_err(|_| Unseen::Timeout(destination.clone(), HANDSHAKE))?;
    let mut stream = stream.map_err(|error| failed(&error))?;
    let (_, connection) = stream.get_ref();
    let look = Look {
        way,
        chain: connection.peer_certificates().unwrap_or_default().to_vec(),
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS 1.2",
        },
        alpn: connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        asks_for_client_certificate,
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.shutdown()).await;
    Ok(look)
}

fn config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let looking = Arc::new(Looking(provider.signature_verification_algorithms));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(looking)
        .with_client_cert_resolver(Arc::new(Noticing));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

tokio::task_local! {
    /// Whether the server asked for a client certificate in the handshake that this task does.
    static ASKED: Cell<bool>;
}

/// Has no certificate, and notices that one is asked for.
#[derive(Debug)]
struct Noticing;

impl ResolvesClientCert for Noticing {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let _ = ASKED.try_with(|asked| asked.set(true));
        None
    }

    fn has_certs(&self) -> bool {
        // With `false` it would not be asked at all.
        true
    }
}

/// Takes every chain: it is judged afterwards. Signatures of the handshake itself are verified.
#[derive(Debug)]
struct Looking(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Looking {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
