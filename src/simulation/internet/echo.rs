//! The app `echo`: tells the client what arrived.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming};
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::reply::{self, ReplyBody};
use super::serve::Gate;
use super::websocket;

/// The largest body that is told back within JSON; `/echo` streams without a limit.
const BODY_BYTES: usize = 1 << 20;
const DRIP_CHUNKS: u32 = 10_000;
const DRIP_PAUSE: Duration = Duration::from_secs(60);

/// `/echo` returns the body as it comes, `/drip` sends pieces, `/ws` is a WebSocket, any other path returns JSON.
pub(super) async fn answer(gate: &Gate, request: Request<Incoming>) -> Response<ReplyBody> {
    match request.uri().path() {
        "/echo" => stream_back(request),
        "/drip" => drip(&request),
        "/ws" => websocket::answer(gate, request),
        _ => describe(request).await,
    }
}

fn stream_back(request: Request<Incoming>) -> Response<ReplyBody> {
    let content_type = request.headers().get(CONTENT_TYPE).cloned();
    let mut response = Response::new(request.into_body().boxed_unsync());
    let content_type = content_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

async fn describe(request: Request<Incoming>) -> Response<ReplyBody> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES).collect().await.map(http_body_util::Collected::to_bytes) else {
        let hint = format!("at most {BODY_BYTES} bytes are told back; /echo streams any number\n");
        return reply::text(StatusCode::PAYLOAD_TOO_LARGE, hint);
    };
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let mut value = json!({
        "method": head.method.as_str(),
        "url": head.uri.to_string(),
        "version": format!("{:?}", head.version),
        "headers": headers,
    });
    match std::str::from_utf8(&body) {
        Ok(text) => value["body"] = text.into(),
        Err(_) => value["body_base64"] = BASE64_STANDARD.encode(&body).into(),
    }
    reply::json(StatusCode::OK, &value)
}

/// `/drip?n=5&ms=100`: n pieces, one every ms milliseconds, then a trailer with their number.
fn drip(request: &Request<Incoming>) -> Response<ReplyBody> {
    let query = request.uri().query().unwrap_or_default();
    let number = |name: &str, default: u64| {
        let given = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
        given.map_or(Ok(default), |(_, value)| value.parse::<u64>())
    };
    let (Ok(count), Ok(pause)) = (number("n", 5), number("ms", 100)) else {
        return reply::text(StatusCode::BAD_REQUEST, "write /drip?n=COUNT&ms=MILLISECONDS with whole numbers\n");
    };
    let count = u32::try_from(count).unwrap_or(u32::MAX).min(DRIP_CHUNKS);
    let pause = Duration::from_millis(pause).clamp(Duration::from_millis(1), DRIP_PAUSE);
    let mut pace = interval(pause);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let body = Drip { sent: 0, count, pace, over: false };
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(http::header::TRAILER, HeaderValue::from_static("drip-count"));
    response
}

struct Drip {
    sent: u32,
    count: u32,
    pace: Interval,
    over: bool,
}

impl Body for Drip {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.sent == self.count {
            self.over = true;
            let mut trailers = HeaderMap::new();
            trailers.insert(HeaderName::from_static("drip-count"), HeaderValue::from(self.sent));
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        ready!(self.pace.poll_tick(context));
        self.sent += 1;
        let line = format!("{}\n", self.sent);
        Poll::Ready(Some(Ok(Frame::data(line.into()))))
    }
}
