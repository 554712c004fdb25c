//! The policy file, watched: an edit comes into force by itself, a bad one is reported.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::store::{PolicyError, PolicyStore};
use crate::source::DocumentError;

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_millis(300);

/// How many looks in a row have to see the same missing or mistaken file before it is reported: editors remove a file
/// before they write it anew, and write long files in pieces.
const PATIENCE: u32 = 3;

/// What became of an edit of the policy file.
#[derive(Clone, Debug)]
pub enum ReloadEvent {
    /// The new policy is in force.
    Reloaded {
        /// Its epoch.
        epoch: u64,
    },
    /// The file is wrong or gone, and the running policy stays.
    Rejected(PolicyError),
    /// The file has another text, which means the same.
    Unchanged,
}

/// Looks at the policy file step by step.
#[derive(Debug)]
pub struct Watcher {
    store: Arc<PolicyStore>,
    /// The file as last seen; none when it was gone.
    seen: Option<Stamp>,
    /// How many looks in a row have seen it so.
    looks: u32,
    settled: bool,
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    identity: Option<(u64, u64)>,
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt as _;
            Some((metadata.dev(), metadata.ino()))
        };
        #[cfg(not(unix))]
        let identity = None;
        Self { length: metadata.len(), modified: metadata.modified().ok(), identity }
    }
}

impl Watcher {
    /// A watcher of the store's file, which counts what it first sees as an edit: the file may have changed since the
    /// store read it.
    #[must_use]
    pub fn new(store: Arc<PolicyStore>) -> Self {
        Self { store, seen: None, looks: 0, settled: false }
    }

    /// Looks once. A file that is as it was at the look before is read; anything else waits for the next look.
    pub fn check(&mut self) -> Option<ReloadEvent> {
        let path = self.store.file()?;
        let now = fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata));
        if now != self.seen {
            (self.seen, self.looks, self.settled) = (now, 0, false);
            return None;
        }
        if self.settled {
            return None;
        }
        self.looks += 1;
        let result = self.store.reload_file();
        let patient = self.looks < PATIENCE;
        match result {
            Err(error) if patient || (now.is_some() && is_unreadable(&error) && fs::metadata(path).is_err()) => None,
            Err(error) => {
                self.settled = true;
                Some(ReloadEvent::Rejected(error))
            }
            Ok(applied) => {
                self.settled = true;
                let applied = applied?;
                Some(if applied.changed {
                    ReloadEvent::Reloaded { epoch: applied.epoch }
                } else {
                    ReloadEvent::Unchanged
                })
            }
        }
    }
}

fn is_unreadable(error: &PolicyError) -> bool {
    matches!(error, PolicyError::Document(DocumentError::Read { .. }))
}

/// Watches the store's policy file until it is told to stop, and reports what becomes of each edit. Returns at once
/// where there is no file.
pub async fn watch(store: Arc<PolicyStore>, stop: CancellationToken, on_event: impl Fn(ReloadEvent)) {
    if store.file().is_none() {
        return;
    }
    let mut watcher = Watcher::new(store);
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        // Reading and compiling a long list takes its time, and connections must not wait for it.
        let looked = tokio::task::spawn_blocking(move || {
            let event = watcher.check();
            (watcher, event)
        });
        match looked.await {
            Ok((back, event)) => {
                watcher = back;
                event.into_iter().for_each(&on_event);
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => return,
            },
        }
    }
}
