//! Behind a CONNECT: what the client says first, read without being consumed.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::client::Client;
use super::upstream::UpstreamError;
use crate::net::{ClientHello, Dialled, FirstBytes, read_first_bytes};

/// A client that has said nothing for so long may be waiting for the origin to speak first (SMTP, SSH, MySQL): the
/// origin is then connected to, and whoever speaks first decides.
const SERVER_FIRST: Duration = Duration::from_millis(500);

/// A hello has to be complete within this; so much time has a client that never says anything.
const HELLO: Duration = Duration::from_secs(30);

/// What came behind the CONNECT. What the client said is still to be read from it.
pub(crate) enum Peeked {
    /// A ClientHello.
    Tls(Box<ClientHello>),
    /// Something else; for TLS records that hold no hello, what is wrong with them.
    NotTls(Option<&'static str>),
    /// The origin spoke first: the connection to it, with its bytes still unread.
    ServerFirst(Dialled),
    /// The client left without a byte, or inside its hello.
    Left { bytes: usize, how: String },
    /// The origin was dialled for a silent client, and cannot be reached.
    Unreachable(UpstreamError),
}

/// Reads until it is clear what the client speaks.
pub(crate) async fn peek<D>(client: &mut Client, dial: impl FnOnce() -> D) -> Peeked
where
    D: Future<Output = Result<Dialled, UpstreamError>>,
{
    let deadline = Instant::now() + HELLO;
    let mut dial = Some(dial);
    loop {
        match read_first_bytes(client.ahead()) {
            FirstBytes::Hello(hello) => return Peeked::Tls(hello),
            FirstBytes::NotTls => return Peeked::NotTls(None),
            FirstBytes::Malformed(why) => return Peeked::NotTls(Some(why)),
            FirstBytes::Incomplete => {}
        }
        let bytes = client.ahead().len();
        if bytes == 0
            && let Some(dial) = dial.take()
        {
            match silent(client, dial).await {
                Silent::ClientStirs => {}
                Silent::OriginSpeaks(origin) => return Peeked::ServerFirst(origin),
                Silent::Unreachable(error) => return Peeked::Unreachable(error),
            }
            if !client.ahead().is_empty() {
                continue;
            }
        }
        match timeout_at(deadline, client.read_ahead()).await {
            Ok(Ok(0)) => return Peeked::Left { bytes, how: "closed".to_owned() },
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Peeked::Left { bytes, how: error.to_string() },
            Err(_) => {
                let how = format!("no complete ClientHello within {} s", HELLO.as_secs());
                return Peeked::Left { bytes, how };
            }
        }
    }
}

enum Silent {
    ClientStirs,
    OriginSpeaks(Dialled),
    Unreachable(UpstreamError),
}

async fn silent<D>(client: &mut Client, dial: impl FnOnce() -> D) -> Silent
where
    D: Future<Output = Result<Dialled, UpstreamError>>,
{
    if timeout(SERVER_FIRST, client.stirs()).await.is_ok() {
        return Silent::ClientStirs;
    }
    let mut origin = tokio::select! {
        () = client.stirs() => return Silent::ClientStirs,
        dialled = dial() => match dialled {
            Ok(origin) => origin,
            Err(error) => return Silent::Unreachable(error),
        },
    };
    tokio::select! {
        () = client.stirs() => Silent::ClientStirs,
        () = origin.stirs() => Silent::OriginSpeaks(origin),
        () = tokio::time::sleep(HELLO) => Silent::ClientStirs,
    }
}
