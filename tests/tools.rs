//! Programs that people really use, against servers that they really use, through inspection: gRPC, WebSockets with
//! compression, git, pip and wget. A tool that is not here is skipped, with the reason printed.
#![allow(clippy::unwrap_used, reason = "builders fail the test that uses them")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says why")]

mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use middlebox::journal::Outcome;
use middlebox::net::{Host, ResolveEntry, ResolveHosts};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use support::{Stage, soon, stage, trust};

/// Where `.ci/run` installs what Python needs, else the Python of the machine.
fn python() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/python/bin/python");
    if installed.exists() { installed } else { "python3".into() }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools").join(name)
}

/// Whether a program fails at this; then the test is skipped, and says so.
async fn lacks(program: impl AsRef<Path>, arguments: &[&str]) -> bool {
    let program = program.as_ref();
    let tried = Command::new(program).args(arguments).stdin(Stdio::null()).output().await;
    let lacks = !tried.is_ok_and(|output| output.status.success());
    if lacks {
        eprintln!("skipped: `{} {}` does not work here", program.display(), arguments.join(" "));
    }
    lacks
}

/// A lab with one real server behind it, at `site.test`.
struct Site {
    stage: Stage,
    _server: Child,
}

impl Site {
    async fn of(kind: &str, folder: &Path) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let (certificate, key) = (keys.path().join("site.pem"), keys.path().join("site.key"));
        let (certificate_pem, key_pem) = trust::certificate_pem("site.test");
        std::fs::write(&certificate, certificate_pem).unwrap();
        std::fs::write(&key, key_pem).unwrap();
        let mut server = Command::new(python());
        server.arg(script("serve.py")).arg(kind).args([&certificate, &key]).arg(folder);
        server.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut server = server.spawn().unwrap();
        let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
        let port = soon("the server's port", said.next_line()).await.unwrap().expect("a port");
        let address = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
        let hosts = ResolveHosts::Exact(Host::parse("site.test").unwrap());
        let entry = ResolveEntry { hosts, port: 443, addresses: vec![address] };
        let stage = stage().lab(|lab| lab.config(|config| config.resolve.push(entry))).start().await;
        Self { stage, _server: server }
    }

    /// Runs a client behind the proxy, which trusts the inspection CA alone; gives what it wrote.
    async fn run(&self, mut command: Command) -> String {
        let (proxy, ca) = (format!("http://{}", self.stage.proxy()), self.stage.ca());
        for name in ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"] {
            command.env(name, &proxy);
        }
        for name in ["no_proxy", "NO_PROXY", "grpc_proxy", "all_proxy", "ALL_PROXY", "no_grpc_proxy"] {
            command.env_remove(name);
        }
        for name in ["SSL_CERT_FILE", "GIT_SSL_CAINFO", "PIP_CERT", "REQUESTS_CA_BUNDLE"] {
            command.env(name, &ca);
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = soon("a client", command.output()).await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// All was inspected.
    async fn inspected(self) {
        let records = self.stage.lab.records().await;
        assert!(!records.is_empty());
        for record in records {
            assert_eq!(record.outcome, Some(Outcome::Accepted), "{record:#?}");
        }
    }
}

fn asking(kind: &str, site: &Site) -> Command {
    let mut command = Command::new(python());
    command.arg(script("ask.py")).arg(kind).arg(site.stage.ca());
    command
}

#[tokio::test]
async fn grpc_calls_and_streams_with_their_trailers() {
    if lacks(python(), &["-c", "import grpc"]).await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let site = Site::of("grpc", folder.path()).await;
    let said = site.run(asking("grpc", &site)).await;
    assert_eq!(said, "HELLO 5 OK\nNOT_FOUND no such word 4\nabc\n");
    let records = site.stage.lab.records().await;
    let handshake = records[0].handshake.as_ref().unwrap();
    assert_eq!((handshake.alpn.as_deref(), records[0].exchange_count), (Some("h2"), 3));
    site.inspected().await;
}

#[tokio::test]
async fn a_websocket_with_compression() {
    if lacks(python(), &["-c", "import websockets.sync.server"]).await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let site = Site::of("websocket", folder.path()).await;
    let said = site.run(asking("websocket", &site)).await;
    assert_eq!(said, "['permessage-deflate']\nTrue\nTrue\nTrue\n");
    let record = site.stage.accepted().await;
    assert_eq!(record.exchanges[0].status, Some(101));
    // 50,000 bytes of the same word, and compressed on the way.
    assert!((100..20_000).contains(&record.bytes_up), "{} bytes", record.bytes_up);
}

#[tokio::test]
async fn git_clones() {
    if lacks("git", &["--version"]).await || lacks(python(), &["-c", "import ssl"]).await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (work, bare) = (folder.path().join("work"), folder.path().join("site/repository.git"));
    let git = async |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@example", "-c", "init.defaultBranch=main"]);
        let output = command.args(arguments).env("GIT_CONFIG_NOSYSTEM", "1").output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let (work_path, bare_path) = (work.to_str().unwrap(), bare.to_str().unwrap());
    git(&["init", "-q", work_path]).await;
    std::fs::write(work.join("file"), "content").unwrap();
    git(&["-C", work_path, "add", "file"]).await;
    git(&["-C", work_path, "commit", "-q", "-m", "one"]).await;
    git(&["clone", "-q", "--bare", work_path, bare_path]).await;
    git(&["-C", bare_path, "update-server-info"]).await;

    let site = Site::of("folder", &folder.path().join("site")).await;
    let clone = folder.path().join("clone");
    let mut command = Command::new("git");
    command.args(["clone", "-q", "https://site.test/repository.git"]).arg(&clone).env("GIT_CONFIG_NOSYSTEM", "1");
    site.run(command).await;
    assert_eq!(std::fs::read_to_string(clone.join("file")).unwrap(), "content");
    site.inspected().await;
}

#[tokio::test]
async fn pip_downloads_from_an_index() {
    if lacks(python(), &["-m", "pip", "--version"]).await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("simple/thing");
    std::fs::create_dir_all(&index).unwrap();
    let name = "thing-1.0-py3-none-any.whl";
    let wheel = "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], 'w') as wheel:\n    \
                 wheel.writestr('thing-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: thing\\nVersion: 1.0\\n')\n    \
                 wheel.writestr('thing-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\n')\n    \
                 wheel.writestr('thing-1.0.dist-info/RECORD', '')\n";
    let made = Command::new(python()).args(["-c", wheel]).arg(index.join(name)).status().await.unwrap();
    assert!(made.success());
    std::fs::write(index.join("index.html"), format!("<a href=\"{name}\">{name}</a>")).unwrap();
    let site = Site::of("folder", folder.path()).await;
    let into = folder.path().join("downloaded");
    let mut command = Command::new(python());
    command.args(["-m", "pip", "--isolated", "--disable-pip-version-check", "download", "--no-deps", "--no-cache-dir"]);
    command
        .args(["--index-url", "https://site.test/simple/", "--cert", &site.stage.ca(), "thing", "--dest"])
        .arg(&into);
    command.args(["--proxy", &format!("http://{}", site.stage.proxy())]);
    site.run(command).await;
    assert!(into.join(name).exists());
    site.inspected().await;
}

#[tokio::test]
async fn wget_fetches_a_tree() {
    if lacks("wget", &["--version"]).await || lacks(python(), &["-c", "import ssl"]).await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "<a href=\"a.txt\">a</a>").unwrap();
    std::fs::write(folder.path().join("a.txt"), "x".repeat(300_000)).unwrap();
    let site = Site::of("folder", folder.path()).await;
    let into = tempfile::tempdir().unwrap();
    let mut command = Command::new("wget");
    command.args(["--no-config", "-q", "-r", "-nd", "--ca-certificate", &site.stage.ca(), "-P"]).arg(into.path());
    command.arg("https://site.test/");
    site.run(command).await;
    assert_eq!(std::fs::metadata(into.path().join("a.txt")).unwrap().len(), 300_000);
    site.inspected().await;
}
