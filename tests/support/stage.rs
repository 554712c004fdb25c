//! A lab with origins of the test's own behind it, and what has to be true of every record.

use std::net::SocketAddr;
use std::sync::Arc;

use middlebox::journal::{ConnectionRecord, DecisionKind, Outcome};
use middlebox::lab::{Lab, LabBuilder, LabError, RunningLab};
use middlebox::net::{Host, ResolveEntry, ResolveHosts};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::origin::Report;
use super::{Client, Origin, SECRET, soon, trust};

/// A stage without anything on it; everything is inspected.
pub(crate) fn stage() -> StageBuilder {
    StageBuilder { lab: Lab::builder(), origins: Vec::new() }
}

/// What is to stand on a stage.
pub(crate) struct StageBuilder {
    lab: LabBuilder,
    origins: Vec<Origin>,
}

/// A running lab with its origins.
pub(crate) struct Stage {
    pub(crate) lab: RunningLab,
    heard: tokio::sync::Mutex<UnboundedReceiver<String>>,
    folder: TempDir,
}

impl StageBuilder {
    pub(crate) fn origin(mut self, origin: Origin) -> Self {
        self.origins.push(origin);
        self
    }

    /// Sets up the lab itself.
    pub(crate) fn lab(mut self, change: impl FnOnce(LabBuilder) -> LabBuilder) -> Self {
        self.lab = change(self.lab);
        self
    }

    pub(crate) async fn start(self) -> Stage {
        self.try_start().await.unwrap()
    }

    pub(crate) async fn try_start(self) -> Result<Stage, LabError> {
        let (sender, heard) = unbounded_channel();
        let folder = tempfile::tempdir().unwrap();
        let roots = folder.path().join("origins.pem");
        std::fs::write(&roots, trust::root_pem()).unwrap();
        let mut resolve = Vec::new();
        for origin in self.origins {
            let (host, port) = (Host::parse(&origin.host).unwrap(), origin.port);
            let address = origin.start(Report(sender.clone())).await;
            resolve.push(ResolveEntry { hosts: ResolveHosts::Exact(host), port, addresses: vec![address] });
        }
        let lab = self.lab.origin_ca(roots).config(|config| {
            config.system_roots = false;
            config.resolve.extend(resolve);
        });
        Ok(Stage { lab: lab.start().await?, heard: tokio::sync::Mutex::new(heard), folder })
    }
}

impl Stage {
    pub(crate) fn proxy(&self) -> SocketAddr {
        self.lab.proxy_address()
    }

    /// A client that trusts the inspection CA and the origins' own.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.proxy(), self.lab.authority().ca().root().clone())
    }

    /// The next thing that an origin reports.
    pub(crate) async fn hears(&self) -> String {
        soon("a report of an origin", self.heard.lock().await.recv()).await.expect("an origin is there")
    }

    /// A path for a file of the test's own.
    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// All records, once every connection has ended; there have to be so many.
    pub(crate) async fn records(&self, count: usize) -> Vec<Arc<ConnectionRecord>> {
        let begun = async {
            while self.lab.journal().total() < count as u64 {
                tokio::task::yield_now().await;
            }
        };
        soon("connections", begun).await;
        let records = self.lab.records().await;
        assert_eq!(self.lab.journal().open_count(), 0, "a connection is still open: {:#?}", self.lab.journal().live());
        assert_eq!(records.len(), count, "{records:#?}");
        for record in &records {
            check(record);
        }
        records
    }

    /// The one record that there is.
    pub(crate) async fn record(&self) -> Arc<ConnectionRecord> {
        self.records(1).await.remove(0)
    }

    /// The one record, which tells of an inspected connection over which data came.
    pub(crate) async fn accepted(&self) -> Arc<ConnectionRecord> {
        let record = self.record().await;
        assert_eq!(record.outcome, Some(Outcome::Accepted), "{record:#?}");
        record
    }

    /// Waits until the journal has seen this of an open connection.
    pub(crate) async fn until(&self, seen: impl Fn(&ConnectionRecord) -> bool) {
        let watching = async {
            while !self.lab.journal().records(true).iter().any(|record| seen(record)) {
                tokio::task::yield_now().await;
            }
        };
        soon("a stage of a connection", watching).await;
    }
}

/// What has to be true of every record, whatever it tells.
pub(crate) fn check(record: &ConnectionRecord) {
    let text = serde_json::to_string(record).unwrap();
    assert!(!text.contains(SECRET), "a secret stands in the record: {text}");
    let Some(outcome) = record.outcome else { panic!("no outcome: {record:#?}") };
    let end = record.end.as_ref().expect("an end");
    assert!(!end.how.is_empty() && ["client", "origin", "middlebox"].contains(&end.by), "{end:?}");

    let at = &record.stages;
    let last = at.closed.expect("a closing time");
    in_order(record, &[at.requested, at.hello, at.decided, at.connected, at.origin_tls, Some(last)]);
    in_order(record, &[at.decided, at.forged, at.client_tls, at.first_byte, Some(last)]);
    assert_eq!(at.requested.is_some(), record.via.is_some() && record.destination.is_some(), "{record:#?}");
    assert_eq!(at.decided.is_some(), record.decision.is_some(), "{record:#?}");

    if !record.exchanges.is_empty() && record.exchange_count == record.exchanges.len() as u64 {
        let sum = |part: fn(&middlebox::journal::Exchange) -> u64| record.exchanges.iter().map(part).sum::<u64>();
        assert_eq!(record.bytes_up, sum(|exchange| exchange.request_bytes), "{record:#?}");
        assert_eq!(record.bytes_down, sum(|exchange| exchange.response_bytes), "{record:#?}");
    }
    let action = record.decision.as_ref().map(|decision| decision.action);
    match outcome {
        Outcome::Accepted => {
            assert_eq!(action, Some(DecisionKind::Inspect));
            assert!(record.forged.is_some() && record.handshake.is_some() && at.first_byte.is_some(), "{record:#?}");
            assert!(record.origin.as_ref().is_some_and(|origin| origin.trusted.is_some()), "{record:#?}");
        }
        Outcome::Refused => {
            let diagnosis = record.diagnosis.as_ref().expect("a diagnosis");
            assert!(diagnosis.evidence.len() >= 3 && !diagnosis.candidates.is_empty(), "{diagnosis:#?}");
        }
        Outcome::Bypassed => {
            assert_eq!(action, Some(DecisionKind::Bypass));
            assert!(record.forged.is_none() && at.connected.is_some(), "{record:#?}");
        }
        Outcome::Plain => assert_eq!(action, Some(DecisionKind::Plain)),
        Outcome::Blocked => assert!(record.told.is_some(), "{record:#?}"),
        Outcome::Unused | Outcome::GaveUp | Outcome::Failed => {}
    }
    assert_eq!(record.diagnosis.is_some(), outcome == Outcome::Refused, "{record:#?}");
}

fn in_order(record: &ConnectionRecord, stages: &[Option<u64>]) {
    let reached: Vec<_> = stages.iter().copied().flatten().collect();
    assert!(reached.is_sorted(), "stages out of order: {:#?}", record.stages);
}
