//! Placeholders in the words of a command: what only the lab knows.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use thiserror::Error;

use super::browser::{CHROMIUM, FIREFOX, Profiles};
use crate::child::ClientTrust;
use crate::lab::RunningLab;
use crate::net::Host;
use crate::simulation::Internet;

/// The placeholders that a word of a command may hold, and what each stands for. Other braces are left as they are.
pub const PLACEHOLDERS: &[(&str, &str)] = &[
    ("{proxy}", "the address of the proxy, host and port"),
    ("{ca}", "a file with the inspection CA, PEM"),
    ("{public-ca}", "a file with the CA of the simulated internet, PEM"),
    ("{bundle}", "a file with every CA, the system's among them, PEM"),
    ("{java-store}", "the same as a trust store for Java (JKS, password changeit)"),
    (
        CHROMIUM,
        "a new profile for --user-data-dir of Chromium, which trusts the CAs; HOME is above it then. Made with certutil",
    ),
    (FIREFOX, "a new profile for --profile of Firefox, with proxy and CAs. Made with certutil"),
    ("{pin:HOST}", "the genuine pin of a simulated host: base64 of the SHA-256 of its key"),
];

/// A placeholder that cannot be filled in.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WordError {
    /// It asks for the simulated internet.
    #[error("`{placeholder}` in `{word}` has no meaning: nothing is simulated; add --simulate, or write what is meant")]
    NotSimulated {
        /// The placeholder.
        placeholder: String,
        /// The word of the command.
        word: String,
    },
    /// It asks for the pin of a host that there is none of.
    #[error("`{placeholder}` in `{word}` names no simulated host; there are {}", known.join(", "))]
    UnknownHost {
        /// The placeholder.
        placeholder: String,
        /// The word of the command.
        word: String,
        /// The hosts that there are.
        known: Vec<String>,
    },
}

/// What placeholders are filled in from.
pub(super) struct Filling<'a> {
    pub(super) lab: &'a RunningLab,
    pub(super) trust: &'a ClientTrust,
    pub(super) profiles: &'a Profiles,
}

impl Filling<'_> {
    /// A word with its placeholders filled in; one that is not Unicode holds none.
    pub(super) fn fill(&self, word: &OsStr) -> Result<OsString, WordError> {
        let Some(text) = word.to_str().filter(|text| text.contains('{')) else { return Ok(word.to_owned()) };
        let mut filled = OsString::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            filled.push(&rest[..at]);
            rest = &rest[at..];
            let end = rest.find('}').map_or(rest.len(), |end| end + 1);
            match self.value(&rest[..end], text)? {
                Some(value) => {
                    filled.push(value);
                    rest = &rest[end..];
                }
                None => {
                    filled.push("{");
                    rest = &rest[1..];
                }
            }
        }
        filled.push(rest);
        Ok(filled)
    }

    fn value(&self, placeholder: &str, word: &str) -> Result<Option<OsString>, WordError> {
        let path = |path: &Path| Some(path.as_os_str().to_owned());
        let not_simulated = || WordError::NotSimulated { placeholder: placeholder.to_owned(), word: word.to_owned() };
        Ok(match placeholder {
            "{proxy}" => Some(self.lab.proxy_address().to_string().into()),
            "{ca}" => path(&self.lab.files().inspection_root),
            "{public-ca}" => path(self.lab.files().public_root.as_deref().ok_or_else(not_simulated)?),
            "{bundle}" => path(&self.trust.bundle),
            "{java-store}" => path(&self.trust.java_store),
            CHROMIUM => self.profiles.chromium.as_deref().and_then(path),
            FIREFOX => self.profiles.firefox.as_deref().and_then(path),
            _ => match placeholder.strip_prefix("{pin:").and_then(|rest| rest.strip_suffix('}')) {
                Some(host) => {
                    let internet = self.lab.internet().ok_or_else(not_simulated)?;
                    Some(pin(internet, host, placeholder, word)?.into())
                }
                None => None,
            },
        })
    }
}

fn pin(internet: &Internet, host: &str, placeholder: &str, word: &str) -> Result<String, WordError> {
    let pin = Host::parse(host).ok().and_then(|host| internet.pin(&host));
    pin.map(|pin| pin.base64()).ok_or_else(|| WordError::UnknownHost {
        placeholder: placeholder.to_owned(),
        word: word.to_owned(),
        known: internet.origins().iter().map(|(host, _)| host.to_string()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Lab;

    #[tokio::test]
    async fn what_the_lab_knows_is_filled_in_and_other_braces_stay() {
        let lab = Lab::builder().simulate_acme().start().await.unwrap();
        let trust = lab.files().for_client(None, None).unwrap();
        let filling = Filling { lab: &lab, trust: &trust, profiles: &Profiles::default() };
        let fill = |word: &str| filling.fill(OsStr::new(word)).map(|word| word.into_string().unwrap());
        let pin = lab.internet().unwrap().pin(&Host::parse("acme.okta.com").unwrap()).unwrap().base64();
        assert_eq!(fill("sha256//{pin:ACME.okta.com};x"), Ok(format!("sha256//{pin};x")));
        assert_eq!(fill("--proxy=http://{proxy}/"), Ok(format!("--proxy=http://{}/", lab.proxy_address())));
        for other in ["{\"proxy\": {}}", "${HOME}", "{", "}{", "%{http_code}", "{{"] {
            assert_eq!(fill(other).as_deref(), Ok(other));
        }
        assert_eq!(fill("{{ca}"), Ok(format!("{{{}", lab.files().inspection_root.display())));
        let error = fill("x{pin:okta.com}").unwrap_err().to_string();
        assert!(error.starts_with("`{pin:okta.com}` in `x{pin:okta.com}` names no simulated host"), "{error}");
        lab.drain().await;
    }

    #[tokio::test]
    async fn without_a_simulated_internet_nobody_knows_a_pin() {
        let lab = Lab::builder().start().await.unwrap();
        let trust = lab.files().for_client(None, None).unwrap();
        let filling = Filling { lab: &lab, trust: &trust, profiles: &Profiles::default() };
        for word in ["{pin:acme.okta.com}", "{public-ca}"] {
            assert!(matches!(filling.fill(OsStr::new(word)), Err(WordError::NotSimulated { .. })), "{word}");
        }
        lab.drain().await;
    }
}
