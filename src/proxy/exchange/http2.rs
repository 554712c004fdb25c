//! Relaying HTTP/2 (RFC 9113): one stream for one stream, each with its own flow control. The `h2` crate carries the
//! frames on both legs: hyper, above it, drops interim answers, adds a `date`, and does not say which reset it saw.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{self, SendResponse};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use super::http2_exchange::Http2Exchange;
use super::http2_origin::{Driver, Http2Origin};
use crate::journal::{End, Pen};
use crate::proxy::respond::Answer;
use crate::proxy::stall::Limits;

/// How much one stream may have on its way: enough for a long fat path, little enough for many streams.
pub(super) const STREAM_WINDOW: u32 = 1 << 20;

/// The largest header list that is taken, as of HTTP/1.1's heads.
pub(super) const MAX_FIELDS_SIZE: u32 = 64 << 10;

/// The most streams that a client may have at once, where its origin allows as many.
const MAX_STREAMS: usize = 256;

/// How long a connection may stay without a stream.
const IDLE: Duration = Duration::from_secs(600);

/// How long a draining connection may take for its running streams before the lab's grace period ends it.
const LAST_STREAMS: Duration = Duration::from_secs(600);

/// How long both legs may take to say goodbye once the relay is over.
const GOODBYE: Duration = Duration::from_secs(1);

/// What all streams of a relay have in common.
pub(crate) struct Http2Relay {
    pub(crate) pen: Pen,
    /// Header fields of answers that are removed.
    pub(crate) dropped: &'static [&'static str],
    /// Header fields that are added to requests.
    pub(crate) added: Arc<[(HeaderName, HeaderValue)]>,
    /// How long nothing may move.
    pub(crate) limits: Limits,
}

impl Http2Relay {
    /// Relays streams until either side ends. `driver` runs the origin's connection, where that is this relay's own.
    /// Every exchange is in the record then.
    pub(crate) async fn run<C, O>(self, client: C, origin: Http2Origin, driver: Option<Driver<O>>) -> End
    where
        C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        O: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let live = Arc::clone(self.pen.live());
        let (mut streams, mut own) = (JoinSet::new(), JoinSet::new());
        if let Some(driver) = driver {
            own.spawn(driver.run());
        }
        let end = self.streams(client, origin, &mut streams).await;
        // None of the tasks outlives the relay.
        if !live.kill.is_cancelled() {
            let all = async {
                while streams.join_next().await.is_some() {}
                while own.join_next().await.is_some() {}
            };
            let _ = tokio::time::timeout(GOODBYE, all).await;
        }
        streams.shutdown().await;
        own.shutdown().await;
        end
    }

    async fn streams<C>(self, client: C, mut origin: Http2Origin, streams: &mut JoinSet<()>) -> End
    where
        C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let relay = Arc::new(self);
        let live = relay.pen.live();
        // What the origin offers has to be known before it is offered to the client (RFC 8441, 3).
        tokio::select! {
            () = origin.settled() => {}
            () = live.kill.cancelled() => return End::middlebox("ended"),
        }
        let mut builder = server::Builder::new();
        builder
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(4 * STREAM_WINDOW)
            .max_header_list_size(MAX_FIELDS_SIZE)
            .max_concurrent_streams(u32::try_from(origin.stream_limit().clamp(1, MAX_STREAMS)).unwrap_or(1));
        if origin.takes_extended_connect() {
            builder.enable_connect_protocol();
        }
        let mut leaving = origin.clone();
        let shaken = tokio::select! {
            shaken = builder.handshake(client) => shaken,
            how = leaving.leaves() => return End::origin(how),
            () = live.drain.cancelled() => return End::middlebox("drained"),
            () = live.kill.cancelled() => return End::middlebox("ended"),
            () = tokio::time::sleep(IDLE) => return End::middlebox("no request for 10 minutes"),
        };
        let mut client: server::Connection<C, Bytes> = match shaken {
            Ok(client) => client,
            Err(error) => return End::client(error.to_string()),
        };
        let mut closing: Option<End> = None;
        let deadline = tokio::time::sleep(IDLE);
        tokio::pin!(deadline);
        let mut last = Last::default();
        loop {
            let accepting = poll_fn(|cx| {
                if !last.is_due(cx) {
                    return Poll::Pending;
                }
                let polled = client.poll_accept(cx);
                last.waits(&polled);
                polled
            });
            let goodbye = tokio::select! {
                accepted = accepting => match accepted {
                    Some(Ok((request, respond))) => {
                        streams.spawn(stream(Arc::clone(&relay), request, respond, origin.clone()));
                        continue;
                    }
                    Some(Err(error)) => return closing.unwrap_or_else(|| End::client(error.to_string())),
                    None => return closing.unwrap_or_else(|| End::client("closed")),
                },
                Some(_) = streams.join_next() => {
                    if streams.is_empty() && closing.is_none() {
                        deadline.as_mut().reset(tokio::time::Instant::now() + IDLE);
                    }
                    continue;
                }
                // The client learns that it has to open another connection; streams under way go on.
                how = leaving.leaves(), if closing.is_none() => End::origin(how),
                () = live.drain.cancelled(), if closing.is_none() => End::middlebox("drained"),
                () = live.kill.cancelled() => return End::middlebox("ended"),
                () = &mut deadline => match closing {
                    Some(_) => return End::middlebox("streams did not end"),
                    None if streams.is_empty() => End::middlebox("no request for 10 minutes"),
                    None => {
                        deadline.as_mut().reset(tokio::time::Instant::now() + IDLE);
                        continue;
                    }
                },
            };
            client.graceful_shutdown();
            deadline.as_mut().reset(tokio::time::Instant::now() + LAST_STREAMS);
            closing = Some(goodbye);
        }
    }
}

/// Lets the streams that a connection has woken go before it, so that what they have to say leaves in one write. By
/// itself the runtime runs a task that was woken next, which here would be after the first stream.
#[derive(Debug, Default)]
pub(super) struct Last {
    waited: bool,
}

impl Last {
    /// Whether the connection is to be polled now; if not, it will be woken behind the others.
    pub(super) fn is_due(&mut self, cx: &Context<'_>) -> bool {
        if std::mem::take(&mut self.waited) {
            cx.waker().wake_by_ref();
            return false;
        }
        true
    }

    /// Notes what polling the connection came to.
    pub(super) fn waits<T>(&mut self, polled: &Poll<T>) {
        self.waited = polled.is_pending();
    }
}

async fn stream(
    relay: Arc<Http2Relay>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    origin: Http2Origin,
) {
    Http2Exchange::new(relay, &request).run(request, respond, &origin).await;
}

/// Answers every request of a connection in the origin's place.
pub(crate) async fn answer_all<C>(client: C, answer: Answer) -> Result<(), String>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let response: Response<_> = answer.to_response();
        async move {
            // The request is read to its end, so that the client has sent it before it is told.
            let _ = tokio::time::timeout(Duration::from_secs(10), request.into_body().collect()).await;
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let serving = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    serving.serve_connection(TokioIo::new(client), service).await.map_err(|error| error.to_string())
}
