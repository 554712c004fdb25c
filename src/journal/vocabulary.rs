//! The words that records, scenarios, reports and the API share.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::policy::Action;

macro_rules! words {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$inner])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every value, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|value| value.word() == text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|value| value.word()).collect();
                    format!("`{text}` is none of {}", known.join(", "))
                })
            }
        }
    };
}

words! {
    /// What the middlebox did with a connection.
    DecisionKind {
        /// Terminated its TLS with a forged certificate.
        Inspect = "inspect",
        /// Passed its bytes through untouched.
        Bypass = "bypass",
        /// Refused it.
        Block = "block",
        /// It carried no TLS.
        Plain = "plain",
    }
}

impl From<Action> for DecisionKind {
    fn from(action: Action) -> Self {
        match action {
            Action::Inspect => Self::Inspect,
            Action::Bypass => Self::Bypass,
            Action::Block => Self::Block,
        }
    }
}

words! {
    /// How a connection turned out.
    Outcome {
        /// Application data came over the forged certificate.
        Accepted = "accepted",
        /// The client refused the forged certificate.
        Refused = "refused",
        /// The bytes went through untouched.
        Bypassed = "bypassed",
        /// The middlebox refused the connection.
        Blocked = "blocked",
        /// It carried no TLS.
        Plain = "plain",
        /// It was opened ahead and never used.
        Unused = "unused",
        /// The client left before it saw a certificate.
        GaveUp = "gave-up",
        /// The origin or the network failed.
        Failed = "failed",
    }
}

words! {
    /// Why a client refused a forged certificate.
    Cause {
        /// The inspection CA is not in the trust store that this client uses.
        UntrustedCa = "untrusted-ca",
        /// The chain is fine; the key or issuer is not the one that the client pinned.
        PinMismatch = "pin-mismatch",
        /// The certificate does not name the host.
        WrongHost = "wrong-host",
        /// The certificate is out of its validity, or the client's clock is.
        Expired = "expired",
        /// The certificate breaks a rule of the client: usage, length of validity, revocation, key or signature.
        Policy = "policy",
        /// TLS versions, ciphers or protocols did not fit; no certificate was judged.
        Protocol = "protocol",
        /// More than one cause explains what was seen.
        Ambiguous = "ambiguous",
    }
}

words! {
    /// How sure a diagnosis is.
    Confidence {
        /// One candidate from one connection is no more than this; several candidates are less.
        Low = "low",
        /// One candidate, from one connection.
        Medium = "medium",
        /// An alert that explains itself, or the history of the same client.
        High = "high",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.word().parse::<Outcome>(), Ok(*outcome));
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.word());
        }
        assert!("rejected".parse::<Outcome>().unwrap_err().contains("refused"));
    }
}
