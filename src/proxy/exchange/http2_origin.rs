//! An HTTP/2 connection to an origin (RFC 9113), which one client's connection uses, or several where they are pooled.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::http2::{Last, MAX_FIELDS_SIZE, STREAM_WINDOW};

/// The origin's settings come with its first frame; a client is not kept waiting longer for them.
const SETTINGS: Duration = Duration::from_secs(1);

/// Opens streams to an origin. The connection ends in order once the last clone and the last stream are gone.
#[derive(Clone, Debug)]
pub(crate) struct Http2Origin {
    sender: SendRequest<Bytes>,
    state: watch::Receiver<State>,
    users: Arc<DropGuard>,
}

/// How a connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The origin's settings have not come.
    Opening,
    Open,
    /// It opens no more streams; those that run go on. How it said so, or how it ended.
    Leaving(String),
}

/// Reads and writes the connection's frames: somebody has to run it.
pub(crate) struct Driver<T> {
    connection: Connection<T, Bytes>,
    /// Kept as long as somebody may open streams.
    probe: SendRequest<Bytes>,
    state: watch::Sender<State>,
    unused: CancellationToken,
}

impl Http2Origin {
    /// Begins HTTP/2 on a connection whose origin chose it.
    ///
    /// # Errors
    /// The preface cannot be sent.
    pub(crate) async fn begin<T>(stream: T) -> Result<(Self, Driver<T>), h2::Error>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let mut builder = Builder::new();
        builder
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(4 * STREAM_WINDOW)
            .max_header_list_size(MAX_FIELDS_SIZE)
            // None before the origin's settings are there, which is also how they are noticed.
            .initial_max_send_streams(0)
            .enable_push(false);
        let (sender, connection) = builder.handshake(stream).await?;
        let unused = CancellationToken::new();
        let (state, watched) = watch::channel(State::Opening);
        let driver = Driver { connection, probe: sender.clone(), state, unused: unused.clone() };
        Ok((Self { sender, state: watched, users: Arc::new(unused.drop_guard()) }, driver))
    }

    /// Waits for the origin's settings, within reason.
    pub(crate) async fn settled(&mut self) {
        let _ = tokio::time::timeout(SETTINGS, self.state.wait_for(|state| *state != State::Opening)).await;
    }

    /// Whether the origin takes extended `CONNECT` (RFC 8441), as its settings say.
    pub(crate) fn takes_extended_connect(&self) -> bool {
        self.sender.is_extended_connect_protocol_enabled()
    }

    /// How many streams the origin allows at once, by its settings.
    pub(crate) fn stream_limit(&self) -> usize {
        self.sender.current_max_send_streams()
    }

    /// Whether streams can still be opened.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(*self.state.borrow(), State::Leaving(_))
    }

    /// Whether nobody else holds a clone.
    pub(crate) fn is_unused(&self) -> bool {
        Arc::strong_count(&self.users) == 1
    }

    /// Waits until the origin opens no more streams, and says why.
    pub(crate) async fn leaves(&mut self) -> String {
        match self.state.wait_for(|state| matches!(state, State::Leaving(_))).await {
            Ok(state) => match &*state {
                State::Leaving(how) => how.clone(),
                State::Opening | State::Open => "closed".to_owned(),
            },
            Err(_) => "closed".to_owned(),
        }
    }

    /// What streams are opened with.
    pub(crate) fn sender(&self) -> SendRequest<Bytes> {
        self.sender.clone()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// Runs the connection to its end.
    pub(crate) async fn run(self) {
        let Self { mut connection, probe, state, unused } = self;
        let mut probe = Some(probe);
        let mut unused = pin!(unused.cancelled_owned());
        let mut last = Last::default();
        let ended = poll_fn(|cx| {
            if !last.is_due(cx) {
                return Poll::Pending;
            }
            if probe.is_some() && unused.as_mut().poll(cx).is_ready() {
                probe = None;
            }
            let polled = Pin::new(&mut connection).poll(cx);
            last.waits(&polled);
            if let (Poll::Pending, Some(probe)) = (&polled, &mut probe) {
                let now = match probe.poll_ready(cx) {
                    Poll::Ready(Err(error)) => State::Leaving(error.to_string()),
                    _ if probe.current_max_send_streams() == 0 => return polled,
                    _ => State::Open,
                };
                state.send_if_modified(|before| {
                    let changes = *before != now && !matches!(before, State::Leaving(_));
                    if changes {
                        *before = now;
                    }
                    changes
                });
            }
            polled
        });
        let how = ended.await.map_or_else(|error| error.to_string(), |()| "closed".to_owned());
        state.send_if_modified(|before| {
            let changes = !matches!(before, State::Leaving(_));
            if changes {
                *before = State::Leaving(how);
            }
            changes
        });
    }
}
