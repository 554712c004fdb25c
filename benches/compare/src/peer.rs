//! A proxy to measure: a script that sets it up and becomes it.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command};

use crate::measure::Mode;
use crate::pki::Files;
use crate::{Fallible, Options};

/// A proxy with its script and its files.
pub(crate) struct Peer {
    name: String,
    pub(crate) mode: Mode,
    script: PathBuf,
    state: PathBuf,
    cpu: String,
    proxy_ca: PathBuf,
    proxy_key: PathBuf,
    origin_ca: PathBuf,
}

/// A proxy that runs; it is ended when this is dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Peer {
    pub(crate) fn new(options: &Options, name: &str, mode: Mode, files: &Files) -> Fallible<Self> {
        let script = options.peers.join(format!("{name}.sh"));
        let script = script.canonicalize().map_err(|error| format!("{}: {error}", script.display()))?;
        Ok(Self {
            name: name.to_owned(),
            mode,
            script,
            state: options.state.join(format!("{name}-{mode}")),
            cpu: options.proxy_cpu.clone(),
            proxy_ca: files.proxy_ca.clone(),
            proxy_key: files.proxy_key.clone(),
            origin_ca: files.origin_ca.clone(),
        })
    }

    /// How the table calls it.
    pub(crate) fn column(&self) -> String {
        match self.mode {
            Mode::Inspect => self.name.clone(),
            Mode::Bypass => format!("{} (bypass)", self.name),
        }
    }

    /// The CA that its clients have to trust.
    pub(crate) fn trusted(&self) -> &PathBuf {
        match self.mode {
            Mode::Inspect => &self.proxy_ca,
            Mode::Bypass => &self.origin_ca,
        }
    }

    /// Starts it with an empty state folder.
    pub(crate) fn start(&self) -> Fallible<Running> {
        if self.state.exists() {
            std::fs::remove_dir_all(&self.state)?;
        }
        std::fs::create_dir_all(&self.state)?;
        // Free at this moment; whoever takes it in between makes the start fail, loudly.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let done = self.command("setup", port).status()?;
        if !done.success() {
            return Err(format!("{} setup failed", self.script.display()).into());
        }
        let log = File::create(self.state.join("log.txt"))?;
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", &self.cpu]).arg(&self.script).arg("run");
        self.tell(&mut pinned, port);
        let child = pinned.stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Running { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) })
    }

    /// What it takes on disk, in MiB.
    pub(crate) fn size_mib(&self) -> Fallible<f64> {
        let told = self.command("size", 0).output()?.stdout;
        let kib = String::from_utf8_lossy(&told).split_whitespace().next().unwrap_or_default().parse::<f64>()?;
        Ok(kib / 1024.0)
    }

    fn command(&self, what: &str, port: u16) -> Command {
        let mut command = Command::new(&self.script);
        command.arg(what);
        self.tell(&mut command, port);
        command
    }

    fn tell(&self, command: &mut Command, port: u16) {
        command
            .env("MODE", self.mode.to_string())
            .env("PORT", port.to_string())
            .env("STATE", &self.state)
            .env("CA_CERT", &self.proxy_ca)
            .env("CA_KEY", &self.proxy_key)
            .env("ORIGIN_CA", &self.origin_ca)
            .env("COMPARE", std::env::current_exe().unwrap_or_default());
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.pid().to_string();
        // In order, so that a proxy with helpers ends them too; after that the hard way.
        let _ = Command::new("kill").arg(&pid).status();
        for _ in 0..200 {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
