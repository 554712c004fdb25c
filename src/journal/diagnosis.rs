//! Why a client refused a forged certificate: observations first, then what they leave over.
//!
//! A refusal rarely says its cause. The alert number alone is enough for an unknown CA (48) and for expiry (45); many
//! clients send none, and many refuse only after a completed handshake. So each refusal has candidates; what is known
//! of our own certificate and of the same client's other connections removes some. More than one left is said as
//! `ambiguous`, never guessed.

use std::time::Duration;

use serde::Serialize;

use super::history::{History, Pattern, Sighting};
use super::{Cause, Confidence};

/// Why a client refused, how sure that is, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The verdict.
    pub cause: Cause,
    /// What explains the observations, most likely first; one where the verdict is not `ambiguous`.
    pub candidates: Vec<Cause>,
    /// How sure the verdict is.
    pub confidence: Confidence,
    /// Sentences: observations first, the inference last.
    pub evidence: Vec<String>,
}

/// What was seen of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its form.
    pub signature: Signature,
    /// Whether the client's Finished had arrived.
    pub after_finished: bool,
    /// Whether the client's TLS library may leave all judgment to the time after the handshake, as GnuTLS does.
    pub judges_late: bool,
    /// How long it took: from our certificate's departure, or from the end of the handshake where that came first.
    pub gap: Option<Duration>,
}

/// The form of a refusal on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signature {
    /// A TLS alert, by its number (RFC 8446, section 6); whether its level was only a warning.
    Alert {
        /// The description.
        number: u8,
        /// Level 1, which some stacks do not even report.
        warning: bool,
    },
    /// The handshake was completed, then closed politely (close_notify) without a request.
    PoliteClose,
    /// The handshake was completed, then the stream ended without close_notify and without a request.
    SilentClose,
    /// The stream ended in the middle of the handshake, after our certificate left.
    Cut,
}

impl Signature {
    /// In words.
    #[must_use]
    pub fn describe(self) -> String {
        match self {
            Self::Alert { number, warning } => {
                let level = if warning { "warning" } else { "fatal" };
                format!("{level} alert {number} {}", alert_name(number))
            }
            Self::PoliteClose => "handshake completed, then close_notify without a request".to_owned(),
            Self::SilentClose => "handshake completed, then the connection ended without a request".to_owned(),
            Self::Cut => "connection ended inside the handshake, after our certificate".to_owned(),
        }
    }
}

/// What is known of the certificate that we served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafAudit {
    /// Its names cover the host that the client asked for.
    pub names_host: bool,
    /// It is valid now.
    pub in_time: bool,
    /// Its chain keeps the rules that strict clients insist on.
    pub in_order: bool,
    /// It was signed by the inspection CA, not by the one for untrusted origins.
    pub by_inspection_ca: bool,
}

/// The name of an alert (RFC 8446, section 6; RFC 5246, section 7.2).
#[must_use]
pub fn alert_name(number: u8) -> &'static str {
    match number {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        90 => "user_canceled",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => "unassigned",
    }
}

/// One refusal, with all that is known of its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The connection.
    pub seen: Sighting,
    /// What was seen of the refusal.
    pub refusal: Refusal,
    /// What is known of the certificate that was refused.
    pub audit: LeafAudit,
}

impl Case {
    /// Whether the client only went, without an alert: so it leaves what it opened ahead, too.
    pub(super) fn is_silent(&self) -> bool {
        !matches!(self.refusal.signature, Signature::Alert { .. })
    }

    /// Whether it says anything of a certificate at all.
    pub(super) fn is_about_certificates(&self) -> bool {
        !matches!(self.refusal.signature, Signature::Alert { number: 47 | 70 | 71 | 109 | 110 | 120, .. })
    }
}

/// So many equal refusals of one host in a row make a verdict surer.
const REPEATED: usize = 3;

/// Concludes from one refusal, the audit of our own certificate, and the same client's history.
#[must_use]
pub fn diagnose(case: &Case, history: &History) -> Diagnosis {
    let Case { seen, refusal, audit } = case;
    let host = seen.host.as_str();
    let mut evidence = vec![observation(refusal)];
    let (mut candidates, mut confidence, reason) = by_signature(refusal);

    if audit.names_host {
        candidates.retain(|cause| *cause != Cause::WrongHost);
    } else if candidates.contains(&Cause::WrongHost) {
        promote(&mut candidates, Cause::WrongHost);
    }
    if audit.in_time {
        // An alert that says "expired" speaks of the client's clock then; it stays what it is.
        if !matches!(refusal.signature, Signature::Alert { number: 45, .. }) {
            candidates.retain(|cause| *cause != Cause::Expired);
        }
    } else if candidates.contains(&Cause::Expired) {
        promote(&mut candidates, Cause::Expired);
    }
    if audit.in_order && candidates.len() > 1 {
        candidates.retain(|cause| *cause != Cause::Policy);
    }
    evidence.push(audit_sentence(*audit, host));

    if let Some(id) = history.passed_by(host)
        && candidates.len() > 1
    {
        // The genuine certificate repeats neither of our own faults, and the network carried it.
        candidates.retain(|cause| !matches!(cause, Cause::WrongHost | Cause::Expired));
        evidence.push(format!("past us, the same client accepted the genuine certificate of {host} (connection {id})"));
    }
    match history.refutes_untrusted_ca(case) {
        Some(why) if candidates == [Cause::UntrustedCa] => {
            // A client that trusts the CA elsewhere and says "unknown CA" here keeps a root list of its own for this host.
            candidates = vec![Cause::PinMismatch];
            confidence = Confidence::Medium;
            evidence.push(why);
        }
        Some(why) if candidates.contains(&Cause::UntrustedCa) => {
            // What is accepted from one CA breaks no rule for another host.
            candidates.retain(|cause| !matches!(cause, Cause::UntrustedCa | Cause::Policy));
            if candidates.len() == 1 {
                confidence = Confidence::High;
            }
            evidence.push(why);
        }
        _ => {
            if let Some((why, sure)) = history.suggests_untrusted_ca(case)
                && candidates.len() > 1
                && candidates.contains(&Cause::UntrustedCa)
            {
                candidates.retain(|cause| matches!(cause, Cause::UntrustedCa | Cause::Policy));
                confidence = if sure { Confidence::High } else { Confidence::Medium };
                evidence.push(why);
            }
        }
    }

    // An alert that explains itself is as sure as it can be, however often it comes.
    let explains_itself = matches!(refusal.signature, Signature::Alert { number: 45 | 48, .. });
    if let ([_], false) = (&candidates[..], explains_itself) {
        match history.pattern(case) {
            Pattern::Equal(count) if count >= REPEATED && confidence < Confidence::High => {
                confidence = Confidence::High;
                evidence.push(format!("the same client refused {host} {count} times in the same way"));
            }
            Pattern::Mixed if confidence > Confidence::Low => {
                confidence = if confidence == Confidence::High { Confidence::Medium } else { Confidence::Low };
                evidence.push(format!("the same client took {host} differently on other connections"));
            }
            Pattern::Equal(_) | Pattern::Mixed => {}
        }
    }

    let verdict = match candidates[..] {
        [one] => one,
        _ => {
            confidence = Confidence::Low;
            Cause::Ambiguous
        }
    };
    evidence.push(conclusion(verdict, &candidates, host, reason, *audit));
    Diagnosis { cause: verdict, candidates, confidence, evidence }
}

impl Diagnosis {
    /// Whether both come to the same, in whatever words.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        (self.cause, self.confidence, &self.candidates) == (other.cause, other.confidence, &other.candidates)
    }
}

impl Default for Diagnosis {
    /// Nothing is known yet.
    fn default() -> Self {
        Self { cause: Cause::Ambiguous, candidates: Vec::new(), confidence: Confidence::Low, evidence: Vec::new() }
    }
}

/// A client that judges a certificate leaves at once; one that ran out of time leaves later than this.
const PATIENCE: Duration = Duration::from_secs(1);

fn promote(candidates: &mut Vec<Cause>, cause: Cause) {
    candidates.retain(|other| *other != cause);
    candidates.insert(0, cause);
}

/// Candidates of a signature, as measured on 22 clients; the last is a reason to add to the conclusion.
fn by_signature(refusal: &Refusal) -> (Vec<Cause>, Confidence, Option<&'static str>) {
    use Cause::{Expired, PinMismatch, Policy, Protocol, UntrustedCa, WrongHost};
    match refusal.signature {
        Signature::Alert { number: 48, .. } => (vec![UntrustedCa], Confidence::High, None),
        Signature::Alert { number: 45, .. } => (vec![Expired], Confidence::High, None),
        Signature::Alert { number: 44 | 43 | 51 | 113 | 116, .. } => (vec![Policy], Confidence::Medium, None),
        Signature::Alert { number: 40 | 49 | 80, .. } => {
            (vec![PinMismatch], Confidence::Medium, Some("an application check refused after the chain was built"))
        }
        Signature::Alert { number: 70 | 71 | 47 | 109 | 110 | 120, .. } => (vec![Protocol], Confidence::High, None),
        // curl over GnuTLS, and git with it, end like this for every cause.
        Signature::PoliteClose if refusal.judges_late => (
            vec![UntrustedCa, PinMismatch, WrongHost, Expired, Policy],
            Confidence::Medium,
            Some("its TLS library may finish the handshake before the chain is judged"),
        ),
        Signature::PoliteClose => (
            vec![PinMismatch, WrongHost],
            Confidence::Medium,
            Some("the chain was accepted; a tool that only looks at the certificate and leaves looks the same"),
        ),
        Signature::Cut if refusal.gap.is_some_and(|gap| gap > PATIENCE) => (
            vec![UntrustedCa, PinMismatch, WrongHost, Expired, Policy],
            Confidence::Medium,
            Some("or it ran out of time: it left late"),
        ),
        // Alerts 42 and 46 among them, which were seen for every cause.
        Signature::Alert { .. } | Signature::SilentClose | Signature::Cut => {
            (vec![UntrustedCa, PinMismatch, WrongHost, Expired, Policy], Confidence::Medium, None)
        }
    }
}

fn observation(refusal: &Refusal) -> String {
    let since = if refusal.after_finished { "the handshake" } else { "our certificate" };
    let when = match refusal.gap {
        Some(gap) => format!(", {} ms after {since}", gap.as_millis()),
        None => String::new(),
    };
    let phase = match (refusal.signature, refusal.after_finished) {
        (Signature::Alert { .. }, false) => ", before the client's Finished",
        (Signature::Alert { .. }, true) => ", after the client's Finished",
        _ => "",
    };
    format!("{}{when}{phase}", refusal.signature.describe())
}

fn audit_sentence(audit: LeafAudit, host: &str) -> String {
    let names = if audit.names_host { "names" } else { "does not name" };
    let time = if audit.in_time { "is valid now" } else { "is not valid now" };
    let order = if audit.in_order { "" } else { ", its chain breaks a rule that strict clients insist on" };
    let signer = if audit.by_inspection_ca { "" } else { ", and was signed by the CA for untrusted origins" };
    format!("our certificate {names} {host} and {time}{order}{signer}")
}

fn conclusion(
    cause: Cause,
    candidates: &[Cause],
    host: &str,
    reason: Option<&'static str>,
    audit: LeafAudit,
) -> String {
    let because = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    match cause {
        Cause::UntrustedCa if !audit.by_inspection_ca => {
            "the origin itself is not trusted, and the client was warned of it as intended".to_owned()
        }
        Cause::UntrustedCa => "the inspection CA is not in the trust store that this client uses".to_owned(),
        Cause::PinMismatch => format!("this client pins the key or issuer of {host}{because}"),
        Cause::WrongHost => format!("the certificate does not name {host}"),
        Cause::Expired if audit.in_time => {
            "our certificate is in time: the client's clock is off, or it enforces a shorter validity".to_owned()
        }
        Cause::Expired => "the certificate is out of its validity".to_owned(),
        Cause::Policy => "a rule of the client about certificates: usage, revocation, key or signature".to_owned(),
        Cause::Protocol => "TLS versions, ciphers or protocols did not fit; no certificate was judged".to_owned(),
        Cause::Ambiguous => {
            let words: Vec<_> = candidates.iter().map(|cause| cause.word()).collect();
            format!(
                "this connection alone cannot tell {}{because}: send this client to a second host to decide",
                words.join(" from ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: LeafAudit = LeafAudit { names_host: true, in_time: true, in_order: true, by_inspection_ca: true };

    fn alert(number: u8) -> Refusal {
        let signature = Signature::Alert { number, warning: false };
        Refusal { signature, after_finished: false, judges_late: false, gap: Some(Duration::from_millis(3)) }
    }

    fn silent(signature: Signature) -> Refusal {
        Refusal { signature, after_finished: signature != Signature::Cut, judges_late: false, gap: None }
    }

    fn sighting(host: &str, id: u64) -> Sighting {
        let at = Duration::from_secs(id);
        Sighting { id, host: host.to_owned(), process: None, serial: None, opened: at, at }
    }

    fn case(refusal: &Refusal, audit: LeafAudit, host: &str, id: u64) -> Case {
        Case { seen: sighting(host, id), refusal: refusal.clone(), audit }
    }

    fn judge(refusal: &Refusal, audit: LeafAudit, host: &str, history: &History) -> Diagnosis {
        diagnose(&case(refusal, audit, host, 99), history)
    }

    fn verdict(refusal: &Refusal, audit: LeafAudit, history: &History) -> (Cause, Confidence) {
        let diagnosis = judge(refusal, audit, "pin.test", history);
        (diagnosis.cause, diagnosis.confidence)
    }

    #[test]
    fn alerts_that_explain_themselves() {
        let none = History::default();
        assert_eq!(verdict(&alert(48), SOUND, &none), (Cause::UntrustedCa, Confidence::High));
        assert_eq!(verdict(&alert(45), SOUND, &none), (Cause::Expired, Confidence::High));
        assert_eq!(verdict(&alert(44), SOUND, &none), (Cause::Policy, Confidence::Medium));
        assert_eq!(verdict(&alert(49), SOUND, &none), (Cause::PinMismatch, Confidence::Medium));
        assert_eq!(verdict(&alert(120), SOUND, &none), (Cause::Protocol, Confidence::High));
        assert_eq!(verdict(&silent(Signature::PoliteClose), SOUND, &none), (Cause::PinMismatch, Confidence::Medium));
    }

    #[test]
    fn one_connection_that_cannot_decide_says_so() {
        for refusal in [alert(42), alert(46), silent(Signature::Cut), silent(Signature::SilentClose)] {
            let diagnosis = judge(&refusal, SOUND, "pin.test", &History::default());
            assert_eq!((diagnosis.cause, diagnosis.confidence), (Cause::Ambiguous, Confidence::Low));
            assert_eq!(diagnosis.candidates, [Cause::UntrustedCa, Cause::PinMismatch]);
            assert!(diagnosis.evidence.last().unwrap().contains("second host"));
        }
    }

    #[test]
    fn a_polite_close_says_little_of_a_client_that_judges_after_the_handshake() {
        let late = Refusal { judges_late: true, ..silent(Signature::PoliteClose) };
        let diagnosis = judge(&late, SOUND, "pin.test", &History::default());
        assert_eq!((diagnosis.cause, diagnosis.confidence), (Cause::Ambiguous, Confidence::Low));
        assert_eq!(diagnosis.candidates, [Cause::UntrustedCa, Cause::PinMismatch]);
        let mut history = History::default();
        history.accepted(sighting("www.pin.test", 7));
        assert_eq!(verdict(&late, SOUND, &history), (Cause::PinMismatch, Confidence::High));
    }

    #[test]
    fn our_own_faults_come_first() {
        let wrong = LeafAudit { names_host: false, ..SOUND };
        let late = LeafAudit { in_time: false, ..SOUND };
        assert_eq!(judge(&alert(46), wrong, "a", &History::default()).candidates[0], Cause::WrongHost);
        assert_eq!(judge(&alert(42), late, "a", &History::default()).candidates[0], Cause::Expired);
        assert_eq!(verdict(&alert(48), wrong, &History::default()), (Cause::UntrustedCa, Confidence::High));
    }

    #[test]
    fn a_chain_that_strict_clients_refuse_may_be_refused_for_that() {
        let lax = LeafAudit { in_order: false, ..SOUND };
        let diagnosis = judge(&alert(46), lax, "pin.test", &History::default());
        assert_eq!(diagnosis.candidates, [Cause::UntrustedCa, Cause::PinMismatch, Cause::Policy]);
        let mut history = History::default();
        history.refused(case(&alert(46), SOUND, "www.pin.example", 1));
        let diagnosis = judge(&alert(46), lax, "pin.test", &history);
        assert_eq!(diagnosis.candidates, [Cause::UntrustedCa, Cause::Policy]);
        let mut history = History::default();
        history.accepted(sighting("www.pin.test", 7));
        assert_eq!(verdict(&alert(46), lax, &history), (Cause::PinMismatch, Confidence::High));
    }

    #[test]
    fn acceptance_elsewhere_refutes_the_untrusted_ca() {
        let mut history = History::default();
        history.accepted(sighting("www.pin.test", 7));
        assert_eq!(verdict(&alert(42), SOUND, &history), (Cause::PinMismatch, Confidence::High));
        assert_eq!(verdict(&alert(48), SOUND, &history), (Cause::PinMismatch, Confidence::Medium));
    }

    #[test]
    fn refusals_everywhere_point_at_the_ca() {
        let mut history = History::default();
        history.refused(case(&silent(Signature::Cut), SOUND, "www.pin.example", 1));
        assert_eq!(verdict(&silent(Signature::Cut), SOUND, &history), (Cause::UntrustedCa, Confidence::High));
    }

    #[test]
    fn a_client_that_knows_alert_48_means_something_else_with_46() {
        let mut history = History::default();
        history.refused(case(&alert(48), SOUND, "pin.test", 1));
        assert_eq!(verdict(&alert(46), SOUND, &history).0, Cause::PinMismatch);
    }

    #[test]
    fn what_the_owner_of_the_device_says_of_its_trust_store_counts() {
        let mut history = History::default();
        history.set_trusts_inspection_ca(Some(true));
        assert_eq!(verdict(&alert(46), SOUND, &history), (Cause::PinMismatch, Confidence::High));
        let untrusted = LeafAudit { by_inspection_ca: false, ..SOUND };
        assert_eq!(verdict(&alert(48), untrusted, &history), (Cause::UntrustedCa, Confidence::High));
    }
}
