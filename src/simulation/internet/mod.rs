//! The simulated internet: origins on loopback ports of this process, with a public CA of their own.
//!
//! Nothing is resolved by DNS; [`Internet::overrides`] says where each host is.

mod echo;
mod okta_cell;
mod okta_org;
mod public_ca;
mod reply;
mod revocation;
mod serve;
mod site;
mod websocket;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::HeaderValue;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::net::{Destination, Host, Overrides, Pin};

pub use okta_cell::Organization;
pub use public_ca::{CertificateKind, ClientIdentity, RevocationHosts};

use okta_cell::Cell;
pub(crate) use public_ca::OKTA_ZONES;
use public_ca::{Identity, Leaf, PublicCa, Wanted};
use serve::{Gate, Origin, Site};

/// What an origin does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum App {
    /// An Okta organization: what an enrollment of Okta Verify calls, and its sign-in page.
    OktaOrg,
    /// A small web site: a page at every path, `/bytes/N`, `/status/N`.
    Static,
    /// Tells what it was sent: any path; `/echo`, `/drip?n=&ms=`, WebSocket at `/ws`; also without TLS.
    Echo,
    /// The site of `static`, for clients alone that show a certificate of the simulated CA
    /// ([`Internet::client_identity`]).
    Mtls,
    /// The OCSP responder and the CRL of the simulated CA, over plain HTTP.
    Revocation,
}

/// A protocol that an origin offers by ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Alpn {
    /// HTTP/2.
    #[serde(rename = "h2")]
    H2,
    /// HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http1,
}

/// One origin of the simulated internet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginSpec {
    /// The hosts it answers for; of an Okta organization the first one outside `*.mtls.` and `*.kerberos.` is the
    /// canonical one.
    pub hosts: Vec<Host>,
    /// What it does.
    pub app: App,
    /// What is right or wrong with its certificates.
    pub certificate: CertificateKind,
    /// What it offers, in its order of preference; with nothing it ignores ALPN and speaks HTTP/1.1.
    pub alpn: Vec<Alpn>,
    /// Where an Okta organization sends clients to enroll; by default `/idp/authenticators` of the host they asked.
    pub enroll_link: Option<Url>,
    /// An Okta organization's custom domain; it is one of the hosts whether or not they list it.
    pub custom_domain: Option<Host>,
    /// The host from which an Okta organization's sign-in page loads its script; none is a page without one.
    pub sign_in_assets: Option<Host>,
    /// Where its certificates say that their revocation can be asked after.
    pub revocation: RevocationHosts,
    /// The `Alt-Svc` field of its answers (RFC 7838): an offer of HTTP/3, which nothing here serves.
    pub alt_svc: Option<HeaderValue>,
}

/// Why the simulated internet does not start.
#[derive(Debug, Error)]
pub enum SimulationError {
    /// An origin without a host.
    #[error("origin {0} of the simulated internet has no host; give it one")]
    NoHost(usize),
    /// Two origins claim one host.
    #[error("{0} belongs to two origins of the simulated internet; remove it from one")]
    DuplicateHost(Host),
    /// A setting that only an Okta organization has.
    #[error("{0} has an enroll link, a custom domain or assets of a sign-in page; only an `okta-org` has these")]
    NotAnOrganization(Host),
    /// The enroll link is one that no client can post to.
    #[error("the enroll link {0} has to be an https URL with a host")]
    EnrollLink(Url),
    /// No loopback port.
    #[error("cannot listen on loopback: {0}")]
    Listen(#[from] io::Error),
    /// A certificate could not be made.
    #[error("cannot issue a simulated certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A certificate could not be served.
    #[error("cannot serve a simulated certificate: {0}")]
    Tls(#[from] rustls::Error),
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// A task ended early: the runtime is shutting down.
    #[error("the runtime stopped while certificates were made")]
    Stopped,
}

/// A running simulated internet. It stops when it is dropped.
#[derive(Debug)]
pub struct Internet {
    places: HashMap<Host, Place>,
    order: Vec<Host>,
    root: CertificateDer<'static>,
    root_pem: String,
    ca: Arc<PublicCa>,
    gate: Gate,
}

#[derive(Debug)]
struct Place {
    /// The address under which it is in the simulated internet.
    public: Ipv4Addr,
    tls: SocketAddr,
    http: SocketAddr,
    pin: Pin,
    organization: Option<Organization>,
}

impl OriginSpec {
    /// An origin with a genuine certificate that offers HTTP/2 and HTTP/1.1.
    #[must_use]
    pub fn new(hosts: Vec<Host>, app: App) -> Self {
        Self {
            hosts,
            app,
            certificate: CertificateKind::Genuine,
            alpn: vec![Alpn::H2, Alpn::Http1],
            enroll_link: None,
            custom_domain: None,
            sign_in_assets: None,
            revocation: RevocationHosts::default(),
            alt_svc: None,
        }
    }

    fn all_hosts(&self) -> impl Iterator<Item = &Host> {
        let custom = self.custom_domain.as_ref().filter(|custom| !self.hosts.contains(custom));
        self.hosts.iter().chain(custom)
    }
}

impl Internet {
    /// Issues the certificates, binds the ports and serves.
    ///
    /// # Errors
    /// The origins contradict each other, or this machine has no port, thread or random number left.
    pub async fn start(origins: Vec<OriginSpec>) -> Result<Self, SimulationError> {
        let order = hosts_of(&origins)?;
        let issued = issue(&origins).await?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut certificates = HashMap::new();
        let mut pins = HashMap::new();
        for (key, leaf) in issued.leaves {
            pins.insert(key.clone(), leaf.pin);
            certificates.insert(key, Arc::new(CertifiedKey::from_der(leaf.chain, leaf.key, &provider)?));
        }
        let mut by_name = HashMap::new();
        for spec in &origins {
            for host in spec.all_hosts() {
                if let Some(name) = host.name() {
                    by_name.insert(name.to_owned(), certificates[&wanted(host, spec)].clone());
                }
            }
        }
        let by_name = Arc::new(by_name);

        let cell = Arc::new(Cell::default());
        let gate = Gate::default();
        let mut places = HashMap::new();
        for spec in &origins {
            let organization = (spec.app == App::OktaOrg).then(|| Organization::found(&cell, spec)).transpose()?;
            for host in spec.all_hosts() {
                let key = wanted(host, spec);
                let names = Names { by_name: by_name.clone(), other: certificates[&key].clone() };
                let site = match (&organization, spec.app) {
                    (Some(organization), _) => Site::OktaOrg(organization.clone()),
                    (None, App::Echo) => Site::Echo,
                    (None, App::Revocation) => Site::Revocation(issued.ca.clone()),
                    (None, App::OktaOrg | App::Static | App::Mtls) => Site::Static,
                };
                let alt_svc = spec.alt_svc.clone();
                let origin = Arc::new(Origin { host: host.clone(), site, alt_svc, gate: gate.clone() });
                let clients = (spec.app == App::Mtls).then(|| issued.ca.root().der().clone());
                let tls = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let place = Place {
                    public: public_address(places.len()),
                    tls: tls.local_addr()?,
                    http: http.local_addr()?,
                    pin: pins[&key],
                    organization: organization.clone(),
                };
                places.insert(host.clone(), place);
                let acceptor = TlsAcceptor::from(Arc::new(tls_config(&provider, names, &spec.alpn, clients.as_ref())?));
                gate.spawn(serve::accept(tls, origin.clone(), Some(acceptor)));
                gate.spawn(serve::accept(http, origin, None));
            }
        }
        let (root, root_pem) = (issued.ca.root().der().clone(), issued.ca.root().pem());
        Ok(Self { places, order, root, root_pem, ca: issued.ca, gate })
    }

    /// Where every host of this internet is, by its name and by its address: port 443 with TLS, port 80 without.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::new();
        for (host, place) in &self.places {
            for host in [host.clone(), Host::Ip(place.public.into())] {
                overrides.point(Destination::new(host.clone(), 443), place.tls);
                overrides.point(Destination::new(host, 80), place.http);
            }
        }
        overrides
    }

    /// The address that a host has in this internet: one of its own from 198.18.0.0/15, which no real network uses (RFC
    /// 2544). It means something to [`Internet::overrides`] alone.
    #[must_use]
    pub fn address(&self, host: &Host) -> Option<Ipv4Addr> {
        self.places.get(host).map(|place| place.public)
    }

    /// The pin of the certificate that a host shows.
    #[must_use]
    pub fn pin(&self, host: &Host) -> Option<Pin> {
        self.places.get(host).map(|place| place.pin)
    }

    /// All hosts with their pins, in the order in which they were given.
    #[must_use]
    pub fn origins(&self) -> Vec<(Host, Pin)> {
        self.order.iter().filter_map(|host| Some((host.clone(), self.pin(host)?))).collect()
    }

    /// The Okta organization of a host.
    #[must_use]
    pub fn organization(&self, host: &Host) -> Option<&Organization> {
        self.places.get(host)?.organization.as_ref()
    }

    /// A certificate for a client, which an `mtls` origin asks for.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn client_identity(&self, name: &str) -> Result<ClientIdentity, SimulationError> {
        self.ca.issue_to_client(name)
    }

    /// The public root, PEM.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The public root, DER.
    #[must_use]
    pub fn root_der(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// Closes every port and connection, and waits until they are closed.
    pub async fn shutdown(self) {
        self.gate.close().await;
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        self.gate.stop();
    }
}

/// Chooses a certificate as shared front ends do: by the name that the client asks for, else the listener's own.
#[derive(Debug)]
struct Names {
    by_name: Arc<HashMap<String, Arc<CertifiedKey>>>,
    other: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().map(str::to_ascii_lowercase);
        Some(asked.and_then(|name| self.by_name.get(&name)).unwrap_or(&self.other).clone())
    }
}

/// `clients` is the root of the certificates that clients have to show.
fn tls_config(
    provider: &Arc<CryptoProvider>,
    names: Names,
    alpn: &[Alpn],
    clients: Option<&CertificateDer<'static>>,
) -> Result<ServerConfig, rustls::Error> {
    let verifier = match clients {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(root) => {
            let mut roots = RootCertStore::empty();
            roots.add(root.clone())?;
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(names));
    config.alpn_protocols = alpn
        .iter()
        .map(|protocol| match protocol {
            Alpn::H2 => b"h2".to_vec(),
            Alpn::Http1 => b"http/1.1".to_vec(),
        })
        .collect();
    Ok(config)
}

/// The address of the host with this number.
fn public_address(number: usize) -> Ipv4Addr {
    let number = u32::try_from(number % (1 << 17)).unwrap_or_default();
    Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 1)).wrapping_add(number))
}

fn wanted(host: &Host, spec: &OriginSpec) -> Wanted {
    Wanted { identity: Identity::of(host), kind: spec.certificate, revocation: spec.revocation.clone() }
}

fn hosts_of(origins: &[OriginSpec]) -> Result<Vec<Host>, SimulationError> {
    let mut seen = HashSet::new();
    let mut order = Vec::new();
    for (index, spec) in origins.iter().enumerate() {
        let first = spec.hosts.first().ok_or(SimulationError::NoHost(index + 1))?;
        let organization = spec.enroll_link.is_some() || spec.custom_domain.is_some() || spec.sign_in_assets.is_some();
        if spec.app != App::OktaOrg && organization {
            return Err(SimulationError::NotAnOrganization(first.clone()));
        }
        for host in spec.all_hosts() {
            if !seen.insert(host.clone()) {
                return Err(SimulationError::DuplicateHost(host.clone()));
            }
            order.push(host.clone());
        }
    }
    Ok(order)
}

struct Issued {
    leaves: Vec<(Wanted, Leaf)>,
    ca: Arc<PublicCa>,
}

/// Issues each certificate once, all at the same time, off the runtime's threads.
async fn issue(origins: &[OriginSpec]) -> Result<Issued, SimulationError> {
    let authority = |label: &'static str| async move {
        spawn_blocking(move || PublicCa::generate(label)).await.map_err(|_| SimulationError::Stopped)?
    };
    let public = Arc::new(authority("Simulated Public").await?);
    let wanted: HashSet<_> = origins.iter().flat_map(|spec| spec.all_hosts().map(|host| wanted(host, spec))).collect();
    let unknown = if wanted.iter().any(|wanted| wanted.kind == CertificateKind::Untrusted) {
        Arc::new(authority("Simulated Unknown").await?)
    } else {
        public.clone()
    };
    let mut work = JoinSet::new();
    for wanted in wanted {
        let ca = if wanted.kind == CertificateKind::Untrusted { unknown.clone() } else { public.clone() };
        work.spawn_blocking(move || ca.issue(&wanted).map(|leaf| (wanted, leaf)));
    }
    let mut leaves = Vec::with_capacity(work.len());
    while let Some(done) = work.join_next().await {
        leaves.push(done.map_err(|_| SimulationError::Stopped)??);
    }
    Ok(Issued { leaves, ca: public })
}
