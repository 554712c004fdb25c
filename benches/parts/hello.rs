//! Reading a ClientHello without consuming it, and its fingerprint.

use std::sync::Arc;

use divan::{Bencher, black_box};
use middlebox::net::{FirstBytes, read_first_bytes};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// A hello of today's size, with a post-quantum key share.
fn hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut client = ClientConnection::new(Arc::new(config), "acme.okta.com".try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// A whole hello at once.
#[divan::bench]
fn whole(bencher: Bencher<'_, '_>) {
    let bytes = hello();
    assert!(matches!(read_first_bytes(&bytes), FirstBytes::Hello(_)));
    bencher.bench_local(|| read_first_bytes(black_box(&bytes)));
}

/// A hello that comes in pieces of one TCP segment's size: it is looked at after each.
#[divan::bench]
fn in_segments(bencher: Bencher<'_, '_>) {
    let bytes = hello();
    bencher.bench_local(|| {
        for end in (0..bytes.len()).step_by(1400).skip(1).chain([bytes.len()]) {
            black_box(read_first_bytes(black_box(&bytes[..end])));
        }
    });
}

/// What is not TLS is known by its first byte.
#[divan::bench]
fn not_tls(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| read_first_bytes(black_box(b"GET / HTTP/1.1\r\n")));
}
