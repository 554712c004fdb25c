//! What a child is told of proxy and trust: environment variables, as each runtime reads them.
//!
//! There is no variable that every program reads. [`VARIABLES`] lists the ones that are set, with their readers. What
//! no variable reaches: Java (a trust store file and system properties), programs with roots of their own (Firefox,
//! pinned clients), and on Windows and macOS those that ask the system's store. OpenSSL and Go read the system's
//! folder of roots beside a file that replaces the file of roots; against a simulated internet that trusts nothing
//! more than before.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use url::Url;

use super::Command;

/// The proxy and the trust of a child.
#[derive(Clone)]
pub struct Surroundings {
    /// The proxy for everything, `http://[user:password@]host:port`. `None`: directly, whatever is inherited.
    pub proxy: Option<Url>,
    /// Hosts that are reached without the proxy, separated by commas. `None`: none, whatever is inherited.
    pub no_proxy: Option<String>,
    /// A PEM file with every root that is trusted; it replaces the runtime's own.
    pub bundle: PathBuf,
    /// A PEM file with the roots that are trusted in addition to the runtime's own.
    pub extra: PathBuf,
}

/// A variable that is set or removed, and who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it gets.
    pub kind: Kind,
    /// The programs that read it.
    pub readers: &'static str,
}

/// What a variable gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The proxy's address; removed where there is no proxy.
    Proxy,
    /// The hosts without proxy; removed where there are none.
    NoProxy,
    /// `1` where there is a proxy; removed otherwise.
    UseProxy,
    /// The file that replaces the roots.
    Bundle,
    /// The file with additional roots.
    Extra,
    /// Never passed on: it would lead around what the others say.
    Removed,
}

const fn variable(name: &'static str, kind: Kind, readers: &'static str) -> Variable {
    Variable { name, kind, readers }
}

/// Every variable that [`Surroundings`] touch.
///
/// Both spellings of the proxy variables are set, because programs differ in which they read: curl reads
/// `http_proxy` only in lower case, and where both are read and differ, either may win.
pub const VARIABLES: &[Variable] = &[
    variable("HTTPS_PROXY", Kind::Proxy, "curl, git, Go, Python, Ruby, .NET, reqwest, npm, pip, cargo, aws, Deno, Bun"),
    variable("https_proxy", Kind::Proxy, "the same; wget in this spelling alone"),
    variable("HTTP_PROXY", Kind::Proxy, "Go, Python, .NET, reqwest, npm, Deno, Bun, for plain HTTP"),
    variable("http_proxy", Kind::Proxy, "the same; curl, git and wget in this spelling alone"),
    variable("ALL_PROXY", Kind::Proxy, "curl, git, reqwest, .NET, httpx, where the one for the scheme is missing"),
    variable("all_proxy", Kind::Proxy, "the same"),
    variable("NO_PROXY", Kind::NoProxy, "all who read HTTPS_PROXY"),
    variable("no_proxy", Kind::NoProxy, "the same; wget in this spelling alone"),
    variable("NODE_USE_ENV_PROXY", Kind::UseProxy, "Node.js 22.21 and 24 on: whether it reads the proxy variables"),
    variable("grpc_proxy", Kind::Removed, "gRPC (C core), before https_proxy"),
    variable(
        "SSL_CERT_FILE",
        Kind::Bundle,
        "OpenSSL's defaults: Python's ssl, Ruby, PHP, Perl, curl; Go, uv, rustls-native-certs; .NET on Linux",
    ),
    variable("SSL_CERT_DIR", Kind::Removed, "the same, for a folder of roots beside the file"),
    variable("CURL_CA_BUNDLE", Kind::Bundle, "curl; Python's requests where REQUESTS_CA_BUNDLE is missing"),
    variable("REQUESTS_CA_BUNDLE", Kind::Bundle, "Python's requests, the Azure CLI"),
    variable("PIP_CERT", Kind::Bundle, "pip, which reads its own before REQUESTS_CA_BUNDLE"),
    variable("HTTPLIB2_CA_CERTS", Kind::Bundle, "Python's httplib2: older Google API clients"),
    variable("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", Kind::Bundle, "gcloud"),
    variable("AWS_CA_BUNDLE", Kind::Bundle, "the AWS CLI and boto3, most AWS SDKs"),
    variable(
        "NODE_EXTRA_CA_CERTS",
        Kind::Extra,
        "Node.js, npm, yarn, Bun: beside the built-in roots, read once at start",
    ),
    variable("DENO_CERT", Kind::Extra, "Deno, beside its roots"),
    variable("GIT_SSL_CAINFO", Kind::Bundle, "git, instead of http.sslCAInfo"),
    variable("GIT_SSL_CAPATH", Kind::Removed, "git, for a folder of roots"),
    variable("CARGO_HTTP_CAINFO", Kind::Bundle, "cargo, for its registry and git"),
    variable("CARGO_HTTP_PROXY", Kind::Removed, "cargo, before https_proxy"),
    variable("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", Kind::Bundle, "gRPC (C core): Python, Ruby, C++"),
    variable("NIX_SSL_CERT_FILE", Kind::Bundle, "Nix, and programs from nixpkgs before SSL_CERT_FILE"),
    variable("BUNDLE_SSL_CA_CERT", Kind::Bundle, "Ruby's Bundler"),
    variable("PERL_LWP_SSL_CA_FILE", Kind::Bundle, "Perl's LWP"),
    variable("HEX_CACERTS_PATH", Kind::Bundle, "Elixir's Hex"),
];

impl Surroundings {
    /// Every variable with its value; `None`: it is not passed on.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, Option<OsString>)> {
        VARIABLES.iter().map(|variable| (variable.name, self.value(variable.kind))).collect()
    }

    /// Tells a command of proxy and trust.
    pub fn apply(&self, command: &mut Command) {
        let mut removed = Vec::new();
        for (name, value) in self.variables() {
            match value {
                Some(value) => command.set.push((name.into(), value)),
                None => removed.push(name),
            }
        }
        // Names are one on Windows, whatever their case: what is set must not be removed by its other spelling.
        command.remove.extend(removed.into_iter().map(OsString::from));
    }

    fn value(&self, kind: Kind) -> Option<OsString> {
        match kind {
            // Some programs take the slash at the end for a path and refuse the address.
            Kind::Proxy => self.proxy.as_ref().map(|proxy| proxy.as_str().trim_end_matches('/').into()),
            Kind::NoProxy => self.no_proxy.as_ref().map(OsString::from),
            Kind::UseProxy => self.proxy.as_ref().map(|_| "1".into()),
            Kind::Bundle => Some(self.bundle.clone().into()),
            Kind::Extra => Some(self.extra.clone().into()),
            Kind::Removed => None,
        }
    }
}

/// The proxy's password stays out of logs.
impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut proxy = self.proxy.clone();
        if let Some(proxy) = proxy.as_mut().filter(|proxy| proxy.password().is_some()) {
            let _ = proxy.set_password(Some("…"));
        }
        f.debug_struct("Surroundings")
            .field("proxy", &proxy.as_ref().map(Url::as_str))
            .field("no_proxy", &self.no_proxy)
            .field("bundle", &self.bundle)
            .field("extra", &self.extra)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(proxy: Option<&str>) -> Surroundings {
        Surroundings {
            proxy: proxy.map(|proxy| proxy.parse().unwrap()),
            no_proxy: None,
            bundle: "/lab/bundle.pem".into(),
            extra: "/lab/extra.pem".into(),
        }
    }

    fn listed(surroundings: &Surroundings) -> String {
        let line = |(name, value): (&str, Option<OsString>)| match value {
            Some(value) => format!("{name}={}", value.to_string_lossy()),
            None => format!("{name} removed"),
        };
        surroundings.variables().into_iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn behind_a_proxy() {
        insta::assert_snapshot!(listed(&surroundings(Some("http://127.0.0.1:8080"))), @r##"
        HTTPS_PROXY=http://127.0.0.1:8080
        https_proxy=http://127.0.0.1:8080
        HTTP_PROXY=http://127.0.0.1:8080
        http_proxy=http://127.0.0.1:8080
        ALL_PROXY=http://127.0.0.1:8080
        all_proxy=http://127.0.0.1:8080
        NO_PROXY removed
        no_proxy removed
        NODE_USE_ENV_PROXY=1
        grpc_proxy removed
        SSL_CERT_FILE=/lab/bundle.pem
        SSL_CERT_DIR removed
        CURL_CA_BUNDLE=/lab/bundle.pem
        REQUESTS_CA_BUNDLE=/lab/bundle.pem
        PIP_CERT=/lab/bundle.pem
        HTTPLIB2_CA_CERTS=/lab/bundle.pem
        CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE=/lab/bundle.pem
        AWS_CA_BUNDLE=/lab/bundle.pem
        NODE_EXTRA_CA_CERTS=/lab/extra.pem
        DENO_CERT=/lab/extra.pem
        GIT_SSL_CAINFO=/lab/bundle.pem
        GIT_SSL_CAPATH removed
        CARGO_HTTP_CAINFO=/lab/bundle.pem
        CARGO_HTTP_PROXY removed
        GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=/lab/bundle.pem
        NIX_SSL_CERT_FILE=/lab/bundle.pem
        BUNDLE_SSL_CA_CERT=/lab/bundle.pem
        PERL_LWP_SSL_CA_FILE=/lab/bundle.pem
        HEX_CACERTS_PATH=/lab/bundle.pem
        "##);
    }

    #[test]
    fn without_a_proxy_none_is_inherited() {
        let direct = listed(&surroundings(None));
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY", "NODE_USE_ENV_PROXY"] {
            assert!(direct.contains(&format!("{name} removed")), "{name}");
        }
        assert!(direct.contains("SSL_CERT_FILE=/lab/bundle.pem"));
    }

    #[test]
    fn the_password_stays_out_of_logs() {
        let shown = format!("{:?}", surroundings(Some("http://user:secret@127.0.0.1:8080")));
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("user"), "{shown}");
    }

    #[test]
    fn each_name_stands_once() {
        for (at, variable) in VARIABLES.iter().enumerate() {
            assert!(VARIABLES[..at].iter().all(|earlier| earlier.name != variable.name), "{}", variable.name);
        }
    }
}
