//! The policy over HTTP: reading it, changing it, asking it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::input::{Id, IfMatch, Json, Params};
use super::problem::{Problem, ProblemKind};
use super::server::{Answer, Shared, aside};
use super::wire::{Changed, Decided, NewRule, PolicyPatch, PolicyState, RuleList, RulePatch, RuleState};
use crate::net::Host;
use crate::policy::{Applied, Asked, Change, ChangeError, OnChange, Policy, Rule, Selector, Sni, Subjects};

/// The query of a change.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeParams {
    #[serde(rename = "on-change")]
    on_change: Option<OnChange>,
}

/// The query of a change of rules that are named by their pattern.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SelectParams {
    pattern: Option<String>,
    #[serde(rename = "on-change")]
    on_change: Option<OnChange>,
}

/// A question to the policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecideParams {
    host: String,
    #[serde(default = "https")]
    port: u16,
    sni: Option<String>,
    client: Option<IpAddr>,
}

fn https() -> u16 {
    443
}

/// The entity tag of a policy (RFC 9110, section 8.8.3): its epoch in quotes.
pub(super) fn etag(epoch: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{epoch}\"")).expect("digits and quotes can stand in a header")
}

fn tagged<T: serde::Serialize>(epoch: u64, body: T) -> Response {
    ([(header::ETAG, etag(epoch))], axum::Json(body)).into_response()
}

/// `GET /api/v1/policy`
pub(super) async fn policy(State(shared): State<Arc<Shared>>) -> Answer<Response> {
    aside(move || {
        let view = shared.policy.current().view();
        let file = shared.policy.file().map(|path| path.display().to_string());
        tagged(view.epoch, PolicyState::of(view, shared.on_change, file))
    })
    .await
}

/// `GET /api/v1/policy/rules`
pub(super) async fn rules(State(shared): State<Arc<Shared>>) -> Answer<Response> {
    aside(move || {
        let policy = shared.policy.current();
        let rules = policy.rules().iter().map(|rule| rule.view().into()).collect();
        tagged(policy.epoch(), RuleList { epoch: policy.epoch(), rules })
    })
    .await
}

/// `GET /api/v1/policy/rules/{id}`
pub(super) async fn rule(State(shared): State<Arc<Shared>>, Id(id): Id) -> Answer<Response> {
    let policy = shared.policy.current();
    Ok(tagged(policy.epoch(), RuleState::from(rule_of(&policy, &id)?.view())))
}

fn rule_of<'a>(policy: &'a Policy, id: &str) -> Answer<&'a Rule> {
    let found = policy.rules().iter().find(|rule| rule.id == *id);
    found.map(AsRef::as_ref).ok_or_else(|| {
        let detail = format!("no rule has the id `{id}`; GET /api/v1/policy/rules lists them");
        Problem::new(ProblemKind::NotFound, detail)
    })
}

/// `PATCH /api/v1/policy`
pub(super) async fn set_default(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<ChangeParams>,
    if_match: IfMatch,
    Json(PolicyPatch { default }): Json<PolicyPatch>,
) -> Answer<Response> {
    shared.change(Change::SetDefault(default), if_match, params.on_change).await.map(Changed::into_response)
}

/// `POST /api/v1/policy/rules`
pub(super) async fn add(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<ChangeParams>,
    if_match: IfMatch,
    Json(rule): Json<NewRule>,
) -> Answer<Response> {
    let (rule, at) = rule.into_spec();
    let changed = shared.change(Change::Add { rule, at }, if_match, params.on_change).await?;
    let id = changed.rules.first().map(|rule| rule.id.clone()).unwrap_or_default();
    // The same rule given twice is one rule.
    let status = if changed.changed { StatusCode::CREATED } else { StatusCode::OK };
    let location = [(header::LOCATION, format!("/api/v1/policy/rules/{id}"))];
    Ok((status, location, changed.into_response()).into_response())
}

/// `PATCH /api/v1/policy/rules?pattern=…`
pub(super) async fn switch_selected(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<SelectParams>,
    if_match: IfMatch,
    Json(patch): Json<RulePatch>,
) -> Answer<Response> {
    let change = switching(patch, params.selector()?);
    shared.change(change, if_match, params.on_change).await.map(Changed::into_response)
}

/// `DELETE /api/v1/policy/rules?pattern=…`
pub(super) async fn remove_selected(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<SelectParams>,
    if_match: IfMatch,
) -> Answer<Response> {
    let change = Change::Remove(params.selector()?);
    shared.change(change, if_match, params.on_change).await.map(Changed::into_response)
}

/// `PATCH /api/v1/policy/rules/{id}`
pub(super) async fn switch(
    State(shared): State<Arc<Shared>>,
    Id(id): Id,
    Params(params): Params<ChangeParams>,
    if_match: IfMatch,
    Json(patch): Json<RulePatch>,
) -> Answer<Response> {
    let change = move |id: &str| switching(patch, Selector::new(id));
    shared.change_one(id, change, if_match, params.on_change).await.map(Changed::into_response)
}

/// `DELETE /api/v1/policy/rules/{id}`
pub(super) async fn remove(
    State(shared): State<Arc<Shared>>,
    Id(id): Id,
    Params(params): Params<ChangeParams>,
    if_match: IfMatch,
) -> Answer<Response> {
    let change = |id: &str| Change::Remove(Selector::new(id));
    shared.change_one(id, change, if_match, params.on_change).await.map(Changed::into_response)
}

fn switching(patch: RulePatch, selector: Selector) -> Change {
    if patch.enabled { Change::Enable(selector) } else { Change::Disable(selector) }
}

/// `POST /api/v1/policy/save`
pub(super) async fn save(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<ChangeParams>,
    if_match: IfMatch,
) -> Answer<Response> {
    let on_change = params.on_change.unwrap_or(shared.on_change);
    aside(move || {
        // Saving decides nothing anew, so that looking before is enough.
        let epoch = shared.policy.current().epoch();
        if !if_match.accepts(epoch) {
            return Err(Problem::stale(epoch));
        }
        let applied = shared.policy.save()?;
        Ok(shared.spread(applied, on_change).into_response())
    })
    .await?
}

/// `GET /api/v1/decide`
pub(super) async fn decide(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<DecideParams>,
) -> Answer<Response> {
    let DecideParams { host, port, sni, client } = params;
    let bad = |what: &str, error| Problem::new(ProblemKind::BadRequest, format!("the {what} does not read: {error}"));
    let parsed = Host::parse(&host).map_err(|error| bad("host", error))?;
    let sni = match sni {
        Some(empty) if empty.is_empty() => None,
        Some(name) => Some(Host::parse(&name).map(|_| name).map_err(|error| bad("sni", error))?),
        // What a client does of itself: RFC 6066, section 3, has no addresses in the SNI.
        None => parsed.name().map(str::to_owned),
    };
    aside(move || {
        let policy = shared.policy.current();
        let explanation = policy.explain(&Subjects {
            connect_host: Some(&host),
            port,
            sni: sni.as_deref().map_or(Sni::Absent, Sni::Name),
            address: None,
            certificate: None,
            client,
        });
        let (decision, needs) = match explanation.asked {
            Asked::Decided(decision) => (Some(decision), None),
            Asked::Needs(need) => (None, Some(need)),
        };
        tagged(policy.epoch(), Decided { host, port, sni, decision, needs, rules: explanation.rules })
    })
    .await
}

impl SelectParams {
    fn selector(&self) -> Answer<Selector> {
        match self.pattern.as_deref() {
            Some(pattern) if !pattern.is_empty() => Ok(Selector::new(pattern)),
            _ => {
                let detail = "name the rules, as in /api/v1/policy/rules?pattern=*.okta.com or /api/v1/policy/rules/r1";
                Err(Problem::new(ProblemKind::BadRequest, detail))
            }
        }
    }
}

impl Shared {
    async fn change(
        self: Arc<Self>,
        change: Change,
        if_match: IfMatch,
        on_change: Option<OnChange>,
    ) -> Answer<Changed> {
        aside(move || {
            let expected = if_match.expected(self.policy.current().epoch());
            let applied = self.policy.change(change, expected)?;
            Ok(self.spread(applied, on_change.unwrap_or(self.on_change)))
        })
        .await?
    }

    /// Changes the rule with this id, and not those whose pattern happens to read like it.
    async fn change_one(
        self: Arc<Self>,
        id: String,
        change: impl Fn(&str) -> Change + Send + 'static,
        if_match: IfMatch,
        on_change: Option<OnChange>,
    ) -> Answer<Changed> {
        aside(move || {
            loop {
                let policy = self.policy.current();
                let expected = if_match.expected(policy.epoch());
                if expected.is_some_and(|expected| expected != policy.epoch()) {
                    return Err(Problem::stale(policy.epoch()));
                }
                rule_of(&policy, &id)?;
                match self.policy.change(change(&id), Some(policy.epoch())) {
                    // Someone else was faster: look again whether the rule is still there.
                    Err(ChangeError::Conflict { .. }) if expected.is_none() => {}
                    Err(error) => return Err(error.into()),
                    Ok(applied) => return Ok(self.spread(applied, on_change.unwrap_or(self.on_change))),
                }
            }
        })
        .await?
    }

    /// Tells connections and subscribers of a policy that has come into force. Connections are asked even where it
    /// is as before: what an earlier change left open can be closed by repeating it with another `on-change`.
    fn spread(&self, applied: Applied, on_change: OnChange) -> Changed {
        let Applied { epoch, changed, rules } = applied;
        let affected = self.lab.reconsider(on_change);
        if changed {
            self.journal.policy_changed(epoch);
        }
        Changed { epoch, changed, on_change, affected, rules: rules.into_iter().map(RuleState::from).collect() }
    }
}

impl IntoResponse for Changed {
    fn into_response(self) -> Response {
        tagged(self.epoch, self)
    }
}
