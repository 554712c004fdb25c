//! Why a lab cannot be had, by blame: what the user gave, or what the machine has.

use thiserror::Error;

use crate::authority::{CaError, ProfileError};
use crate::control::ControlError;
use crate::policy::PolicyError;
use crate::proxy::{ClientCertError, ProxyError};
use crate::simulation::SimulationError;

/// A lab could not be built.
#[derive(Debug, Error)]
pub enum LabError {
    /// The profile is not known, or wrong.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The profile's product does not learn bypasses.
    #[error("the product of the profile `{0}` is not known to learn which hosts to bypass: leave --learn out")]
    LearnsNothing(String),
    /// The policy is wrong.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The inspection CA cannot be made or used.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The simulated internet does not start.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    /// The proxy does not start.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A client certificate is of no use.
    #[error(transparent)]
    ClientCert(#[from] ClientCertError),
    /// The control API does not start.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A file of CAs for origins or parents is of no use.
    #[error("the CA file {path} cannot be used: {reason}")]
    OriginCa {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A task ended early: the runtime is shutting down.
    #[error("the runtime stopped while the lab was built")]
    Stopped,
    /// A file that a lab writes cannot be written.
    #[error("cannot write {path}: {reason}")]
    Write {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
}

impl LabError {
    /// Whether the machine is at fault (a taken port, a full disk), and not what the user gave.
    #[must_use]
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Proxy(ProxyError::Bind(..))
            | Self::Control(ControlError::Bind(..))
            | Self::Stopped
            | Self::Write { .. } => true,
            Self::Simulation(error) => matches!(error, SimulationError::Listen(_) | SimulationError::Random),
            _ => false,
        }
    }
}
