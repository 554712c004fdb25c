//! What is measured of a proxy, and how.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::Fallible;
use crate::load::{self, Route};
use crate::peer::{Peer, Running};
use crate::pki::{HOSTS, host};
use crate::process::{cpu_seconds, resident_kib};

/// How long each rate is measured.
const WINDOW: Duration = Duration::from_secs(3);

/// How much a bulk transfer moves.
const BULK: usize = 512 << 20;

/// A proxy that has not served a request within this does not work.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a proxy is to inspect, or to let pass.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Inspect,
    Bypass,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "inspect" => Ok(Self::Inspect),
            "bypass" => Ok(Self::Bypass),
            _ => Err(format!("{text}: a mode is `inspect` or `bypass`")),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inspect => "inspect",
            Self::Bypass => "bypass",
        })
    }
}

/// One kind of measurement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    Start,
    Cold,
    Warm,
    Http1,
    Http2,
    Bulk,
    Idle,
}

impl Measure {
    pub(crate) const ALL: [Self; 7] =
        [Self::Start, Self::Cold, Self::Warm, Self::Http1, Self::Http2, Self::Bulk, Self::Idle];
}

impl FromStr for Measure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "start" => Self::Start,
            "cold" => Self::Cold,
            "warm" => Self::Warm,
            "http1" => Self::Http1,
            "http2" => Self::Http2,
            "bulk" => Self::Bulk,
            "idle" => Self::Idle,
            _ => return Err(format!("{text}: nothing is measured by that name")),
        })
    }
}

type Figures = Vec<(&'static str, f64)>;

/// Measures a proxy once; a fresh process for each thing that leaves traces in memory.
pub(crate) fn all(peer: &Peer, measures: &[Measure], idle: usize, origin: SocketAddr) -> Fallible<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut figures = Figures::new();
        let wants = |measure| measures.contains(&measure);
        let inspects = peer.mode == Mode::Inspect;
        let begun = Instant::now();
        let proxy = peer.start()?;
        let route = |alpn: &[u8], proxy: &Running| Route::new(proxy.address, origin, peer.trusted(), alpn);
        let http1 = route(b"http/1.1", &proxy)?;
        first_request(&http1).await?;
        let started = begun.elapsed();
        if wants(Measure::Start) {
            figures.push(("start to first request, ms", started.as_secs_f64() * 1e3));
            figures.push(("resident after it, MiB", resident_kib(proxy.pid()) / 1024.0));
            figures.push(("size, MiB", peer.size_mib()?));
        }
        if wants(Measure::Cold) && inspects {
            cold(&mut figures, &http1, &proxy).await?;
        }
        if wants(Measure::Warm) {
            warm(&mut figures, &http1, &proxy).await?;
        }
        if wants(Measure::Http1) && inspects {
            requests1(&mut figures, &http1, &proxy).await?;
        }
        if wants(Measure::Http2) && inspects {
            requests2(&mut figures, &route(b"h2", &proxy)?, &proxy).await?;
        }
        if wants(Measure::Bulk) {
            bulk(&mut figures, &http1, &proxy).await?;
        }
        drop(proxy);
        if wants(Measure::Idle) {
            let proxy = peer.start()?;
            let http1 = route(b"http/1.1", &proxy)?;
            first_request(&http1).await?;
            self::idle(&mut figures, &http1, &proxy, idle).await?;
        }
        Ok(figures)
    })
}

/// Tries until a request is answered.
async fn first_request(route: &Route) -> Fallible<()> {
    let begun = Instant::now();
    loop {
        let error = match one_request(route, &host(0)).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if begun.elapsed() > PATIENCE {
            return Err(format!("no request succeeded within {PATIENCE:?}: {error}").into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A connection, a request on it, and the certificate that was shown.
async fn one_request(route: &Route, host: &str) -> Fallible<Vec<u8>> {
    let mut stream = route.connect(host).await?;
    load::get(&mut stream, &route.authority(host), "/").await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    Ok(shown.map(|leaf| leaf.to_vec()).unwrap_or_default())
}

/// Runs an operation again and again, so many at once, until none is left to do; gives how long each took.
async fn in_parallel<F>(width: usize, operation: impl Fn(usize) -> F + Clone + 'static) -> Fallible<Vec<Duration>>
where
    F: Future<Output = Fallible<bool>>,
{
    let next = Arc::new(AtomicUsize::new(0));
    let local = tokio::task::LocalSet::new();
    let workers: Vec<_> = (0..width)
        .map(|_| {
            let (next, operation) = (Arc::clone(&next), operation.clone());
            local.spawn_local(async move {
                let mut took = Vec::new();
                loop {
                    let begun = Instant::now();
                    if !operation(next.fetch_add(1, Ordering::Relaxed)).await? {
                        return Fallible::Ok(took);
                    }
                    took.push(begun.elapsed());
                }
            })
        })
        .collect();
    local.await;
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await??);
    }
    all.sort_unstable();
    Ok(all)
}

/// Hosts that the proxy has never seen.
async fn cold(figures: &mut Figures, route: &Route, proxy: &Running) -> Fallible<()> {
    let leaves = Arc::new(std::sync::Mutex::new(HashSet::new()));
    let (cpu, begun) = (cpu_seconds(proxy.pid()), Instant::now());
    let (route, seen) = (route.clone(), Arc::clone(&leaves));
    let took = in_parallel(8, move |number| {
        let (route, seen) = (route.clone(), Arc::clone(&seen));
        async move {
            if number + 1 >= HOSTS {
                return Ok(false);
            }
            let leaf = one_request(&route, &host(number + 1)).await?;
            seen.lock().expect("no holder panics").insert(leaf);
            Ok(true)
        }
    });
    let took = took.await?;
    let count = took.len();
    figures.push(("cold hosts /s", count as f64 / begun.elapsed().as_secs_f64()));
    figures.push(("CPU ms per cold host", (cpu_seconds(proxy.pid()) - cpu) * 1e3 / count as f64));
    figures.push(("resident after 2,000 hosts, MiB", resident_kib(proxy.pid()) / 1024.0));
    let distinct = leaves.lock().expect("no holder panics").len();
    // A proxy that answers with one certificate for all has minted once.
    if distinct == count { Ok(()) } else { Err(format!("{count} hosts were shown {distinct} certificates").into()) }
}

/// New connections to a host that is known: eight at once, then one after the other.
async fn warm(figures: &mut Figures, route: &Route, proxy: &Running) -> Fallible<()> {
    let (cpu, begun) = (cpu_seconds(proxy.pid()), Instant::now());
    let took = for_a_while(8, route).await?;
    let count = took.len() as f64;
    figures.push(("warm handshakes /s", count / begun.elapsed().as_secs_f64()));
    figures.push(("CPU ms per handshake", (cpu_seconds(proxy.pid()) - cpu) * 1e3 / count));
    let took = for_a_while(1, route).await?;
    figures.push(("one after the other, median ms", took[took.len() / 2].as_secs_f64() * 1e3));
    Ok(())
}

async fn for_a_while(width: usize, route: &Route) -> Fallible<Vec<Duration>> {
    let (route, end) = (route.clone(), Instant::now() + WINDOW);
    in_parallel(width, move |_| {
        let route = route.clone();
        async move {
            if Instant::now() > end {
                return Ok(false);
            }
            one_request(&route, &host(0)).await.map(|_| true)
        }
    })
    .await
}

/// Requests over 64 connections that stay.
async fn requests1(figures: &mut Figures, route: &Route, proxy: &Running) -> Fallible<()> {
    let (authority, mut streams) = (route.authority(&host(0)), Vec::new());
    for _ in 0..64 {
        let mut stream = route.connect(&host(0)).await?;
        load::get(&mut stream, &authority, "/").await?;
        streams.push(stream);
    }
    let (cpu, begun) = (cpu_seconds(proxy.pid()), Instant::now());
    let local = tokio::task::LocalSet::new();
    let workers: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            let authority = authority.clone();
            local.spawn_local(async move {
                let mut count = 0_usize;
                while begun.elapsed() < WINDOW {
                    load::get(&mut stream, &authority, "/").await?;
                    count += 1;
                }
                Fallible::Ok(count)
            })
        })
        .collect();
    local.await;
    let mut count = 0;
    for worker in workers {
        count += worker.await??;
    }
    figures.push(("HTTP/1.1 requests /s", count as f64 / begun.elapsed().as_secs_f64()));
    figures.push(("CPU us per HTTP/1.1 request", (cpu_seconds(proxy.pid()) - cpu) * 1e6 / count as f64));
    Ok(())
}

/// Requests over four connections of HTTP/2 with 16 streams each. Where HTTP/2 is not offered there is nothing to say.
async fn requests2(figures: &mut Figures, route: &Route, proxy: &Running) -> Fallible<()> {
    let mut senders = Vec::new();
    for _ in 0..4 {
        let stream = route.connect(&host(0)).await;
        let Ok(stream) = stream else { return Ok(()) };
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Ok(());
        }
        let client = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = client?;
        tokio::spawn(connection);
        senders.push(sender);
    }
    let url = format!("https://{}/", route.authority(&host(0)));
    let (cpu, begun) = (cpu_seconds(proxy.pid()), Instant::now());
    let workers: Vec<_> = (0..64)
        .map(|number| {
            let (mut sender, url) = (senders[number % 4].clone(), url.clone());
            tokio::spawn(async move {
                let mut count = 0_usize;
                while begun.elapsed() < WINDOW {
                    let request = Request::get(url.as_str()).body(Empty::<Bytes>::new())?;
                    sender.ready().await?;
                    let answer = sender.send_request(request).await?;
                    if answer.status() != 200 || answer.into_body().collect().await?.to_bytes().len() != 100 {
                        return Err("a wrong answer over HTTP/2".into());
                    }
                    count += 1;
                }
                Fallible::Ok(count)
            })
        })
        .collect();
    let mut count = 0;
    for worker in workers {
        count += worker.await??;
    }
    figures.push(("HTTP/2 requests /s", count as f64 / begun.elapsed().as_secs_f64()));
    figures.push(("CPU us per HTTP/2 request", (cpu_seconds(proxy.pid()) - cpu) * 1e6 / count as f64));
    Ok(())
}

/// Half a gibibyte down, and as much up, on one connection each.
async fn bulk(figures: &mut Figures, route: &Route, proxy: &Running) -> Fallible<()> {
    let mebibytes = BULK as f64 / (1 << 20) as f64;
    let mut stream = route.connect(&host(0)).await?;
    let (cpu, begun) = (cpu_seconds(proxy.pid()), Instant::now());
    load::get(&mut stream, &route.authority(&host(0)), &format!("/bytes/{BULK}")).await?;
    figures.push(("down, MiB/s", mebibytes / begun.elapsed().as_secs_f64()));
    figures.push(("CPU s per GiB down", (cpu_seconds(proxy.pid()) - cpu) * 1024.0 / mebibytes));
    let mut stream = route.connect(&host(0)).await?;
    let (cpu, begun) = (cpu_seconds(proxy.pid()), Instant::now());
    load::post(&mut stream, &route.authority(&host(0)), BULK).await?;
    figures.push(("up, MiB/s", mebibytes / begun.elapsed().as_secs_f64()));
    figures.push(("CPU s per GiB up", (cpu_seconds(proxy.pid()) - cpu) * 1024.0 / mebibytes));
    Ok(())
}

/// Connections that have carried one request and stay open.
async fn idle(figures: &mut Figures, route: &Route, proxy: &Running, count: usize) -> Fallible<()> {
    let before = resident_kib(proxy.pid());
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = route.connect(&host(0)).await?;
        load::get(&mut stream, &route.authority(&host(0)), "/").await?;
        held.push(stream);
    }
    let after = resident_kib(proxy.pid());
    // They have to be alive, or nothing was held.
    for stream in held.iter_mut().step_by(count / 10 + 1) {
        load::get(stream, &route.authority(&host(0)), "/").await?;
    }
    figures.push(("KiB per idle connection", (after - before) / count as f64));
    Ok(())
}
