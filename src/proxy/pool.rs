//! Idle connections to origins, kept for other clients where that was asked for (`--pool`). Without it each client
//! connection has an origin connection of its own, as behind appliances, and state stays where it belongs.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio_rustls::client::TlsStream;

use super::upstream::{OriginKey, OriginLeg};
use crate::net::{Dialled, read_some};

/// Idle connections kept per origin.
const PER_ORIGIN: usize = 32;

/// Idle connections kept in all.
const TOTAL: usize = 1024;

/// An idle connection is used again within this; many origins close theirs after a minute.
const KEEP: Duration = Duration::from_secs(30);

/// Idle HTTP/1.1 connections, whose last exchange was complete.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Idle>);

#[derive(Debug, Default)]
struct Idle {
    origins: HashMap<OriginKey, Vec<(OriginLeg, Instant)>>,
    count: usize,
}

impl Pool {
    /// The connection that was used last and still stands.
    pub(crate) async fn take(&self, key: &OriginKey) -> Option<OriginLeg> {
        loop {
            let (mut leg, since) = {
                let mut idle = self.idle();
                let legs = idle.origins.get_mut(key)?;
                let newest = legs.pop()?;
                if legs.is_empty() {
                    idle.origins.remove(key);
                }
                idle.count -= 1;
                newest
            };
            if since.elapsed() < KEEP && is_silent(&mut leg.stream).await {
                return Some(leg);
            }
        }
    }

    /// Keeps a connection, unless there are enough.
    pub(crate) fn give(&self, key: &OriginKey, leg: OriginLeg) {
        let mut idle = self.idle();
        if idle.count >= TOTAL {
            idle.sweep();
        }
        if idle.count >= TOTAL {
            return;
        }
        let legs = idle.origins.entry(key.clone()).or_default();
        if legs.len() < PER_ORIGIN {
            legs.push((leg, Instant::now()));
            idle.count += 1;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Nothing that can panic happens between the two halves of a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn sweep(&mut self) {
        for legs in self.origins.values_mut() {
            legs.retain(|(_, since)| since.elapsed() < KEEP);
        }
        self.origins.retain(|_, legs| !legs.is_empty());
        self.count = self.origins.values().map(Vec::len).sum();
    }
}

/// Whether the origin has neither closed nor spoken since.
async fn is_silent(stream: &mut TlsStream<Dialled>) -> bool {
    let mut unasked = Vec::new();
    let mut read = std::pin::pin!(read_some(stream, &mut unasked));
    poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_pending())).await
}
