//! The origin behind the proxies: `GET /` is a hundred bytes, `GET /bytes/N` is N of them, a `POST` is read to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::Fallible;
use crate::load::HeadReader;
use crate::pki::Files;

/// What each short answer carries.
pub(crate) const SHORT: [u8; 100] = [b'.'; 100];

/// Starts the origin on a thread of its own, which lives as long as the process.
pub(crate) fn start(files: &Files) -> Fallible<SocketAddr> {
    let config = files.origin()?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || runtime.block_on(accept(listener, config)));
    Ok(address)
}

async fn accept(listener: std::net::TcpListener, config: Arc<ServerConfig>) {
    let listener = TcpListener::from_std(listener).expect("the listener does not block");
    let acceptor = TlsAcceptor::from(config);
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = acceptor.accept(stream).await else { return };
            // However a connection ends: the load generator counts what went wrong on its side.
            let _ = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => http2(stream).await,
                _ => http1(stream).await,
            };
        });
    }
}

/// A proxy that speaks HTTP/2 with origins asks here for what its client asked for over HTTP/1.1.
async fn http2(stream: TlsStream<TcpStream>) -> Fallible<()> {
    let answer = |request: Request<Incoming>| async {
        let size = request.uri().path().strip_prefix("/bytes/").and_then(|size| size.parse().ok());
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok::<_, hyper::Error>(Response::new(Dots { left: size.unwrap_or(SHORT.len()) }))
    };
    let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server.initial_stream_window_size(1 << 20).initial_connection_window_size(1 << 20);
    Ok(server.serve_connection(TokioIo::new(stream), service_fn(answer)).await?)
}

/// A body of so many bytes.
struct Dots {
    left: usize,
}

impl Body for Dots {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static PIECE: [u8; 64 << 10] = [b'.'; 64 << 10];
        let count = self.left.min(PIECE.len());
        self.left -= count;
        Poll::Ready((count > 0).then(|| Ok(Frame::data(Bytes::from_static(&PIECE[..count])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

async fn http1(mut stream: TlsStream<TcpStream>) -> Fallible<()> {
    let mut heads = HeadReader::default();
    let piece = vec![b'.'; 64 << 10];
    let mut sink = vec![0; 64 << 10];
    while let Some(head) = heads.next(&mut stream).await? {
        let target = head.split(' ').nth(1).unwrap_or_default();
        if let Some(size) = target.strip_prefix("/bytes/") {
            let mut left: usize = size.parse()?;
            stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n").as_bytes()).await?;
            while left > 0 {
                let count = left.min(piece.len());
                stream.write_all(&piece[..count]).await?;
                left -= count;
            }
        } else {
            let mut left = content_length(&head).saturating_sub(heads.take_rest());
            while left > 0 {
                match stream.read(&mut sink).await? {
                    0 => return Ok(()),
                    count => left = left.saturating_sub(count),
                }
            }
            let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".to_vec();
            answer.extend_from_slice(&SHORT);
            stream.write_all(&answer).await?;
        }
        stream.flush().await?;
    }
    Ok(())
}

/// The size of a message's body; the heads here have no other framing.
pub(crate) fn content_length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}
