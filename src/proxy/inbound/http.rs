//! HTTP/1.1 to the proxy: `CONNECT` (RFC 9110, 9.3.6), and requests in absolute form (RFC 9112, 3.2.2).

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use super::{Inbound, REQUEST, Stopped, Tunnel, read_more, refuse, short, tell};
use crate::journal::{End, Outcome, Pen, Recording, Via};
use crate::net::{Destination, Way};
use crate::proxy::client::Client;
use crate::proxy::credentials::Proof;
use crate::proxy::exchange::{
    Admission, Gate, Length, Relay, RelayEnd, RequestHead, Side, find_end, leading_empty_lines,
};
use crate::proxy::respond::Answer;
use crate::proxy::upstream::UpstreamError;
use crate::proxy::{Authenticate, Shared, connection};

/// Serves requests until one of them asks for a tunnel. One record for each CONNECT, and one for each run of
/// plain requests to one destination.
pub(super) async fn serve(shared: &Arc<Shared>, mut client: Client, recording: Recording) -> Option<Tunnel> {
    let peer = recording.note(|record| record.client.address);
    let mut first = Some(recording);
    loop {
        // The first record is there from the start; the next ones begin with their first byte.
        let recording = match first.take() {
            Some(recording) => recording,
            None => {
                if client.ahead().is_empty() {
                    let next = tokio::select! {
                        next = timeout(REQUEST, client.read_ahead()) => next,
                        () = shared.stop.cancelled() => return None,
                    };
                    let Ok(Ok(1..)) = next else { return None };
                }
                shared.journal.open(peer)
            }
        };
        // Begun while the proxy is ending: too late for it to have been told.
        if shared.stop.is_cancelled() {
            recording.live().drain.cancel();
        }
        let request = match read_request(&mut client, &recording).await {
            Ok(request) => request,
            Err(Unread::Ended(outcome, end)) => {
                recording.finish(outcome, end);
                return None;
            }
            Err(Unread::Refused(answer)) => {
                Box::pin(refuse(client, &recording, &answer, Outcome::Failed)).await;
                return None;
            }
        };
        recording.note(|record| {
            record.client.device = request.header("middlebox-device").map(|name| short(name, 100));
            record.client.user_agent = request.header("user-agent").map(|name| short(name, 200));
            record.via = Some(if request.method == "CONNECT" { Via::Connect } else { Via::AbsoluteForm });
        });
        let tunnel = (request.method == "CONNECT").then_some(request.target.as_str());
        if let Some(answer) = authenticate(shared, &recording, tunnel, request.header("proxy-authorization")).await {
            // A client that knows the password answers on the same connection, in a record of its own.
            Box::pin(tell(&mut client, &recording, &answer)).await;
            recording.finish(Outcome::Blocked, End::middlebox(answer.detail.clone()));
            // Only a request without a body leaves the stream at the next one.
            if request.keeps_alive() && request.length == Length::Empty {
                continue;
            }
            Box::pin(client.linger()).await;
            return None;
        }
        if request.method == "CONNECT" {
            return Box::pin(connect(shared, client, recording, &request.target)).await;
        }
        client = Box::pin(plain(shared, client, &recording, request)).await?;
    }
}

enum Unread {
    Ended(Outcome, End),
    Refused(Answer),
}

async fn read_request(client: &mut Client, pen: &Pen) -> Result<RequestHead, Unread> {
    let deadline = Instant::now() + REQUEST;
    loop {
        let empty = leading_empty_lines(client.ahead());
        client.take(empty);
        match find_end(client.ahead()) {
            Ok(Some(end)) => {
                let head = client.take(end);
                return RequestHead::parse(head)
                    .map_err(|error| Unread::Refused(Answer::bad_request(error.to_string())));
            }
            Ok(None) if is_foreign(client.ahead()) => {
                let answer = Answer::bad_request("the first line is not one of HTTP/1.1");
                return Err(Unread::Refused(answer));
            }
            Ok(None) => {}
            Err(error) => return Err(Unread::Refused(Answer::bad_request(error.to_string()))),
        }
        read_more(client, pen, deadline).await.map_err(|stopped| match stopped {
            Stopped::Ended(outcome, end) => Unread::Ended(outcome, end),
            Stopped::TimedOut => Unread::Refused(Answer::timeout("no complete request within a minute")),
        })?;
    }
}

/// Whether a first line is complete and not one of HTTP/1: the end of such a head may never come.
fn is_foreign(ahead: &[u8]) -> bool {
    let line = ahead.split(|byte| *byte == b'\n').next().filter(|line| line.len() < ahead.len());
    line.is_some_and(|line| !line.windows(8).any(|bytes| bytes == b" HTTP/1."))
}

/// The answer to a request that does not prove who sends it; none where that is not asked, or proven. `tunnel` is the
/// target of a `CONNECT`.
pub(super) async fn authenticate(
    shared: &Shared,
    pen: &Pen,
    tunnel: Option<&str>,
    header: Option<&str>,
) -> Option<Answer> {
    let credentials = shared.config.credentials.as_ref()?;
    if shared.config.authenticate == Authenticate::NotForBypassed
        && let Some(Ok((destination, typed))) = tunnel.map(connect_target)
    {
        let client = pen.note(|record| record.client.address.ip().to_canonical());
        if connection::is_bypassed_by_name(shared, &Inbound { destination, typed: Some(typed), client }) {
            return None;
        }
    }
    match credentials.check(header).await {
        Proof::Right => None,
        Proof::Missing => Some(Answer::authenticate(false)),
        Proof::Wrong => Some(Answer::authenticate(true)),
    }
}

/// Reads the target of a `CONNECT`, and the host in it as the client typed it.
pub(super) fn connect_target(target: &str) -> Result<(Destination, String), Answer> {
    let destination = Destination::parse(target)
        .map_err(|error| Answer::bad_request(format!("CONNECT {}: {error}", short(target, 100))))?;
    let typed = target.rsplit_once(':').map_or("", |(host, _)| host).to_owned();
    Ok((destination, typed))
}

async fn connect(shared: &Arc<Shared>, mut client: Client, recording: Recording, target: &str) -> Option<Tunnel> {
    let (destination, typed) = match connect_target(target) {
        Ok(target) => target,
        Err(answer) => {
            refuse(client, &recording, &answer, Outcome::Failed).await;
            return None;
        }
    };
    let inbound = connection::arrive(&recording, Via::Connect, destination, Some(typed));
    if let Err(answer) = connection::admit(shared, &recording, &inbound) {
        refuse(client, &recording, &answer, Outcome::Blocked).await;
        return None;
    }
    let told = async {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        client.flush().await
    };
    if let Err(error) = told.await {
        recording.finish(Outcome::GaveUp, End::client(error.to_string()));
        return None;
    }
    Some(Tunnel::new(client, recording, inbound))
}

/// Forwards requests in absolute form to one destination; gives the client back when the next one goes elsewhere.
async fn plain(
    shared: &Arc<Shared>,
    mut client: Client,
    recording: &Recording,
    request: RequestHead,
) -> Option<Client> {
    let (destination, typed) = match absolute_target(&request) {
        Ok((destination, typed, _)) => (destination, typed),
        Err(answer) => {
            refuse(client, recording, &answer, Outcome::Failed).await;
            return None;
        }
    };
    let inbound = connection::arrive(recording, Via::AbsoluteForm, destination, Some(typed));
    if let Err(answer) = connection::admit_plain(shared, recording, &inbound).await {
        refuse(client, recording, &answer, Outcome::Blocked).await;
        return None;
    }
    let origin = tokio::select! {
        origin = shared.upstream.dialer().dial_for_requests(&inbound.destination) => origin.map_err(UpstreamError::from),
        () = client.lost() => {
            recording.finish(Outcome::GaveUp, End::client("left before the origin was reached"));
            return None;
        }
        () = recording.live().kill.cancelled() => {
            connection::killed(&mut client, recording);
            return None;
        }
    };
    let origin = match origin {
        Ok(origin) => origin,
        Err(error) => {
            connection::note_unreached(shared, recording, &error);
            refuse(client, recording, &error.answer(), Outcome::Failed).await;
            return None;
        }
    };
    connection::note_origin_address(recording, &origin);
    // An HTTP parent takes the requests as a proxy does: in absolute form, with credentials of ours.
    let parent = match origin.by() {
        Way::Parent(parent) if origin.is_forwarding() => Some(Arc::clone(parent)),
        Way::Parent(_) | Way::Direct => None,
    };
    let login = parent.as_ref().and_then(|parent| parent.authorization());
    let added = login.map(|value| format!("Proxy-Authorization: {value}\r\n")).unwrap_or_default();

    let authorization = request.header("proxy-authorization").map(ToOwned::to_owned);
    client.put_back(request.into_bytes());
    let mut client = Side::new(client, Vec::new());
    let mut origin = Side::new(origin, Vec::new());
    let mut gate = OneDestination { authorization, destination: &inbound.destination, absolute: parent.is_some() };
    let relay = Relay {
        recording,
        dropped: &[],
        added: added.as_bytes(),
        limits: shared.config.limits,
        parent: parent.as_ref().map(|parent| (parent, &inbound.destination)),
    };
    match Box::pin(relay.run(&mut client, &mut origin, &mut gate)).await {
        RelayEnd::Elsewhere => {
            recording.finish(Outcome::Plain, End::client("went on to another destination"));
            Some(reunite(client))
        }
        RelayEnd::Closed { end, clean, .. } => {
            let answered = recording.note(|record| record.exchanges.iter().any(|exchange| exchange.status.is_some()));
            let outcome = if answered || clean { Outcome::Plain } else { Outcome::Failed };
            recording.finish(outcome, end);
            let mut client = reunite(client);
            if clean {
                client.linger().await;
            } else {
                client.reset();
            }
            None
        }
    }
}

fn reunite(side: Side<Client>) -> Client {
    let Side { reader, writer, buffer } = side;
    let mut client = reader.unsplit(writer);
    client.put_back(buffer);
    client
}

/// Keeps a run of plain requests to the destination it began with.
struct OneDestination<'a> {
    /// The credentials that were checked where the run began.
    authorization: Option<String>,
    destination: &'a Destination,
    /// Whether the requests go on to another proxy.
    absolute: bool,
}

impl Gate for OneDestination<'_> {
    fn admit(&mut self, request: &RequestHead) -> Admission {
        match absolute_target(request) {
            // Each request carries its credentials (RFC 9110, 11.7.2): other ones are checked anew.
            _ if request.header("proxy-authorization") != self.authorization.as_deref() => Admission::Elsewhere,
            Ok((destination, _, path)) if destination == *self.destination => {
                // The host that was decided on is the one that the origin is told (RFC 9112, 3.2.2).
                let named = Destination::parse_or(request.host(), 80);
                let host = (named.as_ref() != Ok(self.destination)).then(|| authority_of(&request.target).to_owned());
                let whole = || request.target.split('#').next().unwrap_or_default().to_owned();
                Admission::Forward { target: if self.absolute { whole() } else { path }, host }
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
