//! Rules that change while connections are open.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use middlebox::journal::{DecisionKind, Outcome};
use middlebox::lab::LabBuilder;
use middlebox::policy::{Action, Change, OnChange, RuleSpec, Selector};
use tokio::sync::Notify;

use crate::support::origin::{BEGUN, ENDED, unanswering};
use crate::support::{Ending, HELLO, Stage, get, h2, origin, soon, stage};

/// A site whose answer waits, in a lab that does this on a change.
async fn waiting(on_change: OnChange, go: &Arc<Notify>, lab: impl FnOnce(LabBuilder) -> LabBuilder) -> Stage {
    let site = origin("site.test").waits_for(Arc::clone(go));
    stage().origin(site).lab(|builder| lab(builder.on_change(on_change))).start().await
}

#[tokio::test]
async fn with_new_only_a_running_download_goes_on_under_its_old_decision() {
    let go = Arc::new(Notify::new());
    let stage = waiting(OnChange::NewOnly, &go, |lab| lab).await;
    let mut client = stage.client().tls("site.test").await;
    client.send(get("site.test", "/")).await;
    client.expect(BEGUN).await;
    let toggled = stage.lab.bypass("site.test").unwrap();
    assert!(toggled.affected.is_empty());
    go.notify_one();
    client.expect(ENDED).await;
    client.close().await;
    let record = stage.accepted().await;
    assert!(record.decision.as_ref().unwrap().epoch < toggled.applied.epoch);

    drop(stage.client().tls("site.test").await);
    let record = stage.records(2).await.remove(1);
    let decision = record.decision.as_ref().unwrap();
    assert_eq!((record.outcome, decision.epoch), (Some(Outcome::Bypassed), toggled.applied.epoch));
}

#[tokio::test]
async fn with_drain_the_running_exchange_completes_and_the_connection_closes() {
    let go = Arc::new(Notify::new());
    let stage = waiting(OnChange::Drain, &go, |lab| lab).await;
    let mut client = stage.client().tls("site.test").await;
    client.send(get("site.test", "/")).await;
    client.expect(BEGUN).await;
    let toggled = stage.lab.bypass("site.test").unwrap();
    assert_eq!(toggled.affected, [1]);
    go.notify_one();
    assert_eq!(client.rest().await, (ENDED.to_owned(), Ending::Orderly));
    let record = stage.accepted().await;
    let end = record.end.as_ref().unwrap();
    assert_eq!((end.by, &*end.how, record.exchange_count), ("middlebox", "drained", 1));
    assert_eq!(stage.hears().await, get("site.test", "/"));
    assert_eq!(stage.hears().await, "Orderly");
}

#[tokio::test]
async fn with_drain_an_answer_that_begins_later_says_that_it_is_the_last() {
    let (go, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (released, heard) = (Arc::clone(&go), Arc::clone(&told));
    let site = origin("site.test").plays(move |mut wire, _| {
        let (go, told) = (Arc::clone(&released), Arc::clone(&heard));
        async move {
            wire.head().await;
            told.notify_one();
            go.notified().await;
            wire.send(HELLO).await;
            wire.rest().await;
        }
    });
    let stage = stage().origin(site).lab(|lab| lab.on_change(OnChange::Drain)).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send(get("site.test", "/")).await;
    told.notified().await;
    stage.lab.bypass("site.test").unwrap();
    go.notify_one();
    let (answer, ending) = client.rest().await;
    assert!(answer.contains("\r\nConnection: close\r\n") && answer.ends_with("hello"), "{answer}");
    assert_eq!(ending, Ending::Orderly);
    assert_eq!(stage.accepted().await.end.as_ref().unwrap().how, "drained");
}

#[tokio::test]
async fn with_drain_an_idle_connection_closes_at_once_and_others_stay() {
    let (site, other) = (origin("site.test").answers(HELLO), origin("other.test").answers(HELLO));
    let stage = stage().origin(site).origin(other).lab(|lab| lab.on_change(OnChange::Drain)).start().await;
    let (mut idle, mut stays) = (stage.client().tls("site.test").await, stage.client().tls("other.test").await);
    for (wire, host) in [(&mut idle, "site.test"), (&mut stays, "other.test")] {
        wire.send(get(host, "/")).await;
        wire.answer().await;
    }
    assert_eq!(stage.lab.bypass("site.test").unwrap().affected.len(), 1);
    assert_eq!(idle.rest().await.1, Ending::Orderly);
    stays.send(get("other.test", "/")).await;
    assert_eq!(stays.answer().await.1, "hello");
    stays.close().await;
    stage.records(2).await;
}

#[tokio::test]
async fn with_drain_running_streams_of_http_2_complete() {
    let (frames, body) = tokio::sync::mpsc::unbounded_channel();
    let body = Mutex::new(Some(body));
    let site = origin("site.test").h2(move |_, _| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Ok(http::Response::new(h2::by_hand(body))) }
    });
    let stage = stage().origin(site).lab(|lab| lab.on_change(OnChange::Drain)).start().await;
    let mut sender = stage.client().h2("site.test").await;
    let answer = sender.send_request(h2::request("GET", "https://site.test/", h2::full(""))).await.unwrap();
    assert_eq!(stage.lab.bypass("site.test").unwrap().affected, [1]);
    for part in ["one ", "two"] {
        frames.send(Ok(hyper::body::Frame::data(part.into()))).unwrap();
    }
    drop(frames);
    let body = soon("a body", http_body_util::BodyExt::collect(answer.into_body())).await.unwrap().to_bytes();
    assert_eq!(body, "one two");
    let record = stage.accepted().await;
    assert_eq!((&*record.end.as_ref().unwrap().how, record.exchange_count), ("drained", 1));
    assert!(sender.ready().await.is_err(), "the connection is over");
}

#[tokio::test]
async fn with_kill_a_running_download_is_cut_and_never_looks_complete() {
    for answer in [BEGUN, "HTTP/1.1 200 OK\r\n\r\nfirst", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nfirst"] {
        let site = origin("site.test").plays(move |mut wire, report| async move {
            wire.head().await;
            wire.send(answer).await;
            report.say(format!("{:?}", wire.rest().await.1));
        });
        let stage = stage().origin(site).lab(|lab| lab.on_change(OnChange::Kill)).start().await;
        let mut client = stage.client().tls("site.test").await;
        client.send(get("site.test", "/")).await;
        client.head().await;
        assert_eq!(stage.lab.bypass("site.test").unwrap().affected, [1]);
        assert_eq!(client.rest().await.1, Ending::Cut, "{answer}");
        let record = stage.accepted().await;
        assert_eq!(record.end.as_ref().unwrap().by, "middlebox");
        assert_eq!((record.exchange_count, record.exchanges[0].status), (1, Some(200)));
        stage.hears().await;
    }
}

#[tokio::test]
async fn with_kill_plain_downloads_and_tunnels_end_with_a_reset() {
    let until_close = "HTTP/1.0 200 OK\r\n\r\nfirst";
    let site = |port| {
        origin("site.test").without_tls(port).plays(move |mut wire, _| async move {
            wire.head().await;
            wire.send(until_close).await;
            wire.rest().await;
        })
    };
    let stage = stage().origin(site(80)).origin(site(443)).lab(|lab| lab.on_change(OnChange::Kill)).start().await;
    let mut plain = stage.client().dial().await;
    plain.send("GET http://site.test/ HTTP/1.0\r\nHost: site.test\r\n\r\n").await;
    plain.head().await;
    let mut tunnel = stage.client().connect("site.test:443").await;
    tunnel.send("GET / HTTP/1.0\r\n\r\n").await;
    tunnel.head().await;
    let block = Change::Add { rule: RuleSpec::new("site.test", Action::Block), at: None };
    assert_eq!(stage.lab.change(block).unwrap().affected, [1, 2]);
    assert_eq!((plain.rest().await.1, tunnel.rest().await.1), (Ending::Cut, Ending::Cut));
    assert!(stage.records(2).await.iter().all(|record| record.outcome == Some(Outcome::Plain)));
}

#[tokio::test]
async fn with_kill_streams_of_http_2_are_cut_and_still_recorded() {
    let (frames, body) = tokio::sync::mpsc::unbounded_channel();
    let body = Mutex::new(Some(body));
    let site = origin("site.test").h2(move |_, _| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Ok(http::Response::new(h2::by_hand(body))) }
    });
    let stage = stage().origin(site).lab(|lab| lab.on_change(OnChange::Kill)).start().await;
    let mut sender = stage.client().h2("site.test").await;
    let answer = sender.send_request(h2::request("GET", "https://site.test/", h2::full(""))).await.unwrap();
    frames.send(Ok(hyper::body::Frame::data("half".into()))).unwrap();
    assert_eq!(stage.lab.bypass("site.test").unwrap().affected, [1]);
    let body = soon("the end", http_body_util::BodyExt::collect(answer.into_body())).await;
    assert!(body.is_err(), "half a body looks whole");
    let record = stage.accepted().await;
    assert_eq!((record.exchange_count, &*record.end.as_ref().unwrap().how), (1, "ended"));
}

#[tokio::test]
async fn with_kill_a_connection_that_still_waits_for_its_origin_ends_at_once() {
    let (address, _kept) = unanswering().await;
    let entries = [443, 80].map(|port| format!("site.test:{port}:{address}").parse().unwrap());
    let lab = |lab: LabBuilder| {
        let lab = lab.bypass("site.test").on_change(OnChange::Kill);
        lab.config(|config| config.resolve.extend(entries))
    };
    let stage = stage().lab(lab).start().await;
    let mut tunnel = stage.client().connect("site.test:443").await;
    tunnel.send(stage.client().hello("site.test")).await;
    let mut other = stage.client().connect("site.test:443").await;
    other.send("not TLS").await;
    let mut plain = stage.client().dial().await;
    plain.send(get("site.test", "http://site.test/")).await;
    let decided = async {
        while stage.lab.journal().live().iter().filter(|live| live.asked().is_some()).count() < 3 {
            tokio::task::yield_now().await;
        }
    };
    soon("three decisions", decided).await;
    // The clock stands still: no limit of a dial ends them.
    tokio::time::pause();
    let block = Change::Add { rule: RuleSpec::new("site.test", Action::Block), at: None };
    assert_eq!(stage.lab.change(block).unwrap().affected.len(), 3);
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.lab.journal().open_count(), 0, "a connection still waits for its origin");
    tokio::time::resume();
    for wire in [&mut tunnel, &mut other, &mut plain] {
        assert_eq!(wire.rest().await, (String::new(), Ending::Cut));
    }
    for record in stage.records(3).await {
        assert_eq!(record.end.as_ref().unwrap().by, "middlebox");
    }
}

#[tokio::test]
async fn with_kill_what_follows_an_upgrade_is_cut() {
    let site = origin("site.test").plays(|mut wire, report| async move {
        wire.head().await;
        wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello").await;
        report.say(format!("{:?}", wire.rest().await.1));
    });
    let stage = stage().origin(site).lab(|lab| lab.on_change(OnChange::Kill)).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send("GET / HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await;
    client.head().await;
    client.expect("hello").await;
    stage.lab.bypass("site.test").unwrap();
    assert_eq!(client.rest().await.1, Ending::Cut);
    assert_eq!((stage.hears().await.as_str(), stage.accepted().await.exchanges[0].status), ("Cut", Some(101)));
}

#[tokio::test]
async fn a_drained_tunnel_closes_once_it_is_quiet() {
    let site = origin("site.test").without_tls(443).plays(|mut wire, report| async move {
        wire.more().await.unwrap();
        wire.send("hello").await;
        report.say(format!("{:?}", wire.rest().await.1));
    });
    let stage = stage().origin(site).lab(|lab| lab.bypass("site.test").on_change(OnChange::Drain)).start().await;
    let mut client = stage.client().connect("site.test:443").await;
    client.send(stage.client().hello("site.test")).await;
    client.expect("hello").await;
    assert_eq!(stage.lab.remove("site.test").unwrap().affected, [1]);
    // From here on only the clock moves.
    tokio::time::pause();
    assert_eq!(client.rest().await.1, Ending::Orderly);
    tokio::time::resume();
    let record = stage.record().await;
    assert_eq!((record.outcome, &*record.end.as_ref().unwrap().how), (Some(Outcome::Bypassed), "drained"));
    assert_eq!(stage.hears().await, "Orderly");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_connection_is_decided_under_an_epoch_older_than_the_last_answer() {
    let site = origin("site.test").without_tls(443).plays(|mut wire, _| async move { drop(wire.rest().await) });
    let stage = stage().origin(site).start().await;
    let (answered, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let floors: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (answered, over, floors, client) = (answered.clone(), over.clone(), floors.clone(), stage.client());
        clients.spawn(async move {
            for turn in 0.. {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let device = format!("{number}-{turn}");
                floors.lock().unwrap().insert(device.clone(), answered.load(Ordering::SeqCst));
                let client = client.clone().header(&format!("Middlebox-Device: {device}"));
                let mut wire = client.connect("site.test:443").await;
                wire.send("not TLS").await;
                wire.close().await;
            }
        });
    }
    for _ in 0..100 {
        answered.store(stage.lab.bypass("other.test").unwrap().applied.epoch, Ordering::SeqCst);
        tokio::task::yield_now().await;
        answered.store(stage.lab.remove("other.test").unwrap().applied.epoch, Ordering::SeqCst);
        stage.until(|_| true).await;
    }
    over.store(true, Ordering::SeqCst);
    soon("the clients", async { while clients.join_next().await.transpose().unwrap().is_some() {} }).await;
    let floors = floors.lock().unwrap().clone();
    let records = stage.records(floors.len()).await;
    assert!(records.len() > 8, "{} connections", records.len());
    for record in records {
        let (device, epoch) = (record.client.device.as_ref().unwrap(), record.decision.as_ref().unwrap().epoch);
        assert!(epoch >= floors[device], "decided under {epoch}, after {} was answered", floors[device]);
    }
}

#[tokio::test]
async fn each_rule_counts_its_hits_once_per_connection() {
    let hosts = ["in.test", "by.test", "no.test"];
    let mut builder = stage();
    for host in hosts {
        builder = builder.origin(origin(host).answers(HELLO));
    }
    let rules = |lab: LabBuilder| lab.inspect("in.test").bypass("by.test").block("no.test").bypass("unseen.test");
    let stage = builder.lab(rules).start().await;
    for _ in 0..2 {
        drop(stage.client().tls("in.test").await);
        drop(stage.client().tls("by.test").await);
        stage.client().ask("no.test:443").await;
    }
    let actions: Vec<_> =
        stage.records(6).await.iter().map(|record| record.decision.as_ref().unwrap().action).collect();
    assert_eq!(actions[..3], [DecisionKind::Inspect, DecisionKind::Bypass, DecisionKind::Block]);
    let policy = stage.lab.policy().current();
    let hits: Vec<_> = policy.rules().iter().map(|rule| (rule.pattern.to_string(), rule.hits())).collect();
    let expected = [("in.test", 2), ("by.test", 2), ("no.test", 2), ("unseen.test", 0)];
    assert_eq!(hits, expected.map(|(pattern, hits)| (pattern.to_owned(), hits)));
    assert!(stage.lab.change(Change::Remove(Selector::new("unseen.test"))).unwrap().applied.changed);
}
