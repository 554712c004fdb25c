//! The smallest bypass list with which a command works behind inspection.
//!
//! The search is told of runs by an [`Oracle`] and does no I/O of its own. First it proves both ends: with everything
//! bypassed the command works, with everything inspected it does not. Then it adds what the client refuses until the
//! command works, takes away what is not needed, writes what remains as a person would, in the dialect of a product,
//! and proves that list with a last run.

mod command;
mod domain;
mod generalise;
mod known;
mod ledger;
mod oracle;
mod report;
mod search;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use self::generalise::{Proposal, exact, generalise};
use self::ledger::{Attempt, Ledger, Stop};
use self::search::{Found, Smallest};
use crate::journal::{Cause, Diagnosis};
use crate::net::Host;
use crate::policy::Dialect;

pub use self::command::{CommandError, CommandOracle};
pub use self::generalise::{Entry, Ground, Known, OverBroad, Unsaid};
pub use self::known::known;
pub use self::ledger::{Limits, Purpose, Run};
pub use self::oracle::{Bypass, Contact, Exclusion, Oracle, RunOutcome};

/// What is to be found.
#[derive(Clone, Debug)]
pub struct Question {
    /// How the product reads the list.
    pub dialect: Dialect,
    /// What vendors ask to exclude.
    pub known: Vec<Known>,
    /// How much the search may cost.
    pub limits: Limits,
}

/// What was found, and what it cost.
#[derive(Clone, Debug)]
pub struct Solution {
    /// How it turned out.
    pub finding: Finding,
    /// Every run, in order.
    pub runs: Vec<Run>,
    /// Whether the command failed and worked with the same list, so that more repetitions are advised.
    pub unsteady: bool,
}

/// How a search turned out.
#[derive(Clone, Debug)]
pub enum Finding {
    /// A list with which it works, and from which nothing can be spared.
    Found(Solved),
    /// It fails with everything bypassed, too: something else is in the way.
    FailsBypassed(Ending),
    /// It works with everything inspected: no list is needed.
    WorksInspected {
        /// The hosts that it contacted; with none, it did not use the proxy.
        contacted: Vec<Host>,
    },
    /// It works and fails with the same list.
    Flaky(Ending),
    /// It works with everything bypassed, and not with all hosts bypassed that were seen.
    NoListSuffices(Ending),
    /// The hosts are known, but no list in the dialect does what is needed.
    NotInThisDialect {
        /// What has to be excluded.
        needed: Vec<Need>,
        /// What the dialect cannot say.
        unsaid: Vec<Unsaid>,
        /// The entries that were tried.
        tried: Vec<String>,
    },
    /// The runs were used up.
    OutOfRuns {
        /// The smallest set that is known to suffice, if any is; perhaps not everything in it is needed.
        suffices: Option<Vec<Exclusion>>,
    },
}

/// A list that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solved {
    /// How it is to be read.
    pub dialect: Dialect,
    /// The list.
    pub entries: Vec<Entry>,
    /// What it rests on: each host that has to be excluded.
    pub needed: Vec<Need>,
    /// Hosts that were contacted and work inspected.
    pub spared: Vec<Host>,
    /// Wider patterns that suggest themselves, with what speaks against them.
    pub over_broad: Vec<OverBroad>,
    /// A wider list that did not work in the last run, where exact entries took its place.
    pub discarded: Vec<String>,
}

/// Something that has to be excluded, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// What.
    pub exclusion: Exclusion,
    /// The run in which the command failed for want of it.
    pub failed_without: Option<u32>,
    /// The run in which the client refused it.
    pub refused_in: Option<u32>,
    /// Why it refused, as far as that could be told.
    pub diagnosis: Option<Diagnosis>,
}

/// The end of a run that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The run.
    pub run: u32,
    /// How it ended: `exit 1`.
    pub ended: String,
    /// The last lines that the command said.
    pub said: Vec<String>,
    /// The hosts that it had contacted.
    pub contacted: Vec<Host>,
}

impl Solution {
    /// The list, if one was found.
    #[must_use]
    pub fn solved(&self) -> Option<&Solved> {
        match &self.finding {
            Finding::Found(solved) => Some(solved),
            _ => None,
        }
    }
}

impl Solved {
    /// Whether every refusal is, or may be, one of the CA alone: then trust would mend it, and no list is needed.
    #[must_use]
    pub fn is_about_trust(&self) -> bool {
        let untrusted =
            |need: &Need| need.diagnosis.as_ref().is_some_and(|diagnosis| diagnosis.cause == Cause::UntrustedCa);
        self.needed.iter().all(untrusted)
    }
}

/// Finds the smallest bypass list. `on_run` hears of each run as it ends.
///
/// # Errors
/// A run could not be made.
pub async fn solve<O: Oracle>(
    oracle: &mut O,
    question: &Question,
    on_run: &mut (dyn FnMut(&Run) + Send),
) -> Result<Solution, O::Error> {
    let mut ledger = Ledger::new(oracle, question.limits, on_run);
    let finding = match find(&mut ledger, question).await {
        Ok(finding) => finding,
        Err(Stop::Oracle(error)) => return Err(error),
        Err(Stop::OutOfRuns) => {
            let suffices = ledger.smallest().map(|set| set.iter().cloned().collect());
            Finding::OutOfRuns { suffices }
        }
    };
    Ok(Solution { finding, unsteady: ledger.unsteady, runs: ledger.runs })
}

async fn find<O: Oracle>(ledger: &mut Ledger<'_, O>, question: &Question) -> Result<Finding, Stop<O::Error>> {
    let Smallest { exclusions, contacts } = match ledger.search().await? {
        Found::Smallest(smallest) => smallest,
        Found::FailsBypassed(attempt) => return Ok(Finding::FailsBypassed(attempt.into())),
        Found::WorksInspected(attempt) => {
            return Ok(Finding::WorksInspected { contacted: hosts(&attempt.contacts) });
        }
        Found::Flaky(attempt) => return Ok(Finding::Flaky(attempt.into())),
        Found::NoListSuffices(attempt) => return Ok(Finding::NoListSuffices(attempt.into())),
    };
    let needed: Vec<_> = exclusions.iter().map(|exclusion| ledger.need(exclusion, &exclusions)).collect();
    let inspected = contacts.iter().filter(|contact| contact.is_inspected());
    let spared: BTreeSet<_> = inspected.map(|contact| contact.host.clone()).collect();

    let general = generalise(&exclusions, &spared, &question.known, question.dialect);
    let plain = exact(&exclusions, &spared, question.dialect);
    let mut discarded: Vec<String> = Vec::new();
    for proposal in [general, plain] {
        let entries: Vec<_> = proposal.entries.iter().map(|entry| entry.entry.clone()).collect();
        if !proposal.unsaid.is_empty() || entries == discarded {
            let unsaid = proposal.unsaid;
            return Ok(Finding::NotInThisDialect { needed, unsaid, tried: discarded });
        }
        if !ledger.proves(question.dialect, &entries, &exclusions).await? {
            discarded = entries;
            continue;
        }
        let Proposal { entries, over_broad, .. } = proposal;
        // What the list bypasses besides is said with its entry.
        let spared = spared.into_iter().filter(|host| !entries.iter().any(|entry| entry.also.contains(host))).collect();
        let dialect = question.dialect;
        return Ok(Finding::Found(Solved { dialect, entries, needed, spared, over_broad, discarded }));
    }
    Ok(Finding::NotInThisDialect { needed, unsaid: Vec::new(), tried: discarded })
}

impl<O: Oracle> Ledger<'_, O> {
    /// Whether the command works with this list. No run is needed where the list is what was run already.
    async fn proves(
        &mut self,
        dialect: Dialect,
        entries: &[String],
        exclusions: &BTreeSet<Exclusion>,
    ) -> Result<bool, Stop<O::Error>> {
        let written: BTreeSet<_> = entries.iter().cloned().collect();
        let shown: BTreeSet<_> = exclusions.iter().map(ToString::to_string).collect();
        if dialect == Dialect::MIDDLEBOX && written == shown {
            return Ok(true);
        }
        let bypass = Bypass::List { dialect, entries: entries.to_vec() };
        Ok(self.attempt(Purpose::Prove, &bypass).await?.worked)
    }

    /// How it is known that this one of the smallest set is needed.
    fn need(&self, exclusion: &Exclusion, smallest: &BTreeSet<Exclusion>) -> Need {
        let mut others = smallest.clone();
        others.remove(exclusion);
        let sureness = |diagnosis: &Option<Diagnosis>| diagnosis.as_ref().map(|diagnosis| diagnosis.confidence);
        let refused = self.refused.iter().filter(|(host, _)| exclusion.covers(host)).map(|(_, refused)| refused);
        let refused = refused.max_by_key(|refused| sureness(&refused.diagnosis));
        Need {
            exclusion: exclusion.clone(),
            failed_without: self.failure_with(&others),
            refused_in: refused.map(|refused| refused.run),
            diagnosis: refused.and_then(|refused| refused.diagnosis.clone()),
        }
    }
}

impl From<Attempt> for Ending {
    fn from(attempt: Attempt) -> Self {
        let Attempt { last, ended, said, contacts, .. } = attempt;
        Self { run: last, ended, said, contacted: hosts(&contacts) }
    }
}

/// The hosts, each once, in the order in which they were contacted.
fn hosts(contacts: &[Contact]) -> Vec<Host> {
    let mut hosts = Vec::new();
    for contact in contacts {
        if !hosts.contains(&contact.host) {
            hosts.push(contact.host.clone());
        }
    }
    hosts
}
