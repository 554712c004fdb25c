//! The ways out of a lab, as they are written on a command line: parent proxies and client certificates.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::{KeyLog, RootCertStore};
use thiserror::Error;

use crate::net::{Destination, ParentError, ParentTls, Routes, Way};
use crate::policy::{Dialect, Pattern, PatternError};
use crate::proxy::{ClientCert, ClientCertError};

/// One rule for the way out: `[PATTERN=]URL` or `[PATTERN=]direct` (`--parent`).
///
/// The pattern is one of the native dialect, compared with the host that the client asked for; without one the rule is
/// for every host. The first rule that matches counts, and where none does, hosts are reached directly. The URL is
/// `http://`, `https://` or `socks5://`, with `user:password@` where the parent asks for it.
///
/// ```
/// use middlebox::lab::ParentRule;
///
/// let rule: ParentRule = "*.corp.example=direct".parse()?;
/// assert_eq!(rule.to_string(), "*.corp.example=direct");
/// let rule: ParentRule = "http://ann:secret@proxy.example:3128".parse()?;
/// assert_eq!(rule.to_string(), "http://proxy.example:3128");
/// # Ok::<(), middlebox::lab::ParentRuleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentRule {
    /// The hosts that it is for; none is every one.
    pub pattern: Option<Pattern>,
    /// How they are reached.
    pub way: Way,
}

/// Why a text is no rule for the way out. It never repeats credentials.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParentRuleError {
    /// The pattern does not read.
    #[error("the pattern before `=`: {0}")]
    Pattern(#[from] PatternError),
    /// The parent does not.
    #[error(transparent)]
    Parent(#[from] ParentError),
}

impl FromStr for ParentRule {
    type Err = ParentRuleError;

    fn from_str(text: &str) -> Result<Self, ParentRuleError> {
        // A `=` behind `://` belongs to the credentials.
        match text.split_once('=') {
            Some((pattern, way)) if !pattern.contains("://") => {
                // The way first: where it is none, what was taken for a pattern may be a part of a password.
                let way = way.parse()?;
                Ok(Self { pattern: Some(Dialect::MIDDLEBOX.parse(pattern)?), way })
            }
            _ => Ok(Self { pattern: None, way: text.parse()? }),
        }
    }
}

impl std::fmt::Display for ParentRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.pattern {
            Some(pattern) => write!(f, "{pattern}={}", self.way),
            None => write!(f, "{}", self.way),
        }
    }
}

/// A certificate for origins that ask for one: `HOST=FILE`, or `HOST=CERTIFICATE,KEY` (`--client-cert`). The host is a
/// pattern of the native dialect; the files are PEM, the chain behind the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertRule {
    /// The hosts that it is for.
    pub pattern: Pattern,
    /// The file with the certificate.
    pub certificate: PathBuf,
    /// The file with its key, which may be the same.
    pub key: PathBuf,
}

/// Why a text is no rule for a client certificate.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ClientCertRuleError {
    /// A part is missing.
    #[error("write HOST=FILE, the file holding a certificate and its key in PEM, or HOST=CERTIFICATE,KEY")]
    Form,
    /// The host does not read.
    #[error("the host before `=`: {0}")]
    Pattern(#[from] PatternError),
}

impl FromStr for ClientCertRule {
    type Err = ClientCertRuleError;

    fn from_str(text: &str) -> Result<Self, ClientCertRuleError> {
        let (host, files) = text.split_once('=').ok_or(ClientCertRuleError::Form)?;
        let (certificate, key) = files.split_once(',').unwrap_or((files, files));
        if certificate.is_empty() || key.is_empty() {
            return Err(ClientCertRuleError::Form);
        }
        Ok(Self { pattern: Dialect::MIDDLEBOX.parse(host)?, certificate: certificate.into(), key: key.into() })
    }
}

impl ClientCertRule {
    /// Reads the files.
    ///
    /// # Errors
    /// As [`ClientCert::read`].
    pub(super) fn read(self) -> Result<ClientCert, ClientCertError> {
        ClientCert::read(self.pattern, Path::new(&self.certificate), Path::new(&self.key))
    }
}

/// The routes of these rules; none where there are none, which keeps dialling as cheap as it is.
pub(super) fn routes(
    rules: Vec<ParentRule>,
    roots: RootCertStore,
    system_roots: bool,
    keylog: Option<Arc<dyn KeyLog>>,
) -> Option<Routes> {
    if rules.is_empty() {
        return None;
    }
    let choose = move |destination: &Destination| {
        let applies = |rule: &&ParentRule| rule.pattern.as_ref().is_none_or(|pattern| pattern.covers(destination));
        rules.iter().find(applies).map_or(Way::Direct, |rule| rule.way.clone())
    };
    Some(Routes::new(choose, ParentTls::new(roots, system_roots, keylog)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_says_the_way() {
        let rules = ["*.corp.example=direct", ".example=socks5://s.test", "10.0.0.0/8=direct", "http://a:b=c@p.test:1"];
        let rules = rules.map(|rule| rule.parse::<ParentRule>().unwrap()).to_vec();
        let routes = routes(rules, RootCertStore::empty(), false, None).unwrap();
        let dialer = crate::net::Dialer::new(Arc::default(), std::time::Duration::from_secs(1)).with_routes(routes);
        let way = |text: &str| dialer.way(&text.parse().unwrap()).to_string();
        assert_eq!(way("a.corp.example:443"), "direct");
        assert_eq!(way("corp.example:443"), "socks5://s.test:1080");
        assert_eq!(way("10.1.2.3:443"), "direct");
        assert_eq!(way("other.test:443"), "http://p.test:1");
    }

    #[test]
    fn what_is_no_rule_says_why_without_a_secret() {
        let error = |text: &str| text.parse::<ParentRule>().unwrap_err().to_string();
        assert!(error("a b=direct").starts_with("the pattern before `=`: "));
        assert!(error("a.example=ftp://p.test").contains("not ftp://"));
        for text in ["ann:se=cret@p.test:3128", "http:/ann:se=cret@p.test", "se=cret://p.test"] {
            assert!(!error(text).contains("cret") && !error(text).contains("se="), "{}", error(text));
        }
        assert_eq!("a.example".parse::<ClientCertRule>(), Err(ClientCertRuleError::Form));
        assert_eq!("a.example=x,".parse::<ClientCertRule>(), Err(ClientCertRuleError::Form));
        let rule: ClientCertRule = "*.a.example=c.pem,k.pem".parse().unwrap();
        assert_eq!((rule.certificate, rule.key), (PathBuf::from("c.pem"), PathBuf::from("k.pem")));
    }
}
