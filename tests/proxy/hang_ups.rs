//! Clients that hang up at each stage: one record, no task left, and the origin's connection closed.

use std::sync::Mutex;

use middlebox::journal::{ConnectionRecord, Outcome};

use crate::support::origin::BEGUN;
use crate::support::{Client, Stage, get, h2, origin, soon, stage};

async fn site() -> Stage {
    stage().origin(origin("site.test").never_finishes()).start().await
}

/// The outcome of the one record, after the origin's connection is over.
async fn left(stage: &Stage) -> Option<Outcome> {
    while stage.hears().await != "over" {}
    stage.record().await.outcome
}

#[tokio::test]
async fn before_the_request_is_there() {
    for (said, outcome) in [("", Outcome::Unused), ("CONNECT site.test:4", Outcome::GaveUp)] {
        let stage = site().await;
        let mut wire = stage.client().dial().await;
        wire.send(said).await;
        drop(wire);
        assert_eq!(stage.record().await.outcome, Some(outcome));
    }
}

#[tokio::test]
async fn after_the_connect_and_inside_the_hello() {
    for (length, outcome) in [(0, Outcome::Unused), (3, Outcome::GaveUp), (600, Outcome::GaveUp)] {
        let stage = site().await;
        let client = stage.client();
        let mut wire = client.connect("site.test:443").await;
        wire.send(&client.hello("site.test")[..length]).await;
        drop(wire);
        assert_eq!(stage.record().await.outcome, Some(outcome), "after {length} bytes");
    }
}

#[tokio::test]
async fn right_after_the_hello() {
    let stage = site().await;
    let client = stage.client();
    let mut wire = client.connect("site.test:443").await;
    wire.send(client.hello("site.test")).await;
    drop(wire);
    let outcome = stage.record().await.outcome;
    assert!(matches!(outcome, Some(Outcome::GaveUp | Outcome::Refused)), "{outcome:?}");
}

#[tokio::test]
async fn inside_the_handshake_and_after_it() {
    let stage = site().await;
    let client = stage.client();
    let mut wire = client.connect("site.test:443").await;
    wire.send(client.hello("site.test")).await;
    wire.bytes(3).await;
    drop(wire);
    assert_eq!(left(&stage).await, Some(Outcome::Refused));

    let stage = site().await;
    drop(stage.client().tls("site.test").await);
    assert_eq!(left(&stage).await, Some(Outcome::Refused));
}

#[tokio::test]
async fn inside_a_request() {
    let upload = "POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 100\r\n\r\nhalf";
    for said in ["GET / HTTP/1.1\r\nHo", upload] {
        for orderly in [true, false] {
            let stage = site().await;
            let mut wire = stage.client().tls("site.test").await;
            wire.send(said).await;
            stage.until(|record| record.stages.first_byte.is_some()).await;
            leave(wire, orderly).await;
            assert_eq!(left(&stage).await, Some(Outcome::Accepted), "after {said:?}");
        }
    }
}

#[tokio::test]
async fn inside_an_answer() {
    for orderly in [true, false] {
        let stage = site().await;
        let mut wire = stage.client().tls("site.test").await;
        wire.send(get("site.test", "/")).await;
        wire.expect(BEGUN).await;
        leave(wire, orderly).await;
        assert_eq!(left(&stage).await, Some(Outcome::Accepted));
    }
}

#[tokio::test]
async fn while_the_origin_thinks() {
    let silent = origin("site.test").plays(|mut wire, report| async move {
        report.say(wire.head().await);
        wire.rest().await;
        report.say("over");
    });
    let stage = stage().origin(silent).start().await;
    let mut wire = stage.client().tls("site.test").await;
    wire.send(get("site.test", "/")).await;
    stage.hears().await;
    drop(wire);
    assert_eq!(left(&stage).await, Some(Outcome::Accepted));
    assert_eq!(stage.record().await.exchanges[0].status, None);
}

#[tokio::test]
async fn inside_an_answer_in_the_clear_and_behind_a_bypass() {
    let site = stage().origin(origin("site.test").without_tls(80).never_finishes()).start().await;
    let mut wire = site.client().dial().await;
    wire.send(get("site.test", "http://site.test/")).await;
    wire.expect(BEGUN).await;
    drop(wire);
    assert_eq!(left(&site).await, Some(Outcome::Plain));

    let builder = stage().origin(origin("site.test").never_finishes());
    let stage = builder.lab(|lab| lab.bypass("site.test")).start().await;
    let mut wire = stage.client().tls("site.test").await;
    wire.send(get("site.test", "/")).await;
    wire.expect(BEGUN).await;
    drop(wire);
    assert_eq!(left(&stage).await, Some(Outcome::Bypassed));
}

#[tokio::test]
async fn inside_an_answer_over_http_2() {
    let (frames, body) = tokio::sync::mpsc::unbounded_channel();
    let body = Mutex::new(Some(body));
    let site = origin("site.test").h2(move |_, _| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Ok(http::Response::new(h2::by_hand(body))) }
    });
    let stage = stage().origin(site).start().await;
    let mut sender = stage.client().h2("site.test").await;
    let mut answer = sender.send_request(h2::request("GET", "https://site.test/", h2::full(""))).await.unwrap();
    frames.send(Ok(hyper::body::Frame::data("half".into()))).unwrap();
    soon("a frame", http_body_util::BodyExt::frame(answer.body_mut())).await.unwrap().unwrap();
    drop((answer, sender));
    let record: std::sync::Arc<ConnectionRecord> = stage.accepted().await;
    assert_eq!((record.exchange_count, record.bytes_down), (1, 4), "the exchange that was cut is recorded");
    assert_eq!(record.exchanges[0].status, Some(200));
    assert_eq!(stage.hears().await, "connection over");
}

async fn leave(mut wire: crate::support::Wire, orderly: bool) {
    if orderly {
        wire.shut().await;
    }
}

#[tokio::test]
async fn many_at_once_leave_nothing_behind() {
    let stage = site().await;
    let mut leaving = tokio::task::JoinSet::new();
    for number in 0..40 {
        let client: Client = stage.client();
        leaving.spawn(async move {
            let mut wire = client.tls("site.test").await;
            if number % 2 == 0 {
                wire.send(get("site.test", "/")).await;
                wire.expect(BEGUN).await;
            }
        });
    }
    soon("all of them", async { while leaving.join_next().await.transpose().unwrap().is_some() {} }).await;
    stage.records(40).await;
    for _ in 0..60 {
        stage.hears().await;
    }
    assert!(stage.lab.drain().await, "a task is left");
}
