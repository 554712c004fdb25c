//! What inspection must not change, over HTTP/1.1, in every cell: each way in, inspected, bypassed and in the clear.

use std::sync::Arc;

use middlebox::journal::Told;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::support::{Ending, HELLO, Origin, Wire, origin, soon, trust};
use crate::ways::{HOST, Treatment, Watched, Way, Ways, everywhere};

/// Each line is a test over all ways that need no kernel's help, and all lines are one over those that do.
macro_rules! lines {
    ($($line:ident over $ways:ident,)*) => {
        $(
            #[tokio::test]
            async fn $line() {
                check::$line(Ways::$ways).await;
            }
        )*

        #[cfg(target_os = "linux")]
        #[test]
        fn all_of_it_holds_where_the_kernel_redirects() {
            crate::namespace::in_own_namespace("faithful::all_of_it_holds_where_the_kernel_redirects", async {
                crate::transparent::routes();
                for how in crate::transparent::WAYS {
                    $(check::$line(Ways::Redirected(how)).await;)*
                }
            });
        }
    };
}

lines! {
    heads_keep_order_case_spaces_and_doubles over All,
    only_what_is_for_one_hop_is_removed over All,
    the_offer_of_http_3_is_removed_and_recorded over All,
    a_head_and_its_ready_body_leave_in_one_write over All,
    chunks_with_extensions_and_trailers_pass_as_they_are over All,
    interim_answers_come_while_the_request_waits over All,
    answers_without_a_body_leave_the_connection_usable over All,
    an_early_answer_does_not_stop_the_upload over All,
    each_chunk_is_on_its_way_before_the_next_one_comes over All,
    events_come_one_by_one over All,
    a_half_close_reaches_the_origin_and_the_answer_the_client over All,
    http_1_0_and_bodies_to_the_end_pass_as_they_are over All,
    after_101_every_byte_passes over All,
    half_a_body_never_looks_whole over All,
    what_two_could_read_differently_is_refused_and_never_passed_on over All,
    a_chunk_that_turns_out_malformed_is_refused_as_well over All,
    an_answer_that_two_could_read_differently_is_not_passed_on over All,
    a_client_that_goes_takes_its_connection_to_the_origin_along over All,
    an_origin_that_closes_between_two_requests_closes_the_client over All,
}

fn site() -> Origin {
    origin(HOST)
}

/// Header lines that no library writes: order, case, duplicates and spaces are the test.
const ODD: &str = "\r\nx-second: 2\r\nX-First:1\r\nx-SECOND:   two  \r\nAccept: */*\r\nX-Latin: \u{e4}\r\n\r\n";

const ODD_ANSWER: &str =
    "HTTP/1.1 200 Quite Right\r\nsErVeR: odd\r\nContent-Length: 2\r\nX-A: 1\r\nx-a:2 \r\nx-A:\r\n\r\nok";

mod check {
    use super::*;

    pub(super) async fn heads_keep_order_case_spaces_and_doubles(ways: Ways) {
        everywhere(
            ways,
            |_| site().answers(ODD_ANSWER),
            async |way| {
                let mut client = way.open().await;
                let tail = format!(" HTTP/1.1\r\nhOST: {HOST}{ODD}");
                client.send(format!("GET {}{tail}", way.target("/x%20y?b=1&a=2"))).await;
                client.expect(ODD_ANSWER).await;
                assert_eq!(way.hears().await, format!("GET /x%20y?b=1&a=2{tail}"));
                client.close().await;
                way.record().await;
            },
        )
        .await;
    }

    pub(super) async fn only_what_is_for_one_hop_is_removed(ways: Ways) {
        let answer = "HTTP/1.1 200 OK\r\nConnection: X-Down\r\nX-Down: 1\r\nKeep-Alive: timeout=5\r\n\
                      Proxy-Authenticate: Basic\r\nX-Kept: 1\r\nVia: 1.1 other\r\nContent-Length: 0\r\n\r\n";
        everywhere(
            ways,
            |_| site().answers(answer),
            async |way| {
                let mut client = way.open().await;
                let lines = "Connection: keep-alive, X-Up, TE\r\nX-Up: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\n\
                         Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic s3cr3t\r\nX-Kept: 1\r\n";
                client.send(way.request("GET", "/", lines)).await;
                let (sent, heard) = if way.is_untouched() {
                    (answer.to_owned(), format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n"))
                } else {
                    let kept = "Connection: keep-alive, TE\r\nTE: trailers\r\nX-Kept: 1\r\n";
                    let sent = "HTTP/1.1 200 OK\r\nX-Kept: 1\r\nVia: 1.1 other\r\nContent-Length: 0\r\n\r\n";
                    (sent.to_owned(), format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{kept}\r\n"))
                };
                client.expect(sent).await;
                assert_eq!(way.hears().await, heard);
                client.close().await;
                way.record().await;
            },
        )
        .await;
    }

    pub(super) async fn the_offer_of_http_3_is_removed_and_recorded(ways: Ways) {
        let offer = "HTTP/1.1 200 OK\r\nAlt-Svc: h3=\":443\"; ma=60\r\nX-Kept: 1\r\nContent-Length: 0\r\n\r\n";
        everywhere(
            ways,
            |_| site().answers(offer),
            async |way| {
                let mut client = way.open().await;
                let removed = way.treatment == Treatment::Inspected;
                for _ in 0..2 {
                    client.send(way.request("GET", "/", "")).await;
                    let kept =
                        if removed { offer.replace("Alt-Svc: h3=\":443\"; ma=60\r\n", "") } else { offer.to_owned() };
                    client.expect(kept).await;
                    way.hears().await;
                }
                client.close().await;
                let record = way.record().await;
                let notes = record.notes.iter().filter(|note| note.starts_with("Alt-Svc was removed")).count();
                assert_eq!(notes, usize::from(removed), "{way:?}: {:?}", record.notes);
            },
        )
        .await;
    }

    pub(super) async fn a_head_and_its_ready_body_leave_in_one_write(ways: Ways) {
        let request = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 500\r\n\r\n{}", "r".repeat(500));
        let whole = request.len();
        let tls = Arc::new(trust::server_config(&[HOST.to_owned()], &[]));
        let in_one_write = |treatment| {
            let acceptor = TlsAcceptor::from(Arc::clone(&tls));
            // Its TLS is its own, to see the records that come.
            let site = if treatment == Treatment::Clear { site() } else { site().without_tls(443) };
            site.plays(move |mut wire, report| {
                let acceptor = acceptor.clone();
                async move {
                    if treatment == Treatment::Clear {
                        report.say(format!("{} of {whole}", wire.gulp().await));
                    } else {
                        let (watched, records) = Watched::new(wire.stream);
                        wire = Wire::new(soon("a handshake", acceptor.accept(watched)).await.unwrap());
                        wire.bytes(whole).await;
                        report.say(format!("{} of {whole}", if records.hold(whole) { whole } else { 0 }));
                    }
                    wire.send(HELLO).await;
                    wire.rest().await;
                }
            })
        };
        everywhere(ways, in_one_write, async |way| {
            let (mut client, records) = way.open_with(&[]).await;
            client.send(request.replace("POST /", &format!("POST {}", way.target("/")))).await;
            assert_eq!(way.hears().await, format!("{whole} of {whole}"), "{way:?}");
            if way.treatment == Treatment::Clear {
                assert_eq!(client.gulp().await, HELLO.len(), "{way:?}");
            }
            client.expect(HELLO).await;
            assert!(records.hold(HELLO.len()) || way.treatment == Treatment::Clear, "{way:?}: {records:?}");
            client.close().await;
            way.record().await;
        })
        .await;
    }

    pub(super) async fn chunks_with_extensions_and_trailers_pass_as_they_are(ways: Ways) {
        let body = "4;name=\"v\"\r\nWiki\r\n05\r\npedia\r\n000\r\nX-Sum: 9\r\nx-sum:  10\r\n\r\n";
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n{body}");
        let told = answer.clone();
        let echoes = move |_| {
            let answer = answer.clone();
            site().plays(move |mut wire, report| {
                let answer = answer.clone();
                async move {
                    while wire.try_head().await.is_some() {
                        report.say(String::from_utf8(wire.bytes(body.len()).await).unwrap());
                        wire.send(&answer).await;
                    }
                }
            })
        };
        everywhere(ways, echoes, async |way| {
            let mut client = way.open().await;
            for _ in 0..2 {
                let lines = "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n";
                client.send(format!("{}{body}", way.request("POST", "/", lines))).await;
                client.expect(&told).await;
                assert_eq!(way.hears().await, body);
            }
            client.close().await;
            way.record().await;
        })
        .await;
    }

    pub(super) async fn interim_answers_come_while_the_request_waits(ways: Ways) {
        const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
        const GO: &str = "HTTP/1.1 100 Continue\r\n\r\n";
        let waits = |_| {
            site().plays(|mut wire, report| async move {
                assert!(wire.head().await.contains("\r\nExpect: 100-continue\r\n"));
                wire.send(HINTS).await;
                wire.send(GO).await;
                report.say(String::from_utf8(wire.bytes(4).await).unwrap());
                wire.send(HELLO).await;
                wire.rest().await;
            })
        };
        everywhere(ways, waits, async |way| {
            let mut client = way.open().await;
            client.send(way.request("PUT", "/", "Content-Length: 4\r\nExpect: 100-continue\r\n")).await;
            client.expect(HINTS).await;
            client.expect(GO).await;
            client.send("body").await;
            assert_eq!(way.hears().await, "body");
            client.expect(HELLO).await;
            client.close().await;
            way.record().await;
        })
        .await;
    }

    pub(super) async fn answers_without_a_body_leave_the_connection_usable(ways: Ways) {
        const ANSWERS: [(&str, &str); 4] = [
            ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
            ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
            ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n"),
            ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ];
        let bodiless = |_| {
            site().plays(|mut wire, _| async move {
                for (method, answer) in ANSWERS {
                    assert!(wire.head().await.starts_with(method));
                    wire.send(answer).await;
                }
                wire.head().await;
                wire.send(HELLO).await;
                wire.rest().await;
            })
        };
        everywhere(ways, bodiless, async |way| {
            let mut client = way.open().await;
            for (method, answer) in ANSWERS {
                client.send(way.request(method, "/", "")).await;
                client.expect(answer).await;
            }
            client.send(way.request("GET", "/", "")).await;
            client.expect(HELLO).await;
            client.close().await;
            way.record().await;
        })
        .await;
    }

    pub(super) async fn an_early_answer_does_not_stop_the_upload(ways: Ways) {
        let hasty = |_| {
            site().plays(|mut wire, report| async move {
                wire.head().await;
                wire.send(HELLO).await;
                report.say(String::from_utf8(wire.bytes(10).await).unwrap());
                wire.head().await;
                wire.send(HELLO).await;
                wire.rest().await;
            })
        };
        everywhere(ways, hasty, async |way| {
            let mut client = way.open().await;
            client.send(way.request("POST", "/", "Content-Length: 10\r\n")).await;
            client.expect(HELLO).await;
            client.send("01234").await;
            client.send("56789").await;
            assert_eq!(way.hears().await, "0123456789");
            client.send(way.request("GET", "/next", "")).await;
            client.expect(HELLO).await;
            client.close().await;
            way.record().await;
        })
        .await;
    }

    pub(super) async fn each_chunk_is_on_its_way_before_the_next_one_comes(ways: Ways) {
        // What the client hears back is what it sent: it sends no chunk before the last one has come around.
        let echoes = |_| {
            site().plays(|mut wire, _| async move {
                wire.head().await;
                wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                for _ in 0..4 {
                    let chunk = wire.bytes(8).await;
                    wire.send(chunk).await;
                }
                let last = wire.bytes(5).await;
                wire.send(last).await;
                wire.rest().await;
            })
        };
        everywhere(ways, echoes, async |way| {
            let mut client = way.open().await;
            client.send(way.request("POST", "/", "Transfer-Encoding: chunked\r\n")).await;
            client.head().await;
            for chunk in ["3\r\none\r\n", "3\r\ntwo\r\n", "2;\r\n3.\r\n", "3\r\n\r\n3\r\n"] {
                client.send(chunk).await;
                client.expect(chunk).await;
            }
            client.send("0\r\n\r\n").await;
            client.expect("0\r\n\r\n").await;
            client.close().await;
            way.record().await;
        })
        .await;
    }

    pub(super) async fn events_come_one_by_one(ways: Ways) {
        let go = Arc::new(Notify::new());
        let told = |_| {
            let go = Arc::clone(&go);
            site().plays(move |mut wire, _| {
                let go = Arc::clone(&go);
                async move {
                    wire.head().await;
                    wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
                    for number in 0..3 {
                        // Nothing more comes before the client has seen this one.
                        go.notified().await;
                        wire.send(format!("data: {number}\n\n")).await;
                    }
                    wire.close().await;
                }
            })
        };
        everywhere(ways, told, async |way| {
            let mut client = way.open().await;
            client.send(way.request("GET", "/events", "")).await;
            client.expect("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
            for number in 0..3 {
                go.notify_one();
                client.expect(format!("data: {number}\n\n")).await;
            }
            assert_eq!(client.rest().await, (String::new(), Ending::Orderly), "{way:?}");
            drop(client);
            way.record().await;
        })
        .await;
    }

    pub(super) async fn a_half_close_reaches_the_origin_and_the_answer_the_client(ways: Ways) {
        let patient = |_| {
            site().plays(|mut wire, report| async move {
                wire.head().await;
                report.say(format!("{:?}", wire.rest().await));
                wire.send(HELLO).await;
                wire.close().await;
            })
        };
        everywhere(ways, patient, async |way| {
            let mut client = way.open().await;
            client.send(way.request("GET", "/", "")).await;
            client.shut().await;
            assert_eq!(way.hears().await, "(\"\", Orderly)", "{way:?}");
            assert_eq!(client.rest().await, (HELLO.to_owned(), Ending::Orderly), "{way:?}");
            drop(client);
            way.record().await;
        })
        .await;
    }

    pub(super) async fn http_1_0_and_bodies_to_the_end_pass_as_they_are(ways: Ways) {
        for answer in [
            "HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil the end",
            "HTTP/1.1 200 OK\r\nServer: new\r\n\r\nuntil the end",
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        ] {
            everywhere(
                ways,
                |_| site().answers_once(answer),
                async |way| {
                    for version in ["1.0", "1.1"] {
                        let mut client = way.open().await;
                        let tail = format!(" HTTP/{version}\r\nHost: {HOST}\r\n\r\n");
                        client.send(format!("GET {}{tail}", way.target("/old"))).await;
                        assert_eq!(client.rest().await, (answer.to_owned(), Ending::Orderly), "{way:?}");
                        assert_eq!(way.hears().await, format!("GET /old{tail}"));
                        drop(client);
                        way.record().await;
                    }
                },
            )
            .await;
        }
    }

    pub(super) async fn after_101_every_byte_passes(ways: Ways) {
        const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: odd\r\n\r\n";
        // Every byte, and what looks like HTTP, like a WebSocket's frame that lies about its length, and like chunks.
        let odd = [
            &(0..=255).collect::<Vec<u8>>()[..],
            b"GET / HTTP/1.1\r\nHost: other\nContent-Length: 1\r\n\r\n0\r\n\r\n",
            &[0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &vec![0xaa; 70_000],
        ]
        .concat();
        let (bytes, length) = (odd.clone(), odd.len());
        let mirror = move |_| {
            let bytes = bytes.clone();
            site().plays(move |mut wire, report| {
                let bytes = bytes.clone();
                async move {
                    let head = wire.head().await;
                    assert!(head.contains("Connection: Upgrade\r\nUpgrade: odd\r\n"), "{head}");
                    wire.send([SWITCH.as_bytes(), &bytes[..600]].concat()).await;
                    let came = wire.bytes(length).await;
                    report.say(if came == bytes { "the same" } else { "other bytes" });
                    wire.send(&bytes[600..]).await;
                    report.say(format!("{:?}", wire.rest().await));
                    wire.send("last words").await;
                    wire.close().await;
                }
            })
        };
        everywhere(ways, mirror, async |way| {
            let mut client = way.open().await;
            let upgrade = way.request("GET", "/", "Connection: Upgrade\r\nUpgrade: odd\r\n");
            // Its first bytes come without waiting for the answer.
            client.send([upgrade.as_bytes(), &odd[..300]].concat()).await;
            client.expect(SWITCH).await;
            client.send(&odd[300..]).await;
            assert_eq!(way.hears().await, "the same", "{way:?}");
            assert!(client.bytes(length).await == odd, "{way:?}");
            client.shut().await;
            assert_eq!(way.hears().await, "(\"\", Orderly)", "{way:?}");
            assert_eq!(client.rest().await, ("last words".to_owned(), Ending::Orderly), "{way:?}");
            drop(client);
            way.record().await;
        })
        .await;
    }

    pub(super) async fn half_a_body_never_looks_whole(ways: Ways) {
        let framed = [
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
            "HTTP/1.1 200 OK\r\n\r\nhalf",
        ];
        for answer in framed {
            for in_order in [true, false] {
                let to_the_end = !answer.contains("chunked") && !answer.contains("Length");
                if to_the_end && in_order {
                    // Whole.
                    continue;
                }
                let cut = |_| if in_order { site().answers_once(answer) } else { site().answers_and_cuts(answer) };
                everywhere(ways, cut, async |way| {
                    let mut client = way.open().await;
                    client.send(way.request("GET", "/", "")).await;
                    client.expect(answer).await;
                    let (more, ending) = client.rest().await;
                    // Untouched, its own protocol says what is whole: nothing is added, and a cut stays one. In the
                    // clear, the end of a connection is all that there is.
                    let in_order =
                        (way.is_untouched() && in_order) || (way.treatment == Treatment::Clear && to_the_end);
                    let expected = if in_order { Ending::Orderly } else { Ending::Cut };
                    assert_eq!((more.as_str(), ending), ("", expected), "{way:?} after {answer:?}");
                    way.hears().await;
                    drop(client);
                    way.record().await;
                })
                .await;
            }
        }
    }

    pub(super) async fn what_two_could_read_differently_is_refused_and_never_passed_on(ways: Ways) {
        let refuses = |_| site().answers(HELLO);
        everywhere(ways, refuses, async |way| {
            if way.is_untouched() {
                // The origin's business.
                let mut client = way.open().await;
                let request = way.request("POST", "/", AMBIGUOUS[0].0);
                client.send(&request).await;
                assert_eq!(way.hears().await, request, "{way:?}");
                drop(client);
                way.record().await;
                return;
            }
            for (lines, body) in AMBIGUOUS {
                let request = way.request("POST", "/", lines) + body;
                let mut client = way.open().await;
                eprintln!("  {request:?}");
                client.send(&request).await;
                let (answer, ending) = client.rest().await;
                assert!(answer.starts_with("HTTP/1.1 400 "), "{way:?}: {request:?} is answered {answer:?}");
                assert_eq!(ending, Ending::Orderly, "{way:?}: {request:?}");
                drop(client);
                let record = way.records().await.pop().unwrap();
                let told = if way.treatment == Treatment::Clear { Told::Status(400) } else { Told::StatusInside(400) };
                assert_eq!(record.told, Some(told), "{way:?}: {request:?}");
                assert_eq!(record.end.as_ref().unwrap().by, "middlebox");
            }
            // The first that an origin hears of it all.
            let mut client = way.open().await;
            client.send(way.request("GET", "/good", "")).await;
            client.expect(HELLO).await;
            assert!(way.hears().await.starts_with("GET /good "), "{way:?}");
            client.close().await;
            way.record().await;
        })
        .await;
    }

    pub(super) async fn a_chunk_that_turns_out_malformed_is_refused_as_well(ways: Ways) {
        let silent = |_| {
            site().plays(|mut wire, report| async move {
                report.say(wire.head().await);
                report.say(format!("{:?}", wire.rest().await));
            })
        };
        everywhere(ways, silent, async |way| {
            let mut client = way.open().await;
            client.send(way.request("POST", "/", "Transfer-Encoding: chunked\r\n")).await;
            // The head is on its way; what follows it is not, from where it is malformed.
            way.hears().await;
            client.send("3\r\none\r\n").await;
            client.send("zz\r\n").await;
            if way.is_untouched() {
                client.shut().await;
                assert_eq!(way.hears().await, "(\"3\\r\\none\\r\\nzz\\r\\n\", Orderly)", "{way:?}");
                drop(client);
                way.record().await;
                return;
            }
            let (answer, ending) = client.rest().await;
            assert!(answer.starts_with("HTTP/1.1 400 ") && ending == Ending::Orderly, "{way:?}: {answer:?} {ending:?}");
            // Half a body: its framing says so.
            let heard = way.hears().await;
            assert!(!heard.contains("zz"), "{way:?}: {heard}");
            drop(client);
            let record = way.records().await.pop().unwrap();
            assert_eq!(record.end.as_ref().unwrap().how, "a chunk does not begin with its size", "{way:?}");
        })
        .await;
    }

    pub(super) async fn an_answer_that_two_could_read_differently_is_not_passed_on(ways: Ways) {
        for answer in [
            "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        ] {
            everywhere(
                ways,
                |_| site().answers_once(answer),
                async |way| {
                    let mut client = way.open().await;
                    client.send(way.request("GET", "/", "")).await;
                    let (read, ending) = client.rest().await;
                    way.hears().await;
                    if way.is_untouched() {
                        assert_eq!((read.as_str(), ending), (answer, Ending::Orderly), "{way:?}");
                    } else {
                        assert!(read.starts_with("HTTP/1.1 502 "), "{way:?}: {answer:?}: {read:?}");
                    }
                    drop(client);
                    way.record().await;
                },
            )
            .await;
        }
    }

    pub(super) async fn a_client_that_goes_takes_its_connection_to_the_origin_along(ways: Ways) {
        let endless = |_| {
            site().plays(|mut wire, report| async move {
                wire.head().await;
                wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
                let (_, ending) = wire.rest().await;
                report.say(format!("{ending:?}"));
            })
        };
        everywhere(ways, endless, async |way| {
            let mut client = way.open().await;
            client.send(way.request("GET", "/", "")).await;
            client.head().await;
            client.expect("4\r\nhalf\r\n").await;
            drop(client);
            // In the clear, a close cannot be told from half of one, and the origin gets to know of that.
            let heard = way.hears().await;
            assert!(heard == "Cut" || way.treatment == Treatment::Clear, "{way:?}: {heard}");
            way.record().await;
        })
        .await;
    }

    pub(super) async fn an_origin_that_closes_between_two_requests_closes_the_client(ways: Ways) {
        everywhere(
            ways,
            |_| site().answers_once(HELLO),
            async |way: &Way<'_>| {
                let mut client = way.open().await;
                client.send(way.request("GET", "/", "")).await;
                assert_eq!(client.rest().await, (HELLO.to_owned(), Ending::Orderly), "{way:?}");
                way.hears().await;
                drop(client);
                let record = way.record().await;
                assert_eq!(record.end.as_ref().unwrap().by, "origin", "{way:?}: {:?}", record.end);
            },
        )
        .await;
    }
}

/// Header lines and bodies that two parties could read differently (RFC 9112, sections 2, 5, 6, 7 and 11.2).
const AMBIGUOUS: [(&str, &str); 38] = [
    // Lengths.
    ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
    ("Content-Length: 1\r\nContent-Length: 2\r\n", "ab"),
    ("Content-Length: 1\r\nContent-Length: 1\r\n", "a"),
    ("Content-Length: 1, 1\r\n", "a"),
    ("Content-Length: +1\r\n", "a"),
    ("Content-Length: -1\r\n", "a"),
    ("Content-Length: 0x1\r\n", "a"),
    ("Content-Length: 1 1\r\n", "a"),
    ("Content-Length:\r\n", ""),
    ("Content-Length: 99999999999999999999999\r\n", "a"),
    // Codings.
    ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: identity\r\n", ""),
    ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: \u{b}chunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding:\r\n", ""),
    // Lines.
    ("X: a\nY: b\r\n", ""),
    ("X: a\rY: b\r\n", ""),
    ("X: a\r\n b\r\n", ""),
    ("X: a\r\n\tTransfer-Encoding: chunked\r\n", ""),
    (" X: a\r\n", ""),
    ("X: a\0b\r\n", ""),
    ("X a: b\r\n", ""),
    (": b\r\n", ""),
    ("no colon\r\n", ""),
    ("Host: other.test\r\n", ""),
    // Chunks.
    ("Transfer-Encoding: chunked\r\n", "1\na\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "0x1\r\na\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "+1\r\na\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "1 1\r\na\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "1;a\nb\r\na\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "1\r\nab\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\na"),
    ("Transfer-Encoding: chunked\r\n", "0\r\nX: a\nY: b\r\n\r\n"),
];
