//! The journal: open connections, the last ones that ended, and a live subscription.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::history::{ClientKey, History, Revision, Sighting, Verdict};
use super::record::micros;
use super::tally::{Tallied, Tally};
use super::{Case, ClientFacts, ConnectionRecord, DecisionFacts, End, Exchange, LeafAudit, Outcome, Refusal, Stages};

/// How much the journal keeps.
#[derive(Clone, Copy, Debug)]
pub struct JournalLimits {
    /// Ended connections.
    pub records: usize,
    /// Exchanges per connection.
    pub exchanges: usize,
    /// Clients whose history is remembered.
    pub clients: usize,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self { records: 10_000, exchanges: 32, clients: 1_000 }
    }
}

/// What subscribers hear.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event", content = "data")]
pub enum Event {
    /// The policy decided a connection.
    Decided(Arc<ConnectionRecord>),
    /// A connection ended; its record is complete.
    Closed(Arc<ConnectionRecord>),
    /// A later connection changed the verdict on one that had ended; its record, as it is now.
    Revised(Arc<ConnectionRecord>),
    /// The policy changed.
    Policy {
        /// The epoch in force.
        epoch: u64,
    },
}

/// The records of one lab.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: JournalLimits,
    began: Instant,
    next_id: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Live>>>,
    closed: Mutex<VecDeque<Arc<ConnectionRecord>>>,
    clients: Mutex<Clients>,
    tally: Tally,
    events: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct Clients {
    histories: HashMap<ClientKey, History>,
    order: VecDeque<ClientKey>,
}

/// What the policy was asked about a connection, kept so that it can be asked again when the policy changes.
#[derive(Clone, Debug, Default)]
pub struct OwnedSubjects {
    /// As in [`crate::policy::Subjects`].
    pub connect_host: Option<String>,
    /// The port.
    pub port: u16,
    /// The SNI; none where the hello had none or nothing is TLS.
    pub sni: Option<String>,
    /// Whether the client spoke TLS.
    pub tls: bool,
    /// The address, where the target was one or the policy asked what it resolves to.
    pub address: Option<IpAddr>,
    /// The names of the origin's certificate, where the policy asked for them.
    pub certificate: Option<Vec<String>>,
    /// The client's address.
    pub client: Option<IpAddr>,
}

/// One open connection, shared between its task and those who look at it.
#[derive(Debug)]
pub struct Live {
    id: u64,
    opened: Instant,
    record: Mutex<ConnectionRecord>,
    subjects: Mutex<Option<OwnedSubjects>>,
    up: AtomicU64,
    down: AtomicU64,
    /// Cancelled when it is to end after its running exchange.
    pub drain: CancellationToken,
    /// Cancelled when it is to end at once.
    pub kill: CancellationToken,
}

impl Live {
    /// The record's id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Counts bytes from the client to the origin.
    #[must_use]
    pub fn up(&self) -> &AtomicU64 {
        &self.up
    }

    /// Counts bytes from the origin to the client.
    #[must_use]
    pub fn down(&self) -> &AtomicU64 {
        &self.down
    }

    /// What was asked of the policy, and its answer, once it was.
    #[must_use]
    pub fn asked(&self) -> Option<(OwnedSubjects, DecisionFacts)> {
        let subjects = lock(&self.subjects).clone()?;
        let decision = lock(&self.record).decision.clone()?;
        Some((subjects, decision))
    }

    /// The address that is connected to, once one is.
    #[must_use]
    pub fn origin_address(&self) -> Option<SocketAddr> {
        lock(&self.record).origin.as_ref()?.address
    }

    fn snapshot(&self) -> ConnectionRecord {
        let mut record = lock(&self.record).clone();
        record.bytes_up = self.up.load(Ordering::Relaxed);
        record.bytes_down = self.down.load(Ordering::Relaxed);
        record
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self::new(JournalLimits::default())
    }
}

impl Journal {
    /// An empty journal.
    #[must_use]
    pub fn new(limits: JournalLimits) -> Self {
        Self(Arc::new(Inner {
            limits,
            began: Instant::now(),
            next_id: AtomicU64::new(1),
            open: Mutex::default(),
            closed: Mutex::default(),
            clients: Mutex::default(),
            tally: Tally::default(),
            events: broadcast::channel(1024).0,
        }))
    }

    /// Begins the record of a connection. It is completed when the [`Recording`] is dropped, on every path.
    #[must_use]
    pub fn open(&self, client: SocketAddr) -> Recording {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let record = ConnectionRecord {
            id,
            opened: OffsetDateTime::now_utc(),
            client: ClientFacts { address: client, device: None, user_agent: None, process: None },
            via: None,
            destination: None,
            hello: None,
            decision: None,
            origin: None,
            forged: None,
            handshake: None,
            told: None,
            exchanges: Vec::new(),
            exchange_count: 0,
            bytes_up: 0,
            bytes_down: 0,
            stages: Stages::default(),
            end: None,
            outcome: None,
            diagnosis: None,
            revisions: 0,
            notes: Vec::new(),
        };
        let live = Arc::new(Live {
            id,
            opened: Instant::now(),
            record: Mutex::new(record),
            subjects: Mutex::new(None),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            drain: CancellationToken::new(),
            kill: CancellationToken::new(),
        });
        lock(&self.0.open).insert(id, Arc::clone(&live));
        Recording(Pen { journal: self.clone(), live })
    }

    /// The connections that are open now.
    #[must_use]
    pub fn live(&self) -> Vec<Arc<Live>> {
        let mut live: Vec<_> = lock(&self.0.open).values().cloned().collect();
        live.sort_unstable_by_key(|live| live.id);
        live
    }

    /// Records by id, oldest first: those that ended and, with `open`, those that have not.
    #[must_use]
    pub fn records(&self, open: bool) -> Vec<Arc<ConnectionRecord>> {
        // Open ones first: a connection that ends in between is then seen twice, not missed.
        let live = if open { self.live() } else { Vec::new() };
        let mut records: Vec<_> = lock(&self.0.closed).iter().cloned().collect();
        let known: std::collections::HashSet<_> = records.iter().map(|record| record.id).collect();
        records.extend(live.iter().filter(|live| !known.contains(&live.id)).map(|live| Arc::new(live.snapshot())));
        records.sort_unstable_by_key(|record| record.id);
        records
    }

    /// One record, open or ended.
    #[must_use]
    pub fn record(&self, id: u64) -> Option<Arc<ConnectionRecord>> {
        let live = lock(&self.0.open).get(&id).cloned();
        live.map(|live| Arc::new(live.snapshot()))
            .or_else(|| lock(&self.0.closed).iter().find(|record| record.id == id).cloned())
    }

    /// How many connections are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        lock(&self.0.open).len()
    }

    /// How many connections have ended how, since the journal began; unlike the records, none is forgotten.
    #[must_use]
    pub fn tallied(&self) -> Tallied {
        self.0.tally.read()
    }

    /// How many connections there have been.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.next_id.load(Ordering::Relaxed) - 1
    }

    /// Hears every event from now on; a subscriber that falls 1,024 events behind is told so and goes on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// Tells subscribers of a policy change.
    pub fn policy_changed(&self, epoch: u64) {
        let _ = self.0.events.send(Event::Policy { epoch });
    }

    /// Says what the owner of a device knows of its trust store: whether it holds the inspection CA.
    pub fn set_device_trust(&self, device: &str, trusts_inspection_ca: Option<bool>) {
        self.with_history(&ClientKey::Device(device.to_owned()), |history| {
            history.set_trusts_inspection_ca(trusts_inspection_ca);
        });
    }

    /// Waits until each connection that was begun before this call has a complete record, or until the time is over;
    /// says whether they have.
    pub async fn settle(&self, limit: Duration) -> bool {
        let newest = self.total();
        self.settle_where(|id| id <= newest, limit).await
    }

    /// Waits likewise for the connections with these ids.
    pub async fn settle_these(&self, ids: &[u64], limit: Duration) -> bool {
        self.settle_where(|id| ids.contains(&id), limit).await
    }

    async fn settle_where(&self, concerns: impl Fn(u64) -> bool, limit: Duration) -> bool {
        let mut events = self.subscribe();
        let settled = async {
            while lock(&self.0.open).keys().any(|id| concerns(*id)) {
                // A lagging subscriber looks again; a closed channel cannot be, the journal holds a sender.
                let _ = events.recv().await;
            }
        };
        tokio::time::timeout(limit, settled).await.is_ok()
    }

    fn with_history<T>(&self, key: &ClientKey, act: impl FnOnce(&mut History) -> T) -> T {
        let mut clients = lock(&self.0.clients);
        if !clients.histories.contains_key(key) {
            if clients.order.len() >= self.0.limits.clients
                && let Some(oldest) = clients.order.pop_front()
            {
                clients.histories.remove(&oldest);
            }
            clients.order.push_back(key.clone());
        }
        act(clients.histories.entry(key.clone()).or_default())
    }

    fn close(&self, live: &Live) {
        // All under their locks at once, so that no reader finds the record in neither, and no revision is lost or
        // told before it.
        let mut open = lock(&self.0.open);
        let mut closed = lock(&self.0.closed);
        let mut record = live.snapshot();
        record.stages.closed.get_or_insert_with(|| micros(live.opened.elapsed()));
        record.outcome.get_or_insert(Outcome::Failed);
        record.end.get_or_insert_with(|| End::middlebox("the connection's task ended early"));
        self.0.tally.count(&record);
        let record = Arc::new(record);
        open.remove(&live.id);
        if closed.len() >= self.0.limits.records {
            closed.pop_front();
        }
        closed.push_back(Arc::clone(&record));
        let _ = self.0.events.send(Event::Closed(record));
    }

    /// Writes other verdicts into the records that they are about, and tells of those that had ended.
    fn revise(&self, revisions: Vec<Revision>) {
        for revision in revisions {
            let open = lock(&self.0.open);
            if let Some(live) = open.get(&revision.id) {
                apply(&mut lock(&live.record), revision);
                continue;
            }
            let mut closed = lock(&self.0.closed);
            let Some(record) = closed.iter_mut().rev().find(|record| record.id == revision.id) else { continue };
            let changed = Arc::make_mut(record);
            changed.revisions += 1;
            apply(changed, revision);
            let _ = self.0.events.send(Event::Revised(Arc::clone(record)));
        }
    }
}

/// Writes one record; shared by those who work on its connection.
#[derive(Clone, Debug)]
pub struct Pen {
    journal: Journal,
    live: Arc<Live>,
}

/// Holds one record open: it is completed when this is dropped, on every path.
#[derive(Debug)]
pub struct Recording(Pen);

impl std::ops::Deref for Recording {
    type Target = Pen;

    fn deref(&self) -> &Pen {
        &self.0
    }
}

impl Pen {
    /// The open connection.
    #[must_use]
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Writes into the record.
    pub fn note<T>(&self, write: impl FnOnce(&mut ConnectionRecord) -> T) -> T {
        write(&mut lock(&self.live.record))
    }

    /// Marks a stage as reached now.
    pub fn stage(&self, stage: impl FnOnce(&mut Stages) -> &mut Option<u64>) {
        let now = micros(self.live.opened.elapsed());
        self.note(|record| *stage(&mut record.stages) = Some(now));
    }

    /// Notes the decision and what was asked, so that it can be asked again when the policy changes.
    pub fn decided(&self, subjects: OwnedSubjects, decision: DecisionFacts) {
        *lock(&self.live.subjects) = Some(subjects);
        self.note(|record| record.decision = Some(decision));
        self.stage(|stages| &mut stages.decided);
        if self.journal.0.events.receiver_count() > 0 {
            let _ = self.journal.0.events.send(Event::Decided(Arc::new(self.live.snapshot())));
        }
    }

    /// A moment as records count it: microseconds since the connection was opened.
    #[must_use]
    pub fn moment(&self, at: Instant) -> u64 {
        micros(at.saturating_duration_since(self.live.opened))
    }

    /// Adds an exchange, which is described only where the record still has room for it.
    pub fn exchange(&self, describe: impl FnOnce() -> Exchange) {
        let limit = self.journal.0.limits.exchanges;
        self.note(|record| {
            record.exchange_count += 1;
            if record.exchanges.len() < limit {
                // Most connections carry one, and may be idle for long behind it.
                if record.exchanges.is_empty() {
                    record.exchanges.reserve_exact(1);
                }
                record.exchanges.push(describe());
            }
        });
    }

    /// Whether the record has room for another exchange.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.note(|record| record.exchanges.len() < self.journal.0.limits.exchanges)
    }

    /// The outcome and the end; the first word counts.
    pub fn finish(&self, outcome: Outcome, end: End) {
        self.note(|record| {
            if record.outcome.is_none() {
                record.outcome = Some(outcome);
                record.end = Some(end);
            }
        });
    }

    /// The client accepted the forged certificate: it sent application data.
    pub fn accepted(&self) {
        let (key, seen) = self.sighting();
        self.journal.with_history(&key, |history| self.journal.revise(history.accepted(seen)));
    }

    /// Whether this client has accepted the certificate that it is about to be shown before.
    #[must_use]
    pub fn has_accepted(&self) -> bool {
        let (key, seen) = self.sighting();
        let clients = lock(&self.journal.0.clients);
        clients.histories.get(&key).is_some_and(|history| history.has_accepted(&seen))
    }

    /// The earlier connection whose verdict this one, passed through, would help to find, if there is one.
    #[must_use]
    pub fn probe(&self) -> Option<u64> {
        let (key, seen) = self.sighting();
        self.journal.with_history(&key, |history| history.probe(&seen))
    }

    /// The client used the genuine certificate of the host, past us.
    pub fn passed(&self) {
        let (key, seen) = self.sighting();
        self.journal.with_history(&key, |history| self.journal.revise(history.passed(&seen.host, seen.id)));
    }

    /// Whether the same program of the client has, at the same time, a connection to this host over which it sent
    /// data: what it opens beside that and leaves unused is no refusal.
    #[must_use]
    pub fn accepted_beside(&self) -> bool {
        let (stack, host, id, opened) = self.note(|record| (stack_of(record), record.host(), record.id, record.opened));
        let process = self.note(|record| record.client.process.clone());
        let beside = |record: &ConnectionRecord| {
            record.id != id
                && record.stages.first_byte.is_some()
                && record.host() == host
                && stack_of(record) == stack
                && (process.is_none() || record.client.process.is_none() || record.client.process == process)
                && record.stages.closed.is_none_or(|closed| record.opened + Duration::from_micros(closed) >= opened)
        };
        let open = self.journal.live().iter().any(|live| live.id != id && beside(&lock(&live.record)));
        open || lock(&self.journal.0.closed).iter().rev().take(64).any(|record| beside(record))
    }

    /// The client refused the forged certificate: finds out why as far as that can be told. What later connections say
    /// of it is written into the record when they say it.
    pub fn refused(&self, refusal: &Refusal, audit: LeafAudit, end: End) {
        let (key, seen) = self.sighting();
        let case = Case { seen, refusal: refusal.clone(), audit };
        // Under the history's lock to the end: a revision of this very verdict comes after it.
        self.journal.with_history(&key, |history| {
            let (verdict, revisions) = history.refused(case);
            match verdict {
                Verdict::Refused(diagnosis) => {
                    self.note(|record| record.diagnosis = Some(Box::new(diagnosis)));
                    self.finish(Outcome::Refused, end);
                }
                Verdict::Unused(_) => self.finish(Outcome::Unused, End::client("opened ahead and never used")),
            }
            self.journal.revise(revisions);
        });
    }

    fn sighting(&self) -> (ClientKey, Sighting) {
        let at = self.journal.0.began.elapsed();
        self.note(|record| {
            let key = match &record.client.device {
                Some(device) => ClientKey::Device(device.clone()),
                None => stack_of(record),
            };
            let seen = Sighting {
                id: record.id,
                host: record.host().unwrap_or_default(),
                process: record.client.process.clone(),
                serial: record
                    .forged
                    .as_ref()
                    .and_then(|forged| forged.certificate.facts().ok())
                    .map(|facts| facts.serial),
                opened: self.live.opened.saturating_duration_since(self.journal.0.began),
                at,
            };
            (key, seen)
        })
    }
}

/// Writes another verdict into a record, and which connection brought it.
fn apply(record: &mut ConnectionRecord, revision: Revision) {
    let Revision { verdict, by, .. } = revision;
    let before = record.diagnosis.as_ref().map(|diagnosis| diagnosis.cause.word()).unwrap_or_default();
    match verdict {
        Verdict::Refused(diagnosis) => {
            record.notes.push(format!("revised after connection {by}: {before} ({}) before", confidence(record)));
            record.diagnosis = Some(Box::new(diagnosis));
        }
        Verdict::Unused(used) => {
            record.notes.push(format!("opened ahead: connection {used} to the same host was used; {before} before"));
            record.diagnosis = None;
            record.outcome = Some(Outcome::Unused);
        }
    }
}

fn confidence(record: &ConnectionRecord) -> &'static str {
    record.diagnosis.as_ref().map(|diagnosis| diagnosis.confidence.word()).unwrap_or_default()
}

fn stack_of(record: &ConnectionRecord) -> ClientKey {
    let stack = record.hello.as_ref().map(|hello| hello.stack.clone()).unwrap_or_default();
    ClientKey::Stack(record.client.address.ip(), stack, record.client.user_agent.clone())
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.0.journal.close(&self.0.live);
    }
}

/// A panic while a lock was held leaves whole values here: nothing is moved out and put back later.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Cause, Signature};

    fn journal(records: usize) -> Journal {
        Journal::new(JournalLimits { records, ..JournalLimits::default() })
    }

    fn peer() -> SocketAddr {
        "127.0.0.1:9".parse().unwrap()
    }

    #[tokio::test]
    async fn a_dropped_recording_is_one_complete_record() {
        let journal = journal(10);
        let mut events = journal.subscribe();
        let recording = journal.open(peer());
        recording.live().up().fetch_add(7, Ordering::Relaxed);
        assert_eq!(journal.records(true)[0].bytes_up, 7);
        assert!(journal.records(false).is_empty());
        drop(recording);
        let records = journal.records(true);
        assert_eq!((records.len(), records[0].outcome, records[0].bytes_up), (1, Some(Outcome::Failed), 7));
        assert!(matches!(events.recv().await.unwrap(), Event::Closed(record) if record.id == 1));
    }

    #[test]
    fn the_store_is_bounded_and_keeps_the_newest() {
        let journal = journal(3);
        for _ in 0..5 {
            drop(journal.open(peer()));
        }
        assert_eq!(journal.records(true).iter().map(|record| record.id).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(journal.total(), 5);
    }

    #[test]
    fn the_first_outcome_counts() {
        let journal = journal(3);
        let recording = journal.open(peer());
        recording.finish(Outcome::Bypassed, End::client("closed"));
        recording.finish(Outcome::Failed, End::origin("late"));
        drop(recording);
        assert_eq!(journal.records(false)[0].outcome, Some(Outcome::Bypassed));
    }

    #[tokio::test]
    async fn settle_waits_for_those_before_it_only() {
        let journal = journal(3);
        let first = journal.open(peer());
        assert!(!journal.settle(Duration::ZERO).await);
        let waiting = tokio::spawn({
            let journal = journal.clone();
            async move { journal.settle(Duration::from_secs(60)).await }
        });
        tokio::task::yield_now().await;
        let _second = journal.open(peer());
        drop(first);
        assert!(waiting.await.unwrap());
    }

    #[test]
    fn one_device_has_one_history() {
        let journal = journal(3);
        journal.set_device_trust("laptop", Some(true));
        let recording = journal.open(peer());
        recording.note(|record| record.client.device = Some("laptop".into()));
        let refusal = Refusal {
            signature: Signature::Alert { number: 46, warning: false },
            after_finished: false,
            judges_late: false,
            gap: None,
        };
        let audit = LeafAudit { names_host: true, in_time: true, in_order: true, by_inspection_ca: true };
        recording.refused(&refusal, audit, End::client("alert"));
        drop(recording);
        let diagnosis = journal.records(false)[0].diagnosis.clone().unwrap();
        assert_eq!(diagnosis.cause, Cause::PinMismatch);
    }

    const SOUND: LeafAudit = LeafAudit { names_host: true, in_time: true, in_order: true, by_inspection_ca: true };

    fn to(journal: &Journal, host: &str) -> Recording {
        let recording = journal.open(peer());
        recording.note(|record| record.destination = Some(format!("{host}:443").parse().unwrap()));
        recording
    }

    fn refuse(recording: &Recording, signature: Signature) {
        let refusal = Refusal { signature, after_finished: false, judges_late: false, gap: None };
        recording.refused(&refusal, SOUND, End::client("left"));
    }

    #[tokio::test]
    async fn a_verdict_is_revised_in_the_record_and_for_those_who_listen() {
        let journal = journal(10);
        let pinned = to(&journal, "pin.example");
        refuse(&pinned, Signature::Alert { number: 46, warning: false });
        drop(pinned);
        let before = journal.record(1).unwrap();
        assert_eq!(before.diagnosis.as_ref().unwrap().cause, Cause::Ambiguous);
        let mut events = journal.subscribe();
        let other = to(&journal, "www.other.example");
        other.accepted();
        let Event::Revised(record) = events.recv().await.unwrap() else { panic!("no revision") };
        assert_eq!((record.id, record.revisions), (1, 1));
        assert_eq!(record.diagnosis.as_ref().unwrap().cause, Cause::PinMismatch);
        assert!(record.notes[0].contains("connection 2"), "{:?}", record.notes);
        assert_eq!(journal.record(1).unwrap().diagnosis, record.diagnosis);
        assert_eq!(before.diagnosis.as_ref().unwrap().cause, Cause::Ambiguous, "what was read stays as it was");
    }

    #[test]
    fn what_is_revised_while_it_is_open_is_complete_when_it_ends() {
        let journal = journal(10);
        let left = to(&journal, "site.example");
        let used = to(&journal, "site.example");
        refuse(&left, Signature::Cut);
        used.accepted();
        drop(left);
        let record = journal.record(1).unwrap();
        assert_eq!((record.outcome, record.diagnosis.is_none(), record.revisions), (Some(Outcome::Unused), true, 0));
    }
}
