//! Moving bytes from one stream to another without holding memory while nothing moves.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is moved at once: four full TLS records, which is as much as rustls takes in one go.
const PIECE: usize = 64 << 10;

thread_local! {
    // One buffer per thread, used within one poll and never across: an idle connection holds none.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE]);
}

/// Which side of a pump failed.
#[derive(Debug)]
pub enum PumpError {
    /// Reading failed.
    Read(io::Error),
    /// Writing failed.
    Write(io::Error),
}

/// What a [`Filter`] makes of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// So many bytes belong to the flow, all of the piece; more is to come.
    All,
    /// So many bytes of the piece belong to the flow, and with them it is complete.
    Complete(usize),
    /// The bytes are not what they have to be.
    Broken(&'static str),
}

/// Says where a flow of bytes ends; the bytes themselves pass unchanged.
pub trait Filter {
    /// Looks at the next piece.
    fn pass(&mut self, piece: &[u8]) -> Passed;
}

/// Everything up to the end of the stream.
#[derive(Clone, Copy, Debug)]
pub struct ToEnd;

impl Filter for ToEnd {
    fn pass(&mut self, _: &[u8]) -> Passed {
        Passed::All
    }
}

/// How a flow ended without an error of the streams.
#[derive(Debug, PartialEq, Eq)]
pub enum Flow {
    /// The filter said that it is complete; what was read beyond it.
    Complete(Vec<u8>),
    /// The reader ended first.
    Ended,
    /// The filter refused the bytes.
    Broken(&'static str),
}

/// Reads once, without holding a buffer while nothing comes. `Ok(0)` is the end of the stream.
///
/// # Errors
/// As the reader.
pub async fn read_some<R: AsyncRead + Unpin>(reader: &mut R, into: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            match Pin::new(&mut *reader).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) => {
                    into.extend_from_slice(buf.filled());
                    Poll::Ready(Ok(buf.filled().len()))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            }
        })
    })
    .await
}

/// Moves bytes from `reader` to `writer` until the filter, the reader or an error ends it; each piece is on its way
/// before the next is waited for. `first` was read already. Moved bytes are added to `counter`.
///
/// # Errors
/// Which side failed.
pub async fn pump<R, W, F>(
    reader: &mut R,
    writer: &mut W,
    filter: &mut F,
    first: &[u8],
    counter: &AtomicU64,
) -> Result<Flow, PumpError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    F: Filter,
{
    let mut pump = Pump { left: Vec::new(), at: 0, end: None, failed: None, unflushed: false };
    if !first.is_empty() {
        pump.take(first, filter);
    }
    poll_fn(|cx| pump.poll(cx, reader, writer, filter, counter)).await
}

struct Pump {
    /// Bytes that the writer did not take at once.
    left: Vec<u8>,
    at: usize,
    end: Option<Flow>,
    /// The reader failed behind bytes that are still to be written.
    failed: Option<io::Error>,
    unflushed: bool,
}

impl Pump {
    fn take(&mut self, piece: &[u8], filter: &mut impl Filter) {
        let count = self.judge(piece, filter);
        self.left.extend_from_slice(&piece[..count]);
    }

    /// How many bytes of the piece go on; sets the end where this is it, whatever became of the reader behind it.
    fn judge(&mut self, piece: &[u8], filter: &mut impl Filter) -> usize {
        let (count, end) = match filter.pass(piece) {
            Passed::All => return piece.len(),
            Passed::Complete(count) => (count, Flow::Complete(piece[count..].to_vec())),
            Passed::Broken(why) => (0, Flow::Broken(why)),
        };
        (self.end, self.failed) = (Some(end), None);
        count
    }

    /// Reads as much as there is now: a TLS stream gives one record at a time, and they are better written together.
    fn fill<R>(&mut self, cx: &mut Context<'_>, reader: &mut R, buf: &mut ReadBuf<'_>) -> Poll<()>
    where
        R: AsyncRead + Unpin,
    {
        while buf.remaining() > 0 {
            let before = buf.filled().len();
            match Pin::new(&mut *reader).poll_read(cx, buf) {
                Poll::Ready(Ok(())) if buf.filled().len() == before => self.end = Some(Flow::Ended),
                Poll::Ready(Ok(())) => continue,
                Poll::Ready(Err(error)) => self.failed = Some(error),
                Poll::Pending if before == 0 => return Poll::Pending,
                Poll::Pending => {}
            }
            break;
        }
        Poll::Ready(())
    }

    fn poll<R, W, F>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        filter: &mut F,
        counter: &AtomicU64,
    ) -> Poll<Result<Flow, PumpError>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
        F: Filter,
    {
        let mut moved = 0_usize;
        loop {
            while self.at < self.left.len() {
                match Pin::new(&mut *writer).poll_write(cx, &self.left[self.at..]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(PumpError::Write(io::ErrorKind::WriteZero.into()))),
                    Poll::Ready(Ok(count)) => {
                        self.at += count;
                        self.unflushed = true;
                        moved += count;
                        counter.fetch_add(count as u64, Ordering::Relaxed);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(PumpError::Write(error))),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if self.at > 0 {
                // Given back as soon as it is empty.
                self.left = Vec::new();
                self.at = 0;
            }
            if self.end.is_some() || self.failed.is_some() {
                if self.unflushed {
                    match Pin::new(&mut *writer).poll_flush(cx) {
                        Poll::Ready(Ok(())) => self.unflushed = false,
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(PumpError::Write(error))),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                return Poll::Ready(match self.failed.take() {
                    Some(error) => Err(PumpError::Read(error)),
                    None => Ok(self.end.take().unwrap_or(Flow::Ended)),
                });
            }
            // A fast pair of streams must not keep the other connections of this thread waiting.
            if moved > 16 * PIECE {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let read = SCRATCH.with_borrow_mut(|scratch| {
                let mut buf = ReadBuf::new(scratch);
                match self.fill(cx, reader, &mut buf) {
                    Poll::Ready(()) => {
                        let piece = buf.filled();
                        let count = self.judge(piece, filter);
                        // Straight from the shared buffer; only what the writer does not take is kept.
                        let mut sent = 0;
                        while sent < count {
                            match Pin::new(&mut *writer).poll_write(cx, &piece[sent..count]) {
                                Poll::Ready(Ok(0)) => {
                                    return Poll::Ready(Err(PumpError::Write(io::ErrorKind::WriteZero.into())));
                                }
                                Poll::Ready(Ok(more)) => {
                                    sent += more;
                                    self.unflushed = true;
                                }
                                Poll::Ready(Err(error)) => return Poll::Ready(Err(PumpError::Write(error))),
                                Poll::Pending => {
                                    self.left.extend_from_slice(&piece[sent..count]);
                                    break;
                                }
                            }
                        }
                        moved += sent;
                        counter.fetch_add(sent as u64, Ordering::Relaxed);
                        Poll::Ready(Ok(()))
                    }
                    Poll::Pending => Poll::Pending,
                }
            });
            match read {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if self.unflushed {
                        match Pin::new(&mut *writer).poll_flush(cx) {
                            Poll::Ready(Ok(())) => self.unflushed = false,
                            Poll::Ready(Err(error)) => return Poll::Ready(Err(PumpError::Write(error))),
                            Poll::Pending => {}
                        }
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    struct Count(usize);

    impl Filter for Count {
        fn pass(&mut self, piece: &[u8]) -> Passed {
            if piece.len() >= self.0 {
                return Passed::Complete(self.0);
            }
            self.0 -= piece.len();
            Passed::All
        }
    }

    #[tokio::test]
    async fn the_filter_ends_the_flow_and_keeps_what_follows() {
        let counter = AtomicU64::new(0);
        let mut out = Vec::new();
        let mut input: &[u8] = b"lo, world";
        let flow = pump(&mut input, &mut out, &mut Count(5), b"hel", &counter).await.unwrap();
        assert_eq!(flow, Flow::Complete(b", world".to_vec()));
        assert_eq!((out.as_slice(), counter.into_inner()), (&b"hello"[..], 5));
    }

    #[tokio::test]
    async fn a_slow_writer_stops_the_reader() {
        let (mut source, mut reader) = tokio::io::duplex(1 << 20);
        let (mut writer, mut sink) = tokio::io::duplex(10);
        let counter = AtomicU64::new(0);
        source.write_all(&vec![7; 300_000]).await.unwrap();
        {
            let mut filter = ToEnd;
            let mut running = std::pin::pin!(pump(&mut reader, &mut writer, &mut filter, &[], &counter));
            let polled = poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx).is_pending())).await;
            assert!(polled);
            assert_eq!(counter.load(Ordering::Relaxed), 10);
            drop(source);
            let mut received = Vec::new();
            let read = sink.read_to_end(&mut received);
            let moved = async { running.await.unwrap() };
            let (flow, ()) = tokio::join!(moved, async {
                // The writer half stays open until the pump is dropped, so read the exact size.
                let mut read = std::pin::pin!(read);
                let _ = poll_fn(|cx| match read.as_mut().poll(cx) {
                    Poll::Pending if counter.load(Ordering::Relaxed) == 300_000 => Poll::Ready(Ok(0)),
                    Poll::Pending => {
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                    ready @ Poll::Ready(_) => ready,
                })
                .await;
            });
            assert_eq!(flow, Flow::Ended);
        }
        assert_eq!(counter.into_inner(), 300_000);
    }
}
