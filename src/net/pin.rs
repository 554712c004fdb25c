//! Public key pins.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use thiserror::Error;

/// The SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7469, section 2.4).
///
/// Shown as `sha256/<base64>`. curl alone writes two slashes; both are read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pin([u8; 32]);

/// Why a text is not a pin.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "a pin is `sha256/` and the base64 of 32 bytes, as `openssl … | openssl dgst -sha256 -binary | base64` prints it"
)]
pub struct PinError;

impl Pin {
    /// The pin of a DER-encoded SubjectPublicKeyInfo.
    #[must_use]
    pub fn of_spki(spki: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, spki);
        Self(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// The base64 alone, without `sha256/`.
    #[must_use]
    pub fn base64(&self) -> String {
        BASE64_STANDARD.encode(self.0)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256/{}", self.base64())
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        // Base64 may begin with a slash of its own, so one prefix is tried after the other.
        let forms = [text.strip_prefix("sha256/"), text.strip_prefix("sha256//"), Some(text)];
        let read = |base64| <[u8; 32]>::try_from(BASE64_STANDARD.decode(base64).ok()?).ok();
        forms.into_iter().flatten().find_map(read).map(Self).ok_or(PinError)
    }
}

impl serde::Serialize for Pin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Pin {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_spellings_and_writes_one() {
        let bare = "r5EfzZxQVvQpKo3AgYRaT7X2bDO/kj3ACwmxfdT2zt8=";
        for text in [bare.to_owned(), format!("sha256/{bare}"), format!("sha256//{bare}")] {
            assert_eq!(text.parse::<Pin>().unwrap().to_string(), format!("sha256/{bare}"));
        }
        let slash = format!("/{}", &bare[1..]);
        for text in [slash.clone(), format!("sha256/{slash}"), format!("sha256//{slash}")] {
            assert_eq!(text.parse::<Pin>().unwrap().base64(), slash);
        }
        assert_eq!("sha256/AAAA".parse::<Pin>(), Err(PinError));
        assert_eq!("not base64".parse::<Pin>(), Err(PinError));
    }
}
