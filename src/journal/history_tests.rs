//! Verdicts as a client's connections come in, in the order in which they come.

use std::time::Duration;

use super::*;
use crate::journal::{Cause, Confidence, LeafAudit, Refusal};

const SOUND: LeafAudit = LeafAudit { names_host: true, in_time: true, in_order: true, by_inspection_ca: true };

/// One client's connections, a second apart unless a test says otherwise.
#[derive(Default)]
struct Client {
    history: History,
    verdicts: std::collections::BTreeMap<u64, Verdict>,
    next: u64,
    now: Duration,
    process: Option<ClientProcess>,
}

impl Client {
    fn process(mut self, pid: u32) -> Self {
        self.process = Some(ClientProcess { pid, program: "/usr/bin/client".to_owned() });
        self
    }

    fn seen(&mut self, host: &str, opened: Option<Duration>) -> Sighting {
        self.next += 1;
        self.now += Duration::from_secs(1);
        let opened = opened.unwrap_or(self.now);
        Sighting {
            id: self.next,
            host: host.to_owned(),
            process: self.process.clone(),
            serial: None,
            opened,
            at: self.now,
        }
    }

    fn refuses(&mut self, host: &str, signature: Signature) -> u64 {
        let seen = self.seen(host, None);
        let id = seen.id;
        let refusal = Refusal { signature, after_finished: false, judges_late: false, gap: None };
        let (verdict, revisions) = self.history.refused(Case { seen, refusal, audit: SOUND });
        self.verdicts.insert(id, verdict);
        self.revise(&revisions);
        id
    }

    fn accepts(&mut self, host: &str) -> u64 {
        self.accepts_opened(host, None)
    }

    fn accepts_opened(&mut self, host: &str, opened: Option<Duration>) -> u64 {
        let seen = self.seen(host, opened);
        let id = seen.id;
        let revisions = self.history.accepted(seen);
        self.revise(&revisions);
        id
    }

    fn revise(&mut self, revisions: &[Revision]) {
        for revision in revisions {
            let old = self.verdicts.insert(revision.id, revision.verdict.clone());
            assert!(old.is_some() && old.as_ref() != Some(&revision.verdict), "{revision:?}");
        }
    }

    /// The verdict that stands on a connection.
    fn verdict(&self, id: u64) -> Option<(Cause, Confidence)> {
        match &self.verdicts[&id] {
            Verdict::Refused(diagnosis) => Some((diagnosis.cause, diagnosis.confidence)),
            Verdict::Unused(_) => None,
        }
    }
}

fn alert(number: u8) -> Signature {
    Signature::Alert { number, warning: false }
}

#[test]
fn what_could_not_be_told_is_settled_by_another_host_that_is_accepted() {
    let mut client = Client::default();
    let pinned = client.refuses("pin.example", alert(46));
    assert_eq!(client.verdict(pinned), Some((Cause::Ambiguous, Confidence::Low)));
    client.accepts("www.other.example");
    assert_eq!(client.verdict(pinned), Some((Cause::PinMismatch, Confidence::High)));
}

#[test]
fn what_could_not_be_told_is_settled_by_another_host_that_is_refused() {
    let mut client = Client::default();
    let (one, two) = (client.refuses("one.example", alert(42)), client.refuses("two.test", Signature::Cut));
    for id in [one, two] {
        assert_eq!(client.verdict(id), Some((Cause::UntrustedCa, Confidence::High)));
    }
}

#[test]
fn hosts_of_one_domain_may_be_pinned_together() {
    let mut client = Client::default();
    let one = client.refuses("acme.okta.com", alert(46));
    client.refuses("acme.mtls.okta.com", alert(46));
    assert_eq!(client.verdict(one), Some((Cause::UntrustedCa, Confidence::Medium)));
    client.refuses("login.example", alert(46));
    assert_eq!(client.verdict(one), Some((Cause::UntrustedCa, Confidence::High)));
}

#[test]
fn a_conclusion_from_refusals_gives_way_to_an_acceptance() {
    let mut client = Client::default();
    let (one, two) = (client.refuses("one.example", alert(46)), client.refuses("two.test", alert(46)));
    client.accepts("three.example");
    for id in [one, two] {
        assert_eq!(client.verdict(id), Some((Cause::PinMismatch, Confidence::High)));
    }
}

#[test]
fn what_is_accepted_long_after_says_nothing_unless_it_is_the_same_process() {
    for (mut client, cause) in
        [(Client::default(), Cause::Ambiguous), (Client::default().process(7), Cause::PinMismatch)]
    {
        let early = client.refuses("pin.example", alert(46));
        client.now += Duration::from_secs(600);
        client.accepts("www.other.example");
        assert_eq!(client.verdict(early).unwrap().0, cause);
    }
}

#[test]
fn another_program_with_the_same_stack_says_nothing() {
    let mut client = Client::default().process(7);
    let pinned = client.refuses("pin.example", alert(46));
    client.process = Some(ClientProcess { pid: 8, program: "/usr/bin/other".to_owned() });
    client.accepts("www.other.example");
    client.refuses("third.test", alert(46));
    assert_eq!(client.verdict(pinned), Some((Cause::Ambiguous, Confidence::Low)));
}

#[test]
fn an_alert_48_stays_what_it_is_when_another_process_trusts_the_ca() {
    let mut client = Client::default().process(7);
    client.accepts("www.other.example");
    client.process.as_mut().unwrap().pid = 8;
    let unknown = client.refuses("pin.example", alert(48));
    assert_eq!(client.verdict(unknown), Some((Cause::UntrustedCa, Confidence::High)));
    client.accepts("third.example");
    assert_eq!(client.verdict(unknown), Some((Cause::PinMismatch, Confidence::Medium)), "the same process");
}

#[test]
fn a_client_that_was_given_the_ca_does_not_pin_what_it_refused_before() {
    let mut client = Client::default();
    let (one, two) = (client.refuses("one.example", alert(42)), client.refuses("one.example", alert(42)));
    // It accepts the very host that it refused: something changed in between.
    client.accepts("one.example");
    client.accepts("two.test");
    for id in [one, two] {
        assert_eq!(client.verdict(id).unwrap().0, Cause::Ambiguous);
    }
    let pinned = client.refuses("pin.test", alert(42));
    assert_eq!(client.verdict(pinned), Some((Cause::PinMismatch, Confidence::High)));
}

#[test]
fn what_is_accepted_after_a_warning_says_nothing_of_other_hosts() {
    let mut client = Client::default().process(7);
    let warned = client.refuses("one.example", alert(46));
    client.accepts("one.example");
    let other = client.refuses("two.test", alert(46));
    for id in [warned, other] {
        assert_eq!(client.verdict(id).unwrap().0, Cause::Ambiguous);
    }
}

#[test]
fn a_connection_left_while_its_sibling_was_opening_was_not_needed() {
    for signature in [Signature::Cut, Signature::SilentClose, Signature::PoliteClose] {
        let mut client = Client::default();
        let opened = client.now;
        let left = client.refuses("site.example", signature);
        assert!(client.verdict(left).is_some());
        let used = client.accepts_opened("site.example", Some(opened));
        assert_eq!(client.verdicts[&left], Verdict::Unused(used));
    }
}

#[test]
fn a_connection_left_beside_one_that_is_used_meanwhile_was_not_needed() {
    let mut client = Client::default();
    let opened = client.now;
    client.accepts("site.example");
    let mut seen = client.seen("site.example", Some(opened));
    seen.opened = opened;
    let refusal = Refusal { signature: Signature::Cut, after_finished: false, judges_late: false, gap: None };
    let (verdict, _) = client.history.refused(Case { seen, refusal, audit: SOUND });
    assert_eq!(verdict, Verdict::Unused(1));
}

#[test]
fn an_alert_is_a_refusal_whatever_stands_beside_it() {
    let mut client = Client::default();
    let opened = client.now;
    let refused = client.refuses("site.example", alert(46));
    client.accepts_opened("site.example", Some(opened));
    assert!(client.verdict(refused).is_some());
}

#[test]
fn one_after_the_other_may_be_two_clients_of_one_program() {
    for mut client in [Client::default(), Client::default().process(7)] {
        let first = client.refuses("site.example", Signature::PoliteClose);
        client.accepts("site.example");
        assert_eq!(client.verdict(first).unwrap().0, Cause::PinMismatch);
    }
}

#[test]
fn equal_refusals_raise_and_mixed_ones_lower() {
    let mut client = Client::default();
    let first = client.refuses("pin.example", Signature::PoliteClose);
    client.refuses("pin.example", Signature::PoliteClose);
    assert_eq!(client.verdict(first), Some((Cause::PinMismatch, Confidence::Medium)));
    client.refuses("pin.example", Signature::PoliteClose);
    assert_eq!(client.verdict(first), Some((Cause::PinMismatch, Confidence::High)));
    client.refuses("pin.example", alert(80));
    assert_eq!(client.verdict(first), Some((Cause::PinMismatch, Confidence::Low)));
}

#[test]
fn what_is_open_is_probed_once_and_what_comes_of_it_counts() {
    let mut client = Client::default();
    let seen = client.seen("pin.example", None);
    assert_eq!(client.history.probe(&seen), None, "nothing is open");
    let open = client.refuses("pin.example", Signature::Cut);
    let seen = client.seen("pin.example", None);
    assert_eq!(client.history.probe(&seen), Some(open));
    assert_eq!(client.history.probe(&seen), None, "once");
    let revisions = client.history.passed("pin.example", seen.id);
    client.revise(&revisions);
    client.accepts("www.other.example");
    assert_eq!(client.verdict(open), Some((Cause::PinMismatch, Confidence::High)));
    let Verdict::Refused(diagnosis) = &client.verdicts[&open] else { panic!("it was refused") };
    assert!(diagnosis.evidence.iter().any(|why| why.starts_with("past us")), "{diagnosis:?}");
}

#[test]
fn a_fault_of_ours_is_ruled_out_by_what_is_accepted_past_us() {
    let mut client = Client::default();
    let seen = client.seen("pin.example", None);
    let id = seen.id;
    let refusal = Refusal { signature: alert(42), after_finished: false, judges_late: false, gap: None };
    let (verdict, _) = client.history.refused(Case { seen, refusal, audit: LeafAudit { names_host: false, ..SOUND } });
    client.verdicts.insert(id, verdict);
    let revisions = client.history.passed("pin.example", 9);
    client.revise(&revisions);
    let Verdict::Refused(diagnosis) = &client.verdicts[&id] else { panic!("it was refused") };
    assert_eq!(diagnosis.candidates, [Cause::UntrustedCa, Cause::PinMismatch]);
}

#[test]
fn what_is_known_of_one_client_is_bounded() {
    let mut client = Client::default();
    for number in 0..2 * MAX_CASES {
        client.refuses(&format!("{number}.example"), Signature::Cut);
    }
    assert_eq!(client.history.cases.len(), MAX_CASES);
    for number in 0..2 * MAX_HOSTS {
        client.accepts(&format!("www{number}.example"));
    }
    assert_eq!(client.history.accepted.len(), MAX_HOSTS);
}
