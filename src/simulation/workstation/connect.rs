//! The way to a destination: direct, or through an HTTP proxy.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use super::fetch::Account;
use super::{DEVICE_HEADER, Fault, PacDirective, ProxyAnswer, ProxySetting, Workstation};
use crate::net::{Destination, Host};

/// The largest head of a proxy's answer.
const HEAD_BYTES: usize = 32 << 10;
/// What is kept of the body of a proxy's answer.
const BODY_BYTES: u64 = 64 << 10;
/// How long is waited for that body: some proxies give no length and leave the connection open.
const BODY_TIME: Duration = Duration::from_secs(2);

/// One program of a workstation on its way out.
pub(crate) struct Approach<'a> {
    pub(crate) workstation: &'a Workstation,
    pub(crate) user_agent: &'a str,
    /// Whose proxy setting it reads.
    pub(crate) account: Account,
    /// Whether the program answers a `407` with the workstation's credentials.
    pub(crate) answer_challenge: bool,
}

/// How a plain `http` URL is reached.
#[derive(Debug)]
pub(crate) enum Way {
    Direct(TcpStream),
    /// Connected to the proxy, which wants the request in absolute form.
    Proxy(TcpStream),
}

impl Approach<'_> {
    /// A stream whose other end is the destination itself.
    pub(crate) async fn tunnel(&self, url: &Url, destination: &Destination) -> Result<TcpStream, Fault> {
        match self.way(url, destination).await? {
            (Way::Direct(stream), _) => Ok(stream),
            (Way::Proxy(stream), proxy) => self.connect(stream, &proxy, destination).await,
        }
    }

    /// A stream on which an `http` URL is asked for.
    pub(crate) async fn plain(&self, url: &Url, destination: &Destination) -> Result<Way, Fault> {
        self.way(url, destination).await.map(|(way, _)| way)
    }

    /// The first way of the proxy setting that can be connected to, with the proxy's address.
    async fn way(&self, url: &Url, destination: &Destination) -> Result<(Way, Destination), Fault> {
        let directives = match self.workstation.proxy_of(self.account) {
            ProxySetting::Off => vec![PacDirective::Direct],
            ProxySetting::On(_) if is_loopback(&destination.host) => vec![PacDirective::Direct],
            ProxySetting::On(address) => {
                vec![PacDirective::Proxy(Destination::new(Host::Ip(address.ip()), address.port()))]
            }
            ProxySetting::Pac(script) => {
                let mut asked = url.clone();
                if url.scheme() == "https" {
                    asked.set_path("/");
                    asked.set_query(None);
                }
                script.find_proxy(&asked, &destination.host.to_string())
            }
        };
        let dialer = self.workstation.dialer();
        let mut last =
            Fault::ProxyUnreachable { proxy: "(none)".to_owned(), reason: "the script names none".to_owned() };
        for directive in directives {
            last = match directive {
                PacDirective::Direct => match dialer.connect(destination).await {
                    Ok(stream) => return Ok((Way::Direct(stream), destination.clone())),
                    Err(error) => Fault::of_dial(error, destination),
                },
                PacDirective::Proxy(proxy) => match dialer.connect(&proxy).await {
                    Ok(stream) => return Ok((Way::Proxy(stream), proxy)),
                    Err(error) => Fault::ProxyUnreachable { proxy: proxy.to_string(), reason: error.to_string() },
                },
                PacDirective::Unsupported(way) => {
                    Fault::ProxyUnreachable { proxy: way, reason: "this kind of proxy is not simulated".to_owned() }
                }
            };
        }
        Err(last)
    }

    async fn connect(
        &self,
        mut stream: TcpStream,
        proxy: &Destination,
        destination: &Destination,
    ) -> Result<TcpStream, Fault> {
        let credentials = self.credentials();
        for attempt in [None, credentials.as_deref()] {
            let answer = self.ask(&mut stream, destination, attempt).await?;
            match answer.status {
                200..=299 => return Ok(stream),
                407 if attempt.is_none() && credentials.is_some() => {
                    // On a connection of its own: not every proxy keeps the first one open.
                    let again = self.workstation.dialer().connect(proxy).await;
                    stream = again.map_err(|error| Fault::ProxyUnreachable {
                        proxy: proxy.to_string(),
                        reason: error.to_string(),
                    })?;
                }
                407 => return Err(Fault::ProxyAuthentication { tried: attempt.is_some() }),
                _ => return Err(Fault::Proxy(answer)),
            }
        }
        Err(Fault::ProxyAuthentication { tried: true })
    }

    /// The value of `Proxy-Authorization`, where this program answers a challenge.
    pub(crate) fn credentials(&self) -> Option<String> {
        let credentials = self.workstation.credentials.as_ref().filter(|_| self.answer_challenge)?;
        let pair = format!("{}:{}", credentials.user, credentials.password);
        Some(format!("Basic {}", BASE64_STANDARD.encode(pair)))
    }

    /// One `CONNECT` on this stream. After a 2xx nothing of the tunnel has been read.
    async fn ask(
        &self,
        stream: &mut TcpStream,
        destination: &Destination,
        credentials: Option<&str>,
    ) -> Result<ProxyAnswer, Fault> {
        if !self.user_agent.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(Fault::Protocol { reason: "the User-Agent has characters that no header has".to_owned() });
        }
        let device = self.workstation.device();
        let mut head = format!(
            "CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\nUser-Agent: {}\r\n{DEVICE_HEADER}: {}\r\n",
            self.user_agent,
            device.to_str().unwrap_or("workstation")
        );
        if let Some(credentials) = credentials {
            head.push_str("Proxy-Authorization: ");
            head.push_str(credentials);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.map_err(Fault::cut)?;
        let head = read_head(stream).await?;
        let mut answer = head.answer;
        if !(200..=299).contains(&answer.status) {
            let mut body = Vec::new();
            let length = head.length.unwrap_or(BODY_BYTES).min(BODY_BYTES);
            // A cut or slow body still tells something; the status is what counts.
            let _ = timeout(BODY_TIME, stream.take(length).read_to_end(&mut body)).await;
            answer.body = String::from_utf8_lossy(&body).into_owned();
        }
        Ok(answer)
    }
}

struct Head {
    answer: ProxyAnswer,
    length: Option<u64>,
}

/// Reads the head of an answer and not one byte more, so that the tunnel begins where the head ends.
async fn read_head(stream: &mut TcpStream) -> Result<Head, Fault> {
    let mut head = Vec::new();
    let mut window = vec![0; 4096];
    loop {
        let seen = stream.peek(&mut window).await.map_err(Fault::cut)?;
        if seen == 0 {
            return Err(Fault::cut("the proxy closed the connection without an answer"));
        }
        let before = head.len();
        head.extend_from_slice(&window[..seen]);
        // The end may lie across two windows.
        let from = before.saturating_sub(3);
        let end = head[from..].windows(4).position(|four| four == b"\r\n\r\n").map(|at| from + at + 4);
        let take = end.map_or(seen, |end| end - before);
        stream.read_exact(&mut window[..take]).await.map_err(Fault::cut)?;
        if let Some(end) = end {
            head.truncate(end);
            return parse_head(&String::from_utf8_lossy(&head));
        }
        if head.len() > HEAD_BYTES {
            return Err(Fault::protocol("the head of the proxy's answer is too long"));
        }
    }
}

fn parse_head(head: &str) -> Result<Head, Fault> {
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|status| status.parse::<u16>().ok())
        .filter(|status| (200..=599).contains(status))
        .ok_or_else(|| Fault::protocol("the proxy's answer does not begin as HTTP/1.1 does"))?;
    let mut answer = ProxyAnswer { status, proxy_status: None, body: String::new() };
    let mut length = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("proxy-status") {
            answer.proxy_status = Some(value.trim().to_owned());
        } else if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
    }
    Ok(Head { answer, length })
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Ip(ip) => ip.is_loopback(),
        Host::Name(name) => &**name == "localhost" || name.ends_with(".localhost"),
    }
}
