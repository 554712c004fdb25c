//! Who may ask: the `Host` of the request, the site it comes from, and the token.
//!
//! A browser on this machine reaches the API from every web page that it shows. A page cannot set `Host`, `Origin` or
//! `Sec-Fetch-Site`, so these three tell its requests apart: DNS rebinding by the first, requests across sites by the
//! other two. No answer carries a CORS header.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::{constant_time, digest};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use super::problem::{PROBLEM_JSON, Problem, ProblemKind};
use super::server::Shared;
use crate::net::Host;

/// Which requests are meant for this server and allowed.
#[derive(Debug)]
pub(super) struct Guard {
    address: SocketAddr,
    names: Vec<Host>,
    token: Option<Token>,
}

/// The digest of a token: comparing digests says nothing of how far two tokens agree, nor of their lengths.
#[derive(Debug)]
struct Token(digest::Digest);

/// How much of the guard a path stands behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ward {
    /// Open to whoever reaches it: says nothing that is not public.
    Open,
    /// The page, which shows without a token only what is public.
    Page,
    /// Everything else.
    Api,
}

/// That the request carried the token, or none is demanded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trusted(pub(super) bool);

/// Lets through what is meant for this server, and puts the headers of every answer on.
pub(super) async fn stand(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let ward = Ward::of(request.uri().path());
    let mut response = match shared.guard.check(ward, &request, shared.lab.as_ref()) {
        Ok(trusted) => {
            request.extensions_mut().insert(trusted);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    let status = response.status();
    let is_problem =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == PROBLEM_JSON.as_bytes());
    if (status.is_client_error() || status.is_server_error()) && !is_problem {
        let allow = response.headers().get(header::ALLOW).cloned();
        response = Problem::of_status(status).into_response();
        response.headers_mut().extend(allow.map(|allow| (header::ALLOW, allow)));
    }
    harden(response.headers_mut(), ward);
    response
}

fn harden(headers: &mut HeaderMap, ward: Ward) {
    let mut put = |name: HeaderName, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    put(header::SERVER, super::server::SERVER);
    put(header::CACHE_CONTROL, "no-store");
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(header::REFERRER_POLICY, "no-referrer");
    put(header::X_FRAME_OPTIONS, "DENY");
    put(
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    if ward != Ward::Open {
        put(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    }
}

impl Ward {
    fn of(path: &str) -> Self {
        match path {
            "/ca.pem" | "/ca.crt" | "/healthz" | "/readyz" | "/openapi.json" => Self::Open,
            "/" => Self::Page,
            _ => Self::Api,
        }
    }
}

impl Guard {
    pub(super) fn new(address: SocketAddr, names: Vec<Host>, token: Option<&str>) -> Self {
        Self { address, names, token: token.map(Token::of) }
    }

    fn check(&self, ward: Ward, request: &Request, lab: &dyn super::Lab) -> Result<Trusted, Problem> {
        let headers = request.headers();
        let trusted = Trusted(self.is_trusted(headers));
        if ward == Ward::Open {
            return Ok(trusted);
        }
        let authority = authority(request.uri(), headers);
        if !authority.is_some_and(|authority| self.is_ours(authority)) {
            return Err(self.wrong_host(request.uri(), authority, lab));
        }
        if !is_same_site(ward, headers, authority) {
            let detail =
                "the control API answers no requests of other web sites; use the command line, or the page at /";
            return Err(Problem::new(ProblemKind::CrossSite, detail));
        }
        if ward == Ward::Api && !trusted.0 {
            let detail = if headers.contains_key(header::AUTHORIZATION) {
                "this is not the token that the middlebox was started with"
            } else {
                "send the token that the middlebox was started with, as `Authorization: Bearer …`"
            };
            return Err(Problem::new(ProblemKind::Unauthorized, detail));
        }
        Ok(trusted)
    }

    fn is_trusted(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (scheme, credentials) = sent.split_once(' ').unwrap_or_default();
        scheme.eq_ignore_ascii_case("bearer") && token.is(credentials.trim())
    }

    /// Whether a `host:port` names this server.
    fn is_ours(&self, authority: &str) -> bool {
        let Some((host, port)) = split(authority) else { return false };
        // The port of a name that was given on purpose may be one that is mapped to ours.
        if self.names.contains(&host) {
            return true;
        }
        let is_here = match &host {
            Host::Name(name) => &**name == "localhost",
            // A page cannot be at an address by DNS: where every address is listened on, each is fine.
            Host::Ip(ip) => {
                let (ip, own) = (ip.to_canonical(), self.address.ip().to_canonical());
                ip == own || ip.is_loopback() || own.is_unspecified()
            }
        };
        is_here && port.unwrap_or(80) == self.address.port()
    }

    fn wrong_host(&self, uri: &Uri, authority: Option<&str>, lab: &dyn super::Lab) -> Problem {
        let address = self.address;
        let detail = match authority {
            Some(named) if uri.authority().is_some() => {
                let proxy = lab.status().proxy;
                format!("this is the control API at {address}, not a proxy to {named}; the proxy is at {proxy}")
            }
            Some(named) => format!("this is the control API at {address}, not {named}; use that address"),
            None => format!("send one Host header: `Host: {address}`"),
        };
        Problem::new(ProblemKind::WrongHost, detail)
    }
}

/// The host that the request is for (RFC 9112, section 3.2): the target's, else the one `Host` header.
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    if let Some(authority) = uri.authority() {
        return Some(authority.as_str());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    hosts.next().is_none().then_some(host)
}

fn split(authority: &str) -> Option<(Host, Option<u16>)> {
    let bracket = authority.rfind(']').unwrap_or(0);
    let (host, port) = match authority[bracket..].rfind(':') {
        Some(colon) => (&authority[..bracket + colon], Some(authority[bracket + colon + 1..].parse().ok()?)),
        None => (authority, None),
    };
    Some((Host::parse(host).ok()?, port))
}

/// Whether a request comes from a page of this server, or from no page at all.
///
/// `same-site` is not enough: every port of localhost is one site. A link on another site may lead to the page.
fn is_same_site(ward: Ward, headers: &HeaderMap, authority: Option<&str>) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let own = match text(&header::ORIGIN) {
        Some(origin) => origin.strip_prefix("http://").is_some_and(|from| Some(from) == authority),
        None => true,
    };
    let site = match text(&HeaderName::from_static("sec-fetch-site")) {
        None | Some("same-origin" | "none") => true,
        Some(_) => ward == Ward::Page && text(&HeaderName::from_static("sec-fetch-mode")) == Some("navigate"),
    };
    own && site
}

impl Token {
    fn of(text: &str) -> Self {
        Self(digest::digest(&digest::SHA256, text.as_bytes()))
    }

    fn is(&self, text: &str) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_ref(), Self::of(text).0.as_ref()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(address: &str) -> Guard {
        Guard::new(address.parse().unwrap(), vec![Host::parse("lab.example").unwrap()], None)
    }

    #[test]
    fn only_names_that_cannot_be_rebound_are_ours() {
        let here = guard("127.0.0.1:8081");
        for ours in ["127.0.0.1:8081", "localhost:8081", "LOCALHOST:8081", "[::1]:8081", "lab.example:9", "lab.example"]
        {
            assert!(here.is_ours(ours), "{ours}");
        }
        for other in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "evil.example:8081",
            "192.0.2.1:8081",
            "localhost.evil.example:8081",
            "a@localhost:8081",
            "",
        ] {
            assert!(!here.is_ours(other), "{other}");
        }
        let everywhere = guard("0.0.0.0:8081");
        assert!(everywhere.is_ours("192.0.2.1:8081") && everywhere.is_ours("[2001:db8::1]:8081"));
        assert!(!everywhere.is_ours("evil.example:8081"));
        assert!(guard("0.0.0.0:80").is_ours("192.0.2.1"));
    }

    #[test]
    fn a_page_is_of_this_very_origin() {
        let from = |ward, pairs: &[(&'static str, &'static str)]| {
            let pairs =
                pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            is_same_site(ward, &pairs.collect(), Some("localhost:8081"))
        };
        assert!(from(Ward::Api, &[]));
        assert!(from(Ward::Api, &[("origin", "http://localhost:8081"), ("sec-fetch-site", "same-origin")]));
        for foreign in ["http://localhost:3000", "https://localhost:8081", "null", "http://127.0.0.1:8081"] {
            assert!(!from(Ward::Api, &[("origin", foreign)]), "{foreign}");
        }
        assert!(!from(Ward::Api, &[("sec-fetch-site", "same-site")]));
        let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert!(from(Ward::Page, &link) && !from(Ward::Api, &link));
    }

    #[test]
    fn tokens_are_equal_or_not() {
        let token = Token::of("s3cret");
        assert!(token.is("s3cret") && !token.is("s3cre") && !token.is(""));
    }
}
