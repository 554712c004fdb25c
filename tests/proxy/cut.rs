//! What is cut short or malformed never looks whole: a client must not take half a body for all of it.

use middlebox::journal::{Outcome, Told};

use crate::support::{Ending, HELLO, get, h2, origin, stage};

#[tokio::test]
async fn a_body_that_the_origin_cuts_short_is_cut_for_the_client() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhalf",
    ] {
        let stage = stage().origin(origin("site.test").answers_and_cuts(answer)).start().await;
        let mut client = stage.client().tls("site.test").await;
        client.send(get("site.test", "/")).await;
        let (read, ending) = client.rest().await;
        assert!(read.contains("half"), "{read}");
        assert_eq!(ending, Ending::Cut, "after {answer}");
        assert_eq!(stage.accepted().await.end.as_ref().unwrap().by, "origin");
    }
}

#[tokio::test]
async fn a_framed_body_that_ends_early_in_order_is_cut_for_the_client() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let stage = stage().origin(origin("site.test").answers_once(answer)).start().await;
        let mut client = stage.client().tls("site.test").await;
        client.send(get("site.test", "/")).await;
        assert_eq!(client.rest().await, (answer.to_owned(), Ending::Cut));
        stage.accepted().await;
    }
}

#[tokio::test]
async fn a_plain_body_that_is_cut_short_ends_with_a_reset() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    let stage = stage().origin(origin("site.test").without_tls(80).answers_once(answer)).start().await;
    let mut client = stage.client().dial().await;
    client.send(get("site.test", "http://site.test/")).await;
    assert_eq!(client.head().await, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    assert_eq!(client.rest().await.1, Ending::Cut);
    assert_eq!(stage.record().await.outcome, Some(Outcome::Plain));
}

#[tokio::test]
async fn a_reset_inside_a_tunnel_stays_a_reset() {
    // Until the connection ends is how long this body is: an orderly end would make it whole.
    let reset = origin("site.test").without_tls(80).resets().plays(|mut wire, _| async move {
        wire.head().await;
        wire.send("HTTP/1.0 200 OK\r\n\r\nhalf").await;
        // The client has read so far: what a reset overtakes is lost.
        wire.bytes(1).await;
    });
    let stage = stage().origin(reset).start().await;
    let mut client = stage.client().connect("site.test:80").await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    client.expect("HTTP/1.0 200 OK\r\n\r\nhalf").await;
    client.send("x").await;
    let ending = client.rest().await.1;
    let record = stage.record().await;
    assert_eq!((ending, record.outcome), (Ending::Cut, Some(Outcome::Plain)), "{:?}", record.end);
}

#[tokio::test]
async fn a_stream_that_the_origin_resets_is_reset_for_the_client() {
    let (frames, body) = tokio::sync::mpsc::unbounded_channel();
    let body = std::sync::Mutex::new(Some(body));
    let origin = origin("site.test").h2(move |_, _| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Ok(http::Response::new(h2::by_hand(body))) }
    });
    let stage = stage().origin(origin).start().await;
    let mut sender = stage.client().h2("site.test").await;
    let request = h2::request("GET", "https://site.test/", h2::full(""));
    let mut body = sender.send_request(request).await.unwrap().into_body();
    frames.send(Ok(hyper::body::Frame::data("half".into()))).unwrap();
    let frame = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "half");
    frames.send(Err("the origin fails".into())).unwrap();
    let error = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("body"), "{error}");
    drop((body, sender));
    let record = stage.accepted().await;
    assert_eq!((record.exchange_count, record.bytes_down), (1, 4));
}

#[tokio::test]
async fn requests_that_two_parties_could_read_differently_are_refused() {
    let bad = [
        "GET / HTTP/1.1\nHost: site.test\n\n",
        "GET / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: site.test\r\nContent-Length: +1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : site.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: site.test\r\n folded: 1\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: site.test\r\n\r\n",
        "GET / HTTP/3\r\nHost: site.test\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ];
    let stage = stage().origin(origin("site.test").answers(HELLO)).start().await;
    for request in bad {
        let mut client = stage.client().tls("site.test").await;
        client.send(request).await;
        let (answer, ending) = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request:?} is answered {answer:?}");
        assert_eq!(ending, Ending::Orderly);
    }
    for record in stage.records(bad.len()).await {
        assert_eq!(record.told, Some(Told::StatusInside(400)));
        assert_eq!(record.end.as_ref().unwrap().by, "middlebox");
    }
}

#[tokio::test]
async fn the_same_is_refused_in_the_clear() {
    let stage = stage().origin(origin("site.test").without_tls(80).answers(HELLO)).start().await;
    for request in [
        "GET http://site.test/ HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET http://site.test/ HTTP/1.1\nHost: site.test\n\n",
        "GET /origin-form HTTP/1.1\r\nHost: site.test\r\n\r\n",
        "GET https://site.test/ HTTP/1.1\r\nHost: site.test\r\n\r\n",
        "CONNECT site.test HTTP/1.1\r\nHost: site.test\r\n\r\n",
        "CONNECT site.test:0 HTTP/1.1\r\nHost: site.test\r\n\r\n",
    ] {
        let mut client = stage.client().dial().await;
        client.send(request).await;
        let (answer, _) = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request:?} is answered {answer:?}");
    }
    for record in stage.records(6).await {
        assert_eq!((record.outcome, &record.told), (Some(Outcome::Failed), &Some(Told::Status(400))));
    }
}

#[tokio::test]
async fn answers_that_two_parties_could_read_differently_are_a_502() {
    for answer in [
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "",
    ] {
        let stage = stage().origin(origin("site.test").answers_once(answer)).start().await;
        let mut client = stage.client().tls("site.test").await;
        client.send(get("site.test", "/")).await;
        let (read, ending) = client.rest().await;
        assert!(read.starts_with("HTTP/1.1 502 ") && read.contains("Proxy-Status: middlebox;"), "{answer:?}: {read:?}");
        assert_eq!(ending, Ending::Orderly);
        let record = stage.accepted().await;
        assert_eq!(record.told, Some(Told::StatusInside(502)));
    }
}
