//! Whether a chain keeps the rules of RFC 5280 that strict clients insist on and others overlook.

use rustls_pki_types::CertificateDer;
use x509_parser::oid_registry;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Whether OpenSSL's `X509_V_FLAG_X509_STRICT`, which Python has set by default since 3.13, has nothing to object to:
/// a CA says so in critical basicConstraints and identifies its key, and a leaf identifies its issuer's key.
pub(super) fn is_kept_by(chain: &[CertificateDer<'_>], root: &CertificateDer<'_>) -> bool {
    let Some((leaf, issuers)) = chain.split_first() else { return false };
    let has = |certificate: &X509Certificate<'_>, oid| {
        certificate.extensions().iter().any(|extension| extension.oid == oid && !extension.value.is_empty())
    };
    let leaf_keeps = X509Certificate::from_der(leaf)
        .is_ok_and(|(_, leaf)| has(&leaf, oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER));
    let ca_keeps = |ca: &CertificateDer<'_>| {
        X509Certificate::from_der(ca).is_ok_and(|(_, ca)| {
            let critical = matches!(ca.basic_constraints(), Ok(Some(constraints)) if constraints.critical);
            critical && has(&ca, oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER)
        })
    };
    leaf_keeps && issuers.iter().all(ca_keeps) && ca_keeps(root)
}
