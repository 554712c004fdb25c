//! The room as a whole: enrollments through a small CONNECT proxy that forges or tunnels.

mod apps;
mod enrollment;
mod proxy;

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use url::Url;

use super::{App, CertificateKind, Internet, OktaVerify, OriginSpec, PinTable, ProxySetting, Workstation};
use crate::net::Host;
use proxy::Proxy;

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn origin(hosts: &[&str], app: App) -> OriginSpec {
    OriginSpec::new(hosts.iter().map(|text| host(text)).collect(), app)
}

fn acme() -> OriginSpec {
    origin(&["acme.okta.com", "acme.mtls.okta.com"], App::OktaOrg)
}

/// An internet, a proxy that knows the way to it, and a workstation behind the proxy.
struct World {
    internet: Internet,
    proxy: Proxy,
    workstation: Workstation,
}

impl World {
    async fn of(origins: Vec<OriginSpec>) -> Self {
        let internet = Internet::start(origins).await.unwrap();
        let proxy = Proxy::start(internet.overrides()).await;
        let mut workstation = Workstation::new("desk-1", vec![internet.root_der().clone()]);
        workstation.set_proxy(ProxySetting::On(proxy.address));
        Self { internet, proxy, workstation }
    }

    /// Without a proxy.
    async fn direct(origins: Vec<OriginSpec>) -> Self {
        let mut world = Self::of(origins).await;
        world.workstation.set_proxy(ProxySetting::Off);
        world.workstation.set_overrides(world.internet.overrides());
        world
    }

    fn trust_inspection(&mut self) {
        self.workstation.set_inspection_root(Some(self.proxy.root()));
    }

    /// One POST to acme.okta.com by hand, over TLS that trusts the public root.
    async fn post(&self, path: &str, headers: &str, body: &str) -> String {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.internet.root_der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = host("acme.okta.com").server_name();
        let destination = "acme.okta.com:443".parse().unwrap();
        let stream = self.workstation.open(&destination, "test").await.unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: acme.okta.com\r\n{headers}Content-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn okta_verify(&self) -> OktaVerify {
        OktaVerify::new(PinTable::simulated(&self.internet), super::ClientProfile::default())
    }
}

fn with_certificate(certificate: CertificateKind) -> OriginSpec {
    OriginSpec { certificate, ..acme() }
}
