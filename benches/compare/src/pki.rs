//! Names, keys and certificates of a run: the origins' CA, and the CA that the proxies sign with.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs::sign::any_ecdsa_type};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::Fallible;

/// How many hosts a cold run asks for.
pub(crate) const HOSTS: usize = 2000;

/// The host with this number.
pub(crate) fn host(number: usize) -> String {
    format!("h{number:04}.compare.test")
}

/// All hosts.
pub(crate) fn hosts() -> impl Iterator<Item = String> {
    (0..HOSTS).map(host)
}

/// Files of a run, as the proxies are given them.
pub(crate) struct Files {
    pub(crate) proxy_ca: PathBuf,
    pub(crate) proxy_key: PathBuf,
    pub(crate) origin_ca: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Files {
    pub(crate) fn write(folder: &Path) -> Fallible<Self> {
        let (proxy, issuer) = (authority("Compare Proxy CA")?, authority("Compare Origin CA")?);
        let at = |name: &str| folder.join(name);
        let files = Self {
            proxy_ca: at("proxy-ca.pem"),
            proxy_key: at("proxy-ca.key"),
            origin_ca: at("origin-ca.pem"),
            issuer,
        };
        std::fs::write(&files.proxy_ca, proxy.pem())?;
        std::fs::write(&files.proxy_key, proxy.key().serialize_pem())?;
        std::fs::write(&files.origin_ca, files.issuer.pem())?;
        Ok(files)
    }

    /// TLS of the origin, with a certificate of its own for each host.
    pub(crate) fn origin(&self) -> Fallible<Arc<ServerConfig>> {
        let key = KeyPair::generate()?;
        let signing = any_ecdsa_type(&PrivateKeyDer::try_from(key.serialize_der())?)?;
        let mut leaves = HashMap::new();
        for host in hosts() {
            let leaf = leaf(&host)?.signed_by(&key, &*self.issuer)?;
            leaves.insert(host, Arc::new(CertifiedKey::new(vec![leaf.der().clone()], Arc::clone(&signing))));
        }
        let mut config = server(Arc::new(Leaves(leaves)))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Certificates by name.
#[derive(Debug)]
struct Leaves(HashMap<String, Arc<CertifiedKey>>);

impl ResolvesServerCert for Leaves {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.get(hello.server_name()?).cloned()
    }
}

fn authority(name: &str) -> Fallible<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// What a leaf for a host says.
pub(crate) fn leaf(host: &str) -> Fallible<CertificateParams> {
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, host);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2036, 1, 1);
    Ok(params)
}

/// X25519, as most clients of today's test suites agree on; the same for all proxies.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1];
    Arc::new(provider)
}

pub(crate) fn server(resolver: Arc<dyn ResolvesServerCert>) -> Fallible<ServerConfig> {
    let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(config.with_no_client_auth().with_cert_resolver(resolver))
}

/// TLS of a client that trusts one CA alone.
pub(crate) fn client(root: &Path, alpn: &[u8]) -> Fallible<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(root)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}
