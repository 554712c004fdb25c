//! The ready file: what a script has to know of a running middlebox.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::address::reachable;
use super::error::CliError;
use crate::lab::RunningLab;
use crate::net::{Host, Pin};
use crate::report::{WriteError, write_whole};
use crate::simulation::Internet;
use crate::source::Document;

/// Addresses, CA files and simulated hosts of a running middlebox.
///
/// Keys are added and never renamed or removed; a reader passes over those that it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ready {
    /// Where clients reach the proxy.
    pub(super) proxy: SocketAddr,
    /// Where the control API is.
    pub(super) control: Option<SocketAddr>,
    /// The inspection root, PEM.
    pub(super) ca: PathBuf,
    /// The root of the simulated internet, PEM.
    pub(super) public_ca: Option<PathBuf>,
    /// The simulated hosts.
    pub(super) origins: BTreeMap<String, Origin>,
}

/// A simulated host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// The pin of its genuine certificate.
    pub(super) pin: Pin,
}

impl Ready {
    /// What is to be said of a lab.
    pub(super) fn of(lab: &RunningLab) -> Self {
        let origins = lab.internet().map(Internet::origins).unwrap_or_default();
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self {
            proxy: reachable(lab.proxy_address()),
            control: lab.control_address().map(reachable),
            ca: absolute(&lab.files().inspection_root),
            public_ca: lab.files().public_root.as_deref().map(absolute),
            origins: origins.into_iter().map(|(host, pin)| (host.to_string(), Origin { pin })).collect(),
        }
    }

    /// Reads the file of a running middlebox.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let document = Document::read(path)?;
        serde_json::from_str(document.text()).map_err(|error| {
            let help = "give the file that `middlebox up --ready-file FILE` wrote";
            CliError::usage(format!("{} is not a ready file: {error}", path.display())).with_help(help)
        })
    }

    /// The hosts with their pins.
    pub(super) fn pins(&self) -> impl Iterator<Item = (Host, Pin)> + '_ {
        self.origins.iter().filter_map(|(host, origin)| Some((Host::parse(host).ok()?, origin.pin)))
    }

    /// Writes the file, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<(), WriteError> {
        let mut text = serde_json::to_string_pretty(self).expect("texts and addresses have a JSON form");
        text.push('\n');
        write_whole(path, text.as_bytes())
    }
}

/// Removes what an earlier run left, so that nobody takes it for this one's.
pub(super) fn forget(path: &Path) -> Result<(), WriteError> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_file() => {
            std::fs::remove_file(path).map_err(|source| WriteError { path: path.to_owned(), source })
        }
        // A device, a pipe or a link is not ours to remove.
        Ok(_) | Err(_) => Ok(()),
    }
}
