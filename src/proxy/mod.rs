//! The way of one connection through the middlebox.
//!
//! `listen` accepts it, `inbound` finds out where it wants to go, `peek` reads the ClientHello, `connection` asks the
//! policy, and then the bytes go through a `tunnel`, or the TLS is taken apart by `intercept` and its HTTP relayed by
//! `exchange`. One [`Recording`](crate::journal::Recording) goes along the whole way.

mod client;
mod client_auth;
mod connection;
mod credentials;
mod exchange;
#[doc(hidden)]
pub mod fuzzing;
mod http2_stream;
mod inbound;
mod intercept;
mod listen;
mod observed;
mod owners;
mod peek;
mod pool;
mod respond;
mod stall;
mod tickets;
mod tunnel;
mod undecryptable;
mod upstream;

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use rustls::crypto::CryptoProvider;
use rustls::{KeyLog, RootCertStore, ServerConfig, SupportedProtocolVersion};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use client_auth::{ClientCert, ClientCertError};
pub use credentials::{Credentials, CredentialsError};
pub use stall::Limits;

use crate::authority::{Authority, TlsVersion};
use crate::journal::{DecisionKind, Journal, Live};
use crate::net::{Destination, Dialer, OwnConnections};
use crate::policy::{Asked, Decision, Need, OnChange, PolicyStore, Sni, Subjects};
use upstream::Upstream;

/// How a proxy is set up.
#[derive(Debug)]
pub struct ProxyConfig {
    /// Where it listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// Clients that may use it; empty is everyone who can reach it.
    pub allow_clients: Vec<IpNet>,
    /// Users that may use it; none is everyone.
    pub credentials: Option<Credentials>,
    /// For which hosts they have to say who they are.
    pub authenticate: Authenticate,
    /// When the policy decides.
    pub decide_at: DecideAt,
    /// Where connections are taken that the kernel redirects here (Linux).
    pub transparent: Option<SocketAddr>,
    /// Addresses whose connections all go to one place.
    pub forward: Vec<(SocketAddr, Destination)>,
    /// Other ports of this program, which clients cannot have themselves connected to.
    pub own_ports: Vec<SocketAddr>,
    /// The CAs that origins are verified against.
    pub origin_roots: RootCertStore,
    /// Whether they are verified against the system's and Mozilla's CAs as well.
    pub system_roots: bool,
    /// How origins are reached.
    pub dialer: Dialer,
    /// Certificates for origins that ask for one; the first that is for a host counts.
    pub client_certs: Vec<ClientCert>,
    /// Where TLS secrets of both legs go (`SSLKEYLOGFILE` format).
    pub keylog: Option<Arc<dyn KeyLog>>,
    /// Whether connections to origins serve other clients, too: over HTTP/1.1 idle ones, over HTTP/2 also those in use.
    pub pool: bool,
    /// Whether one connection is passed through uninspected where that helps to find out why its client refused.
    pub probe: bool,
    /// Connections held at once; the next ones are answered `503`.
    pub max_connections: usize,
    /// Whether hosts that cannot be decrypted are bypassed from then on, where the profile's product learns so.
    pub learn: bool,
    /// How long nothing may move in those to origins.
    pub limits: Limits,
}

/// For which hosts the clients of a proxy with passwords have to say who they are. Products differ here, and a client
/// that cannot answer a `407` works behind those alone that let bypassed hosts pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authenticate {
    /// For every host.
    #[default]
    Always,
    /// Not for hosts that are bypassed. That is decided before the `407`, and so before the client's hello: the policy
    /// is asked about the `CONNECT` host alone, with the SNI assumed to be the same. A client that then sends another
    /// SNI is decided on anew, as any, and is not asked again. Requests in absolute form are not bypassed, and SOCKS 5
    /// asks before the host is known: both demand the password.
    NotForBypassed,
}

/// When the policy decides about a TLS connection, and so what it can compare. Products differ, and so do their
/// configurations: Squid decides at any of its three `ssl_bump` steps, and these are them.
///
/// It changes nothing for a dialect that does not look at the subject in question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecideAt {
    /// Before the client's hello is looked at: only the host that it asked for is known, and on a transparent port only
    /// the address.
    Request,
    /// Once the hello is read: the SNI is known.
    #[default]
    Hello,
    /// Once the origin has shown its certificate, for which a connection of the proxy's own is opened.
    Certificate,
}

/// A word is neither `request`, nor `hello`, nor `certificate`.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("write `request`, `hello` or `certificate`")]
pub struct DecideAtError;

impl FromStr for DecideAt {
    type Err = DecideAtError;

    fn from_str(text: &str) -> Result<Self, DecideAtError> {
        match text {
            "request" => Ok(Self::Request),
            "hello" => Ok(Self::Hello),
            "certificate" => Ok(Self::Certificate),
            _ => Err(DecideAtError),
        }
    }
}

/// A word is neither `always` nor `not-for-bypassed`.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("write `always` or `not-for-bypassed`")]
pub struct AuthenticateError;

impl FromStr for Authenticate {
    type Err = AuthenticateError;

    fn from_str(text: &str) -> Result<Self, AuthenticateError> {
        match text {
            "always" => Ok(Self::Always),
            "not-for-bypassed" => Ok(Self::NotForBypassed),
            _ => Err(AuthenticateError),
        }
    }
}

/// A proxy cannot start.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, std::io::Error),
    /// It would be open to everyone who reaches it.
    #[error(
        "listening on {0} would open the proxy to the network: name the clients with --allow-client, or demand \
         passwords with --proxy-auth"
    )]
    Open(SocketAddr),
    /// The TLS library refuses the set-up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A proxy that is bound and does not accept yet.
#[derive(Debug)]
pub struct Proxy {
    listeners: Vec<(TcpListener, listen::Port)>,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// A proxy at work.
#[derive(Clone, Debug)]
pub struct RunningProxy {
    shared: Arc<Shared>,
}

/// What every connection's task reads.
#[derive(Debug)]
struct Shared {
    config: ProxyConfig,
    address: SocketAddr,
    /// All ports that are listened on here.
    ports: Vec<u16>,
    policy: Arc<PolicyStore>,
    authority: Arc<Authority>,
    journal: Journal,
    decide_at: ArcSwap<DecideAt>,
    upstream: Upstream,
    pool: pool::Pool,
    learned: undecryptable::Learned,
    /// What this proxy opened and accepted, where a redirect rule may lead the one to the other.
    own: Option<Arc<OwnConnections>>,
    owners: owners::Owners,
    tickets: tickets::Tickets,
    /// The prototype of every client-side handshake; cloned with a connection's certificate and ALPN.
    server: ServerConfig,
    /// Headers that the profile adds to requests.
    added: Arc<[(HeaderName, HeaderValue)]>,
    added_lines: Vec<u8>,
    tasks: TaskTracker,
    /// Cancelled when nothing new is begun any more, and what is idle is to end.
    stop: CancellationToken,
    /// Cancelled when everything is to end at once.
    kill: CancellationToken,
}

impl Proxy {
    /// Binds the listener.
    ///
    /// # Errors
    /// The address is taken, or would make an open proxy.
    pub async fn bind(
        mut config: ProxyConfig,
        policy: Arc<PolicyStore>,
        authority: Arc<Authority>,
        journal: Journal,
    ) -> Result<Self, ProxyError> {
        if !config.listen.ip().is_loopback() && config.allow_clients.is_empty() && config.credentials.is_none() {
            return Err(ProxyError::Open(config.listen));
        }
        let mut listeners = vec![(bind(config.listen).await?, listen::Port::Proxy)];
        if let Some(address) = config.transparent {
            let listener = inbound::listen_transparent(address).map_err(|error| ProxyError::Bind(address, error))?;
            let here = listener.local_addr().map_err(|error| ProxyError::Bind(address, error))?;
            listeners.push((listener, listen::Port::Transparent(here)));
        }
        for (address, destination) in &config.forward {
            listeners.push((bind(*address).await?, listen::Port::Forward(destination.clone())));
        }
        let addresses: Vec<_> = listeners.iter().filter_map(|(listener, _)| listener.local_addr().ok()).collect();
        let address = addresses.first().copied().unwrap_or(config.listen);
        let own = addresses.iter().chain(&config.own_ports);
        let ports: Vec<_> = own.map(SocketAddr::port).collect();

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let keylog = config.keylog.clone();
        let own = config.transparent.map(|_| Arc::new(OwnConnections::default()));
        if let Some(own) = &own {
            config.dialer = config.dialer.noticing(Arc::clone(own));
        }
        let upstream = Upstream::new(&config, &ports, &authority.profile().tls().origin_versions, &provider)?;
        let owners = owners::Owners::new(ports.clone());
        let tickets = tickets::Tickets::new()?;
        let server = server_prototype(&provider, &authority, keylog)?;
        let added: Arc<[_]> = authority.profile().added_headers().collect();
        let mut added_lines = Vec::new();
        for (name, value) in added.iter() {
            added_lines.extend_from_slice(name.as_str().as_bytes());
            added_lines.extend_from_slice(b": ");
            added_lines.extend_from_slice(value.as_bytes());
            added_lines.extend_from_slice(b"\r\n");
        }
        let learned = undecryptable::Learned::new(authority.profile().undecryptable(), config.learn);
        let shared = Arc::new(Shared {
            decide_at: ArcSwap::from_pointee(config.decide_at),
            config,
            address,
            ports,
            policy,
            authority,
            journal,
            upstream,
            pool: pool::Pool::default(),
            learned,
            own,
            owners,
            tickets,
            server,
            added,
            added_lines,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
        });
        Ok(Self { listeners, address, shared })
    }

    /// The address that clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The addresses of the transparent port and of the forwarded ones, in the order in which they were given.
    #[must_use]
    pub fn other_addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().skip(1).filter_map(|(listener, _)| listener.local_addr().ok()).collect()
    }

    /// Begins to accept.
    #[must_use]
    pub fn spawn(self) -> RunningProxy {
        for (listener, port) in self.listeners {
            tokio::spawn(listen::accept(Arc::clone(&self.shared), listener, port));
        }
        RunningProxy { shared: self.shared }
    }
}

/// A request's head as its origin is sent it, or none where it is refused. What benchmarks call.
#[doc(hidden)]
#[must_use]
pub fn forwarded(head: &[u8]) -> Option<Vec<u8>> {
    let request = exchange::RequestHead::parse(head.to_vec()).ok()?;
    Some(request.to_origin(&request.target, &[]))
}

impl RunningProxy {
    /// Asks the policy again about every open connection, and does with those that would now be decided otherwise
    /// what `on_change` says. Gives the ids of their records; with `new-only` there are none.
    #[must_use]
    pub fn reconsider(&self, on_change: OnChange) -> Vec<u64> {
        let mut changed = Vec::new();
        if on_change == OnChange::NewOnly {
            return changed;
        }
        for live in self.shared.journal.live() {
            let Some((subjects, before)) = live.asked() else { continue };
            let sni = match (&subjects.sni, subjects.tls) {
                (_, false) => Sni::NotTls,
                (Some(name), true) => Sni::Name(name),
                (None, true) => Sni::Absent,
            };
            let mut known = Subjects {
                connect_host: subjects.connect_host.as_deref(),
                port: subjects.port,
                sni,
                address: subjects.address,
                certificate: subjects.certificate.as_deref(),
                client: subjects.client,
            };
            let Some(now) = self.decide_again(&mut known, &live) else { continue };
            let now = DecisionKind::from(now.action);
            // A connection without TLS goes on unless it would be blocked.
            if now == before.action || (before.action == DecisionKind::Plain && now != DecisionKind::Block) {
                continue;
            }
            changed.push(live.id());
            match on_change {
                OnChange::Drain => live.drain.cancel(),
                OnChange::Kill => {
                    live.drain.cancel();
                    live.kill.cancel();
                }
                OnChange::NewOnly => {}
            }
        }
        changed
    }

    /// Decides about an open connection with what is known of it. What the first decision did not have to know and this
    /// one asks for is looked up in the record; a certificate that nobody has seen names nothing.
    fn decide_again(&self, known: &mut Subjects<'_>, live: &Live) -> Option<Decision> {
        for _ in 0..3 {
            match self.shared.policy.decide(known) {
                Asked::Decided(decision) => return Some(decision),
                Asked::Needs(Need::Address) if known.address.is_none() => {
                    let peer = live.origin_address().map(|peer| peer.ip());
                    known.address = peer.or(Some(Ipv4Addr::UNSPECIFIED.into()));
                }
                Asked::Needs(Need::OriginCertificate) if known.certificate.is_none() => known.certificate = Some(&[]),
                Asked::Needs(_) => return None,
            }
        }
        None
    }

    /// Changes when the policy decides, for connections that are not decided yet.
    pub fn set_decide_at(&self, decide_at: DecideAt) {
        self.shared.decide_at.store(Arc::new(decide_at));
    }

    /// Stops accepting when the guard is dropped; what runs goes on.
    #[must_use]
    pub fn stop_when_dropped(&self) -> DropGuard {
        self.shared.stop.clone().drop_guard()
    }

    /// Stops accepting, lets running exchanges end within `grace`, then ends what is left. Says whether all ended by
    /// themselves.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        for live in self.shared.journal.live() {
            live.drain.cancel();
        }
        if tokio::time::timeout(grace, self.shared.tasks.wait()).await.is_ok() {
            return true;
        }
        self.shared.kill.cancel();
        for live in self.shared.journal.live() {
            live.kill.cancel();
        }
        // Ending is a matter of polling each task once more; the limit is for a task that cannot be ended.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.shared.tasks.wait()).await;
        false
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ProxyError> {
    TcpListener::bind(address).await.map_err(|error| ProxyError::Bind(address, error))
}

impl Shared {
    /// The ports of this program.
    fn own_ports(&self) -> impl Iterator<Item = u16> {
        self.ports.iter().copied()
    }
}

fn protocol_versions(versions: &[TlsVersion]) -> Vec<&'static SupportedProtocolVersion> {
    let supported = |version: &TlsVersion| match version {
        TlsVersion::V1_2 => &rustls::version::TLS12,
        TlsVersion::V1_3 => &rustls::version::TLS13,
    };
    versions.iter().map(supported).collect()
}

fn server_prototype(
    provider: &Arc<CryptoProvider>,
    authority: &Authority,
    keylog: Option<Arc<dyn KeyLog>>,
) -> Result<ServerConfig, rustls::Error> {
    let versions = protocol_versions(&authority.profile().tls().versions);
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
    // A client that resumes does not look at the certificate, and tickets on their way turn an orderly end into a
    // reset: without them every connection is evidence. Who has accepted its certificate before gets some: see
    // `tickets`.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    if let Some(keylog) = keylog {
        config.key_log = keylog;
    }
    Ok(config)
}
