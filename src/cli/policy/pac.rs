//! `middlebox policy pac`: a PAC file out of a list.

use std::io::Write;

use super::super::error::CliError;
use super::super::exit;
use super::list::ListArgs;
use crate::net::Destination;
use crate::policy::{Dialect, generate_pac};

/// Make a PAC file: what is bypassed goes DIRECT, everything else to the proxy
///
/// A running `middlebox up` serves the one of its policy at /proxy.pac on its control address. A list of another product
/// is converted first: middlebox policy convert --to middlebox.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    list: ListArgs,

    /// The proxy that everything but a bypass goes to
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080", value_parser = Destination::parse)]
    proxy: Destination,
}

pub(super) fn run(args: &Args) -> Result<u8, CliError> {
    let list = args.list.listed()?;
    let name = list.name.clone();
    let reading = list.reading();
    if let Some(rejected) = reading.rejected.first() {
        let line = rejected.line.map(|line| format!(":{line}")).unwrap_or_default();
        let wrong = CliError::usage(format!("{name}{line}: `{}`: {}", rejected.text, rejected.reason));
        return Err(match &rejected.mend {
            Some(mend) => wrong.with_help(mend.to_string()),
            None => wrong,
        });
    }
    let pac = generate_pac(&reading.policy, &args.proxy).map_err(|error| {
        let help = format!("middlebox policy convert --from {} --to {}", reading.policy.dialect(), Dialect::MIDDLEBOX);
        CliError::usage(error.to_string()).with_help(help)
    })?;
    let mut out = std::io::stdout().lock();
    out.write_all(pac.text.as_bytes())?;
    out.flush()?;
    for left_out in &pac.left_out {
        tracing::warn!("{left_out}");
    }
    Ok(exit::AS_EXPECTED)
}
