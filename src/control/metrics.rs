//! `GET /metrics`: counts for Prometheus, in its text format (version 0.0.4).

use std::fmt::{self, Write as _};
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;

use super::server::{Answer, Shared, aside};

/// How many rules have a line: a label for each of a long list would cost more than it tells.
const MAX_RULES: usize = 1_000;

pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Answer<Response> {
    aside(move || {
        let text = render(&shared).unwrap_or_default();
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
    })
    .await
}

fn render(shared: &Shared) -> Result<String, fmt::Error> {
    let mut text = String::new();
    let tallied = shared.journal.tallied();
    head(&mut text, "connections_ended_total", "counter", "Connections that have ended, by decision and outcome.")?;
    for (decision, outcome, count) in &tallied.ended {
        let decision = decision.map_or("none", |decision| decision.word());
        let outcome = outcome.word();
        writeln!(text, "middlebox_connections_ended_total{{decision=\"{decision}\",outcome=\"{outcome}\"}} {count}")?;
    }
    head(&mut text, "connections_open", "gauge", "Connections that are open.")?;
    writeln!(text, "middlebox_connections_open {}", shared.counts().open)?;
    head(&mut text, "bytes_total", "counter", "Bytes passed on, of connections that have ended.")?;
    writeln!(text, "middlebox_bytes_total{{direction=\"up\"}} {}", tallied.bytes_up)?;
    writeln!(text, "middlebox_bytes_total{{direction=\"down\"}} {}", tallied.bytes_down)?;
    let policy = shared.policy.current();
    head(&mut text, "policy_epoch", "gauge", "Grows by one with each change of the policy.")?;
    writeln!(text, "middlebox_policy_epoch {}", policy.epoch())?;
    head(&mut text, "rule_hits_total", "counter", "Connections that a rule has decided; the first 1000 rules.")?;
    for rule in policy.rules().iter().take(MAX_RULES) {
        writeln!(
            text,
            "middlebox_rule_hits_total{{rule=\"{}\",pattern=\"{}\",action=\"{}\"}} {}",
            Label(&rule.id.to_string()),
            Label(rule.pattern.text()),
            rule.action,
            rule.hits()
        )?;
    }
    Ok(text)
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP middlebox_{name} {help}\n# TYPE middlebox_{name} {kind}")
}

/// A text as the value of a label.
struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
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
    fn labels_are_escaped() {
        assert_eq!(Label("a\\b\"c\nd").to_string(), "a\\\\b\\\"c\\nd");
    }
}
