//! The app `okta-org`: what an enrollment calls, answered with the JSON that Okta documents.
//!
//! The calls and their fields follow Okta's open device SDK (okta/okta-devices-swift); that the Windows client makes
//! the same calls is an assumption.

use std::collections::HashMap;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode, request};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use url::Url;

use super::SimulationError;
use super::okta_cell::{Organization, SignIn, TOKEN_LIFE, identifier};
use super::reply::{self, ReplyBody};
use crate::net::Host;

/// The largest request body.
const BODY_BYTES: usize = 256 << 10;

const SIGN_IN_PATH: &str = "/login/sign-in";

pub(super) async fn answer(
    organization: &Organization,
    host: &Host,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES).collect().await.map(http_body_util::Collected::to_bytes) else {
        return error(StatusCode::PAYLOAD_TOO_LARGE, "E0000003", "The request body was not well-formed.", &[]);
    };
    let call = Received { organization, host, head, body };
    call.answer().unwrap_or_else(|failure| {
        tracing::error!(%host, %failure, "the simulated Okta organization failed");
        error(StatusCode::INTERNAL_SERVER_ERROR, "E0000009", "Internal Server Error", &[])
    })
}

struct Received<'a> {
    organization: &'a Organization,
    host: &'a Host,
    head: request::Parts,
    body: Bytes,
}

impl Received<'_> {
    fn answer(&self) -> Result<Response<ReplyBody>, SimulationError> {
        let (get, post) = (matches!(self.head.method, Method::GET | Method::HEAD), self.head.method == Method::POST);
        match self.head.uri.path() {
            "/" | "/login" if get => Ok(self.home()),
            "/.well-known/okta-organization" if get => Ok(reply::json(StatusCode::OK, &self.organization.describe())),
            "/oauth2/v1/authorize" if get => self.authorize(),
            SIGN_IN_PATH if post => self.sign_in(),
            "/oauth2/v1/token" if post => self.token(),
            "/api/v1/authenticators" if get => Ok(self.authenticators()),
            path if post && self.organization.cell().enrolls_at(path) => self.enroll(),
            "/"
            | "/login"
            | "/.well-known/okta-organization"
            | "/oauth2/v1/authorize"
            | SIGN_IN_PATH
            | "/oauth2/v1/token"
            | "/api/v1/authenticators" => {
                let summary = "The endpoint does not support the provided HTTP method";
                Ok(error(StatusCode::METHOD_NOT_ALLOWED, "E0000022", summary, &[]))
            }
            path => {
                let summary = format!("Not found: Resource not found: {path} (Endpoint)");
                Ok(error(StatusCode::NOT_FOUND, "E0000007", &summary, &[]))
            }
        }
    }

    fn home(&self) -> Response<ReplyBody> {
        let body = format!("<h1>Sign in to {}</h1>\n<p>A simulated Okta organization of middlebox.</p>", self.host);
        reply::html(StatusCode::OK, &format!("{} - Sign In", self.host), &body)
    }

    /// The authorization endpoint (RFC 6749, 4.1.1; RFC 7636, 4.3): shows the sign-in page.
    fn authorize(&self) -> Result<Response<ReplyBody>, SimulationError> {
        let query = form(self.head.uri.query().unwrap_or_default().as_bytes());
        let field = |name: &str| query.get(name).filter(|value| !value.is_empty());
        let invalid = |what: &str| Ok(oauth_error("invalid_request", what));
        if field("response_type").is_none_or(|kind| kind != "code") {
            return invalid("response_type has to be code.");
        }
        let Some(client_id) = field("client_id") else { return invalid("client_id is missing.") };
        let Some(state) = field("state") else { return invalid("state is missing.") };
        let Some(redirect_uri) = field("redirect_uri").and_then(|uri| Url::parse(uri).ok()).filter(is_loopback) else {
            return invalid("redirect_uri has to be an http URL on loopback (RFC 8252, 7.3).");
        };
        let challenge = field("code_challenge").filter(|challenge| is_sha256(challenge));
        let s256 = field("code_challenge_method").is_some_and(|method| method == "S256");
        let (Some(code_challenge), true) = (challenge, s256) else {
            return invalid("PKCE with a code_challenge of method S256 is required.");
        };
        let state_token = self.organization.cell().begin(SignIn {
            client_id: client_id.clone(),
            redirect_uri,
            state: state.clone(),
            code_challenge: code_challenge.clone(),
        })?;
        let script = match self.organization.assets() {
            Some(host) => format!("<script src=\"https://{host}/assets/js/sign-in.js\"></script>\n"),
            None => String::new(),
        };
        let page = format!(
            "{script}<h1>Sign in to {}</h1>\n<form method=\"post\" action=\"{SIGN_IN_PATH}\">\n\
             <input type=\"hidden\" name=\"stateToken\" value=\"{state_token}\">\n\
             <label>Username <input name=\"username\"></label>\n<button>Sign in</button>\n</form>",
            self.host
        );
        Ok(reply::html(StatusCode::OK, &format!("{} - Sign In", self.host), &page))
    }

    /// The form of the sign-in page: back to the application with a code.
    fn sign_in(&self) -> Result<Response<ReplyBody>, SimulationError> {
        let fields = form(&self.body);
        let state_token = fields.get("stateToken").map(String::as_str).unwrap_or_default();
        let Some((request, code)) = self.organization.cell().sign_in(state_token)? else {
            let page = "<p>This sign-in has expired. Begin again in the application.</p>";
            return Ok(reply::html(StatusCode::FORBIDDEN, "Sign In", page));
        };
        let mut to = request.redirect_uri;
        to.query_pairs_mut().append_pair("code", &code).append_pair("state", &request.state);
        Ok(reply::redirect(StatusCode::FOUND, to.as_str()))
    }

    /// The token endpoint (RFC 6749, 4.1.3; RFC 7636, 4.6).
    fn token(&self) -> Result<Response<ReplyBody>, SimulationError> {
        let fields = form(&self.body);
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        if field("grant_type") != "authorization_code" {
            return Ok(oauth_error("unsupported_grant_type", "The grant type has to be authorization_code."));
        }
        let verifier = field("code_verifier");
        let hash = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
        let good = self.organization.cell().redeem(field("code")).is_some_and(|asked| {
            (43..=128).contains(&verifier.len())
                && asked.code_challenge == hash
                && asked.client_id == field("client_id")
                && asked.redirect_uri.as_str() == field("redirect_uri")
        });
        if !good {
            let what = "The authorization code is invalid or has expired, or PKCE verification failed.";
            return Ok(oauth_error("invalid_grant", what));
        }
        let token = json!({
            "token_type": "Bearer",
            "expires_in": TOKEN_LIFE.as_secs(),
            "access_token": self.organization.cell().token()?,
            "scope": "openid okta.authenticators.read okta.authenticators.manage.self",
        });
        Ok(reply::json(StatusCode::OK, &token))
    }

    fn authenticators(&self) -> Response<ReplyBody> {
        if !self.is_authorized() {
            return unauthorized();
        }
        let query = form(self.head.uri.query().unwrap_or_default().as_bytes());
        if query.get("key").is_some_and(|key| key != "okta_verify") {
            return reply::json(StatusCode::OK, &json!([]));
        }
        let method = |kind: &str| json!({ "type": kind, "status": "ACTIVE", "settings": {} });
        let mut authenticator = json!({
            "id": authenticator_id(self.organization),
            "key": "okta_verify",
            "type": "app",
            "name": "Okta Verify",
            "status": "ACTIVE",
            "settings": { "userVerification": "PREFERRED", "appInstanceId": null },
            "_links": { "enroll": {
                "href": self.organization.enroll_link(self.host),
                "hints": { "allow": ["POST"] },
            }},
        });
        if query.get("expand").is_some_and(|expand| expand == "methods") {
            authenticator["_embedded"] = json!({ "methods": [method("signed_nonce"), method("push"), method("totp")] });
        }
        reply::json(StatusCode::OK, &json!([authenticator]))
    }

    fn enroll(&self) -> Result<Response<ReplyBody>, SimulationError> {
        if !self.is_authorized() {
            return Ok(unauthorized());
        }
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else {
            let summary = "The request body was not well-formed.";
            return Ok(error(StatusCode::BAD_REQUEST, "E0000003", summary, &[]));
        };
        let causes = mistakes(&body);
        if !causes.is_empty() {
            // The code is documented; the words of the summary are this simulation's own.
            let summary = "The device enrollment request is not valid.";
            return Ok(error(StatusCode::BAD_REQUEST, "E0000158", summary, &causes));
        }
        let mut methods = Vec::new();
        for method in body["methods"].as_array().into_iter().flatten() {
            methods.push(json!({ "id": identifier("opf")?, "type": method["type"], "status": "ACTIVE" }));
        }
        let enrollment = json!({
            "id": identifier("pfd")?,
            "authenticatorId": body["authenticatorId"],
            "key": "okta_verify",
            "status": "ACTIVE",
            "device": {
                "id": identifier("guo")?,
                "status": "ACTIVE",
                "displayName": body["device"]["displayName"],
            },
            "user": { "id": identifier("00u")?, "username": "user@acme.example" },
            "methods": methods,
        });
        Ok(reply::json(StatusCode::OK, &enrollment))
    }

    fn is_authorized(&self) -> bool {
        let value = self.head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token =
            value.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        token.is_some_and(|(_, token)| self.organization.cell().knows_token(token.trim()))
    }
}

/// What an enrollment request lacks, in the words of `errorCauses`.
fn mistakes(body: &Value) -> Vec<String> {
    let mut causes = Vec::new();
    for path in [
        "/authenticatorId",
        "/key",
        "/device/displayName",
        "/device/platform",
        "/device/osVersion",
        "/device/manufacturer",
        "/device/model",
        "/device/udid",
    ] {
        if body.pointer(path).and_then(Value::as_str).is_none_or(str::is_empty) {
            causes.push(format!("{}: The field cannot be left blank", path[1..].replace('/', ".")));
        }
    }
    if !body.pointer("/device/clientInstanceKey").is_some_and(is_p256_key) {
        causes.push("device.clientInstanceKey: The field has to be a P-256 public key (JWK)".to_owned());
    }
    let methods = body["methods"].as_array().map(Vec::as_slice).unwrap_or_default();
    if methods.is_empty() {
        causes.push("methods: The field cannot be left blank".to_owned());
    }
    for (index, method) in methods.iter().enumerate() {
        let kind = method["type"].as_str().unwrap_or_default();
        if !["signed_nonce", "push", "totp"].contains(&kind) {
            causes.push(format!("methods[{index}].type: The field has to be signed_nonce, push or totp"));
        } else if kind != "totp" && !is_p256_key(&method["keys"]["proofOfPossession"]) {
            let field = format!("methods[{index}].keys.proofOfPossession");
            causes.push(format!("{field}: The field has to be a P-256 public key (JWK)"));
        }
    }
    causes
}

/// Whether a JWK is a point on P-256 (RFC 7518, 6.2.1).
fn is_p256_key(jwk: &Value) -> bool {
    let coordinate = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(jwk[name].as_str()?).ok().filter(|c| c.len() == 32);
    let (Some(x), Some(y)) = (coordinate("x"), coordinate("y")) else { return false };
    let point = [&[4][..], &x, &y].concat();
    jwk["kty"] == "EC" && jwk["crv"] == "P-256" && ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).is_ok()
}

/// The same for all calls to one organization.
fn authenticator_id(organization: &Organization) -> String {
    format!("aut{}", organization.id().trim_start_matches("00o"))
}

/// An error as Okta documents them.
fn error(status: StatusCode, code: &str, summary: &str, causes: &[String]) -> Response<ReplyBody> {
    let causes: Vec<_> = causes.iter().map(|cause| json!({ "errorSummary": cause })).collect();
    let body = json!({
        "errorCode": code,
        "errorSummary": summary,
        "errorLink": code,
        "errorId": identifier("oae").unwrap_or_default(),
        "errorCauses": causes,
    });
    reply::json(status, &body)
}

fn unauthorized() -> Response<ReplyBody> {
    let mut response = error(StatusCode::UNAUTHORIZED, "E0000011", "Invalid token provided", &[]);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// An error of RFC 6749, section 5.2.
fn oauth_error(code: &str, description: &str) -> Response<ReplyBody> {
    reply::json(StatusCode::BAD_REQUEST, &json!({ "error": code, "error_description": description }))
}

/// The fields of a form; of repeated ones the last.
fn form(bytes: &[u8]) -> HashMap<String, String> {
    url::form_urlencoded::parse(bytes).into_owned().collect()
}

fn is_loopback(uri: &Url) -> bool {
    uri.scheme() == "http" && matches!(uri.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

/// 43 characters of base64url: the length of a SHA-256.
fn is_sha256(text: &str) -> bool {
    BASE64_URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_field_has_its_cause() {
        let causes = mistakes(&json!({}));
        assert_eq!(causes.len(), 10);
        assert_eq!(causes[2], "device.displayName: The field cannot be left blank");
        let causes = mistakes(&json!({ "methods": [{ "type": "push" }, { "type": "sms" }] }));
        assert!(causes.iter().any(|cause| cause.starts_with("methods[0].keys.proofOfPossession: ")), "{causes:?}");
        assert!(causes.iter().any(|cause| cause.starts_with("methods[1].type: ")), "{causes:?}");
    }

    #[test]
    fn a_key_has_to_be_a_point_on_the_curve() {
        let jwk = |x: [u8; 32], y: [u8; 32]| {
            let text = |coordinate| BASE64_URL_SAFE_NO_PAD.encode(coordinate);
            json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) })
        };
        assert!(!is_p256_key(&jwk([1; 32], [1; 32])));
        assert!(!is_p256_key(&json!({ "kty": "EC" })));
        let key = rcgen::KeyPair::generate().unwrap();
        let (x, y) = key.public_key_raw()[1..].split_at(32);
        assert!(is_p256_key(&jwk(x.try_into().unwrap(), y.try_into().unwrap())));
    }
}
