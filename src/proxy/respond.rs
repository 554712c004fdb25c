//! What the proxy itself says to a client: one place that turns a reason into a status, a sentence and a
//! `Proxy-Status` (RFC 9209).

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::stall::words;
use crate::net::{DialError, ParentFault, ParentSaid};

/// An answer of the proxy's own.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The error type of RFC 9209, section 2.3.
    pub(crate) error: &'static str,
    /// What happened, in a sentence for a person.
    pub(crate) detail: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// The realm, where credentials are asked for.
    pub(crate) realm: Option<&'static str>,
}

impl Answer {
    fn new(status: StatusCode, error: &'static str, detail: impl Into<String>) -> Self {
        Self { status, error, detail: detail.into(), hint: None, realm: None }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "http_request_error", detail)
    }

    pub(crate) fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "http_request_denied", detail)
    }

    pub(crate) fn bad_gateway(error: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, error, detail)
    }

    pub(crate) fn blocked(host: &str, why: &str) -> Self {
        let mut answer = Self::new(StatusCode::FORBIDDEN, "http_request_denied", format!("{host} is blocked: {why}"));
        answer.hint = Some("change the policy if it should not be".to_owned());
        answer
    }

    pub(crate) fn own_port(destination: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "proxy_loop_detected",
            format!("{destination} is a port of this proxy itself, which it does not connect to"),
        )
    }

    pub(crate) fn client_not_allowed(client: &str) -> Self {
        let mut answer = Self::new(
            StatusCode::FORBIDDEN,
            "http_request_denied",
            format!("clients at {client} are not allowed here"),
        );
        answer.hint = Some("--allow-client names the addresses that are".to_owned());
        answer
    }

    pub(crate) fn too_many() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "connection_limit_reached",
            "the proxy holds as many connections as it may",
        )
    }

    pub(crate) fn timeout(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "http_request_error", detail)
    }

    /// The origin has been silent for too long (RFC 9110, 15.6.5).
    pub(crate) fn unanswered(limit: Duration) -> Self {
        let detail = format!("the origin has not answered, and nothing has moved, for {}", words(limit));
        let mut answer = Self::new(StatusCode::GATEWAY_TIMEOUT, "http_response_timeout", detail);
        answer.hint = Some("--answer-timeout gives it longer".to_owned());
        answer
    }

    pub(crate) fn authenticate(wrong: bool) -> Self {
        let detail = if wrong { "the user name or the password is wrong" } else { "this proxy asks who you are" };
        let mut answer = Self::new(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "http_request_denied", detail);
        answer.hint = Some("send Proxy-Authorization: Basic with a user of the --proxy-auth file".to_owned());
        answer.realm = Some("middlebox");
        answer
    }

    pub(crate) fn unreachable(error: &DialError) -> Self {
        let (status, kind) = match error {
            DialError::Resolve(_) => (StatusCode::BAD_GATEWAY, "dns_error"),
            DialError::Refused(_) => (StatusCode::BAD_GATEWAY, "connection_refused"),
            DialError::Timeout(..) => (StatusCode::GATEWAY_TIMEOUT, "connection_timeout"),
            DialError::OwnPort(destination) => return Self::own_port(&destination.to_string()),
            DialError::CameBack(_) => (StatusCode::BAD_GATEWAY, "proxy_loop_detected"),
            DialError::Unreachable(..) => (StatusCode::BAD_GATEWAY, "destination_unavailable"),
            DialError::Parent { fault, .. } => match fault {
                ParentFault::Refused(ParentSaid::Http { status: 504, .. } | ParentSaid::Socks(6))
                | ParentFault::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, "connection_timeout"),
                ParentFault::Refused(_) => (StatusCode::BAD_GATEWAY, "http_request_denied"),
                ParentFault::Credentials(_) | ParentFault::WrongCredentials(_) => {
                    (StatusCode::BAD_GATEWAY, "proxy_configuration_error")
                }
                ParentFault::Tls(_) => (StatusCode::BAD_GATEWAY, "tls_protocol_error"),
                ParentFault::Protocol(_) => (StatusCode::BAD_GATEWAY, "http_protocol_error"),
                ParentFault::Unreachable(_) | ParentFault::Broken(_) => {
                    (StatusCode::BAD_GATEWAY, "connection_terminated")
                }
            },
        };
        Self::new(status, kind, error.to_string())
    }

    /// The value of `Proxy-Status`.
    fn proxy_status(&self) -> String {
        let details: String =
            self.detail.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').flat_map(escaped).collect();
        format!("middlebox; error={}; details=\"{details}\"", self.error)
    }

    fn body(&self) -> String {
        let reason = self.status.canonical_reason().unwrap_or_default();
        let mut text = format!("{} {reason}\n\nmiddlebox: {}.\n", self.status.as_u16(), self.detail);
        if let Some(hint) = &self.hint {
            text.push_str(hint);
            text.push_str(".\n");
        }
        text
    }

    /// The answer as it goes over HTTP/1.1; the connection ends with it, except after a `407`, which a client answers
    /// on the same connection.
    pub(crate) fn to_http1(&self) -> Vec<u8> {
        let body = self.body();
        let mut text = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nProxy-Status: {}\r\n",
            self.status.as_u16(),
            self.status.canonical_reason().unwrap_or_default(),
            body.len(),
            self.proxy_status(),
        );
        match self.realm {
            Some(realm) => {
                let _ = write!(text, "Proxy-Authenticate: Basic realm=\"{realm}\", charset=\"UTF-8\"\r\n");
            }
            None => text.push_str("Connection: close\r\n"),
        }
        text.push_str("\r\n");
        text.push_str(&body);
        text.into_bytes()
    }

    /// The answer as it goes over an HTTP/2 stream to the proxy.
    pub(crate) fn to_http2(&self) -> (Response<()>, Bytes) {
        let mut head = self.to_response().map(|_| ());
        if let Some(challenge) = self.challenge() {
            head.headers_mut().insert(header::PROXY_AUTHENTICATE, challenge);
        }
        (head, Bytes::from(self.body()))
    }

    /// The value of `Proxy-Authenticate`, where credentials are asked for (RFC 7617).
    fn challenge(&self) -> Option<HeaderValue> {
        let realm = self.realm?;
        HeaderValue::try_from(format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")).ok()
    }

    /// The answer for hyper.
    pub(crate) fn to_response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if let Ok(value) = HeaderValue::try_from(self.proxy_status()) {
            headers.insert("proxy-status", value);
        }
        response
    }
}

/// Inside a quoted string of RFC 8941, section 3.3.3.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let escape = matches!(c, '"' | '\\').then_some('\\');
    escape.into_iter().chain(std::iter::once(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_its_reason_twice_for_machines_and_people() {
        let text = String::from_utf8(Answer::blocked("a.example", "rule `\"x\"`").to_http1()).unwrap();
        assert!(text.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{text}");
        assert!(
            text.contains("error=http_request_denied; details=\"a.example is blocked: rule `\\\"x\\\"`\""),
            "{text}"
        );
        assert!(text.ends_with("change the policy if it should not be.\n"), "{text}");
        assert!(text.contains("Connection: close\r\n"));
        let text = String::from_utf8(Answer::authenticate(false).to_http1()).unwrap();
        assert!(text.contains("Proxy-Authenticate: Basic realm=\"middlebox\"") && !text.contains("close"), "{text}");
    }
}
