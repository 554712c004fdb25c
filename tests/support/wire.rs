//! One end of a connection, with the verbs that tests use.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::soon;

/// Anything that can be read from and written to.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A stream with what was read from it ahead of need. Dropping it cuts the connection: no close_notify is sent.
pub(crate) struct Wire {
    pub(crate) stream: Box<dyn Stream>,
    ahead: Vec<u8>,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As its protocol ends: FIN, and close_notify where there is TLS.
    Orderly,
    /// By a reset, or without close_notify.
    Cut,
}

impl Wire {
    pub(crate) fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), ahead: Vec::new() }
    }

    /// A TCP connection.
    pub(crate) async fn dial(address: std::net::SocketAddr) -> Self {
        let stream = soon("a TCP connection", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::new(stream)
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        soon("a write", async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Reads more; 0 is an orderly end.
    pub(crate) async fn more(&mut self) -> io::Result<usize> {
        soon("more bytes", self.stream.read_buf(&mut self.ahead)).await
    }

    /// Reads once, with room for all that came in one write; says how many bytes there were.
    pub(crate) async fn gulp(&mut self) -> usize {
        self.ahead.reserve(64 << 10);
        self.more().await.unwrap()
    }

    /// The next head, with its empty line.
    pub(crate) async fn head(&mut self) -> String {
        self.try_head().await.expect("a head")
    }

    /// The next head; none when the stream ends first.
    pub(crate) async fn try_head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                return Some(String::from_utf8(self.take_ahead(end + 4)).unwrap());
            }
            if !matches!(self.more().await, Ok(1..)) {
                return None;
            }
        }
    }

    /// The next bytes, so many.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count {
            let read = self.more().await;
            assert!(matches!(read, Ok(1..)), "{read:?} after {:?}", String::from_utf8_lossy(&self.ahead));
        }
        self.take_ahead(count)
    }

    /// Reads as much as is expected, and compares.
    pub(crate) async fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let read = self.bytes(expected.len()).await;
        assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(expected));
    }

    /// Everything up to the end, and how it ended.
    pub(crate) async fn rest(&mut self) -> (String, Ending) {
        let ending = loop {
            match self.more().await {
                Ok(0) => break Ending::Orderly,
                Ok(_) => {}
                Err(_) => break Ending::Cut,
            }
        };
        let count = self.ahead.len();
        (String::from_utf8_lossy(&self.take_ahead(count)).into_owned(), ending)
    }

    /// Reads on and throws away; says how many bytes there were and how it ended.
    pub(crate) async fn drain(&mut self) -> (u64, Ending) {
        self.drain_exactly(u64::MAX).await
    }

    /// The same, but only up to so many bytes.
    pub(crate) async fn drain_exactly(&mut self, most: u64) -> (u64, Ending) {
        let mut count = std::mem::take(&mut self.ahead).len() as u64;
        let mut buffer = vec![0; 256 << 10];
        loop {
            if count >= most {
                return (count, Ending::Orderly);
            }
            match soon("more bytes", self.stream.read(&mut buffer)).await {
                Ok(0) => return (count, Ending::Orderly),
                Ok(more) => count += more as u64,
                Err(_) => return (count, Ending::Cut),
            }
        }
    }

    /// One whole answer with a `Content-Length`: its head and its body.
    pub(crate) async fn answer(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
        });
        let body = self.bytes(length.unwrap_or(0)).await;
        (head, String::from_utf8(body).unwrap())
    }

    /// Ends the own direction in order, and leaves the other open.
    pub(crate) async fn shut(&mut self) {
        let _ = soon("a close", self.stream.shutdown()).await;
    }

    /// Ends in order.
    pub(crate) async fn close(mut self) {
        self.shut().await;
    }

    fn take_ahead(&mut self, count: usize) -> Vec<u8> {
        let rest = self.ahead.split_off(count);
        std::mem::replace(&mut self.ahead, rest)
    }
}
