//! The token of the control API. It is a secret, so no flag takes it as it is: command lines can be seen by others.

use std::path::PathBuf;

use super::error::CliError;
use crate::source::Document;

/// The variable with the token.
const VARIABLE: &str = "MIDDLEBOX_TOKEN";

/// `--control-token-file`, of the server and of its clients.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TokenArgs {
    /// The control API demands the token in this file; or give it in the variable MIDDLEBOX_TOKEN
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    control_token_file: Option<PathBuf>,
}

impl TokenArgs {
    /// The token of the file, else of the variable.
    pub(super) fn token(&self) -> Result<Option<String>, CliError> {
        let text = match &self.control_token_file {
            Some(path) => Some(Document::read(path)?.text().trim().to_owned()),
            None => std::env::var(VARIABLE).ok(),
        };
        match (text.filter(|token| !token.is_empty()), &self.control_token_file) {
            (None, Some(path)) => {
                let help = "write a token into it, such as `openssl rand -hex 16` prints";
                Err(CliError::usage(format!("{} is empty", path.display())).with_help(help))
            }
            (token, _) => Ok(token),
        }
    }
}
