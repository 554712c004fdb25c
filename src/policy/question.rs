//! One connection that somebody asks about before it happens.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::decision::{Sni, Subjects};
use crate::net::{Host, HostError, split_port};

/// A connection to ask about: the host as a client would type it, and what else is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// The host that the client asks the proxy for, with its case and its trailing dot; an IPv6 address stands
    /// without brackets.
    pub host: String,
    /// The port that it wants.
    pub port: u16,
    /// What its ClientHello names.
    pub sni: AskedSni,
    /// The address that the host has, for products that compare addresses.
    pub address: Option<IpAddr>,
    /// The names of the origin's certificate, the common name first; empty is a certificate for the host alone, for
    /// products that ask for it.
    pub certificate: Vec<String>,
    /// The client's own address.
    pub client: Option<IpAddr>,
}

/// What a ClientHello names, in a question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AskedSni {
    /// It has no server name.
    Absent,
    /// The host of the question, as nearly every client does; nothing where that is an address (RFC 6066, section 3).
    #[default]
    Host,
    /// Another name.
    Name(String),
}

/// A text is no host to ask about.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{typed}` {problem}{}", .mend.as_ref().map(|mend| format!("; {mend}")).unwrap_or_default())]
pub struct QuestionError {
    /// The text.
    pub typed: String,
    /// What it is instead, as a clause that follows it.
    pub problem: String,
    /// What to write.
    pub mend: Option<String>,
}

impl Question {
    /// A connection to port 443 that names its host in the ClientHello.
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: host.into(), port: 443, sni: AskedSni::Host, address: None, certificate: Vec::new(), client: None }
    }

    /// The same question about another port.
    #[must_use]
    pub fn to_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// What a policy is asked with.
    #[must_use]
    pub fn subjects(&self) -> Subjects<'_> {
        let sni = match &self.sni {
            AskedSni::Absent => Sni::Absent,
            AskedSni::Host if self.host.parse::<IpAddr>().is_ok() => Sni::Absent,
            AskedSni::Host => Sni::Name(&self.host),
            AskedSni::Name(name) => Sni::Name(name),
        };
        Subjects {
            connect_host: Some(&self.host),
            port: self.port,
            sni,
            address: self.address,
            certificate: Some(self.certificate.as_slice()).filter(|names| !names.is_empty()),
            client: self.client,
        }
    }
}

impl FromStr for Question {
    type Err = QuestionError;

    /// Reads `host`, `host:port`, `1.2.3.4`, `2001:db8::1` or `[2001:db8::1]:443`; without a port it is 443.
    fn from_str(text: &str) -> Result<Self, QuestionError> {
        let wrong = |problem: String, mend: Option<String>| QuestionError { typed: text.to_owned(), problem, mend };
        let (host, port) = match Host::parse(text) {
            Ok(_) => (text, 443),
            Err(error) => {
                let after_scheme = text.split_once("://").map(|(_, rest)| rest);
                let authority = after_scheme.unwrap_or(text);
                let end = authority.find(['/', '?', '#']).unwrap_or(authority.len());
                let host = authority[..end].rsplit('@').next().unwrap_or_default();
                if after_scheme.is_some() || end < authority.len() {
                    let what = if after_scheme.is_some() { "is a URL" } else { "has a path" };
                    let mend = host.parse::<Self>().ok().map(|_| format!("write the host alone: `{host}`"));
                    return Err(wrong(what.to_owned(), mend));
                }
                if text.contains('*') {
                    let mend = "write one of the hosts that it stands for, such as `acme.okta.com`";
                    return Err(wrong("is a pattern and no host".to_owned(), Some(mend.to_owned())));
                }
                let parts = split_port(text).filter(|(host, _)| Host::parse(host).is_ok());
                let Some(parts) = parts else {
                    let mend = "write `acme.okta.com`, `acme.okta.com:8443`, `192.0.2.1` or `[2001:db8::1]:443`";
                    return Err(wrong(format!("is no host: {}", problem(text, &error)), Some(mend.to_owned())));
                };
                parts
            }
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self::new(bare).to_port(port))
    }
}

/// A colon of which no port follows is the likelier mistake than a colon in a name.
fn problem(text: &str, error: &HostError) -> String {
    match error {
        HostError::Character(':') => match text.rsplit_once(':') {
            Some((_, port)) => format!("`{port}` is no port from 1 to 65535"),
            None => error.to_string(),
        },
        error => error.to_string(),
    }
}

impl FromStr for AskedSni {
    type Err = QuestionError;

    /// Reads a name, or `none` for a ClientHello without one.
    fn from_str(text: &str) -> Result<Self, QuestionError> {
        if text == "none" {
            return Ok(Self::Absent);
        }
        match Host::parse(text) {
            Ok(_) => Ok(Self::Name(text.to_owned())),
            Err(error) => Err(QuestionError {
                typed: text.to_owned(),
                problem: format!("is no server name: {error}"),
                mend: Some("write a name such as `acme.okta.com`, or `none` for a ClientHello without one".to_owned()),
            }),
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host.contains(':'), self.port) {
            (false, 443) => f.write_str(&self.host),
            (false, port) => write!(f, "{}:{port}", self.host),
            (true, port) => write!(f, "[{}]:{port}", self.host),
        }?;
        match &self.sni {
            AskedSni::Host => {}
            AskedSni::Absent => f.write_str(" without an SNI")?,
            AskedSni::Name(name) => write!(f, " with the SNI {name}")?,
        }
        self.client.map_or(Ok(()), |client| write!(f, " from {client}"))
    }
}

impl Serialize for AskedSni {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent => serializer.serialize_str("none"),
            Self::Host => serializer.serialize_none(),
            Self::Name(name) => serializer.serialize_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_keeps_its_spelling_and_may_have_a_port() {
        let read = |text: &str| text.parse::<Question>().map(|question| (question.host, question.port)).unwrap();
        assert_eq!(read("ACME.okta.com."), ("ACME.okta.com.".to_owned(), 443));
        assert_eq!(read("acme.okta.com:8443"), ("acme.okta.com".to_owned(), 8443));
        assert_eq!(read("192.0.2.1:80"), ("192.0.2.1".to_owned(), 80));
        for v6 in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443"] {
            assert_eq!(read(v6), ("2001:db8::1".to_owned(), 443), "{v6}");
        }
    }

    #[test]
    fn what_is_no_host_says_what_to_write() {
        let said = |text: &str| text.parse::<Question>().unwrap_err().to_string();
        assert_eq!(
            said("https://me@acme.okta.com:8443/login"),
            "`https://me@acme.okta.com:8443/login` is a URL; write the host alone: `acme.okta.com:8443`"
        );
        assert_eq!(said("acme.okta.com/"), "`acme.okta.com/` has a path; write the host alone: `acme.okta.com`");
        assert!(said("*.okta.com").starts_with("`*.okta.com` is a pattern and no host; write one of"));
        assert!(said("okta.com:0").contains("`0` is no port from 1 to 65535; write `acme.okta.com`"));
        assert!(said("").starts_with("`` is no host: the host is empty"));
        assert!("https://x y/".parse::<Question>().unwrap_err().mend.is_none());
    }

    #[test]
    fn an_address_is_named_in_no_hello() {
        let question = |text: &str| text.parse::<Question>().unwrap();
        assert_eq!(question("192.0.2.1").subjects().sni, Sni::Absent);
        assert_eq!(question("okta.com").subjects().sni, Sni::Name("okta.com"));
        assert_eq!("none".parse(), Ok(AskedSni::Absent));
        assert_eq!("a.example".parse(), Ok(AskedSni::Name("a.example".to_owned())));
        assert!("https://a".parse::<AskedSni>().is_err());
    }
}
