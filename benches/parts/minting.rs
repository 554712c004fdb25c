//! Forging certificates: what a host costs that was never seen before, and one that was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use divan::Bencher;
use middlebox::authority::{Authority, Freshness, InspectionCa, Mirror, OriginTrust, Profile};
use middlebox::net::Host;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use tokio::runtime::Runtime;

const PROFILES: [&str; 3] = ["generic", "zscaler", "squid"];

fn authority(profile: &str) -> Authority {
    let profile = Profile::load(profile).unwrap();
    let ca = InspectionCa::in_memory(&profile, &[]).unwrap();
    Authority::new(ca, Arc::clone(&profile)).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn origin() -> CertificateDer<'static> {
    let names = ["origin.example".to_owned(), "*.origin.example".to_owned()];
    let key = KeyPair::generate().unwrap();
    CertificateParams::new(names).unwrap().self_signed(&key).unwrap().der().clone()
}

fn next_host() -> Host {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    Host::parse(&format!("h{}.example", COUNT.fetch_add(1, Ordering::Relaxed))).unwrap()
}

/// A new host, from its name alone.
#[divan::bench(args = PROFILES)]
fn by_name(bencher: Bencher<'_, '_>, profile: &str) {
    let (authority, runtime) = (authority(profile), runtime());
    bencher.with_inputs(next_host).bench_values(|host| runtime.block_on(authority.forge(&host, None)).unwrap());
}

/// A new host, after its origin's certificate.
#[divan::bench(args = PROFILES)]
fn mirrored(bencher: Bencher<'_, '_>, profile: &str) {
    let (authority, runtime, origin) = (authority(profile), runtime(), origin());
    bencher.with_inputs(next_host).bench_values(|host| {
        let mirror = Mirror { leaf: &origin, trust: OriginTrust::Trusted };
        runtime.block_on(authority.forge(&host, Some(mirror))).unwrap()
    });
}

/// A host whose certificate is in the cache.
#[divan::bench]
fn recalled(bencher: Bencher<'_, '_>) {
    let (authority, runtime, origin) = (authority("generic"), runtime(), origin());
    let host = Host::parse("origin.example").unwrap();
    let forge = || {
        let mirror = Mirror { leaf: &origin, trust: OriginTrust::Trusted };
        runtime.block_on(authority.forge_or_recall(&host, Some(mirror))).unwrap()
    };
    assert_eq!(forge().1, Freshness::Minted);
    assert_eq!(forge().1, Freshness::Cached);
    bencher.bench_local(forge);
}
