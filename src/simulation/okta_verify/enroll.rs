//! The calls of an enrollment, in order.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use url::Url;

use super::event_log::{self, Reason};
use super::sign_in::{self, Grant};
use super::{Call, CallName, CallResult, Caller, EnrollOutcome, Enrollment, EnrollmentIds, OktaVerify};
use crate::simulation::workstation::{
    Account, Answer, Attempt, Client, Fault, Order, Stack, Workstation, browser, destination_of, fetch,
};

/// What the application calls itself.
const USER_AGENT: &str = "OktaVerify/0.0 (Windows; simulated by middlebox)";

/// Walks until the device is enrolled or a call fails.
pub(super) async fn walk(app: &OktaVerify, url: &Url, workstation: &Workstation) -> Enrollment {
    let mut walk = Walk { app, workstation, calls: Vec::new() };
    match walk.enroll(url).await {
        Ok(ids) => Enrollment {
            outcome: EnrollOutcome::Enrolled,
            shown: None,
            log: Vec::new(),
            calls: walk.calls,
            failed_call: None,
            ids: Some(ids),
        },
        Err(Stop { call, reason }) => {
            let refused = matches!(reason, Reason::Fault(Fault::Refused(_)));
            let certificate = walk.calls.last().and_then(|last| last.certificate.as_ref());
            Enrollment {
                outcome: if refused { EnrollOutcome::Refused } else { EnrollOutcome::Error },
                shown: Some(event_log::shown(call, &reason).to_owned()),
                log: event_log::lines(call, &reason, certificate),
                calls: walk.calls,
                failed_call: Some(call),
                ids: None,
            }
        }
    }
}

/// Where and why an enrollment stopped.
pub(super) struct Stop {
    call: CallName,
    reason: Reason,
}

pub(super) struct Walk<'a> {
    app: &'a OktaVerify,
    pub(super) workstation: &'a Workstation,
    calls: Vec<Call>,
}

impl Walk<'_> {
    async fn enroll(&mut self, typed: &Url) -> Result<EnrollmentIds, Stop> {
        if typed.scheme() != "https" {
            // What the real client says to such a URL is not published.
            let reason = Reason::Unusable("the sign-in URL has to begin with https://".to_owned());
            return Err(Stop { call: CallName::OrganizationStatus, reason });
        }
        let mut organization = self.organization(CallName::OrganizationStatus, typed).await?;
        let mut base = typed.clone();
        if self.app.profile.follow_organization_link && organization.canonical.host() != typed.host() {
            base = organization.canonical;
            organization = self.organization(CallName::CanonicalOrganization, &base).await?;
        }
        tracing::debug!(id = organization.id, %base, "organization found");
        let grant = sign_in::sign_in(self, typed).await?;
        let token = self.token(&base, grant).await?;
        let authenticator = self.authenticator(&base, &token).await?;
        self.enroll_authenticator(&authenticator, &token).await
    }

    async fn organization(&mut self, name: CallName, base: &Url) -> Result<Organization, Stop> {
        let order = Order::get(at(base, "/.well-known/okta-organization"));
        let value = self.ask(name, Caller::App, order).await?;
        let canonical = value.pointer("/_links/organization/href").and_then(Value::as_str);
        let canonical = canonical.and_then(|href| Url::parse(href).ok()).filter(|url| url.scheme() == "https");
        match (value["id"].as_str(), canonical) {
            (Some(id), Some(canonical)) => Ok(Organization { id: id.to_owned(), canonical }),
            _ => Err(self.unusable(name, "the organization has no id or no https link")),
        }
    }

    /// RFC 6749, 4.1.3, with the verifier of RFC 7636, 4.5.
    async fn token(&mut self, base: &Url, grant: Grant) -> Result<String, Stop> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", &grant.code)
            .append_pair("code_verifier", &grant.verifier)
            .append_pair("client_id", sign_in::CLIENT_ID)
            .append_pair("redirect_uri", grant.redirect_uri.as_str())
            .finish();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let order = post(at(base, "/oauth2/v1/token"), form, body, None);
        let value = self.ask(CallName::Token, Caller::App, order).await?;
        match value["access_token"].as_str() {
            Some(token) => Ok(token.to_owned()),
            None => Err(self.unusable(CallName::Token, "the answer has no access token")),
        }
    }

    async fn authenticator(&mut self, base: &Url, token: &str) -> Result<Authenticator, Stop> {
        let mut order = Order::get(at(base, "/api/v1/authenticators"));
        order.url.query_pairs_mut().append_pair("key", "okta_verify").append_pair("expand", "methods");
        order.headers.extend(bearer(token));
        let value = self.ask(CallName::Authenticators, Caller::App, order).await?;
        let active = |entry: &&Value| entry["key"] == "okta_verify" && entry["status"] == "ACTIVE";
        let found = value.as_array().and_then(|entries| entries.iter().find(active));
        let Some((entry, id)) = found.and_then(|entry| Some((entry, entry["id"].as_str()?))) else {
            return Err(self.unusable(CallName::Authenticators, "the organization does not offer Okta Verify"));
        };
        let link = match entry.pointer("/_links/enroll/href").and_then(Value::as_str) {
            Some(href) => Url::parse(href).ok().filter(|link| link.scheme() == "https"),
            None => Some(at(base, "/idp/authenticators")),
        };
        match link {
            Some(link) => Ok(Authenticator { id: id.to_owned(), link }),
            None => Err(self.unusable(CallName::Authenticators, "the enroll link is not an https URL")),
        }
    }

    async fn enroll_authenticator(
        &mut self,
        authenticator: &Authenticator,
        token: &str,
    ) -> Result<EnrollmentIds, Stop> {
        let keys = (proof_key(), proof_key(), proof_key());
        let (Some(instance), Some(nonce), Some(push)) = keys else {
            return Err(self.unusable(CallName::Enroll, "the system makes no keys"));
        };
        let method = |kind: &str, key: Value| json!({ "type": kind, "keys": { "proofOfPossession": key } });
        let body = json!({
            "authenticatorId": authenticator.id,
            "key": "okta_verify",
            "device": {
                "displayName": self.workstation.name(),
                "platform": "WINDOWS",
                "osVersion": "10.0.26100",
                "manufacturer": "middlebox",
                "model": "Simulated workstation",
                "serialNumber": "MB-0001",
                "udid": "00000000-0000-4000-8000-000000000001",
                "clientInstanceKey": instance,
                "secureHardwarePresent": true,
                "diskEncryptionType": "FULL",
            },
            "methods": [method("signed_nonce", nonce), method("push", push), { "type": "totp" }],
        });
        let json = HeaderValue::from_static("application/json");
        let order = post(authenticator.link.clone(), json, body.to_string(), Some(token));
        let value = self.ask(CallName::Enroll, Caller::App, order).await?;
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).map(ToOwned::to_owned);
        let ids = (text("/id"), text("/device/id"), text("/user/id"), value["status"] == "ACTIVE");
        let (Some(enrollment), Some(device), Some(user), true) = ids else {
            return Err(self.unusable(CallName::Enroll, "the answer is not an active enrollment"));
        };
        let methods = value["methods"].as_array().map(Vec::as_slice).unwrap_or_default();
        let methods = methods.iter().filter_map(|method| method["id"].as_str().map(ToOwned::to_owned)).collect();
        Ok(EnrollmentIds { enrollment, device, user, methods })
    }

    /// A call that has to be answered with 200 and JSON.
    async fn ask(&mut self, name: CallName, by: Caller, order: Order) -> Result<Value, Stop> {
        let answer = self.call(name, by, order, 200).await?;
        serde_json::from_slice(&answer.body).map_err(|_| self.unusable(name, "the answer is not JSON"))
    }

    /// One call, recorded; anything but the wanted status stops the walk.
    pub(super) async fn call(&mut self, name: CallName, by: Caller, order: Order, wanted: u16) -> Result<Answer, Stop> {
        let host = destination_of(&order.url).ok().map(|destination| destination.host);
        let pinned = host.as_ref().filter(|_| by == Caller::App).and_then(|host| self.app.pins.lookup(host));
        let is_pinned = pinned.is_some();
        let client = match by {
            Caller::Browser => browser(),
            Caller::App => Client {
                user_agent: USER_AGENT,
                stack: Stack::DotNet,
                account: Account::Service,
                pinned,
                sni: self.app.sni.clone(),
                late: self.app.profile.late,
                checks_revocation: self.app.profile.check_revocation,
                answer_challenge: self.app.profile.answer_proxy_challenge,
            },
        };
        let Attempt { result, certificate, .. } = fetch(self.workstation, &client, &order).await;
        let (outcome, kept) = match result {
            Ok(answer) if answer.status == wanted => (CallResult::Ok { status: wanted }, Ok(answer)),
            Ok(answer) => {
                let result = CallResult::Failed { status: Some(answer.status), reason: said(&answer) };
                (result, Err(Reason::Status(answer.status)))
            }
            Err(fault) => {
                let result = match &fault {
                    Fault::Refused(refusal) => CallResult::Refused { refusal: refusal.clone() },
                    other => CallResult::Failed { status: None, reason: other.to_string() },
                };
                (result, Err(Reason::Fault(fault)))
            }
        };
        let mut url = order.url;
        url.set_query(None);
        self.calls.push(Call {
            name,
            method: order.method,
            url: url.to_string(),
            host,
            by,
            result: outcome,
            certificate,
            pinned: is_pinned,
        });
        kept.map_err(|reason| Stop { call: name, reason })
    }

    /// The last call was answered, but its answer leads nowhere.
    pub(super) fn unusable(&mut self, call: CallName, what: &str) -> Stop {
        if let Some(last) = self.calls.last_mut().filter(|last| last.name == call) {
            let status = match last.result {
                CallResult::Ok { status } => Some(status),
                _ => None,
            };
            last.result = CallResult::Failed { status, reason: what.to_owned() };
        }
        Stop { call, reason: Reason::Unusable(what.to_owned()) }
    }
}

struct Organization {
    id: String,
    canonical: Url,
}

struct Authenticator {
    id: String,
    link: Url,
}

/// A path of the same scheme, host and port.
pub(super) fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

pub(super) fn post(url: Url, content_type: HeaderValue, body: impl Into<Bytes>, token: Option<&str>) -> Order {
    let mut headers = vec![(CONTENT_TYPE, content_type)];
    headers.extend(token.and_then(bearer));
    Order { method: Method::POST, url, headers, body: body.into() }
}

/// RFC 6750, 2.1. A token that no header can hold is left out, and answered with 401.
fn bearer(token: &str) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some((AUTHORIZATION, value))
}

/// What an unwanted answer says about itself: Okta's error, OAuth's, or its status alone.
fn said(answer: &Answer) -> String {
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let pair = |a: &str, b: &str| Some(format!("{} {}: {}", answer.status, value[a].as_str()?, value[b].as_str()?));
    let known = pair("errorCode", "errorSummary").or_else(|| pair("error", "error_description"));
    known.unwrap_or_else(|| format!("the answer has status {}", answer.status))
}

/// The public half of a new P-256 key as a JWK (RFC 7518, 6.2.1).
fn proof_key() -> Option<Value> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
    let (x, y) = key.public_key().as_ref().strip_prefix(&[4])?.split_at_checked(32)?;
    let text = |coordinate: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(coordinate);
    Some(json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "x": text(x), "y": text(y) }))
}
