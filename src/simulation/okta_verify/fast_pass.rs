//! FastPass: a sign-in page asks Okta Verify, which listens on loopback of the same machine.
//!
//! The page tries one port after the other with `GET /probe`, and sends its challenge with `POST /challenge` to the first
//! that answers with a 2xx (okta/okta-signin-widget). The widget waits 100 ms for a probe; here the workstation's own time
//! limit counts, so that a busy machine tells the same story. What the application does with a challenge is not simulated:
//! it answers 200.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use crate::simulation::workstation::{Attempt, CertificateSeen, Fault, Order, Workstation, browser, fetch};

/// The ports that the sign-in page tries, in this order.
pub const PORTS: [u16; 6] = [8769, 65_111, 65_121, 65_131, 65_141, 65_151];

/// The largest challenge.
const CHALLENGE_BYTES: usize = 64 << 10;

/// Okta Verify, listening; it stops when it is dropped.
#[derive(Debug)]
pub struct FastPass {
    address: SocketAddr,
    _stop: DropGuard,
}

/// What a sign-in page brought about.
#[derive(Clone, Debug, Serialize)]
pub struct FastPassSignIn {
    /// The status of the page; none where it did not open, and nothing was probed then.
    pub page: Option<u16>,
    /// Why it did not open.
    pub error: Option<Fault>,
    /// The certificate of the page.
    pub certificate: Option<CertificateSeen>,
    /// The ports that were tried, in order.
    pub probes: Vec<Probe>,
    /// Whether Okta Verify took the challenge.
    pub answered: bool,
}

/// One port that a sign-in page tried.
#[derive(Clone, Debug, Serialize)]
pub struct Probe {
    /// On `localhost`.
    pub port: u16,
    /// The status of the answer, whoever gave it.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<Fault>,
}

impl FastPass {
    /// Begins to listen on a free port of loopback. A workstation's resolve overrides say which of [`PORTS`] that is.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn listen() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(accept(listener)).await });
        Ok(Self { address, _stop: stop.drop_guard() })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Workstation {
    /// Opens a sign-in page in the browser and lets it look for Okta Verify on this machine.
    pub async fn sign_in_with_fast_pass(&self, url: &Url) -> FastPassSignIn {
        let Attempt { result, certificate, .. } = fetch(self, &browser(), &Order::get(url.clone())).await;
        let mut sign_in = FastPassSignIn { page: None, error: None, certificate, probes: Vec::new(), answered: false };
        match result {
            Ok(page) => sign_in.page = Some(page.status),
            Err(fault) => sign_in.error = Some(fault),
        }
        if sign_in.page.is_none_or(|status| status >= 400) {
            return sign_in;
        }
        for port in PORTS {
            let Ok(base) = Url::parse(&format!("http://localhost:{port}/")) else { continue };
            let answer = self.ask(Order::get(at(&base, "/probe"))).await;
            let status = answer.as_ref().ok().copied();
            sign_in.probes.push(Probe { port, status, error: answer.err() });
            if status.is_some_and(|status| (200..300).contains(&status)) {
                let challenge = Order {
                    method: Method::POST,
                    url: at(&base, "/challenge"),
                    headers: vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
                    body: Bytes::from_static(br#"{"challengeRequest":"a-challenge-of-the-simulated-page"}"#),
                };
                sign_in.answered = self.ask(challenge).await.is_ok_and(|status| (200..300).contains(&status));
                break;
            }
        }
        sign_in
    }

    async fn ask(&self, order: Order) -> Result<u16, Fault> {
        fetch(self, &browser(), &order).await.result.map(|answer| answer.status)
    }
}

fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(path);
    url
}

async fn accept(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
            }
            Err(error) => {
                tracing::warn!(%error, "the simulated Okta Verify could not accept");
                return;
            }
        }
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let status = match (head.method, head.uri.path()) {
        (Method::GET, "/probe") => StatusCode::OK,
        (Method::POST, "/challenge") => match Limited::new(body, CHALLENGE_BYTES).collect().await {
            Ok(body) => {
                let value: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
                let challenge = value["challengeRequest"].as_str().filter(|challenge| !challenge.is_empty());
                if challenge.is_some() { StatusCode::OK } else { StatusCode::BAD_REQUEST }
            }
            Err(_) => StatusCode::PAYLOAD_TOO_LARGE,
        },
        _ => StatusCode::NOT_FOUND,
    };
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    Ok(response)
}
