//! Sessions that cannot be decrypted: recorded as such, blocked or passed through as the profile's product does, and
//! learned where it learns.

use middlebox::journal::{ConnectionRecord, DecisionKind, Outcome};
use middlebox::lab::LabBuilder;

use crate::support::{Ending, Origin, Stage, Wire, get, origin, stage};

/// Says of every hello that its version does not fit.
const PROTOCOL_VERSION: [u8; 7] = [21, 3, 1, 0, 2, 2, 70];

/// A ClientHello of TLS 1.0 with one old cipher and the SNI `site.test`.
fn old_hello() -> Vec<u8> {
    let name = b"site.test";
    let sni = [&[0, 0, 0, 14, 0, 12, 0, 0, 9][..], name].concat();
    let extensions = [&u16::try_from(sni.len()).unwrap().to_be_bytes()[..], &sni].concat();
    let body = [&[3, 1][..], &[7; 32], &[0], &[0, 2, 0, 5], &[1, 0], &extensions].concat();
    let message = [&[1, 0, 0, u8::try_from(body.len()).unwrap()][..], &body].concat();
    [&[22, 3, 1, 0, u8::try_from(message.len()).unwrap()][..], &message].concat()
}

/// An origin of old: what it is sent is no hello that it likes, whoever sends it.
fn old_origin() -> Origin {
    origin("site.test").without_tls(443).plays(|mut wire, report| async move {
        wire.more().await.unwrap();
        report.say("tried");
        let _ = wire.try_send(PROTOCOL_VERSION).await;
        wire.close().await;
    })
}

async fn with_profile(profile: &'static str, learn: bool, site: Origin) -> Stage {
    let lab = move |lab: LabBuilder| lab.profile(profile).config(|config| config.learn = learn);
    stage().origin(site).lab(lab).start().await
}

fn noted(record: &ConnectionRecord, words: &str) -> bool {
    record.notes.iter().any(|note| note.contains(words))
}

#[tokio::test]
async fn a_client_of_tls_1_0_is_undecryptable_and_fails_or_passes_as_the_product_does() {
    for (profile, passes) in [("generic", false), ("pan-os", true)] {
        let site = origin("site.test").without_tls(443).plays(|mut wire, report| async move {
            report.say(format!("{} bytes", wire.bytes(old_hello().len()).await.len()));
            wire.send("\x16\x03\x01 answer").await;
            wire.rest().await;
        });
        let stage = with_profile(profile, false, site).await;
        let mut client = stage.client().connect("site.test:443").await;
        client.send(old_hello()).await;
        if passes {
            client.expect("\x16\x03\x01 answer").await;
            assert_eq!(stage.hears().await, format!("{} bytes", old_hello().len()));
        } else {
            assert_eq!(client.bytes(7).await, PROTOCOL_VERSION);
        }
        client.close().await;
        let record = stage.record().await;
        let (outcome, action) = match passes {
            true => (Outcome::Bypassed, DecisionKind::Bypass),
            false => (Outcome::Failed, DecisionKind::Inspect),
        };
        assert_eq!((record.outcome, record.decision.as_ref().unwrap().action), (Some(outcome), action), "{record:#?}");
        assert!(noted(&record, "undecryptable: the client offers TLS 1.0 at most"), "{:?}", record.notes);
    }
}

#[tokio::test]
async fn an_origin_whose_tls_does_not_fit_is_undecryptable() {
    let stage = with_profile("generic", false, old_origin()).await;
    let mut client = stage.client().tls("site.test").await;
    client.send(get("site.test", "/")).await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 502 "));
    drop(client);
    let record = stage.record().await;
    assert_eq!(record.outcome, Some(Outcome::Failed));
    assert!(noted(&record, "undecryptable: the origin's TLS does not fit"), "{:?}", record.notes);

    // Passed through, the client hears it from the origin itself.
    let stage = with_profile("pan-os", false, old_origin()).await;
    let error = stage.client().try_tls("site.test").await.err().unwrap();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    let record = stage.record().await;
    assert_eq!(record.outcome, Some(Outcome::Bypassed));
    assert!(noted(&record, "PAN-OS SSL Forward Proxy passes such sessions through"), "{:?}", record.notes);
}

#[tokio::test]
async fn what_is_learned_is_bypassed_from_the_next_connection_on() {
    for (profile, first) in [("pan-os", Outcome::Bypassed), ("netskope", Outcome::Failed)] {
        let stage = with_profile(profile, true, old_origin()).await;
        for _ in 0..2 {
            let tried = stage.client().try_tls("site.test").await;
            if let Ok(mut wire) = tried {
                wire.send(get("site.test", "/")).await;
                assert!(wire.answer().await.0.starts_with("HTTP/1.1 502 "));
                wire.close().await;
            }
            stage.lab.records().await;
        }
        let records = stage.records(2).await;
        let outcomes: Vec<_> = records.iter().map(|record| record.outcome.unwrap()).collect();
        assert_eq!(outcomes, [first, Outcome::Bypassed], "{profile}");
        assert!(noted(&records[0], "learned: site.test:443 is bypassed from now on"), "{:?}", records[0].notes);
        assert!(noted(&records[1], "learned from an earlier connection"), "{:?}", records[1].notes);
        assert!(records[1].forged.is_none());
    }
}

#[tokio::test]
async fn an_untrusted_origin_is_blocked_once_and_then_bypassed_where_that_is_learned() {
    for learn in [true, false] {
        let stage = with_profile("netskope", learn, origin("site.test").certified_for(&["other.test"])).await;
        let mut wire = stage.client().tls("site.test").await;
        wire.send(get("site.test", "/")).await;
        assert!(wire.answer().await.0.starts_with("HTTP/1.1 502 "));
        wire.close().await;
        stage.lab.records().await;
        // Bypassed, the client judges the origin's own certificate.
        assert_eq!(stage.client().try_tls("site.test").await.is_err(), learn);
        let records = stage.records(2).await;
        assert_eq!(records[0].outcome, Some(Outcome::Failed));
        assert_eq!(records[1].outcome == Some(Outcome::Bypassed), learn, "{:?}", records[1].outcome);
        assert_eq!(
            noted(&records[0], "learned: site.test:443 is bypassed from now on"),
            learn,
            "{:?}",
            records[0].notes
        );
        assert_eq!(noted(&records[1], "learned from an earlier connection (the origin is not trusted"), learn);
    }
}

#[tokio::test]
async fn a_profile_that_does_not_learn_refuses_to() {
    let error = stage().lab(|lab| lab.config(|config| config.learn = true)).try_start().await.err().unwrap();
    assert!(error.to_string().contains("leave --learn out") && !error.is_environment(), "{error}");
}

#[tokio::test]
async fn an_origin_that_is_down_is_not_undecryptable() {
    let site = origin("site.test").without_tls(443).plays(|mut wire: Wire, _| async move {
        wire.more().await.unwrap();
        wire.send("no TLS at all").await;
        assert_ne!(wire.rest().await.1, Ending::Cut);
    });
    let stage = with_profile("pan-os", true, site).await;
    let mut client = stage.client().tls("site.test").await;
    client.send(get("site.test", "/")).await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 502 "));
    client.close().await;
    let record = stage.record().await;
    assert!(!noted(&record, "undecryptable") && !noted(&record, "learned"), "{:?}", record.notes);
}
