//! What is explained offline is what the running proxy does, under dialects that compare different things: the CONNECT
//! host, the SNI, the certificate, the address.

use middlebox::journal::{DecisionKind, Outcome};
use middlebox::policy::formats::Entry;
use middlebox::policy::{Action, AskedSni, OnChange, Question, Reading, RuleSpec, Standing};

use crate::support::{HELLO, Stage, origin, stage};

const HOSTS: [&str; 4] = ["okta.test", "acme.okta.test", "a.b.okta.test", "notokta.test"];

/// A dialect, and a list for it.
const LISTS: [(&str, &[&str]); 13] = [
    ("middlebox", &["bypass *.okta.test", "block notokta.test"]),
    ("zscaler", &["bypass .okta.test", "inspect acme.okta.test"]),
    ("pan-os-url", &["bypass *.okta.test"]),
    ("netskope-url-list", &["bypass *.okta.test"]),
    ("fortigate-flow", &["bypass acme.okta.test"]),
    ("umbrella", &["bypass okta.test"]),
    ("proxysg-domain", &["bypass okta.test", "block notokta.test"]),
    ("proxysg-host-suffix", &["bypass okta.test"]),
    ("cloudflare-domain", &["bypass okta.test"]),
    ("squid-dstdomain", &["inspect .okta.test"]),
    ("squid-server-name", &["inspect .okta.test", "block notokta.test"]),
    ("mitmproxy", &[r"bypass ^(.+\.)?okta\.test:443$"]),
    ("no-proxy-go", &["bypass okta.test"]),
];

fn specs(list: &[&str]) -> Vec<RuleSpec> {
    let spec = |rule: &&str| {
        let (action, pattern) = rule.split_once(' ').unwrap();
        RuleSpec::new(pattern, action.parse().unwrap())
    };
    list.iter().map(spec).collect()
}

async fn behind(dialect: &str, list: &[&str], on_change: OnChange) -> Stage {
    let (dialect, rules) = (dialect.parse().unwrap(), specs(list));
    let all = HOSTS.iter().fold(stage(), |stage, host| stage.origin(origin(host).answers(HELLO)));
    let lab = all.lab(|lab| {
        lab.on_change(on_change).config(|config| {
            config.policy.dialect = Some(dialect);
            config.policy.command_line = rules;
        })
    });
    lab.start().await
}

#[tokio::test]
async fn explain_agrees_with_the_running_proxy() {
    for (dialect, list) in LISTS {
        let stage = behind(dialect, list, OnChange::NewOnly).await;
        let written = specs(list).into_iter().map(|spec| Entry::typed(spec.pattern, spec.action));
        let reading = Reading::of(dialect.parse().unwrap(), None, written);
        let mut questions = Vec::new();
        for host in HOSTS {
            let others = HOSTS.iter().filter(|other| **other != host).take(2);
            let named = others.map(|other| AskedSni::Name((*other).to_owned()));
            for sni in [AskedSni::Host, AskedSni::Absent].into_iter().chain(named) {
                // The origins of a stage have one common name; where it counts, the question has to say so.
                let by_common_name = ["pan-os-url", "fortigate-flow"].contains(&dialect);
                let own = ["rcgen self signed cert", host].map(str::to_owned).to_vec();
                let certificate = if by_common_name { own } else { Vec::new() };
                questions.push(Question { sni, certificate, ..Question::new(host) });
            }
        }
        let mut expected = Vec::new();
        for question in questions {
            let client = match &question.sni {
                AskedSni::Host => stage.client(),
                AskedSni::Absent => stage.client().without_sni(),
                AskedSni::Name(name) => stage.client().sni(name),
            };
            // Whether the client likes what it gets is none of the question.
            let (head, wire) = client.ask(&format!("{}:443", question.host)).await;
            if head.starts_with("HTTP/1.1 200 ") {
                drop(client.handshake(wire, &question.host).await);
            }
            expected.push((question.to_string(), reading.rehearse(&question)));
        }
        let records = stage.records(expected.len()).await;
        for (record, (question, explained)) in records.iter().zip(&expected) {
            let decision = record.decision.as_ref().unwrap();
            assert_eq!(decision.action, DecisionKind::from(explained.decision), "{dialect} {question}: {record:#?}");
            let entry = explained.entry.as_ref().map(|entry| entry.text.to_string());
            assert_eq!(decision.rule, entry, "{dialect} {question}");
            assert_eq!(decision.standing, explained.standing, "{dialect} {question}: {decision:#?}");
        }
    }
}

#[tokio::test]
async fn a_record_says_what_was_only_assumed() {
    let stage = behind("zscaler", &["bypass .okta.test"], OnChange::NewOnly).await;
    drop(stage.client().try_tls("ACME.okta.test").await);
    let record = stage.record().await;
    let decision = record.decision.as_ref().unwrap();
    assert_eq!((decision.action, decision.standing), (DecisionKind::Bypass, Standing::Inferred));
    assert_eq!(decision.assumptions, ["case does not count"]);
}

/// A bypass that the SNI decided needed no address and no certificate; without its rule the product asks for them.
#[tokio::test]
async fn a_change_reaches_connections_of_dialects_that_then_ask_for_more() {
    for (dialect, pattern) in [("mitmproxy", r"^acme\.okta\.test:443$"), ("pan-os-exclusion", "acme.okta.test")] {
        let stage = behind(dialect, &[&format!("bypass {pattern}")], OnChange::Kill).await;
        let open = stage.client().tls("acme.okta.test").await;
        stage.until(|record| record.stages.connected.is_some()).await;
        let toggled = stage.lab.remove(pattern).unwrap();
        assert_eq!(toggled.affected, [1], "{dialect}");
        drop(open);
        assert_eq!(stage.record().await.outcome, Some(Outcome::Bypassed), "{dialect}");
    }
}

#[tokio::test]
async fn resolve_overrides_say_who_shares_an_address_with_an_exempt_name() {
    // The origins of a stage are all on one loopback address, as its resolve overrides say.
    let stage = behind("fortigate-proxy", &["bypass okta.test"], OnChange::NewOnly).await;
    drop(stage.client().try_tls("notokta.test").await);
    let record = stage.record().await;
    let decision = record.decision.as_ref().unwrap();
    assert_eq!(decision.action, DecisionKind::from(Action::Bypass), "{decision:#?}");
    assert!(decision.why.contains("also okta.test"), "{decision:#?}");
}
