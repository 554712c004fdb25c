//! The floor: what inspection takes at the least. It forges a certificate by the name in the hello, with one key for
//! all, and copies bytes between the two TLS streams; it reads no HTTP, decides nothing and records nothing.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{Issuer, KeyPair};
use tokio::io::{AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::{CertifiedKey, SigningKey};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::load::HeadReader;
use crate::{Fallible, pki};

/// Serves until it is killed; what a script tells a proxy stands in its environment.
pub(crate) fn serve() -> Fallible<()> {
    let told = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set: start this with `run`"));
    let path = |name: &str| told(name).map(PathBuf::from);
    let legs = match told("MODE")?.as_str() {
        "bypass" => None,
        _ => {
            let issuer = KeyPair::from_pem(&std::fs::read_to_string(path("CA_KEY")?)?)?;
            let issuer = Issuer::from_ca_cert_pem(&std::fs::read_to_string(path("CA_CERT")?)?, issuer)?;
            let key = KeyPair::generate()?;
            let signing = any_ecdsa_type(&PrivateKeyDer::try_from(key.serialize_der())?)?;
            let forger = Forger { issuer, key, signing, made: Mutex::default() };
            let mut server = pki::server(Arc::new(forger))?;
            server.alpn_protocols = vec![b"http/1.1".to_vec()];
            let client = pki::client(&path("ORIGIN_CA")?, b"http/1.1")?;
            Some((TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client))))
        }
    };
    let port: u16 = told("PORT")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (client, _) = listener.accept().await?;
            let legs = legs.clone();
            tokio::spawn(async move { drop(relay(client, legs).await) });
        }
    })
}

async fn relay(mut client: TcpStream, legs: Option<(TlsAcceptor, TlsConnector)>) -> Fallible<()> {
    client.set_nodelay(true)?;
    let head = HeadReader::default().next(&mut client).await?.ok_or("no request")?;
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut origin = TcpStream::connect(&target).await?;
    origin.set_nodelay(true)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    match legs {
        None => copy_bidirectional_with_sizes(&mut client, &mut origin, 64 << 10, 64 << 10).await?,
        Some((acceptor, connector)) => {
            let host = target.rsplit_once(':').map_or(target.as_str(), |(host, _)| host).to_owned();
            let mut origin = connector.connect(host.try_into()?, origin).await?;
            let mut client = acceptor.accept(client).await?;
            copy_bidirectional_with_sizes(&mut client, &mut origin, 16 << 10, 16 << 10).await?
        }
    };
    Ok(())
}

struct Forger {
    issuer: Issuer<'static, KeyPair>,
    key: KeyPair,
    signing: Arc<dyn SigningKey>,
    made: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl std::fmt::Debug for Forger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Forger")
    }
}

impl ResolvesServerCert for Forger {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name()?;
        let mut made = self.made.lock().expect("no holder panics");
        if let Some(certified) = made.get(host) {
            return Some(Arc::clone(certified));
        }
        let leaf = pki::leaf(host).ok()?.signed_by(&self.key, &self.issuer).ok()?;
        let certified = Arc::new(CertifiedKey::new(vec![leaf.der().clone()], Arc::clone(&self.signing)));
        made.insert(host.to_owned(), Arc::clone(&certified));
        Some(certified)
    }
}
