//! Parents that give no connection: what the client is told and what the record says.

use middlebox::journal::{Outcome, Told};
use middlebox::lab::{Lab, RunningLab};
use middlebox::policy::Action;
use middlebox::proxy::Credentials;
use tokio::net::TcpListener;

use crate::support::{
    SITE, Scripted, browse, by, desk, far, fault, near, only, plain_request, refusing_socks, rule, say,
};

/// Checks what is told of a parent that gives no connection to an inspected, a bypassed and a plain client.
async fn every_client_is_told(far: &RunningLab, parent: &str, told: &str, plain: &str) {
    let shown = parent.replace("ann:s3cr3t@", "");
    for action in [Action::Inspect, Action::Bypass] {
        let near = near(far, parent).default_action(action).start().await.unwrap();
        let visit = browse(&desk(&near, far), &format!("https://{SITE}/")).await;
        let record = only(&near).await;
        assert_eq!((record.outcome, by(&record)), (Some(Outcome::Failed), shown.clone()));
        assert_eq!(fault(&record), format!("the parent {shown}, asked for {SITE}:443, {told}"));
        assert!(!serde_json::to_string(&record).unwrap().contains("s3cr3t"));
        if action == Action::Inspect {
            assert_eq!((visit.status, record.told.clone()), (Some(502), Some(Told::StatusInside(502))));
            assert!(visit.body.contains(told), "{}", visit.body);
        } else {
            assert_eq!((visit.status, record.told.clone()), (None, Some(Told::Reset)));
        }
    }
    let near = near(far, parent).start().await.unwrap();
    let answer = say(near.proxy_address(), &plain_request()).await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains(plain), "{answer}");
    let record = only(&near).await;
    assert_eq!(by(&record), shown);
    assert!(fault(&record).contains(plain), "{}", fault(&record));
}

#[tokio::test]
async fn wrong_credentials_are_told_from_missing_ones_and_never_shown() {
    let far = far().config(|config| config.credentials = Credentials::one("ann", "right").ok()).start().await.unwrap();
    let at = far.proxy_address();
    let detail = |text: &str| {
        format!("407 Proxy Authentication Required, middlebox; error=http_request_denied; details=\"{text}\"")
    };
    let wrong = "does not take the user name and password in its URL";
    let missing = "asks for credentials";
    for scheme in ["http", "https"] {
        let told = format!("{wrong} ({})", detail("the user name or the password is wrong"));
        every_client_is_told(&far, &format!("{scheme}://ann:s3cr3t@{at}"), &told, wrong).await;
        let told = format!(
            "{missing} ({}): write them into its URL, as in http://USER:PASSWORD@HOST:PORT",
            detail("this proxy asks who you are")
        );
        every_client_is_told(&far, &format!("{scheme}://{at}"), &told, missing).await;
    }
    every_client_is_told(&far, &format!("socks5://ann:s3cr3t@{at}"), &format!("{wrong} (SOCKS: status 1)"), wrong)
        .await;
    let told = format!(
        "{missing} (SOCKS: no acceptable method): write them into its URL, as in http://USER:PASSWORD@HOST:PORT"
    );
    every_client_is_told(&far, &format!("socks5://{at}"), &told, missing).await;
}

#[tokio::test]
async fn a_parent_that_is_down_is_said_to_be() {
    let far = far().start().await.unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for scheme in ["http", "https", "socks5"] {
        let told = format!("cannot be reached: {dead} refused the connection");
        every_client_is_told(&far, &format!("{scheme}://{dead}"), &told, &told).await;
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_the_parents_status_and_reason() {
    let far = far().start().await.unwrap();
    for (said, told) in [
        ("HTTP/1.1 403 Not On My Watch\r\nContent-Length: 0\r\n\r\n", "answered 403 Not On My Watch"),
        ("HTTP/1.1 503\r\n\r\n", "answered 503 Service Unavailable"),
        ("SSH-2.0-x\r\n", "does not answer as a proxy of its kind does: the first bytes are not HTTP/1"),
        ("", "broke off: closed before it answered"),
    ] {
        let parent = Scripted::answering(said).await;
        let near = near(&far, &format!("http://{}", parent.address)).start().await.unwrap();
        let visit = browse(&desk(&near, &far), &format!("https://{SITE}/")).await;
        assert_eq!(visit.status, Some(502));
        assert!(visit.body.contains(told), "{}", visit.body);
        let record = only(&near).await;
        assert_eq!(fault(&record), format!("the parent http://{}, asked for {SITE}:443, {told}", parent.address));
    }
    for (code, told) in [(2, "not allowed by its rules"), (5, "connection refused"), (77, "unassigned")] {
        let parent = refusing_socks(code).await;
        let near = near(&far, &format!("socks5://{parent}")).start().await.unwrap();
        let visit = browse(&desk(&near, &far), &format!("https://{SITE}/")).await;
        assert_eq!(visit.status, Some(502));
        let record = only(&near).await;
        assert!(fault(&record).ends_with(&format!("answered SOCKS reply {code}, {told}")), "{}", fault(&record));
    }
}

#[tokio::test]
async fn a_parent_whose_certificate_is_not_trusted_gets_no_credentials() {
    let far = far().start().await.unwrap();
    let near = Lab::builder()
        .parent(rule(&format!("https://ann:secret@{}", far.proxy_address())))
        .config(|config| config.system_roots = false);
    let near = near.start().await.unwrap();
    let answer = say(near.proxy_address(), &plain_request()).await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("--parent-ca"), "{answer}");
    let record = only(&near).await;
    assert!(
        fault(&record).contains("does not complete TLS: invalid peer certificate: UnknownIssuer"),
        "{}",
        fault(&record)
    );
    assert_eq!(only(&far).await.outcome, Some(Outcome::GaveUp));
}
