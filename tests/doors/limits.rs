//! Clients that take their time, and what is done about them; the clock stands still in these tests but for timers.

use middlebox::journal::{Outcome, Told, Via};
use middlebox::proxy::Credentials;
use tokio::io::AsyncReadExt;

use crate::door::status;
use crate::support::{Stage, Wire, stage};

/// Everything up to the end, without the tests' own limit: the clock leaps to whatever comes first.
async fn all(mut wire: Wire) -> String {
    let mut text = String::new();
    wire.stream.read_to_string(&mut text).await.unwrap();
    text
}

/// A stage that asks for passwords, so that the beginning of a second request is seen in the journal.
async fn asked_once() -> (Stage, Wire) {
    let ann = Credentials::one("ann", "x").unwrap();
    let stage = stage().lab(|lab| lab.config(|config| config.credentials = Some(ann))).start().await;
    let mut wire = stage.client().dial().await;
    wire.send("CONNECT site.test:443 HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    assert_eq!(status(&wire.answer().await.0), 407);
    (stage, wire)
}

#[tokio::test]
async fn a_request_that_is_never_completed_is_answered_after_a_minute() {
    let (stage, mut wire) = asked_once().await;
    wire.send("CONNECT site.test:443 HTTP/1.1\r\nHos").await;
    while stage.lab.journal().total() < 2 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    assert_eq!(status(&all(wire).await), 408);
    tokio::time::resume();
    let record = stage.records(2).await.remove(1);
    assert_eq!((record.outcome, &record.told), (Some(Outcome::Failed), &Some(Told::Status(408))));
}

#[tokio::test]
async fn a_connection_without_a_next_request_is_closed_without_a_record() {
    let (stage, wire) = asked_once().await;
    tokio::time::pause();
    assert_eq!(all(wire).await, "");
    tokio::time::resume();
    assert_eq!(stage.record().await.via, Some(Via::Connect));
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_a_minute() {
    let stage = stage().start().await;
    let wire = stage.client().dial().await;
    while stage.lab.journal().total() < 1 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    assert_eq!(all(wire).await, "");
    tokio::time::resume();
    let record = stage.record().await;
    assert_eq!((record.outcome, record.end.as_ref().unwrap().by), (Some(Outcome::Unused), "middlebox"));
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end_of_a_lab() {
    let (stage, wire) = asked_once().await;
    let silent = stage.client().dial().await;
    let mut hello = stage.client().dial().await;
    hello.send(&stage.client().hello("localhost")[..100]).await;
    while stage.lab.journal().total() < 3 {
        tokio::task::yield_now().await;
    }
    assert!(stage.lab.drain().await, "something had to be cut");
    assert_eq!((all(wire).await, all(silent).await), (String::new(), String::new()));
}
