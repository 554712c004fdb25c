//! HTTP/2 to the proxy (RFC 9113, 8.5): each `CONNECT` stream is a connection of its own, with a record of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::http::{authenticate, connect_target};
use super::{Inbound, short};
use crate::journal::{End, Outcome, Recording, Told, Via};
use crate::proxy::client::{Carrier, Client};
use crate::proxy::respond::Answer;
use crate::proxy::{Shared, connection};

/// Serves the streams of one connection.
pub(super) async fn serve(shared: &Arc<Shared>, client: Client, recording: Recording) {
    let peer = recording.note(|record| record.client.address);
    let live = recording.live().clone();
    // The record of the accepted connection becomes that of its first stream.
    let first = Arc::new(Mutex::new(Some(recording)));
    let service = service_fn({
        let (shared, first) = (Arc::clone(shared), Arc::clone(&first));
        move |request| {
            let recording = take(&first).unwrap_or_else(|| shared.journal.open(peer));
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(answer(&shared, request, recording).await) }
        }
    });
    let mut serving = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(1024)
            .serve_connection(TokioIo::new(client), service)
    );
    let mut draining = false;
    let ended = loop {
        tokio::select! {
            ended = &mut serving => break ended,
            () = live.drain.cancelled(), if !draining => {
                draining = true;
                serving.as_mut().graceful_shutdown();
            }
            () = live.kill.cancelled() => break Ok(()),
        }
    };
    if let Some(recording) = take(&first) {
        let how = ended.map_or_else(|error| error.to_string(), |()| "closed before its request".to_owned());
        recording.finish(Outcome::Unused, End::client(how));
    }
}

fn take(first: &Mutex<Option<Recording>>) -> Option<Recording> {
    first.lock().unwrap_or_else(PoisonError::into_inner).take()
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>, recording: Recording) -> Response<Full<Bytes>> {
    match open(shared, &request, &recording).await {
        Ok(inbound) => {
            let shared = Arc::clone(shared);
            let tasks = shared.tasks.clone();
            tasks.spawn(async move { tunnel(&shared, request, recording, inbound).await });
            Response::new(Full::default())
        }
        Err((answer, outcome)) => {
            recording.note(|record| record.told = Some(Told::Status(answer.status.as_u16())));
            recording.finish(outcome, End::middlebox(answer.detail.clone()));
            let mut response = answer.to_response();
            if let Some(challenge) = answer.challenge() {
                response.headers_mut().insert(http::header::PROXY_AUTHENTICATE, challenge);
            }
            response
        }
    }
}

async fn open(
    shared: &Arc<Shared>,
    request: &Request<Incoming>,
    recording: &Recording,
) -> Result<Inbound, (Answer, Outcome)> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    recording.note(|record| {
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

async fn tunnel(shared: &Arc<Shared>, request: Request<Incoming>, recording: Recording, inbound: Inbound) {
    let peer: SocketAddr = recording.note(|record| record.client.address);
    match hyper::upgrade::on(request).await {
        Ok(upgraded) => {
            let client = Client::new(Carrier::Http2(Box::new(TokioIo::new(upgraded))));
            Box::pin(connection::carry(shared, client, &recording, &inbound)).await;
        }
        Err(error) => {
            tracing::debug!(%peer, %error, "an HTTP/2 stream was given up");
            recording.finish(Outcome::GaveUp, End::client(error.to_string()));
        }
    }
}
