//! The clients: how each is found, told of proxy, trust, version and pin, and run for a limited time.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use middlebox::child::{Command, Status, run};
use tokio::sync::OnceCell;

use crate::in_process;

/// No visit may take longer; a runtime that compiles its program first is slow on a busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(90);

/// What the surroundings may say of proxy and trust; a visit says it all itself.
const FOREIGN: [&str; 13] = [
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "JAVA_TOOL_OPTIONS",
];

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/programs");

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Curl,
    Wget,
    GnuTls,
    OpenSsl,
    Git,
    Python,
    Requests,
    Httpx,
    Aiohttp,
    Urllib3,
    Node,
    Fetch,
    Java,
    OkHttp,
    Go,
    Rustls,
}

/// Every client has to be there, where this variable is set to `all`.
const REQUIRED: &str = "MIDDLEBOX_TEST_CLIENTS";

/// The TLS version that a client is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    V12,
    V13,
    Any,
}

/// One visit of a client to `https://HOST/`.
#[derive(Clone, Debug)]
pub(crate) struct Visit<'a> {
    pub(crate) proxy: SocketAddr,
    /// A port of the middlebox that leads to the host, for clients that ask no proxy for a tunnel.
    pub(crate) forward: SocketAddr,
    pub(crate) host: &'a str,
    /// The one root that it trusts, PEM.
    pub(crate) trust: &'a Path,
    pub(crate) tls: Tls,
    /// The base64 of the one public key that it accepts.
    pub(crate) pin: Option<&'a str>,
    /// Where it may write.
    pub(crate) folder: &'a Path,
}

/// How a visit went, by the client's own word.
#[derive(Clone, Debug)]
pub(crate) struct Went {
    /// Whether it got its answer.
    pub(crate) well: bool,
    /// What it printed.
    pub(crate) said: String,
}

impl Client {
    pub(crate) const ALL: [Self; 16] = [
        Self::Curl,
        Self::Wget,
        Self::GnuTls,
        Self::OpenSsl,
        Self::Git,
        Self::Python,
        Self::Requests,
        Self::Httpx,
        Self::Aiohttp,
        Self::Urllib3,
        Self::Node,
        Self::Fetch,
        Self::Java,
        Self::OkHttp,
        Self::Go,
        Self::Rustls,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::Wget => "wget",
            Self::GnuTls => "gnutls-cli",
            Self::OpenSsl => "openssl",
            Self::Git => "git",
            Self::Python => "python",
            Self::Requests => "requests",
            Self::Httpx => "httpx",
            Self::Aiohttp => "aiohttp",
            Self::Urllib3 => "urllib3",
            Self::Node => "node",
            Self::Fetch => "node-fetch",
            Self::Java => "java",
            Self::OkHttp => "okhttp",
            Self::Go => "go",
            Self::Rustls => "rustls",
        }
    }

    /// The clients that can be run here. What is missing is printed.
    pub(crate) async fn present() -> Vec<Self> {
        let mut present = Vec::new();
        for client in Self::ALL {
            match client.missing().await {
                None => present.push(client),
                Some(why) => skip(client.name(), &why),
            }
        }
        present
    }

    /// Why it cannot be run here.
    async fn missing(self) -> Option<String> {
        let needs: &[&[&str]] = match self {
            Self::Curl => &[&["curl", "--version"]],
            Self::Wget => &[&["wget", "--version"]],
            Self::GnuTls => &[&["gnutls-cli", "--version"], &["sh", "-c", "printf x"]],
            Self::OpenSsl => &[&["openssl", "version"], &["sh", "-c", "printf x"]],
            Self::Git => &[&["git", "--version"]],
            Self::Python => &[&["python3", "-c", "import ssl"]],
            Self::Requests | Self::Httpx | Self::Aiohttp | Self::Urllib3 => {
                let found = python_with(self.name()).await.is_some();
                return (!found).then(|| format!("no python3 has the library {}", self.name()));
            }
            Self::Node => &[&["node", "--version"]],
            Self::Fetch => &[&["node", "--eval", "fetch"]],
            Self::Java => &[&["java", "-version"], &["keytool", "-help"]],
            Self::OkHttp => {
                let missing = OKHTTP.iter().find(|file| !Path::new(file).exists());
                if let Some(file) = missing {
                    return Some(format!("{file} is not there (Debian: libokhttp-java)"));
                }
                &[&["java", "-version"], &["keytool", "-help"]]
            }
            Self::Go => return go().await.as_ref().err().cloned(),
            Self::Rustls => &[],
        };
        for command in needs {
            let argv = command.iter().map(OsString::from).collect();
            let went = perform(Command { argv, time_limit: Some(TIME_LIMIT), ..Command::default() }).await;
            if !went.well {
                return Some(format!("`{}` does not run", command.join(" ")));
            }
        }
        None
    }

    /// Whether it can be held to one public key, and says by its own means that another was shown.
    pub(crate) fn pins(self) -> bool {
        !matches!(
            self,
            Self::Wget | Self::GnuTls | Self::OpenSsl | Self::Git | Self::Requests | Self::Httpx | Self::Fetch
        )
    }

    /// Whether what it is held to is a key; the others are held to a certificate that nobody has.
    pub(crate) fn pins_keys(self) -> bool {
        self.pins() && !matches!(self, Self::Aiohttp | Self::Urllib3)
    }

    /// Whether it can ask for this host.
    pub(crate) fn reaches(self, host: &str) -> bool {
        // Its names are pointed at the middlebox; an address is an address.
        self != Self::Fetch || host.parse::<std::net::IpAddr>().is_err()
    }

    /// Visits; the client's whole process group is gone when this returns.
    pub(crate) async fn visit(self, visit: &Visit<'_>) -> Went {
        if self == Self::Rustls {
            return in_process::visit(visit).await;
        }
        let (argv, set) = match self {
            Self::Curl => curl(visit),
            Self::Wget => wget(visit),
            Self::GnuTls => gnutls_cli(visit),
            Self::OpenSsl => openssl(visit),
            Self::Git => git(visit),
            Self::Python => program("python3", "visit.py", visit, visit.trust),
            Self::Requests | Self::Httpx | Self::Aiohttp | Self::Urllib3 => {
                let python = python_with(self.name()).await.expect("a client that is missing is not asked to visit");
                let forgets = self == Self::Aiohttp && visit.pin.is_some();
                let visit = &Visit { proxy: if forgets { visit.forward } else { visit.proxy }, ..visit.clone() };
                let (mut argv, set) = program(&python, "visit_library.py", visit, visit.trust);
                argv.insert(2, self.name().into());
                (argv, set)
            }
            Self::Node => node(visit),
            Self::Fetch => fetch(visit),
            Self::OkHttp => {
                let (mut argv, set) = program("java", "VisitOkHttp.java", visit, &truststore(visit).await);
                let class_path = OKHTTP.join(":");
                argv.splice(1..1, texts(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", &class_path]));
                (argv, set)
            }
            Self::Java => {
                let (mut argv, set) = program("java", "Visit.java", visit, &truststore(visit).await);
                // One short visit is over before a better compiler pays.
                argv.splice(1..1, texts(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]));
                (argv, set)
            }
            Self::Go => {
                let built = go().await.as_ref().expect("a client that is missing is not asked to visit");
                (arguments(built.program.clone().into(), None, visit, Some(visit.trust)), Vec::new())
            }
            Self::Rustls => unreachable!("answered above"),
        };
        let mut command = Command { argv, set, time_limit: Some(TIME_LIMIT), ..Command::default() };
        command.set.extend(gnutls(visit));
        command.remove = FOREIGN.iter().map(OsString::from).collect();
        let mut went = perform(command).await;
        if self == Self::Git {
            // The origin holds a web page and no repository; that git says so means that it has read the page.
            went.well = !went.said.contains("unable to access");
        }
        went
    }
}

/// Says what is not tried, and why; a failure where everything has to be there.
pub(crate) fn skip(what: &str, why: &str) {
    let all = std::env::var(REQUIRED).is_ok_and(|which| which == "all");
    assert!(!all, "{REQUIRED}=all, and this client is missing: {what}: {why}");
    println!("skipped: {what}: {why}");
}

async fn perform(command: Command) -> Went {
    match run(&command).await {
        Ok(outcome) => Went {
            well: outcome.status == Status::Exited(0),
            said: format!("{:?}\n{}{}", outcome.status, outcome.stdout.text(), outcome.stderr.text()),
        },
        Err(error) => Went { well: false, said: error.to_string() },
    }
}

type Argv = Vec<OsString>;
type Variables = Vec<(OsString, OsString)>;

fn texts<const N: usize>(texts: [&str; N]) -> Argv {
    texts.iter().map(OsString::from).collect()
}

fn curl(visit: &Visit<'_>) -> (Argv, Variables) {
    let mut argv = texts(["curl", "--silent", "--show-error", "--fail", "--output", "-", "--proxy"]);
    argv.extend(texts([&format!("http://{}", visit.proxy), "--cacert"]));
    argv.push(visit.trust.into());
    argv.extend(match visit.tls {
        Tls::V12 => texts(["--tlsv1.2", "--tls-max", "1.2"]),
        Tls::V13 => texts(["--tlsv1.3"]),
        Tls::Any => Vec::new(),
    });
    if let Some(pin) = visit.pin {
        argv.extend(texts(["--pinnedpubkey", &format!("sha256//{pin}")]));
    }
    argv.push(format!("https://{}/", visit.host).into());
    (argv, Vec::new())
}

fn wget(visit: &Visit<'_>) -> (Argv, Variables) {
    let mut argv = texts(["wget", "--no-config", "--no-hsts", "--tries=1", "--timeout=30", "--output-document=-"]);
    argv.push(format!("--ca-certificate={}", visit.trust.display()).into());
    // Without this the system's own roots count as well.
    argv.push(format!("--ca-directory={}", visit.folder.display()).into());
    argv.extend(match visit.tls {
        Tls::V12 => vec!["--secure-protocol=TLSv1_2".into()],
        Tls::V13 => vec!["--secure-protocol=TLSv1_3".into()],
        Tls::Any => Vec::new(),
    });
    argv.push(format!("https://{}/", visit.host).into());
    (argv, vec![("https_proxy".into(), format!("http://{}", visit.proxy).into())])
}

/// Asks by hand, and without a proxy, which it does not know.
fn gnutls_cli(visit: &Visit<'_>) -> (Argv, Variables) {
    let by_address = visit.host.parse::<std::net::IpAddr>().is_ok();
    let sni = if by_address { "--disable-sni".to_owned() } else { format!("--sni-hostname={}", visit.host) };
    let version = match visit.tls {
        Tls::V12 => "--priority=NORMAL:-VERS-ALL:+VERS-TLS1.2",
        Tls::V13 => "--priority=NORMAL:-VERS-ALL:+VERS-TLS1.3",
        Tls::Any => "--priority=NORMAL",
    };
    let line = format!(
        "printf 'GET / HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n' | gnutls-cli {sni} \
         --verify-hostname={host} {version} --x509cafile=\"$TRUST\" --port={port} {ip}",
        host = visit.host,
        port = visit.forward.port(),
        ip = visit.forward.ip(),
    );
    (texts(["sh", "-c", &line]), vec![("TRUST".into(), visit.trust.into())])
}

fn fetch(visit: &Visit<'_>) -> (Argv, Variables) {
    let mut argv = texts(["node"]);
    argv.extend(match visit.tls {
        Tls::V12 => texts(["--tls-max-v1.2"]),
        Tls::V13 => texts(["--tls-min-v1.3"]),
        Tls::Any => Vec::new(),
    });
    argv.push(Path::new(PROGRAMS).join("visit_fetch.mjs").into());
    argv.extend(texts([&visit.forward.port().to_string(), visit.host]));
    (argv, vec![("NODE_EXTRA_CA_CERTS".into(), visit.trust.into())])
}

/// OkHttp and what it stands on, as Debian installs them.
const OKHTTP: [&str; 2] = ["/usr/share/java/okhttp.jar", "/usr/share/java/okio.jar"];

/// The first Python that has a library: one of the tests' own, the user's, the system's.
async fn python_with(library: &str) -> Option<String> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/bin/python3");
    for python in [own.display().to_string(), "python3".to_owned(), "/usr/bin/python3".to_owned()] {
        let argv = texts([&python, "-c", &format!("import {library}")]);
        if perform(Command { argv, time_limit: Some(TIME_LIMIT), ..Command::default() }).await.well {
            return Some(python);
        }
    }
    None
}

/// GnuTLS takes the newest version that it may; programs on top of it only say the oldest.
fn gnutls(visit: &Visit<'_>) -> Variables {
    if visit.tls != Tls::V12 {
        return Vec::new();
    }
    let file = visit.folder.join("gnutls");
    std::fs::write(&file, "[overrides]\ndisabled-version = tls1.3\n").expect("the temporary folder can be written");
    vec![("GNUTLS_SYSTEM_PRIORITY_FILE".into(), file.into())]
}

/// Asks by hand, from a shell, because the program sends what it reads.
fn openssl(visit: &Visit<'_>) -> (Argv, Variables) {
    let by_address = visit.host.parse::<std::net::IpAddr>().is_ok();
    let name = if by_address {
        format!("-noservername -verify_ip {}", visit.host)
    } else {
        format!("-servername {0} -verify_hostname {0}", visit.host)
    };
    let version = match visit.tls {
        Tls::V12 => "-tls1_2",
        Tls::V13 => "-tls1_3",
        Tls::Any => "",
    };
    let line = format!(
        "printf 'GET / HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client -quiet \
         -proxy {proxy} -connect {host}:443 {name} {version} -x509_strict -verify_return_error \
         -CAfile \"$TRUST\" -no-CApath -no-CAstore",
        host = visit.host,
        proxy = visit.proxy,
    );
    (texts(["sh", "-c", &line]), vec![("TRUST".into(), visit.trust.into())])
}

fn git(visit: &Visit<'_>) -> (Argv, Variables) {
    let mut argv = texts(["git", "-c", &format!("http.proxy=http://{}", visit.proxy), "-c"]);
    argv.push(format!("http.sslCAInfo={}", visit.trust.display()).into());
    argv.extend(match visit.tls {
        Tls::V12 => texts(["-c", "http.sslVersion=tlsv1.2"]),
        Tls::V13 => texts(["-c", "http.sslVersion=tlsv1.3"]),
        Tls::Any => Vec::new(),
    });
    argv.extend(texts(["ls-remote", &format!("https://{}/project.git", visit.host)]));
    let nowhere = visit.folder.join("no-such-file").into_os_string();
    let set = vec![
        ("GIT_CONFIG_GLOBAL".into(), nowhere.clone()),
        ("GIT_CONFIG_SYSTEM".into(), nowhere),
        ("GIT_TERMINAL_PROMPT".into(), "0".into()),
    ];
    (argv, set)
}

fn node(visit: &Visit<'_>) -> (Argv, Variables) {
    let argv = arguments("node".into(), Some("visit.mjs"), visit, None);
    (argv, vec![("NODE_EXTRA_CA_CERTS".into(), visit.trust.into())])
}

fn program(runtime: &str, file: &str, visit: &Visit<'_>, trust: &Path) -> (Argv, Variables) {
    (arguments(runtime.into(), Some(file), visit, Some(trust)), Vec::new())
}

/// The arguments that all programs of the folder take.
fn arguments(runtime: OsString, file: Option<&str>, visit: &Visit<'_>, trust: Option<&Path>) -> Argv {
    let mut argv = vec![runtime];
    argv.extend(file.map(|file| Path::new(PROGRAMS).join(file).into()));
    argv.extend(texts([&visit.proxy.to_string(), visit.host]));
    argv.extend(trust.map(OsString::from));
    let version = match visit.tls {
        Tls::V12 => "1.2",
        Tls::V13 => "1.3",
        Tls::Any => "any",
    };
    argv.extend(texts([version, visit.pin.unwrap_or("-")]));
    argv
}

/// The root in a truststore, made as an administrator makes one.
async fn truststore(visit: &Visit<'_>) -> PathBuf {
    let store = visit.trust.with_extension("p12");
    if !store.exists() {
        let mut argv = texts(["keytool", "-importcert", "-noprompt", "-storetype", "PKCS12", "-alias", "root"]);
        argv.extend(texts(["-storepass", "changeit", "-file"]));
        argv.extend([visit.trust.into(), "-keystore".into(), store.clone().into()]);
        let went = perform(Command { argv, time_limit: Some(TIME_LIMIT), ..Command::default() }).await;
        assert!(went.well, "keytool: {}", went.said);
    }
    store
}

/// The Go program, compiled once for all tests.
struct Built {
    program: PathBuf,
    _folder: tempfile::TempDir,
}

async fn go() -> &'static Result<Built, String> {
    static GO: OnceCell<Result<Built, String>> = OnceCell::const_new();
    GO.get_or_init(|| async {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let program = folder.path().join(format!("visit{}", std::env::consts::EXE_SUFFIX));
        let version = Command { argv: texts(["go", "version"]), time_limit: Some(TIME_LIMIT), ..Command::default() };
        if !perform(version).await.well {
            return Err("`go version` does not run".to_owned());
        }
        let mut argv = texts(["go", "build", "-o"]);
        argv.extend([program.clone().into(), Path::new(PROGRAMS).join("visit.go").into()]);
        // The first build compiles the standard library.
        let limit = Some(Duration::from_secs(300));
        let built = perform(Command { argv, time_limit: limit, ..Command::default() }).await;
        assert!(built.well, "the Go program does not compile: {}", built.said);
        Ok(Built { program, _folder: folder })
    })
    .await
}
