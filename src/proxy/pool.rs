//! Connections to origins, kept for other clients where that was asked for (`--pool`): over HTTP/1.1 one after the
//! other, over HTTP/2 several at once. Without it each client connection has an origin connection of its own, as behind
//! appliances, and state stays where it belongs.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;

use super::Shared;
use super::exchange::{Driver, Http2Origin};
use super::upstream::{KnownOrigin, LegCarrier, OriginKey, OriginLeg};
use crate::net::{Dialled, read_some};

/// Idle connections kept per origin.
const PER_ORIGIN: usize = 32;

/// Idle connections kept in all.
const TOTAL: usize = 1024;

/// An idle connection is used again within this; many origins close theirs after a minute.
const KEEP: Duration = Duration::from_secs(30);

/// Connections that may serve another client.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// HTTP/1.1 connections whose last exchange was complete.
    idle: Mutex<Idle>,
    /// HTTP/2 connections, in use or not: the newest to each origin.
    shared: Mutex<HashMap<OriginKey, (Http2Origin, Arc<KnownOrigin>)>>,
}

#[derive(Debug, Default)]
struct Idle {
    origins: HashMap<OriginKey, Vec<IdleLeg>>,
    count: usize,
}

#[derive(Debug)]
struct IdleLeg {
    stream: Box<TlsStream<Dialled>>,
    origin: Arc<KnownOrigin>,
    since: Instant,
}

impl Pool {
    /// A share in an HTTP/2 connection, else the HTTP/1.1 connection that was used last and still stands.
    pub(crate) async fn take(&self, key: &OriginKey) -> Option<OriginLeg> {
        if let Some((http2, origin)) = lock(&self.shared).get(key).filter(|(http2, _)| http2.is_open()).cloned() {
            return Some(OriginLeg { carrier: LegCarrier::Http2(http2), origin });
        }
        loop {
            let IdleLeg { mut stream, origin, since } = {
                let mut idle = lock(&self.idle);
                let legs = idle.origins.get_mut(key)?;
                let newest = legs.pop()?;
                if legs.is_empty() {
                    idle.origins.remove(key);
                }
                idle.count -= 1;
                newest
            };
            if since.elapsed() < KEEP && is_silent(&mut stream).await {
                return Some(OriginLeg { carrier: LegCarrier::Tls(stream), origin });
            }
        }
    }

    /// Keeps an HTTP/1.1 connection, unless there are enough.
    pub(crate) fn give(&self, key: &OriginKey, stream: Box<TlsStream<Dialled>>, origin: Arc<KnownOrigin>) {
        let mut idle = lock(&self.idle);
        if idle.count >= TOTAL {
            idle.sweep();
        }
        if idle.count >= TOTAL {
            return;
        }
        let legs = idle.origins.entry(key.clone()).or_default();
        if legs.len() < PER_ORIGIN {
            legs.push(IdleLeg { stream, origin, since: Instant::now() });
            idle.count += 1;
        }
    }

    /// Lets a shared connection go, `if_unused` only where no client uses it.
    fn let_go(&self, key: &OriginKey, if_unused: bool) {
        let mut shared = lock(&self.shared);
        if shared.get(key).is_some_and(|(http2, _)| !if_unused || http2.is_unused()) {
            shared.remove(key);
        }
    }
}

/// Shares an HTTP/2 connection from now on, and runs it until it ends: in order once it was without a client for a
/// while, or once the proxy ends.
pub(crate) fn share<T>(
    shared: &Arc<Shared>,
    key: &OriginKey,
    http2: Http2Origin,
    origin: Arc<KnownOrigin>,
    driver: Driver<T>,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    lock(&shared.pool.shared).insert(key.clone(), (http2, origin));
    let (key, here) = (key.clone(), Arc::clone(shared));
    shared.tasks.spawn(async move {
        let mut running = Box::pin(driver.run());
        let mut stopping = false;
        loop {
            tokio::select! {
                () = &mut running => return,
                () = tokio::time::sleep(KEEP) => here.pool.let_go(&key, true),
                () = here.stop.cancelled(), if !stopping => {
                    stopping = true;
                    here.pool.let_go(&key, false);
                }
                () = here.kill.cancelled() => return,
            }
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic happens between the two halves of a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Idle {
    fn sweep(&mut self) {
        for legs in self.origins.values_mut() {
            legs.retain(|leg| leg.since.elapsed() < KEEP);
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
