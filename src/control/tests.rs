//! The control API over real sockets.

mod api;
mod guard;
mod stream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::wire::OriginStatus;
use super::{Control, ControlClient, ControlConfig, ControlError, Lab, LabStatus, RootCertificate};
use crate::journal::Journal;
use crate::net::Pin;
use crate::policy::{OnChange, PolicyConfig, PolicyStore};

/// A control API over a lab that only counts.
struct Setup {
    config: ControlConfig,
    lab: Arc<CountingLab>,
}

struct Running {
    address: SocketAddr,
    policy: Arc<PolicyStore>,
    journal: Journal,
    lab: Arc<CountingLab>,
    task: JoinHandle<()>,
    shutdown: CancellationToken,
    _stop: DropGuard,
}

#[derive(Debug)]
struct CountingLab {
    serving: AtomicBool,
    asked: AtomicUsize,
    killed: AtomicUsize,
}

impl Lab for CountingLab {
    fn reconsider(&self, on_change: OnChange) -> usize {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if on_change == OnChange::Kill {
            self.killed.fetch_add(1, Ordering::Relaxed);
        }
        if on_change == OnChange::NewOnly { 0 } else { 3 }
    }

    fn status(&self) -> LabStatus {
        let origin = OriginStatus { pin: Pin::of_spki(b"key") };
        LabStatus {
            proxy: "127.0.0.1:8080".parse().unwrap(),
            serving: self.serving.load(Ordering::Relaxed),
            started: OffsetDateTime::now_utc() - Duration::from_secs(90),
            profile: "generic".into(),
            origins: [("acme.okta.com".to_owned(), origin)].into(),
        }
    }
}

impl Setup {
    fn new() -> Self {
        Self::with_file(None)
    }

    fn with_file(file: Option<PathBuf>) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let root = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let lab = CountingLab { serving: true.into(), asked: 0.into(), killed: 0.into() };
        let lab = Arc::new(lab);
        let config = ControlConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            policy: Arc::new(PolicyStore::new(PolicyConfig { file, ..PolicyConfig::default() }).unwrap()),
            journal: Journal::default(),
            on_change: OnChange::Drain,
            ca: RootCertificate { der: root.der().to_vec(), pem: root.pem() },
            lab: Arc::<CountingLab>::clone(&lab),
            token: None,
            names: Vec::new(),
        };
        Self { config, lab }
    }

    fn token(mut self, token: &str) -> Self {
        self.config.token = Some(token.to_owned());
        self
    }

    fn listen(mut self, address: &str) -> Self {
        self.config.listen = address.parse().unwrap();
        self
    }

    async fn refused(self) -> ControlError {
        Control::bind(self.config).await.err().unwrap()
    }

    async fn run(self) -> Running {
        let (policy, journal) = (Arc::clone(&self.config.policy), self.config.journal.clone());
        let control = Control::bind(self.config).await.unwrap();
        let address = control.address();
        let shutdown = CancellationToken::new();
        let task = control.spawn(shutdown.clone());
        let stop = shutdown.clone().drop_guard();
        Running { address, policy, journal, lab: self.lab, task, shutdown, _stop: stop }
    }
}

/// An answer as it came over the wire.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Running {
    fn client(&self) -> ControlClient {
        ControlClient::new(&self.address.to_string(), None).unwrap()
    }

    /// Sends one request with these header lines (and the right `Host`) and reads the whole answer.
    async fn send(&self, line: &str, headers: &[&str], body: &str) -> Reply {
        let host = format!("Host: {}", self.address);
        self.send_bare(line, &[&[host.as_str()], headers].concat(), body).await
    }

    /// The same without a `Host`.
    async fn send_bare(&self, line: &str, headers: &[&str], body: &str) -> Reply {
        let mut lines = headers.to_vec();
        let length = format!("Content-Length: {}", body.len());
        lines.extend([length.as_str(), "Connection: close"]);
        let text = format!("{line} HTTP/1.1\r\n{}\r\n\r\n{body}", lines.join("\r\n"));
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // An early refusal may reset what was still being sent.
        let _ = stream.read_to_end(&mut answer).await;
        Reply::read(&answer)
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path}"), &[], "").await
    }

    async fn json(&self, line: &str, headers: &[&str], body: &str) -> Reply {
        self.send(line, &[&["Content-Type: application/json"], headers].concat(), body).await
    }
}

impl Reply {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("the answer has a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head[9..12].parse().unwrap();
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The problem of this status and type.
    #[track_caller]
    fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.value();
        assert_eq!((self.status, &problem["type"]), (status, &Value::from(format!("/problems/{kind}"))), "{problem}");
        assert_eq!(problem["status"], status);
        problem
    }
}
