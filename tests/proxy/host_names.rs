//! Hosts with odd names, and leaves with every kind of key.

use std::fs;

use middlebox::authority::Profile;
use middlebox::journal::{Outcome, Told};
use rcgen::{KeyPair, SignatureAlgorithm};

use crate::support::client::shown;
use crate::support::{HELLO, Wire, get, origin, stage, trust};

#[tokio::test]
async fn a_name_that_is_too_long_for_a_common_name_stands_in_the_alternative_names_alone() {
    let host = format!("{}.{}.test", "a".repeat(40), "b".repeat(40));
    for profile in Profile::built_in() {
        for is_up in [true, false] {
            let build = stage().lab(|lab| lab.profile(profile));
            let build = if is_up { build.origin(origin(&host).answers(HELLO)) } else { build };
            let stage = build.start().await;
            let stream = stage.client().tls_stream(&host).await.unwrap_or_else(|error| panic!("{profile}: {error}"));
            let certificate = shown(&stream);
            let common_name = certificate.subject.split(", ").find_map(|part| part.strip_prefix("CN="));
            assert_eq!(certificate.names.last(), Some(&host), "{profile}, {is_up}: {certificate:#?}");
            assert!(common_name.is_none_or(|name| name.chars().count() <= 64), "{profile}, {is_up}: {certificate:#?}");
            drop(stream);
            let record = stage.record().await;
            let mirrored = if is_up { "origin" } else { "name-alone" };
            assert_eq!(record.forged.as_ref().unwrap().mirrored, mirrored, "{profile}");
        }
    }
}

#[tokio::test]
async fn an_international_name_is_forged_decided_and_asked_for_by_its_a_label() {
    const HOST: &str = "xn--bcher-kva.test";
    for (rule, outcome) in [("b\u{fc}cher.test", Outcome::Bypassed), ("*.b\u{fc}cher.test", Outcome::Accepted)] {
        let stage = stage().origin(origin(HOST).answers(HELLO)).lab(|lab| lab.bypass(rule)).start().await;
        let stream = stage.client().tls_stream(HOST).await.unwrap();
        assert_eq!(shown(&stream).names, [HOST]);
        let mut wire = Wire::new(stream);
        wire.send(get(HOST, "/")).await;
        assert_eq!(wire.answer().await.1, "hello");
        wire.close().await;
        let record = stage.record().await;
        assert_eq!((record.outcome, record.host().as_deref()), (Some(outcome), Some(HOST)), "{rule}");
    }
    // A target is ASCII (RFC 9112, 3.2): what is not is refused, not guessed at.
    let stage = stage().start().await;
    let (head, _) = stage.client().ask("b\u{fc}cher.test:443").await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(stage.record().await.told, Some(Told::Status(400)));
}

#[tokio::test]
async fn a_dot_behind_a_name_changes_nothing() {
    let stage = stage().origin(origin("site.test").answers(HELLO)).start().await;
    let client = stage.client();
    let tunnel = client.connect("SITE.test.:443").await;
    let stream = client.handshake(tunnel, "site.test").await.unwrap();
    assert_eq!(shown(&stream).names, ["site.test"]);
    let mut wire = Wire::new(stream);
    wire.send(get("site.test.", "/")).await;
    assert_eq!(wire.answer().await.1, "hello");
    wire.close().await;
    let record = stage.accepted().await;
    assert_eq!(record.destination.as_ref().unwrap().to_string(), "site.test:443");
    assert!(record.notes.is_empty(), "the two names are one: {:?}", record.notes);
}

#[tokio::test]
async fn leaves_have_the_key_that_the_profile_asks_for() {
    let generic = fs::read_to_string("certs/profiles/generic.toml").unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (kind, key) in [
        ("rsa-2048", "RSA 2048"),
        ("rsa-3072", "RSA 3072"),
        ("rsa-4096", "RSA 4096"),
        ("ec-p256", "EC P-256"),
        ("ec-p384", "EC P-384"),
        ("ed25519", "Ed25519"),
    ] {
        let path = folder.path().join(format!("{kind}.toml"));
        let changed = generic.replace("[leaf]\nkey = \"ec-p256\"", &format!("[leaf]\nkey = \"{kind}\""));
        assert!(changed != generic || kind == "ec-p256");
        fs::write(&path, changed).unwrap();
        let profile = path.display().to_string();
        let site = origin("site.test").answers(HELLO);
        let stage = stage().origin(site).lab(|lab| lab.profile(profile)).start().await;
        let stream = stage.client().tls_stream("site.test").await.unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(shown(&stream).key, key);
        drop(stream);
        stage.record().await;
    }
}

#[tokio::test]
async fn where_the_profile_follows_the_origin_its_key_is_of_the_same_kind() {
    let kinds: [(&SignatureAlgorithm, &str); 4] = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "EC P-256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "EC P-384"),
        (&rcgen::PKCS_ED25519, "Ed25519"),
        (&rcgen::PKCS_RSA_SHA256, "RSA 2048"),
    ];
    for (algorithm, kind) in kinds {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(["site.test".to_owned()]).unwrap();
        let leaf = params.signed_by(&key, trust::ca()).unwrap().der().clone();
        let site = origin("site.test").tls(trust::config(vec![leaf], &key)).answers(HELLO);
        let stage = stage().origin(site).lab(|lab| lab.profile("pan-os")).start().await;
        let stream = stage.client().tls_stream("site.test").await.unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(shown(&stream).key, kind);
        drop(stream);
        stage.record().await;
    }
}
