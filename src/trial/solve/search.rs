//! The search: both ends, then up to a set that suffices, then down to one from which nothing can be spared.
//!
//! It takes for granted what holds for bypass lists as a rule: bypassing more does not break what worked. So a set
//! below one that fails need not be run, nor one above one that works.
//!
//! Its cost, for a command with n hosts: two runs for the ends, at most n to grow, at most 2n to reduce, and one to see
//! whether the command still works at all where no set does: 3n + 3 attempts, each of one run and its repetitions.

use std::collections::{BTreeSet, VecDeque};

use super::domain;
use super::ledger::{Attempt, Ledger, Purpose, Stop};
use super::oracle::{Bypass, Contact, Exclusion, Oracle};
use crate::journal::Outcome;
use crate::net::Host;

/// How many names of one domain have to come and go before the domain is taken for all of them.
const PASSING_NAMES: usize = 2;

/// What a search finds.
#[derive(Debug)]
pub(super) enum Found {
    /// The command works with these bypassed, and with none of them less.
    Smallest(Smallest),
    /// It does not work with everything bypassed, either.
    FailsBypassed(Attempt),
    /// It works with everything inspected. Says whether anything arrived at the proxy at all.
    WorksInspected(Attempt),
    /// The same list works and fails.
    Flaky(Attempt),
    /// It works with everything bypassed, and not with all hosts that were seen.
    NoListSuffices(Attempt),
}

#[derive(Debug)]
pub(super) struct Smallest {
    pub(super) exclusions: BTreeSet<Exclusion>,
    /// The connections of the run with just these bypassed.
    pub(super) contacts: Vec<Contact>,
}

/// A set that suffices.
struct Sufficient {
    /// Hosts that were refused: each is probably needed.
    likely: BTreeSet<Exclusion>,
    /// Hosts that were only seen: most are probably not.
    unlikely: BTreeSet<Exclusion>,
    contacts: Vec<Contact>,
}

impl<O: Oracle> Ledger<'_, O> {
    /// Finds the smallest set of exclusions with which the command works.
    pub(super) async fn search(&mut self) -> Result<Found, Stop<O::Error>> {
        let bypassed = self.attempt(Purpose::EverythingBypassed, &Bypass::Everything).await?;
        if !bypassed.worked {
            return Ok(Found::FailsBypassed(bypassed));
        }
        let inspected = self.attempt(Purpose::EverythingInspected, &Bypass::Nothing).await?;
        match (inspected.worked, inspected.failed) {
            (true, false) => return Ok(Found::WorksInspected(inspected)),
            (true, true) => return Ok(Found::Flaky(inspected)),
            (false, _) => {}
        }
        let sufficient = match self.grow(&bypassed.contacts, inspected).await? {
            Ok(sufficient) => sufficient,
            Err(last) => {
                let again = self.attempt(Purpose::EverythingBypassed, &Bypass::Everything).await?;
                return Ok(if again.failed { Found::Flaky(again) } else { Found::NoListSuffices(last) });
            }
        };
        self.reduce(sufficient).await.map(Found::Smallest)
    }

    /// Adds what the client refuses until it works; a host behind a refused one shows itself on the way. Where nothing
    /// more is refused, adds what did not go well otherwise, then everything that was seen.
    async fn grow(
        &mut self,
        bypassed: &[Contact],
        inspected: Attempt,
    ) -> Result<Result<Sufficient, Attempt>, Stop<O::Error>> {
        let (mut likely, mut unlikely) = (BTreeSet::new(), BTreeSet::new());
        let mut last = inspected;
        loop {
            let covered = |host: &Host| likely.iter().chain(&unlikely).any(|known: &Exclusion| known.covers(host));
            let fresh = |contacts: &[Contact], wanted: fn(&Contact) -> bool| {
                let wanted = contacts.iter().filter(|contact| wanted(contact)).flat_map(Contact::hosts);
                wanted.filter(|host| !covered(host)).cloned().collect::<BTreeSet<_>>()
            };
            let refused = fresh(&last.contacts, Contact::is_refused);
            if refused.is_empty() {
                let unwell = fresh(&last.contacts, |contact| contact.is_inspected() && !went_well(contact));
                let seen = || fresh(&last.contacts, Contact::can_be_inspected);
                let ever = || fresh(bypassed, Contact::can_be_inspected);
                let more = [Some(unwell), Some(seen()), Some(ever())].into_iter().flatten();
                let Some(more) = more.into_iter().find(|more| !more.is_empty()) else {
                    return Ok(Err(last));
                };
                unlikely.extend(more.into_iter().map(Exclusion::Host));
            } else {
                likely.extend(refused.into_iter().map(Exclusion::Host));
                merge_passing_names(&mut likely, &last.contacts);
            }
            let all: BTreeSet<_> = likely.union(&unlikely).cloned().collect();
            let attempt = self.attempt(Purpose::Grow, &Bypass::Only(all)).await?;
            if attempt.worked {
                return Ok(Ok(Sufficient { likely, unlikely, contacts: attempt.contacts }));
            }
            last = attempt;
        }
    }

    /// Takes away what is not needed. Hosts that were only seen are tried all at once, then by halves; those that were
    /// refused one by one.
    async fn reduce(&mut self, sufficient: Sufficient) -> Result<Smallest, Stop<O::Error>> {
        let Sufficient { likely, unlikely, mut contacts } = sufficient;
        let mut kept: BTreeSet<_> = likely.union(&unlikely).cloned().collect();
        let mut chunks: VecDeque<Vec<Exclusion>> = VecDeque::new();
        if !unlikely.is_empty() {
            chunks.push_back(unlikely.into_iter().collect());
        }
        chunks.extend(likely.into_iter().map(|one| vec![one]));
        while let Some(mut chunk) = chunks.pop_front() {
            let mut rest = kept.clone();
            rest.retain(|one| !chunk.contains(one));
            let works = match self.known(&rest) {
                Some(works) => works,
                None => {
                    let attempt = self.attempt(Purpose::Reduce, &Bypass::Only(rest.clone())).await?;
                    if attempt.worked {
                        contacts = attempt.contacts;
                    }
                    attempt.worked
                }
            };
            if works {
                kept = rest;
            } else if chunk.len() > 1 {
                let half = chunk.split_off(chunk.len() / 2);
                chunks.push_front(half);
                chunks.push_front(chunk);
            }
        }
        Ok(Smallest { exclusions: kept, contacts })
    }
}

/// Whether nothing speaks against the way in which an inspected connection went.
fn went_well(contact: &Contact) -> bool {
    matches!(contact.outcome, Outcome::Accepted | Outcome::Unused)
}

/// Where names of one domain were refused that the client asks for no more, and others in their place, they are
/// different in each run: the domain stands for all of them.
fn merge_passing_names(exclusions: &mut BTreeSet<Exclusion>, contacts: &[Contact]) {
    let is_in_use = |host: &Host| contacts.iter().any(|contact| contact.hosts().any(|used| used == host));
    let parents: BTreeSet<String> = exclusions
        .iter()
        .filter_map(|exclusion| match exclusion {
            Exclusion::Host(Host::Name(name)) => domain::parent(name).map(ToOwned::to_owned),
            Exclusion::Host(Host::Ip(_)) | Exclusion::Below(_) => None,
        })
        .collect();
    for parent in parents {
        let below = Exclusion::Below(parent.into());
        let gone = |exclusion: &&Exclusion| match exclusion {
            Exclusion::Host(host) => below.covers(host) && !is_in_use(host),
            Exclusion::Below(_) => false,
        };
        if exclusions.iter().filter(gone).count() >= PASSING_NAMES {
            exclusions.retain(|exclusion| !matches!(exclusion, Exclusion::Host(host) if below.covers(host)));
            exclusions.insert(below);
        }
    }
}
