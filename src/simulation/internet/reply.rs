//! Responses of the simulated origins.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::Value;

use crate::net::Host;

/// The body of a response: at hand, or streamed.
pub(super) type ReplyBody = UnsyncBoxBody<Bytes, hyper::Error>;

pub(super) fn full(bytes: impl Into<Bytes>) -> ReplyBody {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

pub(super) fn json(status: StatusCode, value: &Value) -> Response<ReplyBody> {
    let mut response = with_type(status, "application/json", value.to_string());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    response
}

pub(super) fn html(status: StatusCode, title: &str, body: &str) -> Response<ReplyBody> {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{}</title></head>\n<body>\n{body}\n\
         </body>\n</html>\n",
        escape(title)
    );
    with_type(status, "text/html; charset=utf-8", page)
}

pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<ReplyBody> {
    with_type(status, "text/plain; charset=utf-8", body)
}

pub(super) fn redirect(status: StatusCode, to: &str) -> Response<ReplyBody> {
    let mut response = text(status, "");
    // A URL in its ASCII form is a header value; anything else is a mistake of the caller's, answered as such.
    match HeaderValue::from_str(to) {
        Ok(location) => {
            response.headers_mut().insert(LOCATION, location);
        }
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}

/// The redirect of port 80 to port 443.
pub(super) fn to_https(host: &Host, request: &Request<Incoming>) -> Response<ReplyBody> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let host = match host {
        Host::Ip(std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
        other => other.to_string(),
    };
    redirect(StatusCode::MOVED_PERMANENTLY, &format!("https://{host}{path}"))
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Response<ReplyBody> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("this path answers {allowed}\n"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Text that stands in HTML, also within an attribute.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<ReplyBody> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
