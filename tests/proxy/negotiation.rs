//! What the legs agree on: the client gets what the origin chose, and HTTP/2 goes through end to end.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Frame;
use rustls::CipherSuite;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::support::client::agreed;
use crate::support::{HELLO, get, h2, origin, soon, stage, trust};

#[tokio::test]
async fn the_client_is_offered_what_the_origin_chose() {
    for (offers, wants, agrees) in [
        (&["h2"][..], &["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1"], &["h2", "http/1.1"], Some("http/1.1")),
        (&["h2", "http/1.1"], &["h2", "http/1.1"], Some("h2")),
        (&["h2", "http/1.1"], &["http/1.1"], Some("http/1.1")),
        (&["http/1.1", "h2"], &["h2", "http/1.1"], Some("http/1.1")),
        (&[], &["h2", "http/1.1"], None),
        (&["h2", "http/1.1"], &[], None),
    ] {
        let stage = stage().origin(origin("site.test").alpn(offers).answers(HELLO)).start().await;
        // Once with an origin that is seen for the first time, once with a known one.
        for _ in 0..2 {
            let stream = stage.client().alpn(wants).tls_stream("site.test").await.unwrap();
            assert_eq!(agreed(&stream).as_deref(), agrees, "{wants:?} meets {offers:?}");
        }
        for record in stage.records(2).await {
            let of_client = record.handshake.as_ref().map(|handshake| handshake.alpn.as_deref());
            let of_origin = record.origin.as_ref().map(|origin| origin.alpn.as_deref());
            assert_eq!((of_client, of_origin), (Some(agrees), Some(agrees)), "{record:#?}");
        }
    }
}

/// Keeps the cipher suites that it is offered.
#[derive(Debug)]
struct Offered {
    resolver: Arc<dyn ResolvesServerCert>,
    suites: Mutex<Vec<CipherSuite>>,
}

impl ResolvesServerCert for Offered {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        *self.suites.lock().unwrap() = hello.cipher_suites().to_vec();
        self.resolver.resolve(hello)
    }
}

#[tokio::test]
async fn origins_are_offered_what_costs_less_first() {
    let mut config = trust::server_config(&["site.test".to_owned()], &[]);
    let offered = Arc::new(Offered { resolver: Arc::clone(&config.cert_resolver), suites: Mutex::default() });
    config.cert_resolver = Arc::clone(&offered) as _;
    let stage = stage().origin(origin("site.test").tls(config).answers(HELLO)).start().await;
    drop(stage.client().tls("site.test").await);
    stage.record().await;
    let suites = offered.suites.lock().unwrap().clone();
    let at = |suite| suites.iter().position(|offered| *offered == suite);
    assert_eq!(at(CipherSuite::TLS13_AES_128_GCM_SHA256), Some(0), "{suites:?}");
    assert!(at(CipherSuite::TLS13_AES_256_GCM_SHA384).is_some(), "{suites:?}");
}

#[tokio::test]
async fn http_2_passes_bodies_and_trailers_both_ways() {
    let origin = origin("site.test").h2(|request, report| async move {
        let heads = format!("{} {:?} {:?}", request.method(), request.uri().path(), request.headers().get("x-up"));
        report.say(heads);
        let body = request.into_body().collect().await?;
        report.say(format!("{:?}", body.trailers().and_then(|trailers| trailers.get("x-sum"))));
        let (frames, answer) = tokio::sync::mpsc::unbounded_channel();
        frames.send(Ok(Frame::data(body.to_bytes())))?;
        frames.send(Ok(Frame::trailers([("x-count".parse()?, "7".parse()?)].into_iter().collect())))?;
        Ok(http::Response::builder().status(201).header("x-down", "2").body(h2::by_hand(answer))?)
    });
    let stage = stage().origin(origin).start().await;
    let mut sender = stage.client().h2("site.test").await;
    let (frames, body) = tokio::sync::mpsc::unbounded_channel();
    let mut request = h2::request("POST", "https://site.test/x", h2::by_hand(body));
    request.headers_mut().insert("x-up", "1".parse().unwrap());
    frames.send(Ok(Frame::data(Bytes::from("content")))).unwrap();
    frames.send(Ok(Frame::trailers([("x-sum".parse().unwrap(), "9".parse().unwrap())].into_iter().collect()))).unwrap();
    drop(frames);
    let answer = soon("an answer", sender.send_request(request)).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-down"]), (201, &"2".parse().unwrap()));
    let body = soon("a body", answer.into_body().collect()).await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-count"], "7");
    assert_eq!(body.to_bytes(), "content");
    assert_eq!(stage.hears().await, "POST \"/x\" Some(\"1\")");
    assert_eq!(stage.hears().await, "Some(\"9\")");
    drop(sender);
    let record = stage.accepted().await;
    let exchange = &record.exchanges[0];
    assert_eq!((exchange.version, exchange.path.as_str(), exchange.status), ("HTTP/2", "/x", Some(201)));
    assert_eq!((record.bytes_up, record.bytes_down), (7, 7));
}

#[tokio::test]
async fn many_streams_of_one_connection_are_one_record() {
    let origin = origin("site.test").h2(|request, _| async move {
        let path = request.uri().path().to_owned();
        Ok(http::Response::new(h2::full(path)))
    });
    let stage = stage().origin(origin).start().await;
    let sender = stage.client().h2("site.test").await;
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..50 {
        let mut sender = sender.clone();
        asking.spawn(async move {
            let path = format!("/{number}");
            let request = h2::request("GET", &format!("https://site.test{path}"), h2::full(""));
            let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
            assert_eq!(answer.to_bytes(), path);
        });
    }
    soon("all answers", async { while asking.join_next().await.transpose().unwrap().is_some() {} }).await;
    drop(sender);
    let record = stage.accepted().await;
    assert_eq!((record.exchange_count, record.exchanges.len()), (50, 32));
}

#[tokio::test]
async fn proxy_headers_stay_on_their_hop_in_http_2_too() {
    let origin = origin("site.test").h2(|request, report| async move {
        let names: Vec<_> = request.headers().keys().map(ToString::to_string).collect();
        report.say(names.join(" "));
        let answer = http::Response::builder().header("proxy-authenticate", "Basic").header("alt-svc", "h3=\":443\"");
        Ok(answer.header("x-kept", "1").body(h2::full(""))?)
    });
    let stage = stage().origin(origin).start().await;
    let mut sender = stage.client().h2("site.test").await;
    let request = http::Request::get("https://site.test/").header("proxy-authorization", "Basic s3cr3t");
    let request = request.header("x-kept", "1").body(h2::full("")).unwrap();
    let answer = soon("an answer", sender.send_request(request)).await.unwrap();
    let names: Vec<_> = answer.headers().keys().map(ToString::to_string).filter(|name| name != "date").collect();
    assert_eq!(names, ["x-kept"]);
    assert_eq!(stage.hears().await, "x-kept");
    drop((answer, sender));
    stage.accepted().await;
}

#[tokio::test]
async fn an_origin_that_goes_away_between_requests_sends_the_client_to_a_new_connection() {
    let stage = stage().origin(origin("site.test").answers_once(HELLO)).start().await;
    for _ in 0..2 {
        let mut client = stage.client().tls("site.test").await;
        client.send(get("site.test", "/")).await;
        assert_eq!(client.answer().await.1, "hello");
        assert_eq!(client.rest().await.1, crate::support::Ending::Orderly);
    }
    let records = stage.records(2).await;
    assert!(records.iter().all(|record| record.end.as_ref().unwrap().by == "origin"));
    assert!(records[1].forged.as_ref().unwrap().cached);
}

#[tokio::test]
async fn a_stream_that_the_client_resets_is_reset_for_the_origin_alone() {
    let (frames, body) = tokio::sync::mpsc::unbounded_channel();
    let body = std::sync::Mutex::new(Some(body));
    let origin = origin("site.test").h2(move |_, _| {
        let body = body.lock().unwrap().take();
        async move { Ok(http::Response::new(body.map_or_else(|| h2::full("second"), h2::by_hand))) }
    });
    let stage = stage().origin(origin).start().await;
    let mut sender = stage.client().h2("site.test").await;
    let request = || h2::request("GET", "https://site.test/", h2::full(""));
    drop(soon("an answer", sender.send_request(request())).await.unwrap());
    soon("the origin's stream to be reset", frames.closed()).await;
    let answer = soon("an answer", sender.send_request(request())).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "second");
    drop(sender);
    assert_eq!(stage.accepted().await.exchange_count, 2);
}
