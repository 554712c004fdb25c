//! What can go wrong between a program on the workstation and the origin it wants.

use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

use super::trust::Refusal;
use crate::net::{Destination, DialError, Host};

/// Why a call of a program on the workstation got no answer from the origin.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Fault {
    /// The program refused the certificate that it was shown.
    #[error("{0}")]
    Refused(Refusal),
    /// The name has no address. With a proxy the proxy resolves, and this cannot happen.
    #[error("the name {host} could not be resolved; check the name, or switch the proxy on")]
    NameNotResolved {
        /// The name.
        host: Host,
    },
    /// The origin, dialled without a proxy, does not answer.
    #[error("{destination} cannot be reached without a proxy: {reason}")]
    Unreachable {
        /// Where.
        destination: Destination,
        /// What the network said.
        reason: String,
    },
    /// The proxy does not answer.
    #[error("the proxy {proxy} cannot be reached: {reason}; is it running?")]
    ProxyUnreachable {
        /// Where.
        proxy: String,
        /// What the network said.
        reason: String,
    },
    /// The proxy demands credentials (407, RFC 9110, 15.5.8): there are none, or it did not accept them.
    #[error("the proxy demands credentials (407){}", if *.tried { " and did not accept these" } else { "; set them" })]
    ProxyAuthentication {
        /// Whether credentials were sent.
        tried: bool,
    },
    /// The proxy answered in place of the origin: 403 for a block, 502 or 504 where it did not reach the origin.
    #[error("the proxy answered {}", .0.status)]
    Proxy(ProxyAnswer),
    /// The other side ended the TLS handshake.
    #[error("the TLS handshake failed: {reason}")]
    Handshake {
        /// What happened.
        reason: String,
    },
    /// The connection broke after the handshake.
    #[error("the connection was cut: {reason}")]
    Cut {
        /// What happened.
        reason: String,
    },
    /// What came back is not HTTP, or what was asked for cannot be said in HTTP.
    #[error("the exchange is not HTTP: {reason}")]
    Protocol {
        /// What is wrong.
        reason: String,
    },
    /// No answer within the time limit.
    #[error("no answer within {seconds} seconds")]
    TimedOut {
        /// The limit, rounded up.
        seconds: u64,
    },
}

/// What a proxy said in place of the origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProxyAnswer {
    /// The status code.
    pub status: u16,
    /// The field `Proxy-Status` (RFC 9209).
    pub proxy_status: Option<String>,
    /// The body as text, at most 64 KiB.
    pub body: String,
}

impl Fault {
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(super) fn cut(reason: impl ToString) -> Self {
        Self::Cut { reason: reason.to_string() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(super) fn protocol(reason: impl ToString) -> Self {
        Self::Protocol { reason: reason.to_string() }
    }

    pub(super) fn timed_out(limit: Duration) -> Self {
        Self::TimedOut { seconds: limit.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX) }
    }

    pub(super) fn of_dial(error: DialError, destination: &Destination) -> Self {
        match error {
            DialError::Resolve(host) => Self::NameNotResolved { host },
            other => Self::Unreachable { destination: destination.clone(), reason: other.to_string() },
        }
    }
}
