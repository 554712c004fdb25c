//! Origins that stop in the middle: what is silent for too long ends, and what only takes its time does not.

use std::time::Duration;

use middlebox::journal::{Outcome, Told};
use middlebox::lab::LabBuilder;
use middlebox::proxy::Limits;

use crate::support::origin::BEGUN;
use crate::support::{Ending, HELLO, get, origin, stage};

/// Short for one of the limits, so long for the other that a test would fail before it.
const NEVER: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(400);

fn limits(answer: Duration, idle: Duration) -> impl FnOnce(LabBuilder) -> LabBuilder {
    move |lab| lab.config(|config| config.limits = Limits { answer, idle })
}

#[tokio::test]
async fn an_origin_that_never_answers_is_a_504_inside_inspection_and_in_the_clear() {
    let silent = |origin: crate::support::Origin| {
        origin.plays(|mut wire, report| async move {
            report.say(wire.head().await);
            let (_, ending) = wire.rest().await;
            report.say(format!("{ending:?}"));
        })
    };
    let site = silent(origin("site.test"));
    let stage = stage().origin(site).lab(limits(SOON, NEVER)).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send(get("site.test", "/")).await;
    let (answer, ending) = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 504 ") && answer.contains("http_response_timeout"), "{answer}");
    assert!(answer.contains("has not answered, and nothing has moved, for 400ms"), "{answer}");
    assert_eq!(ending, Ending::Orderly);
    let record = stage.accepted().await;
    assert_eq!(record.told, Some(Told::StatusInside(504)));
    assert!(record.end.as_ref().unwrap().how.contains("has not answered"), "{:?}", record.end);
    stage.hears().await;
    stage.hears().await;

    let site = silent(origin("site.test").without_tls(80));
    let stage = super::stage().origin(site).lab(limits(SOON, NEVER)).start().await;
    let mut client = stage.client().dial().await;
    client.send(get("site.test", "http://site.test/")).await;
    let (answer, _) = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert_eq!(stage.record().await.told, Some(Told::Status(504)));
}

#[tokio::test]
async fn an_upload_that_goes_on_and_interim_answers_give_the_origin_its_time() {
    let site = origin("site.test").plays(|mut wire, _| async move {
        wire.head().await;
        // Four times longer than the limit in all, and never silent for so long.
        for _ in 0..8 {
            wire.bytes(1).await;
        }
        for _ in 0..8 {
            wire.send("HTTP/1.1 102 Processing\r\n\r\n").await;
            tokio::time::sleep(SOON / 4).await;
        }
        wire.send(HELLO).await;
        wire.rest().await;
    });
    let stage = stage().origin(site).lab(limits(SOON * 2, NEVER)).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send("POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 8\r\n\r\n").await;
    for _ in 0..8 {
        client.send("x").await;
        tokio::time::sleep(SOON / 4).await;
    }
    for _ in 0..8 {
        assert!(client.head().await.starts_with("HTTP/1.1 102 "));
    }
    client.expect(HELLO).await;
    client.close().await;
    assert_eq!(stage.accepted().await.told, None);
}

#[tokio::test]
async fn a_body_that_stops_is_cut_and_the_limit_for_an_answer_does_not_touch_it() {
    for (answer, idle, how) in
        [(NEVER, SOON, "nothing moved for 400ms inside the answer"), (SOON, SOON * 4, "nothing moved for 1s 600ms")]
    {
        let stage = stage().origin(origin("site.test").never_finishes()).lab(limits(answer, idle)).start().await;
        let mut client = stage.client().tls("site.test").await;
        client.send(get("site.test", "/")).await;
        client.expect(BEGUN).await;
        assert_eq!(client.rest().await.1, Ending::Cut);
        let record = stage.accepted().await;
        assert!(record.end.as_ref().unwrap().how.starts_with(how), "{:?}", record.end);
    }
}

#[tokio::test]
async fn an_event_stream_and_what_follows_an_upgrade_outlive_the_limit_for_an_answer() {
    let site = origin("site.test").plays(|mut wire, _| async move {
        if wire.head().await.contains("Upgrade:") {
            wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await;
        } else {
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
        }
        tokio::time::sleep(SOON * 3).await;
        wire.send("data: late\n\n").await;
        wire.close().await;
    });
    let stage = stage().origin(site).lab(limits(SOON, NEVER)).start().await;
    let upgrade = "GET / HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n".to_owned();
    for request in [get("site.test", "/events"), upgrade] {
        let mut client = stage.client().tls("site.test").await;
        client.send(request).await;
        client.head().await;
        client.expect("data: late\n\n").await;
        assert_eq!(client.rest().await.1, Ending::Orderly);
    }
    stage.records(2).await;
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_is_closed() {
    let site = origin("site.test").answers(HELLO);
    let lab = |lab: LabBuilder| limits(NEVER, SOON)(lab.bypass("site.test"));
    let stage = stage().origin(site).lab(lab).start().await;
    let mut client = stage.client().without_the_ca().tls("site.test").await;
    client.send(get("site.test", "/")).await;
    client.expect(HELLO).await;
    client.rest().await;
    let record = stage.record().await;
    assert_eq!(record.outcome, Some(Outcome::Bypassed));
    assert_eq!(record.end.as_ref().unwrap().how, "nothing moved for 400ms");
}
