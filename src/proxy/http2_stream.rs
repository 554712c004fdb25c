//! A tunnel inside an HTTP/2 connection (RFC 9113, 8.5) as a byte stream, whose resets are told from its ends: what
//! the client reset is an error here, and what is reset here is one there.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// No more is copied for one frame.
const CHUNK: usize = 64 << 10;

/// Both directions of one stream.
pub(crate) struct Http2Stream {
    send: SendStream<Bytes>,
    receive: RecvStream,
    /// What came and was not read yet.
    unread: Bytes,
    shut: bool,
}

impl Http2Stream {
    pub(crate) fn new(send: SendStream<Bytes>, receive: RecvStream) -> Self {
        Self { send, receive, unread: Bytes::new(), shut: false }
    }

    /// Ends the stream as a TCP connection that was reset ends it.
    pub(crate) fn reset(&mut self) {
        self.send.send_reset(Reason::CONNECT_ERROR);
    }
}

impl Drop for Http2Stream {
    /// A stream that is let go ends as a socket that is closed: behind what was written, which a reset would overtake.
    fn drop(&mut self) {
        if !self.shut {
            let _ = self.send.send_data(Bytes::new(), true);
        }
    }
}

fn reset_by(reason: Reason) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, format!("the stream was reset: {reason}"))
}

fn broken(error: h2::Error) -> io::Error {
    match error.reason() {
        Some(reason) if error.is_reset() => reset_by(reason),
        _ => io::Error::new(io::ErrorKind::ConnectionReset, error),
    }
}

impl AsyncRead for Http2Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.receive.poll_data(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(bytes)) => self.unread = bytes,
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let count = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..count]);
        self.unread.advance(count);
        // Only what was read makes room: the client's window is the tunnel's backpressure.
        let _ = self.receive.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Http2Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if let Poll::Ready(reset) = self.send.poll_reset(cx) {
            return Poll::Ready(Err(reset.map_or_else(broken, reset_by)));
        }
        self.send.reserve_capacity(buf.len().min(CHUNK));
        while self.send.capacity() == 0 {
            match ready!(self.send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let count = self.send.capacity().min(buf.len());
        let sent = self.send.send_data(Bytes::copy_from_slice(&buf[..count]), false);
        Poll::Ready(sent.map(|()| count).map_err(broken))
    }

    /// The connection's own task writes what was given to it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shut {
            return Poll::Ready(Ok(()));
        }
        self.shut = true;
        Poll::Ready(self.send.send_data(Bytes::new(), true).map_err(broken))
    }
}
