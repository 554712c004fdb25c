//! HTTP/1.1 through inspection and in absolute form: nothing changes that does not have to.

use futures_util::{SinkExt, StreamExt};
use middlebox::journal::{Outcome, Via};
use middlebox::lab::LabBuilder;
use middlebox::net::Host;
use middlebox::simulation::{Alpn, App, OriginSpec};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Ending, HELLO, get, origin, soon, stage};

/// Header lines that no library writes: order, case, duplicates and spaces are the test.
const ODD: &str = "\r\nx-second: 2\r\nX-First:1\r\nx-SECOND:   two  \r\nAccept: */*\r\n\r\n";

const ODD_ANSWER: &str =
    "HTTP/1.1 200 Quite Right\r\nsErVeR: odd\r\nContent-Length: 2\r\nX-A: 1\r\nx-a:2 \r\nx-A:\r\n\r\nok";

#[tokio::test]
async fn inspection_passes_heads_byte_for_byte_both_ways() {
    let stage = stage().origin(origin("site.test").answers(ODD_ANSWER)).start().await;
    let mut client = stage.client().tls("site.test").await;
    let request = format!("GET /x%20y?b=1&a=2 HTTP/1.1\r\nhOST: site.test{ODD}");
    client.send(&request).await;
    client.expect(ODD_ANSWER).await;
    assert_eq!(stage.hears().await, request);
    client.close().await;
    let record = stage.accepted().await;
    assert_eq!((record.exchanges[0].path.as_str(), record.exchanges[0].status), ("/x%20y", Some(200)));
    assert_eq!((record.bytes_up, record.bytes_down), (0, 2));
}

#[tokio::test]
async fn the_absolute_form_changes_in_its_target_alone() {
    let stage = stage().origin(origin("site.test").without_tls(80).answers(ODD_ANSWER)).start().await;
    let mut client = stage.client().dial().await;
    client.send(format!("GET http://site.test/x%20y?b=1&a=2 HTTP/1.1\r\nhOST: site.test{ODD}")).await;
    client.expect(ODD_ANSWER).await;
    assert_eq!(stage.hears().await, format!("GET /x%20y?b=1&a=2 HTTP/1.1\r\nhOST: site.test{ODD}"));
    client.close().await;
    let record = stage.record().await;
    assert_eq!((record.outcome, record.via), (Some(Outcome::Plain), Some(Via::AbsoluteForm)));
    assert_eq!(record.exchanges[0].path, "/x%20y");
}

#[tokio::test]
async fn the_host_of_an_absolute_form_is_its_target() {
    // RFC 9112, 3.2.2: what stands in Host is not what was decided on, so it must not reach the origin.
    let stage = stage().origin(origin("site.test").without_tls(80).answers(HELLO)).start().await;
    let mut client = stage.client().dial().await;
    client.send("GET http://site.test/ HTTP/1.1\r\nA: 1\r\nHost: other.test\r\nB: 2\r\n\r\n").await;
    client.answer().await;
    assert_eq!(stage.hears().await, "GET / HTTP/1.1\r\nA: 1\r\nHost: site.test\r\nB: 2\r\n\r\n");
    client.send("GET http://site.test:80/ HTTP/1.0\r\n\r\n").await;
    client.answer().await;
    assert_eq!(stage.hears().await, "GET / HTTP/1.0\r\nHost: site.test:80\r\n\r\n");
    client.close().await;
    assert_eq!(stage.record().await.exchanges[0].host, "site.test");
}

#[tokio::test]
async fn with_pool_a_client_that_leaves_without_a_word_leaves_its_origin_to_the_next() {
    let pooled = |lab: LabBuilder| lab.config(|config| config.pool = true);
    let stage = stage().origin(origin("site.test").answers(HELLO)).lab(pooled).start().await;
    for number in 1..=2 {
        let mut client = stage.client().tls("site.test").await;
        client.send("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
        client.answer().await;
        stage.hears().await;
        // No close_notify.
        drop(client);
        let records = stage.records(number).await;
        let is_pooled = records[number - 1].notes.iter().any(|note| note.contains("pooled"));
        assert_eq!(is_pooled, number == 2, "{records:#?}");
    }
}

#[tokio::test]
async fn what_is_meant_for_one_hop_stays_on_it() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: X-Down\r\nX-Down: 1\r\nKeep-Alive: timeout=5\r\n\
                  Proxy-Authenticate: Basic\r\nAlt-Svc: h3=\":443\"\r\nX-Kept: 1\r\nContent-Length: 0\r\n\r\n";
    let stage = stage().origin(origin("site.test").answers(answer)).start().await;
    let mut client = stage.client().tls("site.test").await;
    let request = "GET / HTTP/1.1\r\nHost: site.test\r\nConnection: keep-alive, X-Up, TE\r\nX-Up: 1\r\nTE: trailers\r\n\
                   Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic s3cr3t\r\nX-Kept: 1\r\n\r\n";
    client.send(request).await;
    client.expect("HTTP/1.1 200 OK\r\nX-Kept: 1\r\nContent-Length: 0\r\n\r\n").await;
    let heard = stage.hears().await;
    let expected =
        "GET / HTTP/1.1\r\nHost: site.test\r\nConnection: keep-alive, TE\r\nTE: trailers\r\nX-Kept: 1\r\n\r\n";
    assert_eq!(heard, expected);
    client.close().await;
    stage.accepted().await;
}

#[tokio::test]
async fn chunks_extensions_and_trailers_pass_both_ways() {
    let body = "4;name=\"v\"\r\nWiki\r\n5\r\npedia\r\n0\r\nX-Sum: 9\r\n\r\n";
    let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let play = origin("site.test").plays(move |mut wire, report| {
        let answer = answer.clone();
        async move {
            wire.head().await;
            report.say(String::from_utf8(wire.bytes(body.len()).await).unwrap());
            wire.send(&answer).await;
            wire.rest().await;
        }
    });
    let stage = stage().origin(play).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send("POST / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send(body).await;
    assert!(client.head().await.contains("chunked"));
    client.expect(body).await;
    assert_eq!(stage.hears().await, body);
    client.close().await;
    let record = stage.accepted().await;
    assert_eq!((record.bytes_up, record.bytes_down), (body.len() as u64, body.len() as u64));
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_usable() {
    let play = origin("site.test").plays(|mut wire, _| async move {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n",
            HELLO,
        ] {
            wire.head().await;
            wire.send(answer).await;
        }
        wire.rest().await;
    });
    let stage = stage().origin(play).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send("HEAD / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    assert!(client.head().await.contains("Content-Length: 1000"));
    for status in ["204", "304", "200"] {
        client.send(get("site.test", "/")).await;
        assert!(client.head().await.contains(status));
    }
    client.expect("hello").await;
    client.close().await;
    let record = stage.accepted().await;
    let statuses: Vec<_> = record.exchanges.iter().filter_map(|exchange| exchange.status).collect();
    assert_eq!((statuses, record.bytes_down), (vec![200, 204, 304, 200], 5));
}

#[tokio::test]
async fn interim_answers_come_through_while_the_request_waits() {
    let play = origin("site.test").plays(|mut wire, report| async move {
        wire.head().await;
        wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n").await;
        wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        report.say(String::from_utf8(wire.bytes(4).await).unwrap());
        wire.send(HELLO).await;
        wire.rest().await;
    });
    let stage = stage().origin(play).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send("PUT / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n").await;
    client.expect("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n").await;
    client.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("body").await;
    assert_eq!(stage.hears().await, "body");
    client.expect(HELLO).await;
    client.close().await;
    assert_eq!(stage.accepted().await.exchanges[0].status, Some(200));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let play = origin("site.test").plays(|mut wire, report| async move {
        while let Some(head) = wire.try_head().await {
            let path = head.split(['?', ' ']).nth(1).unwrap().to_owned();
            report.say(&path);
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len())).await;
        }
    });
    let stage = stage().origin(play).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send([get("site.test", "/1"), get("site.test", "/2"), get("site.test", "/3")].concat()).await;
    for path in ["/1", "/2", "/3"] {
        assert_eq!(client.answer().await.1, path);
        assert_eq!(stage.hears().await, path);
    }
    client.close().await;
    assert_eq!(stage.accepted().await.exchange_count, 3);
}

#[tokio::test]
async fn an_early_answer_does_not_stop_the_upload() {
    let play = origin("site.test").plays(|mut wire, report| async move {
        wire.head().await;
        wire.send(HELLO).await;
        report.say(String::from_utf8(wire.bytes(10).await).unwrap());
        wire.head().await;
        wire.send(HELLO).await;
        wire.rest().await;
    });
    let stage = stage().origin(play).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send("POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 10\r\n\r\n").await;
    client.expect(HELLO).await;
    client.send("0123456789").await;
    assert_eq!(stage.hears().await, "0123456789");
    client.send(get("site.test", "/next")).await;
    client.expect(HELLO).await;
    client.close().await;
    let record = stage.accepted().await;
    assert_eq!((record.exchange_count, record.bytes_up), (2, 10));
}

#[tokio::test]
async fn an_origin_that_refuses_an_upload_and_closes_is_heard() {
    let refusal = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 7\r\n\r\ntoo big";
    let stage = stage().origin(origin("site.test").answers_once(refusal)).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send("POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 100000000\r\n\r\n").await;
    // Whatever the sockets take: the origin reads none of it.
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        if client.try_send(&piece).await.is_err() {
            break;
        }
    }
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 413 ") && body == "too big", "{head}");
    drop(client);
    assert_eq!(stage.accepted().await.exchanges[0].status, Some(413));
}

#[tokio::test]
async fn the_connection_closes_where_either_side_asks_for_it() {
    let stage = stage().origin(origin("site.test").answers(HELLO)).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send("GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n").await;
    assert!(stage.hears().await.contains("\r\nConnection: close\r\n"));
    let (answer, ending) = client.rest().await;
    assert_eq!((answer.as_str(), ending), (HELLO, Ending::Orderly));
    let record = stage.accepted().await;
    assert_eq!(record.end.as_ref().unwrap().by, "client", "{record:#?}");

    let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    let stage = super::stage().origin(origin("site.test").answers(closing)).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send(get("site.test", "/")).await;
    assert_eq!(client.rest().await, (closing.to_owned(), Ending::Orderly));
    let record = stage.accepted().await;
    assert_eq!(record.end.as_ref().unwrap().by, "origin", "{record:#?}");
}

#[tokio::test]
async fn http_1_0_and_bodies_until_the_end_are_relayed() {
    let answer = "HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil the end";
    let stage = stage().origin(origin("site.test").answers_once(answer)).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send("GET /old HTTP/1.0\r\nHost: site.test\r\n\r\n").await;
    let (read, ending) = client.rest().await;
    assert_eq!((read.as_str(), ending), (answer, Ending::Orderly));
    assert_eq!(stage.hears().await, "GET /old HTTP/1.0\r\nHost: site.test\r\n\r\n");
    let record = stage.accepted().await;
    assert_eq!((record.exchanges[0].version, record.bytes_down), ("HTTP/1.0", 13));
}

#[tokio::test]
async fn a_websocket_echoes_through_inspection() {
    let mut spec = OriginSpec::new(vec![Host::parse("echo.test").unwrap()], App::Echo);
    spec.alpn = vec![Alpn::Http1];
    let stage = stage().lab(|lab| lab.simulate([spec])).start().await;
    let stream = stage.client().alpn(&["http/1.1"]).tls_stream("echo.test").await.unwrap();
    let opening = tokio_tungstenite::client_async("wss://echo.test/ws?token=s3cr3t", stream);
    let (mut socket, _) = soon("a WebSocket", Box::pin(opening)).await.unwrap();
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(soon("an echo", socket.next()).await.unwrap().unwrap(), Message::text(text));
    }
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = soon("the end", socket.next()).await {}
    drop(socket);
    let record = stage.accepted().await;
    assert_eq!((record.exchange_count, record.exchanges[0].status), (1, Some(101)));
    assert!(record.bytes_up > 6 && record.bytes_down > 6, "{record:#?}");
    let seen = record.exchanges[0].websocket.as_ref().unwrap();
    for (counts, from) in [(&seen.up, "client"), (&seen.down, "origin")] {
        assert_eq!((counts.frames, counts.text, counts.payload_bytes), (3, 2, 6), "{seen:#?}");
        assert_eq!((counts.close, counts.fault), (Some(1005), None), "{seen:#?}");
        let lengths: Vec<_> = seen.frames.iter().filter(|frame| frame.from == from).map(|frame| frame.length).collect();
        assert_eq!(lengths, [3, 3, 0]);
    }
}

#[tokio::test]
async fn absolute_form_requests_to_two_destinations_are_two_records() {
    let (one, two) = (origin("one.test").without_tls(80), origin("two.test").without_tls(80));
    let stage = stage().origin(one.answers(HELLO)).origin(two.answers(HELLO)).start().await;
    let mut client = stage.client().dial().await;
    for host in ["one.test", "one.test", "two.test"] {
        client.send(get(host, &format!("http://{host}/"))).await;
        client.answer().await;
    }
    client.close().await;
    let records = stage.records(2).await;
    let counts: Vec<_> = records.iter().map(|record| (record.host().unwrap(), record.exchange_count)).collect();
    assert_eq!(counts, [("one.test".to_owned(), 2), ("two.test".to_owned(), 1)]);
    assert!(records.iter().all(|record| record.outcome == Some(Outcome::Plain)));
}
