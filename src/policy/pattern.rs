//! Patterns, compiled: what a rule is compared with, whatever dialect it was written in.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use arcstr::Substr;
use serde::Serialize;
use thiserror::Error;

use super::dialects::Dialect;
use super::matcher::Matcher;
use super::standing::{Assumption, Standing};
use crate::net::{Destination, Host};

/// A pattern that a dialect has read once and that is compared many times. A list may have a million of them, so that
/// what is in its file already is not copied out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pub(super) text: Substr,
    pub(super) matcher: Matcher,
    pub(super) ports: PatternPorts,
    pub(super) remarks: Option<Arc<Remarks>>,
}

/// The ports that a pattern is bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum PatternPorts {
    #[default]
    Any,
    One(u16),
    /// 80 and 443.
    Web,
}

/// What few patterns have, kept apart so that the others stay small.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remarks {
    pub(super) doubts: Box<[Doubt]>,
    /// The dialect that has warnings about it. It says them anew when asked: they name the pattern, so that a million
    /// of them would be a million texts.
    pub(super) warned_of_by: Option<Dialect>,
    /// What it matches is not bypassed, whatever comes after it.
    pub(super) subtracts: bool,
}

/// A set of subjects for which it is not established whether the pattern covers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    pub(super) covers: Covers,
    pub(super) side: Side,
    pub(super) assumption: Assumption,
}

impl Doubt {
    /// Whether a rule may match what it does not seem to. Any other doubt is met where the rule itself is.
    pub(super) fn is_about_misses(&self) -> bool {
        self.side != Side::Match
    }

    pub(super) fn is_about_every_host(&self) -> bool {
        matches!(self.covers, Covers::Of(Matcher::Any))
    }
}

/// What a doubt is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Covers {
    /// The names that have so many labels in front of the name of the pattern's own shape; 0 is the name itself. As
    /// no name is said, all patterns of one form have the same doubt, and share it.
    Depths { fewest: u8, most: u8 },
    /// What has this shape.
    Of(Matcher),
}

impl From<Matcher> for Covers {
    fn from(matcher: Matcher) -> Self {
        Self::Of(matcher)
    }
}

/// Which answer is doubtful.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Both,
    Match,
    Miss,
}

impl Side {
    pub(super) fn is_about(self, matches: bool) -> bool {
        match self {
            Self::Both => true,
            Self::Match => matches,
            Self::Miss => !matches,
        }
    }
}

/// A pattern that its product takes, and that does not do what it seems to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatternWarning {
    /// The bytes of the pattern that it is about.
    pub span: Range<usize>,
    /// What is the matter.
    pub text: Cow<'static, str>,
    /// What to write instead.
    pub mend: Option<String>,
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
    /// How well it is known that the product refuses it.
    pub standing: Standing,
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
    /// Not an expression, or one that cannot be said here.
    #[error("{0}")]
    Expression(String),
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
    /// The product refuses it, for this reason.
    #[error("{0}")]
    Refused(Cow<'static, str>),
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
        match self.ports {
            PatternPorts::One(port) => Some(port),
            PatternPorts::Any | PatternPorts::Web => None,
        }
    }

    /// What its product takes without a word, and does not do.
    #[must_use]
    pub fn warnings(&self) -> Vec<PatternWarning> {
        let dialect = self.remarks.as_ref().and_then(|remarks| remarks.warned_of_by);
        dialect.map(|dialect| dialect.warnings(&self.text)).unwrap_or_default()
    }

    pub(super) fn doubts(&self) -> &[Doubt] {
        self.remarks.as_ref().map_or(&[], |remarks| &remarks.doubts)
    }

    /// What one of its doubts is about.
    pub(super) fn covered_by(&self, doubt: &Doubt) -> Matcher {
        match (&doubt.covers, self.matcher.name()) {
            (Covers::Of(matcher), _) => matcher.clone(),
            (Covers::Depths { fewest, most }, Some(name)) => {
                Matcher::Deeper { name: name.clone(), fewest: *fewest, most: *most }
            }
            (Covers::Depths { .. }, None) => Matcher::Any,
        }
    }

    pub(super) fn subtracts(&self) -> bool {
        self.remarks.as_ref().is_some_and(|remarks| remarks.subtracts)
    }

    /// The one spelling in which all patterns that mean the same are equal.
    #[must_use]
    pub fn canonical(&self) -> String {
        let host = self.matcher.to_string();
        match self.port() {
            Some(port) if host.contains(':') => format!("[{host}]:{port}"),
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }

    /// Whether it covers a name that its dialect has normalised; the port is not looked at.
    #[must_use]
    pub fn matches_name(&self, name: &str) -> bool {
        self.matcher.matches_name(name)
    }

    /// Whether it covers an address; the port is not looked at.
    #[must_use]
    pub fn matches_address(&self, address: IpAddr) -> bool {
        self.matcher.matches_address(address)
    }

    /// Whether it covers a destination, by its host as it is written and its port.
    #[must_use]
    pub fn covers(&self, destination: &Destination) -> bool {
        let host = match &destination.host {
            Host::Name(name) => self.matches_name(name),
            Host::Ip(address) => self.matches_address(address.to_canonical()),
        };
        host && self.port().is_none_or(|port| port == destination.port)
    }
}

impl PatternPorts {
    pub(super) fn contain(self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::One(own) => own == port,
            Self::Web => matches!(port, 80 | 443),
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
