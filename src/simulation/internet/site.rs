//! The app `static`: a small web site.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::reply::{self, ReplyBody};
use crate::net::Host;

const CHUNK: &[u8] = &[b'.'; 64 << 10];

/// `/bytes/N` streams N bytes, `/status/N` answers with that status, any other path is a page.
pub(super) fn answer(host: &Host, request: &Request<Incoming>) -> Response<ReplyBody> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return reply::method_not_allowed("GET, HEAD");
    }
    let path = request.uri().path();
    if let Some(count) = path.strip_prefix("/bytes/") {
        return bytes(count);
    }
    if let Some(code) = path.strip_prefix("/status/") {
        return status(code);
    }
    let (host, path) = (host.to_string(), reply::escape(path));
    let body = format!("<h1>{host}</h1>\n<p>This is <code>{path}</code> on the simulated internet of middlebox.</p>");
    reply::html(StatusCode::OK, &host, &body)
}

fn bytes(count: &str) -> Response<ReplyBody> {
    let Ok(left) = count.parse::<u64>() else {
        return reply::text(StatusCode::BAD_REQUEST, "write /bytes/N with a whole number N\n");
    };
    let mut response = Response::new(Filler { left }.map_err(|never| match never {}).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

/// Final statuses alone: a 1xx is no answer.
fn status(code: &str) -> Response<ReplyBody> {
    let code = code.parse::<u16>().ok().filter(|code| (200..=599).contains(code));
    match code.and_then(|code| StatusCode::from_u16(code).ok()) {
        Some(status) => reply::text(status, format!("{status}\n")),
        None => reply::text(StatusCode::BAD_REQUEST, "write /status/N with N from 200 to 599\n"),
    }
}

/// A body of dots that is never held whole.
struct Filler {
    left: u64,
}

impl Body for Filler {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let now = usize::try_from(self.left).unwrap_or(usize::MAX).min(CHUNK.len());
        self.left -= now as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(CHUNK).slice(..now)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
