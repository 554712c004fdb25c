//! `middlebox ca`: the inspection CA that is kept in the state folder.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::error::CliError;
use super::exit;
use super::guide::day;
use super::state_folder::StateArgs;
use super::words::Format;
use crate::authority::{InspectionCa, Permit, Profile};
use crate::net::CertificateFacts;
use crate::report::write_whole;

/// Show, export or renew the inspection CA
///
/// Each machine makes its own at first use, one for each profile, and keeps it in the state folder. Whoever has its key
/// can forge certificates for those who trust it: the key is never exported.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(Show),
    Export(Export),
    Renew(Renew),
}

/// Which CA is meant.
#[derive(Debug, clap::Args)]
struct Which {
    /// The CA of this profile: a name, or the path of a profile
    #[arg(long, value_name = "NAME", default_value = "generic", help_heading = "Certificates")]
    profile: String,

    #[command(flatten)]
    state: StateArgs,
}

/// Tell who the CA is, how long it is valid, and where it is kept
#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    which: Which,

    /// How it is written to standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    format: Format,
}

/// Write the CA's certificate, for clients to trust; never its key
#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    which: Which,

    /// How it is encoded
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    format: Encoding,

    /// Write it to this file, whole or not at all, instead of standard output
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    out: Option<PathBuf>,
}

/// Replace the CA with a new one, which clients have to trust anew
#[derive(Debug, clap::Args)]
struct Renew {
    #[command(flatten)]
    which: Which,

    /// Let the new CA sign for this domain or network alone; repeatable
    #[arg(long, value_name = "DOMAIN", help_heading = "Certificates")]
    permit: Vec<Permit>,

    /// Replace the one there is
    #[arg(long)]
    yes: bool,
}

/// How a certificate is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Encoding {
    /// Text, as most programs want it.
    #[default]
    Pem,
    /// Bytes, as Windows and Android want it.
    Der,
}

pub(super) fn ca(args: Args) -> Result<u8, CliError> {
    match args.command {
        Command::Show(args) => args.run(),
        Command::Export(args) => args.run(),
        Command::Renew(args) => args.run(),
    }
}

impl Show {
    fn run(self) -> Result<u8, CliError> {
        let kept = self.which.open()?;
        let mut out = anstream::stdout().lock();
        match self.format {
            Format::Text => out.write_all(kept.text().as_bytes())?,
            Format::Json => writeln!(out, "{}", kept.json())?,
        }
        out.flush()?;
        Ok(exit::AS_EXPECTED)
    }
}

impl Export {
    fn run(self) -> Result<u8, CliError> {
        let Kept { ca, .. } = self.which.open()?;
        let bytes = match self.format {
            Encoding::Pem => ca.root_pem().into_bytes(),
            Encoding::Der => ca.root().to_vec(),
        };
        if let Some(path) = &self.out {
            write_whole(path, &bytes)?;
            return Ok(exit::AS_EXPECTED);
        }
        // As it is: a stream that takes colours out would change bytes that are no text.
        let mut out = std::io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()?;
        Ok(exit::AS_EXPECTED)
    }
}

impl Renew {
    fn run(self) -> Result<u8, CliError> {
        let profile = Profile::load(&self.which.profile)?;
        let folder = self.which.state.folder()?;
        let path = InspectionCa::path(&folder, &profile);
        let replaces = path.exists();
        if replaces && !self.yes {
            let message = format!(
                "there is a CA in {}, and every client that trusts it would have to trust the new one",
                path.display()
            );
            return Err(CliError::usage(message).with_help("repeat it with --yes to replace that CA for good"));
        }
        let ca = InspectionCa::renew(&folder, &profile, &self.permit)?;
        let kept = Kept::of(ca, profile, path)?;
        let mut out = anstream::stdout().lock();
        let what = if replaces { "A new CA stands in the place of the old one.\n\n" } else { "A new CA was made.\n\n" };
        write!(out, "{what}{}\n{}", kept.text(), kept.trust_anew(replaces))?;
        out.flush()?;
        Ok(exit::AS_EXPECTED)
    }
}

impl Which {
    /// The CA; made now where there is none, as `up` would.
    fn open(&self) -> Result<Kept, CliError> {
        let profile = Profile::load(&self.profile)?;
        let folder = self.state.folder()?;
        let path = InspectionCa::path(&folder, &profile);
        let made = !path.exists();
        let ca = InspectionCa::persisted(&folder, &profile, &[])?;
        if made {
            // Beside the answer, not in it.
            let _ = writeln!(anstream::stderr(), "made a new inspection CA in {}", path.display());
        }
        Kept::of(ca, profile, path)
    }
}

/// A CA with the files in which it is kept.
struct Kept {
    ca: InspectionCa,
    profile: Arc<Profile>,
    /// Certificate and key.
    path: PathBuf,
    /// The certificate alone.
    certificate: PathBuf,
}

#[derive(Serialize)]
struct Facts<'a> {
    profile: &'a str,
    sha256: String,
    certificate: &'a CertificateFacts,
    permitted: Vec<String>,
    file: &'a Path,
    key_file: &'a Path,
}

impl Kept {
    fn of(ca: InspectionCa, profile: Arc<Profile>, path: PathBuf) -> Result<Self, CliError> {
        // A running middlebox names this file to its clients; it has to say what the key says.
        let certificate = path.with_extension("crt");
        let pem = ca.root_pem();
        if std::fs::read(&certificate).ok().as_deref() != Some(pem.as_bytes()) {
            write_whole(&certificate, pem.as_bytes())?;
        }
        Ok(Self { ca, profile, path, certificate })
    }

    fn text(&self) -> String {
        let facts = self.ca.facts();
        let permitted: Vec<_> = self.ca.permitted().map(ToString::to_string).collect();
        let permitted = if permitted.is_empty() { "every host".to_owned() } else { permitted.join(", ") };
        let (from, until) = (day(&facts.not_before), day(&facts.not_after));
        let lines = [
            ("profile", format!("{} ({})", self.profile.name(), self.profile.title())),
            ("subject", facts.subject.clone()),
            ("algorithm", facts.key.clone()),
            ("valid", format!("{from} to {until}")),
            ("signs for", permitted),
            ("SHA-256", self.ca.fingerprint()),
            ("pin", facts.pin.to_string()),
            ("certificate", self.certificate.display().to_string()),
            ("key file", self.path.display().to_string()),
        ];
        let lines = lines.map(|(label, value)| format!("{label:<12} {value}"));
        lines.join("\n") + "\n"
    }

    fn json(&self) -> String {
        let facts = Facts {
            profile: self.profile.name(),
            sha256: self.ca.fingerprint(),
            certificate: self.ca.facts(),
            permitted: self.ca.permitted().map(ToString::to_string).collect(),
            file: &self.certificate,
            key_file: &self.path,
        };
        serde_json::to_string_pretty(&facts).expect("texts have a JSON form")
    }

    fn trust_anew(&self, replaces: bool) -> String {
        let trust = format!("Let clients trust {}", self.certificate.display());
        if !replaces {
            return trust + ".\n";
        }
        let subject = &self.ca.facts().subject;
        format!(
            "{trust},\nand remove the old one from their trust stores: it has the same name ({subject})\nand another \
             SHA-256. A running middlebox signs with the old one until it is started anew.\n"
        )
    }
}
