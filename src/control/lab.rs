//! What stands above the control API, as far as it has to know.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use time::OffsetDateTime;

use super::wire::OriginStatus;
use crate::policy::OnChange;

/// The lab that a control API belongs to. Both questions are asked off the runtime's threads or are cheap, and are
/// answered without waiting for the network.
pub trait Lab: Send + Sync {
    /// Asks the policy in force again about every open connection, does what `on_change` says with those that it
    /// would now decide otherwise, and gives their number.
    fn reconsider(&self, on_change: OnChange) -> usize;

    /// How the lab stands.
    fn status(&self) -> LabStatus;
}

/// What a lab says of itself. What the policy and the journal know is not repeated here.
#[derive(Clone, Debug)]
pub struct LabStatus {
    /// Where clients reach the proxy.
    pub proxy: SocketAddr,
    /// Whether it accepts connections; false while it starts and while it drains.
    pub serving: bool,
    /// When it started.
    pub started: OffsetDateTime,
    /// The product whose certificates it imitates.
    pub profile: String,
    /// The hosts of the simulated internet, if there is one.
    pub origins: BTreeMap<String, OriginStatus>,
}
