//! `middlebox watch`: the connections of a running middlebox, as they end.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use super::control_args::ControlArgs;
use super::error::CliError;
use super::exit;
use super::signal::Stop;
use super::words::{self, Format};
use crate::control::{ConnectionFilter, ServerEvent};
use crate::policy::{Dialect, Pattern};

/// Show the connections of a running middlebox, one line each as it ends
///
/// Times are in UTC. A verdict that a later connection changes is told again, marked `revised`. Ends with Ctrl-C, or
/// with the middlebox.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Begin with the last N that have ended already
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(..=1000))]
    last: u16,

    /// Only these hosts: a pattern of the dialect `middlebox`
    #[arg(long, value_name = "PATTERN", value_parser = |text: &str| Dialect::MIDDLEBOX.parse(text))]
    host: Option<Pattern>,

    /// Show each connection when it is decided, too
    #[arg(long)]
    decided: bool,

    #[command(flatten)]
    control: ControlArgs,

    /// How events are written: lines for people, or a JSON object a line
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  What happens to Okta's hosts:
    middlebox watch --host .okta.com
  The hosts that clients refuse, as they refuse them:
    middlebox watch --format json | jq -r 'select(.record.outcome == \"refused\") | .record.hello.sni'";

pub(super) async fn watch(args: Args) -> Result<u8, CliError> {
    let mut stop =
        Stop::listen().map_err(|error| CliError::environment(format!("cannot listen to signals: {error}")))?;
    tokio::select! {
        shown = args.show() => shown.map(|()| exit::AS_EXPECTED),
        () = stop.next() => Ok(exit::AS_EXPECTED),
    }
}

impl Args {
    async fn show(&self) -> Result<(), CliError> {
        let client = self.control.client()?;
        // The stream first: what ends in between is in both, and told once.
        let mut following = client.follow(None).await?;
        let mut newest = 0;
        if self.last > 0 {
            let limit = Some(usize::from(self.last));
            let filter = ConnectionFilter { limit, open: Some(false), ..ConnectionFilter::default() };
            let past = client.connections(&filter).await?;
            for record in &past.records {
                newest = newest.max(record["id"].as_u64().unwrap_or_default());
                self.tell("closed", record)?;
            }
        }
        let mut told_before = true;
        while let Some(ServerEvent { kind, data, .. }) = following.next().await? {
            let value: Value = serde_json::from_str(&data).unwrap_or_default();
            let known = kind == "closed" && told_before && value["id"].as_u64().is_some_and(|id| id <= newest);
            if known && self.last > 0 {
                continue;
            }
            told_before &= kind != "closed";
            self.tell(&kind, &value)?;
        }
        Ok(())
    }

    /// Writes one event, where it is asked for.
    fn tell(&self, kind: &str, value: &Value) -> io::Result<()> {
        let about_connection = matches!(kind, "decided" | "closed" | "revised");
        if (kind == "decided" && !self.decided) || (about_connection && !self.wants(value)) {
            return Ok(());
        }
        let mut out = anstream::stdout().lock();
        match self.format {
            Format::Json => {
                let key = if about_connection { "record" } else { "data" };
                writeln!(out, "{}", json!({ "event": kind, key: value }))?;
            }
            Format::Text => write_line(kind, value, &mut out)?,
        }
        // A line is of use when it is seen.
        out.flush()
    }

    fn wants(&self, record: &Value) -> bool {
        let Some(pattern) = &self.host else { return true };
        let host = host(record).to_ascii_lowercase();
        match host.parse() {
            Ok(address) => pattern.matches_address(address) || pattern.matches_name(&host),
            Err(_) => pattern.matches_name(host.trim_end_matches('.')),
        }
    }
}

/// `18:20:11    12  acme.okta.com  inspect, default  refused: pin-mismatch (high)`
fn write_line(kind: &str, value: &Value, to: &mut dyn Write) -> io::Result<()> {
    let faint = Style::new().dimmed();
    match kind {
        "policy" => return writeln!(to, "{faint}{}         policy at epoch {}{faint:#}", clock(None), value["epoch"]),
        "lagged" => {
            let missed = &value["missed"];
            return writeln!(to, "{faint}{}         {missed} events came too fast to be shown{faint:#}", clock(None));
        }
        _ => {}
    }
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let ended = value["stages"]["closed"].as_u64().is_some();
    let at = clock(Some(text("/opened")));
    let id = value["id"].as_u64().unwrap_or_default();
    let port = text("/destination").rsplit_once(':').map(|(_, port)| port).filter(|port| *port != "443");
    let host = match (plain(host(value)), port) {
        (host, _) if host.is_empty() => "(no destination)".to_owned(),
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host,
    };
    let decision = match value.get("decision").filter(|decision| !decision.is_null()) {
        Some(decision) => {
            let rule = decision["rule"].as_str().map_or("default".to_owned(), plain);
            format!("{}, {rule}", decision["action"].as_str().unwrap_or_default())
        }
        None => "undecided".to_owned(),
    };
    let outcome = match text("/outcome") {
        "" if ended => "ended",
        "" => "open",
        outcome => outcome,
    };
    let style = match outcome {
        "refused" | "blocked" | "failed" => AnsiColor::Red.on_default(),
        "accepted" | "bypassed" => AnsiColor::Green.on_default(),
        _ => Style::new(),
    };
    let why = match (text("/diagnosis/cause"), text("/diagnosis/confidence")) {
        ("", _) if matches!(outcome, "failed" | "gave-up" | "blocked") => {
            let fault = text("/origin/fault");
            Some(if fault.is_empty() { text("/end/how") } else { fault }.to_owned())
        }
        ("", _) => websockets(value),
        (cause, confidence) => Some(format!("{}{} ({confidence})", cause, among(value))),
    };
    let why = why.filter(|why| !why.is_empty()).map_or(String::new(), |why| format!(": {}", plain(&why)));
    let mark = if kind == "revised" { "  revised" } else { "" };
    writeln!(
        to,
        "{faint}{at}{faint:#} {id:>5}  {host}  {decision}  {style}{outcome}{style:#}{why}{faint}{mark}{faint:#}"
    )
}

fn websockets(record: &Value) -> Option<String> {
    let exchanges = record["exchanges"].as_array().map(Vec::as_slice).unwrap_or_default();
    let all: Vec<_> = exchanges.iter().filter_map(|exchange| exchange.get("websocket")).collect();
    let frames = |way: &str| all.iter().filter_map(|websocket| websocket[way]["frames"].as_u64()).sum();
    let status = |websocket: &&Value| ["up", "down"].into_iter().find_map(|way| websocket[way]["close"].as_u64());
    let close = all.iter().find_map(status);
    (!all.is_empty()).then(|| words::websockets(frames("up"), frames("down"), close))
}

fn among(record: &Value) -> String {
    let candidates = record["diagnosis"]["candidates"].as_array().map(Vec::as_slice).unwrap_or_default();
    let candidates: Vec<_> = candidates.iter().filter_map(Value::as_str).collect();
    if candidates.len() > 1 { format!(": {}", candidates.join(" or ")) } else { String::new() }
}

/// The host that a record is about: the SNI, else the destination.
fn host(record: &Value) -> &str {
    let destination = record["destination"].as_str().and_then(|text| text.rsplit_once(':'));
    record["hello"]["sni"].as_str().or(destination.map(|(host, _)| host)).unwrap_or_default()
}

/// The time of day in UTC, as the log of `up` has it, of an RFC 3339 time or of now.
fn clock(at: Option<&str>) -> String {
    let at = at.and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok()).unwrap_or_else(OffsetDateTime::now_utc);
    at.format(format_description!("[hour]:[minute]:[second]")).unwrap_or_default()
}

/// Names come from clients and origins: nothing in them commands a terminal or begins a line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, value: &Value) -> String {
        let mut out = Vec::new();
        write_line(kind, value, &mut anstream::StripStream::new(&mut out)).unwrap();
        let text = String::from_utf8(out).unwrap();
        text[8..].trim_end().to_owned()
    }

    #[test]
    fn a_line_says_who_what_and_why() {
        let record = json!({
            "id": 7,
            "opened": "2026-01-02T03:04:05Z",
            "destination": "acme.okta.com:443",
            "hello": { "sni": "acme.okta.com" },
            "decision": { "action": "inspect", "rule": null },
            "outcome": "refused",
            "diagnosis": { "cause": "ambiguous", "confidence": "low", "candidates": ["pin-mismatch", "policy"] },
        });
        assert_eq!(
            line("revised", &record),
            "     7  acme.okta.com  inspect, default  refused: ambiguous: pin-mismatch or policy (low)  revised"
        );
        let failed = json!({
            "id": 8,
            "destination": "a\u{1b}[2J.example:8443",
            "outcome": "failed",
            "origin": { "fault": "refused\nthe connection" },
        });
        assert_eq!(line("closed", &failed), "     8  a [2J.example:8443  undecided  failed: refused the connection");
        let chat = json!({
            "id": 9,
            "destination": "chat.example:443",
            "decision": { "action": "inspect", "rule": null },
            "outcome": "accepted",
            "exchanges": [
                { "status": 200 },
                { "status": 101, "websocket": { "up": { "frames": 2, "close": null }, "down": { "frames": 1, "close": 1000 } } },
            ],
        });
        assert_eq!(
            line("closed", &chat),
            "     9  chat.example  inspect, default  accepted: WebSocket, frames 2 up and 1 down, closed with 1000"
        );
        assert_eq!(line("policy", &json!({ "epoch": 3 })), "         policy at epoch 3");
    }
}
