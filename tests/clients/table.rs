//! What is measured of refusals, as a table, and what a verdict may be without being wrong.

use std::fmt;
use std::sync::Arc;

use middlebox::journal::{Cause, Confidence, ConnectionRecord, Outcome};

use crate::client::{Client, Tls};

/// What is wrong, if anything, and what the client did before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// It trusts the inspection root.
    Trusted,
    /// It was not told of the inspection root.
    UntrustedCa,
    /// Likewise, and it refused another host before.
    UntrustedCaAgain,
    /// It trusts the root and accepts the genuine key alone.
    Pinned,
    /// Likewise, and it accepted another host before.
    PinnedHere,
    /// It accepts the genuine key alone, and is let through.
    PinnedBypassed,
    /// The certificate names another host.
    WrongHost,
    /// The certificate has ended.
    Expired,
}

impl Case {
    pub(crate) const ALL: [Self; 8] = [
        Self::Trusted,
        Self::UntrustedCa,
        Self::UntrustedCaAgain,
        Self::Pinned,
        Self::PinnedHere,
        Self::PinnedBypassed,
        Self::WrongHost,
        Self::Expired,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::UntrustedCa => "untrusted CA",
            Self::UntrustedCaAgain => "untrusted CA, second host",
            Self::Pinned => "pinned",
            Self::PinnedHere => "pinned, accepted elsewhere",
            Self::PinnedBypassed => "pinned, bypassed",
            Self::WrongHost => "wrong host",
            Self::Expired => "expired",
        }
    }

    /// Whether a client can be in this case.
    pub(crate) fn is_for(self, client: Client) -> bool {
        match self {
            Self::Pinned | Self::PinnedHere => client.pins(),
            Self::PinnedBypassed => client.pins_keys(),
            _ => true,
        }
    }

    /// Whether the client did something before that decides.
    pub(crate) fn has_history(self) -> bool {
        matches!(self, Self::UntrustedCaAgain | Self::PinnedHere)
    }

    pub(crate) fn is_pinned(self) -> bool {
        matches!(self, Self::Pinned | Self::PinnedHere | Self::PinnedBypassed)
    }

    /// How the connection turns out, and why where it is refused.
    fn truth(self) -> (Outcome, Option<Cause>) {
        match self {
            Self::Trusted => (Outcome::Accepted, None),
            Self::PinnedBypassed => (Outcome::Bypassed, None),
            Self::UntrustedCa | Self::UntrustedCaAgain => (Outcome::Refused, Some(Cause::UntrustedCa)),
            Self::Pinned | Self::PinnedHere => (Outcome::Refused, Some(Cause::PinMismatch)),
            Self::WrongHost => (Outcome::Refused, Some(Cause::WrongHost)),
            Self::Expired => (Outcome::Refused, Some(Cause::Expired)),
        }
    }

    /// Whether this client says enough for one cause; where it does not, `ambiguous` is the right word.
    fn is_decided(self, client: Client, tls: Tls) -> bool {
        use Client::{Aiohttp, Curl, Httpx, Java, OkHttp, OpenSsl, Python, Requests, Rustls, Urllib3};
        match self {
            // History decides whatever the client says.
            Self::Trusted | Self::PinnedBypassed | Self::UntrustedCaAgain | Self::PinnedHere => true,
            // Alert 48.
            Self::UntrustedCa => matches!(client, Curl | OpenSsl | Python | Requests | Httpx | Urllib3 | Rustls),
            // close_notify after the handshake.
            Self::Pinned => matches!(client, Curl | Python | Aiohttp | OkHttp),
            // An unnamed host is refused as a wrong pin is; our own certificate's fault stands first.
            Self::WrongHost => false,
            // Alert 45; Java says so in TLS 1.2 alone.
            Self::Expired => {
                matches!(client, Curl | OpenSsl | Python | Requests | Httpx | Urllib3 | Rustls)
                    || (matches!(client, Java | OkHttp) && tls == Tls::V12)
            }
        }
    }
}

/// One measurement.
pub(crate) struct Row {
    pub(crate) client: Client,
    pub(crate) case: Case,
    pub(crate) tls: Tls,
    pub(crate) went_well: bool,
    pub(crate) said: String,
    pub(crate) record: Arc<ConnectionRecord>,
}

impl Row {
    /// Whether the verdict is the cause itself.
    pub(crate) fn is_exact(&self) -> bool {
        self.record.diagnosis.as_ref().map(|diagnosis| diagnosis.cause) == self.case.truth().1
    }

    /// Why the measurement is not what it should be.
    pub(crate) fn complaint(&self) -> Option<String> {
        let (outcome, cause) = self.case.truth();
        let record = &self.record;
        let diagnosis = record.diagnosis.as_ref();
        let candidates = diagnosis.map(|diagnosis| diagnosis.candidates.as_slice()).unwrap_or_default();
        let verdict = diagnosis.map(|diagnosis| diagnosis.cause);
        let version = if self.tls == Tls::V12 { "t12" } else { "t13" };
        let why = if record.outcome != Some(outcome) {
            format!("it should be {outcome}")
        } else if self.went_well != (outcome != Outcome::Refused) {
            format!("the client says otherwise: {}", self.said.trim())
        } else if !record.hello.as_ref().is_some_and(|hello| hello.ja4.starts_with(version)) {
            format!("the client was to offer {version}")
        } else if cause.is_some() && verdict == Some(Cause::Ambiguous) {
            let first = candidates.first() == cause.as_ref();
            let ours = matches!(self.case, Case::WrongHost | Case::Expired);
            if self.case.is_decided(self.client, self.tls) {
                "this client says enough for one cause".to_owned()
            } else if !cause.is_some_and(|cause| candidates.contains(&cause)) || (ours && !first) {
                "the truth is not where it should be among the candidates".to_owned()
            } else {
                return None;
            }
        } else if verdict != cause {
            "the verdict is wrong".to_owned()
        } else {
            return None;
        };
        Some(format!("{self}\n    {why}"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = match self.tls {
            Tls::V12 => "1.2",
            Tls::V13 => "1.3",
            Tls::Any => "any",
        };
        let outcome = self.record.outcome.map_or("open", Outcome::word);
        write!(f, "{:<10} {:<26} {tls}  {outcome:<9}", self.client.name(), self.case.words())?;
        let Some(diagnosis) = &self.record.diagnosis else { return Ok(()) };
        let candidates: Vec<_> = diagnosis.candidates.iter().map(|cause| cause.word()).collect();
        let verdict = match diagnosis.cause {
            Cause::Ambiguous => format!("ambiguous: {}", candidates.join(", ")),
            cause => format!("{cause} ({})", Confidence::word(diagnosis.confidence)),
        };
        write!(f, " {verdict:<50} {}", diagnosis.evidence.first().map_or("", String::as_str))
    }
}
