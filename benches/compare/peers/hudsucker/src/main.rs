//! hudsucker as a program: its own authority, its own client, no handler that does anything.

use std::env::{self, VarError};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hudsucker::certificate_authority::RcgenAuthority;
use hudsucker::hyper::Request;
use hudsucker::rcgen::{Issuer, KeyPair};
use hudsucker::rustls::crypto::aws_lc_rs;
use hudsucker::rustls::pki_types::CertificateDer;
use hudsucker::rustls::pki_types::pem::PemObject;
use hudsucker::rustls::{ClientConfig, RootCertStore};
use hudsucker::{Body, HttpContext, HttpHandler, Proxy};
use hyper_rustls::HttpsConnectorBuilder;

/// How many certificates are cached, as in hudsucker's own example.
const CACHE: u64 = 1_000;

#[derive(Clone)]
struct Handler {
    inspects: bool,
}

impl HttpHandler for Handler {
    async fn should_intercept_connect(&mut self, _: &HttpContext, _: &Request<Body>) -> bool {
        self.inspects
    }
}

fn path(name: &str) -> Result<PathBuf, VarError> {
    env::var(name).map(PathBuf::from)
}

fn main() -> Result<(), Box<dyn Error>> {
    let issuer = Issuer::from_ca_cert_pem(
        &std::fs::read_to_string(path("CA_CERT")?)?,
        KeyPair::from_pem(&std::fs::read_to_string(path("CA_KEY")?)?)?,
    )?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path("ORIGIN_CA")?)? {
        roots.add(certificate?)?;
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().enable_http2().build();
    let address = SocketAddr::from(([127, 0, 0, 1], env::var("PORT")?.parse()?));
    let handler = Handler { inspects: env::var("MODE")? == "inspect" };

    // One worker: the harness gives each proxy one core.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        // Accepted connections inherit it from the listener.
        socket.set_nodelay(env::var_os("HUDSUCKER_NODELAY").is_some())?;
        socket.bind(address)?;
        let proxy = Proxy::builder()
            .with_listener(socket.listen(1024)?)
            .with_ca(RcgenAuthority::new(issuer, CACHE, aws_lc_rs::default_provider()))
            .with_http_connector(connector)
            .with_http_handler(handler)
            .build()?;
        Ok(proxy.start().await?)
    })
}
