//! Certificates and keys: those that an origin shows, and the files of a user's own CA.

use std::path::PathBuf;
use std::sync::OnceLock;

use middlebox::authority::{InspectionCa, Password};
use middlebox::net::{CertificateFacts, pem};
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;

/// Reads a certificate as the proxy reads an origin's.
pub(super) fn certificate(bytes: &[u8]) {
    let der = CertificateDer::from(bytes.to_vec());
    let _ = CertificateFacts::issuer_name(&der);
    if let Ok(facts) = CertificateFacts::of(&der) {
        let _ = (format!("{facts:?}"), pem(&der));
    }
}

/// Reads the files of a CA: certificates, an empty line, and the key, in one file or in two.
pub(super) fn ca_files(bytes: &[u8]) {
    static FILES: OnceLock<(TempDir, PathBuf, PathBuf)> = OnceLock::new();
    let (_, certificate, key) = FILES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder is made");
        let (certificate, key) = (folder.path().join("ca.pem"), folder.path().join("ca.key"));
        (folder, certificate, key)
    });
    let split = bytes.windows(2).position(|two| two == b"\n\n").map_or(0, |at| at + 1);
    std::fs::write(certificate, &bytes[..split]).expect("a file is written");
    std::fs::write(key, &bytes[split..]).expect("a file is written");
    for password in [None, Some(Password::from("secret".to_owned()))] {
        match InspectionCa::external_with_password(certificate, key, password.as_ref()) {
            Ok(ca) => drop((ca.issuer_name(), ca.fingerprint())),
            Err(error) => drop(error.to_string()),
        }
    }
}
