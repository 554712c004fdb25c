//! Behind a CONNECT: what the client says first, read without being consumed.

use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::upstream::UpstreamError;
use crate::net::{ClientHello, FirstBytes, read_first_bytes, read_some};

/// A client that has said nothing for so long may be waiting for the origin to speak first (SMTP, SSH, MySQL): the
/// origin is then connected to, and whoever speaks first decides.
const SERVER_FIRST: Duration = Duration::from_millis(500);

/// A hello has to be complete within this; so much time has a client that never says anything.
const HELLO: Duration = Duration::from_secs(30);

/// What came behind the CONNECT.
pub(crate) enum Peeked {
    /// A ClientHello; the bytes that hold it, and perhaps more.
    Tls { hello: Box<ClientHello>, bytes: Bytes },
    /// Something else.
    NotTls { bytes: Bytes, why: Option<&'static str> },
    /// The origin spoke first: the connection to it, with its bytes still unread.
    ServerFirst { origin: TcpStream },
    /// The client left without a byte, or inside its hello.
    Left { bytes: usize, how: String },
    /// The origin was dialled for a silent client, and cannot be reached.
    Unreachable(UpstreamError),
}

/// Reads until it is clear what the client speaks. `read` was read before.
pub(crate) async fn peek<D>(client: &mut TcpStream, read: Vec<u8>, dial: impl FnOnce() -> D) -> Peeked
where
    D: Future<Output = Result<TcpStream, UpstreamError>>,
{
    let deadline = Instant::now() + HELLO;
    let mut bytes = read;
    let mut dial = Some(dial);
    loop {
        match read_first_bytes(&bytes) {
            FirstBytes::Hello(hello) => return Peeked::Tls { hello, bytes: bytes.into() },
            FirstBytes::NotTls => return Peeked::NotTls { bytes: bytes.into(), why: None },
            FirstBytes::Malformed(why) => return Peeked::NotTls { bytes: bytes.into(), why: Some(why) },
            FirstBytes::Incomplete => {}
        }
        if bytes.is_empty()
            && let Some(dial) = dial.take()
        {
            match silent(client, dial).await {
                Silent::ClientSpeaks => {}
                Silent::OriginSpeaks(origin) => return Peeked::ServerFirst { origin },
                Silent::Unreachable(error) => return Peeked::Unreachable(error),
            }
        }
        match timeout_at(deadline, read_some(client, &mut bytes)).await {
            Ok(Ok(0)) => return Peeked::Left { bytes: bytes.len(), how: "closed".to_owned() },
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Peeked::Left { bytes: bytes.len(), how: error.to_string() },
            Err(_) => {
                let how = format!("no complete ClientHello within {} s", HELLO.as_secs());
                return Peeked::Left { bytes: bytes.len(), how };
            }
        }
    }
}

enum Silent {
    ClientSpeaks,
    OriginSpeaks(TcpStream),
    Unreachable(UpstreamError),
}

async fn silent<D>(client: &TcpStream, dial: impl FnOnce() -> D) -> Silent
where
    D: Future<Output = Result<TcpStream, UpstreamError>>,
{
    if tokio::time::timeout(SERVER_FIRST, client.readable()).await.is_ok() {
        return Silent::ClientSpeaks;
    }
    let origin = tokio::select! {
        _ = client.readable() => return Silent::ClientSpeaks,
        dialled = dial() => match dialled {
            Ok(origin) => origin,
            Err(error) => return Silent::Unreachable(error),
        },
    };
    tokio::select! {
        _ = client.readable() => Silent::ClientSpeaks,
        _ = origin.readable() => Silent::OriginSpeaks(origin),
        () = tokio::time::sleep(HELLO) => Silent::ClientSpeaks,
    }
}
