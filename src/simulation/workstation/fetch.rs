//! One HTTP exchange of a program on the workstation: way, TLS, request, answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls_pki_types::ServerName;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use super::connect::{Approach, Way};
use super::revocation::{self, Chain};
use super::trust::{CertificateSeen, Conduct, Judge, Pinned, Verdict};
use super::{DEVICE_HEADER, Fault, Refusal, Workstation, destination_of};
use crate::net::Host;

/// What is kept of a body; a longer one is cut there.
const BODY_BYTES: usize = 1 << 20;
/// How long a finished connection may take to close.
const CLOSE: Duration = Duration::from_secs(1);

/// A program of the workstation, as far as the network can tell.
#[derive(Clone, Debug)]
pub(crate) struct Client<'a> {
    pub(crate) user_agent: &'a str,
    pub(crate) stack: Stack,
    /// Whose proxy setting it reads.
    pub(crate) account: Account,
    pub(crate) pinned: Option<Pinned>,
    /// What its hello names, if not the host of the URL.
    pub(crate) sni: Option<SniChoice>,
    pub(crate) late: bool,
    pub(crate) checks_revocation: bool,
    pub(crate) answer_challenge: bool,
}

/// Whose proxy setting a program reads. Windows has two: WinINET's of each user, which browsers read, and WinHTTP's of
/// the machine, which services read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    User,
    Service,
}

/// What a hello names instead of the host that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SniChoice {
    /// Nothing: it carries no server name.
    Absent,
    /// This host, for which the certificate is then judged.
    Host(Host),
}

/// The program's TLS and HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    /// Offers HTTP/2 and HTTP/1.1 by ALPN.
    Browser,
    /// Sends no ALPN and speaks HTTP/1.1, as .NET Framework does.
    DotNet,
}

/// What a program asks for.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header section.
    pub headers: HeaderMap,
    /// The body, at most 1 MiB of it.
    pub body: Bytes,
    /// Whether the body was longer.
    pub truncated: bool,
}

/// The version of HTTP that was spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum HttpVersion {
    /// HTTP/1.1 (RFC 9112).
    #[serde(rename = "HTTP/1.1")]
    Http1,
    /// HTTP/2 (RFC 9113).
    #[serde(rename = "HTTP/2")]
    Http2,
}

/// How one call went, with the certificate that was seen on the way.
pub(crate) struct Attempt {
    pub(crate) result: Result<Answer, Fault>,
    pub(crate) certificate: Option<CertificateSeen>,
    pub(crate) version: Option<HttpVersion>,
}

impl Order {
    pub(crate) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: Vec::new(), body: Bytes::new() }
    }
}

/// One call on a connection of its own, which is closed when this returns.
pub(crate) async fn fetch(workstation: &Workstation, client: &Client<'_>, order: &Order) -> Attempt {
    let limit = workstation.time_limit;
    let mut certificate = None;
    let mut version = None;
    let call = async {
        let mut conversation = Conversation::open(workstation, client, &order.url, &mut certificate).await?;
        version = Some(conversation.version());
        let mut answer = conversation.send(order, client.user_agent).await?;
        if conversation.challenges(&answer) {
            let approach = client.approach(workstation);
            let Some(credentials) = approach.credentials() else {
                return Err(Fault::ProxyAuthentication { tried: false });
            };
            let mut again = order.clone();
            again.headers.push((PROXY_AUTHORIZATION, HeaderValue::from_str(&credentials).map_err(Fault::protocol)?));
            conversation.close().await;
            conversation = Conversation::open(workstation, client, &order.url, &mut certificate).await?;
            answer = conversation.send(&again, client.user_agent).await?;
            if conversation.challenges(&answer) {
                return Err(Fault::ProxyAuthentication { tried: true });
            }
        }
        conversation.close().await;
        Ok(answer)
    };
    let result = timeout(limit, call).await.unwrap_or_else(|_| Err(Fault::timed_out(limit)));
    Attempt { result, certificate, version }
}

impl Client<'_> {
    fn approach<'a>(&'a self, workstation: &'a Workstation) -> Approach<'a> {
        let Self { user_agent, account, answer_challenge, .. } = *self;
        Approach { workstation, user_agent, account, answer_challenge }
    }
}

/// An open HTTP connection.
pub(super) struct Conversation {
    sender: Sender,
    /// An HTTP/1.1 proxy is asked for whole URLs (RFC 9112, 3.2.2) and told the device in each request.
    through_proxy: Option<HeaderValue>,
    ended: CancellationToken,
    _held: DropGuard,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Conversation {
    /// Connects, and leaves the certificate that was shown in `certificate` even where this fails.
    pub(super) async fn open(
        workstation: &Workstation,
        client: &Client<'_>,
        url: &Url,
        certificate: &mut Option<CertificateSeen>,
    ) -> Result<Self, Fault> {
        let destination = destination_of(url)?;
        let approach = client.approach(workstation);
        if url.scheme() == "http" {
            return match approach.plain(url, &destination).await? {
                Way::Direct(stream) => Self::over_http1(stream, None).await,
                Way::Proxy(stream) => Self::over_http1(stream, Some(workstation.device())).await,
            };
        }
        let stream = approach.tunnel(url, &destination).await?;
        let conduct = Conduct {
            roots: workstation.roots.clone(),
            pinned: client.pinned.clone(),
            late: client.late,
            joint_alert: client.stack == Stack::DotNet,
        };
        let name = match &client.sni {
            Some(SniChoice::Host(host)) => host.server_name(),
            Some(SniChoice::Absent) | None => destination.host.server_name(),
        };
        let sends_name = client.sni != Some(SniChoice::Absent);
        let hello = Hello { name, sends_name, stack: client.stack };
        let (stream, chain) = shake_hands(stream, hello, conduct, certificate).await?;
        if client.checks_revocation
            && let Some(chain) = chain
            && let Err(refusal) = revocation::check(workstation, &chain).await
        {
            return Err(leave(stream, refusal).await);
        }
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (sender, connection) = handshake.await.map_err(Fault::cut)?;
            return Ok(Self::driven(Sender::Http2(sender), None, connection));
        }
        Self::over_http1(stream, None).await
    }

    async fn over_http1<S>(stream: S, through_proxy: Option<HeaderValue>) -> Result<Self, Fault>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Fault::cut)?;
        Ok(Self::driven(Sender::Http1(sender), through_proxy, connection))
    }

    /// Lets the connection run beside its user, and for a moment after it, so that it closes politely.
    fn driven<E: Send>(
        sender: Sender,
        through_proxy: Option<HeaderValue>,
        connection: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Self {
        let (ended, held) = (CancellationToken::new(), CancellationToken::new());
        let (told, left) = (ended.clone().drop_guard(), held.clone());
        tokio::spawn(async move {
            let _told = told;
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                _ = &mut connection => {}
                () = left.cancelled() => { let _ = timeout(CLOSE, connection).await; }
            }
        });
        Self { sender, through_proxy, ended, _held: held.drop_guard() }
    }

    pub(super) fn version(&self) -> HttpVersion {
        match self.sender {
            Sender::Http1(_) => HttpVersion::Http1,
            Sender::Http2(_) => HttpVersion::Http2,
        }
    }

    pub(super) async fn send(&mut self, order: &Order, user_agent: &str) -> Result<Answer, Fault> {
        let request = self.request(order, user_agent)?;
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.map_err(Fault::cut)?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await.map_err(Fault::cut)?;
                sender.send_request(request).await
            }
        };
        let (head, body) = response.map_err(cut_or_protocol)?.into_parts();
        let (body, truncated) = read_body(body).await?;
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, truncated })
    }

    fn request(&self, order: &Order, user_agent: &str) -> Result<Request<Full<Bytes>>, Fault> {
        let url = &order.url;
        let mut whole = url.clone();
        whole.set_fragment(None);
        let authority = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let origin_form = matches!(self.sender, Sender::Http1(_)) && self.through_proxy.is_none();
        let target = if origin_form {
            let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
            format!("{}{query}", url.path())
        } else {
            whole.to_string()
        };
        let mut request = Request::new(Full::new(order.body.clone()));
        *request.method_mut() = order.method.clone();
        *request.uri_mut() = target.parse::<Uri>().map_err(Fault::protocol)?;
        let headers = request.headers_mut();
        if matches!(self.sender, Sender::Http1(_)) {
            headers.insert(HOST, HeaderValue::from_str(&authority).map_err(Fault::protocol)?);
        }
        headers.insert(USER_AGENT, HeaderValue::from_str(user_agent).map_err(Fault::protocol)?);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(device) = &self.through_proxy {
            let name = HeaderName::from_bytes(DEVICE_HEADER.as_bytes()).map_err(Fault::protocol)?;
            headers.insert(name, device.clone());
        }
        for (name, value) in &order.headers {
            headers.insert(name.clone(), value.clone());
        }
        Ok(request)
    }

    fn challenges(&self, answer: &Answer) -> bool {
        self.through_proxy.is_some() && answer.status == 407
    }

    /// Whether the other side has closed, as far as is known here.
    pub(super) fn is_closed(&self) -> bool {
        self.ended.is_cancelled()
            || match &self.sender {
                Sender::Http1(sender) => sender.is_closed(),
                Sender::Http2(sender) => sender.is_closed(),
            }
    }

    /// Waits until the connection has ended.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Closes, and waits a moment for the end, so that whoever watches the connection has seen it.
    pub(super) async fn close(self) {
        let ended = self.ended.clone();
        drop(self);
        let _ = timeout(CLOSE, ended.cancelled()).await;
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").field("version", &self.version()).finish_non_exhaustive()
    }
}

/// What a client says first.
struct Hello {
    /// For whom the certificate has to be.
    name: ServerName<'static>,
    /// Whether the hello says so.
    sends_name: bool,
    stack: Stack,
}

async fn shake_hands(
    stream: TcpStream,
    hello: Hello,
    conduct: Conduct,
    certificate: &mut Option<CertificateSeen>,
) -> Result<(TlsStream<TcpStream>, Option<Chain>), Fault> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let judge = Arc::new(Judge::new(conduct, provider.signature_verification_algorithms));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(Fault::protocol)?
        .dangerous()
        .with_custom_certificate_verifier(judge.clone())
        .with_no_client_auth();
    // A resumed session shows no certificate, and the certificate is what these calls are about.
    config.resumption = Resumption::disabled();
    config.enable_sni = hello.sends_name;
    if hello.stack == Stack::Browser {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    let shaken = TlsConnector::from(Arc::new(config)).connect(hello.name.clone(), stream).await;
    let (seen, refusal, chain) = match judge.verdict() {
        Some(Verdict { seen, refusal, chain }) => (seen, refusal, chain),
        None => (None, None, Vec::new()),
    };
    *certificate = seen;
    match (shaken, refusal) {
        (Ok(stream), None) => {
            let mut chain = chain.into_iter();
            let leaf = chain.next();
            let chain = leaf.map(|leaf| Chain { leaf, intermediates: chain.collect(), name: hello.name });
            Ok((stream, chain))
        }
        (Ok(stream), Some(late)) => Err(leave(stream, late).await),
        (Err(_), Some(refusal)) => Err(Fault::Refused(refusal)),
        (Err(error), None) => Err(Fault::Handshake { reason: error.to_string() }),
    }
}

/// Refuses after the handshake: with `close_notify` instead of an alert. What the other side still sends is read, since a
/// socket that is closed with bytes unread is reset, and a reset may overtake the `close_notify`.
async fn leave(mut stream: TlsStream<TcpStream>, refusal: Refusal) -> Fault {
    let farewell = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    let _ = timeout(CLOSE, farewell).await;
    Fault::Refused(refusal)
}

async fn read_body(mut body: Incoming) -> Result<(Bytes, bool), Fault> {
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(cut_or_protocol)?.into_data() else { continue };
        let room = BODY_BYTES - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok((kept.freeze(), true));
        }
    }
    Ok((kept.freeze(), false))
}

fn cut_or_protocol(error: hyper::Error) -> Fault {
    if error.is_parse() { Fault::protocol(error) } else { Fault::cut(error) }
}
