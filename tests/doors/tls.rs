//! TLS to the proxy itself, by HTTP/1.1 and by HTTP/2, by name and by address.

use middlebox::journal::{Outcome, Told, Via};
use middlebox::net::{Host, ResolveEntry, ResolveHosts};

use crate::door::{status, to_proxy};
use crate::support::client::{agreed, shown};
use crate::support::{Ending, HELLO, Wire, get, origin, stage};

#[tokio::test]
async fn the_proxy_shows_a_certificate_for_the_name_or_address_by_which_it_is_known() {
    for name in ["localhost", "proxy.corp.test", "127.0.0.1"] {
        let stage = stage().start().await;
        let client = stage.client().alpn(&["http/1.1", "h2"]);
        let stream = client.handshake(client.dial().await, name).await.unwrap();
        assert_eq!((shown(&stream).names, agreed(&stream).as_deref()), (vec![name.to_owned()], Some("h2")));
        drop(stream);
        let record = stage.record().await;
        assert_eq!((record.outcome, record.via), (Some(Outcome::Unused), None));
    }
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_proxy_never_asks_it() {
    let stage = stage().start().await;
    let client = stage.client().without_the_ca();
    assert!(client.handshake(client.dial().await, "localhost").await.is_err());
    let record = stage.record().await;
    assert_eq!((record.outcome, record.via, &record.decision), (Some(Outcome::GaveUp), None, &None));
    assert!(record.end.as_ref().unwrap().how.contains("TLS with the proxy itself"), "{:?}", record.end);
}

#[tokio::test]
async fn a_hello_to_the_proxy_in_single_bytes_is_read_whole() {
    let stage = stage().start().await;
    let client = stage.client();
    let mut wire = client.dial().await;
    for byte in client.hello("localhost") {
        wire.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(wire.bytes(3).await[..2], [22, 3], "a ServerHello");
    drop(wire);
    assert_eq!(stage.record().await.outcome, Some(Outcome::GaveUp));
}

#[tokio::test]
async fn plain_requests_go_over_tls_to_the_proxy() {
    let stage = stage().origin(origin("site.test").without_tls(80).answers(HELLO)).start().await;
    let mut wire = to_proxy(&stage.client(), &[]).await;
    wire.send("GET http://site.test/x HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    wire.expect(HELLO).await;
    wire.close().await;
    let record = stage.record().await;
    assert_eq!((record.outcome, record.via), (Some(Outcome::Plain), Some(Via::AbsoluteForm)));
    assert_eq!(record.exchanges[0].status, Some(200));
}

#[tokio::test]
async fn a_tunnel_over_tls_ends_in_order_only_where_the_origin_does() {
    for (how, ending) in [("in order", Ending::Orderly), ("cut", Ending::Cut)] {
        let site = origin("site.test").without_tls(443);
        let site = if ending == Ending::Cut { site.resets() } else { site };
        let site = site.plays(|mut wire, _| async move {
            wire.expect("go").await;
        });
        let stage = stage().origin(site).start().await;
        let mut wire = to_proxy(&stage.client(), &[]).await;
        wire.send("CONNECT site.test:443 HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
        assert_eq!(status(&wire.head().await), 200);
        wire.send("go").await;
        assert_eq!(wire.rest().await.1, ending, "{how}");
        drop(wire);
        assert_eq!(stage.record().await.outcome, Some(Outcome::Plain));
    }
}

#[tokio::test]
async fn tls_through_two_middleboxes_one_inside_the_other_is_inspected_by_both() {
    // The outer tunnel leads to the inner proxy, to which TLS is spoken again; the outer one inspects neither.
    let inner = stage().origin(origin("site.test").answers(HELLO)).start().await;
    let to_inner = ResolveEntry {
        hosts: ResolveHosts::Exact(Host::parse("inner.test").unwrap()),
        port: 3128,
        addresses: vec![inner.proxy()],
    };
    let outer = stage().lab(|lab| lab.bypass("inner.test").config(|config| config.resolve.push(to_inner)));
    let outer = outer.start().await;
    let mut wire = to_proxy(&outer.client(), &[]).await;
    wire.send("CONNECT inner.test:3128 HTTP/1.1\r\nHost: inner.test\r\n\r\n").await;
    assert_eq!(status(&wire.head().await), 200);
    let mut wire = Wire::new(inner.client().handshake(wire, "inner.test").await.unwrap());
    wire.send("CONNECT site.test:443 HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    assert_eq!(status(&wire.head().await), 200);
    let mut wire = Wire::new(inner.client().handshake(wire, "site.test").await.unwrap());
    wire.send(get("site.test", "/")).await;
    assert_eq!(wire.answer().await.1, "hello");
    wire.close().await;
    inner.accepted().await;
    assert_eq!(outer.record().await.outcome, Some(Outcome::Bypassed));
}

#[tokio::test]
async fn a_request_that_is_not_for_a_proxy_is_refused_inside() {
    let stage = stage().start().await;
    let mut wire = to_proxy(&stage.client(), &["http/1.1"]).await;
    wire.send(get("127.0.0.1", "/")).await;
    assert_eq!(status(&wire.head().await), 400);
    drop(wire);
    assert_eq!(stage.record().await.told, Some(Told::Status(400)));
}
