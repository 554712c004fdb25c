//! The paths of the control API.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use time::OffsetDateTime;

use super::problem::{Problem, ProblemKind};
use super::server::Shared;
use super::wire::{ConnectionCounts, Status};
use super::{connections, events, guard, metrics, openapi, page, policy, rehearse};

pub(super) fn router(shared: &Arc<Shared>) -> Router {
    let rules = get(policy::rules).post(policy::add).patch(policy::switch_selected).delete(policy::remove_selected);
    let rule = get(policy::rule).patch(policy::switch).delete(policy::remove);
    Router::new()
        .route("/", get(page::page))
        .route("/ca.pem", get(page::ca_pem))
        .route("/ca.crt", get(page::ca_der))
        .route("/proxy.pac", get(rehearse::pac))
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi::openapi))
        .route("/readyz", get(readyz))
        .route("/api/v1/status", get(status))
        .route("/api/v1/policy", get(policy::policy).patch(policy::set_default))
        .route("/api/v1/policy/rules", rules)
        .route("/api/v1/policy/rules/{id}", rule)
        .route("/api/v1/policy/save", post(policy::save))
        .route("/api/v1/decide", get(policy::decide).post(rehearse::decide))
        .route("/api/v1/check", post(rehearse::check_products))
        .route("/api/v1/connections", get(connections::connections))
        .route("/api/v1/connections/{id}", get(connections::connection).delete(connections::kill))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/har", get(connections::har))
        .layer(middleware::from_fn_with_state(Arc::clone(shared), guard::stand))
        .with_state(Arc::clone(shared))
}

/// It answers at all.
async fn healthz() -> &'static str {
    "ok\n"
}

/// The proxy accepts connections.
async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    if shared.lab.status().serving {
        "ready\n".into_response()
    } else {
        Problem::new(ProblemKind::Unavailable, "the proxy does not accept connections").into_response()
    }
}

async fn status(State(shared): State<Arc<Shared>>) -> Json<Status> {
    Json(shared.status())
}

impl Shared {
    pub(super) fn status(&self) -> Status {
        let lab = self.lab.status();
        let policy = self.policy.current();
        let uptime = (OffsetDateTime::now_utc() - lab.started).whole_seconds();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            proxy: lab.proxy,
            control: self.address,
            serving: lab.serving,
            started: lab.started,
            uptime_s: uptime.try_into().unwrap_or(0),
            profile: lab.profile,
            dialect: policy.dialect().name().to_owned(),
            default: policy.default_action(),
            on_change: self.on_change,
            epoch: policy.epoch(),
            connections: self.counts(),
            ca: self.ca_status.clone(),
            origins: lab.origins,
        }
    }

    pub(super) fn counts(&self) -> ConnectionCounts {
        ConnectionCounts { open: self.journal.open_count(), total: self.journal.total() }
    }
}
