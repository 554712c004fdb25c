//! The doors, and how a client knocks at each.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use middlebox::journal::{Told, Via};
use middlebox::net::Destination;

use crate::support::stage::StageBuilder;
use crate::support::{Client, Stage, Wire, soon, stage};

/// A way into the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Connect,
    ConnectOverTls,
    Http2,
    Http2OverTls,
    Socks4a,
    Socks5,
    /// With a user name, where the proxy asks for one.
    Socks5User,
    Forward,
    /// Where the kernel leads connections to [`REDIRECTED`]; only in a namespace with such rules.
    Redirected,
}

/// The address that stands for the host asked for, where the kernel redirects.
pub(crate) const REDIRECTED: &str = "10.1.2.3";

/// A user of the proxy, with a password.
pub(crate) type User<'a> = Option<(&'a str, &'a str)>;

/// What a client was told instead of getting its tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Status(u16),
    /// A code of SOCKS.
    Code(u8),
}

impl Door {
    pub(crate) const ALL: [Self; 8] = [
        Self::Connect,
        Self::ConnectOverTls,
        Self::Http2,
        Self::Http2OverTls,
        Self::Socks4a,
        Self::Socks5,
        Self::Socks5User,
        Self::Forward,
    ];

    /// How records call it.
    pub(crate) fn via(self) -> Via {
        match self {
            Self::Connect | Self::ConnectOverTls => Via::Connect,
            Self::Http2 | Self::Http2OverTls => Via::ConnectHttp2,
            Self::Socks4a => Via::Socks4,
            Self::Socks5 | Self::Socks5User => Via::Socks5,
            Self::Forward => Via::Forward,
            Self::Redirected => Via::Transparent,
        }
    }

    /// What a client is told here that may not have its tunnel, and what the record says of it.
    pub(crate) fn refusal(self) -> Option<(Refused, Told)> {
        match self.via() {
            Via::Connect | Via::ConnectHttp2 => Some((Refused::Status(403), Told::Status(403))),
            Via::Socks4 => Some((Refused::Code(91), Told::Close)),
            Via::Socks5 => Some((Refused::Code(2), Told::Close)),
            _ => None,
        }
    }

    /// A stage whose forwarded port, if this is the one, leads to port 443 of this host.
    pub(crate) fn stage(self, host: &str) -> StageBuilder {
        let to = Destination::parse(&format!("{host}:443")).unwrap();
        match self {
            Self::Forward => stage().lab(|lab| lab.forward(any_port(), to)),
            Self::Redirected => stage().lab(|lab| lab.transparent(any_port())),
            _ => stage(),
        }
    }

    /// Asks for a tunnel to port 443 of a host.
    pub(crate) async fn knock(self, stage: &Stage, host: &str, user: User<'_>) -> Result<Wire, Refused> {
        let client = stage.client();
        match self {
            Self::Connect => connect(client.dial().await, host, user).await,
            Self::ConnectOverTls => connect(to_proxy(&client, &["http/1.1"]).await, host, user).await,
            Self::Http2 => connect_http2(client.dial().await, host, user).await,
            Self::Http2OverTls => connect_http2(to_proxy(&client, &["h2"]).await, host, user).await,
            Self::Socks4a => socks4a(client.dial().await, host).await,
            Self::Socks5 | Self::Socks5User => {
                let user = user.or((self == Self::Socks5User).then_some(("anyone", "")));
                socks5(client.dial().await, host, user).await
            }
            Self::Forward => Ok(Wire::dial(stage.lab.other_addresses()[0]).await),
            Self::Redirected => Ok(Wire::dial(format!("{REDIRECTED}:443").parse().unwrap()).await),
        }
    }
}

pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// TLS to the proxy, by its address.
pub(crate) async fn to_proxy(client: &Client, alpn: &[&str]) -> Wire {
    Wire::new(client.clone().alpn(alpn).handshake(client.dial().await, "127.0.0.1").await.unwrap())
}

/// The value of `Proxy-Authorization` (RFC 7617).
pub(crate) fn basic((name, password): (&str, &str)) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}")))
}

async fn connect(mut wire: Wire, host: &str, user: User<'_>) -> Result<Wire, Refused> {
    let proof = user.map(|user| format!("Proxy-Authorization: {}\r\n", basic(user))).unwrap_or_default();
    wire.send(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n{proof}\r\n")).await;
    let head = wire.head().await;
    match status(&head) {
        200 => {
            assert_eq!(head, "HTTP/1.1 200 Connection established\r\n\r\n", "nothing extra");
            Ok(wire)
        }
        status => Err(Refused::Status(status)),
    }
}

/// The status in the head of an answer.
pub(crate) fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A request for a tunnel in HTTP/2.
pub(crate) fn tunnel_request(target: &str, user: User<'_>) -> Request<()> {
    let mut request = Request::builder().method(Method::CONNECT).uri(target);
    if let Some(user) = user {
        request = request.header("proxy-authorization", basic(user));
    }
    request.body(()).unwrap()
}

async fn connect_http2(wire: Wire, host: &str, user: User<'_>) -> Result<Wire, Refused> {
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(wire.stream));
    let (mut sender, connection) = soon("an HTTP/2 preface", handshake).await.unwrap();
    tokio::spawn(connection);
    let request = tunnel_request(&format!("{host}:443"), user).map(|()| Empty::<Bytes>::new());
    let response = soon("an answer", sender.send_request(request)).await.unwrap();
    match response.status().as_u16() {
        200 => Ok(Wire::new(TokioIo::new(hyper::upgrade::on(response).await.unwrap()))),
        status => Err(Refused::Status(status)),
    }
}

/// The request of SOCKS 4a.
pub(crate) fn request4a(host: &str, port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    [&[4, 1, high, low, 0, 0, 0, 1], b"user\0".as_slice(), host.as_bytes(), &[0]].concat()
}

async fn socks4a(mut wire: Wire, host: &str) -> Result<Wire, Refused> {
    wire.send(request4a(host, 443)).await;
    match wire.bytes(8).await[1] {
        90 => Ok(wire),
        code => Err(Refused::Code(code)),
    }
}

/// The request of SOCKS 5 for a name, behind its greeting.
pub(crate) fn request5(host: &str, port: u16) -> Vec<u8> {
    let length = u8::try_from(host.len()).unwrap();
    [&[5, 1, 0, 3, length], host.as_bytes(), &port.to_be_bytes()].concat()
}

async fn socks5(mut wire: Wire, host: &str, user: User<'_>) -> Result<Wire, Refused> {
    let method = if user.is_some() { 2 } else { 0 };
    wire.send([5, 1, method]).await;
    match wire.bytes(2).await[1] {
        0xff => return Err(Refused::Code(0xff)),
        chosen => assert_eq!(chosen, method),
    }
    if let Some((name, password)) = user {
        let mut said = vec![1];
        for part in [name, password] {
            said.push(u8::try_from(part.len()).unwrap());
            said.extend_from_slice(part.as_bytes());
        }
        wire.send(said).await;
        match wire.bytes(2).await[1] {
            0 => {}
            code => return Err(Refused::Code(code)),
        }
    }
    wire.send(request5(host, 443)).await;
    match wire.bytes(10).await[1] {
        0 => Ok(wire),
        code => Err(Refused::Code(code)),
    }
}
