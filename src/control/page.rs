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

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}\
    table{border-collapse:collapse;width:100%}\
    th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8884;vertical-align:top}\
    code{font:.9em ui-monospace,monospace;overflow-wrap:anywhere}\
    .off{opacity:.5;text-decoration:line-through}\
    :root{color-scheme:light dark}";

/// The one style that the page's policy allows (CSP Level 3, section 2.3.1).
pub(super) fn style_hash() -> String {
    let hash = digest::digest(&digest::SHA256, STYLE.as_bytes());
    format!("sha256-{}", BASE64_STANDARD.encode(hash.as_ref()))
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
        let csp = format!(
            "default-src 'none'; style-src '{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            shared.style_hash
        );
        let headers =
            [(header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()), (header::CONTENT_SECURITY_POLICY, csp)];
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
    if trusted {
        let policy = shared.policy.current();
        rules(&mut html, &policy)?;
        connections(&mut html, &shared.journal.records(true))?;
    } else {
        html.push_str("<p>Rules and connections are shown to requests that carry the token.</p>\n");
    }
    html.push_str("<h2>API</h2>\n<ul>\n");
    for path in ["status", "policy", "policy/rules", "decide?host=example.com", "connections", "events"] {
        writeln!(html, "<li><a href=\"/api/v1/{path}\"><code>/api/v1/{path}</code></a></li>")?;
    }
    writeln!(html, "</ul>\n<p>version {}</p>\n</body></html>", Escaped(&status.version))?;
    Ok(html)
}

fn rules(html: &mut String, policy: &Policy) -> fmt::Result {
    writeln!(
        html,
        "<h2>Rules</h2>\n<p>Epoch {}, dialect {}; what no rule matches: {}</p>",
        policy.epoch(),
        Escaped(policy.dialect().name()),
        policy.default_action()
    )?;
    let all = policy.rules();
    if all.is_empty() {
        html.push_str("<p>There are none: <code>middlebox bypass add '*.okta.com'</code> adds one.</p>\n");
        return Ok(());
    }
    html.push_str("<table><tr><th>id<th>pattern<th>action<th>from<th>hits<th>note</tr>\n");
    for rule in all.iter().take(SHOWN_RULES) {
        writeln!(
            html,
            "<tr{}><td>{}<td><code>{}</code><td>{}<td>{}<td>{}<td>{}</tr>",
            if rule.enabled { "" } else { " class=\"off\"" },
            Escaped(&rule.id.to_string()),
            Escaped(rule.pattern.text()),
            rule.action,
            rule.source,
            rule.hits(),
            Escaped(rule.note.as_deref().unwrap_or_default()),
        )?;
    }
    html.push_str("</table>\n");
    if all.len() > SHOWN_RULES {
        writeln!(html, "<p>and {} more</p>", all.len() - SHOWN_RULES)?;
    }
    Ok(())
}

fn connections(html: &mut String, records: &[Arc<ConnectionRecord>]) -> fmt::Result {
    html.push_str("<h2>Last connections</h2>\n");
    if records.is_empty() {
        html.push_str("<p>There have been none.</p>\n");
        return Ok(());
    }
    html.push_str("<table><tr><th>id<th>host<th>decision<th>outcome<th>why</tr>\n");
    for record in records.iter().rev().take(SHOWN_CONNECTIONS) {
        let decision = record.decision.as_ref();
        let cause = record.diagnosis.as_ref().map(|diagnosis| format!(" ({})", diagnosis.cause)).unwrap_or_default();
        let outcome = record.outcome.map_or("open", |outcome| outcome.word());
        writeln!(
            html,
            "<tr><td><a href=\"/api/v1/connections/{id}\">{id}</a><td>{}<td>{}<td>{outcome}{cause}<td>{}</tr>",
            Escaped(&record.host().unwrap_or_default()),
            decision.map_or("", |facts| facts.action.word()),
            Escaped(decision.map_or("", |facts| &facts.why)),
            id = record.id,
        )?;
    }
    html.push_str("</table>\n");
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
