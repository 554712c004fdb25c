//! What has to be true of every door.

use std::net::TcpListener;

use middlebox::journal::{DecisionKind, Outcome, Told};
use middlebox::net::{Host, ResolveEntry, ResolveHosts};
use middlebox::proxy::Credentials;

use crate::door::{Door, Refused};
use crate::support::{Ending, HELLO, Wire, get, origin, soon};

#[tokio::test]
async fn an_inspected_host_is_reached_through_every_door() {
    for door in Door::ALL {
        let stage = door.stage("site.test").origin(origin("site.test").answers(HELLO)).start().await;
        let tunnel = door.knock(&stage, "site.test", None).await.unwrap();
        let mut wire = Wire::new(stage.client().handshake(tunnel, "site.test").await.unwrap());
        wire.send(get("site.test", "/")).await;
        assert_eq!(soon("an answer", wire.answer()).await.1, "hello", "{door:?}");
        assert!(stage.hears().await.starts_with("GET /?token="), "{door:?}");
        wire.close().await;
        let record = stage.accepted().await;
        assert_eq!((record.via, &record.told), (Some(door.via()), &None), "{door:?}");
        assert_eq!(record.destination.as_ref().unwrap().to_string(), "site.test:443");
        let over_tls = matches!(door, Door::ConnectOverTls | Door::Http2OverTls);
        let noted = record.notes.iter().any(|note| note == "over TLS to the proxy");
        assert_eq!(noted, over_tls, "{door:?}: {:?}", record.notes);
    }
}

#[tokio::test]
async fn a_bypassed_host_is_reached_through_every_door() {
    for door in Door::ALL {
        let site = origin("site.test").answers(HELLO);
        let stage = door.stage("site.test").origin(site).lab(|lab| lab.bypass("site.test")).start().await;
        let tunnel = door.knock(&stage, "site.test", None).await.unwrap();
        // Only the genuine certificate will do.
        let client = stage.client().without_the_ca();
        let mut wire = Wire::new(client.handshake(tunnel, "site.test").await.unwrap());
        wire.send(get("site.test", "/")).await;
        assert_eq!(soon("an answer", wire.answer()).await.1, "hello", "{door:?}");
        wire.close().await;
        let record = stage.record().await;
        assert_eq!((record.outcome, record.via), (Some(Outcome::Bypassed), Some(door.via())), "{door:?}");
        assert_eq!(record.decision.as_ref().unwrap().rule.as_deref(), Some("site.test"));
        assert_eq!((record.exchange_count, &record.told), (0, &None));
    }
}

#[tokio::test]
async fn a_blocked_host_is_refused_in_the_words_of_every_door() {
    for door in Door::ALL {
        let stage = door.stage("site.test").lab(|lab| lab.block("site.test")).start().await;
        let knocked = door.knock(&stage, "site.test", None).await;
        let told = match (door.refusal(), knocked) {
            (Some((refused, told)), Err(answer)) => {
                assert_eq!(answer, refused, "{door:?}");
                told
            }
            (None, Ok(wire)) => {
                let error = stage.client().handshake(wire, "site.test").await.err().unwrap();
                assert!(error.to_string().contains("AccessDenied"), "{door:?}: {error}");
                Told::Alert("access_denied")
            }
            (_, knocked) => panic!("{door:?}: {:?}", knocked.err()),
        };
        let record = stage.record().await;
        assert_eq!((record.outcome, record.via), (Some(Outcome::Blocked), Some(door.via())), "{door:?}");
        assert_eq!(record.decision.as_ref().unwrap().action, DecisionKind::Block);
        assert_eq!(record.told, Some(told), "{door:?}");
        assert!(record.origin.is_none(), "nothing was connected to");
    }
}

#[tokio::test]
async fn what_is_not_tls_passes_through_every_door() {
    for door in Door::ALL {
        let site = origin("site.test").without_tls(443).answers(HELLO);
        let stage = door.stage("site.test").origin(site).start().await;
        let mut tunnel = door.knock(&stage, "site.test", None).await.unwrap();
        tunnel.send("HELO x\r\n\r\n").await;
        tunnel.expect(HELLO).await;
        assert_eq!(stage.hears().await, "HELO x\r\n\r\n");
        tunnel.close().await;
        let record = stage.record().await;
        assert_eq!((record.outcome, record.via), (Some(Outcome::Plain), Some(door.via())), "{door:?}");
        assert_eq!((record.bytes_up, record.bytes_down), (10, HELLO.len() as u64), "{door:?}");
    }
}

#[tokio::test]
async fn an_origin_that_speaks_first_is_heard_through_every_door() {
    for door in Door::ALL {
        for rule in ["other.test", "site.test"] {
            let site = origin("site.test").without_tls(443).plays(|mut wire, _| async move {
                wire.send("220 hello\r\n").await;
                wire.expect("QUIT\r\n").await;
                wire.close().await;
            });
            let stage = door.stage("site.test").origin(site).lab(|lab| lab.bypass(rule)).start().await;
            let mut tunnel = door.knock(&stage, "site.test", None).await.unwrap();
            tunnel.expect("220 hello\r\n").await;
            tunnel.send("QUIT\r\n").await;
            assert_eq!(tunnel.rest().await, (String::new(), Ending::Orderly), "{door:?}");
            drop(tunnel);
            let record = stage.record().await;
            assert_eq!((record.outcome, record.via), (Some(Outcome::Plain), Some(door.via())), "{door:?}");
            assert_eq!(record.decision.as_ref().unwrap().action, DecisionKind::Plain, "{door:?}");
        }
    }
}

#[tokio::test]
async fn a_half_close_goes_through_every_door() {
    for door in Door::ALL {
        let site = origin("site.test").without_tls(443).plays(|mut wire, report| async move {
            let (heard, ending) = wire.rest().await;
            report.say(format!("{heard}, {ending:?}"));
            wire.send("answer").await;
            wire.close().await;
        });
        let stage = door.stage("site.test").origin(site).start().await;
        let mut tunnel = door.knock(&stage, "site.test", None).await.unwrap();
        tunnel.send("question").await;
        tunnel.shut().await;
        assert_eq!(stage.hears().await, "question, Orderly", "{door:?}");
        assert_eq!(tunnel.rest().await.0, "answer", "{door:?}");
        drop(tunnel);
        assert_eq!(stage.record().await.outcome, Some(Outcome::Plain));
    }
}

#[tokio::test]
async fn a_cut_by_the_origin_never_looks_like_an_end() {
    for door in Door::ALL {
        let site = origin("site.test").without_tls(443).resets().plays(|mut wire, _| async move {
            wire.expect("go").await;
            wire.send("half of").await;
            // The proxy's answer to what was received: the reset must not overtake it.
            wire.expect("on").await;
        });
        let stage = door.stage("site.test").origin(site).start().await;
        let mut tunnel = door.knock(&stage, "site.test", None).await.unwrap();
        tunnel.send("go").await;
        tunnel.expect("half of").await;
        tunnel.send("on").await;
        assert_eq!(tunnel.rest().await.1, Ending::Cut, "{door:?}");
        drop(tunnel);
        let record = stage.record().await;
        assert_eq!(record.end.as_ref().unwrap().by, "origin", "{door:?}: {:?}", record.end);
    }
}

#[tokio::test]
async fn an_origin_that_cannot_be_reached_cuts_a_bypassed_tunnel() {
    for door in Door::ALL {
        // Nothing listens there.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let entry = ResolveEntry {
            hosts: ResolveHosts::Exact(Host::parse("site.test").unwrap()),
            port: 443,
            addresses: vec![address],
        };
        let stage = door.stage("site.test").lab(|lab| lab.bypass("*").config(|config| config.resolve.push(entry)));
        let stage = stage.start().await;
        let tunnel = door.knock(&stage, "site.test", None).await.unwrap();
        assert!(stage.client().handshake(tunnel, "site.test").await.is_err(), "{door:?}");
        let record = stage.record().await;
        assert_eq!((record.outcome, &record.told), (Some(Outcome::Failed), &Some(Told::Reset)), "{door:?}");
        assert!(record.origin.as_ref().unwrap().fault.as_ref().unwrap().contains("refused"), "{record:#?}");
    }
}

#[tokio::test]
async fn every_door_asks_who_it_is_where_the_proxy_does() {
    let ann = || Credentials::one("ann", "s3cr3t").unwrap();
    for door in Door::ALL {
        let site = origin("site.test").without_tls(443).answers(HELLO);
        let build = door.stage("site.test").origin(site);
        let stage = build.lab(|lab| lab.config(|config| config.credentials = Some(ann()))).start().await;
        if door == Door::Forward {
            // It knows no proxy, so nobody asks it.
            assert!(door.knock(&stage, "site.test", None).await.is_ok());
            stage.lab.records().await;
            continue;
        }
        let (missing, wrong) = match door {
            Door::Socks4a => (Refused::Code(93), Refused::Code(93)),
            Door::Socks5 => (Refused::Code(0xff), Refused::Code(1)),
            Door::Socks5User => (Refused::Code(1), Refused::Code(1)),
            _ => (Refused::Status(407), Refused::Status(407)),
        };
        assert_eq!(door.knock(&stage, "site.test", None).await.err(), Some(missing), "{door:?}");
        assert_eq!(door.knock(&stage, "site.test", Some(("ann", "x"))).await.err(), Some(wrong), "{door:?}");
        let right = door.knock(&stage, "site.test", Some(("ann", "s3cr3t"))).await;
        if door != Door::Socks4a {
            let mut tunnel = right.unwrap_or_else(|refused| panic!("{door:?}: {refused:?}"));
            tunnel.send("HELO x\r\n\r\n").await;
            tunnel.expect(HELLO).await;
            tunnel.close().await;
        }
        let records = stage.records(3).await;
        for record in &records[..2] {
            assert_eq!((record.outcome, record.via), (Some(Outcome::Blocked), Some(door.via())), "{door:?}");
            let told = if matches!(missing, Refused::Status(_)) { Told::Status(407) } else { Told::Close };
            assert_eq!((&record.told, &record.decision), (&Some(told), &None), "{door:?}");
        }
        if door != Door::Socks4a {
            assert_eq!(records[2].outcome, Some(Outcome::Plain), "{door:?}");
        }
    }
}
