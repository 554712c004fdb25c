//! Ports that lead to one place, for clients that know no proxy.

use middlebox::journal::{DecisionKind, Outcome, Told, Via};
use middlebox::net::Destination;

use crate::door::{Door, any_port};
use crate::support::client::shown;
use crate::support::{HELLO, Wire, get, origin, stage};

#[tokio::test]
async fn the_name_in_the_hello_is_the_one_that_is_forged_and_asked_for() {
    let site = origin("site.test").certified_for(&["other.test"]).answers(HELLO);
    let stage = Door::Forward.stage("site.test").origin(site).start().await;
    let wire = Wire::dial(stage.lab.other_addresses()[0]).await;
    let stream = stage.client().handshake(wire, "other.test").await.unwrap();
    assert_eq!(shown(&stream).names, ["other.test"]);
    let mut wire = Wire::new(stream);
    wire.send(get("other.test", "/")).await;
    assert_eq!(wire.answer().await.1, "hello");
    wire.close().await;
    let record = stage.accepted().await;
    assert_eq!(record.destination.as_ref().unwrap().to_string(), "site.test:443");
    assert_eq!(record.origin.as_ref().unwrap().trusted, Some(true));
    assert_eq!(record.notes, ["the client asked for site.test, its hello for other.test"]);
}

#[tokio::test]
async fn a_rule_for_the_forwarded_host_decides_unless_the_hello_differs() {
    for (sni, action) in [("site.test", DecisionKind::Bypass), ("other.test", DecisionKind::Inspect)] {
        let site = origin("site.test").certified_for(&["site.test", "other.test"]).answers(HELLO);
        let stage = Door::Forward.stage("site.test").origin(site).lab(|lab| lab.bypass("site.test")).start().await;
        let wire = Wire::dial(stage.lab.other_addresses()[0]).await;
        drop(stage.client().handshake(wire, sni).await.unwrap());
        let record = stage.record().await;
        assert_eq!(record.decision.as_ref().unwrap().action, action, "{sni}");
    }
}

#[tokio::test]
async fn several_ports_lead_to_several_places_and_none_back_here() {
    let [first, second] = ["one.test:25", "two.test:25"].map(|to| Destination::parse(to).unwrap());
    let greets = |host: &'static str| {
        origin(host).without_tls(25).plays(move |mut wire, _| async move {
            wire.send(host).await;
            wire.close().await;
        })
    };
    let stage = stage()
        .origin(greets("one.test"))
        .origin(greets("two.test"))
        .lab(|lab| lab.forward(any_port(), first).forward(any_port(), second))
        .start()
        .await;
    let places = stage.lab.other_addresses().to_vec();
    for (place, greeting) in places.iter().zip(["one.test", "two.test"]) {
        let mut wire = Wire::dial(*place).await;
        assert_eq!(wire.rest().await.0, greeting);
    }
    // The forwarded ports are ports of the proxy, too.
    let (head, _) = stage.client().ask(&places[0].to_string()).await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let records = stage.records(3).await;
    for record in &records[..2] {
        assert_eq!((record.outcome, record.via), (Some(Outcome::Plain), Some(Via::Forward)));
    }
    assert_eq!(records[2].told, Some(Told::Status(403)));
}
