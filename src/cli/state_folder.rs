//! Where the inspection CA is kept.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::CliError;

/// `--state-dir`, which several commands take.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct StateArgs {
    /// Keep the inspection CA in this folder [default: the platform's data folder]
    #[arg(long, value_name = "DIR", env = "MIDDLEBOX_STATE", hide_env_values = true, help_heading = "Certificates")]
    state_dir: Option<PathBuf>,
}

impl StateArgs {
    /// The folder, absolute; it need not exist.
    pub(super) fn folder(&self) -> Result<PathBuf, CliError> {
        let typed = self.state_dir.as_deref().filter(|folder| !folder.as_os_str().is_empty());
        let folder = match typed {
            Some(folder) => folder.to_owned(),
            None => data_folder(|name| std::env::var_os(name)).ok_or_else(|| {
                let help = "name a folder with --state-dir, or in MIDDLEBOX_STATE";
                CliError::environment("this account has no home folder to keep the inspection CA in").with_help(help)
            })?,
        };
        Ok(std::path::absolute(&folder).unwrap_or(folder))
    }
}

/// The platform's folder for data of programs, with one of our own in it.
fn data_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name: &str| variable(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let home = || folder("HOME").or_else(std::env::home_dir).filter(|home| home.is_absolute());
    let data = if cfg!(windows) {
        folder("LOCALAPPDATA").or_else(|| Some(home()?.join("AppData").join("Local")))
    } else if cfg!(target_os = "macos") {
        Some(home()?.join("Library/Application Support"))
    } else {
        // The XDG Base Directory Specification: a relative path counts as none.
        folder("XDG_DATA_HOME").or_else(|| Some(home()?.join(".local/share")))
    };
    data.map(|data| data.join(Path::new("middlebox")))
}

#[cfg(all(test, unix, not(target_os = "macos")))]
mod tests {
    use super::*;

    #[test]
    fn the_data_folder_is_where_the_specification_puts_it() {
        let with = |set: &[(&str, &str)]| {
            let find = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            data_folder(find).map(|folder| folder.display().to_string())
        };
        let home = ("HOME", "/home/ann");
        assert_eq!(with(&[home, ("XDG_DATA_HOME", "/data")]).as_deref(), Some("/data/middlebox"));
        assert_eq!(with(&[home, ("XDG_DATA_HOME", "data")]).as_deref(), Some("/home/ann/.local/share/middlebox"));
        assert_eq!(with(&[home]).as_deref(), Some("/home/ann/.local/share/middlebox"));
    }
}
