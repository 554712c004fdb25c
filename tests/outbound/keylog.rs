//! TLS secrets of both legs, for Wireshark.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use middlebox::lab::Lab;
use rustls::{ClientConfig, KeyLog, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::tunnel;

/// Keeps the lines that a party of the handshake would log itself.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl KeyLog for Kept {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").unwrap();
                text
            })
        };
        self.0.lock().unwrap().push(format!("{label} {} {}", hex(client_random), hex(secret)));
    }
}

impl Kept {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn the_file_holds_what_both_ends_hold_and_nobody_else_reads_it() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let (client_side, origin_side) = (Kept::default(), Kept::default());

        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let origin_ca = folder.path().join("origin.pem");
        std::fs::write(&origin_ca, certificate.pem()).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        config.key_log = Arc::new(origin_side.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let origin = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.unwrap();
            stream.shutdown().await.unwrap();
        });

        let file = folder.path().join("keys.log");
        let lab = Lab::builder().origin_ca(&origin_ca).config(|config| {
            config.system_roots = false;
            config.keylog = Some(file.clone());
            config.resolve.push(format!("a.example:443:{address}").parse().unwrap());
        });
        let lab = lab.start().await.unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(lab.authority().ca().root().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.key_log = Arc::new(client_side.clone());
        let tcp = tunnel(lab.proxy_address(), "a.example:443").await;
        let name = ServerName::try_from("a.example").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        origin.await.unwrap();

        let logged = std::fs::read_to_string(&file).unwrap();
        let (client, origin) = (client_side.lines(), origin_side.lines());
        assert!(!client.is_empty() && !origin.is_empty());
        for line in client.iter().chain(&origin) {
            assert!(logged.lines().any(|logged| logged == line), "{line} is not in\n{logged}");
        }
        // What Wireshark needs of each leg.
        let labels: &[&str] = match version.version {
            rustls::ProtocolVersion::TLSv1_2 => &["CLIENT_RANDOM"],
            _ => &[
                "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
                "SERVER_HANDSHAKE_TRAFFIC_SECRET",
                "CLIENT_TRAFFIC_SECRET_0",
                "SERVER_TRAFFIC_SECRET_0",
                "EXPORTER_SECRET",
            ],
        };
        for leg in [&client, &origin] {
            let random = leg[0].split(' ').nth(1).unwrap();
            for label in labels {
                let lines = logged.lines().filter(|line| line.starts_with(&format!("{label} {random} "))).count();
                assert_eq!(lines, 1, "{label} in\n{logged}");
            }
        }
        assert_ne!(client[0].split(' ').nth(1), origin[0].split(' ').nth(1), "two legs have two randoms");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
