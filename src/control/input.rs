//! Reading requests: bodies, queries, ids and preconditions, each refused with a problem that says what to write.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::request::Parts;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::problem::{Problem, ProblemKind};
use crate::source::did_you_mean;

/// The largest body that is read, in bytes.
pub(super) const MAX_BODY: usize = 64 << 10;

/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// The JSON of a body.
pub(super) struct Json<T>(pub(super) T);

/// The query, with its unknown keys refused.
pub(super) struct Params<T>(pub(super) T);

/// The `{id}` of the path.
pub(super) struct Id(pub(super) String);

/// The epochs of `If-Match` (RFC 9110, section 13.1.1) for which a change is meant; none means any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IfMatch(Option<Vec<u64>>);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            let detail = "send the body as JSON, with `Content-Type: application/json`";
            return Err(Problem::new(ProblemKind::NotJson, detail));
        }
        let bytes = read(body).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| unreadable(&error.to_string(), "the JSON"))
    }
}

async fn read(body: Body) -> Result<bytes::Bytes, Problem> {
    let read = tokio::time::timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect()).await;
    let late = |_| Problem::new(ProblemKind::Timeout, format!("send the body within {} s", BODY_TIME.as_secs()));
    let collected = read.map_err(late)?.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Problem::new(ProblemKind::TooLarge, format!("send at most {} KiB", MAX_BODY >> 10))
        } else {
            Problem::new(ProblemKind::BadRequest, format!("the body broke off: {error}"))
        }
    })?;
    Ok(collected.to_bytes())
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The problem of serde's words, such as ``unknown field `a`, expected one of `b`, `c` at line 1 column 2``.
fn unreadable(message: &str, what: &str) -> Problem {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return Problem::new(ProblemKind::BadRequest, format!("{what} does not fit: {message}"));
    }
    let is_key = message.starts_with("unknown field");
    let mut names = message.split('`').skip(1).step_by(2);
    let typed = names.next().unwrap_or_default();
    let kind = if is_key { ProblemKind::UnknownKey } else { ProblemKind::BadRequest };
    let mend = if is_key && matches!(typed, "on-change" | "on_change") {
        Some("put it into the query, as `?on-change=drain`".to_owned())
    } else {
        did_you_mean(typed, names).map(|name| format!("did you mean `{name}`?"))
    };
    match mend {
        Some(mend) => Problem::new(kind, format!("{message}; {mend}")).with_mend(mend),
        None => Problem::new(kind, message),
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        read.map(|Query(params)| Self(params)).map_err(|rejection| {
            let text = rejection.body_text();
            let message = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            // serde_path_to_error writes `key: message`.
            let words = message.split_once(": ").filter(|(_, rest)| rest.starts_with("unknown "));
            unreadable(words.map_or(message, |(_, rest)| rest), "the query")
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id))
            .map_err(|_| Problem::new(ProblemKind::BadRequest, "the id in the path is not UTF-8 text"))
    }
}

impl Id {
    /// The id of a connection.
    pub(super) fn number(&self) -> Result<u64, Problem> {
        let none = |_| Problem::new(ProblemKind::NotFound, format!("the ids of connections are numbers: `{}`", self.0));
        self.0.parse().map_err(none)
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

impl IfMatch {
    /// The epoch to hand to the store, seen the one in force; a tag that is weak or none of ours matches no epoch.
    pub(super) fn expected(&self, current: u64) -> Option<u64> {
        let wanted = self.0.as_ref()?;
        // Epochs begin at 1, so that 0 is never in force.
        Some(if wanted.contains(&current) { current } else { wanted.first().copied().unwrap_or(0) })
    }

    /// Whether a change is meant for this epoch.
    pub(super) fn accepts(&self, epoch: u64) -> bool {
        self.0.as_ref().is_none_or(|wanted| wanted.contains(&epoch))
    }

    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut epochs = Vec::new();
        let mut any = true;
        for value in headers.get_all(header::IF_MATCH) {
            let text = value.to_str().unwrap_or_default().trim();
            if text == "*" {
                return Ok(Self(None));
            }
            any = false;
            for tag in text.split(',').map(str::trim) {
                let strong = tag.strip_prefix("W/").unwrap_or(tag);
                let inner = strong.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(|| {
                    let detail = "write If-Match as the policy's ETag, with its quotes: `If-Match: \"7\"`";
                    Problem::new(ProblemKind::BadRequest, detail)
                })?;
                if strong == tag {
                    epochs.extend(inner.parse::<u64>());
                }
            }
        }
        Ok(Self((!any).then_some(epochs)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn if_match(value: &str) -> Result<IfMatch, Problem> {
        IfMatch::of(&HeaderMap::from_iter([(header::IF_MATCH, value.parse().unwrap())]))
    }

    #[test]
    fn if_match_is_compared_strongly() {
        assert_eq!(IfMatch::of(&HeaderMap::new()).unwrap().expected(7), None);
        assert_eq!(if_match("*").unwrap().expected(7), None);
        assert_eq!(if_match("\"6\", \"7\"").unwrap().expected(7), Some(7));
        assert_eq!(if_match("\"6\"").unwrap().expected(7), Some(6));
        for never in ["W/\"7\"", "\"other\""] {
            assert_eq!(if_match(never).unwrap().expected(7), Some(0));
            assert!(!if_match(never).unwrap().accepts(7));
        }
        assert!(if_match("7").unwrap_err().detail.contains("with its quotes"));
    }

    #[test]
    fn strangers_are_guessed() {
        let problem = unreadable("unknown field `patern`, expected `pattern` or `at` at line 1 column 9", "the JSON");
        assert!(problem.is(ProblemKind::UnknownKey));
        assert_eq!(problem.mend.as_deref(), Some("did you mean `pattern`?"));
        assert!(unreadable("unknown field `on_change`, expected `at`", "").detail.contains("?on-change=drain"));
        assert!(unreadable("EOF while parsing", "the JSON").is(ProblemKind::BadRequest));
    }
}
