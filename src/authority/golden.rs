//! What each profile forges after one fixed certificate, at one fixed time: compared with the profile field by field,
//! and with a picture of it. The profile is read here as plain TOML, apart from the code that applies it.

use std::fmt::Write as _;
use std::process::Command;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use toml::{Table, Value};
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use super::testing::{Origin, authority, host};
use super::{Authority, Forged, KeyReuse, Mirror, OriginTrust, Profile, ca};
use crate::net::CertificateFacts;

const HOST: &str = "www.acme.example";
const NOW: OffsetDateTime = datetime!(2026-02-01 12:00 UTC);

fn fixed_origin() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(include_bytes!("testdata/origin.pem")).unwrap()
}

async fn mint(authority: &Authority) -> Forged {
    let origin = fixed_origin();
    let mirror = Mirror { leaf: &origin, trust: OriginTrust::Trusted };
    authority.mint(&host(HOST), Some(&mirror), NOW).await.unwrap()
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> X509Certificate<'a> {
    X509Certificate::from_der(der).unwrap().1
}

fn dates(certificate: &X509Certificate<'_>) -> (OffsetDateTime, OffsetDateTime) {
    (certificate.validity().not_before.to_datetime(), certificate.validity().not_after.to_datetime())
}

/// The short names of the extensions that profiles speak of.
fn short(oid: &Oid<'_>) -> String {
    let oid = oid.to_id_string();
    let name = match oid.as_str() {
        "2.5.29.14" => "ski",
        "2.5.29.15" => "ku",
        "2.5.29.17" => "san",
        "2.5.29.19" => "bc",
        "2.5.29.31" => "crldp",
        "2.5.29.35" => "aki",
        "2.5.29.37" => "eku",
        _ => return oid,
    };
    name.to_owned()
}

/// Every field of a forged leaf that a client can see; `!` marks a critical extension.
pub(super) fn portrait(forged: &Forged) -> String {
    let leaf = parse(forged.certified.end_entity_cert().unwrap());
    let mut text = String::new();
    let mut line = |name: &str, value: String| writeln!(text, "{}", format!("{name}: {value}").trim_end()).unwrap();
    line("subject", forged.facts().subject.clone());
    line("issuer", forged.facts().issuer.clone() + "|");
    line("names", forged.facts().names.join(" "));
    line("key", forged.facts().key.clone());
    line("signature", leaf.signature_algorithm.algorithm.to_id_string());
    line("from", forged.facts().not_before.clone());
    line("to", forged.facts().not_after.clone());
    line("serial", format!("{} octets", leaf.raw_serial().len()));
    let extensions = leaf.extensions().iter();
    let extensions = extensions.map(|found| short(&found.oid) + if found.critical { "!" } else { "" });
    line("extensions", extensions.collect::<Vec<_>>().join(" "));
    line("usage", leaf.key_usage().unwrap().map_or_else(String::new, |usage| usage.value.to_string()));
    let purposes = leaf.extended_key_usage().unwrap().unwrap().value;
    line("purpose", format!("server {} client {}", purposes.server_auth, purposes.client_auth));
    for certificate in &forged.certified.cert[1..] {
        line("behind it", format!("{}|", parse(certificate).subject()));
    }
    text
}

/// Whether a name is what a profile writes, placeholders aside.
fn is_name(name: &X509Name<'_>, template: &Value) -> bool {
    let found: Vec<(String, String)> = name
        .iter_attributes()
        .map(|attribute| (attribute.attr_type().to_id_string(), attribute.as_str().unwrap().to_owned()))
        .collect();
    let wanted = template.as_array().unwrap();
    found.len() == wanted.len()
        && found.iter().zip(wanted).all(|((oid, value), wanted)| {
            let kind = match wanted[0].as_str().unwrap() {
                "C" => "2.5.4.6",
                "ST" => "2.5.4.8",
                "L" => "2.5.4.7",
                "O" => "2.5.4.10",
                "OU" => "2.5.4.11",
                "CN" => "2.5.4.3",
                "emailAddress" => "1.2.840.113549.1.9.1",
                other => panic!("{other}"),
            };
            let wanted = wanted[1].as_str().unwrap();
            let fits = match wanted.split_once('{') {
                None => value == wanted,
                Some((before, placeholder)) => {
                    let (kind, length) = placeholder.trim_end_matches('}').split_once(':').unwrap();
                    let digit = |character: char| match kind {
                        "hex" => character.is_ascii_digit() || ('a'..='f').contains(&character),
                        _ => character.is_ascii_digit(),
                    };
                    let made_up = value.strip_prefix(before).unwrap_or_default();
                    made_up.len() == length.parse::<usize>().unwrap() && made_up.chars().all(digit)
                }
            };
            oid == kind && fits
        })
}

/// The fields in which a forged leaf is not what its profile says.
fn differences(profile: &Table, forged: &Forged, again: &Forged) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |field: &str, found: String, wanted: String| {
        if found != wanted {
            wrong.push(format!("{field}: {found}, not {wanted}"));
        }
    };
    let origin_der = fixed_origin();
    let (origin, origin_facts) = (parse(&origin_der), CertificateFacts::of(&origin_der).unwrap());
    let der = forged.certified.end_entity_cert().unwrap();
    let (leaf, facts) = (parse(der), forged.facts());
    let rules = profile["leaf"].as_table().unwrap();
    let rule = |key: &str| rules[key].as_str().unwrap();
    let is_rsa = facts.key.starts_with("RSA");

    let key = match rule("key") {
        "follow-origin" => origin_facts.key.clone(),
        name => name.replace("ec-p", "EC P-").replace("rsa-", "RSA ").replace("ed25519", "Ed25519"),
    };
    check("key", facts.key.clone(), key);
    let validity = rules["validity"].as_table().unwrap();
    let wanted = match validity["rule"].as_str().unwrap() {
        "copy" => dates(&origin),
        _ => {
            let days = |key: &str| Duration::days(validity[key].as_integer().unwrap());
            (NOW - days("backdate-days"), NOW - days("backdate-days") + days("days"))
        }
    };
    check("validity", format!("{:?}", dates(&leaf)), format!("{wanted:?}"));
    let names = &origin_facts.names;
    let names = match rule("san") {
        "copy" => names.clone(),
        "host-only" => vec![HOST.to_owned()],
        "union" => {
            let all = [&["acme.example".to_owned()], &names[..], &[HOST.to_owned()]].concat();
            let mut once: Vec<String> = Vec::new();
            for name in all {
                if !once.contains(&name) {
                    once.push(name);
                }
            }
            once
        }
        other => panic!("{other}"),
    };
    check("names", facts.names.join(" "), names.join(" "));
    let subject = match rule("subject") {
        "copy" => origin_facts.subject.clone(),
        "cn-only" => "CN=acme.example".to_owned(),
        "cn-and-organization" => "O=Acme, Inc., CN=acme.example".to_owned(),
        "host-only" => format!("CN={HOST}"),
        "first-name-and-organization" => format!("CN={}, O=Acme, Inc.", names[0]),
        other => panic!("{other}"),
    };
    check("subject", facts.subject.clone(), subject);
    let serial = rules["serial"].as_table().unwrap();
    match serial["rule"].as_str().unwrap() {
        "random" => {
            check("serial", leaf.raw_serial().len().to_string(), serial["octets"].to_string());
            check("serial again", (facts.serial != again.facts().serial).to_string(), true.to_string());
        }
        "unix-time" => check("serial", facts.serial.clone(), format!("{:x}", NOW.unix_timestamp())),
        _ => {
            check("serial", leaf.raw_serial().len().to_string(), 20.to_string());
            check("serial again", facts.serial.clone(), again.facts().serial.clone());
        }
    }

    let mut extensions = vec!["san".to_owned()];
    let flag = |key: &str| rules[key].as_bool().unwrap();
    let critical = |name: &str, is: bool| format!("{name}{}", if is { "!" } else { "" });
    extensions.extend((rule("key-usage") != "absent").then(|| "ku!".to_owned()));
    extensions.extend((rule("extended-key-usage") != "absent").then(|| "eku".to_owned()));
    extensions.extend(flag("subject-key-identifier").then(|| "ski".to_owned()));
    extensions.extend(flag("authority-key-identifier").then(|| "aki".to_owned()));
    // The origin's are critical, and copies keep that.
    let constraints = rule("basic-constraints");
    extensions.extend((constraints != "absent").then(|| critical("bc", constraints != "not-critical")));
    let found = leaf.extensions().iter().map(|found| critical(&short(&found.oid), found.critical));
    check("extensions", found.collect::<Vec<_>>().join(" "), extensions.join(" "));
    let usage = leaf.key_usage().unwrap().map(|usage| usage.value.to_string());
    let wanted = match (rule("key-usage"), is_rsa) {
        ("absent", _) => None,
        // Copied from a key of EC, an RSA key gets what it needs besides.
        (_, true) => Some("Digital Signature, Key Encipherment".to_owned()),
        (_, false) => Some("Digital Signature".to_owned()),
    };
    check("key usage", format!("{usage:?}"), format!("{wanted:?}"));
    let purposes = leaf.extended_key_usage().unwrap().map(|usage| (usage.value.server_auth, usage.value.client_auth));
    let wanted = match rule("extended-key-usage") {
        "absent" => None,
        "server-auth" => Some((true, false)),
        _ => Some((true, true)),
    };
    check("purposes", format!("{purposes:?}"), format!("{wanted:?}"));
    check("is a CA", leaf.is_ca().to_string(), false.to_string());

    let mut cas: Vec<&Value> = profile.get("intermediate").and_then(Value::as_array).into_iter().flatten().collect();
    cas.insert(0, &profile["root"]);
    let issuer = cas.last().unwrap();
    check("issuer", is_name(leaf.issuer(), &issuer["subject"]).to_string(), true.to_string());
    let sent = &forged.certified.cert[1..];
    let skipped = usize::from(!profile["root"]["send"].as_bool().unwrap());
    check("sent", sent.len().to_string(), (cas.len() - skipped).to_string());
    for (certificate, plan) in sent.iter().zip(cas.iter().rev()) {
        let certificate = parse(certificate);
        check("sent name", is_name(certificate.subject(), &plan["subject"]).to_string(), true.to_string());
        let is_critical = certificate.basic_constraints().unwrap().unwrap().critical;
        let wanted = plan["basic-constraints"].as_str().unwrap() == "critical";
        check("sent constraints", is_critical.to_string(), wanted.to_string());
    }
    let signature = match profile["root"]["key"].as_str().unwrap() {
        "rsa-2048" => "1.2.840.113549.1.1.11",
        _ => "1.2.840.10045.4.3.2",
    };
    check("signature", leaf.signature_algorithm.algorithm.to_id_string(), signature.to_owned());
    wrong
}

#[tokio::test]
async fn every_profile_forges_what_it_says() {
    for name in Profile::built_in() {
        let text = std::fs::read_to_string(format!("certs/profiles/{name}.toml")).unwrap();
        let profile: Table = text.parse().unwrap();
        let authority = authority(name, &[]);
        let forged = mint(&authority).await;
        assert_eq!(differences(&profile, &forged, &mint(&authority).await), Vec::<String>::new(), "{name}");

        // What is deviated from in all profiles: no leaf has the key of a CA.
        let other = authority.forge(&host("other.example"), None).await.unwrap();
        let shared = name != "pan-os" && other.facts().pin == forged.facts().pin;
        assert_eq!(shared, authority.profile().key_reuse() == KeyReuse::PerProfile, "{name}");
        let mut cas = forged.certified.cert[1..].to_vec();
        cas.extend([authority.ca().root().clone(), authority.untrusted_root().clone()]);
        for certificate in &cas {
            assert_ne!(CertificateFacts::of(certificate).unwrap().pin, forged.facts().pin, "{name}");
        }
        let reuses = authority.profile().deviates().iter().any(|line| line.contains("it is not the CA's"));
        let has_to = name != "generic" && authority.profile().key_reuse() == KeyReuse::PerProfile;
        assert_eq!(reuses, has_to, "{name} has to list it");

        let mut settings = insta::Settings::clone_current();
        settings.add_filter("[0-9a-f]{32}", "[32 hex]");
        settings.add_filter(r"_\d{15}", "_[15 digits]");
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(format!("leaf_{name}"), portrait(&forged)));
    }
}

/// A verifier with every check that RFC 5280 asks of it, which Python 3.13 and later do by default.
#[tokio::test]
async fn strict_verifiers_refuse_where_they_refuse_the_product() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: there is no `openssl` on the path");
        return;
    }
    let not_critical = "Basic Constraints of CA cert not marked critical";
    let no_key_id = "Missing Authority Key Identifier";
    for (name, permits, refusal) in [
        ("generic", &[][..], None),
        ("generic", &["acme.example", "192.0.2.0/24"], None),
        ("zscaler", &[], Some(not_critical)),
        ("fortigate", &[], Some(not_critical)),
        ("netskope", &[], Some(no_key_id)),
        ("umbrella", &[], None),
        ("cloudflare", &[], None),
        ("sophos", &[], None),
        ("mitmproxy", &[], None),
        ("cisco-ftd", &[], None),
        ("pan-os", &[], None),
        ("squid", &[], None),
    ] {
        let authority = authority(name, permits);
        let origin = Origin::new().der();
        let mirrored = Mirror { leaf: &origin, trust: OriginTrust::Trusted };
        for mirror in [Some(mirrored), None] {
            let forged = authority.forge(&host("acme.example"), mirror).await.unwrap();
            let folder = tempfile::tempdir().unwrap();
            let write = |name: &str, certificates: &[CertificateDer<'_>]| {
                let text: String = certificates.iter().map(|der| ca::pem("CERTIFICATE", der)).collect();
                std::fs::write(folder.path().join(name), text).unwrap();
            };
            let (leaf, chain) = forged.certified.cert.split_first().unwrap();
            write("leaf.pem", std::slice::from_ref(leaf));
            write("chain.pem", chain);
            write("root.pem", std::slice::from_ref(authority.ca().root()));
            let output = Command::new("openssl")
                .args(["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "acme.example"])
                .args(["-CAfile", "root.pem"])
                .args(if chain.is_empty() { &[][..] } else { &["-untrusted", "chain.pem"] })
                .arg("leaf.pem")
                .current_dir(folder.path())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), refusal.is_none(), "{name}: {said}");
            assert!(refusal.is_none_or(|refusal| said.contains(refusal)), "{name}: {said}");
        }
    }
}
