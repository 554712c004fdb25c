//! Origins such as badssl.com has, with the default profile and each product's: what the client sees, what the record
//! says. What products do with origins that do not verify is in `certs/profiles`, with its sources.

use std::process::Command;
use std::sync::{Arc, LazyLock};

use middlebox::authority::Profile;
use middlebox::journal::{ConnectionRecord, Outcome};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SanType, date_time_ymd,
};
use rustls::ServerConfig;

use crate::diagnosis::Verifier;
use crate::support::client::shown;
use crate::support::openssl::openssl;
use crate::support::{HELLO, Origin, Stage, Wire, get, origin, soon, stage, trust};

/// What a product does with an origin that it does not trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Its certificate is signed by this CA, which no client trusts.
    Signed(&'static str),
    /// It still signs itself.
    SignsItself,
    /// A page with this status, inside TLS that the client trusts.
    Page(u16),
}

/// By profile: for any fault, and for an origin that signs itself.
const PRODUCTS: [(&str, Answer, Answer); 11] = [
    ("generic", Answer::Signed("CN=middlebox Untrusted CA"), Answer::Signed("CN=middlebox Untrusted CA")),
    ("zscaler", Answer::Signed("CN=Untrusted "), Answer::Signed("CN=Untrusted ")),
    ("pan-os", Answer::Signed("CN=Forward Untrust CA"), Answer::Signed("CN=Forward Untrust CA")),
    ("fortigate", Answer::Signed("CN=Fortinet_CA_Untrusted"), Answer::Signed("CN=Fortinet_CA_Untrusted")),
    ("squid", Answer::Signed("CN=Not trusted by \""), Answer::SignsItself),
    ("netskope", Answer::Page(502), Answer::Page(502)),
    ("umbrella", Answer::Signed("CN=Untrusted "), Answer::Signed("CN=Untrusted ")),
    ("cloudflare", Answer::Page(526), Answer::Page(526)),
    ("sophos", Answer::Signed("CN=Untrusted "), Answer::SignsItself),
    ("mitmproxy", Answer::Page(502), Answer::Page(502)),
    ("cisco-ftd", Answer::Signed("CN=Untrusted "), Answer::Signed("CN=Untrusted ")),
];

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

/// A certificate for this host, changed like this, and signed by the origins' CA.
fn site(host: &str, change: impl FnOnce(&mut CertificateParams)) -> Origin {
    let key = key();
    let mut params = named(host);
    change(&mut params);
    let leaf = params.signed_by(&key, trust::ca()).unwrap();
    shows(host, trust::config(vec![leaf.der().clone()], &key))
}

fn named(host: &str) -> CertificateParams {
    let mut params = CertificateParams::new([host.to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, host);
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params
}

fn shows(host: &str, config: ServerConfig) -> Origin {
    origin(host).tls(config).answers(HELLO)
}

fn issuer(name: &str, above: Option<&CertifiedIssuer<'static, KeyPair>>) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    match above {
        Some(above) => CertifiedIssuer::signed_by(params, key(), above).unwrap(),
        None => CertifiedIssuer::self_signed(params, key()).unwrap(),
    }
}

static LOWER: LazyLock<[CertifiedIssuer<'static, KeyPair>; 2]> = LazyLock::new(|| {
    let upper = issuer("Test Upper", Some(trust::ca()));
    let lower = issuer("Test Lower", Some(&upper));
    [upper, lower]
});

/// A leaf two CAs below the root, with these of them behind it.
fn below(host: &str, chain: &[usize]) -> Origin {
    let key = key();
    let leaf = named(host).signed_by(&key, &LOWER[1]).unwrap();
    let sent = chain.iter().map(|at| LOWER[*at].der().clone());
    shows(host, trust::config([leaf.der().clone()].into_iter().chain(sent).collect(), &key))
}

fn other(params: &mut CertificateParams, name: &str) {
    params.subject_alt_names.push(SanType::DnsName(name.try_into().unwrap()));
}

/// Origins that nobody trusts, and a word of what is wrong with each.
fn untrusted() -> Vec<(Origin, &'static str)> {
    let own_key = key();
    let own = named("self-signed.test").self_signed(&own_key).unwrap().der().clone();
    let stranger_key = key();
    let stranger = named("untrusted-root.test").signed_by(&stranger_key, &issuer("Stranger", None)).unwrap();
    let mut all = vec![
        (site("expired.test", |params| params.not_after = date_time_ymd(2024, 2, 1)), "expired"),
        (site("early.test", |params| params.not_before = date_time_ymd(2039, 1, 1)), "not"),
        (site("wrong.test", |params| params.subject_alt_names = named("right.test").subject_alt_names), "name"),
        (below("incomplete.test", &[]), "CA"),
        (shows("untrusted-root.test", trust::config(vec![stranger.der().clone()], &stranger_key)), "CA"),
    ];
    all.push((shows("self-signed.test", trust::config(vec![own], &own_key)), "self"));
    all
}

/// Origins that are odd, and trusted all the same.
fn trusted() -> Vec<Origin> {
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let on_p384 = named("ec-384.test").signed_by(&p384, trust::ca()).unwrap().der().clone();
    vec![
        site("no-common-name.test", |params| {
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::OrganizationName, "Nameless");
        }),
        site("no-subject.test", |params| params.distinguished_name = DistinguishedName::new()),
        site("1000-names.test", |params| (1..1000).for_each(|number| other(params, &format!("{number}.names.test")))),
        site("star.test", |params| other(params, "*")),
        site("zero.test", |params| other(params, "zero.test\0.evil.test")),
        below("reversed.test", &[0, 1]),
        shows("ec-384.test", trust::config(vec![on_p384], &p384)),
    ]
}

async fn set(profile: &'static str, origins: impl IntoIterator<Item = Origin>) -> Stage {
    let build = stage().lab(|lab| lab.profile(profile));
    origins.into_iter().fold(build, crate::support::stage::StageBuilder::origin).start().await
}

/// Asks a host as a client that takes every certificate; gives the certificate that it is shown, and the status.
async fn look(stage: &Stage, host: &str) -> (middlebox::net::CertificateFacts, String) {
    let client = stage.client().verifier(Verifier::lenient());
    let stream = client.tls_stream(host).await.unwrap_or_else(|error| panic!("{host}: {error}"));
    let certificate = shown(&stream);
    let mut wire = Wire::new(stream);
    wire.send(get(host, "/")).await;
    let (head, _) = wire.answer().await;
    wire.close().await;
    (certificate, head)
}

/// The record of the last connection to a host.
async fn last(stage: &Stage, host: &str) -> Arc<ConnectionRecord> {
    let records = stage.lab.records().await;
    records.iter().rev().find(|record| record.host().as_deref() == Some(host)).cloned().unwrap()
}

#[test]
fn every_profile_is_looked_at() {
    let known: Vec<_> = PRODUCTS.iter().map(|(name, ..)| *name).collect();
    assert!(Profile::built_in().all(|name| known.contains(&name)));
}

#[tokio::test]
async fn what_no_client_would_trust_is_signed_or_blocked_as_each_product_does() {
    for (profile, any, itself) in PRODUCTS {
        let (origins, faults): (Vec<_>, Vec<_>) = untrusted().into_iter().unzip();
        let hosts: Vec<_> = origins.iter().map(|origin| origin.host.clone()).collect();
        let stage = set(profile, origins).await;
        for (host, fault) in hosts.iter().zip(faults) {
            let (certificate, head) = look(&stage, host).await;
            let record = last(&stage, host).await;
            let origin = record.origin.as_ref().unwrap();
            let what = format!("{profile}, {host}: {certificate:#?} {head} {record:#?}");
            assert_eq!(origin.trusted, Some(false), "{what}");
            assert!(origin.fault.as_ref().unwrap().contains(fault), "{what}");
            let forged = record.forged.as_ref().unwrap();
            match if host == "self-signed.test" { itself } else { any } {
                Answer::Signed(by) => {
                    assert!(certificate.issuer.contains(by) && head.starts_with("HTTP/1.1 200 "), "{what}");
                    assert_eq!((forged.signed_by, forged.mirrored), ("untrusted-ca", "origin"), "{what}");
                    assert!(stage.client().try_tls(host).await.is_err(), "{what}");
                }
                Answer::SignsItself => {
                    assert!(certificate.issuer == certificate.subject && head.starts_with("HTTP/1.1 200 "), "{what}");
                    assert_eq!(forged.signed_by, "itself", "{what}");
                    assert!(stage.client().try_tls(host).await.is_err(), "{what}");
                }
                Answer::Page(status) => {
                    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{what}");
                    assert_eq!(record.outcome, Some(Outcome::Failed), "{what}");
                    assert_eq!((forged.signed_by, forged.mirrored), ("inspection-ca", "name-alone"), "{what}");
                    assert!(stage.client().try_tls(host).await.is_ok(), "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_odd_and_trusted_is_trusted_behind_each_product() {
    for (profile, ..) in PRODUCTS {
        let origins = trusted();
        let hosts: Vec<_> = origins.iter().map(|origin| origin.host.clone()).collect();
        let stage = set(profile, origins).await;
        for host in &hosts {
            let mut wire =
                stage.client().try_tls(host).await.unwrap_or_else(|error| panic!("{profile}, {host}: {error}"));
            wire.send(get(host, "/")).await;
            assert_eq!(soon("an answer", wire.answer()).await.1, "hello", "{profile}, {host}");
            wire.close().await;
            let record = last(&stage, host).await;
            assert_eq!(record.outcome, Some(Outcome::Accepted), "{profile}, {host}: {record:#?}");
            let origin = record.origin.as_ref().unwrap();
            assert_eq!((origin.trusted, &origin.fault), (Some(true), &None), "{profile}, {host}");
        }
    }
}

#[tokio::test]
async fn of_very_many_names_only_the_hosts_own_are_mirrored() {
    let names = |params: &mut CertificateParams| {
        (1..2_000).for_each(|number| other(params, &format!("{number}.test")));
        other(params, "*.names.test");
    };
    for (profile, host) in [("generic", "many.test"), ("squid", "many.test"), ("generic", "a.names.test")] {
        let stage = set(profile, [site("many.test", names), site("a.names.test", names)]).await;
        let mut wire = stage.client().tls(host).await;
        wire.send(get(host, "/")).await;
        assert_eq!(wire.answer().await.1, "hello", "{profile}");
        wire.close().await;
        let record = stage.accepted().await;
        let shown = record.forged.as_ref().unwrap().certificate.facts().unwrap().names;
        assert!(shown.len() <= 2 && shown.contains(&host.to_owned()), "{profile}, {host}: {shown:?}");
        assert!(
            record.notes.iter().any(|note| note.contains("names of the origin's certificate are left out")),
            "{profile}: {:?}",
            record.notes
        );
    }
}

/// A key on P-256.
const EC: &str = "ecparam -name prime256v1 -genkey -noout -out key.pem";

// ---- what only openssl makes ----------------------------------------------------------------------------------------

/// A server of openssl's that shows a leaf signed by the origins' CA.
struct Served {
    child: std::process::Child,
    address: std::net::SocketAddr,
    _folder: tempfile::TempDir,
}

impl Served {
    async fn with(host: &str, key: &str, digest: &str, more_names: usize, options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("ca.pem", &trust::root_pem());
        write("ca.key", &trust::ca().key().serialize_pem());
        let mut names = vec![format!("DNS:{host}")];
        names.extend((0..more_names).map(|number| format!("DNS:{number}.names.test")));
        write("ext", &format!("subjectAltName={}\n", names.join(",")));
        openssl(folder.path(), key)?;
        openssl(folder.path(), &format!("req -new -key key.pem -subj /CN={host} -out csr.pem"))?;
        let sign = format!("x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 {digest}");
        openssl(folder.path(), &format!("{sign} -extfile ext -out leaf.pem"))?;
        // A free port: openssl takes none that it chooses itself and tells.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-www", "-accept", &address.to_string()]);
        command.args(["-cert", "leaf.pem", "-key", "key.pem"]).args(options.split(' ').filter(|word| !word.is_empty()));
        let child = command.current_dir(folder.path()).stdin(std::process::Stdio::null()).spawn().unwrap();
        let served = Self { child, address, _folder: folder };
        soon("openssl to listen", async {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Some(served)
    }

    async fn stage(&self, host: &str, profile: &'static str) -> Stage {
        let entry = format!("{host}:443:{}", self.address).parse().unwrap();
        stage().lab(|lab| lab.profile(profile).config(|config| config.resolve.push(entry))).start().await
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_rsa_key_of_8192_bits_is_inspected() {
    // Of four primes, since two of this size take minutes to find; nobody who only sees the public key can tell.
    let Some(served) = Served::with("rsa-8192.test", "genrsa -primes 4 -out key.pem 8192", "-sha256", 0, "").await
    else {
        return;
    };
    for (profile, key) in [("generic", "EC P-256"), ("pan-os", "RSA")] {
        let stage = served.stage("rsa-8192.test", profile).await;
        let (certificate, head) = look(&stage, "rsa-8192.test").await;
        assert!(head.contains(" 200 ") && certificate.key.starts_with(key), "{profile}: {head} {certificate:#?}");
        let record = last(&stage, "rsa-8192.test").await;
        let origin = record.origin.as_ref().unwrap();
        let own = origin.certificate.as_ref().unwrap().facts().unwrap();
        assert_eq!((origin.trusted, own.key.as_str()), (Some(true), "RSA 8192"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_with_sha_1_is_not_trusted() {
    let options = "-cipher DEFAULT:@SECLEVEL=0";
    let Some(served) = Served::with("sha1.test", EC, "-sha1", 0, options).await else { return };
    let stage = served.stage("sha1.test", "generic").await;
    assert!(stage.client().try_tls("sha1.test").await.is_err());
    let record = last(&stage, "sha1.test").await;
    assert_eq!(record.origin.as_ref().unwrap().trusted, Some(false), "{record:#?}");
    assert_eq!(record.forged.as_ref().unwrap().signed_by, "untrusted-ca");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn origins_of_tls_1_0_and_1_1_are_undecryptable_and_of_1_2_alone_inspected() {
    for (version, inspected) in [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true)] {
        let options = format!("{version} -cipher ALL:@SECLEVEL=0");
        let Some(served) = Served::with("old.test", EC, "-sha256", 0, &options).await else { return };
        let stage = served.stage("old.test", "generic").await;
        let (_, head) = look(&stage, "old.test").await;
        let record = last(&stage, "old.test").await;
        let noted = record.notes.iter().any(|note| note.contains("undecryptable: the origin's TLS does not fit"));
        if inspected {
            assert!(head.contains(" 200 ") && !noted, "{version}: {head} {record:#?}");
            assert_eq!(record.origin.as_ref().unwrap().version, Some("TLS 1.2"));
        } else {
            assert!(head.starts_with("HTTP/1.1 502 ") && noted, "{version}: {head} {record:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_too_large_to_be_read_is_a_502_and_no_stall() {
    // 10,000 names take over 64 KiB, which is as much as the TLS library reads of one message.
    let Some(served) = Served::with("10000-names.test", EC, "-sha256", 9_999, "").await else { return };
    let stage = served.stage("10000-names.test", "generic").await;
    for _ in 0..2 {
        let mut wire = stage.client().tls("10000-names.test").await;
        wire.send(get("10000-names.test", "/")).await;
        let (head, body) = wire.answer().await;
        assert!(head.starts_with("HTTP/1.1 502 ") && head.contains("error=tls_protocol_error"), "{head}\n{body}");
        wire.close().await;
    }
    for record in stage.records(2).await {
        let fault = record.origin.as_ref().unwrap().fault.clone().unwrap();
        assert!(fault.contains("does not speak TLS as we do") && fault.contains("arge"), "{fault}");
        let shown = record.forged.as_ref().unwrap().certificate.facts().unwrap();
        assert_eq!(shown.names, ["10000-names.test"]);
    }
}
