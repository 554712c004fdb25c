//! The search against clients that are made of rules: what it finds is what the rules say, at a bounded cost.

use std::collections::BTreeSet;
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::journal::{Confidence, DecisionKind, Outcome};

/// A client that goes through its steps.
#[derive(Clone, Debug, Default)]
struct Client {
    steps: Vec<Step>,
    /// Whether it ends at the first step that goes wrong.
    stops: bool,
    /// The runs, from 1, that fail for no reason.
    unlucky: BTreeSet<u32>,
    /// Whether it fails whatever is bypassed.
    broken: bool,
    runs: u32,
}

#[derive(Clone, Debug)]
struct Step {
    host: String,
    judges: Judges,
    /// Whether the client fails without it.
    vital: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judges {
    /// It takes any certificate that chains to a root that it trusts.
    Chain,
    /// It refuses a forged one.
    Pin,
    /// It says nothing, and its origin does not answer what was inspected.
    Quietly,
    /// As `Pin`, under another name in each run.
    PassingPin,
}

impl Client {
    fn of(steps: &[(&str, Judges)]) -> Self {
        let step = |(host, judges): &(&str, Judges)| Step { host: (*host).to_owned(), judges: *judges, vital: true };
        Self { steps: steps.iter().map(step).collect(), stops: true, ..Self::default() }
    }

    fn needs(&self) -> BTreeSet<String> {
        let need = |step: &&Step| step.vital && step.judges != Judges::Chain;
        self.steps.iter().filter(need).map(|step| step.host.clone()).collect()
    }
}

impl Oracle for Client {
    type Error = Infallible;

    async fn run(&mut self, bypass: &Bypass) -> Result<RunOutcome, Infallible> {
        self.runs += 1;
        let mut outcome = RunOutcome { worked: !self.broken, ended: "exit".into(), ..RunOutcome::default() };
        if self.unlucky.contains(&self.runs) {
            outcome.worked = false;
            return Ok(outcome);
        }
        for step in &self.steps {
            let host = match step.judges {
                Judges::PassingPin => Host::parse(&format!("r{}.{}", self.runs, step.host)).unwrap(),
                _ => Host::parse(&step.host).unwrap(),
            };
            let bypassed = match bypass {
                Bypass::Nothing => false,
                Bypass::Only(set) => set.iter().any(|exclusion| exclusion.covers(&host)),
                Bypass::List { dialect, entries } => {
                    entries.iter().any(|entry| dialect.reach(entry, &host.to_string()).is_some())
                }
                Bypass::Everything => true,
            };
            let (decision, result) = match (bypassed, step.judges) {
                (true, _) => (DecisionKind::Bypass, Outcome::Bypassed),
                (false, Judges::Chain | Judges::Quietly) => (DecisionKind::Inspect, Outcome::Accepted),
                (false, Judges::Pin | Judges::PassingPin) => (DecisionKind::Inspect, Outcome::Refused),
            };
            let diagnosis = (result == Outcome::Refused).then(|| Diagnosis {
                cause: Cause::PinMismatch,
                candidates: vec![Cause::PinMismatch],
                confidence: Confidence::High,
                evidence: Vec::new(),
            });
            outcome.contacts.push(Contact {
                host,
                destination: None,
                decision: Some(decision),
                outcome: result,
                diagnosis,
            });
            if !bypassed && step.judges != Judges::Chain && step.vital {
                outcome.worked = false;
                if self.stops {
                    break;
                }
            }
        }
        Ok(outcome)
    }
}

fn question(retries: u32) -> Question {
    Question { dialect: Dialect::MIDDLEBOX, known: Vec::new(), limits: Limits { retries, max_runs: 1_000 } }
}

fn answer(client: &mut Client, question: &Question) -> Solution {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut heard = 0;
    let mut on_run = |_: &Run| heard += 1;
    let solution = match runtime.block_on(solve(client, question, &mut on_run)) {
        Ok(solution) => solution,
        Err(never) => match never {},
    };
    assert_eq!((solution.runs.len(), solution.runs.len()), (heard, client.runs as usize));
    solution
}

fn list(solution: &Solution) -> Vec<&str> {
    let solved = solution.solved().unwrap_or_else(|| panic!("{:?}", solution.finding));
    solved.entries.iter().map(|entry| entry.entry.as_str()).collect()
}

fn needed(solution: &Solution) -> BTreeSet<String> {
    let solved = solution.solved().unwrap_or_else(|| panic!("{:?}", solution.finding));
    solved.needed.iter().map(|need| need.exclusion.to_string()).collect()
}

use Judges::{Chain, PassingPin, Pin, Quietly};

#[test]
fn one_pinned_host_of_five_takes_three_runs() {
    let hosts =
        [("a.one.com", Chain), ("b.two.com", Chain), ("c.three.com", Pin), ("d.four.com", Chain), ("e.org", Chain)];
    let mut client = Client::of(&hosts);
    let solution = answer(&mut client, &question(0));
    assert_eq!((list(&solution), client.runs), (vec!["c.three.com"], 3));
    let solved = solution.solved().unwrap();
    assert_eq!(solved.spared.len(), 4);
    let need = &solved.needed[0];
    assert_eq!((need.refused_in, need.failed_without), (Some(2), Some(2)));
    assert_eq!(need.diagnosis.as_ref().unwrap().cause, Cause::PinMismatch);
}

#[test]
fn hosts_behind_a_refused_one_are_found_as_they_appear() {
    let mut client = Client::of(&[("a.one.com", Pin), ("b.two.com", Chain), ("c.three.com", Pin), ("d.four.com", Pin)]);
    let solution = answer(&mut client, &question(0));
    assert_eq!(list(&solution), ["a.one.com", "c.three.com", "d.four.com"]);
    // Both ends, three to grow, and two to see that the first two are still needed: the third is known to be.
    assert_eq!(client.runs, 7);
}

#[test]
fn a_refusal_that_does_not_matter_is_left_out() {
    let mut client = Client::of(&[("telemetry.one.com", Pin), ("b.two.com", Pin)]);
    client.steps[0].vital = false;
    let solution = answer(&mut client, &question(0));
    assert_eq!(list(&solution), ["b.two.com"]);
    assert_eq!(solution.solved().unwrap().spared, [Host::parse("telemetry.one.com").unwrap()]);
}

#[test]
fn a_host_that_refuses_nothing_is_found_among_those_that_were_seen() {
    let mut hosts: Vec<_> = (0..16).map(|n| (format!("h{n}.site{n}.com"), Chain)).collect();
    hosts[11].1 = Quietly;
    let hosts: Vec<_> = hosts.iter().map(|(host, judges)| (host.as_str(), *judges)).collect();
    let mut client = Client::of(&hosts);
    let solution = answer(&mut client, &question(0));
    assert_eq!(list(&solution), ["h11.site11.com"]);
    assert!(client.runs < 30, "{} runs", client.runs);
}

#[test]
fn names_that_are_others_in_each_run_are_one_domain() {
    let mut client = Client::of(&[("a.one.com", Chain), ("cdn.two.com", PassingPin)]);
    let solution = answer(&mut client, &question(0));
    assert_eq!(list(&solution), ["*.cdn.two.com"]);
    assert_eq!(solution.solved().unwrap().entries[0].ground, Ground::PassingNames);
}

#[test]
fn what_is_no_inspection_problem_is_said() {
    let mut broken = Client { broken: true, ..Client::of(&[("a.one.com", Pin)]) };
    assert!(matches!(answer(&mut broken, &question(0)).finding, Finding::FailsBypassed(ending) if ending.run == 2));
    let mut easy = Client::of(&[("a.one.com", Chain)]);
    let finding = answer(&mut easy, &question(0)).finding;
    assert!(matches!(finding, Finding::WorksInspected { contacted } if contacted.len() == 1));
}

#[test]
fn a_flaky_command_is_called_so_and_solved_with_repetitions() {
    // It fails by chance where it is to fail, once: with everything inspected it fails and works.
    let mut client = Client { unlucky: [2].into(), ..Client::of(&[("a.one.com", Chain)]) };
    assert!(matches!(answer(&mut client, &question(0)).finding, Finding::Flaky(_)));
    let steps = [("a.one.com", Pin), ("b.two.com", Chain), ("c.three.com", Pin)];
    let mut client = Client { unlucky: [1, 4, 6, 8].into(), ..Client::of(&steps) };
    let solution = answer(&mut client, &question(1));
    assert_eq!(list(&solution), ["a.one.com", "c.three.com"]);
    assert!(solution.unsteady);
}

#[test]
fn when_the_runs_are_used_up_what_suffices_is_told() {
    let mut client = Client::of(&[("a.one.com", Pin), ("b.two.com", Pin), ("c.three.com", Pin)]);
    client.stops = false;
    let mut question = question(0);
    question.limits.max_runs = 4;
    let finding = answer(&mut client, &question).finding;
    let Finding::OutOfRuns { suffices: Some(suffices) } = finding else { panic!("{finding:?}") };
    assert_eq!(suffices.len(), 3);
}

#[test]
fn the_list_is_proven_in_the_dialect() {
    let mut client = Client::of(&[("acme.okta.com", Pin), ("acme.mtls.okta.com", Pin)]);
    let known = Known { reason: "Okta".into(), pattern: Dialect::MIDDLEBOX.parse("*.okta.com").unwrap() };
    let dialect = "pan-os-exclusion".parse().unwrap();
    let solution = answer(&mut client, &Question { dialect, known: vec![known], ..question(0) });
    assert_eq!(list(&solution), ["*.mtls.okta.com", "*.okta.com"]);
    let last = solution.runs.last().unwrap();
    assert_eq!((last.purpose, last.worked), (Purpose::Prove, true));
}

fn clients() -> impl Strategy<Value = Client> {
    let judges = prop_oneof![4 => Just(Chain), 3 => Just(Pin), 1 => Just(Quietly)];
    let step = (0..12_usize, 0..4_usize, judges, prop::bool::weighted(0.8));
    (prop::collection::vec(step, 1..14), any::<bool>()).prop_map(|(steps, stops)| {
        let mut seen = BTreeSet::new();
        let steps = steps.into_iter().filter_map(|(host, domain, judges, vital)| {
            let host = format!("h{host}.site{domain}.com");
            seen.insert(host.clone()).then_some(Step { host, judges, vital })
        });
        Client { steps: steps.collect(), stops, ..Client::default() }
    })
}

proptest! {
    #[test]
    fn the_result_works_is_minimal_and_bounded(client in clients()) {
        let mut asked = client.clone();
        let solution = answer(&mut asked, &question(0));
        if client.needs().is_empty() {
            let works = matches!(solution.finding, Finding::WorksInspected { .. });
            prop_assert!(works, "{:?}", solution.finding);
        } else {
            prop_assert_eq!(needed(&solution), client.needs());
            // As the search states it, with the repetitions of what no refusal explains.
            let hosts = client.steps.len();
            let attempts = 3 * hosts + 3 + 2;
            prop_assert!(asked.runs as usize <= 2 * attempts, "{} runs for {hosts} hosts", asked.runs);
        }
    }

    #[test]
    fn single_mishaps_do_not_change_the_result(client in clients(), unlucky in prop::collection::btree_set(1..40_u32, 0..12)) {
        // Never twice in a row, so that one repetition is enough.
        let unlucky: BTreeSet<_> = unlucky.iter().copied().filter(|run| !unlucky.contains(&(run - 1))).collect();
        let mut asked = Client { unlucky, ..client.clone() };
        let solution = answer(&mut asked, &question(1));
        if client.needs().is_empty() {
            let works = matches!(solution.finding, Finding::WorksInspected { .. } | Finding::Flaky(_));
            prop_assert!(works, "{:?}", solution.finding);
        } else {
            prop_assert_eq!(needed(&solution), client.needs());
        }
    }
}
