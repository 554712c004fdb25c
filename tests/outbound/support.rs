//! Labs, clients and scripted servers for the tests of this file.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use middlebox::journal::ConnectionRecord;
use middlebox::lab::{Lab, LabBuilder, ParentRule, RunningLab};
use middlebox::net::Host;
use middlebox::policy::Action;
use middlebox::simulation::{Alpn, App, OriginSpec, ProxySetting, Visit, Workstation};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The origin with TLS, and the one that echoes.
pub(crate) const SITE: &str = "site.example";
pub(crate) const ECHO: &str = "echo.example";

/// An origin of the simulated internet.
pub(crate) fn origin(host: &str, app: App, alpn: &[Alpn]) -> OriginSpec {
    let mut spec = OriginSpec::new(vec![Host::parse(host).unwrap()], app);
    spec.alpn = alpn.to_vec();
    spec
}

/// A lab that knows the way to a simulated internet and passes everything through.
pub(crate) fn far() -> LabBuilder {
    let both = [Alpn::H2, Alpn::Http1];
    let origins = [origin(SITE, App::Static, &both), origin(ECHO, App::Echo, &both)];
    Lab::builder().simulate(origins).default_action(Action::Bypass)
}

/// A lab that knows no internet, trusts that of `far`, and goes through this parent.
pub(crate) fn near(far: &RunningLab, parent: &str) -> LabBuilder {
    let public_root = far.files().public_root.clone().unwrap();
    let parent_ca = far.files().inspection_root.clone();
    Lab::builder().origin_ca(public_root).parent(rule(parent)).config(|config| {
        config.system_roots = false;
        config.parent_ca.push(parent_ca);
    })
}

pub(crate) fn rule(text: &str) -> ParentRule {
    text.parse().unwrap()
}

/// A desk whose browser trusts the internet of `far` and the inspection of both, behind `near`.
pub(crate) fn desk(near: &RunningLab, far: &RunningLab) -> Workstation {
    let roots = far.internet().iter().map(|internet| internet.root_der().clone()).collect();
    let mut desk = Workstation::new("desk", roots);
    desk.set_inspection_root(Some(near.authority().ca().root().clone()));
    desk.set_proxy(ProxySetting::On(near.proxy_address()));
    desk
}

pub(crate) async fn browse(desk: &Workstation, url: &str) -> Visit {
    desk.browse(&url.parse().unwrap()).await
}

/// The only record of a lab.
pub(crate) async fn only(lab: &RunningLab) -> Arc<ConnectionRecord> {
    let records = lab.records().await;
    assert_eq!(records.len(), 1, "{records:#?}");
    Arc::clone(&records[0])
}

/// How the origin was reached, by the record.
pub(crate) fn by(record: &ConnectionRecord) -> String {
    record.origin.as_ref().and_then(|origin| origin.by.as_ref()).map(ToString::to_string).unwrap_or_default()
}

/// What kept the origin from being reached, by the record.
pub(crate) fn fault(record: &ConnectionRecord) -> String {
    record.origin.as_ref().and_then(|origin| origin.fault.clone()).unwrap_or_default()
}

/// Sends bytes to a proxy, and reads until it closes.
pub(crate) async fn say(proxy: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset ends it as well.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// A plain request for a page of the origin that echoes.
pub(crate) fn plain_request() -> String {
    format!("GET http://{ECHO}/what?x=1 HTTP/1.1\r\nHost: {ECHO}\r\nConnection: close\r\n\r\n")
}

/// Opens a tunnel, and gives the stream behind the `200`.
pub(crate) async fn tunnel(proxy: SocketAddr, target: &str) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    stream
}

/// Reads up to an empty line and no byte further.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// A server that reads a head from each connection, says its piece and closes; it keeps the heads.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Scripted {
    pub(crate) async fn answering(piece: impl Into<Vec<u8>>) -> Self {
        let piece = piece.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let head = read_head(&mut stream).await;
                kept.lock().unwrap().push(head);
                stream.write_all(&piece).await.unwrap();
                stream.shutdown().await.unwrap();
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        });
        Self { address, heads, task }
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A SOCKS 5 parent that asks for nothing, and refuses every connection with this code.
pub(crate) async fn refusing_socks(code: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut greeting = [0; 3];
            stream.read_exact(&mut greeting).await.unwrap();
            assert_eq!(greeting, [5, 1, 0]);
            stream.write_all(&[5, 0]).await.unwrap();
            let mut request = vec![0; 7 + SITE.len()];
            stream.read_exact(&mut request).await.unwrap();
            let length = u8::try_from(SITE.len()).unwrap();
            assert_eq!(request, [&[5, 1, 0, 3, length], SITE.as_bytes(), &443u16.to_be_bytes()].concat());
            stream.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        }
    });
    address
}

/// A server that speaks first: a banner, then what it hears, back.
pub(crate) async fn banner_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(b"220 mail\r\n").await.unwrap();
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    address
}
