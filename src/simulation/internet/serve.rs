//! Accepting connections and speaking HTTP on them.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::header::ALT_SVC;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::okta_cell::Organization;
use super::public_ca::PublicCa;
use super::reply::{self, ReplyBody};
use super::{echo, okta_org, revocation, site};
use crate::net::Host;

/// How long a client may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection may stay idle between requests, or take for the head of one.
const IDLE: Duration = Duration::from_secs(300);
/// How often an HTTP/2 connection without traffic is asked whether it lives, and how long it may take to answer.
const H2_PING: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// The largest request head.
const HEAD_BYTES: usize = 64 << 10;
/// Open connections of one simulated internet; further ones wait in the listener's queue.
const CONNECTIONS: usize = 16_384;
/// The pause after a failed accept, which mostly means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What stands behind a host.
#[derive(Debug)]
pub(super) enum Site {
    OktaOrg(Organization),
    Static,
    Echo,
    Revocation(Arc<PublicCa>),
}

/// One host with what it does.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) host: Host,
    pub(super) site: Site,
    pub(super) alt_svc: Option<HeaderValue>,
    pub(super) gate: Gate,
}

/// Whether a request came with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// What all tasks of one simulated internet share: the stop signal, the count of connections, the list of tasks.
#[derive(Clone)]
pub(super) struct Gate {
    stop: CancellationToken,
    tasks: TaskTracker,
    room: Arc<Semaphore>,
}

impl Gate {
    /// Runs a task until it ends or the internet stops.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move { stop.run_until_cancelled(task).await });
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    pub(super) async fn close(&self) {
        self.stop();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self { stop: CancellationToken::new(), tasks: TaskTracker::new(), room: Arc::new(Semaphore::new(CONNECTIONS)) }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

/// Accepts connections for one host until the internet stops.
pub(super) async fn accept(listener: TcpListener, origin: Arc<Origin>, tls: Option<TlsAcceptor>) {
    loop {
        let Ok(permit) = origin.gate.room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (origin, tls) = (origin.clone(), tls.clone());
                let gate = origin.gate.clone();
                gate.spawn(async move {
                    connection(stream, origin, tls).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(host = %origin.host, %error, "a simulated origin could not accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, origin: Arc<Origin>, tls: Option<TlsAcceptor>) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return speak_http1(stream, origin, Scheme::Http).await };
    match timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => speak_http2(stream, origin).await,
        Ok(Ok(stream)) => speak_http1(stream, origin, Scheme::Https).await,
        Ok(Err(error)) => tracing::debug!(host = %origin.host, %error, "a client left a simulated origin's handshake"),
        Err(_) => tracing::debug!(host = %origin.host, "a client did not finish its handshake"),
    }
}

async fn speak_http1<S>(stream: S, origin: Arc<Origin>, scheme: Scheme)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let host = origin.host.clone();
    let service = service_fn(move |request| answer(origin.clone(), scheme, request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_header_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%host, %error, "a connection to a simulated origin ended early");
    }
}

async fn speak_http2<S>(stream: S, origin: Arc<Origin>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let host = origin.host.clone();
    let service = service_fn(move |request| answer(origin.clone(), Scheme::Https, request));
    let served = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(H2_PING.0)
        .keep_alive_timeout(H2_PING.1)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%host, %error, "a connection to a simulated origin ended early");
    }
}

async fn answer(
    origin: Arc<Origin>,
    scheme: Scheme,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let to_https = scheme == Scheme::Http && !matches!(origin.site, Site::Echo | Site::Revocation(_));
    let mut response = match &origin.site {
        _ if to_https => reply::to_https(&origin.host, &request),
        Site::OktaOrg(organization) => okta_org::answer(organization, &origin.host, request).await,
        Site::Static => site::answer(&origin.host, &request),
        Site::Echo => echo::answer(&origin.gate, request).await,
        Site::Revocation(ca) => revocation::answer(ca, request).await,
    };
    if let Some(offer) = &origin.alt_svc {
        response.headers_mut().insert(ALT_SVC, offer.clone());
    }
    Ok(response)
}
