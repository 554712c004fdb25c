//! The words that scenario files share with records, JSON and the command line.

use std::fmt;

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
    /// What a rule, or the default, does with a connection.
    Action {
        /// Decrypt it.
        Inspect = "inspect",
        /// Pass it through untouched.
        Bypass = "bypass",
        /// Refuse it.
        Block = "block",
    }
}

words! {
    /// What the middlebox decided about a connection.
    Decision {
        /// It was decrypted.
        Inspect = "inspect",
        /// It was passed through untouched.
        Bypass = "bypass",
        /// It was refused by the middlebox.
        Block = "block",
        /// It was not TLS.
        Plain = "plain",
    }
}

words! {
    /// How a connection ended, as the middlebox saw it.
    ConnectionOutcome {
        /// Application data came over the forged certificate.
        Accepted = "accepted",
        /// The client refused the forged certificate.
        Refused = "refused",
        /// The bytes went through untouched.
        Bypassed = "bypassed",
        /// The middlebox refused it.
        Blocked = "blocked",
        /// It was not TLS.
        Plain = "plain",
        /// Opened ahead and never used.
        Unused = "unused",
        /// The client left before it saw a certificate.
        GaveUp = "gave-up",
        /// The origin or the network failed.
        Failed = "failed",
    }
}

words! {
    /// Why a client refused, as the middlebox concludes it.
    Cause {
        /// The client does not know the inspection CA.
        UntrustedCa = "untrusted-ca",
        /// The chain was trusted, the public key was not the pinned one.
        PinMismatch = "pin-mismatch",
        /// The certificate is for another host.
        WrongHost = "wrong-host",
        /// The certificate is not valid now.
        Expired = "expired",
        /// The certificate breaks another rule of the client.
        Policy = "policy",
        /// The two sides share no version, cipher or extension.
        Protocol = "protocol",
        /// More than one of the others explains what was seen.
        Ambiguous = "ambiguous",
    }
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
    /// What happens to connections that are open when the policy changes.
    OnChange {
        /// They keep the decision they began with.
        NewOnly = "new-only",
        /// Those that would be decided otherwise end after their running exchange.
        Drain = "drain",
        /// Those that would be decided otherwise end at once.
        Kill = "kill",
    }
}

words! {
    /// What answers at a simulated origin.
    App {
        /// An Okta organization: the enrollment calls.
        OktaOrg = "okta-org",
        /// One fixed page.
        Static = "static",
        /// What was sent, sent back; over HTTP and WebSocket.
        Echo = "echo",
    }
}

words! {
    /// Which certificate a simulated origin shows.
    OriginCertificate {
        /// Valid, from the simulated public CA.
        Genuine = "genuine",
        /// Its validity has ended.
        Expired = "expired",
        /// Its validity has not begun.
        NotYetValid = "not-yet-valid",
        /// For another host.
        WrongHost = "wrong-host",
        /// Signed by itself.
        SelfSigned = "self-signed",
        /// Signed by a CA that nobody trusts.
        Untrusted = "untrusted",
    }
}

words! {
    /// An application protocol that an origin offers (RFC 7301).
    Alpn {
        /// HTTP/2.
        H2 = "h2",
        /// HTTP/1.1.
        Http11 = "http/1.1",
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
        assert_eq!(ConnectionOutcome::of("gave-up"), Some(ConnectionOutcome::GaveUp));
        assert_eq!(Cause::of("pinned"), None);
        assert_eq!(Cause::mend("pin-mismach"), "did you mean `pin-mismatch`?");
        assert_eq!(ProxySetting::mend("?"), "write `on`, `off` or `pac`");
        assert_eq!(OnChange::Kill.to_string(), "kill");
    }
}
