//! One connection, from its first byte to its last.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use smol_str::SmolStr;
use time::OffsetDateTime;

use super::{DecisionKind, Diagnosis, Outcome};
use crate::net::{Certificate, ClientHello, Destination, FrameKind, Way, WebSocketCounts};
use crate::policy::Standing;

/// Everything known about one client connection; filled stage by stage, complete when the connection has ended.
///
/// It holds no secret and no body: neither header values (but the User-Agent and the `Host`), nor query strings.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionRecord {
    /// Counts up from 1 within one lab.
    pub id: u64,
    /// When the client's connection was accepted, or its request began.
    #[serde(with = "time::serde::rfc3339")]
    pub opened: OffsetDateTime,
    /// Who the client is, as far as it says.
    pub client: ClientFacts,
    /// How it came in.
    pub via: Option<Via>,
    /// Where it wants to go.
    pub destination: Option<Destination>,
    /// What its ClientHello says.
    pub hello: Option<ClientHello>,
    /// What the policy said.
    pub decision: Option<DecisionFacts>,
    /// The origin, as the middlebox saw it.
    pub origin: Option<OriginFacts>,
    /// The certificate that the client was shown.
    pub forged: Option<ForgedFacts>,
    /// The client's TLS handshake with the middlebox.
    pub handshake: Option<HandshakeFacts>,
    /// What the middlebox itself told the client, where it did.
    pub told: Option<Told>,
    /// HTTP exchanges, the first ones up to the journal's limit.
    pub exchanges: Vec<Exchange>,
    /// How many exchanges there were.
    pub exchange_count: u64,
    /// Bytes of the client passed on to the origin; of the plaintext where inspected.
    pub bytes_up: u64,
    /// Bytes of the origin passed on to the client; of the plaintext where inspected.
    pub bytes_down: u64,
    /// When each stage was reached.
    pub stages: Stages,
    /// How it ended, in words.
    pub end: Option<End>,
    /// How it turned out; none while it is open.
    pub outcome: Option<Outcome>,
    /// Why the client refused, if it did.
    pub diagnosis: Option<Box<Diagnosis>>,
    /// How often the verdict was revised after the connection had ended, because later ones said more.
    pub revisions: u32,
    /// Remarks on the way, such as a name that differs between CONNECT and SNI.
    pub notes: Vec<String>,
}

impl ConnectionRecord {
    /// The host that the record is about: the SNI, else the destination.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        let sni = self.hello.as_ref().and_then(|hello| hello.sni.clone());
        sni.or_else(|| self.destination.as_ref().map(|destination| destination.host.to_string()))
    }

    /// Adds a remark, unless it was made before.
    pub(crate) fn note_once(&mut self, remark: &str) {
        if !self.notes.iter().any(|note| note == remark) {
            self.notes.push(remark.to_owned());
        }
    }

    /// How a connection that may still be open turns out as it stands.
    #[must_use]
    pub fn outcome_so_far(&self) -> Outcome {
        self.outcome.unwrap_or_else(|| match self.decision.as_ref().map(|decision| decision.action) {
            Some(DecisionKind::Bypass) => Outcome::Bypassed,
            Some(DecisionKind::Block) => Outcome::Blocked,
            Some(DecisionKind::Plain) => Outcome::Plain,
            Some(DecisionKind::Inspect) if self.stages.first_byte.is_some() => Outcome::Accepted,
            Some(DecisionKind::Inspect) | None => Outcome::Unused,
        })
    }

    /// The pattern of the rule that decided, or `default`; none where nothing was decided.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.decision.as_ref().map(|decision| decision.rule.as_deref().unwrap_or("default"))
    }
}

/// Who a client is, as far as it says so itself.
#[derive(Clone, Debug, Serialize)]
pub struct ClientFacts {
    /// The peer address.
    pub address: SocketAddr,
    /// The name of its device, from the `Middlebox-Device` header of its CONNECT: a simulated workstation, or a test
    /// that wants its clients told apart, sends one.
    pub device: Option<String>,
    /// The `User-Agent` of its CONNECT or first plain request.
    pub user_agent: Option<String>,
    /// The program that opened the connection, where it runs on this machine and the system says.
    pub process: Option<ClientProcess>,
}

/// A process on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ClientProcess {
    /// Its number.
    pub pid: u32,
    /// Its program file.
    pub program: String,
}

/// How a connection reached the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// HTTP `CONNECT` (RFC 9110, 9.3.6).
    Connect,
    /// A `CONNECT` stream of HTTP/2 (RFC 9113, 8.5).
    ConnectHttp2,
    /// Plain HTTP in absolute form (RFC 9112, 3.2.2).
    AbsoluteForm,
    /// SOCKS 4 or 4a.
    Socks4,
    /// SOCKS 5 (RFC 1928).
    Socks5,
    /// Redirected by the kernel: the client knows of no proxy.
    Transparent,
    /// A port that leads to one place.
    Forward,
}

/// What the policy said of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecisionFacts {
    /// What was done.
    pub action: DecisionKind,
    /// The pattern of the rule that decided; none is the default action.
    pub rule: Option<String>,
    /// The rule's id.
    pub rule_id: Option<String>,
    /// What the rule was compared with: `sni acme.okta.com`.
    pub subject: Option<String>,
    /// The decision in one sentence.
    pub why: String,
    /// How well it is known that the product whose dialect decided would decide like this.
    pub standing: Standing,
    /// What was assumed where that is not established.
    pub assumptions: Vec<String>,
    /// The epoch of the policy that decided.
    pub epoch: u64,
}

/// The origin of an inspected connection, or the target of a tunnel.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OriginFacts {
    /// How it was reached: `direct`, or the parent proxy, without its credentials.
    pub by: Option<Way>,
    /// The address that was connected to; the parent's, where it was reached through one.
    pub address: Option<SocketAddr>,
    /// The TLS version of the origin's leg.
    pub version: Option<&'static str>,
    /// The protocol that the origin chose.
    pub alpn: Option<SmolStr>,
    /// The origin's own certificate.
    pub certificate: Option<Certificate>,
    /// Whether its chain, name and time verified.
    pub trusted: Option<bool>,
    /// Whether it asked for a client certificate, and what it got; none where it did not ask.
    pub client_certificate: Option<ClientCertificate>,
    /// Why it is not trusted, or could not be reached.
    pub fault: Option<String>,
}

/// What an origin got that asked for a client certificate (RFC 8446, 4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificate {
    /// None: there is none for its host. The client's own cannot be presented by the middlebox.
    Missing,
    /// The one that is given for its host.
    Presented,
}

/// The certificate that the middlebox made for the client.
#[derive(Clone, Debug, Serialize)]
pub struct ForgedFacts {
    /// What it says.
    pub certificate: Certificate,
    /// The issuer's common name, the word that people look for.
    pub issuer: Arc<str>,
    /// `origin` where it mirrors the origin's certificate, `name-alone` where none could be had.
    pub mirrored: &'static str,
    /// `inspection-ca`, `untrusted-ca` or `itself`.
    pub signed_by: &'static str,
    /// In what it is wrong on request: the name of the defect.
    pub defect: Option<&'static str>,
    /// Whether it was made for an earlier connection.
    pub cached: bool,
}

/// The client's TLS handshake with the middlebox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HandshakeFacts {
    /// `TLS 1.3` or `TLS 1.2`.
    pub version: &'static str,
    /// The cipher suite, as IANA names it.
    pub cipher: &'static str,
    /// The protocol agreed.
    pub alpn: Option<SmolStr>,
    /// Whether an earlier session was resumed: the client was shown no certificate then.
    pub resumed: bool,
}

/// What the middlebox itself told a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// An HTTP status before any tunnel: 400, 403, 407, 502, 503, 504.
    Status(u16),
    /// An HTTP status inside the inspected TLS.
    StatusInside(u16),
    /// A fatal TLS alert (RFC 8446, section 6), by its name.
    Alert(&'static str),
    /// A TCP reset.
    Reset,
    /// The connection was closed.
    Close,
}

/// One HTTP exchange.
#[derive(Clone, Debug, Serialize)]
pub struct Exchange {
    /// The method.
    pub method: SmolStr,
    /// The `Host` or `:authority`.
    pub host: SmolStr,
    /// The path, without its query.
    pub path: SmolStr,
    /// `HTTP/1.1`, `HTTP/2`.
    pub version: &'static str,
    /// The status of the answer; none where there was none.
    pub status: Option<u16>,
    /// Body bytes of the request, framing included.
    pub request_bytes: u64,
    /// Body bytes of the answer, framing included.
    pub response_bytes: u64,
    /// When its head was there, in microseconds since the connection was opened.
    pub began_us: u64,
    /// From the request's head to the end of the answer, in microseconds.
    pub took_us: u64,
    /// What passed where it became a WebSocket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub websocket: Option<Box<WebSocketFacts>>,
}

/// The frames of a WebSocket that was inspected; never what they carried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WebSocketFacts {
    /// Of the client.
    pub up: WebSocketCounts,
    /// Of the origin.
    pub down: WebSocketCounts,
    /// The first 32 frames, in the order in which they passed.
    pub frames: Vec<SeenFrame>,
}

/// One frame of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenFrame {
    /// Who sent it: `client`, `origin`.
    pub from: &'static str,
    /// What it is.
    pub kind: FrameKind,
    /// Whether its message ends with it.
    pub last: bool,
    /// Bytes of its payload, as they passed.
    pub length: u64,
    /// When its head passed, in microseconds since the connection was opened.
    pub at_us: u64,
}

/// When each stage was reached, in microseconds since the connection was opened.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Stages {
    /// The destination is known.
    pub requested: Option<u64>,
    /// The ClientHello is there, or it is known that none comes.
    pub hello: Option<u64>,
    /// The policy decided.
    pub decided: Option<u64>,
    /// The origin's TCP connection stands.
    pub connected: Option<u64>,
    /// The origin's TLS stands.
    pub origin_tls: Option<u64>,
    /// The forged certificate is there.
    pub forged: Option<u64>,
    /// The client's TLS stands.
    pub client_tls: Option<u64>,
    /// The first application byte of the client came.
    pub first_byte: Option<u64>,
    /// The connection ended.
    pub closed: Option<u64>,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct End {
    /// Who ended it: `client`, `origin`, `middlebox`.
    pub by: &'static str,
    /// How, in words.
    pub how: Cow<'static, str>,
}

impl End {
    /// The client ended it.
    pub fn client(how: impl Into<Cow<'static, str>>) -> Self {
        Self { by: "client", how: how.into() }
    }

    /// The origin ended it.
    pub fn origin(how: impl Into<Cow<'static, str>>) -> Self {
        Self { by: "origin", how: how.into() }
    }

    /// The middlebox ended it.
    pub fn middlebox(how: impl Into<Cow<'static, str>>) -> Self {
        Self { by: "middlebox", how: how.into() }
    }
}

/// Microseconds, as records count them.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
