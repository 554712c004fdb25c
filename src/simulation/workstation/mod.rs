//! A simulated workstation: a trust store, a proxy setting, and the programs that share them.

mod browser;
mod connect;
mod fault;
mod fetch;
mod pac;
mod revocation;
mod trust;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use crate::net::{Destination, Dialer, Host, Overrides};
use connect::Approach;

pub use browser::{KeptConnection, Visit};
pub use fault::{Fault, ProxyAnswer};
pub use fetch::{Answer, HttpVersion, SniChoice};
pub use pac::{PacDirective, ProxyAutoConfig};
pub use trust::{CertificateSeen, Refusal, RefusalCause};

pub(crate) use browser::{browser, redirect};
pub(crate) use fetch::{Account, Attempt, Client, Order, Stack, fetch};
pub(crate) use trust::Pinned;

/// The request field by which a workstation tells the proxy its name, so that the middlebox knows its browser and its
/// application for one device. Sent to the proxy alone, never within a tunnel.
pub const DEVICE_HEADER: &str = "Middlebox-Device";

/// How long one TCP connection may take to open.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one call may take, from the dial to the last byte of the answer, unless set otherwise.
const CALL: Duration = Duration::from_secs(30);

/// Which way the workstation's programs go.
#[derive(Clone)]
pub enum ProxySetting {
    /// Straight to the origin.
    Off,
    /// Through this HTTP proxy; loopback is reached without it, as Windows and browsers do.
    On(SocketAddr),
    /// As a PAC script says, loopback included.
    Pac(Arc<dyn ProxyAutoConfig>),
}

/// One simulated device. Changes apply to the calls that follow.
#[derive(Clone, Debug)]
pub struct Workstation {
    name: String,
    public_roots: Vec<CertificateDer<'static>>,
    inspection_roots: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    proxy: ProxySetting,
    service_proxy: Option<ProxySetting>,
    credentials: Option<Credentials>,
    overrides: Arc<Overrides>,
    time_limit: Duration,
}

/// A user and a password for the proxy; the password is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    user: String,
    password: String,
}

impl Workstation {
    /// A device that trusts these public roots, without a proxy. Roots that are no certificates are left out.
    #[must_use]
    pub fn new(name: impl Into<String>, public_roots: Vec<CertificateDer<'static>>) -> Self {
        let mut workstation = Self {
            name: name.into(),
            public_roots,
            inspection_roots: Vec::new(),
            roots: Arc::new(RootCertStore::empty()),
            proxy: ProxySetting::Off,
            service_proxy: None,
            credentials: None,
            overrides: Arc::default(),
            time_limit: CALL,
        };
        workstation.gather_roots();
        workstation
    }

    /// The name by which the middlebox knows the device.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The proxy setting of the user.
    #[must_use]
    pub fn proxy(&self) -> &ProxySetting {
        &self.proxy
    }

    /// Whether an inspection root is installed.
    #[must_use]
    pub fn trusts_inspection(&self) -> bool {
        !self.inspection_roots.is_empty()
    }

    /// Installs the root of the inspection CA, or removes it.
    pub fn set_inspection_root(&mut self, root: Option<CertificateDer<'static>>) {
        self.set_inspection_roots(root);
    }

    /// Installs the roots of these inspection CAs and removes all others.
    pub fn set_inspection_roots(&mut self, roots: impl IntoIterator<Item = CertificateDer<'static>>) {
        self.inspection_roots = roots.into_iter().collect();
        self.gather_roots();
    }

    /// Changes the proxy setting of the user.
    pub fn set_proxy(&mut self, proxy: ProxySetting) {
        self.proxy = proxy;
    }

    /// Changes the proxy setting that services read (WinHTTP's); `None` is the same one as that of the user.
    pub fn set_service_proxy(&mut self, proxy: Option<ProxySetting>) {
        self.service_proxy = proxy;
    }

    fn proxy_of(&self, account: Account) -> &ProxySetting {
        match account {
            Account::User => &self.proxy,
            Account::Service => self.service_proxy.as_ref().unwrap_or(&self.proxy),
        }
    }

    /// Sets the credentials with which a `407` is answered (Basic, RFC 7617): user and password.
    pub fn set_credentials(&mut self, credentials: Option<(String, String)>) {
        self.credentials = credentials.map(|(user, password)| Credentials { user, password });
    }

    /// The credentials with which a `407` is answered: user and password.
    #[must_use]
    pub fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|it| (it.user.as_str(), it.password.as_str()))
    }

    /// Sets where names lead when no proxy is used.
    pub fn set_overrides(&mut self, overrides: Overrides) {
        self.overrides = Arc::new(overrides);
    }

    /// Sets how long one call may take, from the dial to the last byte of the answer; 30 seconds unless set.
    pub fn set_time_limit(&mut self, limit: Duration) {
        self.time_limit = limit;
    }

    /// Opens a byte stream to a destination: directly, or by `CONNECT` (RFC 9110, 9.3.6) through the proxy, which is
    /// told the program (`User-Agent`) and the device (`Middlebox-Device`).
    ///
    /// # Errors
    /// The proxy or the destination cannot be reached, or the proxy answers something else than 2xx.
    pub async fn open(&self, destination: &Destination, user_agent: &str) -> Result<TcpStream, Fault> {
        let url = https_url(destination)?;
        let approach = Approach { workstation: self, user_agent, account: Account::User, answer_challenge: true };
        timeout(self.time_limit, approach.tunnel(&url, destination))
            .await
            .map_err(|_| Fault::timed_out(self.time_limit))?
    }

    fn gather_roots(&mut self) {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.public_roots.iter().chain(&self.inspection_roots).cloned());
        self.roots = Arc::new(roots);
    }

    fn dialer(&self) -> Dialer {
        Dialer::new(self.overrides.clone(), CONNECT.min(self.time_limit))
    }

    /// The name as a header value: what cannot stand there becomes `-`.
    fn device(&self) -> HeaderValue {
        let plain: String = self.name.chars().map(|c| if matches!(c, ' '..='~') { c } else { '-' }).collect();
        HeaderValue::from_str(plain.trim()).unwrap_or(HeaderValue::from_static("workstation"))
    }
}

impl fmt::Debug for ProxySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("Off"),
            Self::On(address) => f.debug_tuple("On").field(address).finish(),
            Self::Pac(_) => f.write_str("Pac"),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

fn https_url(destination: &Destination) -> Result<Url, Fault> {
    Url::parse(&format!("https://{destination}/")).map_err(Fault::protocol)
}

/// Where a URL leads.
pub(crate) fn destination_of(url: &Url) -> Result<Destination, Fault> {
    let host = url.host_str().and_then(|host| Host::parse(host).ok());
    match (url.scheme(), host, url.port_or_known_default()) {
        ("http" | "https", Some(host), Some(port)) if port != 0 => Ok(Destination::new(host, port)),
        _ => Err(Fault::Protocol { reason: format!("{url} is not an http or https URL with a host") }),
    }
}
