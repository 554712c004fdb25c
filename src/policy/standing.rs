//! How well it is known what a product does.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// How well a reading is known, the best first.
///
/// A reading that is not [`Self::Established`] comes with what was assumed, so that nobody takes a guess for a fact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The product's documentation or source says so.
    #[default]
    Established,
    /// Seen in a published sample.
    Observed,
    /// Third parties say so.
    Secondary,
    /// It follows from what is documented.
    Inferred,
    /// Nothing that is known says so: test it on the appliance.
    NotEstablished,
}

impl Standing {
    /// The word for it in files and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::Inferred => "inferred",
            Self::NotEstablished => "not-established",
            Self::Observed => "observed",
            Self::Secondary => "secondary",
        }
    }

    /// What to tell a person who reads an answer of this standing; nothing where it is established.
    #[must_use]
    pub fn advice(self) -> Option<&'static str> {
        match self {
            Self::Established => None,
            Self::Inferred => Some("inferred from what is documented"),
            Self::NotEstablished => Some("not established: test it on your appliance"),
            Self::Observed => Some("observed, but not documented"),
            Self::Secondary => Some("from a secondary source"),
        }
    }
}

/// One thing that is not established, and what was assumed in its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Assumption {
    /// How well the answer that rests on it is known.
    pub standing: Standing,
    /// What was assumed, as a clause: "the fifth level counts".
    pub assumed: Cow<'static, str>,
}

impl Assumption {
    /// An assumption with its standing.
    pub fn new(standing: Standing, assumed: impl Into<Cow<'static, str>>) -> Self {
        Self { standing, assumed: assumed.into() }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Standing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for Assumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.standing.advice() {
            Some(advice) => write!(f, "{advice} (assumed: {})", self.assumed),
            None => f.write_str(&self.assumed),
        }
    }
}

impl Serialize for Assumption {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_comes_first_and_a_doubt_says_what_to_do() {
        assert!(Standing::Established < Standing::Secondary && Standing::Inferred < Standing::NotEstablished);
        let doubt = Assumption::new(Standing::NotEstablished, "the fifth level counts");
        assert_eq!(doubt.to_string(), "not established: test it on your appliance (assumed: the fifth level counts)");
        assert_eq!(serde_json::to_value(Standing::NotEstablished).unwrap(), "not-established");
    }
}
