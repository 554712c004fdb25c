//! The library's lab, as a Rust test uses it.

#![allow(clippy::unwrap_used, reason = "what a test cannot start ends it")]

use middlebox::lab::Lab;
use middlebox::report::Verdict;
use middlebox::scenario::{self, Scenario};
use middlebox::source::Document;
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn a_lab_that_is_dropped_gives_its_port_back() {
    let lab = Lab::builder().start().await.unwrap();
    let address = lab.proxy_address();
    TcpStream::connect(address).await.unwrap();
    drop(lab);
    // The listener goes with its task, which has to be polled once more.
    while TcpListener::bind(address).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn two_labs_do_not_meet() {
    let (first, second) = tokio::join!(Lab::builder().start(), Lab::builder().start());
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first.proxy_address(), second.proxy_address());
    first.bypass("*.okta.com").unwrap();
    assert_eq!((first.policy().current().rules().len(), second.policy().current().rules().len()), (1, 0));
    assert_ne!(first.authority().ca().fingerprint(), second.authority().ca().fingerprint());
    assert!(first.drain().await && second.drain().await);
}

#[tokio::test]
async fn rules_that_a_step_adds_stand_as_they_are_listed() {
    let file = r#"
name = "Order"
[middlebox]
default = "inspect"
[[middlebox.rule]]
pattern = "intranet.example"
action = "inspect"
[[origin]]
hosts = ["intranet.example"]
app = "static"
[workstation]
trust-inspection-ca = true
[[step]]
name = "Below the rule that inspects"
bypass = { add = ["*.example", "intranet.example"], at = 2 }
[[step]]
name = "The upper rule decides"
browse = { url = "https://intranet.example/" }
expect = { decision = "inspect", rule = "intranet.example" }
[[step]]
name = "That one goes, and the other two stay"
bypass = { add = ["*.example", "intranet.example"], at = 1 }
[[step]]
name = "The first of the list decides"
browse = { url = "https://intranet.example/" }
expect = { decision = "bypass", rule = "*.example" }
"#;
    let scenario = Scenario::parse(&Document::new("order.toml", file)).unwrap();
    let report = scenario::run(&scenario, &mut |_| {}).await.unwrap();
    let verdicts: Vec<_> = report.steps.iter().map(|step| &step.verdict).collect();
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Passed)), "{verdicts:?}");
    let nowhere = file.replace("at = 1", "at = 0");
    let error = Scenario::parse(&Document::new("order.toml", nowhere)).unwrap_err();
    assert_eq!(error.message(), "positions count from 1");
}
