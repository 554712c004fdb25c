//! SOCKS 5, 4 and 4a.

use middlebox::journal::{Outcome, Told, Via};
use middlebox::net::Host;

use crate::door::{request4a, request5};
use crate::support::{HELLO, Stage, Wire, get, origin, stage};

const ADDRESSES: [(&str, &[u8]); 2] =
    [("10.1.2.3", &[1, 10, 1, 2, 3]), ("2001:db8::7", &[4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7])];

async fn at(host: &str) -> Stage {
    stage().origin(origin(host).without_tls(443).answers(HELLO)).start().await
}

/// Sees that what is asked for is served, and recorded like this.
async fn served(stage: &Stage, mut wire: Wire, host: &str, via: Via) {
    wire.send(get("site.test", "/")).await;
    wire.expect(HELLO).await;
    wire.close().await;
    let record = stage.record().await;
    assert_eq!((record.outcome, record.via), (Some(Outcome::Plain), Some(via)));
    let destination = record.destination.as_ref().unwrap();
    assert_eq!((&destination.host, destination.port), (&Host::parse(host).unwrap(), 443));
}

#[tokio::test]
async fn version_5_takes_addresses_of_both_families_and_names_in_any_spelling() {
    for (host, address) in ADDRESSES {
        let stage = at(host).await;
        let mut wire = stage.client().dial().await;
        wire.send([5, 2, 0, 2]).await;
        wire.expect([5, 0]).await;
        wire.send([&[5, 1, 0], address, &443_u16.to_be_bytes()].concat()).await;
        assert_eq!(wire.bytes(10).await, [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        served(&stage, wire, host, Via::Socks5).await;
    }
    for spelled in ["Site.TEST", "site.test."] {
        let stage = at("site.test").await;
        let mut wire = stage.client().dial().await;
        wire.send([&[5, 1, 0], request5(spelled, 443).as_slice()].concat()).await;
        assert_eq!(wire.bytes(12).await[..4], [5, 0, 5, 0]);
        served(&stage, wire, "site.test", Via::Socks5).await;
    }
}

#[tokio::test]
async fn version_4_takes_an_address_and_4a_a_name() {
    let stage = at("10.1.2.3").await;
    let mut wire = stage.client().dial().await;
    wire.send([4, 1, 1, 187, 10, 1, 2, 3, 0]).await;
    assert_eq!(wire.bytes(8).await, [0, 90, 0, 0, 0, 0, 0, 0]);
    served(&stage, wire, "10.1.2.3", Via::Socks4).await;

    let stage = at("site.test").await;
    let mut wire = stage.client().dial().await;
    wire.send(request4a("site.test", 443)).await;
    assert_eq!(wire.bytes(8).await[1], 90);
    served(&stage, wire, "site.test", Via::Socks4).await;
}

#[tokio::test]
async fn requests_in_single_bytes_are_read_whole() {
    let four = (request4a("site.test", 443), 8, Via::Socks4);
    let five = ([&[5, 1, 0], request5("site.test", 443).as_slice()].concat(), 12, Via::Socks5);
    for (said, answer, via) in [four, five] {
        let stage = at("site.test").await;
        let mut wire = stage.client().dial().await;
        for byte in said {
            wire.send([byte]).await;
            tokio::task::yield_now().await;
        }
        wire.bytes(answer).await;
        served(&stage, wire, "site.test", via).await;
    }
}

#[tokio::test]
async fn a_hello_in_the_same_packet_as_the_request_is_inspected() {
    let four = (request4a("site.test", 443), 8);
    let five = ([&[5, 1, 0], request5("site.test", 443).as_slice()].concat(), 12);
    for (said, answer) in [four, five] {
        let stage = stage().origin(origin("site.test").answers(HELLO)).start().await;
        let client = stage.client();
        let mut wire = client.dial().await;
        wire.send([said, client.hello("site.test")].concat()).await;
        wire.bytes(answer).await;
        assert_eq!(wire.bytes(3).await[..2], [22, 3], "a ServerHello");
        drop(wire);
        let record = stage.record().await;
        assert_eq!(record.hello.as_ref().unwrap().sni.as_deref(), Some("site.test"));
        assert!(record.forged.is_some(), "{record:#?}");
    }
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_with_the_code_for_it() {
    let long = [&[5, 1, 0, 3, 255], [b'a'; 255].as_slice(), &[1, 187]].concat();
    let cases: [(&str, Vec<u8>, u8); 8] = [
        ("BIND", vec![5, 2, 0, 1, 10, 1, 2, 3, 1, 187], 7),
        ("UDP", vec![5, 3, 0, 1, 10, 1, 2, 3, 1, 187], 7),
        ("an unknown type of address", vec![5, 1, 0, 2, 10, 1, 2, 3, 1, 187], 8),
        ("port 0", vec![5, 1, 0, 1, 10, 1, 2, 3, 0, 0], 1),
        ("another version", vec![4, 1, 0, 1, 10, 1, 2, 3, 1, 187], 1),
        ("a name without letters", vec![5, 1, 0, 3, 0, 1, 187], 8),
        ("a name with a blank", request5("a b", 443), 8),
        ("a label over 63 characters", long, 8),
    ];
    for (what, request, code) in cases {
        let stage = stage().start().await;
        let mut wire = stage.client().dial().await;
        wire.send([5, 1, 0]).await;
        wire.expect([5, 0]).await;
        wire.send(request).await;
        assert_eq!(wire.bytes(10).await[..2], [5, code], "{what}");
        assert_eq!(wire.rest().await.0, "", "{what}");
        drop(wire);
        let record = stage.record().await;
        let seen = (record.outcome, record.via, &record.told);
        assert_eq!(seen, (Some(Outcome::Failed), Some(Via::Socks5), &Some(Told::Close)), "{what}");
    }
}

#[tokio::test]
async fn version_4_refuses_what_it_does_not_serve_and_names_without_an_end() {
    let bind = vec![4, 2, 1, 187, 10, 1, 2, 3, 0];
    let nowhere = vec![4, 1, 0, 0, 10, 1, 2, 3, 0];
    let user = [&[4, 1, 1, 187, 10, 1, 2, 3], vec![b'u'; 600].as_slice()].concat();
    let name = [&[4, 1, 1, 187, 0, 0, 0, 1, 0], vec![b'n'; 600].as_slice()].concat();
    let long = request4a(&"n".repeat(300), 443);
    for (what, said) in [("BIND", bind), ("port 0", nowhere), ("user", user), ("name", name), ("long name", long)] {
        let stage = stage().start().await;
        let mut wire = stage.client().dial().await;
        wire.send(said).await;
        assert_eq!(wire.bytes(8).await[..2], [0, 91], "{what}");
        drop(wire);
        let record = stage.record().await;
        assert_eq!((record.outcome, record.via), (Some(Outcome::Failed), Some(Via::Socks4)), "{what}");
    }
}

#[tokio::test]
async fn a_client_that_only_knows_user_names_is_let_in_where_none_is_asked_for() {
    let stage = at("site.test").await;
    let mut wire = stage.client().dial().await;
    wire.send([5, 1, 2]).await;
    wire.expect([5, 2]).await;
    wire.send(b"\x01\x03ann\x00").await;
    wire.expect([1, 0]).await;
    wire.send(request5("site.test", 443)).await;
    wire.bytes(10).await;
    served(&stage, wire, "site.test", Via::Socks5).await;
}

#[tokio::test]
async fn a_client_that_leaves_inside_its_request_gave_up() {
    for said in [vec![5], vec![5, 1, 0, 5, 1], vec![4, 1, 1]] {
        let stage = stage().start().await;
        let mut wire = stage.client().dial().await;
        wire.send(&said).await;
        wire.shut().await;
        wire.rest().await;
        assert_eq!(stage.record().await.outcome, Some(Outcome::GaveUp), "{said:?}");
    }
}
