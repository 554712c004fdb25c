//! HTTP/2 to the proxy: what several tunnels on one connection do to each other, and how each of them ends.

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Ping, Reason, RecvStream, SendStream};
use http::Request;
use middlebox::journal::{Outcome, Told, Via};
use middlebox::policy::{Action, Change, OnChange, RuleSpec};
use middlebox::proxy::Credentials;

use crate::door::{basic, to_proxy, tunnel_request};
use crate::support::{Ending, HELLO, Origin, SECRET, Stage, Wire, origin, soon, stage};

/// A connection with HTTP/2 that the proxy has answered on, and its task.
async fn http2(wire: Wire) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let (sender, mut connection) = soon("a preface", h2::client::handshake(wire.stream)).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let connection = tokio::spawn(connection);
    soon("a PONG", pings.ping(Ping::opaque())).await.unwrap();
    (sender, connection)
}

/// One tunnel.
struct Tunnel {
    send: SendStream<Bytes>,
    receive: RecvStream,
}

impl Tunnel {
    async fn open(sender: &mut SendRequest<Bytes>, target: &str) -> Result<Self, u16> {
        let (answer, send) = ask(sender, tunnel_request(target, None)).await;
        let answer = soon("an answer", answer).await.unwrap();
        match answer.status().as_u16() {
            200 => Ok(Self { send, receive: answer.into_body() }),
            status => Err(status),
        }
    }

    fn say(&mut self, text: &'static str) {
        self.send.send_data(Bytes::from_static(text.as_bytes()), false).unwrap();
    }

    async fn hears(&mut self) -> Option<Result<Bytes, h2::Error>> {
        loop {
            let data = soon("data", self.receive.data()).await;
            match &data {
                // The end of a stream may have a frame of its own.
                Some(Ok(bytes)) if bytes.is_empty() => continue,
                Some(Ok(bytes)) => self.receive.flow_control().release_capacity(bytes.len()).unwrap(),
                Some(Err(_)) | None => {}
            }
            return data;
        }
    }
}

async fn ask(sender: &mut SendRequest<Bytes>, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
    *sender = soon("a free stream", sender.clone().ready()).await.unwrap();
    sender.send_request(request, false).unwrap()
}

/// Tells what it hears, answers nothing, and tells how it ended.
fn listener(host: &str) -> Origin {
    origin(host).without_tls(443).plays(|mut wire, report| async move {
        let ending = loop {
            match wire.more().await {
                Ok(0) => break Ending::Orderly,
                Ok(_) => report.say("heard"),
                Err(_) => break Ending::Cut,
            }
            let _ = wire.try_send("yes").await;
        };
        report.say(format!("{ending:?}"));
    })
}

#[tokio::test]
async fn two_tunnels_at_once_have_two_records_with_and_without_tls() {
    for over_tls in [false, true] {
        let stage = stage().origin(listener("one.test")).origin(listener("two.test")).start().await;
        let wire = if over_tls { to_proxy(&stage.client(), &["h2"]).await } else { stage.client().dial().await };
        let (mut sender, connection) = http2(wire).await;
        let mut one = Tunnel::open(&mut sender, "one.test:443").await.unwrap();
        let mut two = Tunnel::open(&mut sender, "two.test:443").await.unwrap();
        for tunnel in [&mut one, &mut two] {
            tunnel.say("hello there, not TLS");
            assert_eq!(tunnel.hears().await.unwrap().unwrap(), "yes");
        }
        assert_eq!(stage.lab.journal().open_count(), 2);
        for tunnel in [&mut one, &mut two] {
            tunnel.send.send_data(Bytes::new(), true).unwrap();
            assert!(tunnel.hears().await.is_none(), "an end in order");
        }
        drop((one, two, sender));
        soon("the end of the connection", connection).await.unwrap().unwrap();
        let records = stage.records(2).await;
        for (record, host) in records.iter().zip(["one.test", "two.test"]) {
            assert_eq!((record.via, record.outcome), (Some(Via::ConnectHttp2), Some(Outcome::Plain)));
            assert_eq!(record.destination.as_ref().unwrap().host.to_string(), host);
            assert_eq!(record.bytes_up, 20);
        }
    }
}

#[tokio::test]
async fn a_refused_stream_leaves_the_connection_to_the_others() {
    let ann = Credentials::one("ann", SECRET).unwrap();
    let stage = stage()
        .origin(listener("good.test"))
        .lab(|lab| lab.block("bad.test").config(|config| config.credentials = Some(ann)))
        .start()
        .await;
    let (mut sender, _connection) = http2(stage.client().dial().await).await;
    let ann = ("ann", SECRET);
    let right = Some(ann);
    let get = || {
        let request = Request::get("http://good.test/").header("proxy-authorization", basic(ann));
        request.body(()).unwrap()
    };
    for (request, status) in [
        (tunnel_request("good.test:443", None), 407),
        (tunnel_request("good.test:443", Some(("ann", "wrong"))), 407),
        (tunnel_request("bad.test:443", right), 403),
        (tunnel_request("good.test:0", right), 400),
        (get(), 405),
        (tunnel_request("good.test:443", right), 200),
    ] {
        let (answer, mut send) = ask(&mut sender, request).await;
        let answer = soon("an answer", answer).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers().contains_key("proxy-authenticate"), status == 407);
        if status == 200 {
            send.send_data(Bytes::new(), true).unwrap();
        } else {
            assert!(answer.headers().contains_key("proxy-status"));
            let mut body = answer.into_body();
            let text = soon("a body", body.data()).await.unwrap().unwrap();
            assert!(text.starts_with(status.to_string().as_bytes()), "{text:?}");
        }
    }
    drop(sender);
    let told: Vec<_> = stage.records(6).await.iter().map(|record| record.told.clone()).collect();
    assert_eq!(told[..5], [407, 407, 403, 400, 405].map(|status| Some(Told::Status(status))));
}

#[tokio::test]
async fn a_stream_that_the_client_resets_cuts_its_origin_and_no_other() {
    for reason in [Reason::CANCEL, Reason::NO_ERROR, Reason::INTERNAL_ERROR] {
        let stage = stage().origin(listener("one.test")).origin(listener("two.test")).start().await;
        let (mut sender, _connection) = http2(stage.client().dial().await).await;
        let mut one = Tunnel::open(&mut sender, "one.test:443").await.unwrap();
        let mut two = Tunnel::open(&mut sender, "two.test:443").await.unwrap();
        for tunnel in [&mut one, &mut two] {
            tunnel.say("hello there, not TLS");
            assert_eq!(tunnel.hears().await.unwrap().unwrap(), "yes");
            assert_eq!(stage.hears().await, "heard");
        }
        one.send.send_reset(reason);
        assert_eq!(stage.hears().await, format!("{:?}", Ending::Cut), "{reason}");
        two.say("still here");
        assert_eq!(two.hears().await.unwrap().unwrap(), "yes");
        drop((one, two, sender));
        let record = stage.records(2).await.remove(0);
        assert_eq!(record.end.as_ref().unwrap().by, "client", "{:?}", record.end);
    }
}

#[tokio::test]
async fn a_cut_by_the_origin_is_a_reset_of_its_stream() {
    let site = origin("site.test").without_tls(443).resets().plays(|mut wire, _| async move {
        wire.more().await.unwrap();
    });
    let stage = stage().origin(site).start().await;
    let (mut sender, _connection) = http2(stage.client().dial().await).await;
    let mut tunnel = Tunnel::open(&mut sender, "site.test:443").await.unwrap();
    tunnel.say("hello there, not TLS");
    let error = tunnel.hears().await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(Reason::CONNECT_ERROR), "as RFC 9113, 8.5 has it");
    drop((tunnel, sender));
    stage.record().await;
}

#[tokio::test]
async fn a_change_that_ends_one_tunnel_leaves_the_others() {
    for on_change in [OnChange::Kill, OnChange::Drain] {
        let stage = stage().origin(listener("one.test")).origin(listener("two.test"));
        let stage = stage.lab(|lab| lab.on_change(on_change)).start().await;
        let (mut sender, _connection) = http2(stage.client().dial().await).await;
        let mut one = Tunnel::open(&mut sender, "one.test:443").await.unwrap();
        let mut two = Tunnel::open(&mut sender, "two.test:443").await.unwrap();
        for tunnel in [&mut one, &mut two] {
            tunnel.say("hello there, not TLS");
            assert_eq!(tunnel.hears().await.unwrap().unwrap(), "yes");
        }
        let block = RuleSpec::new("one.test", Action::Block);
        let toggled = stage.lab.change(Change::Add { rule: block, at: None }).unwrap();
        assert_eq!(toggled.affected, [1]);
        match (on_change, one.hears().await) {
            (OnChange::Drain, None) => {}
            (OnChange::Kill, Some(Err(error))) => assert_eq!(error.reason(), Some(Reason::CONNECT_ERROR)),
            (_, heard) => panic!("{on_change:?}: {heard:?}"),
        }
        two.say("still here");
        assert_eq!(two.hears().await.unwrap().unwrap(), "yes");
        assert_eq!(Tunnel::open(&mut sender, "one.test:443").await.err(), Some(403));
        drop((one, two, sender));
        stage.records(3).await;
    }
}

#[tokio::test]
async fn the_end_of_the_lab_ends_a_connection_without_tunnels_at_once() {
    let stage = stage().origin(listener("site.test")).start().await;
    let (mut sender, connection) = http2(stage.client().dial().await).await;
    let mut tunnel = Tunnel::open(&mut sender, "site.test:443").await.unwrap();
    tunnel.say("hello there, not TLS");
    assert_eq!(tunnel.hears().await.unwrap().unwrap(), "yes");
    tunnel.send.send_data(Bytes::new(), true).unwrap();
    assert!(tunnel.hears().await.is_none());
    drop(tunnel);
    stage.record().await;
    let (_unused, second) = http2(stage.client().dial().await).await;
    assert!(stage.lab.drain().await, "something had to be cut");
    for connection in [connection, second] {
        soon("a GOAWAY", connection).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_tunnel_outlives_the_beginning_of_the_end_of_the_lab() {
    let stage = stage().origin(listener("site.test")).start().await;
    let (mut sender, connection) = http2(stage.client().dial().await).await;
    let mut tunnel = Tunnel::open(&mut sender, "site.test:443").await.unwrap();
    tunnel.say("hello there, not TLS");
    assert_eq!(tunnel.hears().await.unwrap().unwrap(), "yes");
    let Stage { lab, .. } = stage;
    let ending = tokio::spawn(lab.drain());
    tunnel.say("more");
    assert_eq!(tunnel.hears().await.unwrap().unwrap(), "yes");
    // Nothing moves any more, so it ends, in order.
    assert!(tunnel.hears().await.is_none());
    assert!(soon("the end", ending).await.unwrap());
    soon("a GOAWAY", connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_header_list_beyond_the_limit_is_refused_and_the_connection_lives() {
    let stage = stage().origin(origin("site.test").without_tls(443).answers(HELLO)).start().await;
    let (mut sender, _connection) = http2(stage.client().dial().await).await;
    let mut request = tunnel_request("site.test:443", None);
    for number in 0..40 {
        let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
        request.headers_mut().insert(name, "v".repeat(2000).parse().unwrap());
    }
    let (answer, _send) = ask(&mut sender, request).await;
    match soon("an answer", answer).await {
        Ok(answer) => assert_eq!(answer.status().as_u16(), 431),
        Err(error) => assert!(error.is_reset(), "{error}"),
    }
    let mut tunnel = Tunnel::open(&mut sender, "site.test:443").await.unwrap();
    tunnel.say("HELO x\r\n\r\n");
    assert_eq!(tunnel.hears().await.unwrap().unwrap(), HELLO);
    drop((tunnel, sender));
    assert_eq!(stage.record().await.outcome, Some(Outcome::Plain));
}

#[tokio::test]
async fn a_preface_in_single_bytes_is_recognised_and_an_unused_connection_recorded_as_one() {
    let stage = stage().start().await;
    let mut wire = stage.client().dial().await;
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0" {
        wire.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    // The proxy's own SETTINGS.
    assert_eq!(wire.bytes(9).await[3], 4);
    wire.shut().await;
    wire.rest().await;
    let record = stage.record().await;
    assert_eq!((record.outcome, record.end.as_ref().unwrap().by), (Some(Outcome::Unused), "client"));
}
