//! What the client says first, however it says it.

use middlebox::journal::{DecisionKind, Outcome, Told};

use crate::support::{Ending, HELLO, get, origin, stage};

/// Breaks one TLS record into several, none longer than `most`.
fn in_records(record: &[u8], most: usize) -> Vec<u8> {
    let (header, body) = record.split_at(5);
    let mut out = Vec::new();
    for piece in body.chunks(most) {
        out.extend_from_slice(&header[..3]);
        out.extend_from_slice(&u16::try_from(piece.len()).unwrap().to_be_bytes());
        out.extend_from_slice(piece);
    }
    out
}

#[tokio::test]
async fn a_hello_in_single_bytes_is_read_whole() {
    let stage = stage().origin(origin("site.test").answers(HELLO)).start().await;
    let client = stage.client().sni("site.test");
    let mut wire = client.connect("other.test:443").await;
    let hello = client.hello("site.test");
    for byte in &hello[..hello.len() - 1] {
        wire.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    drop(wire);
    let record = stage.record().await;
    // Without its last byte it is no hello; nothing was decided on half of one.
    assert_eq!((record.outcome, record.hello.is_none()), (Some(Outcome::GaveUp), true));
    let mut wire = client.connect("site.test:443").await;
    for byte in &hello {
        wire.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(wire.bytes(3).await[..2], [22, 3], "a ServerHello");
    drop(wire);
    let record = stage.records(2).await.remove(1);
    let seen = record.hello.as_ref().unwrap();
    assert_eq!(
        (seen.sni.as_deref(), seen.size),
        (Some("site.test"), hello.len() - 5),
        "without the header of its record"
    );
}

#[tokio::test]
async fn a_hello_over_several_records_and_a_large_one_are_read_whole() {
    let stage = stage().origin(origin("site.test").answers(HELLO)).start().await;
    let client = stage.client();
    let hello = client.hello("site.test");
    assert!(hello.len() > 1200, "the hello carries a post-quantum key share: {} bytes", hello.len());
    for most in [1, 17, 700] {
        let mut wire = client.connect("site.test:443").await;
        wire.send(in_records(&hello, most)).await;
        assert_eq!(wire.bytes(3).await[..2], [22, 3], "a ServerHello after records of {most}");
    }
    for record in stage.records(3).await {
        assert_eq!(record.hello.as_ref().unwrap().sni.as_deref(), Some("site.test"));
        assert_eq!(record.decision.as_ref().unwrap().action, DecisionKind::Inspect);
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_is_unused() {
    let stage = stage().origin(origin("site.test").without_tls(443)).start().await;
    drop(stage.client().dial().await);
    stage.client().connect("site.test:443").await.close().await;
    for record in stage.records(2).await {
        assert_eq!((record.outcome, record.end.as_ref().unwrap().by), (Some(Outcome::Unused), "client"));
    }
}

#[tokio::test]
async fn an_origin_that_greets_first_gets_a_plain_tunnel() {
    let greeting = origin("mail.test").without_tls(25).plays(|mut wire, report| async move {
        wire.send("220 mail.test ESMTP\r\n").await;
        report.say(String::from_utf8(wire.bytes(6).await).unwrap());
        wire.send("221 bye\r\n").await;
        wire.close().await;
    });
    let stage = stage().origin(greeting).start().await;
    let mut client = stage.client().connect("mail.test:25").await;
    client.expect("220 mail.test ESMTP\r\n").await;
    client.send("QUIT\r\n").await;
    client.expect("221 bye\r\n").await;
    assert_eq!(stage.hears().await, "QUIT\r\n");
    assert_eq!(client.rest().await.1, Ending::Orderly);
    drop(client);
    let record = stage.record().await;
    assert_eq!((record.outcome, record.bytes_up, record.bytes_down), (Some(Outcome::Plain), 6, 30));
    assert_eq!(record.notes, ["the origin speaks first"]);
}

#[tokio::test]
async fn a_server_first_protocol_to_a_blocked_address_is_reset() {
    let greeting = origin("10.9.8.7").without_tls(25).plays(|mut wire, _| async move {
        let _ = wire.try_send("220 hello\r\n").await;
        wire.rest().await;
    });
    let stage = stage().origin(greeting).lab(|lab| lab.block("10.0.0.0/8")).start().await;
    let (head, _) = stage.client().ask("10.9.8.7:25").await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let record = stage.record().await;
    assert_eq!((record.outcome, &record.told), (Some(Outcome::Blocked), &Some(Told::Status(403))));
}

#[tokio::test]
async fn plain_http_and_garbage_inside_a_tunnel_pass_untouched() {
    for said in
        [get("site.test", "/"), "\0\u{1}\u{2}garbage\r\n\r\n".to_owned(), "\u{16}\u{3}\u{9}".repeat(50) + "\r\n\r\n"]
    {
        let stage = stage().origin(origin("site.test").without_tls(443).answers(HELLO)).start().await;
        let mut client = stage.client().connect("site.test:443").await;
        client.send(&said).await;
        client.expect(HELLO).await;
        assert_eq!(stage.hears().await, said);
        client.close().await;
        let record = stage.record().await;
        assert_eq!(record.outcome, Some(Outcome::Plain), "{said:?}: {record:#?}");
        assert_eq!(record.bytes_up, said.len() as u64);
    }
}

#[tokio::test]
async fn bytes_sent_along_with_the_connect_are_not_lost() {
    let stage = stage().origin(origin("site.test").without_tls(443).answers(HELLO)).start().await;
    let mut client = stage.client().dial().await;
    client.send(format!("CONNECT site.test:443 HTTP/1.1\r\nHost: site.test\r\n\r\n{}", get("site.test", "/"))).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    client.expect(HELLO).await;
    client.close().await;
    assert_eq!(stage.record().await.outcome, Some(Outcome::Plain));
}

#[tokio::test]
async fn the_sni_decides_and_a_bypass_needs_both_names() {
    let bypassed = |lab: middlebox::lab::LabBuilder| lab.bypass("good.test");
    let sites = || stage().origin(origin("good.test").answers(HELLO)).origin(origin("evil.test").answers(HELLO));
    for (host, sni, action) in [
        ("good.test", "good.test", DecisionKind::Bypass),
        ("good.test", "evil.test", DecisionKind::Inspect),
        ("evil.test", "good.test", DecisionKind::Inspect),
    ] {
        let stage = sites().lab(bypassed).start().await;
        let _ = stage.client().sni(sni).try_tls(host).await;
        let record = stage.record().await;
        let decision = record.decision.as_ref().unwrap();
        assert_eq!(decision.action, action, "CONNECT {host}, SNI {sni}: {decision:#?}");
        let destination = record.destination.as_ref().unwrap().host.to_string();
        assert_eq!((destination.as_str(), record.hello.as_ref().unwrap().sni.as_deref()), (host, Some(sni)));
        if host != sni {
            assert_eq!(record.notes, [format!("the client asked for {host}, its hello for {sni}")]);
        }
    }
}
