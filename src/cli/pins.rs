//! The pins of the simulated client, from flags, variable and ready file.

use std::path::PathBuf;

use super::error::CliError;
use super::ready::Ready;
use crate::simulation::PinTable;
use crate::simulation::internet::OKTA_ZONES;

/// Where the simulated client has its pins from; all of them count together.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Pins")]
pub(super) struct PinArgs {
    /// Pin the keys of a domain: `.okta.com=sha256/…,sha256/…`; repeatable
    ///
    /// `.okta.com` is okta.com with every host below it, `acme.okta.com` that host alone. The variable MIDDLEBOX_PINS
    /// takes several, separated by spaces.
    #[arg(long = "pin", value_name = "DOMAIN=PIN", env = "MIDDLEBOX_PINS", hide_env_values = true)]
    pins: Vec<PinTable>,

    /// Pin the Okta hosts that a simulated internet has: the --ready-file of its middlebox
    #[arg(long, value_name = "READY_FILE")]
    pins_from: Option<PathBuf>,
}

impl PinArgs {
    pub(super) fn table(&self) -> Result<PinTable, CliError> {
        let mut text: Vec<_> = self.pins.iter().map(ToString::to_string).collect();
        if let Some(path) = &self.pins_from {
            for (host, pin) in Ready::read(path)?.pins() {
                // The client pins Okta's domains; the other hosts of a simulated internet are not its own.
                let name = host.to_string();
                let zone = OKTA_ZONES.iter().find(|zone| name == **zone || name.ends_with(&format!(".{zone}")));
                text.extend(zone.map(|zone| format!(".{zone}={pin}")));
            }
        }
        text.join(" ").parse().map_err(|error| CliError::usage(format!("the pins cannot be used: {error}")))
    }
}
