//! Limits, refusals and shutting down: reached ones are answered and recorded, never a hang.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use middlebox::journal::{DecisionKind, Outcome, Told};
use middlebox::lab::LabBuilder;
use middlebox::proxy::Credentials;
use tokio::sync::Notify;

use crate::support::origin::{BEGUN, ENDED};
use crate::support::{Client, Ending, HELLO, get, origin, soon, stage};

const EVERYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// A head of so many bytes.
fn head_of(size: usize) -> String {
    let begin = "GET http://site.test/ HTTP/1.1\r\nHost: site.test\r\nX: ";
    format!("{begin}{}\r\n\r\n", "x".repeat(size - begin.len() - 4))
}

#[tokio::test]
async fn one_connection_too_many_is_a_503_until_another_ends() {
    let stage = stage().lab(|lab| lab.config(|config| config.max_connections = 2)).start().await;
    let held = [stage.client().dial().await, stage.client().dial().await];
    while stage.lab.journal().open_count() < 2 {
        tokio::task::yield_now().await;
    }
    let (answer, _) = stage.client().dial().await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("connection_limit_reached"), "{answer}");
    drop(held);
    let records = stage.records(3).await;
    assert_eq!((records[2].outcome, &records[2].told), (Some(Outcome::Blocked), &Some(Told::Status(503))));
    stage.client().connect("site.test:443").await.close().await;
    stage.records(4).await;
}

#[tokio::test]
async fn a_head_may_have_64_kib_and_no_more() {
    let stage = stage().origin(origin("site.test").without_tls(80).answers(HELLO)).start().await;
    for (size, status) in [(64 << 10, 200), ((64 << 10) + 1, 400), (300 << 10, 400)] {
        let mut client = stage.client().dial().await;
        let _ = client.try_send(head_of(size)).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{size} bytes: {head}");
    }
    let records = stage.records(3).await;
    assert_eq!((records[2].outcome, &records[2].told), (Some(Outcome::Failed), &Some(Told::Status(400))));
}

#[tokio::test]
async fn the_same_holds_inside_inspected_tls() {
    let stage = stage().origin(origin("site.test").answers(HELLO)).start().await;
    let many = format!("GET / HTTP/1.1\r\nHost: site.test\r\n{}\r\n", "x: 1\r\n".repeat(256));
    for request in [head_of(300 << 10), many] {
        let mut client = stage.client().tls("site.test").await;
        let _ = client.try_send(request).await;
        let (answer, _) = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    }
    assert!(stage.records(2).await.iter().all(|record| record.told == Some(Told::StatusInside(400))));
}

#[tokio::test]
async fn the_proxy_does_not_connect_to_itself() {
    let control = SocketAddr::from(([127, 0, 0, 1], 9));
    let stage = stage().lab(|lab| lab.config(|config| config.own_ports.push(control))).start().await;
    let port = stage.proxy().port();
    let targets =
        [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::1]:{port}"), "127.0.0.1:9".into()];
    for target in &targets {
        let (head, _) = stage.client().ask(target).await;
        assert!(head.starts_with("HTTP/1.1 403 ") && head.contains("proxy_loop_detected"), "{target}: {head}");
    }
    let mut client = stage.client().dial().await;
    client.send(format!("GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 403 "));
    drop(client);
    for record in stage.records(5).await {
        assert_eq!((record.outcome, &record.told), (Some(Outcome::Blocked), &Some(Told::Status(403))));
    }
}

#[tokio::test]
async fn a_name_that_leads_to_the_proxy_itself_is_refused_once_it_is_dialled() {
    let first = stage().start().await;
    let own = first.proxy();
    assert!(first.lab.drain().await);
    // The port is free again and known: the next lab listens on it, and a name points there.
    let entry = format!("trap.test:443:{own}").parse().unwrap();
    let lab = |lab: LabBuilder| lab.listen(own).config(|config| config.resolve.push(entry));
    let Ok(stage) = super::stage().lab(lab).try_start().await else {
        eprintln!("skipped: another program took the port");
        return;
    };
    let mut client = stage.client().tls("trap.test").await;
    client.send(get("trap.test", "/")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 403 "));
    drop(client);
    let records = stage.lab.records().await;
    assert_eq!(records[0].told, Some(Told::StatusInside(403)));
}

#[tokio::test]
async fn a_lab_is_never_an_open_proxy() {
    let error = stage().lab(|lab| lab.listen(EVERYWHERE)).try_start().await.err().expect("a refusal");
    assert!(error.to_string().contains("--allow-client") && !error.is_environment(), "{error}");
    let with_password = |lab: LabBuilder| {
        lab.listen(EVERYWHERE).config(|config| config.credentials = Some(Credentials::one("ann", "x").unwrap()))
    };
    assert!(stage().lab(with_password).try_start().await.is_ok());
}

#[tokio::test]
async fn clients_outside_the_allow_list_are_turned_away() {
    // The address of this machine's own that packets to elsewhere would have; nothing is sent.
    let own = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let Some(own) = own.ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback()) else {
        eprintln!("skipped: this machine has no address but loopback");
        return;
    };
    for (network, allowed) in [("198.51.100.0/24".to_owned(), false), (format!("{own}/32"), true)] {
        let network = network.parse().unwrap();
        let lab = |lab: LabBuilder| lab.listen(EVERYWHERE).config(|config| config.allow_clients.push(network));
        let stage = stage().origin(origin("site.test").without_tls(80).answers(HELLO)).lab(lab).start().await;
        let at = SocketAddr::new(own, stage.proxy().port());
        let client = Client::new(at, stage.lab.authority().ca().root().clone());
        let mut wire = client.dial().await;
        let _ = wire.try_send(get("site.test", "http://site.test/")).await;
        let head = wire.head().await;
        assert!(head.starts_with(if allowed { "HTTP/1.1 200 " } else { "HTTP/1.1 403 " }), "{head}");
        drop(wire);
        let record = stage.record().await;
        assert_eq!(record.outcome, Some(if allowed { Outcome::Plain } else { Outcome::Blocked }));
    }
}

#[tokio::test]
async fn hosts_that_the_ca_may_not_sign_for_are_bypassed_and_recorded_so() {
    let (inside, outside) = (origin("a.ok.test").answers(HELLO), origin("site.test").answers(HELLO));
    let lab = |lab: LabBuilder| lab.config(|config| config.permits.push("ok.test".parse().unwrap()));
    let stage = stage().origin(inside).origin(outside).lab(lab).start().await;
    for host in ["a.ok.test", "site.test"] {
        let mut client = stage.client().tls(host).await;
        client.send(get(host, "/")).await;
        assert_eq!(client.answer().await.1, "hello");
        client.close().await;
    }
    let records = stage.records(2).await;
    assert_eq!((records[0].outcome, records[1].outcome), (Some(Outcome::Accepted), Some(Outcome::Bypassed)));
    assert_eq!(records[1].decision.as_ref().unwrap().action, DecisionKind::Bypass);
    assert!(records[1].notes[0].contains("constrained"), "{:?}", records[1].notes);
}

#[tokio::test]
async fn a_wrong_password_leaves_the_connection_for_the_right_one() {
    let credentials =
        |lab: LabBuilder| lab.config(|config| config.credentials = Some(Credentials::one("ann", "s3cr3t").unwrap()));
    let stage = stage().origin(origin("site.test").without_tls(80).answers(HELLO)).lab(credentials).start().await;
    let mut client = stage.client().dial().await;
    let url = "http://site.test/";
    client.send(get("site.test", url)).await;
    assert!(client.answer().await.0.contains("Proxy-Authenticate: Basic realm="));
    // ann:s3cr3t, and ann:wrong after it: what was proven once does not carry over.
    for (word, status) in [("YW5uOnMzY3IzdA==", 200), ("YW5uOndyb25n", 407)] {
        let request = get("site.test", url).replacen("\r\n", &format!("\r\nProxy-Authorization: Basic {word}\r\n"), 1);
        client.send(request).await;
        assert!(client.answer().await.0.starts_with(&format!("HTTP/1.1 {status} ")));
    }
    assert!(!stage.hears().await.contains("Proxy-"), "the origin is not told");
    client.close().await;
    let outcomes: Vec<_> = stage.records(3).await.iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Blocked), Some(Outcome::Plain), Some(Outcome::Blocked)]);
}

#[tokio::test]
async fn shutting_down_lets_a_running_exchange_end() {
    let go = Arc::new(Notify::new());
    let site = origin("site.test").waits_for(Arc::clone(&go));
    let stage =
        stage().origin(site).lab(|lab| lab.config(|config| config.grace = Duration::from_secs(30))).start().await;
    let journal = stage.lab.journal().clone();
    let mut client = stage.client().tls("site.test").await;
    let idle = stage.client().tls("site.test").await;
    client.send(get("site.test", "/")).await;
    client.expect(BEGUN).await;
    let proxy = stage.proxy();
    let draining = tokio::spawn(stage.lab.drain());
    let mut idle = idle;
    assert_eq!(soon("the idle one", idle.rest()).await.1, Ending::Orderly);
    assert!(tokio::net::TcpStream::connect(proxy).await.is_err(), "it does not listen any more");
    go.notify_one();
    assert_eq!(client.rest().await, (ENDED.to_owned(), Ending::Orderly));
    assert!(soon("the drain", draining).await.unwrap(), "nothing had to be cut");
    let records = journal.records(true);
    assert_eq!((records.len(), &*records[0].end.as_ref().unwrap().how), (2, "drained"));
    for record in &records {
        crate::support::stage::check(record);
    }
}

#[tokio::test]
async fn shutting_down_cuts_what_does_not_end_within_the_grace() {
    let site = origin("site.test").never_finishes();
    let grace = Duration::from_millis(50);
    let stage = stage().origin(site).lab(|lab| lab.config(|config| config.grace = grace)).start().await;
    let journal = stage.lab.journal().clone();
    let mut client = stage.client().tls("site.test").await;
    client.send(get("site.test", "/")).await;
    client.expect(BEGUN).await;
    assert!(!stage.lab.drain().await, "something had to be cut");
    assert_eq!(client.rest().await.1, Ending::Cut);
    assert_eq!(journal.open_count(), 0);
    crate::support::stage::check(&journal.records(false)[0]);
}

#[tokio::test]
async fn a_client_that_was_asked_for_its_password_does_not_hold_up_the_end() {
    let credentials =
        |lab: LabBuilder| lab.config(|config| config.credentials = Some(Credentials::one("ann", "x").unwrap()));
    let stage = stage().lab(credentials).start().await;
    let (head, mut silent) = stage.client().ask("site.test:443").await;
    assert!(head.starts_with("HTTP/1.1 407 "), "{head}");
    assert!(stage.lab.drain().await, "nothing runs, so nothing has to be cut");
    assert_ne!(silent.rest().await.0, "");
}

#[tokio::test]
async fn who_is_slow_is_told_when_the_time_is_over() {
    let stage = stage().start().await;
    let mut silent = stage.client().dial().await;
    let mut slow = stage.client().dial().await;
    slow.send("CONNECT site.test:443 HTTP/1.1\r\nHost:").await;
    let mut tunnel = stage.client().connect("site.test:443").await;
    tunnel.send([22, 3, 1]).await;
    stage.until(|record| record.stages.requested.is_some()).await;
    while stage.lab.journal().open_count() < 3 {
        tokio::task::yield_now().await;
    }
    // From here on only the clock moves.
    tokio::time::pause();
    for _ in 0..4 {
        tokio::time::advance(Duration::from_secs(20)).await;
    }
    tokio::time::resume();
    assert_eq!(tunnel.rest().await.1, Ending::Orderly);
    assert_eq!(silent.rest().await, (String::new(), Ending::Orderly));
    let (answer, _) = slow.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let mut outcomes: Vec<_> = stage.records(3).await.iter().map(|record| record.outcome.unwrap()).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [Outcome::Unused, Outcome::GaveUp, Outcome::Failed]);
}
