//! IPv4, IPv6, and targets that are addresses.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::support::client::shown;
use crate::support::{HELLO, get, origin, soon, stage};

fn no_ipv6() -> bool {
    let missing = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err();
    if missing {
        eprintln!("skipped: this machine has no ::1");
    }
    missing
}

#[tokio::test]
async fn a_target_that_is_an_address_gets_a_certificate_for_it() {
    for address in ["10.1.2.3", "2001:db8::7"] {
        for sends_sni in [true, false] {
            let stage = stage().origin(origin(address).answers(HELLO)).start().await;
            // With an address there is no SNI either way: RFC 6066 knows names alone.
            let client = if sends_sni { stage.client() } else { stage.client().without_sni() };
            let stream = client.tls_stream(address).await.unwrap();
            assert_eq!(shown(&stream).names, [address]);
            drop(stream);
            let record = stage.record().await;
            assert_eq!(record.hello.as_ref().unwrap().sni, None);
            assert_eq!(record.destination.as_ref().unwrap().host.ip(), Some(address.parse::<IpAddr>().unwrap()));
            assert_eq!(record.origin.as_ref().unwrap().trusted, Some(true), "{record:#?}");
        }
    }
}

#[tokio::test]
async fn a_name_in_the_hello_counts_where_the_target_is_an_address() {
    let stage = stage().origin(origin("10.1.2.3").answers(HELLO)).start().await;
    let stream = stage.client().sni("10.1.2.3").tls_stream("10.1.2.3").await.unwrap();
    drop(stream);
    let failed = stage.client().sni("site.test").tls_stream("10.1.2.3").await;
    assert!(failed.is_err(), "the origin has no certificate for site.test");
    let record = stage.records(2).await.remove(1);
    assert_eq!(record.origin.as_ref().unwrap().trusted, Some(false));
    assert!(record.origin.as_ref().unwrap().fault.as_ref().unwrap().contains("name"), "{record:#?}");
}

#[tokio::test]
async fn a_host_without_sni_is_known_by_its_connect() {
    let stage = stage().origin(origin("site.test").answers(HELLO)).start().await;
    let stream = stage.client().without_sni().tls_stream("site.test").await.unwrap();
    assert_eq!(shown(&stream).names, ["site.test"]);
    drop(stream);
    let record = stage.record().await;
    assert_eq!((record.hello.as_ref().unwrap().sni.clone(), record.host()), (None, Some("site.test".to_owned())));
}

#[tokio::test]
async fn ipv6_works_on_both_sides() {
    if no_ipv6() {
        return;
    }
    let local = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let stage = stage().origin(origin("site.test").on(local).answers(HELLO)).lab(|lab| lab.listen(local)).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send(get("site.test", "/")).await;
    assert_eq!(soon("an answer", client.answer()).await.1, "hello");
    client.close().await;
    let record = stage.accepted().await;
    assert!(record.client.address.is_ipv6() && record.origin.as_ref().unwrap().address.unwrap().is_ipv6());
}
