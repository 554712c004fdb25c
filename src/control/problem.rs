//! Errors of the API as problem details (RFC 9457): one place that turns a reason into a status and a sentence.

use std::fmt;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::policy::{ChangeError, PatternError, PolicyError};

/// The media type of RFC 9457, section 6.1.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was refused (RFC 9457, section 3.1), with what helps to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The kind, as a relative URI that stays the same across versions: `/problems/bad-pattern`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// The kind in a few words.
    pub title: Box<str>,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request, and what to do.
    pub detail: Box<str>,
    /// The pattern that does not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Box<str>>,
    /// Where in the pattern the mistake begins, in characters from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What to write instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<Box<str>>,
    /// The epoch in force, where the request was meant for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The request cannot be understood.
    BadRequest,
    /// A key of the JSON or of the query is not known.
    UnknownKey,
    /// A pattern does not read.
    BadPattern,
    /// A value reads, but cannot be used.
    BadValue,
    /// A token is demanded.
    Unauthorized,
    /// Another web site sent the request.
    CrossSite,
    /// The request is for another host than this one.
    WrongHost,
    /// There is no such thing.
    NotFound,
    /// The method does not go with the path.
    MethodNotAllowed,
    /// The body was not sent in time.
    Timeout,
    /// What was asked for does not go with how things stand.
    Conflict,
    /// The policy has changed meanwhile.
    Stale,
    /// The body is too large.
    TooLarge,
    /// The body is not JSON.
    NotJson,
    /// The middlebox cannot do it now.
    Unavailable,
    /// The middlebox failed.
    Failed,
}

impl ProblemKind {
    const fn table(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::BadRequest => ("bad-request", "The request cannot be understood", StatusCode::BAD_REQUEST),
            Self::UnknownKey => ("unknown-key", "A key is not known", StatusCode::BAD_REQUEST),
            Self::BadPattern => ("bad-pattern", "The pattern does not read", StatusCode::UNPROCESSABLE_ENTITY),
            Self::BadValue => ("bad-value", "A value cannot be used", StatusCode::UNPROCESSABLE_ENTITY),
            Self::Unauthorized => ("unauthorized", "A token is demanded", StatusCode::UNAUTHORIZED),
            Self::CrossSite => ("cross-site", "The request comes from another web site", StatusCode::FORBIDDEN),
            Self::WrongHost => ("wrong-host", "The request is for another host", StatusCode::MISDIRECTED_REQUEST),
            Self::NotFound => ("not-found", "There is no such thing", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => {
                ("method-not-allowed", "The method does not go with the path", StatusCode::METHOD_NOT_ALLOWED)
            }
            Self::Timeout => ("timeout", "The request took too long", StatusCode::REQUEST_TIMEOUT),
            Self::Conflict => ("conflict", "This does not go with how things stand", StatusCode::CONFLICT),
            Self::Stale => ("stale", "The policy has changed meanwhile", StatusCode::PRECONDITION_FAILED),
            Self::TooLarge => ("too-large", "The body is too large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::NotJson => ("not-json", "The body is not JSON", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::Unavailable => ("unavailable", "The middlebox cannot do this now", StatusCode::SERVICE_UNAVAILABLE),
            Self::Failed => ("failed", "The middlebox failed", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

impl Problem {
    /// A problem of this kind.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<Box<str>>) -> Self {
        let (slug, title, status) = kind.table();
        Self {
            kind: format!("/problems/{slug}").into(),
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into(),
            pattern: None,
            column: None,
            mend: None,
            epoch: None,
        }
    }

    /// Whether it is of this kind.
    #[must_use]
    pub fn is(&self, kind: ProblemKind) -> bool {
        self.kind.strip_prefix("/problems/") == Some(kind.table().0)
    }

    pub(super) fn with_mend(self, mend: impl Into<Box<str>>) -> Self {
        Self { mend: Some(mend.into()), ..self }
    }

    /// The problem of a status that the router answered by itself.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(ProblemKind::NotFound, "nothing is served at this path"),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(ProblemKind::MethodNotAllowed, "use one of the methods of the Allow header")
            }
            status if status.is_client_error() => {
                let reason = status.canonical_reason().unwrap_or("the request cannot be served");
                Self { status: status.as_u16(), ..Self::new(ProblemKind::BadRequest, reason.to_lowercase()) }
            }
            status => Self { status: status.as_u16(), ..Self::new(ProblemKind::Failed, "this is a defect; report it") },
        }
    }

    pub(super) fn stale(epoch: u64) -> Self {
        let detail = format!("the policy is at epoch {epoch} by now; read it again, then repeat the change");
        Self { epoch: Some(epoch), ..Self::new(ProblemKind::Stale, detail) }
    }

    fn bad_pattern(error: &PatternError) -> Self {
        let PatternError { pattern, span, problem: _, mend, standing: _ } = error;
        let column = pattern.get(..span.start).map(|before| before.chars().count() + 1);
        Self {
            pattern: Some(pattern.as_str().into()),
            column,
            mend: mend.as_deref().map(Into::into),
            ..Self::new(ProblemKind::BadPattern, error.to_string())
        }
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Conflict { epoch } => Self::stale(epoch),
            ChangeError::Id(error) => Self::new(ProblemKind::BadValue, error.to_string()),
            ChangeError::NotFound { ref did_you_mean, .. } => {
                let mend = did_you_mean.as_deref().map(Into::into);
                Self { mend, ..Self::new(ProblemKind::NotFound, error.to_string()) }
            }
            ChangeError::Pattern(error) => Self::bad_pattern(&error),
            ChangeError::Policy(error) => error.into(),
            ChangeError::Position { .. } => Self::new(ProblemKind::BadValue, error.to_string()),
        }
    }
}

impl From<PolicyError> for Problem {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Document(_)
            | PolicyError::Format { .. }
            | PolicyError::Layout { .. }
            | PolicyError::NoFile => Self::new(ProblemKind::Conflict, error.to_string()),
            PolicyError::Id(_) => Self::new(ProblemKind::BadValue, error.to_string()),
            PolicyError::Pattern(error) => Self::bad_pattern(&error),
            PolicyError::Write { .. } => Self::new(ProblemKind::Failed, error.to_string()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let json = serde_json::to_vec(&self).expect("texts and numbers always have a JSON form");
        let mut response = Response::new(Body::from(json));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(epoch) = self.epoch {
            headers.insert(header::ETAG, super::policy::etag(epoch));
        }
        if self.is(ProblemKind::Unauthorized) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"middlebox\""));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Dialect;

    #[test]
    fn a_bad_pattern_has_its_column_in_characters() {
        let error = Dialect::MIDDLEBOX.parse("ä.*.okta.com").unwrap_err();
        let problem = Problem::from(ChangeError::Pattern(error));
        assert_eq!((problem.status, problem.column), (422, Some(3)));
        assert!(problem.mend.is_some() && problem.is(ProblemKind::BadPattern), "{problem:?}");
    }

    #[test]
    fn what_the_router_refuses_keeps_its_status() {
        for status in [404, 405, 414, 500] {
            assert_eq!(Problem::of_status(StatusCode::from_u16(status).unwrap()).status, status);
        }
    }
}
