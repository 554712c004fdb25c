//! Proxy auto-configuration: the question asked, and the answers a script gives.

use std::fmt;

use url::Url;

use crate::net::Destination;

/// Whoever answers `FindProxyForURL(url, host)`.
pub trait ProxyAutoConfig: Send + Sync {
    /// The ways to try for a URL, in order. Browsers pass https URLs with their path and query removed.
    fn find_proxy(&self, url: &Url, host: &str) -> Vec<PacDirective>;
}

/// One way that a PAC script names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PacDirective {
    /// Without a proxy.
    Direct,
    /// Through an HTTP proxy.
    Proxy(Destination),
    /// A way that the simulated workstation cannot go (`SOCKS`, `HTTPS`), as it was written; it counts as unreachable.
    Unsupported(String),
}

impl PacDirective {
    /// Reads the result of a script, as `PROXY proxy.example:8080; DIRECT`; an empty one is `DIRECT`.
    #[must_use]
    pub fn parse_list(text: &str) -> Vec<Self> {
        let ways = text.split(';').map(str::trim).filter(|way| !way.is_empty());
        let mut ways: Vec<_> = ways.map(Self::parse).collect();
        if ways.is_empty() {
            ways.push(Self::Direct);
        }
        ways
    }

    fn parse(way: &str) -> Self {
        let (word, rest) = way.split_once(char::is_whitespace).unwrap_or((way, ""));
        let proxy = || Destination::parse_or(rest.trim(), 80).ok();
        if word.eq_ignore_ascii_case("DIRECT") {
            return Self::Direct;
        }
        if word.eq_ignore_ascii_case("PROXY") || word.eq_ignore_ascii_case("HTTP") {
            return proxy().map_or_else(|| Self::Unsupported(way.to_owned()), Self::Proxy);
        }
        Self::Unsupported(way.to_owned())
    }
}

impl fmt::Display for PacDirective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("DIRECT"),
            Self::Proxy(proxy) => write!(f, "PROXY {proxy}"),
            Self::Unsupported(way) => f.write_str(way),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_scripts_return() {
        let read = |text| PacDirective::parse_list(text).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(read("PROXY proxy.example:8080; direct"), ["PROXY proxy.example:8080", "DIRECT"]);
        assert_eq!(read("PROXY proxy.example"), ["PROXY proxy.example:80"]);
        assert_eq!(read(" ; "), ["DIRECT"]);
        assert_eq!(PacDirective::parse_list("SOCKS a:1"), [PacDirective::Unsupported("SOCKS a:1".into())]);
    }
}
