//! The real curl, where there is one.

use std::process::Stdio;

use tokio::process::Command;

use super::{Stage, soon};

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Whether curl is there and can do this (a word of its version text); says so where it cannot.
pub(crate) async fn missing(feature: &str) -> bool {
    let version = Command::new("curl").arg("--version").output().await;
    let able = version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(feature));
    if !able {
        eprintln!("skipped: there is no curl here that knows {feature}");
    }
    !able
}

impl Stage {
    /// Runs curl through the proxy, with nothing of the user's own settings.
    pub(crate) async fn curl(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new("curl");
        command.args(["--disable", "--silent", "--show-error", "--max-time", "30", "--noproxy", ""]);
        command.arg("--proxy").arg(format!("http://{}", self.proxy()));
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE"] {
            command.env_remove(name);
        }
        let output = soon("curl", command.output()).await.unwrap();
        Ran {
            exit: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The inspection root, as curl takes it.
    pub(crate) fn ca(&self) -> String {
        self.lab.files().inspection_root.display().to_string()
    }
}
