//! `middlebox completions`: completions for shells.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::error::CliError;
use super::{Cli, exit};

/// Print completions for a shell
///
/// For Bash: `middlebox completions bash > ~/.local/share/bash-completion/completions/middlebox`. For Zsh: into a file
/// `_middlebox` in a folder of $fpath. For Fish: `~/.config/fish/completions/middlebox.fish`. For PowerShell: append it
/// to $PROFILE.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

pub(super) fn completions(args: &Args) -> Result<u8, CliError> {
    // Written into memory first, because the generator panics where a pipe is closed.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "middlebox", &mut text);
    let mut out = anstream::stdout().lock();
    out.write_all(&text)?;
    out.flush()?;
    Ok(exit::AS_EXPECTED)
}
