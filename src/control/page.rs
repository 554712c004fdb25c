//! The page at `/` and the CA downloads: what a person needs to point a device at the middlebox.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use aws_lc_rs::digest;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header;

use super::guard::Trusted;
use super::server::{Answer, Shared, aside};
use crate::journal::ConnectionRecord;
use crate::policy::Policy;

/// How many connections the page shows.
const SHOWN_CONNECTIONS: usize = 20;

/// How many rules the page shows.
const SHOWN_RULES: usize = 200;

const STYLE: &str = include_str!("page.css");

/// The switches and the list that follows; without it the page shows how things stood when it was loaded.
const SCRIPT: &str = include_str!("page.js");

/// What the page may load and run (CSP Level 3, section 2.3.1): its own style and script, and answers of this API.
pub(super) fn content_security_policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

/// `GET /ca.pem`
pub(super) async fn ca_pem(State(shared): State<Arc<Shared>>) -> Response {
    download("application/x-pem-file", "middlebox-ca.pem", shared.ca.pem.clone())
}

/// `GET /ca.crt`, under the media type at which Android and iOS offer to install it.
pub(super) async fn ca_der(State(shared): State<Arc<Shared>>) -> Response {
    download("application/x-x509-ca-cert", "middlebox-ca.crt", shared.ca.der.clone())
}

fn download(kind: &'static str, name: &str, body: impl IntoResponse) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    ([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)], body).into_response()
}

/// `GET /`
pub(super) async fn page(
    State(shared): State<Arc<Shared>>,
    Extension(Trusted(trusted)): Extension<Trusted>,
) -> Answer<Response> {
    aside(move || {
        let html = render(&shared, trusted).unwrap_or_default();
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
            (header::CONTENT_SECURITY_POLICY, shared.page_csp.clone()),
        ];
        (headers, html).into_response()
    })
    .await
}

fn render(shared: &Shared, trusted: bool) -> Result<String, fmt::Error> {
    let status = shared.status();
    let mut html = String::new();
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>middlebox</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n\
         <h1>middlebox</h1>\n\
         <p>A middlebox for tests inspects TLS at <code>{proxy}</code>. Whoever trusts its CA can be read by it: trust \
         it on test devices only, and remove it afterwards.</p>\n\
         <h2>Point a client at it</h2>\n<ol>\n\
         <li>Set the HTTP and HTTPS proxy to <code>{proxy}</code>; in a shell: \
         <code>export HTTPS_PROXY=http://{proxy} HTTP_PROXY=http://{proxy}</code></li>\n\
         <li>Trust the inspection CA: <a href=\"/ca.crt\">ca.crt</a> (DER, for phones and Windows) or \
         <a href=\"/ca.pem\">ca.pem</a> (PEM)<br><code>{subject}</code>, until {not_after}<br>\
         SHA-256 <code>{sha256}</code></li>\n</ol>\n",
        proxy = Escaped(&status.proxy.to_string()),
        subject = Escaped(&status.ca.subject),
        not_after = Escaped(&status.ca.not_after),
        sha256 = Escaped(&status.ca.sha256),
    )?;
    html.push_str(
        "<form id=\"token\" hidden><h2>Token</h2><p><label>Rules and connections are shown to who has the token: \
         <input name=\"token\" type=\"password\" autocomplete=\"off\" required></label> <button>Show</button></p></form>\n",
    );
    if trusted {
        html.push_str("<div id=\"dashboard\">\n");
        rules(&mut html, &shared.policy.current())?;
        connections(&mut html, &shared.journal.records(true))?;
    } else {
        html.push_str(
            "<noscript><p>Rules and connections are shown to requests that carry the token.</p></noscript>\n",
        );
        html.push_str("<div id=\"dashboard\" hidden>\n");
        rules_frame(&mut html, "", "")?;
        html.push_str("</tbody></table>\n");
        connections(&mut html, &[])?;
    }
    html.push_str("</div>\n");
    html.push_str("<h2>API</h2>\n<ul>\n");
    for path in ["status", "policy", "policy/rules", "decide?host=example.com", "connections", "events", "har"] {
        writeln!(html, "<li><a href=\"/api/v1/{path}\"><code>/api/v1/{path}</code></a></li>")?;
    }
    writeln!(
        html,
        "<li><a href=\"/metrics\"><code>/metrics</code></a>\n<li><a href=\"/openapi.json\"><code>/openapi.json</code></a>\n\
         </ul>\n<p>version {}</p>\n<script>{SCRIPT}</script>\n</body></html>",
        Escaped(&status.version)
    )?;
    Ok(html)
}

/// The head of the list of rules, which the script fills anew; `no_rules` is an attribute of what is said without any.
fn rules_frame(html: &mut String, stands: &str, no_rules: &str) -> fmt::Result {
    writeln!(
        html,
        "<h2>Rules</h2>\n<p id=\"policy\">{stands}</p>\n\
         <form id=\"add\" hidden><label>Pattern <input name=\"pattern\" required placeholder=\"*.okta.com\"></label> \
         <select name=\"action\" aria-label=\"action\"><option>bypass<option>inspect<option>block</select> \
         <button>Add at the top</button></form>\n<p id=\"said\" role=\"status\"></p>\n\
         <p id=\"no-rules\"{no_rules}>There are none.</p>\n\
         <table><thead><tr><th>on<th>id<th>pattern<th>action<th>from<th>hits<th>note<th></tr></thead><tbody id=\"rules\">"
    )
}

fn rules(html: &mut String, policy: &Policy) -> fmt::Result {
    let stands = format!(
        "Epoch {}, dialect {}; what no rule matches: {}",
        policy.epoch(),
        Escaped(policy.dialect().name()),
        policy.default_action()
    );
    let all = policy.rules();
    rules_frame(html, &stands, if all.is_empty() { "" } else { " hidden" })?;
    for rule in all.iter().take(SHOWN_RULES) {
        writeln!(
            html,
            "<tr{}><td>{}<td>{}<td><code>{}</code><td>{}<td>{}<td>{}<td>{}<td></tr>",
            if rule.enabled { "" } else { " class=\"off\"" },
            if rule.enabled { "on" } else { "off" },
            Escaped(&rule.id.to_string()),
            Escaped(rule.pattern.text()),
            rule.action,
            rule.source,
            rule.hits(),
            Escaped(rule.note().unwrap_or_default()),
        )?;
    }
    html.push_str("</tbody></table>\n");
    if all.len() > SHOWN_RULES {
        writeln!(html, "<noscript><p>and {} more</p></noscript>", all.len() - SHOWN_RULES)?;
    }
    Ok(())
}

fn connections(html: &mut String, records: &[Arc<ConnectionRecord>]) -> fmt::Result {
    let none = if records.is_empty() { "" } else { " hidden" };
    writeln!(
        html,
        "<h2>Connections <small id=\"live\"></small></h2>\n<p id=\"no-connections\"{none}>There have been none.</p>\n\
         <table><thead><tr><th>id<th>host<th>decision<th>outcome<th>why<th></tr></thead><tbody id=\"connections\">"
    )?;
    for record in records.iter().rev().take(SHOWN_CONNECTIONS) {
        let decision = record.decision.as_ref();
        let cause = record.diagnosis.as_ref().map(|diagnosis| format!(" ({})", diagnosis.cause)).unwrap_or_default();
        let outcome = record.outcome.map_or("open", |outcome| outcome.word());
        writeln!(
            html,
            "<tr><td><a href=\"/api/v1/connections/{id}\">{id}</a><td><code>{}</code><td>{}<td>\
             <span class=\"{outcome}\">{outcome}{cause}</span><td>{}<td></tr>",
            Escaped(&record.host().unwrap_or_default()),
            decision.map_or("", |facts| facts.action.word()),
            Escaped(decision.map_or("", |facts| &facts.why)),
            id = record.id,
        )?;
    }
    html.push_str("</tbody></table>\n");
    Ok(())
}

/// A text that means itself in HTML, in an element or in a quoted attribute.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_texts_is_text() {
        assert_eq!(Escaped("<a b='\"&\">").to_string(), "&lt;a b=&#39;&quot;&amp;&quot;&gt;");
    }
}
