//! The flags of the commands that run a command behind a lab.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::error::CliError;
use super::forging_args::ForgingArgs;
use super::origin_args::OriginArgs;
use crate::child::{Kind, VARIABLES};
use crate::lab::{CaSource, LabConfig};
use crate::trial::{PINS, PLACEHOLDERS, Trial, Trust};

/// Everything about a trial but its policy.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TrialArgs {
    /// What the command is told to trust
    #[arg(long, value_enum, value_name = "WHAT", default_value_t, help_heading = "Command")]
    trust: TrustArg,

    /// Hosts that the command is told to reach without the proxy, separated by commas; empty for none
    #[arg(long, value_name = "HOSTS", default_value = "localhost,127.0.0.1,::1", help_heading = "Command")]
    no_proxy: String,

    /// End the command, and all that it started, after this time
    #[arg(long, value_name = "DURATION", value_parser = time_limit, help_heading = "Command")]
    timeout: Option<Duration>,

    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    #[command(flatten)]
    forging: ForgingArgs,

    #[command(flatten)]
    origins: OriginArgs,

    /// Append the TLS secrets of both legs to this file, for Wireshark
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    keylog: Option<PathBuf>,
}

/// What a command is told to trust.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum TrustArg {
    /// The inspection CA beside the system's and the simulated internet's, in the variables that its runtime reads.
    #[default]
    Env,
    /// Nothing: it trusts what it trusts anyway.
    None,
}

impl TrialArgs {
    /// The trial; its output is captured, and everything is inspected.
    pub(super) fn trial(&self) -> Result<Trial, CliError> {
        let mut lab = LabConfig {
            ca: self.forging.own_ca().unwrap_or(CaSource::Memory),
            keylog: self.keylog.clone(),
            ..LabConfig::default()
        };
        self.forging.apply(&mut lab);
        self.origins.apply(&mut lab)?;
        Ok(Trial {
            lab,
            trust: match self.trust {
                TrustArg::Env => Trust::Env,
                TrustArg::None => Trust::None,
            },
            no_proxy: Some(self.no_proxy.clone()).filter(|hosts| !hosts.trim().is_empty()),
            time_limit: self.timeout,
            ..Trial::new(&self.command)
        })
    }
}

/// What a command is told, variable by variable, and what its words may hold.
pub(super) fn surroundings_help() -> String {
    let mut text = "Placeholders in COMMAND and its arguments; other braces stay as they are:\n".to_owned();
    for (placeholder, meaning) in PLACEHOLDERS {
        hanging(&mut text, placeholder, meaning);
    }
    text += "\nVariables that are set, and who reads them:\n";
    for variable in VARIABLES {
        let removed = match variable.kind {
            Kind::OtherProxy | Kind::OtherRoots => "not passed on; read by ",
            _ => "",
        };
        hanging(&mut text, variable.name, &format!("{removed}{}", variable.readers));
    }
    hanging(&mut text, PINS, "middlebox enroll: the genuine pins of simulated Okta hosts");
    text += "With --trust none, those that name CAs are left as they are.\n\n";
    text + "\
What no variable reaches: browsers (give them a profile: `chromium --user-data-dir={chromium-profile}`, `firefox --profile \
{firefox-profile}`), clients with roots of their own, and on Windows and macOS those that ask the system's store."
}

/// A name, and what it is for beside it, within 100 columns.
fn hanging(text: &mut String, name: &str, meaning: &str) {
    const NAME: usize = 22;
    const WIDTH: usize = 100;

    let mut line = format!("  {name:<NAME$}");
    if line.trim_end().chars().count() > NAME + 1 {
        *text += line.trim_end();
        text.push('\n');
        line = " ".repeat(NAME + 2);
    }
    for word in meaning.split(' ') {
        if line.chars().count() + word.chars().count() > WIDTH {
            *text += line.trim_end();
            text.push('\n');
            line = " ".repeat(NAME + 2);
        }
        line += word;
        line.push(' ');
    }
    *text += line.trim_end();
    text.push('\n');
}

fn time_limit(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(limit) if !limit.is_zero() => Ok(limit),
        Ok(_) | Err(_) => Err("write a number and a unit, as in `10s` or `2m`".to_owned()),
    }
}
