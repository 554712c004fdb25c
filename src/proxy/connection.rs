//! What a client asks of the proxy: `CONNECT`, or plain HTTP in absolute form.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::credentials::Proof;
use super::exchange::{
    Admission, Gate, Length, MAX_HEAD, Relay, RelayEnd, RequestHead, Side, find_end, leading_empty_lines,
};
use super::peek::{Peeked, peek};
use super::respond::Answer;
use super::tunnel::{self, Ended};
use super::upstream::UpstreamError;
use super::{Shared, intercept};
use crate::journal::{DecisionFacts, DecisionKind, End, Outcome, OwnedSubjects, Pen, Recording, Told, Via};
use crate::net::{ClientHello, Destination, Host, Prefixed, read_some};
use crate::policy::{Action, Asked, Decision, Need, Sni, Subjects};

/// How long an accepted connection may stay silent, and a request head incomplete.
const HEAD: Duration = Duration::from_secs(60);

/// What a client asked for with `CONNECT`.
pub(super) struct Inbound {
    pub(super) destination: Destination,
    /// The host as the client typed it: dialects compare texts.
    pub(super) typed: String,
    pub(super) client: IpAddr,
}

/// Serves one accepted connection to its end. One record for each CONNECT, and one for each run of plain requests to
/// one destination.
pub(super) async fn serve(shared: &Arc<Shared>, mut stream: TcpStream, recording: Recording) {
    let mut buffer = Vec::new();
    let mut first = Some(recording);
    loop {
        // The first record is there from the start; the next ones begin with their first byte.
        let recording = match first.take() {
            Some(recording) => recording,
            None => {
                let next = tokio::select! {
                    next = timeout(HEAD, next_bytes(&mut stream, &mut buffer)) => next,
                    () = shared.stop.cancelled() => return,
                };
                let Ok(Ok(1..)) = next else { return };
                let Ok(peer) = stream.peer_addr() else { return };
                shared.journal.open(peer)
            }
        };
        // Begun while the proxy is ending: too late for it to have been told.
        if shared.stop.is_cancelled() {
            recording.live().drain.cancel();
        }
        let request = match read_request(&mut stream, &mut buffer, &recording).await {
            Ok(request) => request,
            Err(Unread::Ended(outcome, end)) => return recording.finish(outcome, end),
            Err(Unread::Refused(answer)) => return refuse(stream, &recording, &answer, Outcome::Failed).await,
        };
        recording.note(|record| {
            record.client.device = request.header("middlebox-device").map(|name| short(name, 100));
            record.client.user_agent = request.header("user-agent").map(|name| short(name, 200));
        });
        if let Some(answer) = authenticate(shared, &request).await {
            // A client that knows the password answers on the same connection, in a record of its own.
            tell(&mut stream, &recording, &answer).await;
            recording.finish(Outcome::Blocked, End::middlebox(answer.detail.clone()));
            // Only a request without a body leaves the stream at the next one.
            if request.keeps_alive() && request.length == Length::Empty {
                continue;
            }
            return linger(stream).await;
        }
        if request.method == "CONNECT" {
            // In boxes of their own, each stage gives its memory back when the next begins.
            return Box::pin(connect(shared, stream, buffer, &recording, &request)).await;
        }
        match Box::pin(plain(shared, stream, buffer, &recording, request)).await {
            Some((next_stream, next_buffer)) => (stream, buffer) = (next_stream, next_buffer),
            None => return,
        }
    }
}

async fn next_bytes(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<usize> {
    if buffer.is_empty() { read_some(stream, buffer).await } else { Ok(buffer.len()) }
}

enum Unread {
    Ended(Outcome, End),
    Refused(Answer),
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>, pen: &Pen) -> Result<RequestHead, Unread> {
    let deadline = Instant::now() + HEAD;
    let (drain, kill) = (&pen.live().drain, &pen.live().kill);
    loop {
        let empty = leading_empty_lines(buffer);
        buffer.drain(..empty);
        match find_end(buffer) {
            Ok(Some(end)) => {
                let rest = buffer.split_off(end);
                let head = std::mem::replace(buffer, rest);
                return RequestHead::parse(head)
                    .map_err(|error| Unread::Refused(Answer::bad_request(error.to_string())));
            }
            Ok(None) => {}
            Err(_) if looks_like_tls(buffer) => {
                return Err(Unread::Refused(Answer::bad_request("TLS was spoken to a plain HTTP proxy port")));
            }
            Err(error) => return Err(Unread::Refused(Answer::bad_request(error.to_string()))),
        }
        if looks_like_tls(buffer) {
            return Err(Unread::Refused(Answer::bad_request("TLS was spoken to a plain HTTP proxy port")));
        }
        let silent = buffer.is_empty();
        let outcome = if silent { Outcome::Unused } else { Outcome::GaveUp };
        debug_assert!(buffer.len() <= MAX_HEAD * 2);
        tokio::select! {
            read = timeout_at(deadline, read_some(stream, buffer)) => match read {
                Ok(Ok(0)) => return Err(Unread::Ended(outcome, End::client("closed before its request"))),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(Unread::Ended(outcome, End::client(error.to_string()))),
                Err(_) if silent => return Err(Unread::Ended(outcome, End::middlebox("silent for a minute"))),
                Err(_) => return Err(Unread::Refused(Answer::timeout("no complete request within a minute"))),
            },
            () = drain.cancelled(), if silent => return Err(Unread::Ended(outcome, End::middlebox("drained"))),
            () = kill.cancelled() => return Err(Unread::Ended(outcome, End::middlebox("ended"))),
        }
    }
}

fn looks_like_tls(buffer: &[u8]) -> bool {
    matches!(buffer, [22, 3, ..])
}

async fn authenticate(shared: &Shared, request: &RequestHead) -> Option<Answer> {
    let credentials = shared.config.credentials.as_ref()?;
    match credentials.check(request.header("proxy-authorization")).await {
        Proof::Right => None,
        Proof::Missing => Some(Answer::authenticate(false)),
        Proof::Wrong => Some(Answer::authenticate(true)),
    }
}

// ---- CONNECT ------------------------------------------------------------------------------------------------------

async fn connect(
    shared: &Arc<Shared>,
    mut stream: TcpStream,
    buffer: Vec<u8>,
    recording: &Recording,
    request: &RequestHead,
) {
    let destination = match Destination::parse(&request.target) {
        Ok(destination) => destination,
        Err(error) => {
            let answer = Answer::bad_request(format!("CONNECT {}: {error}", short(&request.target, 100)));
            return refuse(stream, recording, &answer, Outcome::Failed).await;
        }
    };
    recording.note(|record| {
        record.via = Some(Via::Connect);
        record.destination = Some(destination.clone());
    });
    recording.stage(|stages| &mut stages.requested);
    let typed = request.target.rsplit_once(':').map_or("", |(host, _)| host).to_owned();
    let client = recording.note(|record| record.client.address.ip().to_canonical());
    let inbound = Inbound { destination, typed, client };
    if is_own_port_by_name(shared, &inbound.destination) {
        let answer = Answer::own_port(&inbound.destination.to_string());
        return refuse(stream, recording, &answer, Outcome::Blocked).await;
    }
    // What the CONNECT host alone decides can still be told in HTTP.
    let early = shared.policy.decide(&subjects(&inbound, Sni::NotYet, None, None));
    if let Asked::Decided(decision) = &early
        && decision.action == Action::Block
    {
        note_decision(recording, &inbound, None, false, decision, decision.action.into());
        shared.policy.count_hit(decision);
        let answer = Answer::blocked(&inbound.destination.host.to_string(), &decision.why.to_string());
        return refuse(stream, recording, &answer, Outcome::Blocked).await;
    }
    if let Err(error) = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await {
        return recording.finish(Outcome::GaveUp, End::client(error.to_string()));
    }
    let (drain, kill) = (&recording.live().drain, &recording.live().kill);
    let peeked = tokio::select! {
        peeked = Box::pin(peek(&mut stream, buffer, || dial(shared, &inbound.destination))) => peeked,
        () = drain.cancelled() => return recording.finish(Outcome::Unused, End::middlebox("drained")),
        () = kill.cancelled() => return recording.finish(Outcome::Unused, End::middlebox("ended")),
    };
    recording.stage(|stages| &mut stages.hello);
    match peeked {
        Peeked::Tls { hello, bytes } => {
            recording.note(|record| record.hello = Some((*hello).clone()));
            Box::pin(tls(shared, stream, bytes, recording, &inbound, &hello)).await;
        }
        Peeked::NotTls { bytes, why } => {
            if let Some(why) = why {
                recording.note(|record| record.notes.push(format!("not TLS: {why}")));
            }
            plain_tunnel(shared, stream, bytes, recording, &inbound, None).await;
        }
        Peeked::ServerFirst { origin } => {
            recording.note(|record| record.notes.push("the origin speaks first".to_owned()));
            plain_tunnel(shared, stream, Bytes::new(), recording, &inbound, Some(origin)).await;
        }
        Peeked::Left { bytes, how } => {
            let outcome = if bytes == 0 { Outcome::Unused } else { Outcome::GaveUp };
            recording.finish(outcome, End::client(how));
        }
        Peeked::Unreachable(error) => {
            fail_unreached(stream, recording, &error);
        }
    }
}

async fn tls(
    shared: &Arc<Shared>,
    stream: TcpStream,
    bytes: Bytes,
    recording: &Recording,
    inbound: &Inbound,
    hello: &ClientHello,
) {
    if let (Some(sni), Some(connect)) = (&hello.sni, inbound.destination.host.name())
        && !sni.eq_ignore_ascii_case(connect)
    {
        recording.note(|record| record.notes.push(format!("the CONNECT names {connect}, the hello {sni}")));
    }
    let decision = Box::pin(decide(shared, recording, inbound, Some(hello))).await;
    let client = Prefixed::new(bytes, stream);
    match decision {
        Action::Block => {
            // access_denied (RFC 8446, 6.2), in plaintext: no key was agreed.
            let (_, mut stream) = client.into_parts();
            let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, 49]).await;
            recording.note(|record| record.told = Some(Told::Alert("access_denied")));
            recording.finish(Outcome::Blocked, End::middlebox("blocked by policy"));
            linger(stream).await;
        }
        Action::Bypass => {
            let origin = tokio::select! {
                origin = dial(shared, &inbound.destination) => origin,
                () = left(client.inner()) => {
                    return recording.finish(Outcome::GaveUp, End::client("left before the origin was reached"));
                }
                () = recording.live().kill.cancelled() => return killed(client.into_parts().1, recording),
            };
            let (bytes, stream) = client.into_parts();
            let origin = match origin {
                Ok(origin) => origin,
                Err(error) => return fail_unreached(stream, recording, &error),
            };
            note_origin_address(recording, &origin);
            recording.finish(Outcome::Bypassed, through(recording, stream, origin, &bytes).await);
        }
        Action::Inspect => Box::pin(intercept::run(shared, client, recording, inbound, hello)).await,
    }
}

/// Passes bytes that are no TLS, recorded as such; blocked hosts were refused before the tunnel.
async fn plain_tunnel(
    shared: &Arc<Shared>,
    stream: TcpStream,
    bytes: Bytes,
    recording: &Recording,
    inbound: &Inbound,
    origin: Option<TcpStream>,
) {
    if decide(shared, recording, inbound, None).await == Action::Block {
        recording.note(|record| record.told = Some(Told::Reset));
        recording.finish(Outcome::Blocked, End::middlebox("blocked by policy"));
        return reset(stream);
    }
    let origin = match origin {
        Some(origin) => origin,
        None => tokio::select! {
            origin = dial(shared, &inbound.destination) => match origin {
                Ok(origin) => origin,
                Err(error) => return fail_unreached(stream, recording, &error),
            },
            () = recording.live().kill.cancelled() => return killed(stream, recording),
        },
    };
    note_origin_address(recording, &origin);
    recording.finish(Outcome::Plain, through(recording, stream, origin, &bytes).await);
}

/// Passes the bytes of both sides; a tunnel that did not end in order ends with a reset on both.
async fn through(pen: &Pen, mut client: TcpStream, mut origin: TcpStream, early: &[u8]) -> End {
    let Ended { end, clean } = Box::pin(tunnel::run(pen.live(), &mut client, &mut origin, early, &[])).await;
    if !clean {
        reset(client);
        reset(origin);
    }
    end
}

/// Asks the policy until it decides, fetching what it needs; the policy in force at the last asking counts.
async fn decide(shared: &Arc<Shared>, recording: &Recording, inbound: &Inbound, hello: Option<&ClientHello>) -> Action {
    let sni = match hello {
        None => Sni::NotTls,
        Some(ClientHello { sni: Some(name), .. }) => Sni::Name(name),
        Some(_) => Sni::Absent,
    };
    let (mut address, mut certificate): (Option<IpAddr>, Option<Vec<String>>) = (None, None);
    loop {
        let asked = shared.policy.decide(&subjects(inbound, sni, address, certificate.as_deref()));
        let decision = match asked {
            Asked::Decided(decision) => decision,
            Asked::Needs(Need::Address) if address.is_none() => {
                let resolved = shared.upstream.dialer().resolve(&inbound.destination).await;
                address = resolved.ok().and_then(|found| found.first().map(std::net::SocketAddr::ip));
                address.get_or_insert(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
                continue;
            }
            Asked::Needs(Need::OriginCertificate) if certificate.is_none() => {
                certificate = Some(intercept::certificate_names(shared, inbound, hello).await);
                continue;
            }
            // All there is to know is known, and the policy still asks: what it would do without a rule is safe.
            Asked::Needs(_) => return shared.policy.current().default_action(),
        };
        let mut action = decision.action;
        let host = name_of(inbound, hello);
        if action == Action::Inspect && hello.is_some() && !shared.authority.permits(&host) {
            recording.note(|record| {
                record.notes.push(format!("bypassed: the inspection CA is constrained and may not sign for {host}"));
            });
            action = Action::Bypass;
        }
        let kind = match (hello, action) {
            (None, Action::Inspect | Action::Bypass) => DecisionKind::Plain,
            _ => action.into(),
        };
        note_decision(recording, inbound, sni_of(sni), hello.is_some(), &decision, kind);
        // A change between the asking and the noting would have missed this connection: ask again.
        if shared.policy.current().epoch() == decision.epoch {
            shared.policy.count_hit(&decision);
            debug!(action = %kind, why = %decision.why, "decided");
            return action;
        }
    }
}

fn sni_of(sni: Sni<'_>) -> Option<&str> {
    match sni {
        Sni::Name(name) => Some(name),
        Sni::Absent | Sni::NotTls | Sni::NotYet => None,
    }
}

/// The name that is asked for, forged and verified: the SNI where it is a host, else the CONNECT host.
pub(super) fn name_of(inbound: &Inbound, hello: Option<&ClientHello>) -> Host {
    let sni = hello.and_then(|hello| hello.sni.as_deref()).and_then(|name| Host::parse(name).ok());
    sni.unwrap_or_else(|| inbound.destination.host.clone())
}

fn subjects<'a>(
    inbound: &'a Inbound,
    sni: Sni<'a>,
    address: Option<IpAddr>,
    certificate: Option<&'a [String]>,
) -> Subjects<'a> {
    Subjects {
        connect_host: Some(&inbound.typed),
        port: inbound.destination.port,
        sni,
        address,
        certificate,
        client: Some(inbound.client),
    }
}

fn note_decision(
    recording: &Recording,
    inbound: &Inbound,
    sni: Option<&str>,
    tls: bool,
    decision: &Decision,
    action: DecisionKind,
) {
    let owned = OwnedSubjects {
        connect_host: Some(inbound.typed.clone()),
        port: inbound.destination.port,
        sni: sni.map(ToOwned::to_owned),
        tls,
        address: None,
        client: Some(inbound.client),
    };
    recording.decided(owned, facts_of(decision, action));
}

fn facts_of(decision: &Decision, action: DecisionKind) -> DecisionFacts {
    DecisionFacts {
        action,
        rule: decision.rule.as_ref().map(|rule| rule.pattern.to_string()),
        rule_id: decision.rule.as_ref().map(|rule| rule.id.to_string()),
        subject: decision.subject.as_ref().map(|subject| format!("{} {}", subject.kind, subject.text)),
        why: decision.why.to_string(),
        epoch: decision.epoch,
    }
}

// ---- plain HTTP -----------------------------------------------------------------------------------------------------

/// Forwards requests in absolute form to one destination; gives the stream back when the next one goes elsewhere.
async fn plain(
    shared: &Arc<Shared>,
    stream: TcpStream,
    mut buffer: Vec<u8>,
    recording: &Recording,
    request: RequestHead,
) -> Option<(TcpStream, Vec<u8>)> {
    let (destination, typed) = match absolute_target(&request) {
        Ok((destination, typed, _)) => (destination, typed),
        Err(answer) => {
            refuse(stream, recording, &answer, Outcome::Failed).await;
            return None;
        }
    };
    recording.note(|record| {
        record.via = Some(Via::AbsoluteForm);
        record.destination = Some(destination.clone());
    });
    recording.stage(|stages| &mut stages.requested);
    let client = recording.note(|record| record.client.address.ip().to_canonical());
    let inbound = Inbound { destination, typed, client };
    if is_own_port_by_name(shared, &inbound.destination) {
        let answer = Answer::own_port(&inbound.destination.to_string());
        refuse(stream, recording, &answer, Outcome::Blocked).await;
        return None;
    }
    if decide(shared, recording, &inbound, None).await == Action::Block {
        let why = recording.note(|record| record.decision.as_ref().map(|decision| decision.why.clone()));
        let answer = Answer::blocked(&inbound.destination.host.to_string(), &why.unwrap_or_default());
        refuse(stream, recording, &answer, Outcome::Blocked).await;
        return None;
    }
    let origin = tokio::select! {
        origin = dial(shared, &inbound.destination) => origin,
        () = left(&stream) => {
            recording.finish(Outcome::GaveUp, End::client("left before the origin was reached"));
            return None;
        }
        () = recording.live().kill.cancelled() => {
            killed(stream, recording);
            return None;
        }
    };
    let origin = match origin {
        Ok(origin) => origin,
        Err(error) => {
            refuse(stream, recording, &error.answer(), Outcome::Failed).await;
            return None;
        }
    };
    note_origin_address(recording, &origin);

    let authorization = request.header("proxy-authorization").map(ToOwned::to_owned);
    let mut head = request.into_bytes();
    head.append(&mut buffer);
    let mut client = Side::new(stream, head);
    let mut origin = Side::new(origin, Vec::new());
    let mut gate = OneDestination { authorization, destination: &inbound.destination };
    let relay = Relay { recording, dropped: &[], added: &[] };
    match relay.run(&mut client, &mut origin, &mut gate).await {
        RelayEnd::Elsewhere => {
            recording.finish(Outcome::Plain, End::client("went on to another destination"));
            let Side { reader, writer, buffer } = client;
            Some((reader.unsplit(writer), buffer))
        }
        RelayEnd::Closed { end, clean } => {
            let exchanges = recording.note(|record| record.exchanges.iter().any(|exchange| exchange.status.is_some()));
            let outcome = if exchanges || clean { Outcome::Plain } else { Outcome::Failed };
            recording.finish(outcome, end);
            let stream = client.reader.unsplit(client.writer);
            if clean {
                linger(stream).await;
            } else {
                reset(stream);
            }
            None
        }
    }
}

/// Keeps a run of plain requests to the destination it began with.
struct OneDestination<'a> {
    /// The credentials that were checked where the run began.
    authorization: Option<String>,
    destination: &'a Destination,
}

impl Gate for OneDestination<'_> {
    fn admit(&mut self, request: &RequestHead) -> Admission {
        match absolute_target(request) {
            // Each request carries its credentials (RFC 9110, 11.7.2): other ones are checked anew.
            _ if request.header("proxy-authorization") != self.authorization.as_deref() => Admission::Elsewhere,
            Ok((destination, _, target)) if destination == *self.destination => {
                let named = Destination::parse_or(request.host(), 80);
                let host = (named.as_ref() != Ok(self.destination)).then(|| authority_of(&request.target).to_owned());
                Admission::Forward { target, host }
            }
            Ok(_) | Err(_) => Admission::Elsewhere,
        }
    }
}

/// The authority of a target in absolute form.
fn authority_of(target: &str) -> &str {
    let rest = target.split_once("://").map_or("", |(_, rest)| rest);
    &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())]
}

/// Destination, host as typed, and the origin-form target of a request in absolute form (RFC 9112, 3.2.2).
fn absolute_target(request: &RequestHead) -> Result<(Destination, String, String), Answer> {
    let Some((scheme, rest)) = request.target.split_once("://") else {
        let mut answer = Answer::bad_request("this is an HTTP proxy, and the request is not meant for one");
        answer.hint =
            Some("set it as your client's proxy, as in `curl --proxy http://ADDRESS https://example.com`".into());
        return Err(answer);
    };
    if !scheme.eq_ignore_ascii_case("http") {
        let mut answer = Answer::bad_request(format!("{scheme}:// cannot be asked for like this"));
        answer.hint = Some("https:// is reached with CONNECT".into());
        return Err(answer);
    }
    let (authority, path) = rest.split_at(authority_of(&request.target).len());
    let path = path.split('#').next().unwrap_or_default();
    let path = match path.as_bytes().first() {
        Some(b'/') => path.to_owned(),
        Some(_) => format!("/{path}"),
        // OPTIONS for the whole server keeps its asterisk form (RFC 9112, 3.2.4).
        None if request.method == "OPTIONS" => "*".to_owned(),
        None => "/".to_owned(),
    };
    if authority.contains('@') {
        return Err(Answer::bad_request("credentials in a URL are not passed on"));
    }
    let destination = Destination::parse_or(authority, 80).map_err(|error| Answer::bad_request(error.to_string()))?;
    let typed = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    Ok((destination, typed.to_owned(), path))
}

// ---- what both have in common ---------------------------------------------------------------------------------------

/// Connects to a destination, but never to this program itself.
pub(super) async fn dial(shared: &Shared, destination: &Destination) -> Result<TcpStream, UpstreamError> {
    let stream = shared.upstream.dialer().dial(destination).await?;
    if let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) {
        let here = peer.ip().is_loopback() || peer.ip() == local.ip();
        let own = std::iter::once(&shared.address).chain(&shared.config.own_ports);
        if here && own.into_iter().any(|own| own.port() == peer.port()) {
            return Err(UpstreamError::OwnPort(destination.clone()));
        }
    }
    Ok(stream)
}

/// Whether a destination is this program by its literal text; what names resolve to is seen when they are dialled.
fn is_own_port_by_name(shared: &Shared, destination: &Destination) -> bool {
    let here = match &destination.host {
        Host::Ip(ip) => ip.is_loopback() || ip.is_unspecified() || *ip == shared.address.ip(),
        Host::Name(name) => &**name == "localhost",
    };
    let own = std::iter::once(&shared.address).chain(&shared.config.own_ports);
    here && own.into_iter().any(|own| own.port() == destination.port)
}

fn note_origin_address(pen: &Pen, origin: &TcpStream) {
    let address = origin.peer_addr().ok();
    pen.note(|record| record.origin.get_or_insert_default().address = address);
    pen.stage(|stages| &mut stages.connected);
}

/// Waits until the client has left; a client that says more stays.
pub(super) async fn left(stream: &TcpStream) {
    match stream.peek(&mut [0]).await {
        Ok(0) | Err(_) => {}
        Ok(_) => std::future::pending().await,
    }
}

/// Behind a `200` nothing can be said in HTTP: an origin that cannot be reached is a reset.
fn fail_unreached(stream: TcpStream, recording: &Recording, error: &UpstreamError) {
    let outcome = if matches!(error, UpstreamError::OwnPort(_)) { Outcome::Blocked } else { Outcome::Failed };
    recording.note(|record| {
        record.told = Some(Told::Reset);
        record.origin.get_or_insert_default().fault = Some(error.to_string());
    });
    recording.finish(outcome, End::middlebox(error.to_string()));
    reset(stream);
}

/// Ended by a change of policy, or with the proxy, before anything came of it.
fn killed(stream: TcpStream, recording: &Recording) {
    recording.note(|record| record.told = Some(Told::Reset));
    recording.finish(Outcome::Unused, End::middlebox("ended"));
    reset(stream);
}

async fn refuse(mut stream: TcpStream, recording: &Recording, answer: &Answer, outcome: Outcome) {
    tell(&mut stream, recording, answer).await;
    recording.finish(outcome, End::middlebox(answer.detail.clone()));
    linger(stream).await;
}

async fn tell(stream: &mut TcpStream, pen: &Pen, answer: &Answer) {
    pen.note(|record| record.told = Some(Told::Status(answer.status.as_u16())));
    let _ = stream.write_all(&answer.to_http1()).await;
}

/// Closes so that what was written arrives: a socket closed with unread bytes resets, and a reset can overtake.
pub(super) async fn linger(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let mut unread = Vec::new();
    let drained =
        async { while matches!(read_some(&mut stream, &mut unread).await, Ok(1..)) && unread.len() < (1 << 20) {} };
    let _ = timeout(Duration::from_secs(1), drained).await;
}

/// Closes with a reset.
pub(super) fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
    drop(stream);
}

fn short(text: &str, limit: usize) -> String {
    text.chars().take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<(String, String, String), u16> {
        let head = format!("GET {text} HTTP/1.1\r\nHost: x\r\n\r\n");
        let request = RequestHead::parse(head.into_bytes()).unwrap();
        absolute_target(&request)
            .map(|(destination, typed, path)| (destination.to_string(), typed, path))
            .map_err(|answer| answer.status.as_u16())
    }

    #[test]
    fn absolute_targets_become_origin_form() {
        let three = |a: &str, b: &str, c: &str| Ok((a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(target("http://a.example/x?y#z"), three("a.example:80", "a.example", "/x?y"));
        assert_eq!(target("HTTP://A.example:8080"), three("a.example:8080", "A.example", "/"));
        assert_eq!(target("http://[::1]:81?q"), three("[::1]:81", "[::1]", "/?q"));
        assert_eq!(target("/x"), Err(400));
        assert_eq!(target("https://a.example/"), Err(400));
        assert_eq!(target("http://user@a.example/"), Err(400));
        assert_eq!(target("http:///x"), Err(400));
    }
}
