//! A CA of the user's own (`--ca-cert --ca-key`).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use rcgen::{KeyPair, PublicKeyData as _};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::error::CaError;
use super::password::{self, Password, Undecrypted};
use super::sign::Signer;

/// More than any chain needs; keeps a wrong path (`/dev/zero`) from filling the memory.
const MAX_BYTES: u64 = 4 << 20;

/// Reads the signing certificate with its key, and the path from it to the topmost certificate at hand.
pub(super) fn read(
    certificate: &Path,
    key: &Path,
    password: Option<&Password>,
) -> Result<(Signer, Vec<CertificateDer<'static>>), CaError> {
    let bytes = read_file(certificate)?;
    let bad = |reason: String| CaError::BadCertificate { path: certificate.to_owned(), reason };
    let certificates = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(error.to_string()))?
        .into_iter()
        .map(CertificateDer::into_owned)
        .collect::<Vec<_>>();
    if certificates.is_empty() {
        return Err(CaError::NoCertificate { path: certificate.to_owned() });
    }
    for certificate in &certificates {
        X509Certificate::from_der(certificate).map_err(|error| bad(error.to_string()))?;
    }
    let pair = read_key(key, password)?;
    // The signing certificate stands first as a rule, but bundles in the other order exist.
    let signing = certificates
        .iter()
        .find(|certificate| belongs(certificate, &pair))
        .ok_or_else(|| CaError::KeyMismatch { certificate: certificate.to_owned(), key: key.to_owned() })?;
    may_sign(signing, certificate)?;
    let signer = Signer::of(signing.clone(), Arc::new(pair))?;
    valid_now(&signer, certificate, "give one that is")?;
    Ok((signer, path_up(signing, &certificates)))
}

/// The certificates from `leaf` upwards, each issued by the next, as far as they are at hand.
fn path_up(first: &CertificateDer<'static>, pool: &[CertificateDer<'static>]) -> Vec<CertificateDer<'static>> {
    let mut path = vec![first.clone()];
    while let Some(above) = path.last().and_then(|last| issuer_of(last, pool)) {
        if path.contains(above) {
            break;
        }
        path.push(above.clone());
    }
    path
}

fn issuer_of<'a>(
    certificate: &CertificateDer<'_>,
    pool: &'a [CertificateDer<'static>],
) -> Option<&'a CertificateDer<'static>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    pool.iter().find(|candidate| {
        X509Certificate::from_der(candidate).is_ok_and(|(_, candidate)| {
            candidate.subject().as_raw() == certificate.issuer().as_raw()
                && certificate.subject().as_raw() != certificate.issuer().as_raw()
        })
    })
}

fn read_key(path: &Path, password: Option<&Password>) -> Result<KeyPair, CaError> {
    let bytes = read_file(path)?;
    let path = || path.to_owned();
    let legacy = "Proc-Type: 4,ENCRYPTED";
    if bytes.windows(legacy.len()).any(|window| window == legacy.as_bytes()) {
        let reason = "it is in OpenSSL's form from before PKCS #8";
        return Err(CaError::UnknownEncryption { path: path(), reason });
    }
    let key = if password::is_encrypted(&bytes) {
        let password = password.ok_or_else(|| CaError::EncryptedKey { path: path() })?;
        let mut plain = password::decrypt(&bytes, password).map_err(|error| match error {
            Undecrypted::Malformed => CaError::BadKey { path: path(), reason: "it is damaged".to_owned() },
            Undecrypted::Unknown(reason) => CaError::UnknownEncryption { path: path(), reason },
            Undecrypted::WrongPassword => CaError::WrongPassword { path: path() },
        })?;
        PrivateKeyDer::Pkcs8(std::mem::take(&mut *plain).into())
    } else {
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| CaError::NoKey { path: path() })?
    };
    let key = Zeroizing::new(key);
    KeyPair::try_from(&*key).map_err(|error| CaError::BadKey { path: path(), reason: error.to_string() })
}

fn may_sign(certificate: &CertificateDer<'_>, path: &Path) -> Result<(), CaError> {
    let bad = |error: &dyn std::fmt::Display| CaError::BadCertificate { path: path.into(), reason: error.to_string() };
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| bad(&error))?;
    let constraints = parsed.basic_constraints().map_err(|error| bad(&error))?;
    if !constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(CaError::NotCa { path: path.to_owned() });
    }
    // Without the extension every usage is allowed (RFC 5280, 4.2.1.3).
    let usage = parsed.key_usage().map_err(|error| bad(&error))?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(CaError::MayNotSign { path: path.to_owned() });
    }
    Ok(())
}

/// Whether a private key is that of a certificate.
pub(super) fn belongs(certificate: &CertificateDer<'_>, key: &KeyPair) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, certificate)| certificate.public_key().subject_public_key.data.as_ref() == key.der_bytes())
}

/// Refuses a CA whose time is over or has not come.
pub(super) fn valid_now(signer: &Signer, path: &Path, mend: &'static str) -> Result<(), CaError> {
    let now = OffsetDateTime::now_utc();
    if signer.not_before <= now && now <= signer.not_after {
        return Ok(());
    }
    let text = |time: OffsetDateTime| time.format(&Rfc3339).unwrap_or_else(|_| time.to_string());
    Err(CaError::NotNow { path: path.into(), from: text(signer.not_before), to: text(signer.not_after), mend })
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, CaError> {
    let bytes = File::open(path).and_then(|file| bounded(&file));
    bytes.map_err(|error| CaError::Read { path: path.to_owned(), reason: error.to_string() })
}

/// The content of a file of certificates and keys.
pub(super) fn bounded(file: &File) -> io::Result<Zeroizing<Vec<u8>>> {
    // With the room reserved, no copy of a key stays behind where the bytes grew.
    let size = file.metadata()?.len().min(MAX_BYTES);
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1));
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyUsagePurpose};

    use super::super::{Authority, InspectionCa, Profile};
    use super::*;
    use crate::net::Host;

    fn key() -> KeyPair {
        KeyPair::generate().unwrap()
    }

    fn ca(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        change(&mut params);
        params
    }

    struct Files(tempfile::TempDir);

    impl Files {
        fn new(certificate: &str, key: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("ca.pem"), certificate).unwrap();
            fs::write(folder.path().join("key.pem"), key).unwrap();
            Self(folder)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn read(&self) -> Result<InspectionCa, CaError> {
            InspectionCa::external(&self.path("ca.pem"), &self.path("key.pem"))
        }

        fn error(&self) -> String {
            let folder = format!("{}{}", self.0.path().display(), std::path::MAIN_SEPARATOR);
            self.read().unwrap_err().to_string().replace(&folder, "")
        }
    }

    /// Forges with the CA and has the chain verified against its root.
    async fn works(ca: InspectionCa) {
        use rustls::client::danger::ServerCertVerifier as _;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.root().clone()).unwrap();
        let authority = Authority::new(ca, Profile::load("generic").unwrap()).unwrap();
        let host = Host::parse("a.example").unwrap();
        let forged = authority.forge(&host, None).await.unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let (leaf, chain) = forged.certified.cert.split_first().unwrap();
        let now = rustls_pki_types::UnixTime::now();
        verifier.build().unwrap().verify_server_cert(leaf, chain, &host.server_name(), &[], now).unwrap();
    }

    #[tokio::test]
    async fn a_signing_ca_is_used_with_the_chain_behind_it_in_any_order() {
        let (root_key, signing_key) = (key(), key());
        let root = ca("Corp Root", |_| {});
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let signing = ca("Corp Issuing", |params| params.use_authority_key_identifier_extension = true)
            .signed_by(&signing_key, &Issuer::from_params(&root, &root_key))
            .unwrap()
            .pem();
        for bundle in [format!("{signing}{root_pem}"), format!("{root_pem}text between\r\n{signing}")] {
            let external = Files::new(&bundle, &signing_key.serialize_pem()).read().unwrap();
            assert_eq!(external.facts().subject, "CN=Corp Root");
            works(external).await;
        }
        let alone = Files::new(&signing, &signing_key.serialize_pem()).read().unwrap();
        assert_eq!(alone.facts().subject, "CN=Corp Issuing");
        works(alone).await;
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let pair = key();
        let pem = |change: fn(&mut CertificateParams)| ca("Corp", change).self_signed(&pair).unwrap().pem();
        let error = |certificate: &str, key: &str| Files::new(certificate, key).error();
        let (good, secret) = (pem(|_| {}), pair.serialize_pem());
        assert!(Files::new(&good, &secret).read().is_ok());
        assert!(error("nothing", &secret).starts_with("no certificate in ca.pem;"));
        assert!(error(&good, "nothing").starts_with("no private key in key.pem;"));
        assert_eq!(
            error(&good, &key().serialize_pem()),
            "the private key in key.pem does not belong to the certificate in ca.pem"
        );
        assert!(error(&pem(|params| params.is_ca = IsCa::ExplicitNoCa), &secret).contains("is not a CA's"));
        assert!(
            error(&pem(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]), &secret).contains("keyCertSign")
        );
        assert!(error(&pem(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1)), &secret).contains("not now"));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(error(broken, &secret).starts_with("the certificate in ca.pem does not parse"));
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert!(error(&good, encrypted).contains("is encrypted; give its password with --ca-key-password-file"));
        assert!(error(&good, &encrypted.replace("ENCRYPTED ", "")).contains("cannot be used"));
        let missing = InspectionCa::external(Path::new("/nonexistent/ca.pem"), Path::new("/nonexistent/key.pem"));
        assert!(matches!(missing.unwrap_err(), CaError::Read { .. }));
    }

    /// Two `DC` are what a directory's CA has, and what rcgen's names cannot hold.
    #[tokio::test]
    async fn every_form_of_key_that_openssl_writes_is_read() {
        if Command::new("openssl").arg("version").output().is_err() {
            println!("skipped: there is no `openssl` on the path");
            return;
        }
        for (kind, arguments) in [
            ("SEC1 with parameters", "ecparam -name prime256v1 -genkey -out key.pem"),
            ("SEC1, P-384", "ecparam -name secp384r1 -genkey -noout -out key.pem"),
            ("PKCS#8, P-521", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out key.pem"),
            ("PKCS#1", "genrsa -traditional -out key.pem 2048"),
            ("PKCS#8, RSA", "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out key.pem"),
            ("PKCS#8, Ed25519", "genpkey -algorithm ED25519 -out key.pem"),
        ] {
            let files = Files::new("", "");
            let openssl = |arguments: &[&str]| {
                let output = Command::new("openssl").args(arguments).current_dir(files.0.path()).output().unwrap();
                assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
            };
            openssl(&arguments.split(' ').collect::<Vec<_>>());
            let subject = ["-subj", "/DC=example/DC=corp/O=Corp/CN=Corp CA", "-text", "-out", "ca.pem"];
            openssl(&[&["req", "-x509", "-new", "-key", "key.pem", "-days", "30"][..], &subject].concat());
            let external = files.read().unwrap_or_else(|error| panic!("{kind}: {error}"));
            assert_eq!(external.facts().subject, "DC=example, DC=corp, O=Corp, CN=Corp CA", "{kind}");
            works(external).await;
        }
    }

    #[tokio::test]
    async fn encrypted_keys_that_openssl_writes_are_read() {
        if Command::new("openssl").arg("version").output().is_err() {
            println!("skipped: there is no `openssl` on the path");
            return;
        }
        let pass = "-passout pass:s3cret";
        for (kind, convert) in [
            ("AES-256", "-v2 aes-256-cbc"),
            ("AES-192, SHA-1", "-v2 aes-192-cbc -v2prf hmacWithSHA1"),
            ("AES-128, SHA-512", "-v2 aes-128-cbc -v2prf hmacWithSHA512 -iter 5000"),
            ("AES-256, SHA-384", "-v2 aes-256-cbc -v2prf hmacWithSHA384"),
            ("scrypt", "-scrypt"),
            ("Triple DES", "-v2 des3"),
            ("PKCS #5 v1", "-v1 PBE-SHA1-3DES"),
        ] {
            let files = Files::new("", "");
            let openssl = |arguments: &str| {
                let arguments = arguments.split(' ');
                let output = Command::new("openssl").args(arguments).current_dir(files.0.path()).output().unwrap();
                assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
            };
            openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out plain.pem");
            openssl("req -x509 -new -key plain.pem -days 30 -subj /CN=Corp -out ca.pem");
            openssl(&format!("pkcs8 -topk8 -in plain.pem {convert} {pass} -out key.pem"));
            let text = fs::read_to_string(files.path("key.pem")).unwrap();
            fs::write(files.path("key.pem"), format!("Bag Attributes\r\n    localKeyID: 01\r\n{text}")).unwrap();
            let read = |password: &str| {
                let password = Password::from(password.to_owned());
                InspectionCa::external_with_password(&files.path("ca.pem"), &files.path("key.pem"), Some(&password))
            };
            assert!(files.error().contains("is encrypted; give its password"), "{kind}");
            if kind.starts_with("AES") {
                works(read("s3cret").unwrap_or_else(|error| panic!("{kind}: {error}"))).await;
                for wrong in ["", "S3cret", "s3cret "] {
                    assert!(matches!(read(wrong), Err(CaError::WrongPassword { .. })), "{kind} {wrong}");
                }
            } else {
                let error = read("s3cret").unwrap_err().to_string();
                assert!(error.contains("openssl pkcs8 -topk8 -v2 aes-256-cbc"), "{kind}: {error}");
            }
        }
        let files = Files::new("", "");
        let arguments = "genrsa -traditional -aes256 -passout pass:x -out key.pem 2048";
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(files.0.path()).output().unwrap();
        assert!(output.status.success());
        fs::write(files.path("ca.pem"), ca("Corp", |_| {}).self_signed(&key()).unwrap().pem()).unwrap();
        assert!(files.error().contains("form from before PKCS #8"), "{}", files.error());
    }
}
