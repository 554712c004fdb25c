//! Origins that are down, wrong or silent: what the client sees, and what the record says.

use std::time::Duration;

use middlebox::journal::{Cause, Outcome, Told};
use middlebox::net::Host;
use middlebox::simulation::{App, CertificateKind, OriginSpec};

use crate::support::client::shown;
use crate::support::origin::unanswering;
use crate::support::{Ending, Stage, get, origin, soon, stage};

async fn site(kind: CertificateKind) -> Stage {
    let mut spec = OriginSpec::new(vec![Host::parse("site.test").unwrap()], App::Static);
    spec.certificate = kind;
    stage().lab(|lab| lab.simulate([spec])).start().await
}

/// A port where nobody listens.
async fn closed_port() -> std::net::SocketAddr {
    tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn an_origin_that_is_down_is_a_502_inside_the_tls() {
    let closed = closed_port().await;
    let entry = format!("site.test:443:{closed}").parse().unwrap();
    let stage = stage().lab(|lab| lab.config(|config| config.resolve.push(entry))).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send(get("site.test", "/")).await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 502 ") && head.contains("error=connection_refused"), "{head}");
    assert!(body.contains("site.test:443 refused the connection"), "{body}");
    drop(client);
    let record = stage.record().await;
    assert_eq!((record.outcome, &record.told), (Some(Outcome::Failed), &Some(Told::StatusInside(502))));
    assert_eq!(record.forged.as_ref().unwrap().mirrored, "name-alone");
    assert!(record.origin.as_ref().unwrap().fault.as_ref().unwrap().contains("refused"));
}

#[tokio::test]
async fn a_name_without_an_address_is_a_502_that_says_so() {
    let stage = stage().start().await;
    let mut client = stage.client().tls("name.invalid").await;
    client.send(get("name.invalid", "/")).await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 502 ") && head.contains("error=dns_error"), "{head}");
    assert!(body.contains("could not be resolved"), "{body}");
    drop(client);
    assert_eq!(stage.record().await.outcome, Some(Outcome::Failed));
}

#[tokio::test]
async fn an_origin_that_is_down_is_a_502_in_the_clear_and_a_reset_behind_a_bypass() {
    let closed = closed_port().await;
    let entries = [format!("site.test:443:{closed}"), format!("site.test:80:{closed}")];
    let stage = stage()
        .lab(|lab| {
            lab.bypass("site.test").config(|config| {
                config.resolve.extend(entries.iter().map(|entry| entry.parse().unwrap()));
            })
        })
        .start()
        .await;
    let mut client = stage.client().dial().await;
    client.send(get("site.test", "http://site.test/")).await;
    assert!(client.rest().await.0.starts_with("HTTP/1.1 502 "));
    let mut client = stage.client().connect("site.test:443").await;
    client.send(stage.client().hello("site.test")).await;
    assert_eq!(client.rest().await.1, Ending::Cut);
    let records = stage.records(2).await;
    assert_eq!((records[0].outcome, &records[0].told), (Some(Outcome::Failed), &Some(Told::Status(502))));
    assert_eq!((records[1].outcome, &records[1].told), (Some(Outcome::Failed), &Some(Told::Reset)));
}

#[tokio::test]
async fn an_untrusted_origin_is_never_made_trusted() {
    for (kind, fault, cause) in [
        (CertificateKind::Expired, "expired", Cause::Expired),
        (CertificateKind::NotYetValid, "not", Cause::Expired),
        (CertificateKind::WrongHost, "name", Cause::UntrustedCa),
        (CertificateKind::SelfSigned, "self", Cause::UntrustedCa),
        (CertificateKind::Untrusted, "CA", Cause::UntrustedCa),
    ] {
        let stage = site(kind).await;
        let refused = stage.client().alpn(&["http/1.1"]).try_tls("site.test").await;
        let error = refused.err().unwrap_or_else(|| panic!("a client trusts a site that is {kind:?}"));
        assert!(error.to_string().contains("certificate"), "{error}");
        let record = stage.record().await;
        let origin = record.origin.as_ref().unwrap();
        assert_eq!(origin.trusted, Some(false), "{origin:#?}");
        assert!(origin.fault.as_ref().unwrap().contains(fault), "{kind:?}: {:?}", origin.fault);
        assert_eq!(record.forged.as_ref().unwrap().signed_by, "untrusted-ca");
        assert_eq!((record.outcome, record.diagnosis.as_ref().unwrap().cause), (Some(Outcome::Refused), cause));
    }
}

#[tokio::test]
async fn the_fault_stays_visible_to_a_client_that_looks() {
    for kind in [CertificateKind::Expired, CertificateKind::NotYetValid, CertificateKind::WrongHost] {
        let stage = site(kind).await;
        let stream =
            stage.client().verifier(crate::diagnosis::Verifier::lenient()).tls_stream("site.test").await.unwrap();
        let seen = shown(&stream);
        drop(stream);
        let now = time::OffsetDateTime::now_utc().format(&time::format_description::well_known::Rfc3339).unwrap();
        match kind {
            CertificateKind::Expired => assert!(seen.not_after < now, "{seen:#?}"),
            CertificateKind::NotYetValid => assert!(seen.not_before > now, "{seen:#?}"),
            _ => assert_eq!(seen.names, ["wrong-host.example"]),
        }
        stage.records(1).await;
    }
}

#[tokio::test]
async fn an_origin_that_speaks_no_tls_is_a_502_inside() {
    let talks = origin("site.test").without_tls(443).plays(|mut wire, _| async move {
        wire.more().await.unwrap();
        wire.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        wire.rest().await;
    });
    let stage = stage().origin(talks).start().await;
    let mut client = stage.client().tls("site.test").await;
    client.send(get("site.test", "/")).await;
    let (head, _) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 502 ") && head.contains("error=tls_protocol_error"), "{head}");
    drop(client);
    assert_eq!(stage.record().await.outcome, Some(Outcome::Failed));
}

#[tokio::test]
async fn an_origin_that_never_speaks_is_a_504_when_its_time_is_over() {
    let silent = origin("site.test").without_tls(443).plays(|mut wire, report| async move {
        wire.more().await.unwrap();
        report.say("it has our hello");
        wire.rest().await;
    });
    let stage = stage().origin(silent).start().await;
    let asking = tokio::spawn({
        let client = stage.client();
        async move { client.tls("site.test").await }
    });
    stage.hears().await;
    // Nothing moves any more: the clock goes on to the next limit, which is that of the origin's handshake.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(20)).await;
    tokio::time::resume();
    let mut client = asking.await.unwrap();
    client.send(get("site.test", "/")).await;
    let (head, _) = soon("an answer", client.answer()).await;
    assert!(head.starts_with("HTTP/1.1 504 ") && head.contains("error=connection_timeout"), "{head}");
    drop(client);
    let record = stage.record().await;
    assert_eq!((record.outcome, &record.told), (Some(Outcome::Failed), &Some(Told::StatusInside(504))));
}

#[tokio::test]
async fn an_origin_that_does_not_answer_is_a_504_when_its_time_is_over() {
    let (address, _kept) = unanswering().await;
    let entry = format!("site.test:80:{address}").parse().unwrap();
    let stage = stage().lab(|lab| lab.config(|config| config.resolve.push(entry))).start().await;
    let mut client = stage.client().dial().await;
    client.send(get("site.test", "http://site.test/")).await;
    stage.until(|record| record.stages.decided.is_some()).await;
    // From here on only the clock moves.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(15)).await;
    tokio::time::resume();
    let (answer, _) = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 504 ") && answer.contains("error=connection_timeout"), "{answer}");
    assert_eq!(stage.record().await.told, Some(Told::Status(504)));
}
