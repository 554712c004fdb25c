//! What a client asks for, and by which door it came: HTTP `CONNECT`, plain HTTP, SOCKS, TLS to the proxy, HTTP/2, or
//! no question at all (transparent and forwarded ports). Every door ends in one [`Tunnel`], or serves the client itself.

mod http;
mod http2;
mod socks;
mod tls;
mod transparent;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use super::client::{Carrier, Client};
use super::respond::Answer;
use crate::journal::{End, Outcome, Pen, Recording, Told};
use crate::net::{AcceptedEnd, Destination};

pub(super) use self::transparent::{listen as listen_transparent, serve as serve_transparent};

/// How long an accepted connection may stay silent, and its first request incomplete.
const REQUEST: Duration = Duration::from_secs(60);

/// How long a client that is turned away may take to show what it speaks.
const TURNED_AWAY: Duration = Duration::from_secs(5);

/// A fatal alert in plaintext, where no key is agreed (RFC 8446, 6.2).
pub(super) const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// What a client asked for.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) destination: Destination,
    /// The host as the client named it, since dialects compare texts; none where it named none (transparent).
    pub(super) typed: Option<String>,
    pub(super) client: IpAddr,
}

/// A client that was told that its connection stands. What comes through it next decides what it is.
pub(super) struct Tunnel {
    pub(super) client: Client,
    pub(super) recording: Recording,
    pub(super) inbound: Inbound,
    /// Kept for as long as the connection is served, where the kernel redirected it.
    pub(super) end: Option<AcceptedEnd>,
}

impl Tunnel {
    pub(super) fn new(client: Client, recording: Recording, inbound: Inbound) -> Self {
        Self { client, recording, inbound, end: None }
    }
}

/// Looks at the first bytes of an accepted connection, and opens the door that they knock at. What does not become a
/// tunnel is served to its end.
pub(super) async fn serve(shared: &Arc<Shared>, mut client: Client, recording: Recording) -> Option<Tunnel> {
    let protocol = match recognise(&mut client, &recording).await {
        Ok(protocol) => protocol,
        Err((outcome, end)) => {
            recording.finish(outcome, end);
            return None;
        }
    };
    match protocol {
        Protocol::Http1 => Box::pin(http::serve(shared, client, recording)).await,
        Protocol::Http2 => {
            Box::pin(http2::serve(shared, client, recording)).await;
            None
        }
        Protocol::Socks4 => Box::pin(socks::serve4(shared, client, recording)).await,
        Protocol::Socks5 => Box::pin(socks::serve5(shared, client, recording)).await,
        Protocol::Tls => Box::pin(tls::serve(shared, client, recording)).await,
        Protocol::Unknown => {
            let answer = Answer::bad_request("this is neither HTTP, nor SOCKS, nor TLS");
            Box::pin(refuse(client, &recording, &answer, Outcome::Failed)).await;
            None
        }
    }
}

/// Turns a client away that may not use the proxy, in its own language where that has a word for it.
pub(super) async fn turn_away(mut client: Client, recording: &Recording, answer: &Answer) {
    let recognised = timeout(TURNED_AWAY, recognise(&mut client, recording)).await;
    let words: &[u8] = match recognised {
        // Silent ones too: a person with a terminal reads it.
        Ok(Ok(Protocol::Http1 | Protocol::Unknown)) | Err(_) => {
            return refuse(client, recording, answer, Outcome::Blocked).await;
        }
        Ok(Err((outcome, end))) => return recording.finish(outcome, end),
        Ok(Ok(Protocol::Http2)) => &[],
        Ok(Ok(Protocol::Socks4)) => &socks::DENIED4,
        Ok(Ok(Protocol::Socks5)) => &socks::NO_METHOD5,
        Ok(Ok(Protocol::Tls)) => &ACCESS_DENIED,
    };
    recording.note(|record| {
        record.told =
            Some(if recognised == Ok(Ok(Protocol::Tls)) { Told::Alert("access_denied") } else { Told::Close });
    });
    let _ = client.write_all(words).await;
    recording.finish(Outcome::Blocked, End::middlebox(answer.detail.clone()));
    client.linger().await;
}

/// What is spoken to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    /// With prior knowledge (RFC 9113, 3.3), or by ALPN inside TLS.
    Http2,
    Socks4,
    Socks5,
    Tls,
    Unknown,
}

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads until the first bytes tell, however they are cut.
async fn recognise(client: &mut Client, pen: &Pen) -> Result<Protocol, (Outcome, End)> {
    let deadline = Instant::now() + REQUEST;
    loop {
        match client.ahead() {
            [] => {}
            [4, ..] => return Ok(Protocol::Socks4),
            [5, ..] => return Ok(Protocol::Socks5),
            [22, ..] => return Ok(Protocol::Tls),
            bytes if bytes.starts_with(HTTP2_PREFACE) => return Ok(Protocol::Http2),
            bytes if HTTP2_PREFACE.starts_with(bytes) => {}
            // A method, or an empty line before it (RFC 9112, 2.2); no use waiting for the end of anything else.
            [b'A'..=b'Z' | b'a'..=b'z' | b'\r', ..] => return Ok(Protocol::Http1),
            _ => return Ok(Protocol::Unknown),
        }
        read_more(client, pen, deadline).await.map_err(Stopped::ended)?;
    }
}

/// Why there is no more of a request.
enum Stopped {
    Ended(Outcome, End),
    /// Time is over, and the client is still there.
    TimedOut,
}

impl Stopped {
    fn ended(self) -> (Outcome, End) {
        match self {
            Self::Ended(outcome, end) => (outcome, end),
            Self::TimedOut => (Outcome::GaveUp, End::middlebox("no complete request within a minute")),
        }
    }
}

/// Reads more of a request that is not complete.
async fn read_more(client: &mut Client, pen: &Pen, deadline: Instant) -> Result<(), Stopped> {
    let silent = client.ahead().is_empty();
    let outcome = if silent { Outcome::Unused } else { Outcome::GaveUp };
    let live = pen.live();
    tokio::select! {
        read = timeout_at(deadline, client.read_ahead()) => match read {
            Ok(Ok(0)) => Err(Stopped::Ended(outcome, End::client("closed before its request"))),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Stopped::Ended(outcome, End::client(error.to_string()))),
            Err(_) if silent => Err(Stopped::Ended(outcome, End::middlebox("silent for a minute"))),
            Err(_) => Err(Stopped::TimedOut),
        },
        () = live.drain.cancelled(), if silent => Err(Stopped::Ended(outcome, End::middlebox("drained"))),
        () = live.kill.cancelled() => Err(Stopped::Ended(outcome, End::middlebox("ended"))),
    }
}

/// The name of a program or device, cut to what a record keeps.
fn short(text: &str, limit: usize) -> String {
    text.chars().take(limit).collect()
}

/// Writes the proxy's own answer in HTTP/1.1.
async fn tell(client: &mut Client, pen: &Pen, answer: &Answer) {
    pen.note(|record| record.told = Some(Told::Status(answer.status.as_u16())));
    let _ = client.write_all(&answer.to_http1()).await;
    let _ = client.flush().await;
}

/// Refuses in HTTP/1.1, and closes.
pub(super) async fn refuse(mut client: Client, recording: &Recording, answer: &Answer, outcome: Outcome) {
    tell(&mut client, recording, answer).await;
    recording.finish(outcome, End::middlebox(answer.detail.clone()));
    client.linger().await;
}

impl Client {
    /// A client on a TCP connection.
    pub(super) fn tcp(stream: tokio::net::TcpStream) -> Self {
        Self::new(Carrier::Tcp(stream))
    }
}
