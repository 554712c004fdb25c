//! The client's TLS stream under inspection, watched for its first word: a client that refuses after a completed
//! handshake is seen here, where the TLS library reports success.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The first thing that a client did after its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstWord {
    /// It sent application data: it accepts the certificate.
    Data,
    /// It closed politely.
    CloseNotify,
    /// The stream ended, or was reset, without a word.
    End,
    /// It sent an alert.
    Alert(u8),
}

/// Shared with the stream that is watched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch(Arc<OnceLock<(FirstWord, Instant)>>);

impl Watch {
    pub(crate) fn first_word(&self) -> Option<(FirstWord, Instant)> {
        self.0.get().copied()
    }
}

/// A stream with a [`Watch`] on it.
pub(crate) struct Observed<S, F> {
    inner: S,
    watch: Watch,
    on_data: Option<F>,
    spoken: bool,
}

impl<S, F: FnOnce()> Observed<S, F> {
    /// Watches a stream; `on_data` is called when the first application data comes.
    pub(crate) fn new(inner: S, on_data: F) -> (Self, Watch) {
        let watch = Watch::default();
        (Self { inner, watch: watch.clone(), on_data: Some(on_data), spoken: false }, watch)
    }
}

/// The alert that an error of the TLS stream carries, if it is one.
pub(crate) fn alert_in(error: &io::Error) -> Option<u8> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(description) => Some(u8::from(*description)),
        _ => None,
    }
}

impl<S: AsyncRead + Unpin, F: FnOnce() + Unpin> AsyncRead for Observed<S, F> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.spoken {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        self.spoken = true;
        let word = match &result {
            Ok(()) if buf.filled().len() > before => FirstWord::Data,
            Ok(()) => FirstWord::CloseNotify,
            Err(error) => alert_in(error).map_or(FirstWord::End, FirstWord::Alert),
        };
        let _ = self.watch.0.set((word, Instant::now()));
        if word == FirstWord::Data
            && let Some(on_data) = self.on_data.take()
        {
            on_data();
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin, F: Unpin> AsyncWrite for Observed<S, F> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
