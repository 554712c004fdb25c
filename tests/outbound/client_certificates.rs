//! Origins that ask for a client certificate.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use middlebox::journal::{ClientCertificate, Outcome, Told};
use middlebox::lab::{Lab, LabBuilder, RunningLab};
use middlebox::simulation::{Alpn, App, Internet};

use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::support::{browse, fault, only, origin};

const HOST: &str = "bank.example";
const ASKS: &str = "bank.example:443 asks for a client certificate: cannot be inspected, bypass it";

/// A lab with an origin that asks, whose leg to origins has one version of TLS alone.
fn lab(version: &str, alpn: Alpn, folder: &tempfile::TempDir) -> LabBuilder {
    let generic = std::fs::read_to_string("certs/profiles/generic.toml").unwrap();
    let tls = format!("[tls]\norigin-versions = [\"{version}\"]\n");
    let path = folder.path().join("one-version.toml");
    std::fs::write(&path, generic.replace("[tls]\n", &tls)).unwrap();
    Lab::builder().simulate([origin(HOST, App::Mtls, &[alpn])]).profile(path.display().to_string())
}

/// The origins' CA is made with the lab, so a certificate of it can only be given to another lab, which is this one's
/// neighbour: it reaches the origin by an override.
async fn neighbour(lab: &RunningLab, folder: &tempfile::TempDir, certificate: Option<PathBuf>) -> RunningLab {
    let place = lab.internet().unwrap().overrides().lookup(&format!("{HOST}:443").parse().unwrap()).unwrap()[0];
    let builder = Lab::builder()
        .profile(folder.path().join("one-version.toml").display().to_string())
        .origin_ca(lab.files().public_root.clone().unwrap())
        .config(|config| {
            config.system_roots = false;
            config.resolve.push(format!("{HOST}:443:{place}").parse().unwrap());
            if let Some(path) = certificate {
                config.client_certs.push(format!("*.other={}", path.display()).parse().unwrap());
                config.client_certs.push(format!("{HOST}:443={0},{0}", path.display()).parse().unwrap());
            }
        });
    builder.start().await.unwrap()
}

const EVERY: [(&str, Alpn); 4] = [("1.2", Alpn::Http1), ("1.3", Alpn::Http1), ("1.2", Alpn::H2), ("1.3", Alpn::H2)];

#[tokio::test]
async fn without_a_certificate_the_client_and_the_record_are_told_to_bypass() {
    for (version, alpn) in EVERY {
        let folder = tempfile::tempdir().unwrap();
        let lab = lab(version, alpn, &folder).start().await.unwrap();
        let visit = browse(&lab.workstation("desk"), &format!("https://{HOST}/")).await;
        assert_eq!(visit.status, Some(502), "{version} {alpn:?}: {visit:?}");
        assert!(visit.body.contains(ASKS) && visit.body.contains("--client-cert"), "{}", visit.body);
        let record = only(&lab).await;
        assert_eq!((record.outcome, &record.told), (Some(Outcome::Failed), &Some(Told::StatusInside(502))));
        assert!(fault(&record).starts_with(ASKS), "{}", fault(&record));
        assert_eq!(record.origin.as_ref().unwrap().client_certificate, Some(ClientCertificate::Missing));
        assert!(record.notes.iter().any(|note| note.contains("asks for a client certificate")), "{:?}", record.notes);

        // Bypassed, the client's own certificate would reach the origin; the browser has none, and is told so itself.
        lab.bypass(HOST).unwrap();
        let visit = browse(&lab.workstation("desk"), &format!("https://{HOST}/")).await;
        assert_eq!(visit.status, None);
        assert_eq!(lab.records().await[1].outcome, Some(Outcome::Bypassed));
    }
}

#[tokio::test]
async fn with_a_certificate_the_origin_is_inspected_time_and_again() {
    for (version, alpn) in EVERY {
        let folder = tempfile::tempdir().unwrap();
        let lab = lab(version, alpn, &folder).start().await.unwrap();
        let internet = lab.internet().unwrap();
        let pem = folder.path().join("client.pem");
        std::fs::write(&pem, internet.client_identity("device-7").unwrap().pem()).unwrap();
        let near = neighbour(&lab, &folder, Some(pem)).await;
        let desk = crate::support::desk(&near, &lab);
        for round in 0..3 {
            let visit = browse(&desk, &format!("https://{HOST}/")).await;
            assert_eq!((visit.status, visit.error), (Some(200), None), "{version} {alpn:?}, round {round}");
            assert_eq!(visit.certificate.unwrap().issuer, near.issuer());
        }
        for record in near.records().await {
            let origin = record.origin.as_ref().unwrap();
            assert_eq!(origin.version, Some(format!("TLS {version}").as_str()));
            assert_eq!(origin.client_certificate, Some(ClientCertificate::Presented), "{version} {alpn:?}");
            assert_eq!((record.outcome, fault(&record).as_str()), (Some(Outcome::Accepted), ""));
        }
    }
}

/// A server that asks for a client certificate, and says of each handshake whether it was whole.
async fn asking_server(
    version: &'static rustls::SupportedProtocolVersion,
    folder: &Path,
) -> (SocketAddr, mpsc::UnboundedReceiver<Option<HandshakeKind>>) {
    let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "Test CA");
    let ca = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    let issue = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        (leaf, key)
    };
    let (client, key) = issue("device-7");
    std::fs::write(folder.join("client.pem"), format!("{}{}", client.pem(), key.serialize_pem())).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let (leaf, key) = issue(HOST);
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![leaf.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (kinds, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = acceptor.accept(stream).await.unwrap();
            kinds.send(stream.get_ref().1.handshake_kind()).unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (address, told)
}

#[tokio::test]
async fn sessions_are_resumed_where_a_certificate_was_presented() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let folder = tempfile::tempdir().unwrap();
        let (address, mut told) = asking_server(version, folder.path()).await;
        let lab = Lab::builder().origin_ca(folder.path().join("ca.pem")).config(|config| {
            config.system_roots = false;
            config.resolve.push(format!("{HOST}:443:{address}").parse().unwrap());
            let pem = folder.path().join("client.pem");
            config.client_certs.push(format!("*={}", pem.display()).parse().unwrap());
        });
        let lab = lab.start().await.unwrap();
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let visit = browse(&lab.workstation("desk"), &format!("https://{HOST}/")).await;
            assert_eq!(visit.status, Some(204), "{visit:?}");
            assert_eq!(told.recv().await, Some(Some(kind)), "{version:?}");
        }
        for record in lab.records().await {
            let given = record.origin.as_ref().unwrap().client_certificate;
            assert_eq!(given, Some(ClientCertificate::Presented), "{version:?}");
        }
    }
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_by_the_origin() {
    let stranger = Internet::start(vec![origin("x.example", App::Static, &[])]).await.unwrap();
    for (version, alpn) in EVERY {
        let folder = tempfile::tempdir().unwrap();
        let lab = lab(version, alpn, &folder).start().await.unwrap();
        let pem = folder.path().join("client.pem");
        std::fs::write(&pem, stranger.client_identity("device-7").unwrap().pem()).unwrap();
        let near = neighbour(&lab, &folder, Some(pem)).await;
        let visit = browse(&crate::support::desk(&near, &lab), &format!("https://{HOST}/")).await;
        assert_eq!(visit.status, Some(502), "{version} {alpn:?}: {visit:?}");
        let record = only(&near).await;
        let told = "bank.example:443 does not take the client certificate: ";
        assert!(fault(&record).starts_with(told), "{version} {alpn:?}: {}", fault(&record));
        assert_eq!(record.origin.as_ref().unwrap().client_certificate, Some(ClientCertificate::Presented));
    }
}

#[tokio::test]
async fn an_origin_that_does_not_ask_is_recorded_as_such() {
    let lab = Lab::builder().simulate([origin("a.example", App::Static, &[Alpn::H2])]).start().await.unwrap();
    assert_eq!(browse(&lab.workstation("desk"), "https://a.example/").await.status, Some(200));
    assert_eq!(only(&lab).await.origin.as_ref().unwrap().client_certificate, None);
}

#[tokio::test]
async fn a_file_that_is_of_no_use_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client.pem");
    let error = async |text: &str| {
        std::fs::write(&path, text).unwrap();
        let rule = format!("a.example={}", path.display()).parse().unwrap();
        let lab = Lab::builder().config(|config| config.client_certs.push(rule)).start().await;
        lab.unwrap_err().to_string()
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap().pem();
    assert!(error("").await.ends_with("client.pem cannot be used: it holds no PEM certificate"));
    assert!(error(&certificate).await.contains("its private key: "));
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let mixed = error(&format!("{certificate}{other}")).await;
    assert!(mixed.contains("cannot be used: ") && !mixed.contains("PRIVATE KEY"), "{mixed}");
}
