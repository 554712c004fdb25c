//! Signing in with the system browser (OIDC for native apps, RFC 8252, with PKCE, RFC 7636).

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::enroll::{Stop, Walk, at, post};
use super::{CallName, Caller};
use crate::simulation::workstation::{Order, redirect};

/// The client id of the simulated application.
pub(super) const CLIENT_ID: &str = "okta-verify-simulated";

const CALLBACK_PATH: &str = "/login/callback";
/// The largest request head on the loopback port.
const HEAD_BYTES: usize = 16 << 10;

/// What the application holds after the sign-in.
pub(super) struct Grant {
    pub(super) code: String,
    pub(super) verifier: String,
    pub(super) redirect_uri: Url,
}

/// Opens the sign-in page in the browser, sends its form, and receives the code on a loopback port.
pub(super) async fn sign_in(walk: &mut Walk<'_>, base: &Url) -> Result<Grant, Stop> {
    let Some((listener, redirect_uri)) = listen().await else {
        return Err(walk.unusable(CallName::SignIn, "no loopback port is free for the sign-in"));
    };
    let (Some(verifier), Some(state)) = (secret(), secret()) else {
        return Err(walk.unusable(CallName::SignIn, "the system gives no random numbers"));
    };
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    let mut page = at(base, "/oauth2/v1/authorize");
    page.query_pairs_mut()
        .append_pair("client_id", CLIENT_ID)
        .append_pair("response_type", "code")
        .append_pair("scope", "openid okta.authenticators.read okta.authenticators.manage.self")
        .append_pair("redirect_uri", redirect_uri.as_str())
        .append_pair("state", &state)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");

    let shown = walk.call(CallName::SignIn, Caller::Browser, Order::get(page.clone()), 200).await?;
    let text = String::from_utf8_lossy(&shown.body);
    let form = between(&text, "action=\"", "\"").and_then(|action| page.join(action).ok());
    let token = between(&text, "name=\"stateToken\" value=\"", "\"");
    let (Some(form), Some(token)) = (form, token) else {
        return Err(walk.unusable(CallName::SignIn, "the page has no sign-in form"));
    };

    // Without its script, the page of the real organization stays empty.
    if let Some(script) = between(&text, "<script src=\"", "\"").and_then(|source| page.join(source).ok()) {
        walk.call(CallName::SignInScript, Caller::Browser, Order::get(script), 200).await?;
    }

    let body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("stateToken", token)
        .append_pair("username", "user@acme.example")
        .finish();
    let urlencoded = HeaderValue::from_static("application/x-www-form-urlencoded");
    let order = post(form.clone(), urlencoded, body, None);
    let sent = walk.call(CallName::SignInForm, Caller::Browser, order, 302).await?;
    let Some(back) = redirect(&form, &sent) else {
        return Err(walk.unusable(CallName::SignInForm, "the sign-in leads nowhere"));
    };

    match come_back(walk, &listener, back, &state).await? {
        Some(code) => Ok(Grant { code, verifier, redirect_uri }),
        None => Err(walk.unusable(CallName::SignInCallback, "the browser did not come back to the application")),
    }
}

/// The browser follows the redirect while the application waits on its port. The browser's time limit ends both.
async fn come_back(
    walk: &mut Walk<'_>,
    listener: &TcpListener,
    back: Url,
    state: &str,
) -> Result<Option<String>, Stop> {
    let mut waiting = std::pin::pin!(receive_code(listener, state));
    let mut visit = std::pin::pin!(walk.call(CallName::SignInCallback, Caller::Browser, Order::get(back), 200));
    let mut code = None;
    loop {
        tokio::select! {
            // The code is there as soon as the answer is written, so before the browser has read it.
            biased;
            received = &mut waiting, if code.is_none() => code = Some(received),
            visited = &mut visit => return visited.map(|_| code),
        }
    }
}

async fn listen() -> Option<(TcpListener, Url)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.ok()?;
    let port = listener.local_addr().ok()?.port();
    Some((listener, Url::parse(&format!("http://127.0.0.1:{port}{CALLBACK_PATH}")).ok()?))
}

/// Answers on the loopback port until the redirect with our state comes.
async fn receive_code(listener: &TcpListener, state: &str) -> String {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            // Nothing to be had from this listener; the browser's failure ends the wait.
            return std::future::pending().await;
        };
        let Some(target) = request_target(&mut stream).await else { continue };
        let code = code_in(&target, state);
        let (status, page) = match code {
            Some(_) => ("200 OK", "You are signed in. Return to Okta Verify.\n"),
            None => ("404 Not Found", "This is not the sign-in that the application waits for.\n"),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: \
             close\r\n\r\n{page}",
            page.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
        if let Some(code) = code {
            return code;
        }
    }
}

/// The target of a GET request: enough HTTP for one's own browser.
async fn request_target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if head.len() > HEAD_BYTES || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8(head).ok()?;
    Some(head.strip_prefix("GET ")?.split_once(' ')?.0.to_owned())
}

fn code_in(target: &str, state: &str) -> Option<String> {
    // Direct requests have a path here, those forwarded by a careless proxy a whole URL.
    let url = Url::parse("http://127.0.0.1/").ok()?.join(target).ok()?;
    let field = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let ours = url.path() == CALLBACK_PATH && field("state").as_deref() == Some(state);
    field("code").filter(|_| ours)
}

/// 43 characters of base64url: what RFC 7636, 4.1 asks of a verifier.
fn secret() -> Option<String> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}
