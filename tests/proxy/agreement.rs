//! What is explained offline is what the running proxy does, under dialects that compare different things: the CONNECT
//! host, the SNI, the certificate, the address.

use std::net::Ipv4Addr;

use middlebox::journal::{DecisionKind, Outcome};
use middlebox::policy::formats::Entry;
use middlebox::policy::{Action, AskedSni, Dialect, OnChange, Question, Reading, RuleSpec, Standing};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

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

/// What the origins of a stage show: one common name, and the host. Not for Squid, where a question with a certificate
/// is one about step 3 of `ssl_bump`: the proxy decides at step 2.
fn certificate(dialect: &str, host: &str) -> Vec<String> {
    let names = ["rcgen self signed cert", host].map(str::to_owned).to_vec();
    if dialect == "squid-server-name" { Vec::new() } else { names }
}

/// Asks the running proxy each of these questions, and compares what it did with what is explained.
async fn agree(dialect: &str, list: &[&str], questions: &[Question]) {
    let stage = behind(dialect, list, OnChange::NewOnly).await;
    let written = specs(list).into_iter().map(|spec| Entry::typed(spec.pattern, spec.action));
    let reading = Reading::of(dialect.parse().unwrap(), None, written);
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
    }
    let records = stage.records(questions.len()).await;
    for (record, question) in records.iter().zip(questions) {
        let explained = reading.rehearse(question);
        let decision = record.decision.as_ref().unwrap();
        let about = format!("{dialect} {list:?} {question}: {decision:#?}");
        assert_eq!(decision.action, DecisionKind::from(explained.decision), "{about}");
        assert_eq!(decision.rule, explained.entry.as_ref().map(|entry| entry.text.to_string()), "{about}");
        assert_eq!(decision.standing, explained.standing, "{about}");
    }
}

#[tokio::test]
async fn explain_agrees_with_the_running_proxy() {
    for (dialect, list) in LISTS {
        let mut questions = Vec::new();
        for host in HOSTS {
            let others = HOSTS.iter().filter(|other| **other != host).take(2);
            let named = others.map(|other| AskedSni::Name((*other).to_owned()));
            for sni in [AskedSni::Host, AskedSni::Absent].into_iter().chain(named) {
                questions.push(Question { sni, certificate: certificate(dialect, host), ..Question::new(host) });
            }
        }
        agree(dialect, list, &questions).await;
    }
}

/// Lists that nobody has thought of, under every dialect, and clients with any name in their ClientHello.
#[tokio::test]
async fn explain_agrees_with_the_running_proxy_on_generated_lists() {
    const LISTS_OF_A_DIALECT: usize = 3;
    const QUESTIONS_OF_A_LIST: usize = 8;

    let names = select(vec!["okta.test", "acme.okta.test", "b.okta.test", "notokta.test", "test", "kta.test", "okta"]);
    let forms = select(vec!["", "", ".", "*.", "*", "^.", "*.*.", "url.domain=", "url.host="]);
    let ends = select(vec!["", "", "", "", "/", ":443", ":8443", ".*"]);
    let made = (forms, names, ends).prop_map(|(form, name, end)| format!("{form}{name}{end}"));
    let others = select(vec!["*", "127.0.0.1", "127.0.0.0/8", "<-loopback>", "<local>", r"okta\.test", r"^a.*:443$"]);
    let entry = prop_oneof![8 => made, 1 => others.prop_map(str::to_owned)];
    let entries = vec((select(vec!["bypass", "bypass", "inspect", "block"]), entry), 1..6);
    let question = (select(HOSTS.to_vec()), prop::option::of(prop::option::of(select(HOSTS.to_vec()))));
    // The same lists each time, so that what fails does so again.
    let mut runner = TestRunner::deterministic();
    // What shares an address with an exempt name is asked of the resolver, below.
    for dialect in Dialect::all().filter(|dialect| dialect.name() != "fortigate-proxy") {
        for _ in 0..LISTS_OF_A_DIALECT {
            let list = entries.new_tree(&mut runner).unwrap().current();
            let list = list.into_iter().filter(|(_, entry)| dialect.parse(entry).is_ok());
            let list: Vec<String> = list.map(|(action, entry)| format!("{action} {entry}")).collect();
            let list: Vec<&str> = list.iter().map(String::as_str).collect();
            let ask = |_| {
                let (host, sni) = question.new_tree(&mut runner).unwrap().current();
                let sni = match sni {
                    None => AskedSni::Host,
                    Some(None) => AskedSni::Absent,
                    Some(Some(name)) => AskedSni::Name(name.to_owned()),
                };
                let address = Some(Ipv4Addr::LOCALHOST.into());
                let certificate = certificate(dialect.name(), host);
                Question { sni, address, certificate, client: address, ..Question::new(host) }
            };
            let questions: Vec<Question> = (0..QUESTIONS_OF_A_LIST).map(ask).collect();
            agree(dialect.name(), &list, &questions).await;
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
