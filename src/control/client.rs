//! The command line's end of the control API.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout as within;
use url::Url;
use url::form_urlencoded;

use super::connections::ConnectionFilter;
use super::problem::{PROBLEM_JSON, Problem};
use super::wire::{Changed, ConnectionList, Killed, NewRule, PolicyPatch, PolicyState, RulePatch, Status};
use crate::policy::{Action, OnChange};

/// How long a connection may take to stand.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// How long an answer may take, whole. A change with many connections to end is far below.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// The largest answer that is read: a policy of some 100,000 rules has 20 MiB.
const MAX_ANSWER: usize = 64 << 20;

/// A client of one control API. Every request has a connection of its own, made directly: no proxy variables are read.
#[derive(Clone)]
pub struct ControlClient {
    /// `http://host:port`, without a path.
    base: String,
    /// `host:port`.
    authority: String,
    authorization: Option<HeaderValue>,
}

/// The control API could not be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The connection ended before the answer did.
    #[error("{url} broke off before it had answered: look whether that middlebox is being stopped, then try again")]
    Broken {
        /// Where it was asked.
        url: String,
        /// What happened.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is larger than any real one.
    #[error("{0} answers with more than {max} MiB; ask for less, as with a limit", max = MAX_ANSWER >> 20)]
    Large(String),
    /// Something else answers there.
    #[error(
        "what answers at {0} is not the control API of this version of middlebox; name its control address with \
         --control or MIDDLEBOX_CONTROL"
    )]
    NotOurs(String),
    /// The server refused, and says why.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// The answer did not come in time.
    #[error("{url} has not answered within {} s; look whether that middlebox still works, or start it anew", .limit.as_secs())]
    Timeout {
        /// Where it was asked.
        url: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The token cannot be sent.
    #[error("the token has characters that no HTTP header can carry; give the one that the middlebox was started with")]
    Token,
    /// Nothing answers there.
    #[error(
        "no middlebox answers at {url}: start one with `middlebox up`, or name its control address with --control or \
         MIDDLEBOX_CONTROL"
    )]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What the system said.
        #[source]
        reason: std::io::Error,
    },
    /// The address of the control API does not read.
    #[error("`{0}` is not the address of a control API; write it as http://127.0.0.1:8081")]
    Url(String),
}

impl ControlClient {
    /// A client of the API at `url`: `http://127.0.0.1:8081`, or `127.0.0.1:8081` alone. Nothing is connected yet.
    ///
    /// # Errors
    /// The URL is not plain HTTP to a host without a path, or the token cannot be sent.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, ClientError> {
        let wrong = || ClientError::Url(url.to_owned());
        let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let parsed = Url::parse(&full).map_err(|_| wrong())?;
        let bare = parsed.path() == "/" && parsed.query().is_none() && parsed.fragment().is_none();
        if parsed.scheme() != "http" || !bare || !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(wrong());
        }
        let (host, port) = parsed.host_str().zip(parsed.port_or_known_default()).ok_or_else(wrong)?;
        let authority = format!("{host}:{port}");
        let bearer = |token: &str| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| ClientError::Token)?;
            value.set_sensitive(true);
            Ok(value)
        };
        let authorization = token.map(bearer).transpose()?;
        Ok(Self { base: format!("http://{authority}"), authority, authorization })
    }

    /// The URL of the API.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }

    /// How the middlebox stands.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.ask(Method::GET, "/api/v1/status", None::<&()>).await
    }

    /// The policy in force.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn policy(&self) -> Result<PolicyState, ClientError> {
        self.ask(Method::GET, "/api/v1/policy", None::<&()>).await
    }

    /// Chooses what is done when no rule matches.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_default(&self, default: Action, on_change: Option<OnChange>) -> Result<Changed, ClientError> {
        let path = with_query("/api/v1/policy", &change_query(None, on_change));
        self.ask(Method::PATCH, &path, Some(&PolicyPatch { default })).await
    }

    /// Adds a rule. The same rule given twice is one rule.
    ///
    /// # Errors
    /// See [`ClientError`]; a bad pattern is a problem with its column.
    pub async fn add_rule(&self, rule: &NewRule, on_change: Option<OnChange>) -> Result<Changed, ClientError> {
        let path = with_query("/api/v1/policy/rules", &change_query(None, on_change));
        self.ask(Method::POST, &path, Some(rule)).await
    }

    /// Switches the rules with this id or pattern on or off.
    ///
    /// # Errors
    /// See [`ClientError`]; where there is no such rule, the problem suggests one.
    pub async fn set_enabled(
        &self,
        selector: &str,
        enabled: bool,
        on_change: Option<OnChange>,
    ) -> Result<Changed, ClientError> {
        let path = with_query("/api/v1/policy/rules", &change_query(Some(selector), on_change));
        self.ask(Method::PATCH, &path, Some(&RulePatch { enabled })).await
    }

    /// Removes the rules with this id or pattern.
    ///
    /// # Errors
    /// See [`ClientError`]; where there is no such rule, the problem suggests one.
    pub async fn remove(&self, selector: &str, on_change: Option<OnChange>) -> Result<Changed, ClientError> {
        let path = with_query("/api/v1/policy/rules", &change_query(Some(selector), on_change));
        self.ask(Method::DELETE, &path, None::<&()>).await
    }

    /// Writes the live changes into the policy file.
    ///
    /// # Errors
    /// See [`ClientError`]; a conflict where there is no policy file.
    pub async fn save(&self) -> Result<Changed, ClientError> {
        self.ask(Method::POST, "/api/v1/policy/save", None::<&()>).await
    }

    /// The connections that the filter wants.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn connections(&self, filter: &ConnectionFilter) -> Result<ConnectionList, ClientError> {
        let path = with_query("/api/v1/connections", &filter_query(filter));
        self.ask(Method::GET, &path, None::<&()>).await
    }

    /// Ends one connection at once.
    ///
    /// # Errors
    /// See [`ClientError`]; a conflict where it has ended already.
    pub async fn kill(&self, id: u64) -> Result<Killed, ClientError> {
        self.ask(Method::DELETE, &format!("/api/v1/connections/{id}"), None::<&()>).await
    }
}

impl ControlClient {
    pub(super) fn request(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Request<Full<Bytes>> {
        let json = body.map(|body| serde_json::to_vec(body).expect("texts and numbers always have a JSON form"));
        let mut request = Request::new(Full::new(Bytes::from(json.unwrap_or_default())));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("a path of ours with an encoded query is a URI");
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::try_from(&self.authority).expect("the authority of a URL is ASCII"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, application/problem+json"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.extend(self.authorization.clone().map(|value| (header::AUTHORIZATION, value)));
        request
    }

    async fn connect(&self) -> Result<TcpStream, ClientError> {
        let stream = within(CONNECT_TIME, TcpStream::connect(&self.authority)).await;
        let stream = stream.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        stream.map_err(|reason| ClientError::Unreachable { url: self.base.clone(), reason })
    }

    /// An answer that goes on: its body, and the task that drives the connection.
    pub(super) async fn open(&self, request: Request<Full<Bytes>>) -> Result<(Incoming, JoinHandle<()>), ClientError> {
        let stream = self.connect().await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.failed(error))?;
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        let late = |_| ClientError::Timeout { url: self.base.clone(), limit: ANSWER_TIME };
        let response = within(ANSWER_TIME, sender.send_request(request)).await.map_err(late)?;
        let (parts, body) = response.map_err(|error| self.failed(error))?.into_parts();
        if parts.status.is_success() {
            return Ok((body, driver));
        }
        let collected = within(ANSWER_TIME, Limited::new(body, MAX_ANSWER).collect()).await.map_err(late)?;
        let collected = collected.map_err(|_| ClientError::NotOurs(self.base.clone()))?.to_bytes();
        Err(self.problem(&parts.headers, &collected))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let request = self.request(method, path, body);
        let stream = self.connect().await?;
        let late = |_| ClientError::Timeout { url: self.base.clone(), limit: ANSWER_TIME };
        within(ANSWER_TIME, self.exchange(stream, request)).await.map_err(late)?
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        stream: TcpStream,
        request: Request<Full<Bytes>>,
    ) -> Result<T, ClientError> {
        let failed = |error| self.failed(error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let answered = async {
            let response = sender.send_request(request).await.map_err(failed)?;
            let (parts, body) = response.into_parts();
            let collected = Limited::new(body, MAX_ANSWER).collect().await;
            let collected = collected.map_err(|error| match error.downcast::<hyper::Error>() {
                Ok(error) => self.failed(*error),
                Err(error) if error.is::<LengthLimitError>() => ClientError::Large(self.base.clone()),
                Err(reason) => ClientError::Broken { url: self.base.clone(), reason },
            })?;
            Ok((parts, collected.to_bytes()))
        };
        let mut answered = std::pin::pin!(answered);
        // The connection is driven here, and not by a task of its own, so that it ends with this call.
        let (parts, body) = tokio::select! {
            answered = &mut answered => answered?,
            ended = connection => match (answered.await, ended) {
                // The connection knows better than whoever waited for it why nothing came.
                (Err(_), Err(error)) => return Err(self.failed(error)),
                (answered, _) => answered?,
            },
        };
        if parts.status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| ClientError::NotOurs(self.base.clone()));
        }
        Err(self.problem(&parts.headers, &body))
    }

    /// What an answer that is no success says.
    fn problem(&self, headers: &HeaderMap, body: &[u8]) -> ClientError {
        let is_problem = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON);
        match serde_json::from_slice(body) {
            Ok(problem) if is_problem => ClientError::Problem(Box::new(problem)),
            _ => ClientError::NotOurs(self.base.clone()),
        }
    }

    fn failed(&self, error: hyper::Error) -> ClientError {
        if is_break(&error) {
            ClientError::Broken { url: self.base.clone(), reason: error.into() }
        } else {
            ClientError::NotOurs(self.base.clone())
        }
    }
}

/// Whether the connection ended, rather than said something that is no answer.
fn is_break(error: &hyper::Error) -> bool {
    let Some(cause) = error.source() else {
        return error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    };
    // What comes before the request was sent cancels the request, and is the cause of that.
    cause.downcast_ref().map_or_else(|| error.is_canceled() || cause.is::<std::io::Error>(), is_break)
}

fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

fn change_query(pattern: Option<&str>, on_change: Option<OnChange>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pattern.map(|pattern| ("pattern", pattern)));
    query.extend_pairs(on_change.map(|choice| ("on-change", choice.as_str())));
    query.finish()
}

fn filter_query(filter: &ConnectionFilter) -> String {
    let ConnectionFilter { host, outcome, decision, since, limit, open } = filter;
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(host.as_deref().map(|host| ("host", host)));
    query.extend_pairs(outcome.map(|outcome| ("outcome", outcome.word())));
    query.extend_pairs(decision.map(|decision| ("decision", decision.word())));
    query.extend_pairs(since.map(|since| ("since", since.to_string())));
    query.extend_pairs(limit.map(|limit| ("limit", limit.to_string())));
    query.extend_pairs(open.map(|open| ("open", open.to_string())));
    query.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_once() {
        let url = |text: &str| ControlClient::new(text, None).map(|client| client.url().to_owned()).ok();
        assert_eq!(url("127.0.0.1:8081").as_deref(), Some("http://127.0.0.1:8081"));
        assert_eq!(url("http://[::1]:9/").as_deref(), Some("http://[::1]:9"));
        assert_eq!(url("http://localhost").as_deref(), Some("http://localhost:80"));
        for bad in ["https://localhost:1", "http://localhost:1/api", "http://a@localhost:1", "", "http://localhost?x"] {
            assert_eq!(url(bad), None, "{bad}");
        }
        assert!(matches!(ControlClient::new("localhost:1", Some("a\nb")), Err(ClientError::Token)));
    }

    #[test]
    fn patterns_are_encoded() {
        assert_eq!(change_query(Some("*.a&b"), Some(OnChange::Drain)), "pattern=*.a%26b&on-change=drain");
        assert_eq!(with_query("/x", &change_query(None, None)), "/x");
    }
}
