//! A solution as a report.

use std::time::Duration;

use super::{Ending, Entry, Finding, Ground, Need, OverBroad, Run, Solution, Solved, Unsaid};
use crate::net::Host;
use crate::policy::Dialect;
use crate::report::{CauseView, EntryReport, NeedReport, OverBroadReport, RunLine, SolveReport, SolveResult};

impl Solution {
    /// What is told of it.
    #[must_use]
    pub fn report(self, command: Vec<String>, dialect: Dialect, duration: Duration) -> SolveReport {
        let runs = self.runs.len();
        let mut report = SolveReport {
            command,
            dialect: dialect.to_string(),
            result: SolveResult::Found,
            says: String::new(),
            list: Vec::new(),
            needed: Vec::new(),
            works_inspected: Vec::new(),
            over_broad: Vec::new(),
            said: Vec::new(),
            remarks: Vec::new(),
            runs: self.runs.iter().map(Run::told).collect(),
            duration,
        };
        report.take(self.finding, runs);
        if self.unsteady {
            let remark = "The command failed and worked with the same list: it is flaky, whatever inspects it. More \
                          --retries make the answer surer.";
            report.remarks.push(remark.to_owned());
        }
        report
    }
}

impl SolveReport {
    fn take(&mut self, finding: Finding, runs: usize) {
        let spent = if runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") };
        match finding {
            Finding::Found(solved) => self.take_list(solved, &spent),
            Finding::FailsBypassed(ending) => {
                self.says = format!(
                    "Inspection is not the problem, or not the only one: with everything bypassed the command fails, \
                     too ({}, run {}).",
                    ending.ended, ending.run
                );
                self.take_ending(SolveResult::FailsBypassed, ending);
                self.remarks.push("Run it without a middlebox first, and see what it says.".to_owned());
            }
            Finding::WorksInspected { contacted } => {
                self.result = SolveResult::WorksInspected;
                "Nothing has to be bypassed: the command works with everything inspected.".clone_into(&mut self.says);
                if contacted.is_empty() {
                    let remark = "Nothing arrived at the middlebox: the command does not use the proxy that its \
                                  environment names, or contacts no host. `middlebox exec -- COMMAND` says what to try.";
                    self.remarks.push(remark.to_owned());
                }
                self.works_inspected = texts(&contacted);
            }
            Finding::Flaky(ending) => {
                self.says = format!(
                    "The command is flaky: it works and fails with the same list (run {}), so nothing can be concluded.",
                    ending.run
                );
                self.take_ending(SolveResult::Flaky, ending);
                self.remarks.push("Give --retries N, so that each failure is looked at N times more.".to_owned());
            }
            Finding::NoListSuffices(ending) => {
                self.says = format!(
                    "No list was found: the command works with everything bypassed, and not with all hosts bypassed \
                     that it contacted ({}, run {}).",
                    ending.ended, ending.run
                );
                self.take_ending(SolveResult::NoListSuffices, ending);
            }
            Finding::NotInThisDialect { needed, unsaid, tried } => {
                self.result = SolveResult::NotInThisDialect;
                self.needed = needed.into_iter().map(Need::told).collect();
                self.says = format!("{} cannot say what is needed ({spent}).", self.dialect);
                self.remarks
                    .extend(unsaid.into_iter().map(|Unsaid { exclusion, reason }| format!("{exclusion}: {reason}")));
                if !tried.is_empty() {
                    self.remarks.push(format!("Tried, and not enough: {}", tried.join(", ")));
                }
                self.remarks.push("`--dialect middlebox` tells the list in this program's own dialect.".to_owned());
            }
            Finding::OutOfRuns { suffices } => {
                self.result = SolveResult::OutOfRuns;
                self.says = format!("The search ended early, after {spent}: give more with --max-runs.");
                if let Some(suffices) = suffices {
                    let hosts: Vec<_> = suffices.iter().map(ToString::to_string).collect();
                    let remark = format!("These suffice, perhaps with some that are not needed: {}", hosts.join(", "));
                    self.remarks.push(remark);
                }
            }
        }
    }

    fn take_list(&mut self, solved: Solved, spent: &str) {
        let entries =
            if solved.entries.len() == 1 { "1 entry".to_owned() } else { format!("{} entries", solved.entries.len()) };
        self.says = format!("It works with this bypass list: {entries} for {}, found in {spent}.", solved.dialect);
        if solved.is_about_trust() {
            let remark = "Every refusal is for want of trust in the inspection CA: that CA in the trust store that this \
                          client reads mends it without a list. Pins may come to light then.";
            self.remarks.push(remark.to_owned());
        }
        if !solved.discarded.is_empty() {
            let remark = format!("Shorter, and not enough in its run: {}", solved.discarded.join(", "));
            self.remarks.push(remark);
        }
        self.list = solved.entries.into_iter().map(Entry::told).collect();
        self.needed = solved.needed.into_iter().map(Need::told).collect();
        self.works_inspected = texts(&solved.spared);
        self.over_broad = solved.over_broad.into_iter().map(OverBroad::told).collect();
    }

    fn take_ending(&mut self, result: SolveResult, ending: Ending) {
        self.result = result;
        self.said = ending.said;
        if ending.contacted.is_empty() {
            self.remarks.push("Nothing had arrived at the middlebox by then.".to_owned());
        } else {
            self.remarks.push(format!("Contacted by then: {}", texts(&ending.contacted).join(", ")));
        }
    }
}

impl Run {
    /// What is told of it.
    #[must_use]
    pub fn told(&self) -> RunLine {
        RunLine {
            number: self.number,
            purpose: self.purpose.word().to_owned(),
            bypassed: self.bypassed.clone(),
            worked: self.worked,
            ended: self.ended.clone(),
            refused: texts(&self.refused),
        }
    }
}

impl Entry {
    fn told(self) -> EntryReport {
        let why = match &self.ground {
            Ground::Product(reason) => reason.clone(),
            Ground::Parent => format!("{} hosts of this domain need it", self.covers.len()),
            Ground::PassingNames => "the names below it are others in each run".to_owned(),
            Ground::Host => "this host needs it".to_owned(),
        };
        EntryReport {
            entry: self.entry,
            why,
            covers: self.covers.iter().map(ToString::to_string).collect(),
            domain: self.domain,
            also: texts(&self.also),
            standing: self.standing.as_str().to_owned(),
            advice: self.standing.advice().map(ToOwned::to_owned),
        }
    }
}

impl Need {
    fn told(self) -> NeedReport {
        NeedReport {
            host: self.exclusion.to_string(),
            refused_in_run: self.refused_in,
            cause: self.diagnosis.as_ref().map(CauseView::of),
            failed_without_in_run: self.failed_without,
        }
    }
}

impl OverBroad {
    fn told(self) -> OverBroadReport {
        OverBroadReport { pattern: self.pattern, also: texts(&self.also) }
    }
}

fn texts(hosts: &[Host]) -> Vec<String> {
    hosts.iter().map(ToString::to_string).collect()
}
