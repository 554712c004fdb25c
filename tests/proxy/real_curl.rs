//! The real curl through the lab.

use middlebox::journal::{Cause, DecisionKind, Outcome, Told};
use middlebox::net::{Host, Pin};
use middlebox::proxy::Credentials;
use middlebox::simulation::{App, OriginSpec};

use crate::support::curl::missing;
use crate::support::stage::StageBuilder;
use crate::support::{HELLO, SECRET, Stage, origin, stage};

const SITE: &str = "https://site.test/x?token=s3cr3t";

fn site() -> StageBuilder {
    let spec = OriginSpec::new(vec![Host::parse("site.test").unwrap()], App::Static);
    stage().lab(|lab| lab.simulate([spec]))
}

/// What a pinned client knows of the genuine site.
fn pin(stage: &Stage) -> String {
    let pin: Pin = stage.lab.internet().unwrap().pin(&Host::parse("site.test").unwrap()).unwrap();
    format!("sha256//{}", pin.base64())
}

#[tokio::test]
async fn curl_is_inspected_over_both_versions_of_http() {
    if missing("HTTP2").await {
        return;
    }
    for (option, version, alpn) in [("--http2", "HTTP/2", "h2"), ("--http1.1", "HTTP/1.1", "http/1.1")] {
        let stage = site().start().await;
        let header = format!("Authorization: Bearer {SECRET}");
        let ran = stage.curl(&[option, "--cacert", &stage.ca(), "--header", &header, SITE]).await;
        assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
        assert!(ran.stdout.contains("simulated internet"), "{}", ran.stdout);
        let record = stage.accepted().await;
        assert_eq!((record.exchanges[0].version, record.exchanges[0].status), (version, Some(200)));
        assert_eq!(record.handshake.as_ref().unwrap().alpn.as_deref(), Some(alpn));
        assert!(record.client.user_agent.as_ref().unwrap().starts_with("curl/"));
    }
}

#[tokio::test]
async fn curl_with_a_pin_refuses_inspection_and_goes_through_a_bypass() {
    if missing("curl").await {
        return;
    }
    let stage = site().start().await;
    let ran = stage.curl(&["--cacert", &stage.ca(), "--pinnedpubkey", &pin(&stage), SITE]).await;
    assert_eq!(ran.exit, 90, "{ran:?}");
    let record = stage.record().await;
    let diagnosis = record.diagnosis.as_ref().unwrap();
    assert_eq!((record.outcome, diagnosis.cause), (Some(Outcome::Refused), Cause::PinMismatch), "{diagnosis:#?}");

    stage.lab.bypass("site.test").unwrap();
    let public = stage.lab.files().public_root.as_ref().unwrap().display().to_string();
    let ran = stage.curl(&["--cacert", &public, "--pinnedpubkey", &pin(&stage), SITE]).await;
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
    let record = stage.records(2).await.remove(1);
    assert_eq!((record.outcome, &record.told), (Some(Outcome::Bypassed), &None));
    assert_eq!(record.decision.as_ref().unwrap().rule.as_deref(), Some("site.test"));
}

#[tokio::test]
async fn curl_without_the_ca_refuses() {
    if missing("curl").await {
        return;
    }
    let stage = site().start().await;
    let public = stage.lab.files().public_root.as_ref().unwrap().display().to_string();
    let ran = stage.curl(&["--cacert", &public, SITE]).await;
    assert_eq!(ran.exit, 60, "{ran:?}");
    let record = stage.record().await;
    let diagnosis = record.diagnosis.as_ref().unwrap();
    assert_eq!((record.outcome, diagnosis.cause), (Some(Outcome::Refused), Cause::UntrustedCa));
    assert!(diagnosis.evidence[0].contains("alert 48"), "{:?}", diagnosis.evidence);
}

#[tokio::test]
async fn curl_is_told_of_a_block_before_the_tunnel() {
    if missing("curl").await {
        return;
    }
    let stage = site().lab(|lab| lab.block("site.test")).start().await;
    let ran = stage.curl(&["--include", "--cacert", &stage.ca(), SITE]).await;
    assert_eq!(ran.exit, 56, "{ran:?}");
    assert!(ran.stdout.contains("HTTP/1.1 403 Forbidden") && ran.stdout.contains("Proxy-Status:"), "{ran:?}");
    let record = stage.record().await;
    assert_eq!((record.outcome, &record.told), (Some(Outcome::Blocked), &Some(Told::Status(403))));
    let decision = record.decision.as_ref().unwrap();
    assert_eq!((decision.action, decision.rule.as_deref()), (DecisionKind::Block, Some("site.test")));
    assert_eq!(stage.lab.policy().current().rules()[0].hits(), 1);
}

#[tokio::test]
async fn curl_gets_an_alert_for_a_block_that_only_the_hello_shows() {
    if missing("curl").await {
        return;
    }
    let stage = site().lab(|lab| lab.block("site.test")).start().await;
    // The address is no host of the rule; the name in the hello is.
    let ran = stage.curl(&["--cacert", &stage.ca(), "--connect-to", "::10.0.0.1:443", SITE]).await;
    assert_eq!(ran.exit, 35, "{ran:?}");
    assert!(ran.stderr.contains("access denied"), "{ran:?}");
    let record = stage.record().await;
    assert_eq!((record.outcome, &record.told), (Some(Outcome::Blocked), &Some(Told::Alert("access_denied"))));
    assert_eq!(record.decision.as_ref().unwrap().rule.as_deref(), Some("site.test"));
}

#[tokio::test]
async fn curl_answers_a_407_with_the_right_credentials_or_gives_up() {
    if missing("curl").await {
        return;
    }
    let stage = site().lab(|lab| {
        lab.config(|config| {
            config.credentials = Some(Credentials::one("ann", SECRET).unwrap());
        })
    });
    let stage = stage.start().await;
    let ran = stage.curl(&["--cacert", &stage.ca(), "--proxy-anyauth", "--proxy-user", "ann:s3cr3t", SITE]).await;
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
    let records = stage.records(2).await;
    assert_eq!((records[0].outcome, &records[0].told), (Some(Outcome::Blocked), &Some(Told::Status(407))));
    assert_eq!(records[1].outcome, Some(Outcome::Accepted));

    let ran = stage.curl(&["--cacert", &stage.ca(), "--proxy-user", "ann:wrong", SITE]).await;
    assert_eq!(ran.exit, 56, "{ran:?}");
    let record = stage.records(3).await.remove(2);
    assert_eq!((record.outcome, &record.told), (Some(Outcome::Blocked), &Some(Told::Status(407))));
    assert!(record.end.as_ref().unwrap().how.contains("wrong"), "{record:#?}");
}

#[tokio::test]
async fn curl_reads_plain_http_through_the_proxy() {
    if missing("curl").await {
        return;
    }
    let stage = stage().origin(origin("site.test").without_tls(80).answers(HELLO)).start().await;
    let ran = stage.curl(&["http://site.test/x?token=s3cr3t"]).await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "hello"));
    assert_eq!(stage.record().await.outcome, Some(Outcome::Plain));
}
