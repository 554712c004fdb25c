//! The words that scenario files share with records, JSON and the command line.

use std::fmt;

use crate::journal::{Cause, DecisionKind, Outcome};
use crate::policy::{Action, OnChange};
use crate::proxy::DecideAt;
use crate::simulation::{Alpn, App, CertificateKind, HttpVersion};
use crate::source::did_you_mean;

/// A closed set of words, as a file spells them.
pub trait Word: Copy + Eq + fmt::Debug + 'static {
    /// Every word of the set, in the order in which people are told of them.
    const ALL: &'static [Self];

    /// The spelling.
    fn as_str(self) -> &'static str;

    /// The word that is spelled so.
    #[must_use]
    fn of(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|word| word.as_str() == text)
    }

    /// What to write instead of `typed`.
    #[must_use]
    fn mend(typed: &str) -> String {
        match did_you_mean(typed, Self::ALL.iter().map(|word| word.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write {}", choices(Self::ALL.iter().map(|word| word.as_str()))),
        }
    }
}

/// `` `a`, `b` or `c` ``.
pub(super) fn choices<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// Sets that other rooms own are words here as they are there.
macro_rules! borrowed {
    ($($name:ident { $($variant:ident = $text:literal,)+ })+) => {
        $(impl Word for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        })+
    };
}

borrowed! {
    Action { Inspect = "inspect", Bypass = "bypass", Block = "block", }
    OnChange { NewOnly = "new-only", Drain = "drain", Kill = "kill", }
    App { OktaOrg = "okta-org", Static = "static", Echo = "echo", Mtls = "mtls", Revocation = "revocation", }
    CertificateKind {
        Genuine = "genuine",
        Expired = "expired",
        NotYetValid = "not-yet-valid",
        WrongHost = "wrong-host",
        SelfSigned = "self-signed",
        Untrusted = "untrusted",
    }
    Alpn { H2 = "h2", Http1 = "http/1.1", }
    HttpVersion { Http1 = "HTTP/1.1", Http2 = "HTTP/2", }
    DecideAt { Request = "request", Hello = "hello", Certificate = "certificate", }
}

macro_rules! journal_words {
    ($($name:ident)+) => {
        $(impl Word for $name {
            const ALL: &'static [Self] = $name::ALL;

            fn as_str(self) -> &'static str {
                self.word()
            }
        })+
    };
}

journal_words! { Cause DecisionKind Outcome }

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl Word for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// How an enrollment of the simulated client ends.
    ClientOutcome {
        /// Every call succeeded.
        Enrolled = "enrolled",
        /// The client did not accept a certificate.
        Refused = "refused",
        /// Anything else went wrong.
        Error = "error",
    }
}

words! {
    /// Whether Okta Verify was found on loopback by a sign-in page.
    FastPassOutcome {
        /// It took the challenge.
        Answered = "answered",
        /// No port answered as it does.
        Unanswered = "unanswered",
    }
}

words! {
    /// Which middlebox of a scenario.
    By {
        /// The one that the workstation's proxy setting names.
        Proxy = "proxy",
        /// The one on the way of what goes without a proxy.
        Gateway = "gateway",
    }
}

words! {
    /// The proxy setting of the workstation.
    ProxySetting {
        /// Everything goes through the middlebox.
        On = "on",
        /// Everything goes directly.
        Off = "off",
        /// A PAC file decides.
        Pac = "pac",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_by_their_spelling_and_guessed_by_a_near_one() {
        assert_eq!(Outcome::of("gave-up"), Some(Outcome::GaveUp));
        assert_eq!(Cause::of("pinned"), None);
        assert_eq!(Cause::mend("pin-mismach"), "did you mean `pin-mismatch`?");
        assert_eq!(ProxySetting::mend("?"), "write `on`, `off` or `pac`");
        assert_eq!(OnChange::Kill.to_string(), "kill");
    }
}
