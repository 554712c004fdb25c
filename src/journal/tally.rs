//! How many connections turned out how: counts that only grow, for whoever watches over time.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{ConnectionRecord, DecisionKind, Outcome};

/// Decisions, and one place more for connections that were never decided.
const DECISIONS: usize = DecisionKind::ALL.len() + 1;

/// Counts of connections that have ended.
#[derive(Debug, Default)]
pub(super) struct Tally {
    ended: [[AtomicU64; Outcome::ALL.len()]; DECISIONS],
    up: AtomicU64,
    down: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tallied {
    /// Connections that have ended: what was decided, how they turned out, how many; those that there were.
    pub ended: Vec<(Option<DecisionKind>, Outcome, u64)>,
    /// Bytes of clients passed on to origins, of connections that have ended.
    pub bytes_up: u64,
    /// Bytes of origins passed on to clients.
    pub bytes_down: u64,
}

impl Tally {
    /// Counts a connection that has ended.
    pub(super) fn count(&self, record: &ConnectionRecord) {
        let decision = record.decision.as_ref().map(|decision| decision.action);
        let decision = DecisionKind::ALL.iter().position(|kind| Some(*kind) == decision).unwrap_or(DECISIONS - 1);
        let outcome = Outcome::ALL.iter().position(|outcome| Some(*outcome) == record.outcome);
        if let Some(outcome) = outcome {
            self.ended[decision][outcome].fetch_add(1, Ordering::Relaxed);
        }
        self.up.fetch_add(record.bytes_up, Ordering::Relaxed);
        self.down.fetch_add(record.bytes_down, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Tallied {
        let mut ended = Vec::new();
        for (decision, outcomes) in self.ended.iter().enumerate() {
            for (outcome, count) in Outcome::ALL.iter().zip(outcomes) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    ended.push((DecisionKind::ALL.get(decision).copied(), *outcome, count));
                }
            }
        }
        Tallied { ended, bytes_up: self.up.load(Ordering::Relaxed), bytes_down: self.down.load(Ordering::Relaxed) }
    }
}
