//! Asking a parent proxy for a connection: HTTP `CONNECT` (RFC 9110, 9.3.6) and SOCKS 5 (RFC 1928, RFC 1929).

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::{ClientConfig, KeyLog, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use super::dialled::Link;
use super::parent::socks_address;
use super::{Destination, DialError, Parent, ParentKind, read_some};

/// The largest head of a parent's answer.
const HEAD: usize = 64 << 10;

/// Why a parent proxy gave no connection.
#[derive(Debug, Error)]
pub enum ParentFault {
    /// It cannot be reached itself.
    #[error("cannot be reached: {0}")]
    Unreachable(Box<DialError>),
    /// It answered `CONNECT` with another status than 2xx.
    #[error("answered {0}")]
    Refused(ParentSaid),
    /// It asks for credentials, and has been given none.
    #[error("asks for credentials ({0}): write them into its URL, as in http://USER:PASSWORD@HOST:PORT")]
    Credentials(ParentSaid),
    /// It does not take the credentials that it was given.
    #[error("does not take the user name and password in its URL ({0})")]
    WrongCredentials(ParentSaid),
    /// TLS with it failed, its certificate's verification included.
    #[error("does not complete TLS: {0}; the CA of a private one is given with --parent-ca")]
    Tls(String),
    /// It does not speak as a proxy of its kind does.
    #[error("does not answer as a proxy of its kind does: {0}")]
    Protocol(&'static str),
    /// The connection to it broke.
    #[error("broke off: {0}")]
    Broken(#[from] io::Error),
    /// It did not connect within the time limit of a dial.
    #[error("did not connect within {0:?}")]
    Timeout(Duration),
}

/// What a parent said in refusing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParentSaid {
    /// A status line of HTTP.
    Http {
        /// The status code.
        status: u16,
        /// The reason phrase, or the registered one where it gave none.
        reason: String,
        /// Its `Proxy-Status` (RFC 9209), where it gave one: what kept it from connecting.
        detail: Option<String>,
    },
    /// A reply code of SOCKS 5 (RFC 1928, section 6).
    Socks(u8),
    /// None of the ways to authenticate (RFC 1928, section 3).
    SocksMethods,
    /// A status other than 0 for user name and password (RFC 1929, section 2).
    SocksPassword(u8),
}

impl fmt::Display for ParentSaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { status, reason, detail } => {
                write!(f, "{status}")?;
                if !reason.is_empty() {
                    write!(f, " {reason}")?;
                }
                detail.as_ref().map_or(Ok(()), |detail| write!(f, ", {detail}"))
            }
            Self::Socks(code) => {
                let meaning = match code {
                    1 => "general failure",
                    2 => "not allowed by its rules",
                    3 => "network unreachable",
                    4 => "host unreachable",
                    5 => "connection refused",
                    6 => "time expired",
                    7 => "command not supported",
                    8 => "kind of address not supported",
                    _ => "unassigned",
                };
                write!(f, "SOCKS reply {code}, {meaning}")
            }
            Self::SocksMethods => f.write_str("SOCKS: no acceptable method"),
            Self::SocksPassword(status) => write!(f, "SOCKS: status {status}"),
        }
    }
}

/// What parents over TLS are verified against.
pub struct ParentTls {
    roots: RootCertStore,
    system: bool,
    keylog: Option<Arc<dyn KeyLog>>,
    config: OnceCell<Arc<ClientConfig>>,
}

impl ParentTls {
    /// Trusts these roots, and with `system` also the system's and Mozilla's, which are read when a parent first needs
    /// them. Secrets go to `keylog`.
    #[must_use]
    pub fn new(roots: RootCertStore, system: bool, keylog: Option<Arc<dyn KeyLog>>) -> Self {
        Self { roots, system, keylog, config: OnceCell::new() }
    }

    pub(super) async fn wrap(&self, stream: TcpStream, parent: &Parent) -> Result<Link, ParentFault> {
        let failed = |error: &dyn fmt::Display| ParentFault::Tls(error.to_string());
        let config = self.config.get_or_try_init(|| self.configure()).await.map_err(|error| failed(&error))?;
        let name = parent.at().host.server_name();
        let wrapped = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
        Ok(Link::Tls(Box::new(wrapped.map_err(|error| failed(&error))?)))
    }

    async fn configure(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        let mut roots = self.roots.clone();
        if self.system {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            let native = tokio::task::spawn_blocking(|| rustls_native_certs::load_native_certs().certs);
            roots.add_parsable_certificates(native.await.unwrap_or_default());
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if let Some(keylog) = &self.keylog {
            config.key_log = Arc::clone(keylog);
        }
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for ParentTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParentTls")
            .field("roots", &self.roots.len())
            .field("system", &self.system)
            .finish_non_exhaustive()
    }
}

/// Asks for a connection; gives what the destination said already.
pub(super) async fn ask(link: &mut Link, parent: &Parent, destination: &Destination) -> Result<Bytes, ParentFault> {
    match parent.kind() {
        ParentKind::Http | ParentKind::Https => connect(link, parent, destination).await,
        ParentKind::Socks5 => socks5(link, parent, destination).await.map(|()| Bytes::new()),
    }
}

// ---- HTTP -----------------------------------------------------------------------------------------------------------

async fn connect(link: &mut Link, parent: &Parent, destination: &Destination) -> Result<Bytes, ParentFault> {
    let mut request = format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n");
    if let Some(authorization) = parent.authorization() {
        request.push_str("Proxy-Authorization: ");
        request.push_str(&authorization);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    link.write_all(request.as_bytes()).await?;
    link.flush().await?;
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !b"HTTP/1.".starts_with(&read[..read.len().min(7)]) {
                return Err(ParentFault::Protocol("the first bytes are not HTTP/1"));
            }
            if read.len() > HEAD {
                return Err(ParentFault::Protocol("the head of its answer is over 64 KiB"));
            }
            if read_some(link, &mut read).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed before it answered").into());
            }
        };
        let after = read.split_off(end);
        let said = status(&read).ok_or(ParentFault::Protocol("its answer has no status line"))?;
        return match said {
            (100..=199, ..) => {
                read = after;
                continue;
            }
            // Whatever length a 2xx states, what follows is the tunnel.
            (200..=299, ..) => Ok(after.into()),
            (status, reason, detail) => {
                let said = ParentSaid::Http { status, reason, detail };
                Err(match (status, parent.has_credentials()) {
                    (407, false) => ParentFault::Credentials(said),
                    (407, true) => ParentFault::WrongCredentials(said),
                    _ => ParentFault::Refused(said),
                })
            }
        };
    }
}

/// Status, reason and `Proxy-Status` of an answer's head.
fn status(head: &[u8]) -> Option<(u16, String, Option<String>)> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let (version, rest) = lines.next()?.split_once(' ')?;
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return None;
    }
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let code = code.parse().ok().filter(|code| (100..=999).contains(code))?;
    let reason = match printable(reason) {
        reason if reason.is_empty() => registered(code).to_owned(),
        reason => reason,
    };
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("proxy-status").then(|| printable(value))
    };
    Some((code, reason, lines.find_map(field).filter(|value| !value.is_empty())))
}

fn registered(code: u16) -> &'static str {
    http::StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}

/// What of a stranger's text goes into messages.
fn printable(text: &str) -> String {
    text.trim().chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(200).collect()
}

// ---- SOCKS 5 --------------------------------------------------------------------------------------------------------

async fn socks5(link: &mut Link, parent: &Parent, destination: &Destination) -> Result<(), ParentFault> {
    const NO_AUTHENTICATION: u8 = 0;
    const USER_NAME: u8 = 2;
    let login = parent.login();
    let methods: &[u8] = if login.is_some() { &[5, 2, NO_AUTHENTICATION, USER_NAME] } else { &[5, 1, 0] };
    say(link, methods).await?;
    let [version, method] = read(link).await?;
    if version != 5 {
        return Err(ParentFault::Protocol("the first bytes are not SOCKS 5"));
    }
    match (method, login) {
        (NO_AUTHENTICATION, _) => {}
        (USER_NAME, Some((user, password))) => {
            let mut request = vec![1];
            for text in [user, password] {
                request.push(u8::try_from(text.len()).expect("checked when the URL was read"));
                request.extend_from_slice(text.as_bytes());
            }
            say(link, &request).await?;
            let [_, status] = read(link).await?;
            if status != 0 {
                return Err(ParentFault::WrongCredentials(ParentSaid::SocksPassword(status)));
            }
        }
        (0xff, None) => return Err(ParentFault::Credentials(ParentSaid::SocksMethods)),
        (0xff, Some(_)) => return Err(ParentFault::Refused(ParentSaid::SocksMethods)),
        _ => return Err(ParentFault::Protocol("it chose a way to authenticate that was not offered")),
    }
    say(link, &[&[5, 1, 0][..], &socks_address(destination)].concat()).await?;
    let [version, code, _, kind] = read(link).await?;
    if version != 5 {
        return Err(ParentFault::Protocol("its reply is not SOCKS 5"));
    }
    if code != 0 {
        return Err(ParentFault::Refused(ParentSaid::Socks(code)));
    }
    // The address from which it connects, which nobody needs.
    let rest = match kind {
        1 => 4,
        4 => 16,
        3 => {
            let [length] = read(link).await?;
            usize::from(length)
        }
        _ => return Err(ParentFault::Protocol("its reply has an address of an unknown kind")),
    };
    let mut bound = vec![0; rest + 2];
    link.read_exact(&mut bound).await?;
    Ok(())
}

async fn say(link: &mut Link, bytes: &[u8]) -> io::Result<()> {
    link.write_all(bytes).await?;
    link.flush().await
}

async fn read<const N: usize>(link: &mut Link) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    link.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_parents_words() {
        let said = |head: &str| {
            let (status, reason, detail) = status(head.as_bytes()).unwrap();
            ParentSaid::Http { status, reason, detail }.to_string()
        };
        assert_eq!(said("HTTP/1.1 403 Blocked by IT\r\n\r\n"), "403 Blocked by IT");
        assert_eq!(said("HTTP/1.0 503\r\nX: y\r\n\r\n"), "503 Service Unavailable");
        assert_eq!(
            said("HTTP/1.1 502 Bad\u{7} Gateway\r\nproxy-status: p; error=dns_error\r\n\r\n"),
            "502 Bad Gateway, p; error=dns_error"
        );
        for wrong in ["HTTP/2 200 OK\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 20 x\r\n\r\n", "ICY 200 OK\r\n\r\n"] {
            assert_eq!(status(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(ParentSaid::Socks(5).to_string(), "SOCKS reply 5, connection refused");
    }
}
