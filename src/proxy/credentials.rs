//! Proxy authentication (RFC 9110, 11.7): Basic, against a file of bcrypt hashes as `htpasswd -B` writes it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use quick_cache::sync::Cache;
use thiserror::Error;

use crate::source::{Document, DocumentError};

/// The users that may use the proxy.
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

struct Inner {
    users: HashMap<String, String>,
    /// Credentials that were right once, as keyed hashes: bcrypt is slow on purpose, and a client sends them often.
    proven: Cache<[u8; 32], ()>,
    key: hmac::Key,
}

/// A file of users cannot be used.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// It cannot be read, or a line is wrong.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// It names nobody.
    #[error("{0} names no user: add one with `htpasswd -B -c {0} NAME`")]
    Empty(String),
    /// A password could not be hashed.
    #[error("the password of {0} cannot be hashed: it is over 72 bytes, or holds a NUL")]
    Password(String),
}

/// What came of a request's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    Right,
    Missing,
    Wrong,
}

impl Credentials {
    /// Reads a file with one `name:hash` a line, the hash being bcrypt's (`htpasswd -B`). Empty lines and lines that
    /// begin with `#` are passed over.
    ///
    /// # Errors
    /// The file cannot be read, a line is not of that form (with its place), or no user is named.
    pub fn read(path: &Path) -> Result<Self, CredentialsError> {
        let document = Document::read(path)?;
        let mut users = HashMap::new();
        let mut at = 0;
        for line in document.text().split_inclusive('\n') {
            let (start, text) = (at, line.trim_end());
            at += line.len();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let Some((name, hash)) = text.split_once(':').filter(|(name, _)| !name.is_empty()) else {
                let help = "make one with `htpasswd -nB NAME`".to_owned();
                let error = document.error(start..start + text.len(), "each line is `name:hash`", Some(help));
                return Err(DocumentError::from(error).into());
            };
            if hash.parse::<bcrypt::HashParts>().is_err() {
                let span = start + name.len() + 1..start + text.len();
                let help = "passwords stand here as bcrypt hashes, which `htpasswd -nB NAME` makes".to_owned();
                let error = document.error(span, "this is not a bcrypt hash", Some(help));
                return Err(DocumentError::from(error).into());
            }
            users.insert(name.to_owned(), hash.to_owned());
        }
        if users.is_empty() {
            return Err(CredentialsError::Empty(path.display().to_string()));
        }
        Ok(Self::new(users))
    }

    /// One user with a password in the clear, as a scenario gives it.
    ///
    /// # Errors
    /// The password cannot be hashed.
    pub fn one(name: &str, password: &str) -> Result<Self, CredentialsError> {
        // The lowest cost: the clear text stands in the scenario anyway.
        let hash = bcrypt::non_truncating_hash(password, 4).map_err(|_| CredentialsError::Password(name.to_owned()))?;
        Ok(Self::new(HashMap::from([(name.to_owned(), hash)])))
    }

    fn new(users: HashMap<String, String>) -> Self {
        let mut secret = [0; 32];
        rand::fill(&mut secret).expect("the system has randomness");
        Self(Arc::new(Inner { users, proven: Cache::new(256), key: hmac::Key::new(hmac::HMAC_SHA256, &secret) }))
    }

    /// Checks the value of `Proxy-Authorization`; hashing happens off the runtime's threads.
    pub(crate) async fn check(&self, header: Option<&str>) -> Proof {
        let Some(header) = header else { return Proof::Missing };
        let Some((name, password)) = basic(header) else { return Proof::Wrong };
        if self.is_right(&name, &password).await { Proof::Right } else { Proof::Wrong }
    }

    /// Checks a user name with its password; hashing happens off the runtime's threads.
    pub(crate) async fn is_right(&self, name: &str, password: &str) -> bool {
        let tag: [u8; 32] = {
            let given = format!("{}:{name}:{password}", name.len());
            let tag = hmac::sign(&self.0.key, given.as_bytes());
            tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
        };
        if self.0.proven.get(&tag).is_some() {
            return true;
        }
        // An unknown name costs as much as a wrong password, so that the time does not tell which it was.
        let known = self.0.users.get(name).cloned();
        let password = password.to_owned();
        let hash = known.clone().or_else(|| self.0.users.values().next().cloned()).unwrap_or_default();
        let verified = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false)).await;
        if known.is_some() && verified.unwrap_or(false) {
            self.0.proven.insert(tag, ());
            return true;
        }
        false
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({} users)", self.0.users.len())
    }
}

/// Name and password of a `Basic` header (RFC 7617).
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, rest) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> String {
        format!("basic {}", BASE64_STANDARD.encode(text))
    }

    #[tokio::test]
    async fn right_wrong_and_missing_are_told_apart() {
        let credentials = Credentials::one("ann", "s3:cret").unwrap();
        assert_eq!(credentials.check(None).await, Proof::Missing);
        for _ in 0..2 {
            assert_eq!(credentials.check(Some(&header("ann:s3:cret"))).await, Proof::Right);
            assert_eq!(credentials.check(Some(&header("ann:other"))).await, Proof::Wrong);
        }
        assert_eq!(credentials.check(Some(&header("bob:s3:cret"))).await, Proof::Wrong);
        assert_eq!(credentials.check(Some("Bearer x")).await, Proof::Wrong);
    }

    #[test]
    fn a_wrong_line_is_pointed_at() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        std::fs::write(&path, "# users\nann:{SHA}nonsense\n").unwrap();
        let error = Credentials::read(&path).unwrap_err().to_string();
        assert!(error.contains(":2:5: this is not a bcrypt hash"), "{error}");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(Credentials::read(&path), Err(CredentialsError::Empty(_))));
    }
}
