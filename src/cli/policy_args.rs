//! The flags that say what is done with which hosts.

use std::path::PathBuf;

use super::rule_args::RuleArgs;
use super::words::words;
use crate::policy::{Action, Dialect, PolicyConfig};

/// Dialect, default action, rules and policy file; nothing is read yet.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PolicyArgs {
    /// What is done with hosts that no rule matches [default: as the dialect's product does]
    #[arg(long, value_name = "ACTION", value_parser = words::<Action>(["inspect", "bypass", "block"]), help_heading = "Policy")]
    default: Option<Action>,

    #[command(flatten)]
    rules: RuleArgs,

    /// Read further rules from this file, and again whenever it changes
    ///
    /// A change that does not read is reported, and the running policy stays.
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    policy: Option<PathBuf>,

    /// Read patterns as this product does [default: what the policy file says, else middlebox]
    #[arg(long, value_name = "NAME", value_parser = words::<Dialect>(Dialect::all().map(Dialect::name)), help_heading = "Policy")]
    dialect: Option<Dialect>,
}

impl PolicyArgs {
    pub(super) fn config(&self) -> PolicyConfig {
        PolicyConfig {
            dialect: self.dialect,
            default: self.default,
            command_line: self.rules.rules.clone(),
            file: self.policy.clone(),
        }
    }
}
