//! Connections of this program that a redirect rule brings back to it.
//!
//! A rule that redirects all traffic of a machine to a transparent port also catches what the proxy itself opens, which
//! the proxy then opens again, and so on. Such a connection has the same address at both ends: the one that it was
//! opened from is the peer's of the one that was accepted. Which of the two is seen first is a matter of chance, so both
//! are remembered.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What to do about a loop.
pub const LOOP_HINT: &str = "exempt this program's own connections from the redirect rule, as with nftables' \
                             `meta skuid != USER`, and run it as that user";

/// The ends of connections that were opened and of those that were accepted.
#[derive(Debug, Default)]
pub struct OwnConnections(Mutex<Ends>);

#[derive(Debug, Default)]
struct Ends {
    opened: HashMap<SocketAddr, Arc<AtomicBool>>,
    accepted: HashSet<SocketAddr>,
}

/// A connection that this program opened, remembered as long as this lives.
#[derive(Debug)]
pub struct OpenedEnd {
    connections: Arc<OwnConnections>,
    local: SocketAddr,
    came_back: Arc<AtomicBool>,
}

/// A connection that was accepted, remembered as long as this lives.
#[derive(Debug)]
pub struct AcceptedEnd {
    connections: Arc<OwnConnections>,
    peer: SocketAddr,
}

impl OwnConnections {
    /// Remembers a connection that was opened from `local`; none where it was accepted here already.
    #[must_use]
    pub fn opened(self: &Arc<Self>, local: SocketAddr) -> Option<OpenedEnd> {
        let local = canonical(local);
        let mut ends = self.ends();
        if ends.accepted.contains(&local) {
            return None;
        }
        let came_back = Arc::new(AtomicBool::new(false));
        ends.opened.insert(local, Arc::clone(&came_back));
        Some(OpenedEnd { connections: Arc::clone(self), local, came_back })
    }

    /// Remembers a connection that was accepted from `peer`; none where it was opened here.
    #[must_use]
    pub fn accepted(self: &Arc<Self>, peer: SocketAddr) -> Option<AcceptedEnd> {
        let peer = canonical(peer);
        let mut ends = self.ends();
        if let Some(came_back) = ends.opened.get(&peer) {
            came_back.store(true, Ordering::Relaxed);
            return None;
        }
        ends.accepted.insert(peer);
        Some(AcceptedEnd { connections: Arc::clone(self), peer })
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        // Nothing that can panic happens between the two halves of a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenedEnd {
    /// Whether the connection was accepted here, too; shared with whoever has to know it later.
    #[must_use]
    pub fn came_back(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.came_back)
    }
}

impl Drop for OpenedEnd {
    fn drop(&mut self) {
        self.connections.ends().opened.remove(&self.local);
    }
}

impl Drop for AcceptedEnd {
    fn drop(&mut self) {
        self.connections.ends().accepted.remove(&self.peer);
    }
}

/// A socket for both families gives IPv4's addresses as mapped ones.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_comes_back_is_known_whichever_end_is_seen_first() {
        let own = Arc::new(OwnConnections::default());
        let (here, mapped): (SocketAddr, SocketAddr) =
            ("10.0.0.1:4000".parse().unwrap(), "[::ffff:10.0.0.1]:4000".parse().unwrap());
        let opened = own.opened(here).unwrap();
        assert!(!opened.came_back().load(Ordering::Relaxed));
        assert!(own.accepted(mapped).is_none());
        assert!(opened.came_back().load(Ordering::Relaxed));
        drop(opened);

        let accepted = own.accepted(mapped).unwrap();
        assert!(own.opened(here).is_none());
        drop(accepted);
        assert!(own.opened(here).is_some(), "the port is free for another one");
    }
}
