//! Reading more at once than is asked for, below a TLS library that asks for a quarter of a record at a time.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// How much is read at once: four full TLS records.
const GULP: usize = 64 << 10;

thread_local! {
    // One buffer per thread, used within one poll and never across: an idle connection holds none.
    static GULPED: RefCell<Vec<u8>> = RefCell::new(vec![0; GULP]);
}

/// Reads into `buf`, and gives what was read beyond it, to be read before anything else. Only where the last read
/// filled its buffer, which `full` remembers, is more read than was asked for: small messages are copied once.
///
/// # Errors
/// As the reader.
pub fn poll_gulp<R>(
    reader: &mut R,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
    full: &mut bool,
) -> Poll<io::Result<Vec<u8>>>
where
    R: AsyncRead + Unpin,
{
    let room = buf.remaining();
    if !*full || room >= GULP {
        ready!(Pin::new(reader).poll_read(cx, buf))?;
        *full = room > 0 && buf.remaining() == 0 && room < GULP;
        return Poll::Ready(Ok(Vec::new()));
    }
    GULPED.with(|scratch| {
        // TLS inside TLS: the outer stream is reading into it at this moment.
        let Ok(mut scratch) = scratch.try_borrow_mut() else {
            return Pin::new(reader).poll_read(cx, buf).map_ok(|()| Vec::new());
        };
        let mut gulp = ReadBuf::new(&mut scratch);
        ready!(Pin::new(reader).poll_read(cx, &mut gulp))?;
        let (now, later) = gulp.filled().split_at(gulp.filled().len().min(room));
        buf.put_slice(now);
        *full = !later.is_empty();
        Poll::Ready(Ok(later.to_vec()))
    })
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    struct Gulping<R>(R, bool, Vec<u8>);

    impl<R: AsyncRead + Unpin> AsyncRead for Gulping<R> {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if !self.2.is_empty() {
                let count = self.2.len().min(buf.remaining());
                buf.put_slice(&self.2.drain(..count).collect::<Vec<_>>());
                return Poll::Ready(Ok(()));
            }
            let Self(reader, full, ahead) = &mut *self;
            *ahead = ready!(poll_gulp(reader, cx, buf, full))?;
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn one_inside_another_loses_nothing() {
        let sent = vec![7; 300_000];
        let mut nested = Gulping(Gulping(sent.as_slice(), false, Vec::new()), false, Vec::new());
        let (mut received, mut piece) = (0, [0; 4096]);
        while received < sent.len() {
            let mut buf = ReadBuf::new(&mut piece);
            poll_fn(|cx| Pin::new(&mut nested).poll_read(cx, &mut buf)).await.unwrap();
            assert!(!buf.filled().is_empty() && buf.filled().iter().all(|byte| *byte == 7));
            received += buf.filled().len();
        }
    }

    #[tokio::test]
    async fn all_bytes_come_in_order_whatever_is_asked_for() {
        let sent: Vec<u8> = (0..300_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
        let (mut source, mut full, mut ahead) = (sent.as_slice(), false, Vec::new());
        let (mut received, mut gulps) = (Vec::new(), 0);
        loop {
            let mut piece = [0; 4096];
            let mut buf = ReadBuf::new(&mut piece);
            let later = poll_fn(|cx| poll_gulp(&mut source, cx, &mut buf, &mut full)).await.unwrap();
            received.extend_from_slice(buf.filled());
            ahead.extend(later);
            if received.len() == sent.len() || buf.filled().is_empty() {
                break;
            }
            gulps += 1;
            received.append(&mut ahead);
        }
        assert_eq!(received, sent);
        assert!(gulps < 10, "{gulps} reads");
    }
}
