//! A connection that was dialled, whichever way it went.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{OpenedEnd, Way, read_some};

/// A stream to a destination: a TCP connection, or a tunnel through a parent proxy, that may have TLS around it and
/// bytes in it that were read already.
#[derive(Debug)]
pub struct Dialled {
    link: Link,
    /// What was read already: what the parent sent behind its answer, or more than was asked for.
    ahead: Bytes,
    peer: SocketAddr,
    by: Way,
    forwarding: bool,
    /// Where connections may come back.
    own: Option<OpenedEnd>,
}

/// Tells whether a connection has come back, also after it was given away.
#[derive(Clone, Debug)]
pub struct CameBack(Option<Arc<AtomicBool>>);

impl CameBack {
    /// Whether it has, by now.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.0.as_ref().is_some_and(|came_back| came_back.load(Ordering::Relaxed))
    }
}

/// What carries the bytes.
#[derive(Debug)]
pub(super) enum Link {
    Tcp(TcpStream),
    /// TLS to the parent.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Dialled {
    /// A connection to the destination itself.
    pub(super) fn direct(stream: TcpStream, peer: SocketAddr, own: Option<OpenedEnd>) -> Self {
        Self { link: Link::Tcp(stream), ahead: Bytes::new(), peer, by: Way::Direct, forwarding: false, own }
    }

    /// A tunnel through a parent, or, `forwarding`, the connection to the parent itself.
    pub(super) fn by_parent(
        (link, own): (Link, Option<OpenedEnd>),
        peer: SocketAddr,
        by: Way,
        ahead: Bytes,
        forwarding: bool,
    ) -> Self {
        Self { link, ahead, peer, by, forwarding, own }
    }

    /// Whether the connection has come back to this program (see [`OwnConnections`](super::OwnConnections)), as far as
    /// is known when it is asked.
    #[must_use]
    pub fn came_back(&self) -> CameBack {
        CameBack(self.own.as_ref().map(OpenedEnd::came_back))
    }

    /// The address at the other end of the TCP connection: the destination's, or the parent's.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The way it went.
    #[must_use]
    pub fn by(&self) -> &Way {
        &self.by
    }

    /// Whether the parent itself is at the other end, and takes plain requests in absolute form.
    #[must_use]
    pub fn is_forwarding(&self) -> bool {
        self.forwarding
    }

    /// Waits until the other side says something, or ends. Nothing of it is lost.
    pub async fn stirs(&mut self) {
        if !self.ahead.is_empty() {
            return;
        }
        match &mut self.link {
            Link::Tcp(stream) => drop(stream.readable().await),
            Link::Tls(stream) => {
                let mut read = Vec::new();
                // An end, or an error, is told again to the next reader.
                let _ = read_some(stream, &mut read).await;
                self.ahead = read.into();
            }
        }
    }

    /// Makes the close a reset, never an orderly end.
    pub fn reset(&self) {
        let tcp = match &self.link {
            Link::Tcp(stream) => stream,
            Link::Tls(stream) => stream.get_ref().0,
        };
        let _ = tcp.set_zero_linger();
    }
}

impl AsyncRead for Dialled {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.has_remaining() {
            let count = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead[..count]);
            self.ahead.advance(count);
            if self.ahead.is_empty() {
                self.ahead = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.link).poll_read(cx, buf)
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.link).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.link).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.link.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_shutdown(cx)
    }
}

impl AsyncRead for Link {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
