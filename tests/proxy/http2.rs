//! HTTP/2 frame by frame: interim answers, extended CONNECT, resets with their codes, goodbyes, shared connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use middlebox::journal::{ConnectionRecord, Told};
use middlebox::lab::LabBuilder;
use middlebox::proxy::Limits;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::support::origin::Report;
use crate::support::{Client, Origin, Wire, origin, soon, stage};

type Connected = (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>);

/// An HTTP/2 client through inspection.
async fn http2(client: Client) -> Connected {
    let stream = client.alpn(&["h2"]).tls_stream("site.test").await.unwrap();
    let (sender, connection) = soon("a preface", h2::client::handshake(stream)).await.unwrap();
    (soon("room", sender.ready()).await.unwrap(), tokio::spawn(connection))
}

/// An origin that does this with each request, each in a task of its own.
fn http2_origin<F, P>(extended_connect: bool, play: F) -> Origin
where
    F: Fn(Request<RecvStream>, SendResponse<Bytes>, Report) -> P + Send + Sync + 'static,
    P: Future<Output = ()> + Send + 'static,
{
    let play = Arc::new(play);
    origin("site.test").alpn(&["h2"]).plays(move |wire: Wire, report| {
        let play = Arc::clone(&play);
        async move {
            report.say("connected");
            let mut builder = h2::server::Builder::new();
            if extended_connect {
                builder.enable_connect_protocol();
            }
            let Ok(mut connection) = builder.handshake(wire.stream).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                if request.uri().path() == "/goodbye" {
                    connection.graceful_shutdown();
                }
                tokio::spawn(play(request, respond, report.clone()));
            }
            report.say("over");
        }
    })
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("https://site.test{path}")).body(()).unwrap()
}

fn plain(respond: &mut SendResponse<Bytes>, body: &str) {
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true).unwrap();
}

async fn text(body: &mut RecvStream) -> Result<String, h2::Error> {
    let mut text = Vec::new();
    while let Some(data) = soon("data", body.data()).await {
        text.extend_from_slice(&data?);
    }
    Ok(String::from_utf8(text).unwrap())
}

async fn reset(stream: &mut SendStream<Bytes>) -> Reason {
    soon("a reset", std::future::poll_fn(|cx| stream.poll_reset(cx))).await.unwrap()
}

fn statuses(record: &ConnectionRecord) -> Vec<Option<u16>> {
    record.exchanges.iter().map(|exchange| exchange.status).collect()
}

#[tokio::test]
async fn interim_answers_come_through_in_order_and_before_the_answer() {
    let go = Arc::new(Notify::new());
    let gone = Arc::clone(&go);
    let site = http2_origin(false, move |mut request, mut respond, report| {
        let go = Arc::clone(&gone);
        async move {
            for (status, name) in [(103, "link"), (103, "link"), (100, "x-go")] {
                let interim = Response::builder().status(status).header(name, "</a.css>").header("proxy-x", "1");
                respond.send_informational(interim.body(()).unwrap()).unwrap();
            }
            go.notified().await;
            report.say(text(request.body_mut()).await.unwrap());
            plain(&mut respond, "done");
        }
    });
    let stage = stage().origin(site).start().await;
    let (mut sender, connection) = http2(stage.client()).await;
    let put = Request::put("https://site.test/").header("expect", "100-continue").body(()).unwrap();
    let (mut answer, mut body) = sender.send_request(put, false).unwrap();
    for (status, name) in [(103, "link"), (103, "link"), (100, "x-go")] {
        let interim = soon("an interim answer", std::future::poll_fn(|cx| answer.poll_informational(cx))).await;
        let interim = interim.unwrap().unwrap();
        assert_eq!((interim.status().as_u16(), &interim.headers()[name]), (status, &"</a.css>".parse().unwrap()));
        assert!(!interim.headers().contains_key("proxy-x"));
    }
    body.send_data(Bytes::from("content"), true).unwrap();
    go.notify_one();
    let mut answer = soon("an answer", answer).await.unwrap();
    assert_eq!(text(answer.body_mut()).await.unwrap(), "done");
    assert!(!answer.headers().contains_key("date"), "nothing is added");
    drop((sender, answer, body));
    soon("the end", connection).await.unwrap().unwrap();
    assert_eq!((stage.hears().await, stage.hears().await), ("connected".to_owned(), "content".to_owned()));
    assert_eq!(statuses(&*stage.accepted().await), [Some(200)]);
}

#[tokio::test]
async fn extended_connect_is_offered_where_the_origin_offers_it_and_carries_both_ways() {
    for offered in [true, false] {
        let site = http2_origin(offered, |mut request, mut respond, report| async move {
            let protocol = request.extensions().get::<Protocol>().map(|name| name.as_str().to_owned());
            report.say(format!("{} {protocol:?} {}", request.method(), request.uri()));
            let mut down = respond.send_response(Response::new(()), false).unwrap();
            while let Some(Ok(data)) = request.body_mut().data().await {
                let _ = request.body_mut().flow_control().release_capacity(data.len());
                down.send_data(data, false).unwrap();
            }
            down.send_data(Bytes::from("bye"), true).unwrap();
        });
        let stage = stage().origin(site).start().await;
        let (mut sender, connection) = http2(stage.client()).await;
        assert_eq!(stage.hears().await, "connected");
        // The settings are there with the first answer at the latest.
        let (answer, _) = sender.send_request(get("/"), true).unwrap();
        soon("an answer", answer).await.unwrap();
        assert_eq!(stage.hears().await, "GET None https://site.test/");
        assert_eq!(sender.is_extended_connect_protocol_enabled(), offered);
        if offered {
            let mut request = Request::connect("https://site.test/chat").body(()).unwrap();
            request.extensions_mut().insert(Protocol::from_static("websocket"));
            let (answer, mut up) = sender.send_request(request, false).unwrap();
            let mut answer = soon("an answer", answer).await.unwrap();
            assert_eq!(stage.hears().await, "CONNECT Some(\"websocket\") https://site.test/chat");
            // A text message and a ping, masked with zeros.
            for frame in [&b"\x81\x83\0\0\0\0one"[..], b"\x89\x83\0\0\0\0two"] {
                up.send_data(Bytes::from(frame), false).unwrap();
                let heard = soon("an echo", answer.body_mut().data()).await.unwrap().unwrap();
                answer.body_mut().flow_control().release_capacity(heard.len()).unwrap();
                assert_eq!(heard, frame);
            }
            // Half-closed: the origin still has the last word.
            up.send_data(Bytes::new(), true).unwrap();
            assert_eq!(text(answer.body_mut()).await.unwrap(), "bye");
        }
        drop(sender);
        soon("the end", connection).await.unwrap().unwrap();
        let record = stage.accepted().await;
        assert_eq!(statuses(&record).len(), if offered { 2 } else { 1 });
        if offered {
            assert_eq!((record.exchanges[1].method.as_str(), record.exchanges[1].request_bytes), ("CONNECT", 18));
            let seen = record.exchanges[1].websocket.as_ref().unwrap();
            assert_eq!((seen.up.frames, seen.up.text, seen.up.pings, seen.up.fault), (2, 1, 1, None));
            // An echo of what a client sends is nothing that an origin may send; it passed all the same.
            assert_eq!((seen.down.frames, seen.down.fault), (0, Some("a frame of the origin is masked")));
        }
    }
}

#[tokio::test]
async fn a_connect_without_a_protocol_is_not_passed_on() {
    let site = http2_origin(true, |_, mut respond, _| async move { plain(&mut respond, "never") });
    let stage = stage().origin(site).start().await;
    let (mut sender, _connection) = http2(stage.client()).await;
    let (answer, _up) = sender.send_request(Request::connect("other.test:443").body(()).unwrap(), false).unwrap();
    assert_eq!(soon("an answer", answer).await.unwrap().status().as_u16(), 405);
}

#[tokio::test]
async fn resets_keep_their_codes_on_both_ways() {
    const CODES: [Reason; 6] = [
        Reason::NO_ERROR,
        Reason::INTERNAL_ERROR,
        Reason::REFUSED_STREAM,
        Reason::CANCEL,
        Reason::ENHANCE_YOUR_CALM,
        Reason::HTTP_1_1_REQUIRED,
    ];
    let site = http2_origin(false, |request, mut respond, report| async move {
        match request.uri().path() {
            // Before an answer, and inside its body.
            "/before" => {
                let code = request.uri().query().unwrap().parse::<u32>().unwrap();
                respond.send_reset(code.into());
            }
            "/inside" => {
                let code = request.uri().query().unwrap().parse::<u32>().unwrap();
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                stream.send_data(Bytes::from("half"), false).unwrap();
                // The first data has to be there before the reset.
                let mut body = request.into_body();
                let _ = body.data().await;
                stream.send_reset(code.into());
            }
            _ => {
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                stream.send_data(Bytes::from("half"), false).unwrap();
                report.say(format!("{:?}", reset(&mut stream).await));
            }
        }
    });
    let stage = stage().origin(site).start().await;
    let (mut sender, connection) = http2(stage.client()).await;
    stage.hears().await;
    for code in CODES {
        let path = format!("/before?{}", u32::from(code));
        let (answer, _) = sender.send_request(get(&path), true).unwrap();
        assert_eq!(soon("a reset", answer).await.unwrap_err().reason(), Some(code), "before the answer");

        let path = format!("/inside?{}", u32::from(code));
        let post = Request::post(format!("https://site.test{path}")).body(()).unwrap();
        let (answer, mut up) = sender.send_request(post, false).unwrap();
        let mut answer = soon("an answer", answer).await.unwrap();
        assert_eq!(soon("data", answer.body_mut().data()).await.unwrap().unwrap(), "half");
        up.send_data(Bytes::from("go"), false).unwrap();
        let error = soon("a reset", answer.body_mut().data()).await.unwrap().unwrap_err();
        assert_eq!(error.reason(), Some(code), "inside the answer");

        let (answer, mut up) =
            sender.send_request(Request::post("https://site.test/by-client").body(()).unwrap(), false).unwrap();
        let mut answer = soon("an answer", answer).await.unwrap();
        assert_eq!(soon("data", answer.body_mut().data()).await.unwrap().unwrap(), "half");
        up.send_reset(code);
        assert_eq!(stage.hears().await, format!("{code:?}"), "by the client");
    }
    let (answer, _) = sender.send_request(get("/before?8"), true).unwrap();
    assert!(soon("a reset", answer).await.is_err(), "the connection lives on");
    drop(sender);
    soon("the end", connection).await.unwrap().unwrap();
    assert_eq!(stage.accepted().await.exchange_count, 19);
}

#[tokio::test]
async fn trailers_pass_alone_and_behind_data_as_grpc_needs_them() {
    let site = http2_origin(false, |mut request, mut respond, report| async move {
        let te = request.headers().get("te").cloned();
        report.say(format!("{te:?} {:?}", text(request.body_mut()).await));
        report.say(format!("{:?}", request.body_mut().trailers().await.unwrap().map(|trailers| trailers.len())));
        // What gRPC sends where a call fails: no data, and the status in the trailers; or all of it in one head.
        let ended = request.uri().path() == "/trailers-only";
        let head = Response::builder().header("content-type", "application/grpc");
        let head = if ended { head.header("grpc-status", "5") } else { head };
        let mut stream = respond.send_response(head.body(()).unwrap(), ended).unwrap();
        if !ended {
            let trailers = [("grpc-status", "0"), ("grpc-message", "ok")];
            let trailers = trailers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            stream.send_trailers(HeaderMap::from_iter(trailers)).unwrap();
        }
    });
    let stage = stage().origin(site).start().await;
    let (mut sender, connection) = http2(stage.client()).await;
    stage.hears().await;
    let call = |path: &str| {
        let request = Request::post(format!("https://site.test{path}"));
        request.header("te", "trailers").header("content-type", "application/grpc").body(()).unwrap()
    };
    let (answer, mut up) = sender.send_request(call("/call"), false).unwrap();
    up.send_trailers([("x-sum".parse().unwrap(), "1".parse().unwrap())].into_iter().collect()).unwrap();
    let mut answer = soon("an answer", answer).await.unwrap();
    assert_eq!(text(answer.body_mut()).await.unwrap(), "");
    let trailers = soon("trailers", answer.body_mut().trailers()).await.unwrap().unwrap();
    assert_eq!((&trailers["grpc-status"], &trailers["grpc-message"]), (&"0".parse().unwrap(), &"ok".parse().unwrap()));
    assert_eq!(stage.hears().await, "Some(\"trailers\") Ok(\"\")");
    assert_eq!(stage.hears().await, "Some(1)");
    drop((answer, up));
    let (answer, mut up) = sender.send_request(call("/trailers-only"), false).unwrap();
    up.send_data(Bytes::from("message"), true).unwrap();
    let answer = soon("an answer", answer).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "5");
    assert!(answer.body().is_end_stream(), "one frame stays one");
    assert_eq!(stage.hears().await, "Some(\"trailers\") Ok(\"message\")");
    drop((sender, answer, up));
    soon("the end", connection).await.unwrap().unwrap();
    stage.accepted().await;
}

#[tokio::test]
async fn a_request_that_names_its_host_in_a_field_alone_reaches_the_origin() {
    let site = http2_origin(false, |request, mut respond, report| async move {
        report.say(format!("{:?}", request.uri().authority().map(ToString::to_string)));
        plain(&mut respond, "");
    });
    let stage = stage().origin(site).start().await;
    let mut wire = stage.client().alpn(&["h2"]).tls("site.test").await;
    // HEADERS without `:authority`: `:method: GET`, `:scheme: https`, `:path: /`, and `host` as a literal.
    let fields = [&[0x82, 0x87, 0x84, 0x0f, 0x17, 9][..], b"site.test"].concat();
    let mut frame = vec![0, 0, u8::try_from(fields.len()).unwrap(), 1, 5, 0, 0, 0, 1];
    frame.extend(fields);
    wire.send([&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0], &frame].concat()).await;
    assert_eq!(stage.hears().await, "connected");
    assert_eq!(stage.hears().await, "Some(\"site.test\")");
    wire.close().await;
    assert_eq!(stage.accepted().await.exchanges[0].host, "site.test");
}

#[tokio::test]
async fn an_origin_that_says_goodbye_lets_its_streams_end_and_sends_the_client_to_a_new_connection() {
    let go = Arc::new(Notify::new());
    let gone = Arc::clone(&go);
    let site = http2_origin(false, move |request, mut respond, _| {
        let go = Arc::clone(&gone);
        async move {
            if request.uri().path() == "/slow" {
                go.notified().await;
            }
            plain(&mut respond, "whole");
        }
    });
    let stage = stage().origin(site).start().await;
    let (mut sender, mut connection) = http2(stage.client()).await;
    let (slow, _) = sender.send_request(get("/slow"), true).unwrap();
    let (last, _) = sender.send_request(get("/goodbye"), true).unwrap();
    let mut last = soon("an answer", last).await.unwrap();
    assert_eq!(text(last.body_mut()).await.unwrap(), "whole");
    // The client is told, too: it opens no more streams here.
    let told = async {
        while std::future::poll_fn(|cx| sender.poll_ready(cx)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon("a goodbye", told).await;
    go.notify_one();
    let mut slow = soon("the slow answer", slow).await.unwrap();
    assert_eq!(text(slow.body_mut()).await.unwrap(), "whole");
    soon("the end", &mut connection).await.unwrap().unwrap();
    let record = stage.accepted().await;
    assert_eq!((record.end.as_ref().unwrap().by, record.exchange_count), ("origin", 2), "{:?}", record.end);
}

#[tokio::test]
async fn an_origin_that_is_silent_is_a_504_and_a_body_that_stops_is_reset() {
    let site = http2_origin(false, |request, mut respond, report| async move {
        if request.uri().path() == "/never" {
            report.say(format!("{:?}", std::future::poll_fn(|cx| respond.poll_reset(cx)).await));
        } else {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from("half"), false).unwrap();
            report.say(format!("{:?}", reset(&mut stream).await));
        }
    });
    let limit = Duration::from_millis(400);
    let limits = Limits { answer: limit, idle: limit };
    let stage = stage().origin(site).lab(|lab| lab.config(|config| config.limits = limits)).start().await;
    let (mut sender, connection) = http2(stage.client()).await;
    stage.hears().await;
    let (answer, _) = sender.send_request(get("/never"), true).unwrap();
    let mut answer = soon("an answer", answer).await.unwrap();
    assert_eq!(answer.status().as_u16(), 504);
    assert!(text(answer.body_mut()).await.unwrap().contains("has not answered"));
    assert_eq!(stage.hears().await, "Ok(CANCEL)");
    let (half, _) = sender.send_request(get("/half"), true).unwrap();
    let error = text(soon("an answer", half).await.unwrap().body_mut()).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    assert_eq!(stage.hears().await, "CANCEL");
    drop((sender, answer));
    soon("the end", connection).await.unwrap().unwrap();
    let record = stage.accepted().await;
    assert_eq!((record.exchange_count, &record.told), (2, &Some(Told::StatusInside(504))));
}

#[tokio::test]
async fn an_origin_that_closes_before_it_answers_is_a_502() {
    let site = origin("site.test").alpn(&["h2"]).plays(|mut wire, report| async move {
        report.say("connected");
        wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
        wire.bytes(24 + 9).await;
        wire.more().await.unwrap();
        wire.close().await;
    });
    let stage = stage().origin(site).start().await;
    let (mut sender, _connection) = http2(stage.client()).await;
    let (answer, _) = sender.send_request(get("/"), true).unwrap();
    let outcome = soon("an answer", answer).await;
    match outcome {
        Ok(answer) => assert_eq!(answer.status().as_u16(), 502),
        // The origin may be gone before the request is on its way: the client may send it again elsewhere.
        Err(error) => assert_eq!(error.reason(), Some(Reason::REFUSED_STREAM)),
    }
    drop(sender);
    stage.accepted().await;
}

fn pooled(lab: LabBuilder) -> LabBuilder {
    lab.config(|config| config.pool = true)
}

#[tokio::test]
async fn with_pool_several_clients_share_one_connection_to_the_origin_at_once() {
    let streams = Arc::new(AtomicUsize::new(0));
    let (go, at) = (Arc::new(tokio::sync::Barrier::new(6)), Arc::clone(&streams));
    let site = http2_origin(false, move |_, mut respond, _| {
        let (go, streams) = (Arc::clone(&go), Arc::clone(&at));
        async move {
            streams.fetch_add(1, Ordering::Relaxed);
            // All of them are there at once.
            go.wait().await;
            plain(&mut respond, "shared");
        }
    });
    let stage = stage().origin(site).lab(pooled).start().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(http2(stage.client()).await);
        // The next one finds what this one opened.
        stage.until(|record| record.handshake.is_some() && record.origin.is_some()).await;
        let (sender, _) = clients.last_mut().unwrap();
        soon("room", sender.clone().ready()).await.unwrap();
    }
    let mut asked = Vec::new();
    for (sender, _) in &mut clients {
        for _ in 0..2 {
            asked.push(sender.send_request(get("/"), true).unwrap().0);
        }
    }
    for answer in asked {
        assert_eq!(text(soon("an answer", answer).await.unwrap().body_mut()).await.unwrap(), "shared");
    }
    for (sender, connection) in clients {
        drop(sender);
        soon("the end", connection).await.unwrap().unwrap();
    }
    assert_eq!(streams.load(Ordering::Relaxed), 6);
    let records = stage.records(3).await;
    let pooled = records.iter().filter(|record| record.notes.iter().any(|note| note.contains("pooled"))).count();
    assert!(pooled >= 1, "{records:#?}");
    assert!(records.iter().all(|record| record.exchange_count == 2));
    let mut connections = 0;
    while connections < 3 - pooled {
        assert_eq!(stage.hears().await, "connected");
        connections += 1;
    }
    assert!(stage.lab.drain().await, "a shared connection does not hold up the end");
}

#[tokio::test]
async fn a_client_that_leaves_a_shared_connection_takes_its_own_streams_along_and_no_other() {
    let site = http2_origin(false, |request, mut respond, report| async move {
        if request.uri().path() == "/open" {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            report.say(format!("{:?}", reset(&mut stream).await));
        } else {
            plain(&mut respond, "still here");
        }
    });
    let stage = stage().origin(site).lab(pooled).start().await;
    let (mut first, first_connection) = http2(stage.client()).await;
    assert_eq!(stage.hears().await, "connected");
    let (open, _) = first.send_request(get("/open"), true).unwrap();
    soon("an answer", open).await.unwrap();
    let (mut second, second_connection) = http2(stage.client()).await;
    let (answer, _) = second.send_request(get("/"), true).unwrap();
    assert_eq!(text(soon("an answer", answer).await.unwrap().body_mut()).await.unwrap(), "still here");
    first_connection.abort();
    assert_eq!(stage.hears().await, "CANCEL");
    let (answer, _) = second.send_request(get("/"), true).unwrap();
    assert_eq!(text(soon("an answer", answer).await.unwrap().body_mut()).await.unwrap(), "still here");
    drop((first, second));
    soon("the end", second_connection).await.unwrap().unwrap();
    stage.records(2).await;
}
