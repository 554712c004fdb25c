//! HTTP/2 to the proxy (RFC 9113, 8.5): each `CONNECT` stream is a connection of its own, with a record of its own.

use std::sync::Arc;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use http::{Method, Request, Response};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, debug_span};

use super::http::{authenticate, connect_target};
use super::{Inbound, REQUEST, Tunnel, short};
use crate::journal::{End, Outcome, Pen, Recording, Told, Via};
use crate::proxy::client::{Carrier, Client};
use crate::proxy::http2_stream::Http2Stream;
use crate::proxy::respond::Answer;
use crate::proxy::{Shared, connection};

/// What a client may send through one tunnel before it is read, and four times that through all of them.
const STREAM_WINDOW: u32 = 1 << 20;

/// What waits in memory for a client that reads slowly, for each tunnel.
const SEND_BUFFER: usize = 256 << 10;

/// The largest list of header fields of one request (RFC 9113, 10.5.1); beyond it a request is answered `431`.
const MAX_HEADER_LIST: u32 = 64 << 10;

/// Serves one connection.
pub(super) async fn serve(shared: &Arc<Shared>, mut client: Client, recording: Recording) {
    streams(shared, &mut client, recording).await;
    if !shared.kill.is_cancelled() {
        // What the client still acknowledges must not turn the last frames on their way to it into a reset.
        client.linger().await;
    }
}

/// Serves its streams. Those that run go on when the connection is drained; one without any ends.
async fn streams(shared: &Arc<Shared>, client: &mut Client, recording: Recording) {
    let peer = recording.note(|record| record.client.address);
    let live = Arc::clone(recording.live());
    // The record of the accepted connection becomes that of its first stream.
    let mut first = Some(recording);
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(1024)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(4 * STREAM_WINDOW);
    let opened = tokio::select! {
        opened = timeout(REQUEST, builder.handshake(client)) => opened,
        () = live.kill.cancelled() => return finish(first.take(), End::middlebox("ended")),
    };
    let mut connection: Connection<&mut Client, Bytes> = match opened {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return finish(first.take(), End::client(error.to_string())),
        Err(_) => return finish(first.take(), End::middlebox("no complete request within a minute")),
    };
    let streams = TaskTracker::new();
    let mut idle_at = Instant::now() + REQUEST;
    // Why no more streams are taken, once none are.
    let mut closing: Option<End> = None;
    let end = loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    idle_at = Instant::now() + REQUEST;
                    let recording = first.take().unwrap_or_else(|| shared.journal.open(peer));
                    let span = debug_span!("stream", id = recording.live().id());
                    let stream = stream(Arc::clone(shared), request, respond, recording);
                    shared.tasks.spawn(streams.track_future(stream).instrument(span));
                }
                Some(Err(error)) => break End::client(error.to_string()),
                None => break End::client("closed before its request"),
            },
            () = sleep_until(idle_at) => {
                idle_at = Instant::now() + REQUEST;
                match (streams.is_empty(), closing.take()) {
                    (false, before) => closing = before,
                    (true, None) => {
                        closing = Some(End::middlebox("nothing was asked for a minute"));
                        connection.graceful_shutdown();
                    }
                    // A client that does not answer to that either.
                    (true, Some(end)) => break end,
                }
            }
            () = shared.stop.cancelled(), if closing.is_none() => {
                closing = Some(End::middlebox("drained"));
                connection.graceful_shutdown();
            }
            () = shared.kill.cancelled() => break End::middlebox("ended"),
            // Of the connection alone, as long as it has no stream; each stream has its own.
            () = live.kill.cancelled(), if first.is_some() => break End::middlebox("ended"),
        }
    };
    finish(first.take(), closing.unwrap_or(end));
}

fn finish(unused: Option<Recording>, end: End) {
    if let Some(recording) = unused {
        recording.finish(Outcome::Unused, end);
    }
}

/// Serves one stream to its end.
async fn stream(
    shared: Arc<Shared>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    recording: Recording,
) {
    match open(&shared, &request, &recording).await {
        Ok(inbound) => match respond.send_response(Response::new(()), false) {
            Ok(send) => {
                let stream = Http2Stream::new(send, request.into_body());
                let client = Client::new(Carrier::Http2(Box::new(stream)));
                connection::carry(&shared, Tunnel::new(client, recording, inbound)).await;
            }
            Err(error) => recording.finish(Outcome::GaveUp, End::client(error.to_string())),
        },
        Err((answer, outcome)) => {
            refuse(&mut respond, &recording, &answer);
            recording.finish(outcome, End::middlebox(answer.detail));
        }
    }
}

/// Answers, and ends the stream; a body that is still on its way is not wanted (RFC 9113, 8.1).
fn refuse(respond: &mut SendResponse<Bytes>, pen: &Pen, answer: &Answer) {
    pen.note(|record| record.told = Some(Told::Status(answer.status.as_u16())));
    let (head, body) = answer.to_http2();
    let sent = respond.send_response(head, false);
    if let Err(error) = sent.and_then(|mut send| send.send_data(body, true)) {
        debug!(%error, "an answer could not be given");
    }
}

async fn open(
    shared: &Arc<Shared>,
    request: &Request<RecvStream>,
    recording: &Recording,
) -> Result<Inbound, (Answer, Outcome)> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    recording.note(|record| {
        record.via = Some(Via::ConnectHttp2).filter(|_| request.method() == Method::CONNECT);
        record.client.device = header("middlebox-device").map(|name| short(name, 100));
        record.client.user_agent = header("user-agent").map(|name| short(name, 200));
    });
    let target = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let tunnel = (request.method() == Method::CONNECT).then_some(target.as_str());
    if let Some(answer) = authenticate(shared, recording, tunnel, header("proxy-authorization")).await {
        return Err((answer, Outcome::Blocked));
    }
    if request.method() != Method::CONNECT {
        let answer = Answer::method_not_allowed("over HTTP/2 this proxy serves CONNECT only; ask over HTTP/1.1");
        return Err((answer, Outcome::Failed));
    }
    let (destination, typed) = connect_target(&target).map_err(|answer| (answer, Outcome::Failed))?;
    let inbound = connection::arrive(recording, Via::ConnectHttp2, destination, Some(typed));
    connection::admit(shared, recording, &inbound).map_err(|answer| (answer, Outcome::Blocked))?;
    Ok(inbound)
}
