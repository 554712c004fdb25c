//! Patterns, compiled: what a rule is compared with, whatever dialect it was written in.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use thiserror::Error;

use super::condition::Network;
use crate::net::{Destination, Host};

/// A pattern that a dialect has read once and that is compared many times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pub(super) text: Arc<str>,
    pub(super) matcher: Matcher,
    pub(super) port: Option<u16>,
}

/// The shapes that patterns compile to. Each is one lookup in the index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Matcher {
    /// Every host.
    Any,
    /// This name alone.
    Exact(Arc<str>),
    /// Every name below this one, at any depth.
    Below(Arc<str>),
    /// This name and every name below it.
    Within(Arc<str>),
    /// Addresses.
    Network(Network),
}

/// Why a text is not a pattern of the dialect, and where.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct PatternError {
    /// The pattern as written.
    pub pattern: String,
    /// The offending bytes of the pattern.
    pub span: Range<usize>,
    /// What is wrong.
    pub problem: PatternProblem,
    /// What to write instead.
    pub mend: Option<String>,
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternProblem {
    /// Neither a complete IPv4 nor a complete IPv6 address.
    #[error("this is not a complete IP address")]
    Address,
    /// A character that no host name has.
    #[error("`{0}` cannot stand in a host name")]
    Character(char),
    /// Nothing was written.
    #[error("the pattern is empty")]
    Empty,
    /// A range with bits set after its prefix.
    #[error("the address has bits set after its prefix")]
    HostBits,
    /// The Unicode form has no ASCII form (RFC 5891).
    #[error("the name has no valid ASCII (punycode) form")]
    Idna,
    /// A label is empty or over 63 octets (RFC 1035, 2.3.4).
    #[error("each label of a host name has 1 to 63 characters")]
    Label,
    /// The whole name is over 253 characters.
    #[error("a host name has at most 253 characters")]
    Length,
    /// A path or a query follows the host.
    #[error("a pattern has no path")]
    Path,
    /// The port is not a number from 1 to 65535.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// The prefix length of a range is not one.
    #[error("the prefix length is not a number from 0 to {0}")]
    Prefix(u8),
    /// A blank.
    #[error("a pattern has no blanks")]
    Space,
    /// A whole URL.
    #[error("this is a URL")]
    Url,
    /// A `*` elsewhere than alone before the first dot.
    #[error("a wildcard stands alone before a dot")]
    Wildcard,
}

impl Pattern {
    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The port that it is bound to.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The one spelling in which all patterns that mean the same are equal.
    #[must_use]
    pub fn canonical(&self) -> String {
        let host = self.matcher.to_string();
        match self.port {
            Some(port) if host.contains(':') => format!("[{host}]:{port}"),
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }

    /// Whether it covers a name that its dialect has normalised; the port is not looked at.
    #[must_use]
    pub fn matches_name(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Any => true,
            Matcher::Exact(host) => **host == *name,
            Matcher::Below(host) => is_below(name, host),
            Matcher::Within(host) => **host == *name || is_below(name, host),
            Matcher::Network(_) => false,
        }
    }

    /// Whether it covers an address; the port is not looked at.
    #[must_use]
    pub fn matches_address(&self, address: IpAddr) -> bool {
        match &self.matcher {
            Matcher::Any => true,
            Matcher::Network(network) => network.contains(address),
            Matcher::Exact(_) | Matcher::Below(_) | Matcher::Within(_) => false,
        }
    }

    /// Whether it covers a destination, by its host as it is written and its port.
    #[must_use]
    pub fn covers(&self, destination: &Destination) -> bool {
        let host = match &destination.host {
            Host::Name(name) => self.matches_name(name),
            Host::Ip(address) => self.matches_address(address.to_canonical()),
        };
        host && self.port.is_none_or(|port| port == destination.port)
    }

    /// How narrow it is: one host before a suffix, a long suffix before a short one, everything last.
    pub(super) fn specificity(&self) -> usize {
        let labels = |host: &str| host.split('.').count();
        match &self.matcher {
            Matcher::Any => 0,
            Matcher::Within(host) => 2 * labels(host),
            Matcher::Below(host) => 2 * labels(host) + 1,
            Matcher::Network(network) => 1 + usize::from(network.net().prefix_len()),
            Matcher::Exact(_) => usize::MAX,
        }
    }
}

fn is_below(name: &str, host: &str) -> bool {
    name.strip_suffix(host).is_some_and(|rest| rest.ends_with('.'))
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(host) => f.write_str(host),
            Self::Below(host) => write!(f, "*.{host}"),
            Self::Within(host) => write!(f, ".{host}"),
            Self::Network(network) => write!(f, "{network}"),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.pattern, self.problem)?;
        match &self.mend {
            Some(mend) => write!(f, "; {mend}"),
            None => Ok(()),
        }
    }
}
