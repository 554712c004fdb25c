//! Whether a chain keeps the rules of RFC 5280 that strict clients insist on and others overlook.

use rustls_pki_types::CertificateDer;
use x509_parser::oid_registry;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Whether OpenSSL's `X509_V_FLAG_X509_STRICT`, which Python has set by default since 3.13, has nothing to object to in
/// a CA: it says that it is one in critical basicConstraints, and identifies its key. Of a leaf it wants that it
/// identifies its issuer's key, see [`Draft::identifies_issuer`](super::sign::Draft::identifies_issuer).
pub(super) fn is_kept_by(ca: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(ca).is_ok_and(|(_, ca)| {
        let critical = matches!(ca.basic_constraints(), Ok(Some(constraints)) if constraints.critical);
        let key_id = oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER;
        critical && ca.extensions().iter().any(|extension| extension.oid == key_id && !extension.value.is_empty())
    })
}
