//! Session tickets for clients that have already accepted the certificate that the session is about (RFC 8446, 4.6.1;
//! RFC 5077). A first handshake is never resumed: it is the evidence of how the client takes the certificate.
//!
//! A ticket holds the session itself, encrypted under keys of this proxy that change every few hours, so that nothing
//! is kept for it here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use rustls_pki_types::CertificateDer;

/// Tickets that a client gets at once: it may open several connections.
const AT_ONCE: usize = 2;

/// The keys of all tickets.
#[derive(Debug)]
pub(super) struct Tickets(Arc<dyn ProducesTickets>);

/// Whether the client came with a ticket that was good.
#[derive(Clone, Debug)]
pub(super) struct Resuming(Arc<Bound>);

impl Tickets {
    /// New keys.
    pub(super) fn new() -> Result<Self, rustls::Error> {
        Ticketer::new().map(Self)
    }

    /// Takes and gives tickets in one handshake, for sessions under this certificate alone.
    pub(super) fn offer(&self, config: &mut ServerConfig, leaf: &CertificateDer<'_>) -> Resuming {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, leaf).as_ref());
        let bound = Arc::new(Bound { keys: Arc::clone(&self.0), leaf: hash, taken: AtomicBool::new(false) });
        config.ticketer = Arc::clone(&bound) as Arc<dyn ProducesTickets>;
        config.send_tls13_tickets = AT_ONCE;
        Resuming(bound)
    }
}

impl Resuming {
    /// Whether a ticket was taken.
    pub(super) fn was_taken(&self) -> bool {
        self.0.taken.load(Ordering::Relaxed)
    }
}

/// Tickets of one certificate: a session under another is not resumed, whatever its name.
#[derive(Debug)]
struct Bound {
    keys: Arc<dyn ProducesTickets>,
    leaf: [u8; SHA256_OUTPUT_LEN],
    taken: AtomicBool,
}

impl ProducesTickets for Bound {
    fn enabled(&self) -> bool {
        self.keys.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.keys.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.encrypt(&[&self.leaf, plain].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let plain = self.keys.decrypt(cipher)?.strip_prefix(&self.leaf)?.to_vec();
        self.taken.store(true, Ordering::Relaxed);
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_for_its_own_certificate_alone() {
        let tickets = Tickets::new().unwrap();
        let bound = |leaf: u8| Bound {
            keys: Arc::clone(&tickets.0),
            leaf: [leaf; SHA256_OUTPUT_LEN],
            taken: AtomicBool::new(false),
        };
        let ticket = bound(1).encrypt(b"session").unwrap();
        let (other, same) = (bound(2), bound(1));
        assert_eq!((other.decrypt(&ticket), other.taken.into_inner()), (None, false));
        assert_eq!((same.decrypt(&ticket), same.taken.into_inner()), (Some(b"session".to_vec()), true));
    }
}
