//! A client of a proxy: `CONNECT`, TLS, HTTP.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::client::Resumption;

use crate::Fallible;
use crate::origin::content_length;
use crate::pki;

/// How the origin is reached, and whom a client trusts: the proxy's CA alone where it is to inspect, the origin's
/// alone where it is to let pass.
#[derive(Clone)]
pub(crate) struct Route {
    proxy: SocketAddr,
    origin: SocketAddr,
    config: Arc<ClientConfig>,
}

impl Route {
    /// A host with the origin's port, as a URL names it.
    pub(crate) fn authority(&self, host: &str) -> String {
        format!("{host}:{}", self.origin.port())
    }

    pub(crate) fn new(proxy: SocketAddr, origin: SocketAddr, trusted: &Path, alpn: &[u8]) -> Fallible<Self> {
        let mut config = pki::client(trusted, alpn)?;
        // Each handshake is a whole one: a client that resumes is shown no certificate.
        config.resumption = Resumption::disabled();
        Ok(Self { proxy, origin, config: Arc::new(config) })
    }

    /// Opens a connection to a host, which has verified the certificate that it was shown.
    pub(crate) async fn connect(&self, host: &str) -> Fallible<TlsStream<TcpStream>> {
        let mut stream = TcpStream::connect(self.proxy).await?;
        stream.set_nodelay(true)?;
        let authority = self.authority(host);
        stream.write_all(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes()).await?;
        let head = HeadReader::default().next(&mut stream).await?.ok_or("the proxy closed instead of answering")?;
        if head.split(' ').nth(1) != Some("200") {
            return Err(format!("the proxy answered {}", head.lines().next().unwrap_or_default()).into());
        }
        Ok(TlsConnector::from(Arc::clone(&self.config)).connect(host.to_owned().try_into()?, stream).await?)
    }
}

/// Sends one request without a body and reads its whole answer.
pub(crate) async fn get(stream: &mut TlsStream<TcpStream>, authority: &str, path: &str) -> Fallible<()> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes()).await?;
    stream.flush().await?;
    let mut heads = HeadReader::default();
    let head = heads.next(stream).await?.ok_or("closed instead of an answer")?;
    if head.split(' ').nth(1) != Some("200") {
        return Err(format!("answered {}", head.lines().next().unwrap_or_default()).into());
    }
    let mut left = content_length(&head).saturating_sub(heads.take_rest());
    let mut sink = vec![0; left.min(64 << 10)];
    while left > 0 {
        match stream.read(&mut sink).await? {
            0 => return Err("closed inside an answer".into()),
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

/// Uploads so many bytes.
pub(crate) async fn post(stream: &mut TlsStream<TcpStream>, authority: &str, size: usize) -> Fallible<()> {
    stream
        .write_all(format!("POST / HTTP/1.1\r\nHost: {authority}\r\nContent-Length: {size}\r\n\r\n").as_bytes())
        .await?;
    let (piece, mut left) = (vec![b'.'; 64 << 10], size);
    while left > 0 {
        let count = left.min(piece.len());
        stream.write_all(&piece[..count]).await?;
        left -= count;
    }
    stream.flush().await?;
    let head = HeadReader::default().next(stream).await?.ok_or("closed instead of an answer")?;
    if head.split(' ').nth(1) == Some("200") { Ok(()) } else { Err("the upload was refused".into()) }
}

/// Reads heads, and keeps what comes behind one.
#[derive(Default)]
pub(crate) struct HeadReader(Vec<u8>);

impl HeadReader {
    /// The next head as text; none at the end of the stream.
    pub(crate) async fn next(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Fallible<Option<String>> {
        let mut piece = [0; 4096];
        loop {
            if let Some(at) = self.0.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.0[..at + 4]).into_owned();
                self.0.drain(..at + 4);
                return Ok(Some(head));
            }
            match stream.read(&mut piece).await? {
                0 if self.0.is_empty() => return Ok(None),
                0 => return Err("closed inside a head".into()),
                count => self.0.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// How many bytes came behind the head; they belong to its body, and are let go.
    pub(crate) fn take_rest(&mut self) -> usize {
        let count = self.0.len();
        self.0.clear();
        count
    }
}
