//! Bodies are streamed: a gigabyte goes through a process that stays small, and a client that does not read stops the
//! origin instead of filling the proxy.
//!
//! The proxy runs alone in a child process: this binary once more, with the variables below.
#![allow(clippy::unwrap_used, reason = "builders fail the test that uses them")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the child tells its address, a test what it measured")]
#![cfg(target_os = "linux")]

mod support;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Frame;
use middlebox::lab::Lab;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use support::origin::Report;
use support::{Client, Ending, Origin, get, h2, origin, soon, trust};

const RESOLVE: &str = "MIDDLEBOX_TEST_RESOLVE";
const ORIGIN_CA: &str = "MIDDLEBOX_TEST_ORIGIN_CA";

/// The most that the proxy's process may ever have held, in MiB.
const MOST: u64 = 100;

const PIECE: &[u8] = &[b'.'; 64 << 10];

/// A gibibyte.
const SIZE: u64 = 1 << 30;

/// Not a test by itself: the proxy of the tests below, which runs until its input ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let (Ok(resolve), Ok(origin_ca)) = (std::env::var(RESOLVE), std::env::var(ORIGIN_CA)) else { return };
    let lab = Lab::builder().origin_ca(origin_ca).config(|config| {
        config.system_roots = false;
        config.resolve.push(resolve.parse().unwrap());
    });
    let lab = lab.start().await.unwrap();
    println!("proxy {} {}", lab.proxy_address(), lab.files().inspection_root.display());
    tokio::task::spawn_blocking(|| std::io::stdin().lines().count()).await.unwrap();
}

/// A proxy in a process of its own.
struct Alone {
    child: Child,
    client: Client,
    _folder: tempfile::TempDir,
}

impl Alone {
    async fn before(origin: Origin) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let roots = folder.path().join("origins.pem");
        std::fs::write(&roots, trust::root_pem()).unwrap();
        let host = origin.host.clone();
        let at = origin.start(Report(tokio::sync::mpsc::unbounded_channel().0)).await;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(RESOLVE, format!("{host}:443:{at}"))
            .env(ORIGIN_CA, roots)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let found = tokio::task::spawn_blocking(move || {
            lines.map(Result::unwrap).find_map(|line| {
                let (_, told) = line.split_once("proxy ")?;
                let (address, root) = told.split_once(' ')?;
                Some((address.parse::<SocketAddr>().unwrap(), CertificateDer::from_pem_file(root).unwrap()))
            })
        });
        let (address, root) = found.await.unwrap().expect("the child tells where it listens");
        Self { child, client: Client::new(address, root), _folder: folder }
    }

    /// Looks at the most memory that the process ever had resident.
    fn stayed_small(&self) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak = line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() >> 10;
        eprintln!("the proxy's process had {peak} MiB at most");
        assert!(peak < MOST, "{peak} MiB");
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends so many bytes as the body of one answer, and counts what it got rid of.
fn sends(size: u64, sent: &Arc<AtomicU64>) -> Origin {
    let sent = Arc::clone(sent);
    origin("site.test").plays(move |mut wire, _| {
        let sent = Arc::clone(&sent);
        async move {
            wire.head().await;
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")).await;
            for _ in 0..size / PIECE.len() as u64 {
                if tokio::io::AsyncWriteExt::write_all(&mut wire.stream, PIECE).await.is_err() {
                    return;
                }
                sent.fetch_add(PIECE.len() as u64, Ordering::SeqCst);
            }
            wire.close().await;
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_download_goes_through_a_small_process_over_http_1() {
    let alone = Alone::before(sends(SIZE, &Arc::default())).await;
    let mut client = alone.client.tls("site.test").await;
    client.send(get("site.test", "/")).await;
    client.head().await;
    // An answer with a length leaves the connection open; the origin closes it.
    assert_eq!(client.drain().await, (SIZE, Ending::Orderly));
    alone.stayed_small();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_goes_through_a_small_process_over_http_1() {
    let counts = origin("site.test").plays(|mut wire, _| async move {
        wire.head().await;
        let (count, _) = wire.drain_exactly(SIZE).await;
        wire.send(format!("HTTP/1.1 200 OK\r\nX-Count: {count}\r\nContent-Length: 0\r\n\r\n")).await;
        wire.rest().await;
    });
    let alone = Alone::before(counts).await;
    let mut client = alone.client.tls("site.test").await;
    client.send(format!("PUT / HTTP/1.1\r\nHost: site.test\r\nContent-Length: {SIZE}\r\n\r\n")).await;
    for _ in 0..SIZE / PIECE.len() as u64 {
        client.send(PIECE).await;
    }
    assert!(client.head().await.contains(&format!("X-Count: {SIZE}\r\n")));
    alone.stayed_small();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_download_goes_through_a_small_process_over_http_2() {
    let site = origin("site.test").h2(|_, _| async {
        let pieces = (0..SIZE / PIECE.len() as u64).map(|_| Ok(Frame::data(Bytes::from_static(PIECE))));
        let body = http_body_util::StreamBody::new(tokio_stream::iter(pieces));
        Ok(http::Response::new(BodyExt::boxed(body)))
    });
    let alone = Alone::before(site).await;
    let mut sender = alone.client.h2("site.test").await;
    let answer = sender.send_request(h2::request("GET", "https://site.test/", h2::full(""))).await.unwrap();
    let (mut body, mut count) = (answer.into_body(), 0);
    while let Some(frame) = soon("a frame", body.frame()).await {
        count += frame.unwrap().into_data().map_or(0, |data| data.len() as u64);
    }
    assert_eq!(count, SIZE);
    alone.stayed_small();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_stops_the_origin() {
    // More than all socket buffers on the way can hold; with a proxy that buffers, all of it would be sent.
    let whole = 256 << 20;
    let sent = Arc::new(AtomicU64::new(0));
    let alone = Alone::before(sends(whole, &sent)).await;
    let mut client = alone.client.tls("site.test").await;
    client.send(get("site.test", "/")).await;
    client.head().await;
    // That nothing moves any more is what no event can tell. Others move as much meanwhile, through the same process and
    // from the same origin: a proxy that buffers would have taken this one along.
    for _ in 0..2 {
        let mut other = alone.client.tls("site.test").await;
        other.send(get("site.test", "/")).await;
        other.head().await;
        assert_eq!(other.drain().await, (whole, Ending::Orderly));
    }
    let of_the_first = sent.load(Ordering::SeqCst).saturating_sub(2 * whole);
    assert!(of_the_first < whole / 4, "the origin got rid of {} MiB", of_the_first >> 20);
    alone.stayed_small();
    // It is slow, and not lost: the rest comes as soon as it reads.
    assert_eq!(client.drain().await, (whole, Ending::Orderly));
    alone.stayed_small();
}
