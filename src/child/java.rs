//! A trust store for Java, which reads neither PEM nor any variable of its own.
//!
//! The format is JKS, version 2, as the JDK's `sun.security.provider.JavaKeyStore` reads it: every JDK since 1.2 does,
//! while PKCS #12 without a password is read by some versions alone. It holds public certificates only; its password is
//! the customary one and protects nothing but the file's integrity.

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;

/// The password of the store.
pub const JAVA_STORE_PASSWORD: &str = "changeit";

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
const TRUSTED_CERTIFICATE: u32 = 2;

/// A store that trusts these certificates.
#[must_use]
pub fn java_store<'a>(trusted: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut count = 0_u32;
    for certificate in trusted {
        count += 1;
        word(&mut entries, TRUSTED_CERTIFICATE);
        text(&mut entries, &format!("root-{count}"));
        // When it was made, in milliseconds since 1970; nobody asks.
        entries.extend_from_slice(&0_u64.to_be_bytes());
        text(&mut entries, "X.509");
        word(&mut entries, u32::try_from(certificate.len()).expect("a certificate is far smaller than 4 GiB"));
        entries.extend_from_slice(certificate);
    }
    let mut store = Vec::with_capacity(entries.len() + 32);
    for number in [MAGIC, VERSION, count] {
        word(&mut store, number);
    }
    store.append(&mut entries);
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    for unit in JAVA_STORE_PASSWORD.encode_utf16() {
        hash.update(&unit.to_be_bytes());
    }
    hash.update(b"Mighty Aphrodite");
    hash.update(&store);
    store.extend_from_slice(hash.finish().as_ref());
    store
}

fn word(to: &mut Vec<u8>, number: u32) {
    to.extend_from_slice(&number.to_be_bytes());
}

/// As `java.io.DataOutput.writeUTF` has it, for ASCII.
fn text(to: &mut Vec<u8>, text: &str) {
    to.extend_from_slice(&u16::try_from(text.len()).expect("a short text").to_be_bytes());
    to.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn certificate(name: &str) -> CertificateDer<'static> {
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn the_store_has_the_form_that_is_documented() {
        let store = java_store(&[CertificateDer::from(vec![1, 2, 3])]);
        assert_eq!(store[..12], [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 1]);
        assert_eq!(store[12..24], [0, 0, 0, 2, 0, 6, b'r', b'o', b'o', b't', b'-', b'1']);
        assert_eq!(store[32..46], [0, 5, b'X', b'.', b'5', b'0', b'9', 0, 0, 0, 3, 1, 2, 3]);
        assert_eq!(store.len(), 46 + 20);
    }

    #[test]
    fn a_jdk_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.jks");
        std::fs::write(&file, java_store(&[certificate("a.example"), certificate("b.example")])).unwrap();
        let mut keytool = Command::new("keytool");
        keytool.args(["-list", "-storepass", JAVA_STORE_PASSWORD, "-keystore"]).arg(&file);
        let Ok(output) = keytool.output() else {
            println!("skipped: this machine has no keytool");
            return;
        };
        let listed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{listed}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(listed.matches("trustedCertEntry").count(), 2, "{listed}");
    }
}
