//! A lab for a test, in a few calls.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{LabConfig, LabError, ParentRule, RunningLab, acme};
use crate::net::Destination;
use crate::policy::{Action, OnChange, RuleSpec};
use crate::simulation::OriginSpec;

/// Says what differs from the plain lab: any free loopback port, a CA in memory, the `generic` profile, everything
/// inspected. Rules count in the order in which they are given.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it is started"]
pub struct LabBuilder {
    config: LabConfig,
}

impl LabBuilder {
    /// Adds a bypass rule.
    pub fn bypass(self, pattern: impl Into<String>) -> Self {
        self.rule(RuleSpec::new(pattern, Action::Bypass))
    }

    /// Adds an inspect rule.
    pub fn inspect(self, pattern: impl Into<String>) -> Self {
        self.rule(RuleSpec::new(pattern, Action::Inspect))
    }

    /// Adds a block rule.
    pub fn block(self, pattern: impl Into<String>) -> Self {
        self.rule(RuleSpec::new(pattern, Action::Block))
    }

    /// Adds a rule.
    pub fn rule(mut self, rule: RuleSpec) -> Self {
        self.config.policy.command_line.push(rule);
        self
    }

    /// What is done with hosts that no rule matches.
    pub fn default_action(mut self, action: Action) -> Self {
        self.config.policy.default = Some(action);
        self
    }

    /// Reads further rules from a policy file, and watches it.
    pub fn policy_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.policy.file = Some(path.into());
        self
    }

    /// Forges as this product does.
    pub fn profile(mut self, name_or_path: impl Into<String>) -> Self {
        self.config.profile = name_or_path.into();
        self
    }

    /// Listens on this address.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.config.listen = address;
        self
    }

    /// Takes connections on this address that the kernel redirects there (Linux). [`RunningLab::other_addresses`] has
    /// it first.
    pub fn transparent(mut self, address: SocketAddr) -> Self {
        self.config.transparent = Some(address);
        self
    }

    /// Takes connections on this address that all go to one place, for clients that know no proxy.
    /// [`RunningLab::other_addresses`] has these behind the transparent one.
    pub fn forward(mut self, address: SocketAddr, destination: Destination) -> Self {
        self.config.forward.push((address, destination));
        self
    }

    /// Adds origins of a simulated internet. Only they are trusted then, so that a test never reaches the real one.
    pub fn simulate(mut self, origins: impl IntoIterator<Item = OriginSpec>) -> Self {
        self.config.simulate.extend(origins);
        self.config.system_roots = false;
        self
    }

    /// Adds the simulated organization `acme.okta.com` with its other hosts.
    pub fn simulate_acme(self) -> Self {
        self.simulate(acme())
    }

    /// What happens to open connections when a rule changes.
    pub fn on_change(mut self, on_change: OnChange) -> Self {
        self.config.on_change = on_change;
        self
    }

    /// Adds a rule for the way out, below those that are there.
    pub fn parent(mut self, rule: ParentRule) -> Self {
        self.config.parents.push(rule);
        self
    }

    /// Trusts these CAs for origins in addition (a PEM file).
    pub fn origin_ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.origin_ca.push(path.into());
        self
    }

    /// The configuration, for what has no method here.
    pub fn config(mut self, change: impl FnOnce(&mut LabConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Builds the lab and begins to serve.
    ///
    /// # Errors
    /// As [`LabConfig::build`].
    pub async fn start(self) -> Result<RunningLab, LabError> {
        Ok(self.config.build().await?.spawn())
    }
}
