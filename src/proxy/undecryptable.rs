//! Sessions that a product cannot decrypt: what it does with them, and what some products learn of them, and of origins
//! that they do not trust.

use std::time::Instant;

use quick_cache::sync::Cache;
use tracing::info;

use super::Shared;
use super::observed::alert_in;
use super::upstream::UpstreamError;
use crate::authority::{Learning, Undecryptable, UndecryptableAction};
use crate::journal::{ClientCertificate, DecisionKind, Pen};
use crate::net::{ClientHello, Destination};

/// Hosts that are remembered at once.
const REMEMBERED: usize = 4096;

/// Alerts by which an origin says that versions or ciphers do not fit (RFC 8446, 6.2).
const DOES_NOT_FIT: [u8; 3] = [40, 70, 71];

/// Hosts that turned out to be undecryptable, where the product learns them (`--learn`).
#[derive(Debug)]
pub(crate) struct Learned {
    hosts: Cache<Destination, (Instant, String)>,
    /// None where nothing is learned.
    learning: Option<Learning>,
}

impl Learned {
    /// As the profile says, where learning was asked for.
    pub(crate) fn new(profile: &Undecryptable, asked_for: bool) -> Self {
        Self { hosts: Cache::new(REMEMBERED), learning: profile.learning.filter(|_| asked_for) }
    }

    /// Remembers that a host cannot be decrypted; says whether that is done here.
    pub(crate) fn learn(&self, host: &Destination, why: &str) -> bool {
        if self.learning.is_some() {
            info!(%host, why, "learned: bypassed from now on");
            self.hosts.insert(host.clone(), (Instant::now(), why.to_owned()));
        }
        self.learning.is_some()
    }

    /// Whether origins that do not verify are learned as well.
    pub(crate) fn takes_untrusted(&self) -> bool {
        self.learning.is_some_and(|learning| learning.untrusted)
    }

    /// Why a host is bypassed, where it was learned and not forgotten.
    pub(crate) fn recall(&self, host: &Destination) -> Option<String> {
        let keeps = self.learning?.keeps();
        let (since, why) = self.hosts.get(host)?;
        if keeps.is_some_and(|keeps| since.elapsed() >= keeps) {
            self.hosts.remove(host);
            return None;
        }
        Some(why)
    }
}

/// Why a client's session cannot be decrypted, as its hello shows.
pub(crate) fn by_hello(hello: &ClientHello) -> Option<String> {
    let highest = hello.versions.first().copied().unwrap_or("SSL 3.0");
    (!hello.offers_modern_tls()).then(|| format!("undecryptable: the client offers {highest} at most"))
}

/// Why an origin's session cannot be decrypted, as its refusal shows.
pub(crate) fn by_origin(error: &UpstreamError) -> Option<String> {
    match error {
        UpstreamError::Tls { said, does_not_fit: true, .. } => {
            Some(format!("undecryptable: the origin's TLS does not fit ({said})"))
        }
        UpstreamError::ClientCertificate { given: ClientCertificate::Missing, .. } => {
            Some("undecryptable: the origin asks for a client certificate".to_owned())
        }
        _ => None,
    }
}

/// Whether a failed handshake says that versions, ciphers or groups do not fit, rather than anything else.
pub(crate) fn does_not_fit(error: &std::io::Error) -> bool {
    if let Some(alert) = alert_in(error) {
        return DOES_NOT_FIT.contains(&alert);
    }
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::PeerIncompatible(_)))
}

/// Notes that a session was to be inspected and is passed through.
pub(crate) fn note_bypass(pen: &Pen, why: &str) {
    pen.note(|record| {
        if let Some(decision) = &mut record.decision {
            decision.action = DecisionKind::Bypass;
            why.clone_into(&mut decision.why);
        }
        record.notes.push(format!("bypassed: {why}"));
    });
}

/// Notes that a session cannot be decrypted, and remembers it where that is done; says whether it was.
pub(crate) fn learn(shared: &Shared, pen: &Pen, host: &Destination, why: &str) -> bool {
    let learns = shared.learned.learn(host, why);
    pen.note(|record| {
        record.notes.push(why.to_owned());
        if learns {
            record.notes.push(format!("learned: {host} is bypassed from now on"));
        }
    });
    learns
}

/// What the product does with a session that cannot be decrypted: whether it is passed through.
pub(crate) fn is_passed(shared: &Shared, pen: &Pen, host: &Destination, why: &str) -> bool {
    let profile = shared.authority.profile();
    let learns = learn(shared, pen, host, why);
    let Undecryptable { action, learning } = *profile.undecryptable();
    let action = learning.filter(|_| learns).map_or(action, |learning| learning.first);
    let passes = action == UndecryptableAction::Bypass;
    if passes {
        note_bypass(pen, &format!("{why}; {} passes such sessions through", profile.title()));
    }
    passes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learned_is_forgotten_after_its_time_and_only_where_it_was_asked_for() {
        let host: Destination = "a.example:443".parse().unwrap();
        let profile = |hours| Undecryptable {
            action: UndecryptableAction::Block,
            learning: Some(Learning { first: UndecryptableAction::Block, hours, untrusted: false }),
        };
        let learned = Learned::new(&profile(None), false);
        assert!(!learned.learn(&host, "why"));
        assert_eq!(learned.recall(&host), None);
        let learned = Learned::new(&profile(None), true);
        assert!(learned.learn(&host, "why"));
        assert_eq!(learned.recall(&host).as_deref(), Some("why"));
        let learned = Learned::new(&profile(Some(0)), true);
        assert!(learned.learn(&host, "why"));
        assert_eq!(learned.recall(&host), None);
    }
}
