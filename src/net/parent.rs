//! Parent proxies: the way out where there is another proxy behind this one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use thiserror::Error;

use super::{Destination, Host, HostError};

/// How destinations are reached: straight away, or through a [`Parent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A connection to the destination itself.
    Direct,
    /// Through another proxy.
    Parent(Arc<Parent>),
}

/// A proxy that connects to destinations for this one. It resolves their names itself.
///
/// Its credentials are for it alone: neither `Display` nor `Debug` shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct Parent {
    kind: ParentKind,
    at: Destination,
    login: Option<Login>,
}

/// How a parent is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentKind {
    /// HTTP/1.1: `CONNECT` (RFC 9110, 9.3.6), and plain requests in absolute form (RFC 9112, 3.2.2).
    Http,
    /// The same inside TLS, the parent's certificate verified.
    Https,
    /// SOCKS 5 (RFC 1928), names resolved by the parent (what curl calls `socks5h`).
    Socks5,
}

#[derive(Clone, PartialEq, Eq)]
struct Login {
    user: String,
    password: String,
}

/// Why a text is not a parent proxy. It never repeats the credentials in the text.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParentError {
    /// There is no `://`.
    #[error("write `http://HOST:PORT`, `https://HOST:PORT`, `socks5://HOST:PORT` or `direct`")]
    Form,
    /// A scheme that is no kind of proxy here.
    #[error("a parent proxy is http://, https:// or socks5://, not {0}://")]
    Scheme(String),
    /// The host or the port is wrong.
    #[error("the parent's address: {0}")]
    Address(#[from] HostError),
    /// Something stands behind the port.
    #[error(
        "nothing follows the port of a parent proxy; in its user name and password `/`, `?` and `#` are written \
         `%2F`, `%3F` and `%23`"
    )]
    Path,
    /// A percent sign without two hexadecimal digits, or bytes that are no UTF-8.
    #[error("the parent's credentials: `%` is followed by two hexadecimal digits, and is itself written `%25`")]
    Escape,
    /// A user name that HTTP's Basic scheme cannot carry (RFC 7617, section 2).
    #[error("the parent's user name is not empty and holds no `:`")]
    User,
    /// A user name or password that SOCKS 5 cannot carry (RFC 1929, section 2).
    #[error("with SOCKS 5 the user name and the password have 1 to 255 bytes each")]
    Length,
}

impl Parent {
    /// How it is spoken to.
    #[must_use]
    pub fn kind(&self) -> ParentKind {
        self.kind
    }

    /// Where it is.
    #[must_use]
    pub fn at(&self) -> &Destination {
        &self.at
    }

    /// Whether it is given credentials.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.login.is_some()
    }

    /// The value of `Proxy-Authorization` (RFC 7617), where there are credentials. A secret.
    #[must_use]
    pub fn authorization(&self) -> Option<String> {
        let login = self.login.as_ref()?;
        Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", login.user, login.password))))
    }

    /// User name and password, where there are any.
    pub(super) fn login(&self) -> Option<(&str, &str)> {
        self.login.as_ref().map(|login| (login.user.as_str(), login.password.as_str()))
    }
}

impl FromStr for Parent {
    type Err = ParentError;

    /// Reads `scheme://[user:password@]host[:port]`. Without a port it is 80, 443 or 1080 by the scheme; what user and
    /// password cannot hold is percent-encoded.
    fn from_str(text: &str) -> Result<Self, ParentError> {
        let (scheme, rest) = text.split_once("://").ok_or(ParentError::Form)?;
        let (kind, port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (ParentKind::Http, 80),
            "https" => (ParentKind::Https, 443),
            "socks5" | "socks5h" => (ParentKind::Socks5, 1080),
            known @ ("ftp" | "socks" | "socks4" | "socks4a" | "tcp" | "tls" | "ws" | "wss") => {
                return Err(ParentError::Scheme(known.to_owned()));
            }
            // Not repeated: it could be a part of a password.
            _ => return Err(ParentError::Form),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(ParentError::Path);
        }
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => (Some(Login::parse(login)?), address),
            None => (None, rest),
        };
        if kind == ParentKind::Socks5
            && let Some(login) = &login
            && [&login.user, &login.password].into_iter().any(|text| !(1..=255).contains(&text.len()))
        {
            return Err(ParentError::Length);
        }
        Ok(Self { kind, at: Destination::parse_or(address, port)?, login })
    }
}

impl Login {
    fn parse(text: &str) -> Result<Self, ParentError> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let login = Self { user: unescape(user)?, password: unescape(password)? };
        if login.user.is_empty() || login.user.contains(':') {
            return Err(ParentError::User);
        }
        Ok(login)
    }
}

/// Percent-decoding (RFC 3986, 2.1).
fn unescape(text: &str) -> Result<String, ParentError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(ParentError::Escape) };
        bytes.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte"));
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| ParentError::Escape)
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ParentKind::Http => "http",
            ParentKind::Https => "https",
            ParentKind::Socks5 => "socks5",
        };
        write!(f, "{scheme}://{}", self.at)
    }
}

impl fmt::Debug for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parent({self})")
    }
}

impl FromStr for Way {
    type Err = ParentError;

    /// Reads `direct`, or a [`Parent`].
    fn from_str(text: &str) -> Result<Self, ParentError> {
        match text {
            "direct" => Ok(Self::Direct),
            parent => parent.parse().map(|parent| Self::Parent(Arc::new(parent))),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("direct"),
            Self::Parent(parent) => write!(f, "{parent}"),
        }
    }
}

impl serde::Serialize for Way {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The bytes of a SOCKS 5 address (RFC 1928, section 5), port included.
pub(super) fn socks_address(destination: &Destination) -> Vec<u8> {
    let mut bytes = match &destination.host {
        Host::Ip(std::net::IpAddr::V4(ip)) => [&[1][..], &ip.octets()].concat(),
        Host::Ip(std::net::IpAddr::V6(ip)) => [&[4][..], &ip.octets()].concat(),
        Host::Name(name) => {
            let length = u8::try_from(name.len()).expect("a host name has at most 253 characters");
            [&[3, length][..], name.as_bytes()].concat()
        }
    };
    bytes.extend_from_slice(&destination.port.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(text: &str) -> Result<Parent, ParentError> {
        text.parse()
    }

    #[test]
    fn reads_each_kind_with_its_port() {
        let shown = |text: &str| parent(text).unwrap().to_string();
        assert_eq!(shown("http://proxy.example:3128"), "http://proxy.example:3128");
        assert_eq!(shown("HTTPS://proxy.example/"), "https://proxy.example:443");
        assert_eq!(shown("socks5h://[::1]"), "socks5://[::1]:1080");
        assert_eq!("direct".parse::<Way>().unwrap().to_string(), "direct");
    }

    #[test]
    fn credentials_are_read_and_never_shown() {
        let parent = parent("http://ann:p%40ss:w%2Frd@proxy.example:3128").unwrap();
        assert_eq!(parent.login(), Some(("ann", "p@ss:w/rd")));
        assert_eq!(parent.authorization().unwrap(), format!("Basic {}", BASE64_STANDARD.encode("ann:p@ss:w/rd")));
        for shown in [parent.to_string(), format!("{parent:?}"), format!("{:?}", Way::Parent(Arc::new(parent)))] {
            assert!(!shown.contains("ann") && !shown.contains("p@ss"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_parent_says_why_without_its_password() {
        assert_eq!(parent("proxy.example:3128"), Err(ParentError::Form));
        assert_eq!(parent("socks4://proxy.example"), Err(ParentError::Scheme("socks4".into())));
        assert_eq!(parent("http://proxy.example:0"), Err(ParentError::Address(HostError::Port)));
        assert_eq!(parent("http://ann:a/secret@proxy.example"), Err(ParentError::Path));
        assert_eq!(parent("http://ann:100%@proxy.example"), Err(ParentError::Escape));
        assert_eq!(parent("http://:secret@proxy.example"), Err(ParentError::User));
        assert_eq!(parent("socks5://ann@proxy.example"), Err(ParentError::Length));
        let error = parent("secret:word@x://proxy.example").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
