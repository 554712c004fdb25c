//! Why clients refuse, from what they really send.

use std::sync::Arc;

use middlebox::journal::{Cause, Confidence, ConnectionRecord, Diagnosis, Outcome};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::support::{HELLO, Stage, get, origin, stage, trust};

/// Accepts every certificate, or refuses each with the same error.
#[derive(Debug)]
pub(crate) struct Verifier(Option<Error>);

impl Verifier {
    pub(crate) fn lenient() -> Self {
        Self(None)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.clone().map_or_else(|| Ok(ServerCertVerified::assertion()), Err)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        trust::provider().signature_verification_algorithms.supported_schemes()
    }
}

async fn site() -> Stage {
    stage().origin(origin("site.test").answers(HELLO)).origin(origin("www.test").answers(HELLO)).start().await
}

fn diagnosed(record: &ConnectionRecord) -> &Diagnosis {
    assert_eq!(record.outcome, Some(Outcome::Refused), "{record:#?}");
    record.diagnosis.as_ref().unwrap()
}

#[tokio::test]
async fn every_alert_is_understood_in_both_versions_of_tls() {
    let refusals = [
        (48, Error::InvalidCertificate(CertificateError::UnknownIssuer), Cause::UntrustedCa, Confidence::High),
        (45, Error::InvalidCertificate(CertificateError::Expired), Cause::Expired, Confidence::High),
        (44, Error::InvalidCertificate(CertificateError::Revoked), Cause::Policy, Confidence::Medium),
        (
            49,
            Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure),
            Cause::PinMismatch,
            Confidence::Medium,
        ),
        (40, Error::General("no".to_owned()), Cause::PinMismatch, Confidence::Medium),
        (42, Error::InvalidCertificate(CertificateError::NotValidForName), Cause::Ambiguous, Confidence::Low),
        (
            46,
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(std::fmt::Error)))),
            Cause::Ambiguous,
            Confidence::Low,
        ),
    ];
    for (alert, error, cause, confidence) in refusals {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let stage = site().await;
            let client = stage.client().only(version).verifier(Verifier(Some(error.clone())));
            client.try_tls("site.test").await.err().expect("a refusal");
            let record = stage.record().await;
            let diagnosis = diagnosed(&record);
            assert!(diagnosis.evidence[0].starts_with(&format!("fatal alert {alert} ")), "{:?}", diagnosis.evidence);
            assert_eq!((diagnosis.cause, diagnosis.confidence), (cause, confidence), "{diagnosis:#?}");
            assert_eq!(record.end.as_ref().unwrap().by, "client");
        }
    }
}

#[tokio::test]
async fn a_polite_close_after_the_handshake_is_a_pin() {
    let stage = site().await;
    stage.client().tls("site.test").await.close().await;
    let record = stage.record().await;
    let diagnosis = diagnosed(&record);
    assert_eq!((diagnosis.cause, diagnosis.confidence), (Cause::PinMismatch, Confidence::Medium));
    assert!(diagnosis.evidence[0].contains("close_notify without a request"), "{:?}", diagnosis.evidence);
}

#[tokio::test]
async fn a_silent_close_after_the_handshake_cannot_be_told_alone() {
    let stage = site().await;
    drop(stage.client().tls("site.test").await);
    let record = stage.record().await;
    let diagnosis = diagnosed(&record);
    assert_eq!(diagnosis.cause, Cause::Ambiguous);
    assert_eq!(diagnosis.candidates, [Cause::UntrustedCa, Cause::PinMismatch]);
    assert!(diagnosis.evidence[0].contains("ended without a request"), "{:?}", diagnosis.evidence);
}

#[tokio::test]
async fn a_second_host_decides_between_a_pin_and_an_untrusted_ca() {
    let stage = site().await;
    let mut client = stage.client().tls("www.test").await;
    client.send(get("www.test", "/")).await;
    client.answer().await;
    client.close().await;
    drop(stage.client().tls("site.test").await);
    let record = stage.records(2).await.remove(1);
    assert_eq!((diagnosed(&record).cause, diagnosed(&record).confidence), (Cause::PinMismatch, Confidence::High));

    let stage = site().await;
    for host in ["www.test", "site.test"] {
        drop(stage.client().tls(host).await);
    }
    let record = stage.records(2).await.remove(1);
    assert_eq!((diagnosed(&record).cause, diagnosed(&record).confidence), (Cause::UntrustedCa, Confidence::High));
}

#[tokio::test]
async fn a_client_that_leaves_inside_the_handshake_has_cut_it() {
    let stage = site().await;
    let client = stage.client();
    let mut wire = client.connect("site.test:443").await;
    wire.send(client.hello("site.test")).await;
    assert_eq!(wire.bytes(3).await[..2], [22, 3], "our flight");
    wire.close().await;
    let record = stage.record().await;
    assert!(diagnosed(&record).evidence[0].contains("inside the handshake"), "{record:#?}");
    assert_eq!(diagnosed(&record).cause, Cause::Ambiguous);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_certificate_gave_up() {
    let slow = origin("site.test").without_tls(443).plays(|mut wire, report| async move {
        wire.more().await.unwrap();
        report.say("it has our hello");
        report.say(format!("{:?}", wire.rest().await.1));
    });
    let stage = stage().origin(slow).start().await;
    let client = stage.client();
    let mut wire = client.connect("site.test:443").await;
    wire.send(client.hello("site.test")).await;
    stage.hears().await;
    wire.close().await;
    let record = stage.record().await;
    assert_eq!((record.outcome, record.forged.is_none()), (Some(Outcome::GaveUp), true));
    stage.hears().await;
}

#[tokio::test]
async fn what_is_opened_ahead_beside_an_accepted_connection_is_unused() {
    let stage = site().await;
    let mut used = stage.client().tls("site.test").await;
    used.send(get("site.test", "/")).await;
    used.answer().await;
    stage.client().tls("site.test").await.close().await;
    used.close().await;
    let outcomes: Vec<_> = stage.records(2).await.iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Accepted), Some(Outcome::Unused)]);
}

#[tokio::test]
async fn what_is_opened_ahead_and_cut_inside_its_handshake_is_unused_too() {
    let stage = site().await;
    let client = stage.client();
    let mut used = client.tls("site.test").await;
    used.send(get("site.test", "/")).await;
    used.answer().await;
    let mut ahead = client.connect("site.test:443").await;
    ahead.send(client.hello("site.test")).await;
    assert_eq!(ahead.bytes(3).await[..2], [22, 3], "our flight");
    ahead.close().await;
    used.close().await;
    let outcomes: Vec<_> = stage.records(2).await.iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Accepted), Some(Outcome::Unused)]);
}

#[tokio::test]
async fn what_is_cut_before_its_sibling_says_its_first_word_is_unused_once_it_does() {
    let stage = site().await;
    let client = stage.client();
    let mut used = client.tls("site.test").await;
    let mut ahead = client.connect("site.test:443").await;
    ahead.send(client.hello("site.test")).await;
    assert_eq!(ahead.bytes(3).await[..2], [22, 3], "our flight");
    ahead.close().await;
    stage.until(|record| record.outcome == Some(Outcome::Refused)).await;
    used.send(get("site.test", "/")).await;
    used.answer().await;
    used.close().await;
    let outcomes: Vec<_> = stage.records(2).await.iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Accepted), Some(Outcome::Unused)]);
}

#[tokio::test]
async fn a_warning_that_the_tls_library_swallows_is_seen_on_the_wire() {
    for (number, name) in
        [(46, "certificate_unknown"), (0, "close_notify"), (42, "bad_certificate"), (90, "user_canceled")]
    {
        let stage = site().await;
        let client = stage.client().only(&rustls::version::TLS12);
        let mut wire = client.connect("site.test:443").await;
        wire.send(client.hello("site.test")).await;
        assert_eq!(wire.bytes(3).await[..2], [22, 3], "our flight");
        wire.send([21, 3, 3, 0, 2, 1, number]).await;
        wire.close().await;
        let record = stage.record().await;
        let expected = format!("warning alert {number} {name}");
        assert!(diagnosed(&record).evidence[0].starts_with(&expected), "{:?}", diagnosed(&record).evidence);
    }
}

#[tokio::test]
async fn versions_that_do_not_fit_are_no_judgement_of_a_certificate() {
    let stage = site().await;
    let client = stage.client().only(&rustls::version::TLS12);
    let mut hello = client.hello("site.test");
    // Back to TLS 1.0: the hello's own version, which counts where no list of versions stands.
    (hello[9], hello[10]) = (3, 1);
    let text = hello.windows(4).position(|bytes| bytes == [0, 43, 0, 3]);
    if let Some(at) = text {
        (hello[at + 5], hello[at + 6]) = (3, 1);
    }
    let mut wire = client.connect("site.test:443").await;
    wire.send(&hello).await;
    let (_, _) = wire.rest().await;
    let record = stage.record().await;
    assert_eq!((record.outcome, record.diagnosis.is_none()), (Some(Outcome::Failed), true), "{record:#?}");
    assert!(record.end.as_ref().unwrap().how.contains("does not fit"), "{record:#?}");
}
