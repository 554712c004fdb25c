//! A lab with the origins that the tests visit, and the files with which its clients are told what to trust.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use middlebox::journal::ConnectionRecord;
use middlebox::lab::{CaSource, Lab, LabBuilder, RunningLab};
use middlebox::net::{Destination, Host, pem};
use middlebox::simulation::{Alpn, App, CertificateKind, OriginSpec};
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;

/// An origin with a P-256 key.
pub(crate) const EC_HOST: &str = "shop.example";
/// An origin with an RSA key.
pub(crate) const RSA_HOST: &str = "shop.okta.com";
/// An origin that is asked for by its address.
pub(crate) const ADDRESS: &str = "192.0.2.7";
/// An origin that speaks HTTP/1.1 alone.
pub(crate) const SECOND_HOST: &str = "second.example";
/// An origin that shows another host's certificate.
pub(crate) const WRONG_HOST: &str = "wrong.example";
/// An origin whose certificate has ended.
pub(crate) const EXPIRED_HOST: &str = "expired.example";

const HOSTS: [&str; 6] = [EC_HOST, RSA_HOST, ADDRESS, SECOND_HOST, WRONG_HOST, EXPIRED_HOST];

/// What a client trusts, besides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The inspection root.
    Inspection,
    /// The root of the simulated internet: the client was not told of the middlebox.
    Public,
    /// The CA that signs for untrusted origins: what is left to object to is the origin's own fault.
    Untrusted,
}

/// A running lab with a folder for its clients.
pub(crate) struct World {
    pub(crate) lab: RunningLab,
    folder: TempDir,
}

impl World {
    /// With the `generic` profile and a CA in memory.
    pub(crate) async fn new() -> Self {
        Self::of(Lab::builder()).await
    }

    /// With an inspection CA of the user's own.
    pub(crate) async fn with_ca(certificate: &Path, key: &Path) -> Self {
        let ca = CaSource::External { certificate: certificate.to_owned(), key: key.to_owned(), password: None };
        Self::of(Lab::builder().config(|config| config.ca = ca)).await
    }

    /// With another profile.
    pub(crate) async fn forging_as(profile: &str) -> Self {
        Self::of(Lab::builder().profile(profile)).await
    }

    async fn of(builder: LabBuilder) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let builder = HOSTS.iter().fold(builder.simulate(origins()), |builder, host| {
            builder.forward(any, Destination::new(Host::parse(host).expect("a literal host"), 443))
        });
        let lab = builder.start().await.expect("a lab on loopback starts");
        Self { lab, folder: tempfile::tempdir().expect("a temporary folder can be made") }
    }

    /// A file with the one root that a client trusts, PEM.
    pub(crate) fn trust_file(&self, trust: Trust) -> PathBuf {
        let root: &CertificateDer<'_> = match trust {
            Trust::Inspection => self.lab.authority().ca().root(),
            Trust::Public => self.lab.internet().expect("origins are simulated").root_der(),
            Trust::Untrusted => self.lab.authority().untrusted_root(),
        };
        let path = self.folder.path().join(format!("{trust:?}.pem"));
        std::fs::write(&path, pem(root)).expect("the temporary folder can be written");
        path
    }

    /// The port that leads to a host.
    pub(crate) fn forward(&self, host: &str) -> SocketAddr {
        let at = HOSTS.iter().position(|known| *known == host).expect("a host of these tests");
        self.lab.other_addresses()[at]
    }

    /// The pin of a host's genuine key.
    pub(crate) fn pin(&self, host: &str) -> String {
        let internet = self.lab.internet().expect("origins are simulated");
        internet.pin(&Host::parse(host).expect("a literal host")).expect("the host is simulated").base64()
    }

    /// A folder for what a client writes; it goes with the lab.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The records of inspected or bypassed connections to a host, in order.
    pub(crate) async fn records(&self, host: &str) -> Vec<Arc<ConnectionRecord>> {
        let mut records = self.lab.records().await;
        records.retain(|record| record.host().as_deref() == Some(host));
        records
    }

    /// Waits for the one record of the last visit.
    pub(crate) async fn last_record(&self, host: &str) -> Arc<ConnectionRecord> {
        assert!(self.lab.journal().settle(Duration::from_secs(20)).await, "a connection to {host} does not end");
        self.records(host).await.pop().unwrap_or_else(|| panic!("nobody asked for {host}"))
    }
}

fn origins() -> Vec<OriginSpec> {
    let origin = |host: &str| OriginSpec::new(vec![Host::parse(host).expect("a literal host")], App::Static);
    let mut second = origin(SECOND_HOST);
    second.alpn = vec![Alpn::Http1];
    let mut wrong = origin(WRONG_HOST);
    wrong.certificate = CertificateKind::WrongHost;
    let mut expired = origin(EXPIRED_HOST);
    expired.certificate = CertificateKind::Expired;
    vec![origin(EC_HOST), origin(RSA_HOST), origin(ADDRESS), second, wrong, expired]
}
