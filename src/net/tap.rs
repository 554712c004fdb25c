//! A tap on the client's side of an inspected connection: what rustls swallows is still seen here.
//!
//! It reads record headers only (RFC 8446, 5.1), in both directions, until the handshake is over. Warning-level alerts
//! of TLS 1.2, plaintext alerts of TLS 1.3 clients that refuse, and the moment at which our certificate left are
//! evidence for the diagnosis.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What was seen on the wire while the handshake ran.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// When the first bytes of our flight left: from here on the client may have seen the certificate.
    pub flight_sent: Option<Instant>,
    /// The client's records after that, at most 16.
    pub after_flight: Vec<Record>,
    /// How the client's stream ended, if it did while the tap was on.
    pub end: Option<WireEnd>,
    /// When it ended.
    pub ended: Option<Instant>,
}

/// One TLS record of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The content type: 20 change_cipher_spec, 21 alert, 22 handshake, 23 application_data.
    pub content: u8,
    /// Length of the fragment in bytes.
    pub length: u16,
    /// Level and description of an alert that was sent in plaintext.
    pub alert: Option<(u8, u8)>,
}

/// How the client ended its stream at the TCP level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireEnd {
    /// An orderly end (FIN).
    Fin,
    /// A reset, or another error of the socket.
    Reset,
}

/// An encrypted alert with the padding that some clients add (Java's has 16 bytes).
const LONGEST_ALERT: u16 = 40;

impl Trace {
    /// The first plaintext alert after our flight: level, description.
    #[must_use]
    pub fn plain_alert(&self) -> Option<(u8, u8)> {
        self.after_flight.iter().find_map(|record| record.alert)
    }

    /// Whether the client's Finished came before the last of its records, as an alert right behind it does.
    #[must_use]
    pub fn is_past_finished(&self) -> bool {
        let count = |content: u8| self.after_flight.iter().filter(|record| record.content == content).count();
        if self.is_1_2() {
            let change = self.after_flight.iter().position(|record| record.content == 20);
            return change.is_some_and(|at| self.after_flight[at + 1..].iter().any(|record| record.content == 22));
        }
        count(23) > 1
    }

    /// In TLS 1.2 the client's key exchange comes before its ChangeCipherSpec; in 1.3 nothing does.
    fn is_1_2(&self) -> bool {
        let first = |content: u8| self.after_flight.iter().position(|record| record.content == content);
        match (first(22), first(20)) {
            (Some(handshake), Some(change)) => handshake < change,
            (handshake, _) => handshake.is_some(),
        }
    }

    /// Whether the client sent application data, as far as encrypted records tell: of a tunnel between two others. In
    /// TLS 1.3 its Finished looks like data, and so does an alert, which is shorter than any request.
    #[must_use]
    pub fn carried_data(&self) -> bool {
        let is_1_2 = self.is_1_2();
        let data = self.after_flight.iter().filter(|record| record.content == 23);
        data.skip(usize::from(!is_1_2)).any(|record| is_1_2 || record.length > LONGEST_ALERT)
    }
}

/// The shared end of a [`Tap`].
#[derive(Clone, Debug, Default)]
pub struct TapHandle(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    off: bool,
    trace: Trace,
    header: Vec<u8>,
    body: Vec<u8>,
    remaining: usize,
}

impl TapHandle {
    /// Ends the tracing; from then on bytes pass by unread.
    pub fn turn_off(&self) {
        self.state().off = true;
    }

    /// A copy of what was seen so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.state().trace.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic while the lock was held leaves counters, nothing that could be half-written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn received(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.remaining == 0 {
                let missing = 5 - self.header.len();
                let (head, rest) = bytes.split_at(missing.min(bytes.len()));
                self.header.extend_from_slice(head);
                bytes = rest;
                if self.header.len() < 5 {
                    return;
                }
                self.remaining = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
                self.body.clear();
                if self.remaining == 0 {
                    self.record();
                }
                continue;
            }
            let (body, rest) = bytes.split_at(self.remaining.min(bytes.len()));
            if self.body.len() < 2 {
                self.body.extend_from_slice(&body[..body.len().min(2)]);
            }
            self.remaining -= body.len();
            bytes = rest;
            if self.remaining == 0 {
                self.record();
            }
        }
    }

    fn record(&mut self) {
        let (content, length) = (self.header[0], u16::from_be_bytes([self.header[3], self.header[4]]));
        self.header.clear();
        if self.trace.flight_sent.is_none() || self.trace.after_flight.len() >= 16 {
            return;
        }
        let alert = match self.body[..] {
            [level, description, ..] if content == 21 && length == 2 => Some((level, description)),
            _ => None,
        };
        self.trace.after_flight.push(Record { content, length, alert });
    }

    fn ended(&mut self, end: WireEnd) {
        if self.trace.end.is_none() {
            self.trace.end = Some(end);
            self.trace.ended = Some(Instant::now());
        }
    }
}

/// A stream whose TLS records are watched until the [`TapHandle`] turns it off.
#[derive(Debug)]
pub struct Tap<S> {
    inner: S,
    /// Given back once the tap is off.
    handle: Option<TapHandle>,
}

impl<S> Tap<S> {
    /// Puts a tap on a stream.
    pub fn new(inner: S) -> (Self, TapHandle) {
        let handle = TapHandle::default();
        (Self { inner, handle: Some(handle.clone()) }, handle)
    }

    /// The stream below, without the tap.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// The stream below.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn note(&mut self, note: impl FnOnce(&mut State)) {
        let Some(handle) = &self.handle else { return };
        let mut state = handle.state();
        if state.off {
            drop(state);
            self.handle = None;
        } else {
            note(&mut state);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let asked = buf.remaining() > 0;
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        if self.handle.is_some() {
            match &result {
                Ok(()) if asked && buf.filled().len() == before => self.note(|state| state.ended(WireEnd::Fin)),
                Ok(()) => self.note(|state| state.received(&buf.filled()[before..])),
                Err(_) => self.note(|state| state.ended(WireEnd::Reset)),
            }
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.wrote(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.wrote(&result);
        result
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

impl<S> Tap<S> {
    fn wrote(&mut self, result: &Poll<io::Result<usize>>) {
        if self.handle.is_some()
            && let Poll::Ready(Ok(count)) = result
            && *count > 0
        {
            self.note(|state| {
                state.trace.flight_sent.get_or_insert_with(Instant::now);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn alerts_in_pieces_are_seen_after_the_flight_only() {
        let (mut client, server) = tokio::io::duplex(64);
        let (mut tap, handle) = Tap::new(server);
        let mut byte = [0];
        for sent in [21, 3, 3, 0, 2, 1, 0] {
            client.write_all(&[sent]).await.unwrap();
            tap.read_exact(&mut byte).await.unwrap();
        }
        assert!(handle.trace().after_flight.is_empty());
        tap.write_all(b"flight").await.unwrap();
        assert!(handle.trace().flight_sent.is_some());
        for sent in [20, 3, 3, 0, 1, 1, 21, 3, 3, 0, 2, 1, 46] {
            client.write_all(&[sent]).await.unwrap();
            tap.read_exact(&mut byte).await.unwrap();
        }
        drop(client);
        assert_eq!(tap.read(&mut byte).await.unwrap(), 0);
        let trace = handle.trace();
        assert_eq!(trace.after_flight[0], Record { content: 20, length: 1, alert: None });
        assert_eq!(trace.plain_alert(), Some((1, 46)));
        assert_eq!(trace.end, Some(WireEnd::Fin));
    }

    #[test]
    fn an_alert_behind_the_finished_is_told_from_one_in_its_place() {
        let past = |records: &[(u8, u16)]| {
            let record = |&(content, length): &(u8, u16)| Record { content, length, alert: None };
            Trace { after_flight: records.iter().map(record).collect(), ..Trace::default() }.is_past_finished()
        };
        assert!(past(&[(20, 1), (23, 53), (23, 19)]) && past(&[(22, 37), (20, 1), (22, 40), (21, 26)]));
        assert!(!past(&[(20, 1), (23, 19)]) && !past(&[(21, 2)]) && !past(&[(20, 1), (21, 2)]) && !past(&[]));
        assert!(!past(&[(22, 37), (20, 1), (21, 26)]));
    }

    #[test]
    fn data_is_told_from_the_end_of_a_handshake_and_from_alerts() {
        let carried = |records: &[(u8, u16)]| {
            let record = |&(content, length): &(u8, u16)| Record { content, length, alert: None };
            Trace { after_flight: records.iter().map(record).collect(), ..Trace::default() }.carried_data()
        };
        assert!(carried(&[(20, 1), (23, 53), (23, 120)]), "TLS 1.3");
        assert!(!carried(&[(20, 1), (23, 53)]) && !carried(&[(20, 1), (23, 69), (23, 35), (23, 19)]));
        assert!(carried(&[(20, 1), (22, 300), (23, 53), (23, 120)]), "after a HelloRetryRequest");
        assert!(!carried(&[(20, 1), (22, 300), (23, 53)]));
        assert!(carried(&[(22, 37), (20, 1), (22, 40), (23, 30)]), "TLS 1.2");
        assert!(!carried(&[(22, 37), (20, 1), (22, 40), (21, 26)]) && !carried(&[]));
    }

    #[tokio::test]
    async fn an_encrypted_alert_is_no_plaintext_alert_and_off_is_off() {
        let (mut client, server) = tokio::io::duplex(64);
        let (mut tap, handle) = Tap::new(server);
        tap.write_all(b"flight").await.unwrap();
        let mut bytes = [0; 24];
        client.write_all(&[&[21, 3, 3, 0, 19][..], &[7; 19]].concat()).await.unwrap();
        tap.read_exact(&mut bytes).await.unwrap();
        handle.turn_off();
        client.write_all(&[21, 3, 3, 0, 2, 2, 48]).await.unwrap();
        tap.read_exact(&mut bytes[..7]).await.unwrap();
        assert_eq!(handle.trace().after_flight, [Record { content: 21, length: 19, alert: None }]);
    }
}
