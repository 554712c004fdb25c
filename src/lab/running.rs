//! A lab at work: its addresses, its records, and the switches that change it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::DropGuard;

use super::TrustFiles;
use super::control::{Overseen, RunningControl};
use super::pac::LabPac;
use crate::authority::Authority;
use crate::journal::{ConnectionRecord, Journal};
use crate::net::{Destination, Host};
use crate::policy::{Action, Applied, Change, ChangeError, OnChange, PolicyStore, RuleSpec, Selector};
use crate::proxy::{DecideAt, RunningProxy};
use crate::simulation::{Internet, ProxyAutoConfig, ProxySetting, Workstation};

/// A running middlebox. Dropping it stops accepting and watching; [`RunningLab::drain`] ends it in order.
#[derive(Debug)]
pub struct RunningLab {
    pub(super) address: SocketAddr,
    pub(super) other_addresses: Vec<SocketAddr>,
    pub(super) proxy: RunningProxy,
    pub(super) control: Option<RunningControl>,
    pub(super) overseen: Arc<Overseen>,
    pub(super) policy: Arc<PolicyStore>,
    pub(super) authority: Arc<Authority>,
    pub(super) journal: Journal,
    pub(super) internet: Option<Internet>,
    pub(super) files: TrustFiles,
    pub(super) on_change: OnChange,
    pub(super) grace: Duration,
    pub(super) started: Instant,
    /// Ends what watches, and what accepts, when the lab is dropped.
    pub(super) guards: [DropGuard; 2],
}

/// A change of the policy, and what it did.
#[derive(Clone, Debug)]
pub struct Toggled {
    /// The policy's answer; its epoch is in force.
    pub applied: Applied,
    /// The open connections that would now be decided otherwise, and are drained or ended for it.
    pub affected: Vec<u64>,
}

impl RunningLab {
    /// Where clients reach the proxy.
    #[must_use]
    pub fn proxy_address(&self) -> SocketAddr {
        self.address
    }

    /// The addresses of the transparent port and of the forwarded ones, in the order in which they were given.
    #[must_use]
    pub fn other_addresses(&self) -> &[SocketAddr] {
        &self.other_addresses
    }

    /// Where the control API is, if there is one.
    #[must_use]
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control.as_ref().map(|control| control.address)
    }

    /// The proxy, as what asks it about its open connections.
    #[must_use]
    pub fn proxy(&self) -> &RunningProxy {
        &self.proxy
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Arc<PolicyStore> {
        &self.policy
    }

    /// The CA and its forgeries.
    #[must_use]
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The simulated internet, if there is one.
    #[must_use]
    pub fn internet(&self) -> Option<&Internet> {
        self.internet.as_ref()
    }

    /// Files with the certificates that clients need.
    #[must_use]
    pub fn files(&self) -> &TrustFiles {
        &self.files
    }

    /// How long it has been running.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// What happens to open connections when nothing else is said with a change.
    #[must_use]
    pub fn on_change(&self) -> OnChange {
        self.on_change
    }

    /// Changes what happens to open connections from now on.
    pub fn set_on_change(&mut self, on_change: OnChange) {
        self.on_change = on_change;
    }

    /// Changes when the policy decides about a TLS connection, from now on.
    pub fn set_decide_at(&self, decide_at: DecideAt) {
        self.proxy.set_decide_at(decide_at);
    }

    /// The common name of the CA that signs forged certificates: what a client sees as their issuer.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.authority.ca().issuer_name()
    }

    /// Bypasses hosts from now on; the rule stands above all others.
    ///
    /// # Errors
    /// The pattern does not read.
    pub fn bypass(&self, pattern: &str) -> Result<Toggled, ChangeError> {
        self.change(Change::Add { rule: RuleSpec::new(pattern, Action::Bypass), at: None })
    }

    /// Removes the rules with this pattern or id.
    ///
    /// # Errors
    /// There is none.
    pub fn remove(&self, pattern: &str) -> Result<Toggled, ChangeError> {
        self.change(Change::Remove(Selector::new(pattern)))
    }

    /// Changes the policy; open connections are treated as the lab is set to.
    ///
    /// # Errors
    /// As [`PolicyStore::change`].
    pub fn change(&self, change: Change) -> Result<Toggled, ChangeError> {
        let applied = self.policy.change(change, None)?;
        let affected = if applied.changed { self.proxy.reconsider(self.on_change) } else { Vec::new() };
        if applied.changed {
            self.journal.policy_changed(applied.epoch);
        }
        Ok(Toggled { applied, affected })
    }

    /// A simulated workstation that trusts the public roots of the simulated internet and the inspection CA, and uses
    /// this proxy. The journal is told that it trusts the CA: the owner of a device knows.
    #[must_use]
    pub fn workstation(&self, name: &str) -> Workstation {
        let public = self.internet.iter().map(|internet| internet.root_der().clone()).collect();
        let mut workstation = Workstation::new(name, public);
        workstation.set_inspection_root(Some(self.authority.ca().root().clone()));
        workstation.set_proxy(ProxySetting::On(self.address));
        if let Some(internet) = &self.internet {
            workstation.set_overrides(internet.overrides());
        }
        self.journal.set_device_trust(name, Some(true));
        workstation
    }

    /// The PAC file for this proxy and its policy, for a workstation that is set to one.
    #[must_use]
    pub fn pac(&self) -> Arc<dyn ProxyAutoConfig> {
        let proxy = Destination::new(Host::Ip(self.address.ip()), self.address.port());
        let names = self.internet.as_ref().map(Internet::overrides).unwrap_or_default();
        Arc::new(LabPac::new(Arc::clone(&self.policy), proxy, Arc::new(names)))
    }

    /// The records of all connections that have ended, once those begun before this call have; waits for them at most
    /// ten seconds.
    pub async fn records(&self) -> Vec<Arc<ConnectionRecord>> {
        self.journal.settle(Duration::from_secs(10)).await;
        self.journal.records(false)
    }

    /// Stops: no new connections, running exchanges end within the grace period, the rest is cut. Says whether nothing
    /// had to be cut.
    pub async fn drain(self) -> bool {
        self.overseen.end();
        let in_order = self.proxy.drain(self.grace).await;
        // It answers until here, so that somebody can see what is still open.
        if let Some(control) = self.control {
            control.drain().await;
        }
        drop(self.guards);
        if let Some(internet) = self.internet {
            internet.shutdown().await;
        }
        in_order
    }
}
