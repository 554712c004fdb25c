//! Events as they happen, as server-sent events (WHATWG HTML, section 9.2).
//!
//! Each event has the id up to which every connection has been told as closed. A client that reconnects with it in
//! `Last-Event-ID` hears of those that closed meanwhile, some perhaps a second time, none never: records are known by
//! their own id. A verdict that a later connection changed comes as `revised`, with the whole record; whoever comes back
//! hears of all revisions again. The same happens after `lagged`, so that a slow subscriber misses decisions at most.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName};
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::server::Shared;
use crate::journal::{ConnectionRecord, Event, Journal};

/// How often an idle stream shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `GET /api/v1/events`
///
/// Begins with a `policy` event of the epoch in force.
pub(super) async fn events(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let last = headers.get(HeaderName::from_static("last-event-id"));
    let last = last.and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    // In this order, with a look into the journal after both, nothing falls between.
    let told = Told::since(&shared.journal, last);
    let heard = shared.journal.subscribe();
    let (out, stream) = mpsc::channel(16);
    tokio::spawn(async move {
        let shutdown = shared.shutdown.clone();
        let mut teller = Teller { out, told, missed: last.is_some() };
        tokio::select! {
            _ = teller.tell(&shared, heard) => {}
            () = shutdown.cancelled() => {}
        }
    });
    Sse::new(ReceiverStream::new(stream)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// The subscriber has left.
struct Left;

struct Teller {
    out: mpsc::Sender<Result<Sent, Infallible>>,
    told: Told,
    /// Whether something was told while the subscriber did not hear.
    missed: bool,
}

impl Teller {
    async fn tell(&mut self, shared: &Shared, mut heard: Receiver<Event>) -> Result<(), Left> {
        self.send("policy", &json!({ "epoch": shared.policy.current().epoch() })).await?;
        self.catch_up(&shared.journal).await?;
        loop {
            match self.hear(&mut heard).await? {
                Ok(Event::Decided(record)) => self.send("decided", &record).await?,
                Ok(Event::Closed(record)) => self.closed(&record).await?,
                Ok(Event::Revised(record)) => self.send("revised", &record).await?,
                Ok(Event::Policy { epoch }) => self.send("policy", &json!({ "epoch": epoch })).await?,
                Err(RecvError::Lagged(missed)) => {
                    self.missed = true;
                    self.send("lagged", &json!({ "missed": missed })).await?;
                    self.catch_up(&shared.journal).await?;
                }
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }

    /// The next event; ends with the subscriber, also when nothing happens.
    async fn hear(&self, heard: &mut Receiver<Event>) -> Result<Result<Event, RecvError>, Left> {
        tokio::select! {
            event = heard.recv() => Ok(event),
            () = self.out.closed() => Err(Left),
        }
    }

    /// Tells of the connections that closed and were not told.
    async fn catch_up(&mut self, journal: &Journal) -> Result<(), Left> {
        for record in journal.records(false) {
            if !self.told.holds(record.id) {
                self.closed(&record).await?;
            } else if self.missed && record.revisions > 0 {
                self.send("revised", &record).await?;
            }
        }
        Ok(())
    }

    async fn closed(&mut self, record: &ConnectionRecord) -> Result<(), Left> {
        self.told.add(record.id);
        self.send("closed", record).await
    }

    async fn send(&self, name: &str, data: &impl Serialize) -> Result<(), Left> {
        let data = serde_json::to_string(data).expect("a record always has a JSON form");
        let event = Sent::default().id(self.told.upto.to_string()).event(name).data(data);
        self.out.send(Ok(event)).await.map_err(|_| Left)
    }
}

/// Which connections a subscriber knows to be closed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// All with this id or a lower one.
    upto: u64,
    /// And these.
    beyond: BTreeSet<u64>,
}

impl Told {
    /// Of a subscriber that comes back, or of a new one, for whom what has closed is past.
    fn since(journal: &Journal, last: Option<u64>) -> Self {
        // Read before the open ones: what opens in between is then counted as not told.
        let total = journal.total();
        if let Some(last) = last {
            // A higher id is of another lab that was here before.
            return Self { upto: if last <= total { last } else { 0 }, beyond: BTreeSet::new() };
        }
        let open: BTreeSet<u64> = journal.live().iter().map(|live| live.id()).collect();
        let upto = open.first().map_or(total, |first| (first - 1).min(total));
        Self { upto, beyond: (upto + 1..=total).filter(|id| !open.contains(id)).collect() }
    }

    fn holds(&self, id: u64) -> bool {
        id <= self.upto || self.beyond.contains(&id)
    }

    fn add(&mut self, id: u64) {
        if id > self.upto {
            self.beyond.insert(id);
        }
        while self.beyond.remove(&(self.upto + 1)) {
            self.upto += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stands_for_everything_below_it() {
        let journal = Journal::default();
        let peer = "127.0.0.1:9".parse().unwrap();
        let (first, second, third) = (journal.open(peer), journal.open(peer), journal.open(peer));
        drop(second);
        let mut told = Told::since(&journal, None);
        assert_eq!(told, Told { upto: 0, beyond: BTreeSet::from([2]) });
        drop((first, third));
        told.add(3);
        assert!(told.holds(3) && !told.holds(1) && told.upto == 0);
        told.add(1);
        assert_eq!(told, Told { upto: 3, beyond: BTreeSet::new() });
    }

    #[test]
    fn a_subscriber_of_an_earlier_lab_begins_anew() {
        let journal = Journal::default();
        drop(journal.open("127.0.0.1:9".parse().unwrap()));
        assert_eq!(Told::since(&journal, None).upto, 1);
        assert_eq!(Told::since(&journal, Some(0)).upto, 0);
        assert_eq!(Told::since(&journal, Some(99)).upto, 0);
    }
}
