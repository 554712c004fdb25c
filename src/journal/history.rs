//! What the same client did before and after: one connection often cannot tell a pin from an untrusted CA, a second
//! one can. A verdict that was given stays open to revision: what a client does later speaks of what it did before.
//!
//! Nothing here reads a clock or a socket: moments are durations since the journal began, and are handed in.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::diagnosis::{Case, diagnose};
use super::{Cause, ClientProcess, Diagnosis, Signature};

/// What makes two connections the same client's: its device where it names one, else its TLS stack and User-Agent from
/// one address. Another trust store in the same process has another stack, so the address alone is never enough.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// The device that the client named.
    Device(String),
    /// Address, stack ([`crate::net::ClientHello::stack`]) and User-Agent.
    Stack(std::net::IpAddr, String, Option<String>),
}

/// One connection, as far as a history has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The record's id.
    pub id: u64,
    /// The host that it was for.
    pub host: String,
    /// The program that opened it, where that is known: two programs with one TLS stack may well trust differently.
    pub process: Option<ClientProcess>,
    /// The serial number of the certificate that the client was shown.
    pub serial: Option<String>,
    /// When it was opened, since the journal began.
    pub opened: Duration,
    /// When it was accepted or refused.
    pub at: Duration,
}

/// A verdict on a connection that looked like a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was one.
    Refused(Diagnosis),
    /// It was none: the client opened it ahead, and used another one to the same host, with this id.
    Unused(u64),
}

/// A verdict that replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The record's id.
    pub id: u64,
    /// What is concluded now.
    pub verdict: Verdict,
    /// The connection that decided it.
    pub by: u64,
}

/// What one client did with our certificates, under one CA.
#[derive(Clone, Debug, Default)]
pub struct History {
    accepted: HashMap<String, Acceptance>,
    cases: VecDeque<Judged>,
    passed: HashMap<String, u64>,
    probed: HashSet<String>,
    trusts_inspection_ca: Option<bool>,
    /// When a host was accepted that had been refused just before: something changed then.
    turns: VecDeque<Duration>,
    knows_48: Option<Sighting>,
}

/// The first and the last time that a host was accepted.
#[derive(Clone, Debug)]
struct Acceptance {
    first: Sighting,
    last: Sighting,
    /// It was refused before that: somebody was asked and said "go on", or the client was given the CA, or another
    /// part of it does not pin. What it says of other hosts is not clear.
    after_refusal: bool,
}

/// A refusal with the verdict that stands.
#[derive(Clone, Debug)]
struct Judged {
    case: Case,
    verdict: Diagnosis,
}

/// Hosts remembered per client and kind.
const MAX_HOSTS: usize = 256;

/// Refusals per client that later connections can still revise.
const MAX_CASES: usize = 64;

/// Without knowing that both are one process, what a client accepts later speaks of an earlier refusal for this long:
/// after it, somebody may have given it the CA.
const SETTLES: Duration = Duration::from_secs(60);

impl Sighting {
    fn same_process(&self, other: &Self) -> bool {
        matches!((&self.process, &other.process), (Some(one), Some(two)) if one.pid == two.pid)
    }

    /// Whether another program opened it, for all that is known.
    pub(super) fn is_strange_to(&self, other: &Self) -> bool {
        matches!((&self.process, &other.process), (Some(one), Some(two)) if one.program != two.program)
    }
}

impl History {
    /// The client sent application data over our certificate. Says which earlier verdicts that changes.
    pub fn accepted(&mut self, now: Sighting) -> Vec<Revision> {
        let mut revisions = self.unused_beside(&now);
        let refusals = self.cases.iter().map(|judged| &judged.case.seen);
        let refusals = refusals.filter(|seen| seen.host == now.host && !seen.is_strange_to(&now));
        let last_refusal = refusals.map(|seen| seen.at).max();
        let last_acceptance = self.accepted.get(&now.host).map(|acceptance| acceptance.last.at);
        let refused_before = last_refusal.is_some();
        if last_refusal > last_acceptance {
            if self.turns.len() >= MAX_CASES {
                self.turns.pop_front();
            }
            self.turns.push_back(now.at);
        }
        let by = now.id;
        let mut news = refused_before || !revisions.is_empty();
        if let Some(known) = self.accepted.get_mut(&now.host) {
            news |= known.last.process != now.process;
            known.last = now;
        } else if self.accepted.len() < MAX_HOSTS {
            news = true;
            let first = now.clone();
            self.accepted.insert(now.host.clone(), Acceptance { first, last: now, after_refusal: refused_before });
        }
        // Most acceptances say nothing new, and cost next to nothing.
        if news {
            revisions.extend(self.review(by));
        }
        revisions
    }

    /// The client refused our certificate. Gives the verdict on that, and says which earlier ones it changes.
    pub fn refused(&mut self, case: Case) -> (Verdict, Vec<Revision>) {
        let by = case.seen.id;
        if let Some(used) = self.used_beside(&case) {
            return (Verdict::Unused(used), Vec::new());
        }
        if !case.is_about_certificates() {
            return (Verdict::Refused(diagnose(&case, self)), Vec::new());
        }
        if case.audit.by_inspection_ca && matches!(case.refusal.signature, Signature::Alert { number: 48, .. }) {
            self.knows_48 = Some(case.seen.clone());
        }
        if self.cases.len() >= MAX_CASES {
            self.cases.pop_front();
        }
        // It counts among the refusals that its own diagnosis looks at, as it does in every later review.
        let unsettled = Diagnosis::default();
        self.cases.push_back(Judged { case, verdict: unsettled });
        let revisions: Vec<_> = self.review(by).into_iter().filter(|revision| revision.id != by).collect();
        let verdict = self.cases.back().map(|judged| judged.verdict.clone()).unwrap_or_default();
        (Verdict::Refused(verdict), revisions)
    }

    /// The client used the genuine certificate of a host, past us, on connection `id`. Says which earlier verdicts that
    /// changes.
    pub fn passed(&mut self, host: &str, id: u64) -> Vec<Revision> {
        if self.passed.len() < MAX_HOSTS || self.passed.contains_key(host) {
            self.passed.insert(host.to_owned(), id);
        }
        self.review(id)
    }

    /// The refusal of this host that one connection past us would say more about, if there is one: each host is tried
    /// once. Asked as a connection to it begins, which is then to be passed through.
    pub fn probe(&mut self, now: &Sighting) -> Option<u64> {
        let open = |judged: &&Judged| {
            let seen = &judged.case.seen;
            judged.verdict.cause == Cause::Ambiguous && seen.host == now.host && !seen.is_strange_to(now)
        };
        let id = self.cases.iter().rev().find(open)?.case.seen.id;
        let first = self.probed.len() < MAX_HOSTS && self.probed.insert(now.host.clone());
        first.then_some(id)
    }

    /// What is known of the device's trust store from its owner: a lab that put the inspection CA into it, or took
    /// it out, says so. What was refused or accepted under the other trust is forgotten, but for alerts seen, which
    /// tell how this client speaks.
    pub fn set_trusts_inspection_ca(&mut self, trusts: Option<bool>) {
        if self.trusts_inspection_ca != trusts {
            self.trusts_inspection_ca = trusts;
            self.accepted.clear();
            self.cases.clear();
            self.passed.clear();
            self.probed.clear();
            self.turns.clear();
        }
    }

    /// Whether the client has accepted this very certificate; another program with its TLS stack is another client.
    #[must_use]
    pub fn has_accepted(&self, now: &Sighting) -> bool {
        let known = self.accepted.get(&now.host).map(|acceptance| &acceptance.last);
        known.is_some_and(|last| last.serial.is_some() && last.serial == now.serial && !last.is_strange_to(now))
    }

    /// Earlier refusals, without an alert, of a client that uses another connection to the same host, opened before it
    /// left the first: browsers open several and keep one.
    fn unused_beside(&mut self, now: &Sighting) -> Vec<Revision> {
        let beside = |case: &Case| {
            let seen = &case.seen;
            // One after the other may as well be two clients of one program, the first of which pins.
            let together = now.opened <= seen.at;
            case.is_silent() && seen.host == now.host && !seen.is_strange_to(now) && together
        };
        let (unused, kept): (VecDeque<_>, VecDeque<_>) = self.cases.drain(..).partition(|judged| beside(&judged.case));
        self.cases = kept;
        unused
            .into_iter()
            .map(|judged| Revision { id: judged.case.seen.id, verdict: Verdict::Unused(now.id), by: now.id })
            .collect()
    }

    /// The connection to the same host over which the client sent its first data while this one was open.
    fn used_beside(&self, case: &Case) -> Option<u64> {
        let acceptance = self.accepted.get(&case.seen.host)?;
        let beside = |used: &&Sighting| !used.is_strange_to(&case.seen) && used.at >= case.seen.opened;
        [&acceptance.first, &acceptance.last].into_iter().find(beside).map(|used| used.id).filter(|_| case.is_silent())
    }

    /// Judges every case anew. What differs only in the words of its evidence is no revision.
    fn review(&mut self, by: u64) -> Vec<Revision> {
        let verdicts: Vec<_> = self.cases.iter().map(|judged| diagnose(&judged.case, self)).collect();
        let mut revisions = Vec::new();
        for (judged, verdict) in self.cases.iter_mut().zip(verdicts) {
            if !judged.verdict.says_the_same(&verdict) {
                let id = judged.case.seen.id;
                revisions.push(Revision { id, verdict: Verdict::Refused(verdict.clone()), by });
                judged.verdict = verdict;
            }
        }
        revisions
    }

    // ---- what it says of one case ---------------------------------------------------------------------------------

    /// A sentence why the inspection CA cannot be what this client objects to, if something says so.
    pub(super) fn refutes_untrusted_ca(&self, case: &Case) -> Option<String> {
        if !case.audit.by_inspection_ca {
            return None;
        }
        if self.trusts_inspection_ca == Some(true) {
            return Some("the trust store of this client's device holds the inspection CA".to_owned());
        }
        let seen = &case.seen;
        let speaks = |acceptance: &&Acceptance| {
            let first = &acceptance.first;
            let other = first.host != seen.host && !first.is_strange_to(seen) && !acceptance.after_refusal;
            let one_process = first.same_process(seen) || acceptance.last.same_process(seen);
            // An alert 48 says for itself what another process, with another trust store, cannot take back.
            let explains_itself = matches!(case.refusal.signature, Signature::Alert { number: 48, .. });
            let before = first.at <= seen.at && (!explains_itself || one_process || seen.process.is_none());
            let unturned = !self.turns.iter().any(|turn| seen.at < *turn && *turn <= first.at);
            let soon = first.at.saturating_sub(seen.at) <= SETTLES && !explains_itself;
            other && (before || one_process || (soon && unturned))
        };
        if let Some(acceptance) = self.accepted.values().filter(speaks).max_by_key(|acceptance| acceptance.last.id) {
            let Sighting { host, id, .. } = &acceptance.last;
            return Some(format!("the same client accepted the same CA for {host} (connection {id})"));
        }
        match (case.refusal.signature, &self.knows_48) {
            (Signature::Alert { number: 42 | 46, .. }, Some(said))
                if self.trusts_inspection_ca != Some(false) && !said.is_strange_to(seen) =>
            {
                Some(format!(
                    "the same client says an unknown CA with alert 48 (connection {}); this is another",
                    said.id
                ))
            }
            _ => None,
        }
    }

    /// A sentence why the inspection CA is most likely what this client objects to, if something says so, and whether
    /// it is sure: hosts of one domain may well be pinned together.
    pub(super) fn suggests_untrusted_ca(&self, case: &Case) -> Option<(String, bool)> {
        if self.trusts_inspection_ca == Some(false) {
            let why = "the trust store of this client's device does not hold the inspection CA";
            return Some((why.to_owned(), true));
        }
        if !case.audit.by_inspection_ca {
            // What it said of one CA tells nothing of another.
            return None;
        }
        let seen = &case.seen;
        if self.accepted.values().any(|acceptance| !acceptance.first.is_strange_to(seen)) {
            return None;
        }
        let judged = self.cases.iter().map(|judged| &judged.case);
        let refused = judged.filter(|other| other.audit.by_inspection_ca && !other.seen.is_strange_to(seen));
        let mut others: Vec<_> =
            refused.map(|other| other.seen.host.as_str()).filter(|host| *host != seen.host).collect();
        others.sort_unstable();
        others.dedup();
        let related = others.iter().all(|other| domain(other) == domain(&seen.host));
        let why = match others[..] {
            [] => return None,
            [one] => format!("the same client refused the same CA for {one} too, and accepted it nowhere"),
            [one, ..] => format!(
                "the same client refused the same CA for {one} and {} more, and accepted it nowhere",
                others.len() - 1
            ),
        };
        let doubt = if related { "; one that pins all of them looks the same" } else { "" };
        Some((format!("{why}{doubt}"), !related))
    }

    /// The connection over which the client used the genuine certificate of the host, if it did.
    pub(super) fn passed_by(&self, host: &str) -> Option<u64> {
        self.passed.get(host).copied()
    }

    /// How the client took this host on its other connections.
    pub(super) fn pattern(&self, case: &Case) -> Pattern {
        let judged = self.cases.iter().map(|judged| &judged.case);
        let alike = judged.filter(|other| other.seen.host == case.seen.host && !other.seen.is_strange_to(&case.seen));
        let (same, different): (Vec<_>, Vec<_>) =
            alike.partition(|other| other.refusal.signature == case.refusal.signature);
        let accepted = self.accepted.get(&case.seen.host);
        let accepted = accepted.is_some_and(|acceptance| acceptance.last.same_process(&case.seen));
        if accepted || !different.is_empty() { Pattern::Mixed } else { Pattern::Equal(same.len()) }
    }
}

/// How one client took one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Always with the same refusal, so many times.
    Equal(usize),
    /// Now so, now otherwise.
    Mixed,
}

/// The last two labels, which is about as much as hosts that are pinned together share.
fn domain(host: &str) -> &str {
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    match (dots.next(), dots.next()) {
        (Some(_), Some(second)) => &host[second + 1..],
        _ => host,
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
