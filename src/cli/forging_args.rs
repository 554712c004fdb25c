//! The flags that say how certificates are forged.

use std::path::PathBuf;

use super::words::words;
use crate::authority::{Defect, Permit};
use crate::lab::{CaSource, LabConfig};

/// Profile, CA and defect.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ForgingArgs {
    /// Forge certificates as this product does: a name, or the path of a profile
    #[arg(long, value_name = "NAME", default_value = "generic", help_heading = "Certificates")]
    profile: String,

    /// Learn to bypass hosts that cannot be decrypted, as the profile's product does (pan-os, netskope)
    ///
    /// A session is undecryptable where its origin asks for a client certificate, or versions and ciphers of TLS do not
    /// fit. The record says what was learned from which connection. Other profiles learn nothing, and refuse this.
    #[arg(long, help_heading = "Certificates")]
    learn: bool,

    /// Sign with a CA of your own: its certificate, PEM, with its chain behind it
    #[arg(long, value_name = "FILE", requires = "ca_key", help_heading = "Certificates")]
    ca_cert: Option<PathBuf>,

    /// The private key of --ca-cert, PEM
    #[arg(long, value_name = "FILE", requires = "ca_cert", help_heading = "Certificates")]
    ca_key: Option<PathBuf>,

    /// The password of an encrypted --ca-key: the first line of this file
    #[arg(long, value_name = "FILE", requires = "ca_key", help_heading = "Certificates")]
    ca_key_password_file: Option<PathBuf>,

    /// Let the CA sign for this domain or network alone; repeatable
    ///
    /// Written into a new CA as X.509 name constraints, so that a trusted test CA cannot sign for the rest of the
    /// internet. Hosts outside are bypassed, and recorded so. Without this flag an existing CA keeps what it was made
    /// with; `middlebox ca renew --permit` changes it.
    #[arg(long, value_name = "DOMAIN", conflicts_with = "ca_cert", help_heading = "Certificates")]
    permit: Vec<Permit>,
}

/// In what certificates are wrong on request.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct DefectArgs {
    /// Forge certificates that are wrong in one way, to see whether a client notices
    ///
    /// Origins that are not trusted are shown without it. `middlebox audit` tries all of them.
    #[arg(long, value_name = "NAME", value_parser = words::<Defect>(Defect::ALL.map(Defect::name)), help_heading = "Certificates")]
    pub(super) defect: Option<Defect>,
}

impl ForgingArgs {
    /// The CA of the user's own, where there is one.
    pub(super) fn own_ca(&self) -> Option<CaSource> {
        let (certificate, key) = self.ca_cert.clone().zip(self.ca_key.clone())?;
        Some(CaSource::External { certificate, key, password: self.ca_key_password_file.clone() })
    }

    /// Says all but where the CA comes from.
    pub(super) fn apply(&self, config: &mut LabConfig) {
        config.profile.clone_from(&self.profile);
        config.learn = self.learn;
        config.permits.clone_from(&self.permit);
    }
}
