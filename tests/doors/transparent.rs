//! Connections that the kernel redirects, from clients that know no proxy; each test in a namespace of its own
//! (see `namespace`).

use std::net::SocketAddr;

use middlebox::journal::{DecisionKind, Outcome, Told, Via};
use middlebox::net::Destination;
use middlebox::proxy::Credentials;

use crate::door::{Door, Refused, any_port};
use crate::namespace::{in_own_namespace, ip, nft, no_ipv6};
use crate::support::client::shown;
use crate::support::stage::StageBuilder;
use crate::support::{Ending, HELLO, Origin, Stage, Wire, get, origin, stage};

/// How the kernel brings connections to the proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Redirect,
    Tproxy,
}

pub(crate) const WAYS: [Way; 2] = [Way::Redirect, Way::Tproxy];

/// Connections of this namespace to 10.0.0.0/8, which is nowhere, go to this port.
pub(crate) fn lead(way: Way, port: u16) {
    nft("flush ruleset");
    match way {
        Way::Redirect => nft(&format!(
            "table ip doors {{
                chain out {{
                    type nat hook output priority -100
                    ip daddr 10.0.0.0/8 ip daddr != 10.9.9.9 tcp dport {{ 25, 443 }} redirect to :{port}
                }}
            }}"
        )),
        // What leaves is marked, and so routed to `lo`, where it arrives and is given to the proxy.
        Way::Tproxy => nft(&format!(
            "table ip doors {{
                chain out {{
                    type route hook output priority mangle
                    ip daddr 10.0.0.0/8 ip daddr != 10.9.9.9 tcp dport {{ 25, 443 }} meta mark set 1
                }}
                chain in {{
                    type filter hook prerouting priority mangle
                    meta mark 1 meta l4proto tcp tproxy to 127.0.0.1:{port}
                }}
            }}"
        )),
    }
}

/// The routes that both ways need.
pub(crate) fn routes() {
    ip("route add 10.0.0.0/8 dev lo src 10.9.9.9");
    ip("rule add fwmark 1 lookup 100");
    ip("route add local 0.0.0.0/0 dev lo table 100");
}

/// Site and mail server at an address that only the proxy knows how to reach.
fn site() -> Origin {
    origin("10.1.2.3").certified_for(&["site.test", "10.1.2.3"]).answers(HELLO)
}

async fn led(way: Way, build: StageBuilder) -> Stage {
    let stage = build.lab(|lab| lab.transparent(any_port())).start().await;
    lead(way, stage.lab.other_addresses()[0].port());
    stage
}

async fn dial(address: &str) -> Wire {
    Wire::dial(address.parse::<SocketAddr>().unwrap()).await
}

#[test]
fn the_name_in_the_hello_decides_and_is_forged() {
    in_own_namespace("transparent::the_name_in_the_hello_decides_and_is_forged", async {
        routes();
        for way in WAYS {
            for (rule, action) in [("site.test", DecisionKind::Bypass), ("other.test", DecisionKind::Inspect)] {
                let stage = led(way, stage().origin(site()).lab(|lab| lab.bypass(rule))).await;
                let stream = stage.client().handshake(dial("10.1.2.3:443").await, "site.test").await.unwrap();
                let issuer = shown(&stream).issuer;
                let inspected = action == DecisionKind::Inspect;
                assert_eq!(issuer.contains(&stage.lab.issuer()), inspected, "{way:?}: {issuer}");
                let mut wire = Wire::new(stream);
                wire.send(get("site.test", "/")).await;
                assert_eq!(wire.answer().await.1, "hello", "{way:?}");
                wire.close().await;
                let record = stage.record().await;
                let decision = record.decision.as_ref().unwrap();
                assert_eq!((record.via, decision.action), (Some(Via::Transparent), action), "{way:?}");
                assert_eq!(record.destination.as_ref().unwrap().to_string(), "10.1.2.3:443", "{way:?}");
                assert_eq!(record.client.address.ip().to_string(), "10.9.9.9", "{way:?}");
            }
        }
    });
}

#[test]
fn an_address_rule_decides_and_a_block_is_an_alert() {
    in_own_namespace("transparent::an_address_rule_decides_and_a_block_is_an_alert", async {
        routes();
        for way in WAYS {
            let stage = led(way, stage().lab(|lab| lab.block("10.1.0.0/16"))).await;
            let error = stage.client().handshake(dial("10.1.2.3:443").await, "site.test").await.err().unwrap();
            assert!(error.to_string().contains("AccessDenied"), "{way:?}: {error}");
            let mut mail = dial("10.1.2.3:25").await;
            mail.send("HELO x\r\n").await;
            assert_eq!(mail.rest().await.1, Ending::Cut, "{way:?}");
            let records = stage.records(2).await;
            for record in &records {
                assert_eq!((record.outcome, record.via), (Some(Outcome::Blocked), Some(Via::Transparent)));
                assert_eq!(record.decision.as_ref().unwrap().rule.as_deref(), Some("10.1.0.0/16"), "{way:?}");
            }
            assert_eq!(records[0].told, Some(Told::Alert("access_denied")));
            assert_eq!(records[1].told, Some(Told::Reset));
        }
    });
}

#[test]
fn without_a_name_the_address_is_forged() {
    in_own_namespace("transparent::without_a_name_the_address_is_forged", async {
        routes();
        for way in WAYS {
            let stage = led(way, stage().origin(site())).await;
            let stream = stage.client().handshake(dial("10.1.2.3:443").await, "10.1.2.3").await.unwrap();
            assert!(shown(&stream).names.contains(&"10.1.2.3".to_owned()), "{way:?}");
            drop(stream);
            let record = stage.record().await;
            assert_eq!((record.hello.as_ref().unwrap().sni.clone(), record.host()), (None, Some("10.1.2.3".into())));
            assert!(record.forged.is_some(), "{way:?}");
        }
    });
}

#[test]
fn what_is_not_tls_passes_whoever_speaks_first() {
    in_own_namespace("transparent::what_is_not_tls_passes_whoever_speaks_first", async {
        routes();
        for way in WAYS {
            let mail = origin("10.1.2.3").without_tls(25).plays(|mut wire, _| async move {
                wire.send("220 hello\r\n").await;
                wire.expect("QUIT\r\n").await;
                wire.close().await;
            });
            let shell = origin("10.4.4.4").without_tls(443).answers("SSH-2.0-x\r\n\r\n");
            let stage = led(way, stage().origin(mail).origin(shell)).await;
            let mut wire = dial("10.1.2.3:25").await;
            wire.expect("220 hello\r\n").await;
            wire.send("QUIT\r\n").await;
            assert_eq!(wire.rest().await.1, Ending::Orderly, "{way:?}");
            drop(wire);
            let mut wire = dial("10.4.4.4:443").await;
            wire.send("SSH-2.0-y\r\n\r\n").await;
            wire.expect("SSH-2.0-x\r\n\r\n").await;
            wire.close().await;
            for record in stage.records(2).await {
                assert_eq!((record.outcome, record.via), (Some(Outcome::Plain), Some(Via::Transparent)), "{way:?}");
            }
        }
    });
}

#[test]
fn a_connection_straight_to_the_transparent_port_is_no_loop() {
    in_own_namespace("transparent::a_connection_straight_to_the_transparent_port_is_no_loop", async {
        routes();
        for listen in ["127.0.0.1:0", "0.0.0.0:0"] {
            let stage = stage().lab(|lab| lab.transparent(listen.parse().unwrap())).start().await;
            let port = stage.lab.other_addresses()[0].port();
            lead(Way::Redirect, port);
            let mut wire = dial(&format!("127.0.0.1:{port}")).await;
            assert_eq!(wire.rest().await.1, Ending::Cut, "{listen}");
            // Nor does the proxy's own door lead there.
            let (head, _) = stage.client().ask(&format!("127.0.0.1:{port}")).await;
            assert!(head.starts_with("HTTP/1.1 403 "), "{listen}: {head}");
            let record = stage.records(2).await.remove(0);
            assert_eq!((record.outcome, &record.told), (Some(Outcome::Blocked), &Some(Told::Reset)), "{listen}");
        }
    });
}

#[test]
fn ipv6_is_redirected_to_a_port_of_both_families() {
    in_own_namespace("transparent::ipv6_is_redirected_to_a_port_of_both_families", async {
        if no_ipv6() {
            return;
        }
        routes();
        ip("route add 2001:db8::/32 dev lo src 2001:db8:9::9");
        let six = origin("2001:db8::7").certified_for(&["six.test"]).answers(HELLO);
        let stage = stage().origin(site()).origin(six).lab(|lab| lab.transparent("[::]:0".parse().unwrap()));
        let stage = stage.start().await;
        let port = stage.lab.other_addresses()[0].port();
        lead(Way::Redirect, port);
        nft(&format!(
            "table ip6 doors {{
                chain out {{
                    type nat hook output priority -100
                    ip6 daddr 2001:db8::/48 tcp dport 443 redirect to :{port}
                }}
            }}"
        ));
        for (address, name) in [("[2001:db8::7]:443", "six.test"), ("10.1.2.3:443", "site.test")] {
            let stream = stage.client().handshake(dial(address).await, name).await.unwrap();
            let mut wire = Wire::new(stream);
            wire.send(get(name, "/")).await;
            assert_eq!(wire.answer().await.1, "hello");
            wire.close().await;
        }
        let destinations: Vec<_> =
            stage.records(2).await.iter().map(|record| record.destination.as_ref().unwrap().to_string()).collect();
        assert_eq!(destinations, ["[2001:db8::7]:443", "10.1.2.3:443"]);
    });
}

#[test]
fn a_client_that_is_not_allowed_is_turned_away_at_every_door() {
    in_own_namespace("transparent::a_client_that_is_not_allowed_is_turned_away_at_every_door", async {
        routes();
        let here: SocketAddr = "10.9.9.9:0".parse().unwrap();
        for door in Door::ALL.into_iter().filter(|door| *door != Door::Forward) {
            let stage = stage().lab(|lab| {
                lab.listen(here).config(|config| {
                    config.allow_clients = vec!["10.8.0.0/16".parse().unwrap()];
                    // Never asked: who may not be here need not say who it is.
                    config.credentials = Some(Credentials::one("ann", "x").unwrap());
                })
            });
            let stage = stage.start().await;
            let told = match door {
                Door::Connect => {
                    assert_eq!(door.knock(&stage, "site.test", None).await.err(), Some(Refused::Status(403)));
                    Told::Status(403)
                }
                Door::Socks4a | Door::Socks5 | Door::Socks5User => {
                    let code = if door == Door::Socks4a { 91 } else { 0xff };
                    assert_eq!(door.knock(&stage, "site.test", None).await.err(), Some(Refused::Code(code)));
                    Told::Close
                }
                Door::ConnectOverTls | Door::Http2OverTls => {
                    let client = stage.client();
                    let error = client.handshake(client.dial().await, "10.9.9.9").await.err().unwrap();
                    assert!(error.to_string().contains("AccessDenied"), "{error}");
                    Told::Alert("access_denied")
                }
                Door::Http2 | Door::Forward | Door::Redirected => {
                    let mut wire = stage.client().dial().await;
                    wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
                    assert_eq!(wire.rest().await, (String::new(), Ending::Orderly));
                    Told::Close
                }
            };
            let record = stage.record().await;
            assert_eq!((record.outcome, &record.told), (Some(Outcome::Blocked), &Some(told)), "{door:?}");
            assert!(record.end.as_ref().unwrap().how.contains("10.9.9.9"), "{:?}", record.end);
        }
    });
}

#[test]
fn a_client_that_is_not_allowed_is_cut_off_where_it_knows_no_proxy() {
    in_own_namespace("transparent::a_client_that_is_not_allowed_is_cut_off_where_it_knows_no_proxy", async {
        routes();
        let to = Destination::parse("site.test:443").unwrap();
        let build = stage().lab(|lab| {
            lab.forward("10.9.9.9:0".parse().unwrap(), to)
                .config(|config| config.allow_clients = vec!["10.8.0.0/16".parse().unwrap()])
        });
        let stage = led(Way::Redirect, build).await;
        let forwarded = stage.lab.other_addresses()[1];
        for address in [forwarded.to_string(), "10.1.2.3:443".to_owned()] {
            let mut wire = dial(&address).await;
            assert_eq!(wire.rest().await.1, Ending::Cut, "{address}");
        }
        for record in stage.records(2).await {
            assert_eq!((record.outcome, &record.told), (Some(Outcome::Blocked), &Some(Told::Reset)));
        }
    });
}

#[test]
fn a_proxy_at_every_address_shows_a_certificate_for_the_one_that_was_reached() {
    in_own_namespace("transparent::a_proxy_at_every_address_shows_a_certificate_for_the_one_that_was_reached", async {
        let stage = stage().lab(|lab| {
            lab.listen("0.0.0.0:0".parse().unwrap())
                .config(|config| config.allow_clients = vec!["10.0.0.0/8".parse().unwrap()])
        });
        let stage = stage.start().await;
        let wire = dial(&format!("10.9.9.9:{}", stage.proxy().port())).await;
        let stream = stage.client().handshake(wire, "10.9.9.9").await.unwrap();
        assert_eq!(shown(&stream).names, ["10.9.9.9"]);
    });
}

#[test]
fn a_rule_that_catches_the_proxys_own_connections_is_noticed_and_no_loop() {
    in_own_namespace("transparent::a_rule_that_catches_the_proxys_own_connections_is_noticed_and_no_loop", async {
        routes();
        for rule in ["site.test", "other.test"] {
            // Nothing says where 10.1.2.3 is: the proxy asks the network, whose rule leads back to it.
            let stage = led(Way::Redirect, stage().lab(|lab| lab.bypass(rule))).await;
            let inspected = rule == "other.test";
            let tried = stage.client().handshake(dial("10.1.2.3:443").await, "site.test").await;
            if inspected {
                let mut wire = Wire::new(tried.unwrap());
                wire.send(get("site.test", "/")).await;
                let (answer, _) = wire.answer().await;
                assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("proxy_loop_detected"), "{answer}");
            } else {
                assert!(tried.is_err(), "a cut");
            }
            let mut mail = dial("10.1.2.3:25").await;
            mail.send("HELO x\r\n").await;
            assert_eq!(mail.rest().await.1, Ending::Cut);
            // Two of clients, and what came back of them.
            let records = stage.records(4).await;
            let words = |record: &std::sync::Arc<middlebox::journal::ConnectionRecord>| {
                format!("{:?} {:?}", record.end, record.origin.as_ref().and_then(|origin| origin.fault.as_ref()))
            };
            let told: Vec<_> = records.iter().filter(|record| words(record).contains("meta skuid")).collect();
            assert!(told.len() >= 2, "{records:#?}");
            assert!(told.iter().any(|record| record.host().as_deref() == Some("site.test")), "{records:#?}");
        }
    });
}
