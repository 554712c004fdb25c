//! Lists over HTTP: what the policy in force, or a list that is sent along, does with hosts and for products; and the
//! policy as a PAC file.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use serde::Deserialize;

use super::input::Json;
use super::policy::etag;
use super::problem::{Problem, ProblemKind};
use super::server::{Answer, Shared, aside};
use crate::net::{Destination, Host};
use crate::policy::formats::{Entry, Unread};
use crate::policy::{
    Action, AskedSni, Checked, Customer, Dialect, Policy, Product, ProductError, Question, QuestionError, Reading,
    Rehearsed, check, generate_pac,
};

/// So many hosts can be asked about at once.
const HOSTS: usize = 1000;

/// Hosts to decide about: `POST /api/v1/decide`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Decide {
    hosts: Vec<String>,
    sni: Option<String>,
    ip: Option<IpAddr>,
    #[serde(default)]
    certificate: Vec<String>,
    client: Option<IpAddr>,
    patterns: Option<Vec<String>>,
    dialect: Option<Dialect>,
    default: Option<Action>,
}

/// Products to check for: `POST /api/v1/check`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Check {
    products: Vec<String>,
    org: Option<String>,
    custom_domain: Option<String>,
    patterns: Option<Vec<String>>,
    dialect: Option<Dialect>,
    default: Option<Action>,
}

/// `POST /api/v1/decide`: as `middlebox policy explain --format json`.
pub(super) async fn decide(State(shared): State<Arc<Shared>>, Json(asked): Json<Decide>) -> Answer<Response> {
    if asked.hosts.is_empty() || asked.hosts.len() > HOSTS {
        let detail = format!("`hosts` names 1 to {HOSTS} hosts");
        return Err(Problem::new(ProblemKind::BadValue, detail));
    }
    let sni = asked.sni.as_deref().map(str::parse::<AskedSni>).transpose().map_err(unread)?.unwrap_or_default();
    let question = |host: &String| {
        let question: Question = host.parse().map_err(unread)?;
        let (sni, certificate) = (sni.clone(), asked.certificate.clone());
        Ok(Question { sni, address: asked.ip, certificate, client: asked.client, ..question })
    };
    let questions: Vec<Question> = asked.hosts.iter().map(question).collect::<Answer<_>>()?;
    aside(move || {
        let policy = shared.policy.current();
        let epoch = policy.epoch();
        let answers: Vec<Rehearsed> = match sent(&policy, asked.patterns, asked.dialect, asked.default) {
            Some(list) => questions.iter().map(|question| list.reading().rehearse(question)).collect(),
            None => questions.iter().map(|question| policy.answer(question)).collect(),
        };
        ([(header::ETAG, etag(epoch))], axum::Json(answers)).into_response()
    })
    .await
}

/// `POST /api/v1/check`: as `middlebox policy check --format json`.
pub(super) async fn check_products(State(shared): State<Arc<Shared>>, Json(asked): Json<Check>) -> Answer<Response> {
    if asked.products.is_empty() {
        let known: Vec<_> = Product::names().collect();
        let detail = format!("`products` names at least one of {}", known.join(", "));
        return Err(Problem::new(ProblemKind::BadValue, detail));
    }
    // A path would read the files of whoever runs the middlebox, so that only packs that come with it count here.
    let products = asked.products.iter().map(|name| Product::shipped(name)).collect::<Result<Vec<_>, _>>();
    let products = products.map_err(|error| refused(&error))?;
    aside(move || {
        let policy = shared.policy.current();
        let epoch = policy.epoch();
        let customer = Customer { org: asked.org, custom_domain: asked.custom_domain };
        let list = sent(&policy, asked.patterns, asked.dialect, asked.default).unwrap_or_else(|| List {
            dialect: policy.dialect(),
            default: Some(policy.default_action()),
            entries: policy.entries(),
            unread: policy.unread().to_vec(),
        });
        let checked: Checked = check(&list.entries, list.dialect, list.default, &list.unread, &products, &customer)
            .map_err(|error| refused(&error))?;
        Ok(([(header::ETAG, etag(epoch))], axum::Json(checked)).into_response())
    })
    .await?
}

/// `GET /proxy.pac`
pub(super) async fn pac(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Answer<Response> {
    let proxy = reachable(shared.lab.status().proxy, &headers);
    aside(move || {
        let pac = generate_pac(&shared.policy.current(), &proxy)
            .map_err(|error| Problem::new(ProblemKind::Conflict, error.to_string()))?;
        let kind = [(header::CONTENT_TYPE, "application/x-ns-proxy-autoconfig"), (header::CACHE_CONTROL, "no-cache")];
        Ok((kind, pac.text).into_response())
    })
    .await?
}

/// Where the client of this request reaches the proxy: a proxy that listens everywhere is where the client found us.
fn reachable(proxy: SocketAddr, headers: &HeaderMap) -> Destination {
    let named = || {
        let host = headers.get(header::HOST)?.to_str().ok()?;
        Destination::parse_or(host, proxy.port()).ok().map(|destination| destination.host)
    };
    let host = if proxy.ip().is_unspecified() { named() } else { None };
    Destination::new(host.unwrap_or(Host::Ip(proxy.ip())), proxy.port())
}

/// A list that is read in a dialect.
struct List {
    dialect: Dialect,
    default: Option<Action>,
    entries: Vec<Entry>,
    /// What of a file decides about hosts, and could not be read.
    unread: Vec<Unread>,
}

impl List {
    fn reading(&self) -> Reading {
        Reading::of(self.dialect, self.default, &self.entries).with_unread(self.unread.clone())
    }
}

/// The list that the request is about, where that is not the policy in force as it stands.
fn sent(
    policy: &Policy,
    patterns: Option<Vec<String>>,
    dialect: Option<Dialect>,
    default: Option<Action>,
) -> Option<List> {
    let unread = if patterns.is_none() { policy.unread().to_vec() } else { Vec::new() };
    let entries = match patterns {
        None if dialect.is_none() && default.is_none() => return None,
        None => policy.entries(),
        Some(patterns) => patterns.into_iter().map(|pattern| Entry::typed(pattern, Action::Bypass)).collect(),
    };
    Some(List { dialect: dialect.unwrap_or(policy.dialect()), default, entries, unread })
}

fn unread(error: QuestionError) -> Problem {
    let problem = Problem::new(ProblemKind::BadValue, error.to_string());
    match error.mend {
        Some(mend) => problem.with_mend(mend),
        None => problem,
    }
}

fn refused(error: &ProductError) -> Problem {
    let detail = match error.help() {
        Some(help) => format!("{error}; {help}"),
        None => error.to_string(),
    };
    Problem::new(ProblemKind::BadValue, detail)
}
