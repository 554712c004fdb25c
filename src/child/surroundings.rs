//! What a child is told of proxy and trust: environment variables, as each runtime reads them.
//!
//! There is no variable that every program reads. [`VARIABLES`] lists the ones that are set, with their readers. What
//! no variable reaches: programs with roots of their own (browsers, pinned clients), and on Windows and macOS those that
//! ask the system's store. OpenSSL and Go read the system's folder of roots beside a file that replaces the file of
//! roots; against a simulated internet that trusts nothing more than before.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use url::Url;

use super::{Command, JAVA_STORE_PASSWORD};

/// The proxy and the trust of a child.
#[derive(Clone)]
pub struct Surroundings {
    /// The proxy for everything, `http://[user:password@]host:port`. `None`: directly, whatever is inherited.
    pub proxy: Option<Url>,
    /// Hosts that are reached without the proxy, separated by commas. `None`: none, whatever is inherited.
    pub no_proxy: Option<String>,
    /// What is trusted. `None`: nothing is said of it, and what is inherited stays.
    pub trust: Option<ClientTrust>,
}

/// Files of roots, in the forms that runtimes take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTrust {
    /// A PEM file with every root that is trusted; it replaces the runtime's own.
    pub bundle: PathBuf,
    /// A PEM file with the roots that are trusted in addition to the runtime's own.
    pub extra: PathBuf,
    /// The bundle as a trust store of Java's, see [`java_store`](super::java_store).
    pub java_store: PathBuf,
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
    /// Options for every Java machine: its proxy and its trust store. Inherited ones are kept before them.
    Java,
    /// Never passed on: it names a proxy, and would lead around what the others say.
    OtherProxy,
    /// Not passed on where trust is told: it names roots, and would add to what the others say.
    OtherRoots,
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
    variable("grpc_proxy", Kind::OtherProxy, "gRPC (C core), before https_proxy"),
    variable(
        "SSL_CERT_FILE",
        Kind::Bundle,
        "OpenSSL's defaults: Python's ssl, Ruby, PHP, Perl, curl; Go, uv, rustls-native-certs; .NET on Linux",
    ),
    variable("SSL_CERT_DIR", Kind::OtherRoots, "the same, for a folder of roots beside the file"),
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
    variable("GIT_SSL_CAPATH", Kind::OtherRoots, "git, for a folder of roots"),
    variable("CARGO_HTTP_CAINFO", Kind::Bundle, "cargo, for its registry and git"),
    variable("CARGO_HTTP_PROXY", Kind::OtherProxy, "cargo, before https_proxy"),
    variable("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", Kind::Bundle, "gRPC (C core): Python, Ruby, C++"),
    variable("NIX_SSL_CERT_FILE", Kind::Bundle, "Nix, and programs from nixpkgs before SSL_CERT_FILE"),
    variable("BUNDLE_SSL_CA_CERT", Kind::Bundle, "Ruby's Bundler"),
    variable("PERL_LWP_SSL_CA_FILE", Kind::Bundle, "Perl's LWP"),
    variable("HEX_CACERTS_PATH", Kind::Bundle, "Elixir's Hex"),
    variable(
        "JAVA_TOOL_OPTIONS",
        Kind::Java,
        "every Java machine: -Dhttps.proxyHost and its kin, -Djavax.net.ssl.trustStore; it says so on standard error",
    ),
];

impl Surroundings {
    /// Every variable that is touched, with its value; `None`: it is not passed on. `inherited` is what a variable
    /// would be without us.
    #[must_use]
    pub fn variables(&self, inherited: impl Fn(&str) -> Option<OsString>) -> Vec<(&'static str, Option<OsString>)> {
        let told = |variable: &&Variable| match variable.kind {
            Kind::Bundle | Kind::Extra | Kind::OtherRoots => self.trust.is_some(),
            _ => true,
        };
        let value = |variable: &Variable| (variable.name, self.value(variable, &inherited));
        VARIABLES.iter().filter(told).map(value).collect()
    }

    /// Tells a command of proxy and trust.
    pub fn apply(&self, command: &mut Command) {
        let mut removed = Vec::new();
        for (name, value) in self.variables(|name| std::env::var_os(name)) {
            match value {
                Some(value) => command.set.push((name.into(), value)),
                None => removed.push(name),
            }
        }
        // Names are one on Windows, whatever their case: what is set must not be removed by its other spelling.
        command.remove.extend(removed.into_iter().map(OsString::from));
    }

    fn value(&self, variable: &Variable, inherited: &impl Fn(&str) -> Option<OsString>) -> Option<OsString> {
        let trust = self.trust.as_ref();
        match variable.kind {
            // Some programs take the slash at the end for a path and refuse the address.
            Kind::Proxy => self.proxy.as_ref().map(|proxy| proxy.as_str().trim_end_matches('/').into()),
            Kind::NoProxy => self.no_proxy.as_ref().map(OsString::from),
            Kind::UseProxy => self.proxy.as_ref().map(|_| "1".into()),
            Kind::Bundle => trust.map(|trust| trust.bundle.clone().into()),
            Kind::Extra => trust.map(|trust| trust.extra.clone().into()),
            Kind::Java => {
                let mut options = inherited(variable.name).unwrap_or_default();
                for option in self.java_options() {
                    if !options.is_empty() {
                        options.push(" ");
                    }
                    options.push(option);
                }
                Some(options).filter(|options| !options.is_empty())
            }
            Kind::OtherProxy | Kind::OtherRoots => None,
        }
    }

    fn java_options(&self) -> Vec<OsString> {
        let mut options = Vec::new();
        if let Some((host, port)) = self.proxy.as_ref().and_then(|proxy| Some((proxy.host_str()?, proxy.port()?))) {
            for scheme in ["https", "http"] {
                options.push(format!("-D{scheme}.proxyHost={host}").into());
                options.push(format!("-D{scheme}.proxyPort={port}").into());
            }
            // Unset, it would mean loopback.
            options.push(format!("\"-Dhttp.nonProxyHosts={}\"", java_hosts(self.no_proxy.as_deref())).into());
        }
        if let Some(trust) = &self.trust {
            let mut store = OsString::from("\"-Djavax.net.ssl.trustStore=");
            store.push(&trust.java_store);
            store.push("\"");
            options.push(store);
            options.push("-Djavax.net.ssl.trustStoreType=JKS".into());
            options.push(format!("-Djavax.net.ssl.trustStorePassword={JAVA_STORE_PASSWORD}").into());
        }
        options
    }
}

/// Hosts without proxy as Java writes them: separated by `|`, a domain as `*.example.com`, IPv6 in brackets.
fn java_hosts(no_proxy: Option<&str>) -> String {
    let hosts = no_proxy.unwrap_or_default().split(',').map(str::trim).filter(|host| !host.is_empty());
    let hosts = hosts.map(|host| match host.strip_prefix('.') {
        Some(_) => format!("*{host}"),
        None if host.parse::<std::net::Ipv6Addr>().is_ok() => format!("[{host}]"),
        None => host.to_owned(),
    });
    hosts.collect::<Vec<_>>().join("|")
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
            .field("trust", &self.trust)
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
            trust: Some(ClientTrust {
                bundle: "/lab/bundle.pem".into(),
                extra: "/lab/extra.pem".into(),
                java_store: "/lab/store.jks".into(),
            }),
        }
    }

    fn listed(surroundings: &Surroundings) -> String {
        let line = |(name, value): (&str, Option<OsString>)| match value {
            Some(value) => format!("{name}={}", value.to_string_lossy()),
            None => format!("{name} removed"),
        };
        surroundings.variables(|_| None).into_iter().map(line).collect::<Vec<_>>().join("\n")
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
        JAVA_TOOL_OPTIONS=-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8080 -Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=8080 "-Dhttp.nonProxyHosts=" "-Djavax.net.ssl.trustStore=/lab/store.jks" -Djavax.net.ssl.trustStoreType=JKS -Djavax.net.ssl.trustStorePassword=changeit
        "##);
    }

    #[test]
    fn where_nothing_is_said_of_trust_what_is_inherited_stays() {
        let mut surroundings = surroundings(Some("http://127.0.0.1:8080"));
        surroundings.trust = None;
        surroundings.no_proxy = Some("localhost,.corp.example,::1".into());
        let inherited = |name: &str| (name == "JAVA_TOOL_OPTIONS").then(|| "-Xmx64m".into());
        let told = surroundings.variables(inherited);
        let value = |name: &str| told.iter().find(|(told, _)| *told == name).map(|(_, value)| value.clone());
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"] {
            assert_eq!(value(name), None, "{name}");
        }
        assert_eq!(value("NO_PROXY"), Some(Some("localhost,.corp.example,::1".into())));
        let java = value("JAVA_TOOL_OPTIONS").flatten().unwrap().into_string().unwrap();
        assert!(java.starts_with("-Xmx64m -Dhttps.proxyHost="), "{java}");
        assert!(java.ends_with("\"-Dhttp.nonProxyHosts=localhost|*.corp.example|[::1]\""), "{java}");
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
