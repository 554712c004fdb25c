//! The server: what it is made of, binding, and the life of its connections.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls_pki_types::CertificateDer;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::guard::Guard;
use super::lab::Lab;
use super::wire::CaStatus;
use super::{page, routes};
use crate::journal::Journal;
use crate::net::{CertificateError, CertificateFacts, Host, HostError};
use crate::policy::{OnChange, PolicyStore};

/// Where the control API listens unless it is told otherwise.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8081);

/// The `Server` header, by which the client knows that it talks to one of these.
pub(super) const SERVER: &str = concat!("middlebox/", env!("CARGO_PKG_VERSION"));

/// How many connections are served at once; a page holds a few, a command one.
const MAX_CONNECTIONS: usize = 256;

/// How long a client may take to send a head, and how long a connection may rest between two requests.
const HEAD_TIME: Duration = Duration::from_secs(15);

/// How long an answer on its way may take once the server shuts down.
const GRACE: Duration = Duration::from_secs(2);

/// What a control API is made of.
pub struct ControlConfig {
    /// The address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The policy that it shows and changes.
    pub policy: Arc<PolicyStore>,
    /// The connections that it shows.
    pub journal: Journal,
    /// What happens to open connections when a change does not say.
    pub on_change: OnChange,
    /// The root of the inspection CA, for download.
    pub ca: RootCertificate,
    /// What stands above.
    pub lab: Arc<dyn Lab>,
    /// The token that every request to the API has to carry; a must on any address but loopback.
    pub token: Option<String>,
    /// Further host names by which clients reach it, such as the name of a container.
    pub names: Vec<String>,
}

/// The certificate that clients are made to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootCertificate {
    /// As DER.
    pub der: Vec<u8>,
    /// The same as PEM (RFC 7468).
    pub pem: String,
}

/// A control API cannot start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}; choose another control address, or port 0 for any free one")]
    Bind(SocketAddr, #[source] std::io::Error),
    /// The root is not a certificate.
    #[error("the root of the inspection CA is {0}")]
    Certificate(#[from] CertificateError),
    /// A further name is not a host name.
    #[error("`{0}` cannot be a name of the control API: {1}")]
    Name(String, HostError),
    /// It would be open to everyone who reaches it.
    #[error(
        "listening on {0} would let everyone who reaches it change the policy: give the control API a token, or \
         listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    /// The token cannot be sent in a header.
    #[error("a token has 8 to 256 visible ASCII characters, such as `openssl rand -hex 16` prints")]
    Token,
}

/// A control API that is bound and does not serve yet.
pub struct Control {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// What every request's handler reads.
pub(super) struct Shared {
    pub(super) address: SocketAddr,
    pub(super) guard: Guard,
    pub(super) policy: Arc<PolicyStore>,
    pub(super) journal: Journal,
    pub(super) on_change: OnChange,
    pub(super) ca: RootCertificate,
    pub(super) ca_status: CaStatus,
    pub(super) lab: Arc<dyn Lab>,
    pub(super) page_csp: String,
    /// Cancelled when streams have to end.
    pub(super) shutdown: CancellationToken,
}

impl Control {
    /// Binds the listener.
    ///
    /// # Errors
    /// The address is taken or would be open to a network, or a part of the configuration cannot be used.
    pub async fn bind(config: ControlConfig) -> Result<Self, ControlError> {
        let ControlConfig { listen, policy, journal, on_change, ca, lab, token, names } = config;
        if !listen.ip().to_canonical().is_loopback() && token.is_none() {
            return Err(ControlError::Open(listen));
        }
        if token.as_ref().is_some_and(|token| !can_be_sent(token)) {
            return Err(ControlError::Token);
        }
        let names = names.into_iter().map(|name| Host::parse(&name).map_err(|error| ControlError::Name(name, error)));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let ca_status = ca.status()?;
        let listener = TcpListener::bind(listen).await.map_err(|error| ControlError::Bind(listen, error))?;
        let address = listener.local_addr().map_err(|error| ControlError::Bind(listen, error))?;
        let shared = Arc::new(Shared {
            address,
            guard: Guard::new(address, names, token.as_deref()),
            policy,
            journal,
            on_change,
            ca,
            ca_status,
            lab,
            page_csp: page::content_security_policy(),
            shutdown: CancellationToken::new(),
        });
        Ok(Self { listener, shared })
    }

    /// The address that clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Serves until `shutdown` is cancelled; then streams end, answers on their way get two seconds, and the task
    /// that is given back ends with the last connection.
    pub fn spawn(self, shutdown: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(async move {
            // However this task ends, the streams end with it.
            let streams = self.shared.shutdown.clone().drop_guard();
            let tasks = TaskTracker::new();
            accept(&self, &shutdown, &tasks).await;
            drop(self.listener);
            drop(streams);
            tasks.close();
            tasks.wait().await;
        })
    }
}

async fn accept(control: &Control, shutdown: &CancellationToken, tasks: &TaskTracker) {
    let router = routes::router(&control.shared);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = shutdown.cancelled() => return,
        };
        let accepted = tokio::select! {
            accepted = control.listener.accept() => accepted,
            () = shutdown.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, shutdown) = (router.clone(), control.shared.shutdown.clone());
                tasks.spawn(async move {
                    serve(stream, router, shutdown).await;
                    drop(slot);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection of the control API");
                // Most often there are too many open files, and the next accept would fail at once.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, router: axum::Router, shutdown: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_headers(64).max_buf_size(32 << 10);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        debug!(%error, "a connection of the control API broke off");
    }
}

fn can_be_sent(token: &str) -> bool {
    (8..=256).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
}

impl RootCertificate {
    fn status(&self) -> Result<CaStatus, CertificateError> {
        let facts = CertificateFacts::of(&CertificateDer::from_slice(&self.der))?;
        let digest = digest::digest(&digest::SHA256, &self.der);
        let mut sha256 = String::with_capacity(64);
        for byte in digest.as_ref() {
            let _ = write!(sha256, "{byte:02x}");
        }
        Ok(CaStatus { subject: facts.subject, not_after: facts.not_after, sha256 })
    }
}

/// What a handler gives back: never a bare error.
pub(super) type Answer<T> = Result<T, super::Problem>;

/// Runs what may take a lock, read a file or go over a long list, off the runtime's threads. It runs to its end even
/// when the client leaves, so that a change is never half made.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        warn!(%error, "a request of the control API failed");
        super::Problem::new(super::ProblemKind::Failed, "this is a defect; report it")
    })
}
