//! `middlebox policy`: bypass lists, read as a product reads them, offline.

mod check;
mod convert;
mod diff;
mod explain;
mod impact;
mod list;
mod matrix;
mod pac;
mod text;

use super::error::CliError;

/// Work on bypass lists, read exactly as a product reads them; no appliance is needed
///
/// Where a product's reading is not established, the answer says so and what was assumed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Explain(explain::Args),
    Check(check::Args),
    Convert(convert::Args),
    Matrix(matrix::Args),
    Diff(diff::Args),
    Impact(impact::Args),
    Pac(pac::Args),
}

pub(super) fn policy(args: Args) -> Result<u8, CliError> {
    match args.command {
        Command::Explain(args) => explain::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Matrix(args) => matrix::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Impact(args) => impact::run(&args),
        Command::Pac(args) => pac::run(&args),
    }
}
