//! One line for each connection that ended: what somebody watches while a client is tried.

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tracing::{info, warn};

use super::logging::LogFormat;
use super::words;
use crate::journal::{ConnectionRecord, Event, Outcome};

/// Logs until the journal is gone.
pub(super) async fn log(mut events: Receiver<Event>, format: LogFormat) {
    loop {
        match events.recv().await {
            Ok(Event::Closed(record)) => tell(&record, format),
            Ok(Event::Revised(record)) => tell_revision(&record, format),
            Ok(Event::Policy { epoch }) => info!(epoch, "the policy changed"),
            Ok(Event::Decided(_)) => {}
            Err(RecvError::Lagged(count)) => warn!("too much at once: {count} events are not shown here"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// A verdict that a later connection changed.
fn tell_revision(record: &ConnectionRecord, format: LogFormat) {
    let Some(outcome) = record.outcome else { return };
    match format {
        LogFormat::Text => info!("{}  (connection {}, revised)", line(record, outcome), record.id),
        LogFormat::Json => tell(record, format),
    }
}

fn tell(record: &ConnectionRecord, format: LogFormat) {
    let Some(outcome) = record.outcome else { return };
    match format {
        LogFormat::Text => info!("{}", line(record, outcome)),
        LogFormat::Json => {
            let decision = record.decision.as_ref();
            let diagnosis = record.diagnosis.as_ref();
            info!(
                id = record.id,
                client = %record.client.address,
                host = host(record),
                decision = decision.map(|decision| decision.action.word()),
                rule = decision.map(rule),
                outcome = outcome.word(),
                cause = diagnosis.map(|diagnosis| diagnosis.cause.word()),
                confidence = diagnosis.map(|diagnosis| diagnosis.confidence.word()),
                end = record.end.as_ref().map(|end| format!("{}: {}", end.by, end.how)),
                "connection"
            );
        }
    }
}

/// `acme.okta.com  inspect (default)  refused: pin-mismatch (medium)`
fn line(record: &ConnectionRecord, outcome: Outcome) -> String {
    let decided = record
        .decision
        .as_ref()
        .map_or_else(|| "undecided".to_owned(), |decision| format!("{} ({})", decision.action, rule(decision)));
    let why = match (&record.diagnosis, outcome) {
        (Some(diagnosis), _) => {
            let candidates: Vec<_> = diagnosis.candidates.iter().map(|cause| cause.word()).collect();
            let among = if candidates.len() > 1 { format!(": {}", candidates.join(" or ")) } else { String::new() };
            Some(format!("{}{among} ({})", diagnosis.cause, diagnosis.confidence))
        }
        (None, Outcome::Failed | Outcome::GaveUp | Outcome::Blocked | Outcome::Refused) => {
            let fault = record.origin.as_ref().and_then(|origin| origin.fault.clone());
            fault.or_else(|| record.end.as_ref().map(|end| end.how.to_string()))
        }
        (None, _) => websockets(record),
    };
    let outcome = match why {
        Some(why) => format!("{outcome}: {why}"),
        None => outcome.to_string(),
    };
    plain(&format!("{}  {decided}  {outcome}", host(record)))
}

fn websockets(record: &ConnectionRecord) -> Option<String> {
    let all: Vec<_> = record.exchanges.iter().filter_map(|exchange| exchange.websocket.as_ref()).collect();
    let close = all.iter().find_map(|websocket| websocket.up.close.or(websocket.down.close));
    let up = all.iter().map(|websocket| websocket.up.frames).sum();
    let down = all.iter().map(|websocket| websocket.down.frames).sum();
    (!all.is_empty()).then(|| words::websockets(up, down, close.map(u64::from)))
}

/// The host, with its port where that is not the usual one.
fn host(record: &ConnectionRecord) -> String {
    let host = record.host().unwrap_or_else(|| "(no destination)".to_owned());
    match record.destination.as_ref().map(|destination| destination.port).filter(|port| *port != 443) {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

fn rule(decision: &crate::journal::DecisionFacts) -> &str {
    decision.rule.as_deref().unwrap_or("default")
}

/// Names come from clients and origins: nothing in them commands a terminal or begins a line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
