//! Bytes from the network: a client's first ones, a whole client against a running proxy, and a parent proxy's answer.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use middlebox::lab::{Lab, RunningLab};
use middlebox::net::{
    Destination, Dialer, FirstBytes, Overrides, Parent, ParentTls, Routes, Way, WebSocketFrames, read_first_bytes,
};
use middlebox::policy::Action;
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// How long an answer may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads the first bytes of a TLS client: more of them never make less of what was read.
pub(super) fn client_hello(bytes: &[u8]) {
    let whole = read_first_bytes(bytes);
    for end in (0..bytes.len()).step_by(1 + bytes.len() / 64) {
        match read_first_bytes(&bytes[..end]) {
            FirstBytes::Incomplete => {}
            // What is wrong is wrong for good; which of two faults is named depends on how much has come.
            FirstBytes::Malformed(_) => assert!(matches!(whole, FirstBytes::Malformed(_)), "after {end} bytes"),
            early => assert_eq!(early, whole, "after {end} bytes"),
        }
    }
}

/// Follows a WebSocket, by a first byte that says whose frames they are and whether an extension was agreed on: how its
/// bytes are cut makes no difference, and what is counted is what was told of.
pub(super) fn websocket(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let follow = |size: usize| {
        let extended = choice & 2 != 0;
        let mut frames =
            if choice & 1 == 0 { WebSocketFrames::of_client(extended) } else { WebSocketFrames::of_origin(extended) };
        let mut told = Vec::new();
        for piece in bytes.chunks(size) {
            frames.push(piece, |frame| told.push(frame));
        }
        (frames.counts().clone(), told)
    };
    let (counts, told) = follow(bytes.len().max(1));
    assert_eq!(counts.frames, told.len() as u64);
    assert!(counts.payload_bytes <= bytes.len() as u64, "more passed than came");
    assert!(counts.text + counts.binary <= counts.frames && counts.compressed <= counts.text + counts.binary);
    for size in [1, 3, 16] {
        assert_eq!(follow(size), (counts.clone(), told.clone()), "in pieces of {size} bytes");
    }
}

/// Sends bytes to a proxy as a client of HTTP, SOCKS or TLS, in one piece and in two: it answers the same, and closes.
/// It passes through to a host that echoes (also over WebSocket), and blocks everything else.
pub(super) fn client(bytes: &[u8]) {
    let whole = exchange(&[bytes]);
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let cut = exchange(&[first, rest]);
    // A reset takes away what was on its way, and the host that echoes may leave at a half-close before it answers.
    let counts = |answer: &[u8]| !answer.is_empty() && !answer.starts_with(b"HTTP/1.1 502");
    if counts(&whole) && counts(&cut) {
        assert_eq!(beginning(&cut), beginning(&whole));
    }
}

/// What is the same in two answers to the same bytes: the kind of a TLS record, the status of HTTP, the reply of SOCKS.
fn beginning(answer: &[u8]) -> String {
    let length = if answer[0] == 22 { 1 } else { answer.len().min(12) };
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

fn exchange(pieces: &[&[u8]]) -> Vec<u8> {
    static LAB: OnceLock<(Runtime, RunningLab)> = OnceLock::new();
    let (_, lab) = LAB.get_or_init(|| {
        let runtime = Runtime::new().expect("a runtime starts");
        let blocking = Lab::builder().simulate_acme().default_action(Action::Block).bypass("echo.acme.example");
        let lab = runtime.block_on(blocking.start()).expect("a lab starts");
        (runtime, lab)
    });
    let mut answer = Vec::new();
    let outcome = TcpStream::connect(lab.proxy_address()).and_then(|mut stream| {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        for piece in pieces {
            stream.write_all(piece)?;
        }
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_end(&mut answer)
    });
    if let Err(error) = outcome {
        // A proxy that has refused already may have closed the connection.
        let closed = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::NotConnected];
        assert!(closed.contains(&error.kind()), "the proxy does not answer: {error}");
    }
    answer
}

/// Answers as a parent proxy to a dialler that asks for a connection: HTTP or SOCKS, as the first byte says.
pub(super) fn parent(bytes: &[u8]) {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let Some((kind, said)) = bytes.split_first() else { return };
    let scheme = ["http", "socks5"][usize::from(kind & 1)];
    let login = ["", "user:password@"][usize::from(kind >> 1 & 1)];
    let runtime = RUNTIME.get_or_init(|| Runtime::new().expect("a runtime starts"));
    let (first, rest) = said.split_at(said.len() / 2);
    let whole = runtime.block_on(dial(scheme, login, &[said]));
    let cut = runtime.block_on(dial(scheme, login, &[first, rest]));
    assert_eq!(whole, cut);
}

/// What the destination has said by way of the parent; none where there is no connection to it.
async fn dial(scheme: &str, login: &str, pieces: &[&[u8]]) -> Option<Vec<u8>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let address: SocketAddr = listener.local_addr().expect("it is bound");
    let parent: Parent = format!("{scheme}://{login}{address}").parse().expect("a parent");
    let way = Way::Parent(Arc::new(parent));
    let routes = Routes::new(move |_| way.clone(), ParentTls::new(RootCertStore::empty(), false, None));
    let dialer = Dialer::new(Arc::new(Overrides::new()), PATIENCE).with_routes(routes);
    let destination = Destination::parse("origin.example:443").expect("a destination");
    let serve = async {
        let (mut stream, _) = listener.accept().await?;
        for piece in pieces {
            stream.write_all(piece).await?;
            stream.flush().await?;
            tokio::task::yield_now().await;
        }
        stream.shutdown().await?;
        stream.read_to_end(&mut Vec::new()).await
    };
    let ask = async {
        let mut dialled = dialer.dial(&destination).await.ok()?;
        let mut said = Vec::new();
        dialled.read_to_end(&mut said).await.ok()?;
        Some(said)
    };
    let (said, _) = tokio::time::timeout(PATIENCE, async { tokio::join!(ask, serve) }).await.expect("it ends");
    said
}
