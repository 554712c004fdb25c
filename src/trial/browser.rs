//! Profile folders for browsers, which read neither proxy nor CAs from the environment: made anew for each run, and gone
//! with its lab.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::Trust;
use crate::child::{self, Command, Status};
use crate::lab::RunningLab;

pub(super) const CHROMIUM: &str = "{chromium-profile}";
pub(super) const FIREFOX: &str = "{firefox-profile}";

/// `certutil` has this long for one certificate.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A profile folder cannot be made.
#[derive(Debug, Error)]
pub enum BrowserError {
    /// The program that browsers' certificate stores are written with is missing.
    #[error(
        "certutil of NSS is not installed, and without it no browser can be told of a CA; install it (Debian: \
         libnss3-tools), or use --trust none"
    )]
    NoCertutil,
    /// It fails.
    #[error("certutil cannot write {}: {said}", store.display())]
    Certutil {
        /// The certificate store.
        store: PathBuf,
        /// What it said.
        said: String,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The profile folders that a command asks for.
#[derive(Debug, Default)]
pub(super) struct Profiles {
    pub(super) chromium: Option<PathBuf>,
    pub(super) firefox: Option<PathBuf>,
    /// What the command's home has to be: Chromium keeps its CAs below it.
    pub(super) home: Option<PathBuf>,
}

impl Profiles {
    /// Makes those that stand in the command's words.
    pub(super) async fn make(
        words: &[OsString],
        lab: &RunningLab,
        trust: Trust,
        no_proxy: Option<&str>,
    ) -> Result<Self, BrowserError> {
        let asked = |placeholder: &str| words.iter().any(|word| word.to_string_lossy().contains(placeholder));
        let mut profiles = Self::default();
        let files = lab.files();
        let cas: Vec<_> = match trust {
            Trust::Env => [Some(&files.inspection_root), files.public_root.as_ref()].into_iter().flatten().collect(),
            Trust::None => Vec::new(),
        };
        if asked(CHROMIUM) {
            let home = files.folder().join("chromium");
            let store = home.join(".pki").join("nssdb");
            make_folder(&store)?;
            trust_in(&store, &cas).await?;
            profiles.chromium = Some(home.join("profile"));
            profiles.home = Some(home);
        }
        if asked(FIREFOX) {
            let profile = files.folder().join("firefox");
            make_folder(&profile)?;
            let settings = profile.join("user.js");
            std::fs::write(&settings, firefox_settings(lab.proxy_address(), no_proxy))
                .map_err(|source| BrowserError::Write { path: settings, source })?;
            trust_in(&profile, &cas).await?;
            profiles.firefox = Some(profile);
        }
        Ok(profiles)
    }
}

fn make_folder(path: &Path) -> Result<(), BrowserError> {
    std::fs::create_dir_all(path).map_err(|source| BrowserError::Write { path: path.to_owned(), source })
}

/// Puts CAs into a certificate store of NSS.
async fn trust_in(store: &Path, cas: &[&PathBuf]) -> Result<(), BrowserError> {
    if cas.is_empty() {
        return Ok(());
    }
    let mut database = OsString::from("sql:");
    database.push(store);
    let certutil = |arguments: &[&str]| {
        let mut argv: Vec<OsString> = vec!["certutil".into(), "-d".into(), database.clone()];
        argv.extend(arguments.iter().map(OsString::from));
        argv
    };
    run(certutil(&["-N", "--empty-password"]), store).await?;
    for (number, ca) in cas.iter().enumerate() {
        let mut argv = certutil(&["-A", "-t", "C,,", "-n", &format!("middlebox-{number}"), "-i"]);
        argv.push(ca.into());
        run(argv, store).await?;
    }
    Ok(())
}

async fn run(argv: Vec<OsString>, store: &Path) -> Result<(), BrowserError> {
    let command = Command { argv, time_limit: Some(TIME_LIMIT), ..Command::default() };
    let wrong = |said: String| BrowserError::Certutil { store: store.to_owned(), said };
    let ended = child::run(&command).await.map_err(|error| wrong(error.to_string()))?;
    match ended.status {
        Status::Exited(0) => Ok(()),
        Status::NotFound => Err(BrowserError::NoCertutil),
        _ => Err(wrong(ended.stderr.text().trim().to_owned())),
    }
}

/// The proxy, and quiet about everything that a browser asks for by itself.
fn firefox_settings(proxy: std::net::SocketAddr, no_proxy: Option<&str>) -> String {
    let (host, port, around) = (proxy.ip(), proxy.port(), no_proxy.unwrap_or_default().escape_default());
    let settings = [
        ("network.proxy.type", "1".to_owned()),
        ("network.proxy.http", format!("\"{host}\"")),
        ("network.proxy.http_port", port.to_string()),
        ("network.proxy.ssl", format!("\"{host}\"")),
        ("network.proxy.ssl_port", port.to_string()),
        ("network.proxy.no_proxies_on", format!("\"{around}\"")),
        ("network.proxy.allow_hijacking_localhost", no_proxy.is_none().to_string()),
        // Names are resolved by the proxy, not by DNS over HTTPS.
        ("network.trr.mode", "5".to_owned()),
        ("network.captive-portal-service.enabled", "false".to_owned()),
        ("network.connectivity-service.enabled", "false".to_owned()),
        ("app.update.enabled", "false".to_owned()),
        ("browser.safebrowsing.malware.enabled", "false".to_owned()),
        ("browser.safebrowsing.phishing.enabled", "false".to_owned()),
        ("browser.shell.checkDefaultBrowser", "false".to_owned()),
        ("datareporting.policy.dataSubmissionEnabled", "false".to_owned()),
        ("extensions.update.enabled", "false".to_owned()),
        ("toolkit.telemetry.reportingpolicy.firstRun", "false".to_owned()),
    ];
    settings.map(|(name, value)| format!("user_pref(\"{name}\", {value});\n")).concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Lab;

    #[tokio::test]
    async fn a_profile_of_firefox_names_the_proxy() {
        let lab = Lab::builder().start().await.unwrap();
        let words = ["firefox".into(), format!("--profile={FIREFOX}").into()];
        let profiles = Profiles::make(&words, &lab, Trust::None, Some("localhost")).await.unwrap();
        let settings = std::fs::read_to_string(profiles.firefox.unwrap().join("user.js")).unwrap();
        let port = format!("user_pref(\"network.proxy.ssl_port\", {});", lab.proxy_address().port());
        assert!(settings.contains(&port), "{settings}");
        assert!(settings.contains("user_pref(\"network.proxy.no_proxies_on\", \"localhost\");"), "{settings}");
        assert!(profiles.chromium.is_none() && profiles.home.is_none());
        lab.drain().await;
    }

    #[tokio::test]
    async fn certutil_puts_the_cas_into_both_profiles() {
        let lab = Lab::builder().simulate_acme().start().await.unwrap();
        let words = [CHROMIUM.into(), FIREFOX.into()];
        let profiles = match Profiles::make(&words, &lab, Trust::Env, None).await {
            Ok(profiles) => profiles,
            Err(BrowserError::NoCertutil) => {
                println!("skipped: this machine has no certutil");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        let home = profiles.home.unwrap();
        for store in [home.join(".pki/nssdb"), profiles.firefox.unwrap()] {
            let mut certutil = std::process::Command::new("certutil");
            let listed = certutil.arg("-L").arg("-d").arg(format!("sql:{}", store.display())).output().unwrap();
            let listed = String::from_utf8(listed.stdout).unwrap();
            assert!(listed.contains("middlebox-0") && listed.contains("middlebox-1"), "{listed}");
        }
        lab.drain().await;
    }
}
