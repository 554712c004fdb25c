//! The CA of the test's own origins.

use std::sync::{Arc, LazyLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

static CA: LazyLock<CertifiedIssuer<'static, KeyPair>> = LazyLock::new(|| {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Test Origins");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, key()).unwrap()
});

/// The root that signs the origins of tests, as PEM.
pub(crate) fn root_pem() -> String {
    CA.pem()
}

/// The same as DER.
pub(crate) fn root() -> CertificateDer<'static> {
    CA.der().clone()
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

/// A certificate for a server of another program, and its key, both PEM.
pub(crate) fn certificate_pem(name: &str) -> (String, String) {
    let key = key();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    (params.signed_by(&key, &*CA).unwrap().pem(), key.serialize_pem())
}

/// The CA itself, to sign what is not as usual.
pub(crate) fn ca() -> &'static CertifiedIssuer<'static, KeyPair> {
    &CA
}

/// TLS as an origin speaks it, with this chain.
pub(crate) fn config(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> ServerConfig {
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap()
}

/// The same, with a certificate for these names.
pub(crate) fn server_config(names: &[String], alpn: &[&str]) -> ServerConfig {
    let key = key();
    let params = CertificateParams::new(names.to_vec()).unwrap();
    let leaf = params.signed_by(&key, &*CA).unwrap().der().clone();
    let mut config = config(vec![leaf], &key);
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}
