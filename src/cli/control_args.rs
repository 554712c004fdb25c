//! Which running middlebox a command is about.

use super::address::DEFAULT_CONTROL;
use super::error::CliError;
use super::token::TokenArgs;
use crate::control::ControlClient;

/// `--control` and the token that it may demand.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ControlArgs {
    /// The control address of the middlebox [default: http://127.0.0.1:8081]
    #[arg(long, value_name = "URL", env = "MIDDLEBOX_CONTROL", hide_env_values = true, help_heading = "Access")]
    control: Option<String>,

    #[command(flatten)]
    token: TokenArgs,
}

impl ControlArgs {
    /// A client of it; nothing is connected yet.
    pub(super) fn client(&self) -> Result<ControlClient, CliError> {
        let usual = format!("http://{DEFAULT_CONTROL}");
        let url = self.control.as_deref().filter(|url| !url.is_empty()).unwrap_or(&usual);
        Ok(ControlClient::new(url, self.token.token()?.as_deref())?)
    }
}
