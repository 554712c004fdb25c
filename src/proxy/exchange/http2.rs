//! Relaying HTTP/2 (RFC 9113): hyper on both legs, one stream for one stream, each with its own flow control.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http2::SendRequest;
use hyper::rt::Executor;
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::journal::{End, Exchange, Pen, Told};
use crate::proxy::respond::Answer;

/// How much one stream may have on its way: enough for a long fat path, little enough for many streams.
const STREAM_WINDOW: u32 = 1 << 20;

/// How long a draining connection may take for its running streams before the lab's grace period ends it.
const LAST_STREAMS: Duration = Duration::from_secs(600);

/// How long hyper may take to say goodbye on both legs once the relay is over.
const GOODBYE: Duration = Duration::from_secs(1);

/// Relays streams until either side ends. Every exchange is in the record then.
pub(crate) async fn relay<C, O>(
    pen: Pen,
    client: C,
    origin: O,
    dropped: &'static [&'static str],
    added: Arc<[(HeaderName, HeaderValue)]>,
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    O: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let tasks = Tasks::default();
    let live = Arc::clone(pen.live());
    let end = streams(pen, client, origin, dropped, added, &tasks).await;
    tasks.end(if live.kill.is_cancelled() { Duration::ZERO } else { GOODBYE }).await;
    end
}

/// Hyper's own tasks, one for each stream and one for the origin's connection, none of which outlives the relay.
#[derive(Clone, Debug, Default)]
struct Tasks {
    running: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    async fn end(self, patience: Duration) {
        self.running.close();
        if tokio::time::timeout(patience, self.running.wait()).await.is_err() {
            self.stop.cancel();
            self.running.wait().await;
        }
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        let stop = self.stop.clone();
        self.running.spawn(async move { drop(stop.run_until_cancelled_owned(task).await) });
    }
}

async fn streams<C, O>(
    pen: Pen,
    client: C,
    origin: O,
    dropped: &'static [&'static str],
    added: Arc<[(HeaderName, HeaderValue)]>,
    tasks: &Tasks,
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    O: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http2::Builder::new(tasks.clone())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(4 * STREAM_WINDOW)
        .handshake(TokioIo::new(origin))
        .await;
    let (sender, connection) = match handshake {
        Ok(ready) => ready,
        Err(error) => return End::origin(format!("HTTP/2 could not begin: {error}")),
    };
    let live = pen.live().clone();
    let service = service_fn(move |request| forward(request, sender.clone(), pen.clone(), dropped, Arc::clone(&added)));
    let mut serving = pin!(
        server::Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(4 * STREAM_WINDOW)
            .max_concurrent_streams(256)
            .serve_connection(TokioIo::new(client), service)
    );
    let mut connection = pin!(connection);
    let mut origin_open = true;
    let mut closing: Option<End> = None;
    let deadline = tokio::time::sleep(LAST_STREAMS);
    tokio::pin!(deadline);
    loop {
        tokio::select! {
            served = &mut serving => {
                return closing.unwrap_or_else(|| match served {
                    Ok(()) => End::client("closed"),
                    Err(error) => End::client(error.to_string()),
                });
            }
            ended = &mut connection, if origin_open => {
                origin_open = false;
                closing.get_or_insert_with(|| match ended {
                    Ok(()) => End::origin("closed"),
                    Err(error) => End::origin(error.to_string()),
                });
                // The client learns that it has to open another connection; answers under way go on.
                serving.as_mut().graceful_shutdown();
                deadline.as_mut().reset(tokio::time::Instant::now() + LAST_STREAMS);
            }
            () = live.drain.cancelled(), if closing.is_none() => {
                closing = Some(End::middlebox("drained"));
                serving.as_mut().graceful_shutdown();
                deadline.as_mut().reset(tokio::time::Instant::now() + LAST_STREAMS);
            }
            () = live.kill.cancelled() => return End::middlebox("ended"),
            () = &mut deadline, if closing.is_some() => return End::middlebox("streams did not end"),
        }
    }
}

type Answered = Response<Either<Counted, Full<Bytes>>>;

async fn forward(
    request: Request<Incoming>,
    mut sender: SendRequest<Counted>,
    pen: Pen,
    dropped: &'static [&'static str],
    added: Arc<[(HeaderName, HeaderValue)]>,
) -> Result<Answered, hyper::Error> {
    let name = || {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        (request.method().to_string(), host, request.uri().path().to_owned())
    };
    let (method, host, path) = pen.has_room().then(name).unwrap_or_default();
    let log = Arc::new(Log {
        begun: Instant::now(),
        method,
        host,
        path,
        status: OnceLock::new(),
        sent: AtomicU64::new(0),
        received: AtomicU64::new(0),
        pen,
    });
    let up = Arc::clone(&log);
    let mut request = request.map(|body| Counted { body, log: up, up: true });
    drop_proxy_fields(request.headers_mut());
    for (name, value) in added.iter() {
        request.headers_mut().append(name.clone(), value.clone());
    }
    if sender.ready().await.is_err() {
        // The origin's connection ended between two requests; nothing of this one was sent.
        let answer = Answer::bad_gateway("connection_terminated", "the origin closed its connection");
        log.pen.note(|record| record.told = Some(Told::StatusInside(answer.status.as_u16())));
        let _ = log.status.set(answer.status.as_u16());
        return Ok(answer.to_response().map(Either::Right));
    }
    // An error of the stream goes on as it is: hyper resets the client's stream with the origin's reason.
    let mut response = sender.send_request(request).await?;
    let _ = log.status.set(response.status().as_u16());
    drop_proxy_fields(response.headers_mut());
    for name in dropped {
        response.headers_mut().remove(*name);
    }
    Ok(response.map(|body| Either::Left(Counted { body, log, up: false })))
}

/// What is meant for a proxy goes no further, as in HTTP/1.1.
fn drop_proxy_fields(headers: &mut HeaderMap) {
    while let Some(name) = headers.keys().find(|name| name.as_str().starts_with("proxy-")).cloned() {
        headers.remove(name);
    }
}

/// One exchange; recorded when the last of its bodies is let go. Nameless where the record has no room for it.
struct Log {
    begun: Instant,
    method: String,
    host: String,
    path: String,
    status: OnceLock<u16>,
    sent: AtomicU64,
    received: AtomicU64,
    pen: Pen,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.pen.exchange(|| Exchange {
            method: std::mem::take(&mut self.method),
            host: std::mem::take(&mut self.host),
            path: std::mem::take(&mut self.path),
            version: "HTTP/2",
            status: self.status.get().copied(),
            request_bytes: self.sent.load(Ordering::Relaxed),
            response_bytes: self.received.load(Ordering::Relaxed),
            began_us: self.pen.moment(self.begun),
            took_us: u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        });
    }
}

/// A body on its way, counted.
struct Counted {
    body: Incoming,
    log: Arc<Log>,
    up: bool,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let live = self.log.pen.live();
            let (own, total) = if self.up { (&self.log.sent, live.up()) } else { (&self.log.received, live.down()) };
            own.fetch_add(data.len() as u64, Ordering::Relaxed);
            total.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Answers every request of a connection in the origin's place.
pub(crate) async fn answer_all<C>(client: C, answer: Answer) -> Result<(), String>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer.to_response();
        async move {
            // The request is read to its end, so that the client has sent it before it is told.
            let _ = tokio::time::timeout(Duration::from_secs(10), request.into_body().collect()).await;
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let serving = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    serving.serve_connection(TokioIo::new(client), service).await.map_err(|error| error.to_string())
}
