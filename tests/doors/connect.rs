//! HTTP/1.1 to the proxy.

use middlebox::journal::{DecisionKind, Outcome, Told, Via};
use middlebox::proxy::Credentials;

use crate::door::{basic, status};
use crate::support::{Ending, HELLO, SECRET, Wire, get, origin, stage};

#[tokio::test]
async fn a_connect_in_single_bytes_is_read_whole() {
    let stage = stage().origin(origin("site.test").answers(HELLO)).start().await;
    let client = stage.client();
    let mut wire = client.dial().await;
    for byte in b"\r\nCONNECT site.test:443 HTTP/1.1\r\nHost: site.test\r\nUser-Agent: slow/1\r\n\r\n" {
        wire.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    wire.expect("HTTP/1.1 200 Connection established\r\n\r\n").await;
    let mut wire = Wire::new(client.handshake(wire, "site.test").await.unwrap());
    wire.send(get("site.test", "/")).await;
    assert_eq!(wire.answer().await.1, "hello");
    wire.close().await;
    let record = stage.accepted().await;
    assert_eq!((record.via, record.client.user_agent.as_deref()), (Some(Via::Connect), Some("slow/1")));
}

#[tokio::test]
async fn a_connect_of_http_1_0_opens_a_tunnel() {
    let stage = stage().origin(origin("site.test").without_tls(443).answers(HELLO)).start().await;
    let mut wire = stage.client().dial().await;
    wire.send("CONNECT site.test:443 HTTP/1.0\r\n\r\n").await;
    assert_eq!(status(&wire.head().await), 200);
    wire.send(get("site.test", "/")).await;
    wire.expect(HELLO).await;
    wire.close().await;
    assert_eq!(stage.record().await.outcome, Some(Outcome::Plain));
}

#[tokio::test]
async fn each_connect_on_one_connection_has_a_record_until_one_is_refused_for_good() {
    let ann = Credentials::one("ann", SECRET).unwrap();
    let stage = stage().lab(|lab| lab.block("bad.test").config(|config| config.credentials = Some(ann))).start().await;
    let mut wire = stage.client().dial().await;
    let connect = "CONNECT bad.test:443 HTTP/1.1\r\nHost: bad.test\r\n";
    wire.send(format!("{connect}\r\n")).await;
    let (head, _) = wire.answer().await;
    assert!(status(&head) == 407 && head.contains("Proxy-Authenticate: Basic realm="), "{head}");
    wire.send(format!("{connect}Proxy-Authorization: {}\r\n\r\n", basic(("ann", "wrong")))).await;
    assert_eq!(status(&wire.answer().await.0), 407);
    wire.send(format!("{connect}Proxy-Authorization: {}\r\n\r\n", basic(("ann", SECRET)))).await;
    let (head, _) = wire.answer().await;
    assert!(status(&head) == 403 && head.contains("Connection: close"), "{head}");
    assert_eq!(wire.rest().await, (String::new(), Ending::Orderly));
    let told: Vec<_> = stage.records(3).await.iter().map(|record| record.told.clone().unwrap()).collect();
    assert_eq!(told, [Told::Status(407), Told::Status(407), Told::Status(403)]);
}

#[tokio::test]
async fn a_target_that_is_none_is_a_bad_request() {
    for target in ["site.test", "site.test:0", "site.test:http", "/", "a b.test:443", "[::1:443"] {
        let stage = stage().start().await;
        let mut wire = stage.client().dial().await;
        wire.send(format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(status(&wire.head().await), 400, "{target}");
        drop(wire);
        let record = stage.record().await;
        assert_eq!((record.outcome, &record.told), (Some(Outcome::Failed), &Some(Told::Status(400))), "{target}");
    }
}

#[tokio::test]
async fn ipv6_targets_are_matched_as_addresses() {
    let stage = stage().lab(|lab| lab.block("2001:db8::/32")).start().await;
    let (head, _) = stage.client().ask("[2001:db8::7]:443").await;
    assert_eq!(status(&head), 403);
    assert_eq!(stage.record().await.destination.as_ref().unwrap().to_string(), "[2001:db8::7]:443");
}

#[tokio::test]
async fn plain_requests_are_forwarded_and_a_blocked_one_is_refused() {
    let stage = stage()
        .origin(origin("site.test").without_tls(80).answers(HELLO))
        .lab(|lab| lab.block("bad.test"))
        .start()
        .await;
    let mut wire = stage.client().dial().await;
    wire.send("GET http://site.test/x HTTP/1.1\r\nHost: site.test\r\nProxy-Connection: keep-alive\r\n\r\n").await;
    wire.expect(HELLO).await;
    assert_eq!(stage.hears().await, "GET /x HTTP/1.1\r\nHost: site.test\r\n\r\n");
    wire.send("GET http://bad.test/ HTTP/1.1\r\nHost: bad.test\r\n\r\n").await;
    assert_eq!(status(&wire.head().await), 403);
    drop(wire);
    let records = stage.records(2).await;
    assert_eq!((records[0].outcome, records[0].via), (Some(Outcome::Plain), Some(Via::AbsoluteForm)));
    assert_eq!((records[1].outcome, records[1].via), (Some(Outcome::Blocked), Some(Via::AbsoluteForm)));
    assert_eq!(records[1].decision.as_ref().unwrap().action, DecisionKind::Block);
}

#[tokio::test]
async fn garbage_is_answered_at_once() {
    for said in [
        b"\0".as_slice(),
        b"\x01\x02\x03",
        b"\x80\x2e\x01",
        b"{}",
        b"SSH-2.0-x\r\n",
        b"hello\n",
        b"PRI * HTTP/2.0\r\n\r\nSX",
    ] {
        let stage = stage().start().await;
        let mut wire = stage.client().dial().await;
        wire.send(said).await;
        let (answer, ending) = wire.rest().await;
        assert_eq!((status(&answer), ending), (400, Ending::Orderly), "{said:?}: {answer}");
        drop(wire);
        let record = stage.record().await;
        assert_eq!((record.outcome, &record.told), (Some(Outcome::Failed), &Some(Told::Status(400))), "{said:?}");
    }
}
