//! A CONNECT proxy for these tests: tunnels, forges, demands credentials or refuses.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::net::{Destination, Dialer, Overrides};
use crate::simulation::RefusalCause;

/// What the proxy does with a host; by default it tunnels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    Tunnel,
    Forge,
    Forbid,
    BadGateway,
}

pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    state: Arc<State>,
    alerts: mpsc::UnboundedReceiver<String>,
    task: JoinHandle<()>,
}

struct State {
    ca: CertifiedIssuer<'static, KeyPair>,
    dialer: Dialer,
    rules: Mutex<HashMap<String, Does>>,
    demands: Mutex<Option<String>>,
    heads: Mutex<Vec<String>>,
    alerts: mpsc::UnboundedSender<String>,
}

impl Proxy {
    pub(super) async fn start(overrides: Overrides) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Test Inspection CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (alerts, told) = mpsc::unbounded_channel();
        let state = Arc::new(State {
            ca,
            dialer: Dialer::new(Arc::new(overrides), Duration::from_secs(5)),
            rules: Mutex::default(),
            demands: Mutex::default(),
            heads: Mutex::default(),
            alerts,
        });
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { address, state, alerts: told, task }
    }

    pub(super) fn root(&self) -> CertificateDer<'static> {
        self.state.ca.der().clone()
    }

    pub(super) fn set(&self, host: &str, does: Does) {
        self.state.rules.lock().unwrap().insert(host.to_owned(), does);
    }

    /// From now on `Proxy-Authorization` has to have this value.
    pub(super) fn demand(&self, value: &str) {
        *self.state.demands.lock().unwrap() = Some(value.to_owned());
    }

    /// The heads of the CONNECT requests so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.state.heads.lock().unwrap().clone()
    }

    /// How the next client that refuses a forged certificate says so.
    pub(super) async fn next_refusal(&mut self) -> String {
        self.alerts.recv().await.unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, state: Arc<State>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    state.heads.lock().unwrap().push(head.clone());
    let target = head.strip_prefix("CONNECT ")?.split(' ').next()?;
    let destination: Destination = target.parse().unwrap();
    let demanded = state.demands.lock().unwrap().clone();
    if demanded.is_some_and(|value| !head.contains(&format!("Proxy-Authorization: {value}\r\n"))) {
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\
                      Content-Length: 0\r\nConnection: close\r\n\r\n";
        return client.write_all(answer.as_bytes()).await.ok();
    }
    let does = state.rules.lock().unwrap().get(&destination.host.to_string()).copied().unwrap_or(Does::Tunnel);
    match does {
        Does::Forbid => {
            let answer = "HTTP/1.1 403 Forbidden\r\nProxy-Status: test; error=http_request_denied\r\n\
                          Content-Length: 7\r\n\r\nblocked";
            return client.write_all(answer.as_bytes()).await.ok();
        }
        Does::BadGateway => {
            return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await.ok();
        }
        Does::Tunnel | Does::Forge => {}
    }
    let mut origin = state.dialer.connect(&destination).await.unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    if does == Does::Tunnel {
        return copy_bidirectional(&mut client, &mut origin).await.map(|_| ()).ok();
    }
    let host = destination.host.to_string();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![host]).unwrap().signed_by(&key, &state.ca).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    let mut client = match TlsAcceptor::from(Arc::new(server)).accept(client).await {
        Ok(client) => client,
        Err(error) => {
            let _ = state.alerts.send(error.to_string());
            return None;
        }
    };
    // The origin is real enough for a test: nobody checks it here.
    let trusting = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    let mut first = [0; 4096];
    let read = client.read(&mut first).await;
    if let Ok(0) = read {
        let _ = state.alerts.send("close_notify".to_owned());
    }
    let read = read.ok().filter(|read| *read > 0)?;
    let connector = TlsConnector::from(Arc::new(trusting));
    let mut origin = connector.connect(destination.host.server_name(), origin).await.unwrap();
    origin.write_all(&first[..read]).await.ok()?;
    copy_bidirectional(&mut client, &mut origin).await.map(|_| ()).ok()
}

#[derive(Debug)]
struct Anything;

impl rustls::client::danger::ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls_pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The alert that .NET on Windows is expected to send for a cause.
pub(super) fn alert_of(cause: RefusalCause) -> u8 {
    match cause {
        RefusalCause::UntrustedCa => 48,
        RefusalCause::WrongHost => 42,
        RefusalCause::Expired | RefusalCause::NotYetValid => 45,
        // None is sent within the handshake for a revocation; this is what it would be.
        RefusalCause::PinMismatch | RefusalCause::RevocationUnknown | RefusalCause::Policy => 46,
    }
}
