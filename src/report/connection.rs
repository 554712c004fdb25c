//! A connection's record as a report tells it.

use super::{CauseView, CertView, ConnectionView};
use crate::journal::{Cause, ConnectionRecord, Diagnosis, Told};

impl ConnectionView {
    /// What the middlebox knows of a connection.
    #[must_use]
    pub fn of(record: &ConnectionRecord) -> Self {
        let port = record.destination.as_ref().map(|destination| destination.port).filter(|port| *port != 443);
        let host = record.host().unwrap_or_else(|| "(no host)".to_owned());
        let told = record.told.as_ref().map(|told| match told {
            Told::Status(status) => format!("answered {status} by the middlebox"),
            Told::StatusInside(status) => format!("answered {status} by the middlebox, inside TLS"),
            Told::Alert(name) => format!("ended by the middlebox with the alert {name}"),
            Told::Reset => "reset by the middlebox".to_owned(),
            Told::Close => "closed by the middlebox".to_owned(),
        });
        Self {
            by: None,
            host: match port {
                Some(port) => format!("{host}:{port}"),
                None => host,
            },
            decision: record.decision.as_ref().map(|decision| decision.action.to_string()),
            rule: record.rule().map(ToOwned::to_owned),
            why: told.or_else(|| record.notes.first().cloned()),
            outcome: record.outcome_so_far().to_string(),
            cause: record.diagnosis.as_deref().map(CauseView::of),
            seen: record.forged.as_ref().and_then(|forged| {
                let pin = forged.certificate.facts().ok()?.pin;
                Some(CertView { issuer: forged.issuer.to_string(), pin })
            }),
            expected_pins: Vec::new(),
            status: record.exchanges.last().and_then(|exchange| exchange.status),
        }
    }
}

impl CauseView {
    /// What is concluded from a refusal.
    #[must_use]
    pub fn of(diagnosis: &Diagnosis) -> Self {
        Self {
            cause: diagnosis.cause.to_string(),
            confidence: diagnosis.confidence.to_string(),
            candidates: match diagnosis.cause {
                Cause::Ambiguous => diagnosis.candidates.iter().map(ToString::to_string).collect(),
                _ => Vec::new(),
            },
            evidence: diagnosis.evidence.clone(),
        }
    }
}
