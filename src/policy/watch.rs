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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::PolicyConfig;
    use super::*;

    const GOOD: &str = "[[rule]]\npattern = \"okta.com\"\naction = \"bypass\"\n";

    fn watched() -> (tempfile::TempDir, PathBuf, Watcher) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        fs::write(&file, "").unwrap();
        let config = PolicyConfig { file: Some(file.clone()), ..PolicyConfig::default() };
        let mut watcher = Watcher::new(Arc::new(PolicyStore::new(config).unwrap()));
        assert_eq!(looks(&mut watcher, 5), "-----");
        (folder, file, watcher)
    }

    /// What some looks in a row see, a letter for each.
    fn looks(watcher: &mut Watcher, count: usize) -> String {
        let letter = |_| match watcher.check() {
            None => '-',
            Some(ReloadEvent::Reloaded { .. }) => 'R',
            Some(ReloadEvent::Rejected(_)) => 'X',
            Some(ReloadEvent::Unchanged) => 'U',
        };
        (0..count).map(letter).collect()
    }

    #[test]
    fn an_edit_counts_once_it_has_settled() {
        let (_folder, file, mut watcher) = watched();
        fs::write(&file, GOOD).unwrap();
        assert_eq!(looks(&mut watcher, 4), "-R--");
        fs::write(&file, format!("# a comment\n{GOOD}")).unwrap();
        assert_eq!(looks(&mut watcher, 4), "-U--");
        assert_eq!(watcher.store.current().epoch(), 2);
    }

    #[test]
    fn a_half_written_file_is_waited_for() {
        let (_folder, file, mut watcher) = watched();
        fs::write(&file, &GOOD[..30]).unwrap();
        assert_eq!(looks(&mut watcher, 3), "---");
        fs::write(&file, GOOD).unwrap();
        assert_eq!(looks(&mut watcher, 4), "-R--");
    }

    #[test]
    fn a_bad_file_is_reported_once_and_its_mend_comes_into_force() {
        let (_folder, file, mut watcher) = watched();
        fs::write(&file, "default = \"inspct\"").unwrap();
        assert_eq!(looks(&mut watcher, 8), "---X----");
        assert_eq!(watcher.store.current().epoch(), 1);
        fs::write(&file, GOOD).unwrap();
        assert_eq!(looks(&mut watcher, 3), "-R-");
    }

    #[test]
    fn a_replaced_file_is_followed_and_a_missing_one_reported_once() {
        let (folder, file, mut watcher) = watched();
        let other = folder.path().join("other");
        fs::write(&other, GOOD).unwrap();
        fs::rename(&other, &file).unwrap();
        assert_eq!(looks(&mut watcher, 3), "-R-");
        fs::remove_file(&file).unwrap();
        assert_eq!(looks(&mut watcher, 2), "--");
        fs::write(&file, GOOD).unwrap();
        assert_eq!(looks(&mut watcher, 3), "---");
        fs::remove_file(&file).unwrap();
        assert_eq!(looks(&mut watcher, 8), "---X----");
        fs::write(&file, "").unwrap();
        assert_eq!(looks(&mut watcher, 3), "-R-");
    }

    #[tokio::test]
    async fn watching_reports_and_stops() {
        let (_folder, file, watcher) = watched();
        fs::write(&file, GOOD).unwrap();
        let stop = CancellationToken::new();
        let (send, mut events) = tokio::sync::mpsc::unbounded_channel();
        let task = tokio::spawn(watch(watcher.store.clone(), stop.clone(), move |event| drop(send.send(event))));
        assert!(matches!(events.recv().await, Some(ReloadEvent::Reloaded { epoch: 2 })));
        stop.cancel();
        task.await.unwrap();
        assert!(events.recv().await.is_none());
    }
}
