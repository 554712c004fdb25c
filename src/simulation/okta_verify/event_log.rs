//! What Okta Verify shows and logs, in the vendor's words.
//!
//! The texts for a certificate that is not trusted are those of Okta's support article "Okta Verify Enrollment on
//! Windows Fails With a Sign-In URL Is Not Secure or Generic Enrollment Error". The others keep its frame and put the
//! standard message of .NET Framework for the fault in it: an inference. Which fault shows which text to the user is
//! an assumption.

use http::StatusCode;

use super::CallName;
use crate::simulation::workstation::{CertificateSeen, Fault, RefusalCause};

const SIGN_IN_URL_NOT_SECURE: &str = "The sign-in URL is not secure";
const GENERIC: &str = "Generic enrollment error";
/// Published for a registration whose certificates cannot be checked for revocation.
const SOMETHING_WENT_WRONG: &str = "Something went wrong. Please try again.";

const SENDING: &str = "An error occurred while sending the request.";
const NOT_TRUSTED: &str = "The underlying connection was closed: Could not establish trust relationship for the SSL/TLS \
                           secure channel.: The remote certificate is invalid according to the validation procedure.";

/// Why an enrollment went no further.
#[derive(Clone, Debug)]
pub(super) enum Reason {
    /// No answer.
    Fault(Fault),
    /// An answer with an unwanted status.
    Status(u16),
    /// An answer that cannot be used; the log has no words of the vendor's for it.
    Unusable(String),
}

/// The user's text. Assumption: a certificate that is not trusted while the organization status is fetched means
/// "The sign-in URL is not secure", and anything else the generic error.
pub(super) fn shown(call: CallName, reason: &Reason) -> &'static str {
    if is_revocation_unknown(reason) {
        return SOMETHING_WENT_WRONG;
    }
    let status = matches!(call, CallName::OrganizationStatus | CallName::CanonicalOrganization);
    if status && matches!(reason, Reason::Fault(Fault::Refused(_))) { SIGN_IN_URL_NOT_SECURE } else { GENERIC }
}

/// The lines of the event log, in the article's order.
pub(super) fn lines(call: CallName, reason: &Reason, certificate: Option<&CertificateSeen>) -> Vec<String> {
    let doing = doing(call);
    let exception = exception(call, reason);
    if is_revocation_unknown(reason) {
        return revocation_unknown(call, &exception, certificate);
    }
    let mut lines = vec![format!("Extensions.WriteException: An error occurred when {doing}. Exception: {exception}")];
    let mismatch =
        matches!(reason, Reason::Fault(Fault::Refused(refusal)) if refusal.cause == RefusalCause::PinMismatch);
    if let Some(domain) = certificate.and_then(|seen| seen.pinned_suffix.as_deref()).filter(|_| mismatch) {
        lines.push(format!(
            "[CertificatePinningValidator.ValidateConnection]: Certificate domain {domain} did not match pinned \
             keys/certs, validation failed."
        ));
    }
    lines
}

fn is_revocation_unknown(reason: &Reason) -> bool {
    matches!(reason, Reason::Fault(Fault::Refused(refusal)) if refusal.cause == RefusalCause::RevocationUnknown)
}

/// The lines of Okta's support article "Cannot validate certificate chain, validation failed", with its spelling.
fn revocation_unknown(call: CallName, exception: &str, certificate: Option<&CertificateSeen>) -> Vec<String> {
    const CHAIN: &str = "X509ChainValidator.ValidateCertificateChain:";
    let subject = certificate.map(|seen| seen.facts.subject.as_str()).unwrap_or_default();
    let common_name = subject.split(", ").find(|part| part.starts_with("CN=")).unwrap_or(subject);
    let last = match call {
        CallName::OrganizationStatus | CallName::CanonicalOrganization => {
            "ClientAccountManager.CheckOrganizationStatus: An error occured when getting the organization status."
                .to_owned()
        }
        _ => format!("Extensions.WriteException: An error occurred when {}.", doing(call)),
    };
    vec![
        format!(
            "{CHAIN} Chain validation failed due to the following error(s): RevocationStatusUnknown: The revocation \
             function was unable to check revocation for the certificate."
        ),
        format!("{CHAIN} Cert chain validation for {common_name} failed."),
        "[CertificatePinningValidator.ValidateConnection]: Cannot validate certificate chain, validation failed."
            .to_owned(),
        format!("{last} Exception: {exception}"),
    ]
}

/// The article has the first of these; the others are this simulation's own words.
fn doing(call: CallName) -> &'static str {
    match call {
        CallName::OrganizationStatus | CallName::CanonicalOrganization => "getting the organization status",
        CallName::SignIn | CallName::SignInScript | CallName::SignInForm | CallName::SignInCallback => "signing in",
        CallName::Token => "getting the access token",
        CallName::Authenticators => "getting the authenticators",
        CallName::Enroll => "enrolling the authenticator",
    }
}

/// Nested .NET messages, joined by `: `.
fn exception(call: CallName, reason: &Reason) -> String {
    let fault = match reason {
        // The application only waits for its browser; it learns nothing of what stopped it.
        _ if doing(call) == "signing in" => {
            return "A task was canceled.".to_owned();
        }
        Reason::Fault(fault) => fault,
        Reason::Status(status) => {
            let phrase = phrase(*status);
            return format!("Response status code does not indicate success: {status} ({phrase}).");
        }
        Reason::Unusable(what) => return what.clone(),
    };
    let inner = match fault {
        Fault::Refused(_) => NOT_TRUSTED.to_owned(),
        Fault::NameNotResolved { host } => format!("The remote name could not be resolved: '{host}'"),
        Fault::Unreachable { .. } | Fault::ProxyUnreachable { .. } => {
            "Unable to connect to the remote server".to_owned()
        }
        Fault::ProxyAuthentication { .. } => {
            "The remote server returned an error: (407) Proxy Authentication Required.".to_owned()
        }
        Fault::Proxy(answer) => {
            format!("The remote server returned an error: ({}) {}.", answer.status, phrase(answer.status))
        }
        Fault::Handshake { .. } => "The request was aborted: Could not create SSL/TLS secure channel.".to_owned(),
        Fault::Cut { .. } => "The underlying connection was closed: An unexpected error occurred on a send.".to_owned(),
        Fault::Protocol { .. } => "The server committed a protocol violation.".to_owned(),
        Fault::TimedOut { .. } => return "A task was canceled.".to_owned(),
    };
    format!("{SENDING}: {inner}")
}

fn phrase(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::workstation::ProxyAnswer;

    fn line(fault: Fault) -> String {
        lines(CallName::OrganizationStatus, &Reason::Fault(fault), None).remove(0)
    }

    #[test]
    fn network_faults_are_told_as_dotnet_tells_them() {
        let frame = "Extensions.WriteException: An error occurred when getting the organization status. Exception: \
                     An error occurred while sending the request.: ";
        let host = crate::net::Host::parse("acme.okta.com").unwrap();
        let proxy = ProxyAnswer { status: 504, proxy_status: None, body: String::new() };
        for (fault, inner) in [
            (Fault::NameNotResolved { host }, "The remote name could not be resolved: 'acme.okta.com'"),
            (
                Fault::ProxyUnreachable { proxy: String::new(), reason: String::new() },
                "Unable to connect to the remote server",
            ),
            (
                Fault::ProxyAuthentication { tried: false },
                "The remote server returned an error: (407) Proxy Authentication Required.",
            ),
            (Fault::Proxy(proxy), "The remote server returned an error: (504) Gateway Timeout."),
            (
                Fault::Cut { reason: String::new() },
                "The underlying connection was closed: An unexpected error occurred on a send.",
            ),
            (
                Fault::Handshake { reason: String::new() },
                "The request was aborted: Could not create SSL/TLS secure channel.",
            ),
        ] {
            assert_eq!(line(fault), format!("{frame}{inner}"));
        }
    }
}
