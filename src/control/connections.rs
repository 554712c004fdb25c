//! Connections over HTTP: which there are and were, and ending one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::{Deserialize, Serialize};

use super::input::{Id, Params};
use super::problem::{Problem, ProblemKind};
use super::server::{Answer, Shared, aside};
use super::wire::{ConnectionCounts, Killed};
use crate::journal::{ConnectionRecord, DecisionKind, Har, Outcome};
use crate::policy::{Dialect, Pattern};

/// The most records that one answer has.
const MAX_RECORDS: usize = 1_000;

/// How many records an answer has when the request does not say.
const DEFAULT_RECORDS: usize = 100;

/// Which connections are asked for; what is not said does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionFilter {
    /// The host, read as a pattern of the native dialect: `okta.com`, `*.okta.com`, `.okta.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// How they turned out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// What was done with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionKind>,
    /// Only those with a higher id, the earliest first to fill the limit; without it, the latest fill it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// The most records, 1 to 1,000; 100 when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only those that are open, or only those that have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
}

/// The answer of the server, which the client reads as a [`ConnectionList`](super::wire::ConnectionList).
#[derive(Serialize)]
struct Found {
    connections: ConnectionCounts,
    truncated: bool,
    records: Vec<Arc<ConnectionRecord>>,
}

/// `GET /api/v1/connections`
pub(super) async fn connections(
    State(shared): State<Arc<Shared>>,
    Params(filter): Params<ConnectionFilter>,
) -> Answer<Response> {
    let wanted = Wanted::of(filter, DEFAULT_RECORDS)?;
    aside(move || {
        let (records, truncated) = wanted.from(&shared);
        Json(Found { connections: shared.counts(), truncated, records }).into_response()
    })
    .await
}

/// `GET /api/v1/har`: the same connections as an HTTP archive; up to 1,000 when the request does not say.
pub(super) async fn har(
    State(shared): State<Arc<Shared>>,
    Params(filter): Params<ConnectionFilter>,
) -> Answer<Response> {
    let wanted = Wanted::of(filter, MAX_RECORDS)?;
    aside(move || {
        let (records, _) = wanted.from(&shared);
        let headers =
            [(CONTENT_TYPE, "application/json"), (CONTENT_DISPOSITION, "attachment; filename=\"middlebox.har\"")];
        (headers, Har::of(&records).to_json()).into_response()
    })
    .await
}

/// A filter that was understood.
struct Wanted {
    filter: ConnectionFilter,
    pattern: Option<Pattern>,
    limit: usize,
}

impl Wanted {
    fn of(filter: ConnectionFilter, default_limit: usize) -> Answer<Self> {
        let limit = filter.limit.unwrap_or(default_limit);
        if !(1..=MAX_RECORDS).contains(&limit) {
            let detail = format!("the limit is a number from 1 to {MAX_RECORDS}");
            return Err(Problem::new(ProblemKind::BadRequest, detail));
        }
        let pattern = filter.host.as_deref().map(|host| Dialect::MIDDLEBOX.parse(host)).transpose();
        let pattern = pattern.map_err(|error| Problem::from(crate::policy::ChangeError::Pattern(error)))?;
        Ok(Self { filter, pattern, limit })
    }

    /// The records, and whether the limit left any out.
    fn from(&self, shared: &Shared) -> (Vec<Arc<ConnectionRecord>>, bool) {
        let mut records = shared.journal.records(self.filter.open != Some(false));
        records.retain(|record| self.filter.wants(record, self.pattern.as_ref()));
        let excess = records.len().saturating_sub(self.limit);
        if self.filter.since.is_some() {
            records.truncate(self.limit);
        } else {
            records.drain(..excess);
        }
        (records, excess > 0)
    }
}

impl ConnectionFilter {
    fn wants(&self, record: &ConnectionRecord, pattern: Option<&Pattern>) -> bool {
        let host_fits = |pattern: &Pattern| {
            let Some(host) = record.host() else { return false };
            let port = record.destination.as_ref().map(|destination| destination.port);
            let host = host.to_ascii_lowercase();
            let named = match host.parse() {
                Ok(address) => pattern.matches_address(address) || pattern.matches_name(&host),
                Err(_) => pattern.matches_name(host.trim_end_matches('.')),
            };
            named && pattern.port().is_none_or(|own| port == Some(own))
        };
        self.since.is_none_or(|since| record.id > since)
            && self.open.is_none_or(|open| open == record.stages.closed.is_none())
            && self.outcome.is_none_or(|outcome| record.outcome == Some(outcome))
            && self.decision.is_none_or(|kind| record.decision.as_ref().is_some_and(|facts| facts.action == kind))
            && pattern.is_none_or(host_fits)
    }
}

/// `GET /api/v1/connections/{id}`
pub(super) async fn connection(State(shared): State<Arc<Shared>>, id: Id) -> Answer<Response> {
    let number = id.number()?;
    let record = shared.journal.record(number).ok_or_else(|| shared.no_record(number))?;
    Ok(Json(record).into_response())
}

/// `DELETE /api/v1/connections/{id}`
pub(super) async fn kill(State(shared): State<Arc<Shared>>, id: Id) -> Answer<Response> {
    let id = id.number()?;
    let Some(live) = shared.journal.live().into_iter().find(|live| live.id() == id) else {
        return Err(match shared.journal.record(id) {
            Some(_) => Problem::new(ProblemKind::Conflict, format!("connection {id} has ended already")),
            None => shared.no_record(id),
        });
    };
    live.drain.cancel();
    live.kill.cancel();
    Ok((StatusCode::ACCEPTED, Json(Killed { id })).into_response())
}

impl Shared {
    fn no_record(&self, id: u64) -> Problem {
        let detail = if (1..=self.journal.total()).contains(&id) {
            format!("connection {id} ended so long ago that its record is gone")
        } else {
            format!("there has been no connection {id}")
        };
        Problem::new(ProblemKind::NotFound, detail)
    }
}
