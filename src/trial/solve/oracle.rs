//! What the search asks, and what it is told: one run of the command, with some of its hosts left uninspected.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::journal::{DecisionKind, Diagnosis, Outcome};
use crate::net::Host;
use crate::policy::Dialect;

/// Runs the command and says how it went.
pub trait Oracle {
    /// Why a run could not be made at all.
    type Error;

    /// Runs the command once, from a fresh start.
    ///
    /// # Errors
    /// The run could not be made: nothing is known of the command then.
    fn run(&mut self, bypass: &Bypass) -> impl Future<Output = Result<RunOutcome, Self::Error>> + Send;
}

/// What a run leaves uninspected; everything else is inspected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bypass {
    /// Nothing.
    Nothing,
    /// These, and no other.
    Only(BTreeSet<Exclusion>),
    /// What a product with these entries leaves uninspected.
    List {
        /// How the product reads them.
        dialect: Dialect,
        /// Its entries.
        entries: Vec<String>,
    },
    /// Everything.
    Everything,
}

/// One host, or all names below one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exclusion {
    /// This host.
    Host(Host),
    /// Every name below this one, at any depth.
    Below(Arc<str>),
}

/// How a run went.
#[derive(Clone, Debug, Default)]
pub struct RunOutcome {
    /// Whether the command did what it should.
    pub worked: bool,
    /// How it ended, in words: `exit 0`.
    pub ended: String,
    /// The last lines that it said.
    pub said: Vec<String>,
    /// Its connections, in the order in which they were opened.
    pub contacts: Vec<Contact>,
}

/// One connection of the command.
#[derive(Clone, Debug)]
pub struct Contact {
    /// The host: the server name of the hello, else the destination.
    pub host: Host,
    /// The destination, where the hello names another host: a bypass has to cover both.
    pub destination: Option<Host>,
    /// What was done with it; none where it ended before that.
    pub decision: Option<DecisionKind>,
    /// How it turned out.
    pub outcome: Outcome,
    /// Why the client refused, if it did.
    pub diagnosis: Option<Diagnosis>,
}

impl Exclusion {
    /// Whether it covers a host.
    #[must_use]
    pub fn covers(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Host(own), host) => own == host,
            (Self::Below(base), Host::Name(name)) => {
                name.strip_suffix(&**base).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            (Self::Below(_), Host::Ip(_)) => false,
        }
    }
}

impl Contact {
    /// Whether the client refused the forged certificate.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.outcome == Outcome::Refused
    }

    /// Whether it was inspected.
    #[must_use]
    pub fn is_inspected(&self) -> bool {
        self.decision == Some(DecisionKind::Inspect)
    }

    /// Whether it was inspected, or would have been had no rule bypassed it.
    #[must_use]
    pub fn can_be_inspected(&self) -> bool {
        !matches!(self.decision, Some(DecisionKind::Plain | DecisionKind::Block))
    }

    /// The names that a bypass has to cover.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        [&self.host].into_iter().chain(&self.destination)
    }
}

/// As a pattern of the native dialect.
impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => f.pad(&host.to_string()),
            Self::Below(base) => f.pad(&format!("*.{base}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_is_any_depth_and_not_the_name_itself() {
        let below = Exclusion::Below("okta.com".into());
        let covers = |host: &str| below.covers(&Host::parse(host).unwrap());
        assert!(covers("acme.okta.com") && covers("acme.mtls.okta.com"));
        assert!(!covers("okta.com") && !covers("notokta.com") && !covers("10.0.0.1"));
        assert_eq!(below.to_string(), "*.okta.com");
    }
}
