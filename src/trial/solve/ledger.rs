//! The runs of a search: how many there may be, what each one taught, and what need not be run again.

use std::collections::{BTreeMap, BTreeSet};

use super::oracle::{Bypass, Contact, Exclusion, Oracle};
use crate::journal::Diagnosis;
use crate::net::Host;

/// How much a search may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How often a run that failed is repeated, for commands that fail by chance. A failure for which no refusal is
    /// to be seen is repeated at least once.
    pub retries: u32,
    /// Runs in all.
    pub max_runs: u32,
}

/// One run, as it is told of.
#[derive(Clone, Debug)]
pub struct Run {
    /// From 1.
    pub number: u32,
    /// What it was for.
    pub purpose: Purpose,
    /// What was bypassed, as patterns; `*` is everything.
    pub bypassed: Vec<String>,
    /// Whether the command worked.
    pub worked: bool,
    /// How it ended.
    pub ended: String,
    /// The hosts whose forged certificate the client refused.
    pub refused: Vec<Host>,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Does it work with nothing inspected?
    EverythingBypassed,
    /// Does it fail with everything inspected?
    EverythingInspected,
    /// Does it work with what has been refused so far?
    Grow,
    /// Does it work with less?
    Reduce,
    /// Does it work with the list as it is to be written?
    Prove,
}

impl Purpose {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::EverythingBypassed => "everything-bypassed",
            Self::EverythingInspected => "everything-inspected",
            Self::Grow => "grow",
            Self::Reduce => "reduce",
            Self::Prove => "prove",
        }
    }
}

/// Why a search stops before its end.
#[derive(Debug)]
pub(super) enum Stop<E> {
    /// The runs are used up.
    OutOfRuns,
    /// A run could not be made.
    Oracle(E),
}

/// What the runs with one bypass list came to: the first that worked, or all that failed.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// Whether one of them worked.
    pub(super) worked: bool,
    /// Whether one of them failed.
    pub(super) failed: bool,
    /// The connections of the run that worked, or of all that failed.
    pub(super) contacts: Vec<Contact>,
    /// The last run.
    pub(super) last: u32,
    /// What the command said at the end of the last one.
    pub(super) said: Vec<String>,
    /// How the last one ended.
    pub(super) ended: String,
}

/// The best-founded diagnosis of a host's refusals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) run: u32,
    pub(super) diagnosis: Option<Diagnosis>,
}

/// Makes the runs and remembers them.
pub(super) struct Ledger<'a, O: Oracle> {
    oracle: &'a mut O,
    limits: Limits,
    on_run: &'a mut (dyn FnMut(&Run) + Send),
    pub(super) runs: Vec<Run>,
    /// Sets with which the command works.
    worked: Vec<BTreeSet<Exclusion>>,
    /// Sets with which it does not, with the last run that showed it.
    failed: Vec<(BTreeSet<Exclusion>, u32)>,
    /// What was refused where it was inspected.
    pub(super) refused: BTreeMap<Host, Refused>,
    /// Whether the same list failed and worked.
    pub(super) unsteady: bool,
}

impl<'a, O: Oracle> Ledger<'a, O> {
    pub(super) fn new(oracle: &'a mut O, limits: Limits, on_run: &'a mut (dyn FnMut(&Run) + Send)) -> Self {
        Self {
            oracle,
            limits,
            on_run,
            runs: Vec::new(),
            worked: Vec::new(),
            failed: Vec::new(),
            refused: BTreeMap::new(),
            unsteady: false,
        }
    }

    /// Runs the command until it works, as often as failures are repeated.
    pub(super) async fn attempt(&mut self, purpose: Purpose, bypass: &Bypass) -> Result<Attempt, Stop<O::Error>> {
        let mut contacts = Vec::new();
        let mut failures = 0;
        loop {
            if self.runs.len() >= self.limits.max_runs as usize {
                return Err(Stop::OutOfRuns);
            }
            let outcome = self.oracle.run(bypass).await.map_err(Stop::Oracle)?;
            let number = u32::try_from(self.runs.len()).unwrap_or(u32::MAX).saturating_add(1);
            let refused = self.note_refusals(number, &outcome.contacts);
            let run = Run {
                number,
                purpose,
                bypassed: patterns_of(bypass),
                worked: outcome.worked,
                ended: outcome.ended.clone(),
                refused,
            };
            (self.on_run)(&run);
            let explained = !run.refused.is_empty();
            self.runs.push(run);
            if outcome.worked {
                contacts = outcome.contacts;
            } else {
                contacts.extend(outcome.contacts);
                failures += 1;
                let repeats = if explained { self.limits.retries } else { self.limits.retries.max(1) };
                if failures <= repeats {
                    continue;
                }
            }
            self.unsteady |= outcome.worked && failures > 0;
            self.learn(bypass, outcome.worked, number);
            let (worked, failed) = (outcome.worked, failures > 0);
            return Ok(Attempt { worked, failed, contacts, last: number, said: outcome.said, ended: outcome.ended });
        }
    }

    /// Whether the command works with this set, as far as that follows from earlier runs: with more it works if it
    /// does with less, with less it fails if it does with more.
    pub(super) fn known(&self, set: &BTreeSet<Exclusion>) -> Option<bool> {
        if self.worked.iter().any(|worked| worked.is_subset(set)) {
            return Some(true);
        }
        self.failure_with(set).map(|_| false)
    }

    /// The run that shows that the command fails with this set.
    pub(super) fn failure_with(&self, set: &BTreeSet<Exclusion>) -> Option<u32> {
        self.failed.iter().find(|(failed, _)| set.is_subset(failed)).map(|(_, run)| *run)
    }

    /// The smallest set that is known to work.
    pub(super) fn smallest(&self) -> Option<&BTreeSet<Exclusion>> {
        self.worked.iter().min_by_key(|worked| worked.len())
    }

    fn learn(&mut self, bypass: &Bypass, worked: bool, run: u32) {
        let set = match bypass {
            Bypass::Nothing => BTreeSet::new(),
            Bypass::Only(set) => set.clone(),
            Bypass::List { .. } | Bypass::Everything => return,
        };
        if worked {
            self.worked.push(set);
        } else {
            self.failed.push((set, run));
        }
    }

    /// Keeps the surest diagnosis of each host, and says what was refused in this run.
    fn note_refusals(&mut self, run: u32, contacts: &[Contact]) -> Vec<Host> {
        let mut hosts = Vec::new();
        for contact in contacts.iter().filter(|contact| contact.is_refused()) {
            if !hosts.contains(&contact.host) {
                hosts.push(contact.host.clone());
            }
            let sureness = |diagnosis: &Option<Diagnosis>| diagnosis.as_ref().map(|diagnosis| diagnosis.confidence);
            let known = self.refused.get(&contact.host);
            if known.is_none_or(|known| sureness(&known.diagnosis) < sureness(&contact.diagnosis)) {
                let refused = Refused { run, diagnosis: contact.diagnosis.clone() };
                self.refused.insert(contact.host.clone(), refused);
            }
        }
        hosts
    }
}

fn patterns_of(bypass: &Bypass) -> Vec<String> {
    match bypass {
        Bypass::Nothing => Vec::new(),
        Bypass::Only(set) => set.iter().map(ToString::to_string).collect(),
        Bypass::List { entries, .. } => entries.clone(),
        Bypass::Everything => vec!["*".to_owned()],
    }
}
