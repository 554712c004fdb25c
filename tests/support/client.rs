//! Clients of the proxy.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::wire::Stream;
use super::{Wire, soon, trust};

/// A client that goes through the proxy.
#[derive(Clone)]
pub(crate) struct Client {
    proxy: SocketAddr,
    inspection_root: CertificateDer<'static>,
    trusts_inspection: bool,
    alpn: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    headers: String,
    verifier: Option<Arc<dyn ServerCertVerifier>>,
    sni: Option<String>,
    sends_sni: bool,
}

impl Client {
    pub(crate) fn new(proxy: SocketAddr, inspection_root: CertificateDer<'static>) -> Self {
        Self {
            proxy,
            inspection_root,
            trusts_inspection: true,
            alpn: Vec::new(),
            versions: rustls::DEFAULT_VERSIONS.to_vec(),
            headers: String::new(),
            verifier: None,
            sni: None,
            sends_sni: true,
        }
    }

    /// Offers these protocols.
    pub(crate) fn alpn(mut self, names: &[&str]) -> Self {
        self.alpn = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// Trusts the origins' CA alone.
    pub(crate) fn without_the_ca(mut self) -> Self {
        self.trusts_inspection = false;
        self
    }

    /// Speaks this version of TLS alone.
    pub(crate) fn only(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    /// Sends a header line with its CONNECT.
    pub(crate) fn header(mut self, line: &str) -> Self {
        self.headers.push_str(line);
        self.headers.push_str("\r\n");
        self
    }

    /// Judges certificates like this.
    pub(crate) fn verifier(mut self, verifier: impl ServerCertVerifier + 'static) -> Self {
        self.verifier = Some(Arc::new(verifier));
        self
    }

    /// Asks for this name in its hello, whatever it connects to.
    pub(crate) fn sni(mut self, name: &str) -> Self {
        self.sni = Some(name.to_owned());
        self
    }

    pub(crate) fn without_sni(mut self) -> Self {
        self.sends_sni = false;
        self
    }

    /// A connection to the proxy itself.
    pub(crate) async fn dial(&self) -> Wire {
        Wire::dial(self.proxy).await
    }

    /// Sends a CONNECT, and gives what the proxy answers.
    pub(crate) async fn ask(&self, target: &str) -> (String, Wire) {
        let mut wire = self.dial().await;
        wire.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{}\r\n", self.headers)).await;
        (wire.head().await, wire)
    }

    /// Opens a tunnel.
    pub(crate) async fn connect(&self, target: &str) -> Wire {
        let (head, wire) = self.ask(target).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        wire
    }

    /// Opens a tunnel to port 443 of a host and speaks TLS in it.
    pub(crate) async fn tls(&self, host: &str) -> Wire {
        self.try_tls(host).await.unwrap()
    }

    pub(crate) async fn try_tls(&self, host: &str) -> io::Result<Wire> {
        Ok(Wire::new(self.tls_stream(host).await?))
    }

    /// The same, as the stream of the TLS library.
    pub(crate) async fn tls_stream(&self, host: &str) -> io::Result<TlsStream<Box<dyn Stream>>> {
        let target = if host.contains(':') { format!("[{host}]:443") } else { format!("{host}:443") };
        let wire = self.connect(&target).await;
        self.handshake(wire, host).await
    }

    /// Speaks TLS on a wire.
    pub(crate) async fn handshake(&self, wire: Wire, host: &str) -> io::Result<TlsStream<Box<dyn Stream>>> {
        let name = self.sni.as_deref().unwrap_or(host).to_owned();
        let connector = TlsConnector::from(Arc::new(self.config()));
        soon("a handshake", connector.connect(ServerName::try_from(name).unwrap(), wire.stream)).await
    }

    /// The TLS of this client.
    pub(crate) fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(trust::root()).unwrap();
        if self.trusts_inspection {
            roots.add(self.inspection_root.clone()).unwrap();
        }
        let builder =
            ClientConfig::builder_with_provider(trust::provider()).with_protocol_versions(&self.versions).unwrap();
        let mut config = match &self.verifier {
            Some(verifier) => {
                builder.dangerous().with_custom_certificate_verifier(Arc::clone(verifier)).with_no_client_auth()
            }
            None => builder.with_root_certificates(roots).with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        config.enable_sni = self.sends_sni;
        config
    }

    /// The bytes of this client's ClientHello.
    pub(crate) fn hello(&self, host: &str) -> Vec<u8> {
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let mut connection = rustls::ClientConnection::new(Arc::new(self.config()), name).unwrap();
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).unwrap();
        bytes
    }
}

/// The certificate that a stream was shown.
pub(crate) fn shown(stream: &TlsStream<Box<dyn Stream>>) -> middlebox::net::CertificateFacts {
    let (_, connection) = stream.get_ref();
    middlebox::net::CertificateFacts::of(&connection.peer_certificates().unwrap()[0]).unwrap()
}

/// The protocol that a stream agreed on.
pub(crate) fn agreed(stream: &TlsStream<Box<dyn Stream>>) -> Option<String> {
    stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned())
}
