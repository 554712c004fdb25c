//! Clients that complete the handshake first and judge then: with an alert, as .NET on Windows does.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use middlebox::journal::{Cause, Outcome};
use rustls::{ClientConnection, ConnectionTrafficSecrets, ProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use crate::support::{HELLO, get, origin, stage};

#[tokio::test]
async fn an_alert_after_the_handshake_is_read_like_one_inside_it() {
    for (number, cause) in [(46, Cause::Ambiguous), (48, Cause::UntrustedCa), (45, Cause::Expired)] {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let stage = stage().origin(origin("site.test").answers(HELLO)).start().await;
            let client = stage.client().only(version);
            let wire = client.connect("site.test:443").await;
            let mut config = client.config();
            config.enable_secret_extraction = true;
            let name = ServerName::try_from("site.test").unwrap();
            let stream = TlsConnector::from(Arc::new(config)).connect(name, wire.stream).await.unwrap();
            let (mut io, connection) = stream.into_inner();
            io.write_all(&sealed_alert(connection, number)).await.unwrap();
            io.shutdown().await.unwrap();
            let record = stage.record().await;
            let diagnosis = record.diagnosis.as_ref().unwrap();
            assert_eq!((record.outcome, diagnosis.cause), (Some(Outcome::Refused), cause), "{record:#?}");
            let seen = &diagnosis.evidence[0];
            assert!(
                seen.starts_with(&format!("fatal alert {number} ")) && seen.ends_with("after the client's Finished"),
                "{seen}"
            );
        }
    }
}

/// The record of a fatal alert, as a client sends it whose handshake is complete (RFC 8446, 5.2; RFC 5288, 3).
fn sealed_alert(connection: ClientConnection, number: u8) -> Vec<u8> {
    let is_1_3 = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    let (sequence, secrets) = connection.dangerous_extract_secrets().unwrap().tx;
    let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else { panic!("another cipher suite") };
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).unwrap());
    let mut nonce: [u8; 12] = iv.as_ref().try_into().unwrap();
    if is_1_3 {
        nonce.iter_mut().skip(4).zip(sequence.to_be_bytes()).for_each(|(byte, part)| *byte ^= part);
        let mut fragment = vec![2, number, 21];
        let header = [23, 3, 3, 0, u8::try_from(fragment.len() + 16).unwrap()];
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(header), &mut fragment).unwrap();
        return [&header[..], &fragment].concat();
    }
    // The explicit half of the nonce is free to choose, and never was this one before.
    nonce[4..].copy_from_slice(&[0xff; 8]);
    let mut fragment = vec![2, number];
    let aad = [&sequence.to_be_bytes()[..], &[21, 3, 3, 0, 2]].concat();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut fragment).unwrap();
    let length = u8::try_from(8 + fragment.len()).unwrap();
    [&[21, 3, 3, 0, length][..], &nonce[4..], &fragment].concat()
}

#[tokio::test]
async fn a_session_is_resumed_by_who_accepted_its_certificate_before_and_gives_no_verdict() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let stage = stage().origin(origin("site.test").answers(HELLO)).start().await;
        let client = stage.client().only(version);
        let connector = TlsConnector::from(Arc::new(client.config()));
        let name = ServerName::try_from("site.test").unwrap();
        // The first is evidence, the second is given tickets, the third comes with one.
        for (number, resumes) in [(1, false), (2, false), (3, true)] {
            let wire = client.connect("site.test:443").await;
            let stream = connector.connect(name.clone(), wire.stream).await.unwrap();
            let mut wire = crate::support::Wire::new(stream);
            wire.send(get("site.test", "/")).await;
            wire.answer().await;
            wire.close().await;
            let record = stage.records(number).await.remove(number - 1);
            let handshake = record.handshake.as_ref().unwrap();
            assert_eq!((record.outcome, handshake.resumed), (Some(Outcome::Accepted), resumes), "{version:?}");
        }
        let wire = client.connect("site.test:443").await;
        let mut stream = connector.connect(name.clone(), wire.stream).await.unwrap();
        stream.shutdown().await.unwrap();
        drop(stream);
        let record = stage.records(4).await.remove(3);
        assert!(record.handshake.as_ref().unwrap().resumed);
        assert_eq!((record.outcome, record.diagnosis.is_none()), (Some(Outcome::Unused), true), "{record:#?}");
        assert!(record.end.as_ref().unwrap().how.contains("shown no certificate"), "{record:#?}");
    }
}

#[tokio::test]
async fn a_probe_passes_one_connection_through_and_the_next_host_decides() {
    let stage = stage()
        .origin(origin("site.test").answers(HELLO))
        .origin(origin("www.example").answers(HELLO))
        .lab(|lab| lab.config(|config| config.probe = true))
        .start()
        .await;
    drop(stage.client().tls("site.test").await);
    for (host, number, outcome) in [("site.test", 2, Outcome::Bypassed), ("www.example", 3, Outcome::Accepted)] {
        let mut client = stage.client().tls(host).await;
        client.send(get(host, "/")).await;
        client.answer().await;
        client.close().await;
        let record = stage.records(number).await.remove(number - 1);
        assert_eq!(record.outcome, Some(outcome), "{record:#?}");
        if outcome == Outcome::Bypassed {
            assert!(record.notes[0].starts_with("probe: bypassed once, because connection 1"), "{:?}", record.notes);
            assert!(record.notes[1].contains("used the genuine certificate"), "{:?}", record.notes);
        }
        let diagnosis = stage.records(number).await.remove(0).diagnosis.clone().unwrap();
        assert_eq!(diagnosis.cause, if number == 2 { Cause::Ambiguous } else { Cause::PinMismatch });
    }
}
