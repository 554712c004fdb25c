//! What is known of the origin whose certificate is mirrored.

use std::fmt;

use rustls_pki_types::CertificateDer;
use serde::Serialize;

/// The origin's certificate, as it came in the handshake, and what verifying it said.
#[derive(Clone, Debug)]
pub struct Mirror<'a> {
    /// The leaf.
    pub leaf: &'a CertificateDer<'a>,
    /// Whether its chain, name, time and usage held.
    pub trust: OriginTrust,
}

/// What verifying the origin's certificate said.
#[derive(Clone, Debug, Hash, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OriginTrust {
    /// Everything held.
    Trusted,
    /// Something did not hold.
    Untrusted(OriginFault),
}

/// Why an origin is not trusted.
#[derive(Clone, Debug, Hash, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OriginFault {
    /// No trusted CA is behind the certificate.
    UnknownIssuer,
    /// The certificate signs itself.
    SelfSigned,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It does not name the host.
    WrongHost,
    /// It is not meant for a TLS server (RFC 5280, 4.2.1.12).
    WrongUsage,
    /// Its CA has revoked it.
    Revoked,
    /// It does not parse, or its signature does not.
    Malformed,
    /// Anything else, in the verifier's words.
    Other(String),
}

impl fmt::Display for OriginFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => "no trusted CA has signed the origin's certificate",
            Self::SelfSigned => "the origin's certificate signs itself",
            Self::Expired => "the origin's certificate has expired",
            Self::NotYetValid => "the origin's certificate is not valid yet",
            Self::WrongHost => "the origin's certificate does not name the host",
            Self::WrongUsage => "the origin's certificate is not meant for a TLS server",
            Self::Revoked => "the origin's certificate is revoked",
            Self::Malformed => "the origin's certificate is malformed",
            Self::Other(reason) => return write!(f, "the origin's certificate was not accepted: {reason}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_kebab_case_in_json() {
        let json = |fault: OriginFault| serde_json::to_string(&OriginTrust::Untrusted(fault)).unwrap();
        assert_eq!(json(OriginFault::NotYetValid), r#"{"untrusted":"not-yet-valid"}"#);
        assert_eq!(serde_json::to_string(&OriginTrust::Trusted).unwrap(), r#""trusted""#);
    }
}
