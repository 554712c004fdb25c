//! The server's half of a WebSocket (RFC 6455) that returns every message.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::reply::{self, ReplyBody};
use super::serve::Gate;

/// The constant of RFC 6455, section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The largest payload of one frame.
const FRAME_BYTES: u64 = 16 << 20;
/// How long the client may stay silent, or take to accept an echo.
const IDLE: Duration = Duration::from_secs(300);

/// Answers the opening handshake (section 4.2) and echoes on the upgraded connection.
pub(super) fn answer(gate: &Gate, mut request: Request<Incoming>) -> Response<ReplyBody> {
    let Some(accept) = accept_value(&request) else {
        let hint = "this is a WebSocket: open it with GET over HTTP/1.1, `Upgrade: websocket` and version 13\n";
        let mut response = reply::text(StatusCode::UPGRADE_REQUIRED, hint);
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return response;
    };
    let upgrade = hyper::upgrade::on(&mut request);
    gate.spawn(async move {
        match upgrade.await {
            Ok(upgraded) => echo(TokioIo::new(upgraded)).await,
            Err(error) => tracing::debug!(%error, "a WebSocket was not upgraded"),
        }
    });
    let mut response = Response::new(reply::full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

fn accept_value(request: &Request<Incoming>) -> Option<HeaderValue> {
    let headers = request.headers();
    let fits = request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && lists(headers, &UPGRADE, "websocket")
        && lists(headers, &CONNECTION, "upgrade")
        && headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| fits)?.to_str().ok()?;
    BASE64_STANDARD.decode(key).ok().filter(|bytes| bytes.len() == 16)?;
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    HeaderValue::from_str(&BASE64_STANDARD.encode(hash)).ok()
}

fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Why an echo ends: the status code of the close frame (section 7.4.1), or none where there is nobody to tell.
enum End {
    Tell(u16),
    Gone,
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

impl From<tokio::time::error::Elapsed> for End {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::Gone
    }
}

/// Returns frame by frame, so that a fragmented message comes back in the same fragments.
async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let mut fragmented = false;
    loop {
        match turn(&mut stream, &mut fragmented).await {
            Ok(()) => {}
            Err(End::Gone) => return,
            Err(End::Tell(code)) => {
                let _ = timeout(IDLE, send(&mut stream, 0x88, &code.to_be_bytes())).await;
                let _ = timeout(IDLE, stream.shutdown()).await;
                return;
            }
        }
    }
}

async fn turn<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, fragmented: &mut bool) -> Result<(), End> {
    let Frame { first, payload } = timeout(IDLE, receive(stream)).await??;
    let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
    if first & 0x70 != 0 {
        // No extension was agreed on that could use these bits.
        return Err(End::Tell(1002));
    }
    match opcode {
        0x0 if !*fragmented => return Err(End::Tell(1002)),
        0x1 | 0x2 if *fragmented => return Err(End::Tell(1002)),
        0x0..=0x2 => {
            *fragmented = !last;
            timeout(IDLE, send(stream, first, &payload)).await??;
        }
        0x8..=0xa if !last || payload.len() > 125 => return Err(End::Tell(1002)),
        0x8 => {
            timeout(IDLE, send(stream, 0x88, payload.get(..2).unwrap_or_default())).await??;
            let _ = timeout(IDLE, stream.shutdown()).await;
            return Err(End::Gone);
        }
        0x9 => timeout(IDLE, send(stream, 0x8a, &payload)).await??,
        0xa => {}
        _ => return Err(End::Tell(1002)),
    }
    Ok(())
}

struct Frame {
    /// FIN, the reserved bits and the opcode, as on the wire.
    first: u8,
    payload: Vec<u8>,
}

/// Reads one frame and removes its mask (sections 5.2 and 5.3).
async fn receive<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Frame, End> {
    let first = stream.read_u8().await?;
    let second = stream.read_u8().await?;
    if second & 0x80 == 0 {
        // A client masks every frame.
        return Err(End::Tell(1002));
    }
    let length = match second & 0x7f {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        short => u64::from(short),
    };
    if length > FRAME_BYTES {
        return Err(End::Tell(1009));
    }
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).await?;
    // Grows with what arrives: a claimed length alone takes no memory.
    let mut payload = Vec::new();
    stream.take(length).read_to_end(&mut payload).await?;
    if payload.len() as u64 != length {
        return Err(End::Gone);
    }
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    Ok(Frame { first, payload })
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, first: u8, payload: &[u8]) -> std::io::Result<()> {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    frame.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length), _) if length < 126 => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    stream.write_all(&frame).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of a client with the mask 0, answered by the echo.
    async fn exchange(frames: &[u8]) -> Vec<u8> {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let server = tokio::spawn(echo(server));
        client.write_all(frames).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        server.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn what_breaks_the_protocol_is_closed_with_its_code() {
        let close = |code: u16| [&[0x88, 2][..], &code.to_be_bytes()].concat();
        assert_eq!(exchange(&[0x81, 0x01, b'x']).await, close(1002), "no mask");
        assert_eq!(exchange(&[0xc1, 0x80, 0, 0, 0, 0]).await, close(1002), "a reserved bit");
        assert_eq!(exchange(&[0x80, 0x80, 0, 0, 0, 0]).await, close(1002), "continues nothing");
        assert_eq!(exchange(&[0x09, 0x80, 0, 0, 0, 0]).await, close(1002), "a ping in pieces");
        assert_eq!(exchange(&[0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0]).await, close(1009), "4 GiB");
    }

    #[tokio::test]
    async fn a_ping_between_fragments_is_answered_between_them() {
        let frames =
            [&[0x01, 0x81, 0, 0, 0, 0, b'a'][..], &[0x89, 0x81, 1, 0, 0, 0, b'p' ^ 1], &[0x80, 0x81, 0, 0, 0, 0, b'b']];
        let answer = exchange(&frames.concat()).await;
        assert_eq!(answer, [&[0x01, 1, b'a'][..], &[0x8a, 1, b'p'], &[0x80, 1, b'b']].concat());
    }
}
