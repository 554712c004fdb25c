//! What inspection must not change, over HTTP/2, through every door, inspected and bypassed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};

use crate::support::origin::Report;
use crate::support::{Origin, origin, soon};
use crate::ways::{HOST, Way, Ways, everywhere};

macro_rules! lines {
    ($($line:ident,)*) => {
        $(
            #[tokio::test]
            async fn $line() {
                check::$line(Ways::Tunnels).await;
            }
        )*

        #[cfg(target_os = "linux")]
        #[test]
        fn all_of_it_holds_where_the_kernel_redirects() {
            crate::namespace::in_own_namespace("faithful_http2::all_of_it_holds_where_the_kernel_redirects", async {
                crate::transparent::routes();
                for how in crate::transparent::WAYS {
                    $(check::$line(Ways::Redirected(how)).await;)*
                }
            });
        }
    };
}

lines! {
    heads_bodies_and_trailers_pass_and_nothing_is_added,
    interim_answers_come_before_the_answer,
    resets_keep_their_codes_both_ways,
    a_client_that_does_not_read_stops_its_stream_and_no_other,
    extended_connect_carries_both_ways,
}

/// An origin that does this with each request, each in a task of its own.
fn site<F, P>(play: F) -> Origin
where
    F: Fn(Request<RecvStream>, SendResponse<Bytes>, Report) -> P + Clone + Send + Sync + 'static,
    P: Future<Output = ()> + Send + 'static,
{
    origin(HOST).alpn(&["h2"]).plays(move |wire, report| {
        let play = play.clone();
        async move {
            let mut builder = h2::server::Builder::new();
            builder.enable_connect_protocol();
            let Ok(mut connection) = builder.handshake(wire.stream).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(play(request, respond, report.clone()));
            }
        }
    })
}

/// Opens HTTP/2 with a window of so many bytes for each stream, which is not given back unread.
async fn open(way: &Way<'_>, window: u32) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let (wire, _) = way.open_with(&["h2"]).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window).initial_connection_window_size(1 << 24);
    let (sender, connection) = soon("a preface", builder.handshake(wire.stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    (soon("room", sender.ready()).await.unwrap(), connection)
}

async fn end(way: &Way<'_>, sender: SendRequest<Bytes>, connection: tokio::task::JoinHandle<Result<(), h2::Error>>) {
    drop(sender);
    let _ = soon("the end", connection).await.unwrap();
    way.record().await;
}

fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("https://{HOST}{path}")).body(()).unwrap()
}

async fn text(body: &mut RecvStream) -> Result<String, h2::Error> {
    let mut text = Vec::new();
    while let Some(data) = soon("data", body.data()).await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        text.extend_from_slice(&data);
    }
    Ok(String::from_utf8(text).unwrap())
}

fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

const WIDE: u32 = 1 << 20;

mod check {
    use super::*;

    pub(super) async fn heads_bodies_and_trailers_pass_and_nothing_is_added(ways: Ways) {
        let echoes = |mut request: Request<RecvStream>, mut respond: SendResponse<Bytes>, report: Report| async move {
            report.say(format!("{} {} {:?}", request.method(), request.uri(), request.headers()));
            let body = text(request.body_mut()).await.unwrap();
            report.say(format!("{:?}", request.body_mut().trailers().await.unwrap()));
            let answer = Response::builder().status(201).header("x-down", "1").header("x-down", "2").body(()).unwrap();
            let mut stream = respond.send_response(answer, false).unwrap();
            stream.send_data(Bytes::from(body), false).unwrap();
            stream.send_trailers(fields(&[("grpc-status", "0")])).unwrap();
        };
        everywhere(
            ways,
            |_| site(echoes),
            async |way| {
                let (mut sender, connection) = open(way, WIDE).await;
                let mut post = request("POST", "/x?a=1");
                *post.headers_mut() = fields(&[("te", "trailers"), ("x-up", "1"), ("x-up", "2")]);
                let (answer, mut up) = sender.send_request(post, false).unwrap();
                assert_eq!(
                    way.hears().await,
                    format!("POST https://{HOST}/x?a=1 {{\"te\": \"trailers\", \"x-up\": \"1\", \"x-up\": \"2\"}}")
                );
                up.send_data(Bytes::from("content"), false).unwrap();
                up.send_trailers(fields(&[("x-sum", "9")])).unwrap();
                assert_eq!(way.hears().await, "Some({\"x-sum\": \"9\"})", "{way:?}");
                let mut answer = soon("an answer", answer).await.unwrap();
                assert_eq!(
                    (answer.status().as_u16(), answer.headers()),
                    (201, &fields(&[("x-down", "1"), ("x-down", "2")]))
                );
                assert_eq!(text(answer.body_mut()).await.unwrap(), "content");
                let trailers = soon("trailers", answer.body_mut().trailers()).await.unwrap();
                assert_eq!(trailers, Some(fields(&[("grpc-status", "0")])), "{way:?}");
                drop((answer, up));
                end(way, sender, connection).await;
            },
        )
        .await;
    }

    pub(super) async fn interim_answers_come_before_the_answer(ways: Ways) {
        let hints = |_, mut respond: SendResponse<Bytes>, _| async move {
            let hint = Response::builder().status(103).header("link", "</a.css>").body(()).unwrap();
            respond.send_informational(hint).unwrap();
            respond.send_response(Response::builder().status(204).body(()).unwrap(), true).unwrap();
        };
        everywhere(
            ways,
            |_| site(hints),
            async |way| {
                let (mut sender, connection) = open(way, WIDE).await;
                let (mut answer, _) = sender.send_request(request("GET", "/"), true).unwrap();
                let interim = soon("a hint", std::future::poll_fn(|cx| answer.poll_informational(cx))).await;
                let interim = interim.unwrap().unwrap();
                assert_eq!(
                    (interim.status().as_u16(), &interim.headers()["link"]),
                    (103, &"</a.css>".parse().unwrap())
                );
                let answer = soon("an answer", answer).await.unwrap();
                assert!(
                    answer.status() == 204 && answer.headers().is_empty() && answer.body().is_end_stream(),
                    "{way:?}"
                );
                drop(answer);
                end(way, sender, connection).await;
            },
        )
        .await;
    }

    pub(super) async fn resets_keep_their_codes_both_ways(ways: Ways) {
        const CODES: [Reason; 4] =
            [Reason::NO_ERROR, Reason::REFUSED_STREAM, Reason::CANCEL, Reason::ENHANCE_YOUR_CALM];
        let resets = |request: Request<RecvStream>, mut respond: SendResponse<Bytes>, report: Report| async move {
            let code = request.uri().query().and_then(|code| code.parse::<u32>().ok());
            if request.uri().path() == "/before" {
                return respond.send_reset(code.unwrap().into());
            }
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from("half"), false).unwrap();
            match code {
                Some(code) => {
                    // The client has the first half.
                    let mut body = request.into_body();
                    let _ = body.data().await;
                    stream.send_reset(code.into());
                }
                None => {
                    let reset = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
                    report.say(format!("{:?}", reset.unwrap()));
                }
            }
        };
        everywhere(
            ways,
            |_| site(resets),
            async |way| {
                let (mut sender, connection) = open(way, WIDE).await;
                for code in CODES {
                    let number = u32::from(code);
                    let (answer, _) = sender.send_request(request("GET", &format!("/before?{number}")), true).unwrap();
                    assert_eq!(soon("a reset", answer).await.unwrap_err().reason(), Some(code), "{way:?}");
                    let (answer, mut up) =
                        sender.send_request(request("POST", &format!("/in?{number}")), false).unwrap();
                    let mut answer = soon("an answer", answer).await.unwrap();
                    assert_eq!(soon("data", answer.body_mut().data()).await.unwrap().unwrap(), "half");
                    up.send_data(Bytes::from("go"), false).unwrap();
                    let error = soon("a reset", answer.body_mut().data()).await.unwrap().unwrap_err();
                    assert_eq!(error.reason(), Some(code), "{way:?}");
                    let (answer, mut up) = sender.send_request(request("POST", "/by-client"), false).unwrap();
                    let mut answer = soon("an answer", answer).await.unwrap();
                    assert_eq!(soon("data", answer.body_mut().data()).await.unwrap().unwrap(), "half");
                    up.send_reset(code);
                    assert_eq!(way.hears().await, format!("{code:?}"), "{way:?}");
                }
                end(way, sender, connection).await;
            },
        )
        .await;
    }

    pub(super) async fn a_client_that_does_not_read_stops_its_stream_and_no_other(ways: Ways) {
        const WHOLE: usize = 8 << 20;
        // More than the windows on the way: the client's, and one of a stream between proxy and origin.
        const MOST: usize = 3 << 20;
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let sends = move |request: Request<RecvStream>, mut respond: SendResponse<Bytes>, _| {
            let sent = Arc::clone(&counted);
            async move {
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                if request.uri().path() != "/large" {
                    return stream.send_data(Bytes::from("small"), true).unwrap();
                }
                let mut left = WHOLE;
                while left > 0 {
                    stream.reserve_capacity(left.min(64 << 10));
                    let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { return };
                    let piece = room.min(left);
                    left -= piece;
                    stream.send_data(Bytes::from(vec![b'x'; piece]), left == 0).unwrap();
                    sent.fetch_add(piece, Ordering::SeqCst);
                }
            }
        };
        everywhere(
            ways,
            |_| site(sends.clone()),
            async |way| {
                sent.store(0, Ordering::SeqCst);
                let (mut sender, connection) = open(way, 32 << 10).await;
                let (large, _) = sender.send_request(request("GET", "/large"), true).unwrap();
                let mut large = soon("an answer", large).await.unwrap();
                // The other stream is served, time and again, while nobody reads the first one.
                for _ in 0..8 {
                    let (small, _) = sender.send_request(request("GET", "/small"), true).unwrap();
                    let mut small = soon("an answer", small).await.unwrap();
                    assert_eq!(text(small.body_mut()).await.unwrap(), "small");
                }
                assert!(sent.load(Ordering::SeqCst) < MOST, "{way:?}: {sent:?}");
                assert_eq!(text(large.body_mut()).await.unwrap().len(), WHOLE, "{way:?}");
                drop(large);
                end(way, sender, connection).await;
            },
        )
        .await;
    }

    pub(super) async fn extended_connect_carries_both_ways(ways: Ways) {
        let echoes = |mut request: Request<RecvStream>, mut respond: SendResponse<Bytes>, report: Report| async move {
            let protocol = request.extensions().get::<Protocol>().map(|name| name.as_str().to_owned());
            report.say(format!("{} {protocol:?} {}", request.method(), request.uri()));
            let mut down = respond.send_response(Response::new(()), false).unwrap();
            while let Some(Ok(data)) = request.body_mut().data().await {
                let _ = request.body_mut().flow_control().release_capacity(data.len());
                down.send_data(data, false).unwrap();
            }
            down.send_data(Bytes::from("bye"), true).unwrap();
        };
        everywhere(
            ways,
            |_| site(echoes),
            async |way| {
                let (mut sender, connection) = open(way, WIDE).await;
                // The settings are there with the first answer at the latest.
                let (answer, _) = sender.send_request(request("GET", "/"), true).unwrap();
                soon("an answer", answer).await.unwrap();
                way.hears().await;
                assert!(sender.is_extended_connect_protocol_enabled(), "{way:?}");
                let mut connect = request("CONNECT", "/chat");
                connect.extensions_mut().insert(Protocol::from_static("websocket"));
                let (answer, mut up) = sender.send_request(connect, false).unwrap();
                let mut answer = soon("an answer", answer).await.unwrap();
                assert_eq!(way.hears().await, format!("CONNECT Some(\"websocket\") https://{HOST}/chat"));
                for word in ["one", "two"] {
                    up.send_data(Bytes::from(word), false).unwrap();
                    let echo = soon("an echo", answer.body_mut().data()).await.unwrap().unwrap();
                    answer.body_mut().flow_control().release_capacity(echo.len()).unwrap();
                    assert_eq!(echo, word, "{way:?}");
                }
                up.send_data(Bytes::new(), true).unwrap();
                assert_eq!(text(answer.body_mut()).await.unwrap(), "bye", "{way:?}");
                drop((answer, up));
                end(way, sender, connection).await;
            },
        )
        .await;
    }
}
