//! What the environment tells a client: its proxy, the hosts that go around it, and the roots that it trusts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use url::Url;

use super::error::CliError;
use crate::net::{Destination, Host, Parent};
use crate::simulation::{PacDirective, ProxyAutoConfig, ProxySetting, Workstation};

/// Proxy and trust, as curl and OpenSSL read them from the environment.
pub(super) struct ClientEnvironment {
    proxy: Option<ProxyVariable>,
    no_proxy: Vec<String>,
    roots: Option<PathBuf>,
}

struct ProxyVariable {
    destination: Destination,
    credentials: Option<(String, String)>,
}

/// The proxy alone, of any kind.
pub(super) struct ProxyEnvironment {
    proxy: Option<Arc<Parent>>,
    no_proxy: Vec<String>,
}

impl ProxyEnvironment {
    /// Reads the same variables for proxy and hosts around it.
    pub(super) fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, CliError> {
        let proxy = proxy_variable(&variable).map(|(name, value)| {
            let text = if value.contains("://") { value } else { format!("http://{value}") };
            let wrong = |error| CliError::usage(format!("the proxy in {name} cannot be used: {error}"));
            text.parse().map(Arc::new).map_err(wrong)
        });
        Ok(Self { proxy: proxy.transpose()?, no_proxy: no_proxy(&variable) })
    }

    /// How a host is reached.
    pub(super) fn way(&self, host: &Host) -> crate::net::Way {
        match &self.proxy {
            Some(proxy) if !goes_around(&self.no_proxy, &host.to_string()) => {
                crate::net::Way::Parent(Arc::clone(proxy))
            }
            Some(_) | None => crate::net::Way::Direct,
        }
    }
}

fn first_set(variable: impl Fn(&str) -> Option<OsString>, names: &[&'static str]) -> Option<(&'static str, String)> {
    let set = names.iter().filter_map(|name| Some((*name, variable(name)?)));
    set.map(|(name, value)| (name, value.to_string_lossy().into_owned())).find(|(_, value)| !value.is_empty())
}

fn proxy_variable(variable: impl Fn(&str) -> Option<OsString>) -> Option<(&'static str, String)> {
    first_set(variable, &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
}

fn no_proxy(variable: impl Fn(&str) -> Option<OsString>) -> Vec<String> {
    let listed = first_set(variable, &["no_proxy", "NO_PROXY"]).map(|(_, value)| value).unwrap_or_default();
    let hosts = listed.split([',', ' ']).map(str::trim).filter(|host| !host.is_empty());
    hosts.map(str::to_ascii_lowercase).collect()
}

impl ClientEnvironment {
    /// Reads `https_proxy`, `HTTPS_PROXY`, `all_proxy`, `ALL_PROXY`; `no_proxy`, `NO_PROXY`; `SSL_CERT_FILE`.
    pub(super) fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, CliError> {
        let proxy = proxy_variable(&variable);
        Ok(Self {
            proxy: proxy.map(|(name, value)| ProxyVariable::parse(name, &value)).transpose()?,
            no_proxy: no_proxy(&variable),
            roots: variable("SSL_CERT_FILE").filter(|path| !path.is_empty()).map(PathBuf::from),
        })
    }

    /// A device as the environment describes it.
    pub(super) fn workstation(self, name: &str) -> Result<Workstation, CliError> {
        let roots = match &self.roots {
            Some(path) => certificates(path)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut workstation = Workstation::new(name, roots);
        if let Some(ProxyVariable { destination, credentials }) = self.proxy {
            workstation.set_credentials(credentials);
            let way = Way { proxy: destination, around: self.no_proxy };
            workstation.set_proxy(ProxySetting::Pac(Arc::new(way)));
        }
        Ok(workstation)
    }

    /// The proxy, for people.
    pub(super) fn proxy(&self) -> Option<String> {
        self.proxy.as_ref().map(|proxy| proxy.destination.to_string())
    }
}

impl ProxyVariable {
    fn parse(name: &str, value: &str) -> Result<Self, CliError> {
        let wrong = |what: &str| {
            let help = format!("write {name}=http://HOST:PORT, or http://NAME:PASSWORD@HOST:PORT");
            CliError::usage(format!("the proxy in {name} {what}")).with_help(help)
        };
        let text = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
        let url = Url::parse(&text).map_err(|error| wrong(&format!("is not a URL: {error}")))?;
        if url.scheme() != "http" {
            return Err(wrong(&format!("is of the kind {}, and only HTTP proxies are spoken to here", url.scheme())));
        }
        let host = url.host_str().and_then(|host| Host::parse(host).ok());
        let (Some(host), Some(port)) = (host, url.port_or_known_default()) else {
            return Err(wrong("has no host"));
        };
        let credentials = (!url.username().is_empty())
            .then(|| (decoded(url.username()), decoded(url.password().unwrap_or_default())));
        Ok(Self { destination: Destination::new(host, port), credentials })
    }
}

/// Every host through the proxy but those named, and loopback, where the sign-in comes back to the application.
struct Way {
    proxy: Destination,
    around: Vec<String>,
}

impl ProxyAutoConfig for Way {
    fn find_proxy(&self, _: &Url, host: &str) -> Vec<PacDirective> {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let direct = loopback || goes_around(&self.around, &host);
        vec![if direct { PacDirective::Direct } else { PacDirective::Proxy(self.proxy.clone()) }]
    }
}

fn goes_around(around: &[String], host: &str) -> bool {
    around.iter().any(|entry| covers(entry, &host.to_ascii_lowercase()))
}

/// `*` is every host; `okta.com`, `.okta.com` and `*.okta.com` are that domain with all below it, as curl has it.
fn covers(entry: &str, host: &str) -> bool {
    let domain = entry.strip_prefix("*.").or_else(|| entry.strip_prefix('.')).unwrap_or(entry);
    entry == "*" || host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// Percent-decoding (RFC 3986, 2.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CliError> {
    let wrong = |reason: &dyn std::fmt::Display| {
        let help = "name a PEM file with the roots that the client trusts, or unset the variable";
        CliError::usage(format!("SSL_CERT_FILE={} cannot be used: {reason}", path.display())).with_help(help)
    };
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error))?;
    if found.is_empty() { Err(wrong(&"it holds no certificate")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(set: &[(&str, &str)]) -> Result<ClientEnvironment, CliError> {
        ClientEnvironment::read(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn the_proxy_reads_as_curl_reads_it() {
        let proxy = |set: &[(&str, &str)]| environment(set).map(|read| read.proxy()).map_err(|error| error.to_string());
        assert_eq!(proxy(&[]), Ok(None));
        assert_eq!(proxy(&[("HTTPS_PROXY", "http://127.0.0.1:8080")]), Ok(Some("127.0.0.1:8080".into())));
        assert_eq!(proxy(&[("ALL_PROXY", "proxy.example:3128/")]), Ok(Some("proxy.example:3128".into())));
        let both = [("https_proxy", "a.example:1"), ("HTTPS_PROXY", "b.example:2")];
        assert_eq!(proxy(&both), Ok(Some("a.example:1".into())));
        assert!(proxy(&[("https_proxy", "socks5://a.example:1")]).unwrap_err().contains("of the kind socks5"));
        let read = environment(&[("https_proxy", "http://ann:s%3Acret@a.example:1")]).unwrap();
        assert_eq!(read.proxy.unwrap().credentials, Some(("ann".into(), "s:cret".into())));
    }

    #[test]
    fn hosts_without_proxy_are_reached_directly() {
        let way = Way { proxy: "p:1".parse().unwrap(), around: vec![".okta.com".into(), "intra".into()] };
        let direct = |host: &str| way.find_proxy(&"https://x/".parse().unwrap(), host) == [PacDirective::Direct];
        assert!(direct("okta.com") && direct("acme.okta.com") && direct("intra") && direct("[::1]"));
        assert!(!direct("notokta.com") && !direct("okta.com.example"));
    }
}
