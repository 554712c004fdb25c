//! The client's byte stream, whatever carries it: TCP, TLS to the proxy, or a stream of an HTTP/2 connection.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::http2_stream::Http2Stream;
use crate::net::read_some;

/// How much a client may say before it is listened to; more waits in the kernel.
const READ_AHEAD: usize = 64 << 10;

/// What carries a client's bytes.
pub(crate) enum Carrier {
    /// A TCP connection.
    Tcp(TcpStream),
    /// TLS to the proxy itself.
    Tls(Box<TlsStream<Client>>),
    /// A tunnel inside an HTTP/2 connection (RFC 9113, 8.5).
    Http2(Box<Http2Stream>),
}

/// A client's stream with what was read from it ahead of need, which is replayed.
pub(crate) struct Client {
    ahead: Vec<u8>,
    at: usize,
    /// The stream ended while it was read ahead; told to the reader once the bytes before it are read.
    ended: Option<io::Result<()>>,
    carrier: Carrier,
}

impl Client {
    pub(crate) fn new(carrier: Carrier) -> Self {
        Self { ahead: Vec::new(), at: 0, ended: None, carrier }
    }

    /// The address at which the client reached us, where its carrier has one of its own.
    pub(crate) fn local_ip(&self) -> Option<IpAddr> {
        match &self.carrier {
            Carrier::Tcp(stream) => Some(stream.local_addr().ok()?.ip().to_canonical()),
            Carrier::Tls(_) | Carrier::Http2(_) => None,
        }
    }

    /// What was read ahead.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.ahead[self.at..]
    }

    /// Reads more ahead; 0 is the end of the stream.
    ///
    /// # Errors
    /// As the carrier.
    pub(crate) async fn read_ahead(&mut self) -> io::Result<usize> {
        if let Some(ended) = &self.ended {
            return again(ended).map(|()| 0);
        }
        let read = read_some(&mut self.carrier, &mut self.ahead).await;
        match &read {
            Ok(0) => self.ended = Some(Ok(())),
            Ok(_) => {}
            Err(error) => self.ended = Some(Err(io::Error::from(error.kind()))),
        }
        read
    }

    /// Takes the first `count` bytes that were read ahead.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.ahead()[..count].to_vec();
        self.at += count;
        if self.at == self.ahead.len() {
            self.ahead = Vec::new();
            self.at = 0;
        }
        taken
    }

    /// Puts bytes back in front of all others.
    pub(crate) fn put_back(&mut self, mut bytes: Vec<u8>) {
        bytes.extend_from_slice(self.ahead());
        self.ahead = bytes;
        self.at = 0;
    }

    /// Waits until the client says something or leaves.
    pub(crate) async fn stirs(&mut self) {
        if self.ahead().is_empty() {
            let _ = self.read_ahead().await;
        }
    }

    /// Waits until the client has left; what it says before is kept. One that says much before it is listened to is
    /// not watched any longer.
    pub(crate) async fn left(&mut self) {
        while self.ahead().len() < READ_AHEAD {
            if let Ok(0) | Err(_) = self.read_ahead().await {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Waits until the client's stream breaks, likewise. An end in order may be half a close, behind which the client
    /// still waits for its answer.
    pub(crate) async fn lost(&mut self) {
        while self.ahead().len() < READ_AHEAD {
            match self.read_ahead().await {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        std::future::pending::<()>().await;
    }

    /// Closes so that what was written arrives: a socket closed with unread bytes resets, and a reset can overtake.
    pub(crate) async fn linger(&mut self) {
        let _ = timeout(Duration::from_secs(1), self.shutdown()).await;
        let mut unread = 0;
        let drained = async {
            while let Ok(more @ 1..) = self.read_ahead().await {
                unread += more;
                self.ahead.clear();
                self.at = 0;
                if unread > (1 << 20) {
                    return;
                }
            }
        };
        let _ = timeout(Duration::from_secs(1), drained).await;
    }

    /// Makes the close a reset, where the carrier has one; never as an orderly end.
    pub(crate) fn reset(&mut self) {
        match &mut self.carrier {
            Carrier::Tcp(stream) => {
                let _ = stream.set_zero_linger();
            }
            Carrier::Tls(stream) => stream.get_mut().0.reset(),
            Carrier::Http2(stream) => stream.reset(),
        }
    }
}

fn again(ended: &io::Result<()>) -> io::Result<()> {
    match ended {
        Ok(()) => Ok(()),
        Err(error) => Err(io::Error::from(error.kind())),
    }
}

impl AsyncRead for Client {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead().len().min(buf.remaining());
            buf.put_slice(&self.ahead()[..count]);
            self.at += count;
            if self.at == self.ahead.len() {
                // Given back as soon as it is read, so that an idle connection does not hold its hello.
                self.ahead = Vec::new();
                self.at = 0;
            }
            return Poll::Ready(Ok(()));
        }
        if let Some(ended) = &self.ended {
            return Poll::Ready(again(ended));
        }
        Pin::new(&mut self.carrier).poll_read(cx, buf)
    }
}

impl AsyncWrite for Client {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.carrier).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.carrier).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.carrier.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.carrier).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.carrier).poll_shutdown(cx)
    }
}

/// Hands a call on to whatever carries the bytes.
macro_rules! carried {
    ($carrier:expr, $stream:ident => $call:expr) => {
        match $carrier {
            Carrier::Tcp($stream) => $call,
            Carrier::Tls($stream) => $call,
            Carrier::Http2($stream) => $call,
        }
    };
}

impl AsyncRead for Carrier {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        carried!(&mut *self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        carried!(&mut *self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        carried!(&mut *self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        carried!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        carried!(&mut *self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        carried!(&mut *self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
