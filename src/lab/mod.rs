//! One running middlebox: proxy, policy, CA, journal, and where asked a simulated internet.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use middlebox::journal::Outcome;
//! use middlebox::lab::Lab;
//!
//! let lab = Lab::builder().simulate_acme().start().await?;
//! let browser = lab.workstation("laptop"); // trusts the inspection CA, uses the proxy
//! let url = "https://acme.okta.com/".parse()?;
//!
//! let visit = browser.browse(&url).await;
//! assert_eq!(visit.certificate.unwrap().issuer, lab.issuer());
//! lab.bypass("*.okta.com")?;
//! let visit = browser.browse(&url).await;
//! assert_ne!(visit.certificate.unwrap().issuer, lab.issuer());
//!
//! let outcomes: Vec<_> = lab.records().await.iter().map(|record| record.outcome.unwrap()).collect();
//! assert_eq!(outcomes, [Outcome::Accepted, Outcome::Bypassed]);
//! lab.drain().await;
//! # Ok(())
//! # }
//! ```

mod acme;
mod builder;
mod control;
mod error;
mod files;
mod keylog;
mod outbound;
mod pac;
mod running;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_util::sync::CancellationToken;

use control::{BoundControl, Overseen, RunningControl};

pub use acme::acme;
pub use builder::LabBuilder;
pub use error::LabError;
pub use files::TrustFiles;
pub use outbound::{ClientCertRule, ClientCertRuleError, ParentRule, ParentRuleError};
pub use pac::{PacFailure, PacProxy};
pub use running::{RunningLab, Toggled};

use crate::authority::{Authority, Defect, InspectionCa, Password, Permit, Profile, TlsVersion};
use crate::control::{Control, ControlConfig, RootCertificate};
use crate::journal::{Journal, JournalLimits};
use crate::net::{Destination, Dialer, Names, ResolveEntry};
use crate::policy::{OnChange, PolicyConfig, PolicyStore, ReloadEvent};
use crate::proxy::{Authenticate, Credentials, DecideAt, Limits, Proxy, ProxyConfig};
use crate::simulation::{Internet, OriginSpec};

/// How long a TCP connection to an origin may take, its look-up included.
const DIAL: Duration = Duration::from_secs(15);

/// Everything that a lab is made of; plain data, checked by [`LabConfig::build`].
#[derive(Clone, Debug)]
pub struct LabConfig {
    /// Where the proxy listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// Where the control API listens, if there is one; port 0 is any free one.
    pub control: Option<SocketAddr>,
    /// The token that the control API demands; a must where others than this machine reach it.
    pub control_token: Option<String>,
    /// Dialect, default action, rules and policy file.
    pub policy: PolicyConfig,
    /// The profile: its name, or a path.
    pub profile: String,
    /// Where the inspection CA comes from.
    pub ca: CaSource,
    /// What the inspection CA may sign for (RFC 5280, 4.2.1.10); empty is everything.
    pub permits: Vec<Permit>,
    /// In what all forged certificates are wrong, on request.
    pub defect: Option<Defect>,
    /// The highest version of TLS that is spoken with clients; none is as the profile says.
    pub client_tls: Option<TlsVersion>,
    /// CAs that are trusted for origins in addition, as PEM files.
    pub origin_ca: Vec<PathBuf>,
    /// Whether the system's and Mozilla's roots are trusted for origins, and for parents over TLS.
    pub system_roots: bool,
    /// Resolve overrides (`--resolve`). A destination that has one, as every simulated host has, is reached directly.
    pub resolve: Vec<ResolveEntry>,
    /// How other names are resolved.
    pub names: Names,
    /// Which hosts go through which parent proxy (`--parent [PATTERN=]URL|direct`), in order: inspected and bypassed
    /// connections, plain tunnels and plain requests alike.
    pub parents: Vec<ParentRule>,
    /// CAs that are trusted for parents over TLS, beside the system's (`--parent-ca FILE`), as PEM files.
    pub parent_ca: Vec<PathBuf>,
    /// Certificates for origins that ask for one (`--client-cert HOST=FILE`); the first that is for a host counts.
    pub client_certs: Vec<ClientCertRule>,
    /// The origins of the simulated internet; none is no simulated internet.
    pub simulate: Vec<OriginSpec>,
    /// What happens to open connections when a rule changes.
    pub on_change: OnChange,
    /// Where connections are taken that the kernel redirects here (Linux).
    pub transparent: Option<SocketAddr>,
    /// Addresses whose connections all go to one place.
    pub forward: Vec<(SocketAddr, Destination)>,
    /// Clients that may use the proxy.
    pub allow_clients: Vec<IpNet>,
    /// Users that may use the proxy.
    pub credentials: Option<Credentials>,
    /// For which hosts they have to say who they are.
    pub authenticate: Authenticate,
    /// When the policy decides about a TLS connection.
    pub decide_at: DecideAt,
    /// Other ports of this program.
    pub own_ports: Vec<SocketAddr>,
    /// Whether connections to origins serve other clients, too: over HTTP/1.1 idle ones, over HTTP/2 also those in use.
    pub pool: bool,
    /// Whether one connection is passed through uninspected where that helps to find out why its client refused.
    pub probe: bool,
    /// Where TLS secrets of both legs are appended.
    pub keylog: Option<PathBuf>,
    /// Connections held at once.
    pub max_connections: usize,
    /// Whether hosts that cannot be decrypted are bypassed from then on, where the profile's product learns so.
    pub learn: bool,
    /// How long origins may be silent.
    pub limits: Limits,
    /// How much the journal keeps.
    pub journal: JournalLimits,
    /// How long running exchanges may take to end when the lab does.
    pub grace: Duration,
}

/// Where the inspection CA comes from.
#[derive(Clone, Debug)]
pub enum CaSource {
    /// Made for this lab; its key is never written anywhere.
    Memory,
    /// Kept in a state folder; made there at first use.
    State(PathBuf),
    /// Somebody's own: certificate and key, as PEM files.
    External {
        /// The certificate, its chain behind it.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
        /// The password of an encrypted key, as the first line of a file.
        password: Option<PathBuf>,
    },
}

impl Default for LabConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            control: None,
            control_token: None,
            policy: PolicyConfig::default(),
            profile: "generic".to_owned(),
            ca: CaSource::Memory,
            permits: Vec::new(),
            defect: None,
            client_tls: None,
            origin_ca: Vec::new(),
            system_roots: true,
            resolve: Vec::new(),
            names: Names::system(),
            parents: Vec::new(),
            parent_ca: Vec::new(),
            client_certs: Vec::new(),
            simulate: Vec::new(),
            on_change: OnChange::NewOnly,
            transparent: None,
            forward: Vec::new(),
            allow_clients: Vec::new(),
            credentials: None,
            authenticate: Authenticate::Always,
            decide_at: DecideAt::Hello,
            own_ports: Vec::new(),
            pool: false,
            probe: false,
            keylog: None,
            max_connections: 20_000,
            learn: false,
            limits: Limits::default(),
            journal: JournalLimits::default(),
            grace: Duration::from_secs(5),
        }
    }
}

/// A lab whose parts are made and bound, and which does not serve yet.
#[derive(Debug)]
pub struct Lab {
    proxy: Proxy,
    control: Option<BoundControl>,
    overseen: Arc<Overseen>,
    policy: Arc<PolicyStore>,
    authority: Arc<Authority>,
    journal: Journal,
    internet: Option<Internet>,
    files: TrustFiles,
    on_change: OnChange,
    grace: Duration,
}

impl Lab {
    /// A lab in a few calls: any free port, a CA in memory, everything inspected.
    pub fn builder() -> LabBuilder {
        LabBuilder::default()
    }

    /// Where the proxy listens.
    #[must_use]
    pub fn proxy_address(&self) -> SocketAddr {
        self.proxy.address()
    }

    /// The addresses of the transparent port and of the forwarded ones, in the order in which they were given.
    #[must_use]
    pub fn other_addresses(&self) -> Vec<SocketAddr> {
        self.proxy.other_addresses()
    }

    /// Where the control API listens, if there is one.
    #[must_use]
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control.as_ref().map(|control| control.0.address())
    }

    /// Begins to serve, and to watch the policy file.
    #[must_use]
    pub fn spawn(self) -> RunningLab {
        let stop = CancellationToken::new();
        let address = self.proxy.address();
        let other_addresses = self.proxy.other_addresses();
        let proxy = self.proxy.spawn();
        let guards = [stop.clone().drop_guard(), proxy.stop_when_dropped()];
        self.overseen.begin(address, proxy.clone());
        let running = RunningLab {
            address,
            other_addresses,
            proxy,
            control: self.control.map(RunningControl::begin),
            overseen: self.overseen,
            policy: self.policy,
            authority: self.authority,
            journal: self.journal,
            internet: self.internet,
            files: self.files,
            on_change: self.on_change,
            grace: self.grace,
            started: Instant::now(),
            guards,
        };
        if running.policy.file().is_some() {
            let (proxy, journal, on_change) = (running.proxy.clone(), running.journal.clone(), running.on_change);
            let watching = crate::policy::watch(Arc::clone(&running.policy), stop, move |event| match event {
                ReloadEvent::Reloaded { epoch, .. } => {
                    let affected = proxy.reconsider(on_change).len();
                    journal.policy_changed(epoch);
                    tracing::info!(epoch, affected, "policy file reloaded");
                }
                ReloadEvent::Rejected(error) => {
                    tracing::error!("the policy file was refused, the running policy stays: {error}");
                }
                ReloadEvent::Unchanged => {}
            });
            tokio::spawn(watching);
        }
        running
    }
}

impl LabConfig {
    /// Makes the CA, starts the simulated internet, and binds the proxy.
    ///
    /// # Errors
    /// What of the configuration is wrong, or what of the environment is.
    pub async fn build(self) -> Result<Lab, LabError> {
        let mut profile = Profile::load(&self.profile)?;
        if self.learn && profile.undecryptable().learning.is_none() {
            return Err(LabError::LearnsNothing(profile.name().to_owned()));
        }
        if let Some(highest) = self.client_tls {
            profile = Arc::new(profile.limited_to(highest));
        }
        // Of the simulated internet every host is on one loopback address, which says nothing about who shares one.
        let addresses = self.resolve.iter().filter_map(ResolveEntry::name_with_addresses);
        let policy = Arc::new(PolicyStore::new(self.policy)?.with_addresses(addresses));
        let authority = tokio::spawn(make_authority(self.ca.clone(), Arc::clone(&profile), self.permits, self.defect));
        let internet = match self.simulate.is_empty() {
            true => None,
            false => Some(Internet::start(self.simulate).await?),
        };
        let authority = Arc::new(authority.await.map_err(|_| LabError::Stopped)??);
        let public_root = internet.as_ref().map(Internet::root_pem);
        let mut origin_certificates = Vec::new();
        for path in &self.origin_ca {
            origin_certificates.extend(read_certificates(path)?);
        }
        let others = origin_certificates.iter().map(|certificate| crate::net::pem(certificate)).collect();
        let files = TrustFiles::write(&self.ca, &profile, authority.ca(), public_root, others)?;

        let mut overrides = internet.as_ref().map(Internet::overrides).unwrap_or_default();
        for entry in self.resolve {
            overrides.insert(entry);
        }
        let mut origin_roots = RootCertStore::empty();
        if let Some(internet) = &internet {
            origin_roots.add_parsable_certificates([internet.root_der().clone()]);
        }
        origin_roots.add_parsable_certificates(origin_certificates);
        let keylog = self.keylog.as_deref().map(keylog::KeyLogFile::open).transpose()?;
        let keylog = keylog.map(|keylog| Arc::new(keylog) as Arc<dyn rustls::KeyLog>);
        let mut dialer = Dialer::new(Arc::new(overrides), DIAL).with_names(self.names);
        let mut parent_roots = RootCertStore::empty();
        for path in &self.parent_ca {
            parent_roots.add_parsable_certificates(read_certificates(path)?);
        }
        if let Some(routes) = outbound::routes(self.parents, parent_roots, self.system_roots, keylog.clone()) {
            dialer = dialer.with_routes(routes);
        }
        let client_certs = self.client_certs.into_iter().map(ClientCertRule::read).collect::<Result<_, _>>()?;
        let journal = Journal::new(self.journal);
        let overseen = Arc::new(Overseen::new(authority.profile().name(), internet.as_ref()));
        // Before the proxy, which refuses to connect to ports of this program.
        let mut own_ports = self.own_ports;
        let control = match self.control {
            None => None,
            Some(listen) => {
                let ca = RootCertificate { der: authority.ca().root().to_vec(), pem: authority.ca().root_pem() };
                let config = ControlConfig {
                    listen,
                    policy: Arc::clone(&policy),
                    journal: journal.clone(),
                    on_change: self.on_change,
                    ca,
                    lab: Arc::clone(&overseen) as Arc<dyn crate::control::Lab>,
                    token: self.control_token,
                    names: Vec::new(),
                };
                let control = Control::bind(config).await?;
                own_ports.push(control.address());
                Some(BoundControl(control))
            }
        };
        let config = ProxyConfig {
            listen: self.listen,
            transparent: self.transparent,
            forward: self.forward,
            allow_clients: self.allow_clients,
            credentials: self.credentials,
            authenticate: self.authenticate,
            decide_at: self.decide_at,
            own_ports,
            origin_roots,
            system_roots: self.system_roots,
            dialer,
            client_certs,
            keylog,
            pool: self.pool,
            probe: self.probe,
            max_connections: self.max_connections,
            learn: self.learn,
            limits: self.limits,
        };
        let proxy = Proxy::bind(config, Arc::clone(&policy), Arc::clone(&authority), journal.clone()).await?;
        Ok(Lab {
            proxy,
            control,
            overseen,
            policy,
            authority,
            journal,
            internet,
            files,
            on_change: self.on_change,
            grace: self.grace,
        })
    }
}

/// Makes or loads the CA. RSA keys take their time, so this happens off the runtime's threads.
async fn make_authority(
    source: CaSource,
    profile: Arc<Profile>,
    permits: Vec<Permit>,
    defect: Option<Defect>,
) -> Result<Authority, LabError> {
    let make = move || {
        let ca = match &source {
            CaSource::Memory => InspectionCa::in_memory(&profile, &permits)?,
            CaSource::State(folder) => InspectionCa::persisted(folder, &profile, &permits)?,
            CaSource::External { certificate, key, password } => {
                let password = password.as_deref().map(Password::read).transpose()?;
                InspectionCa::external_with_password(certificate, key, password.as_ref())?
            }
        };
        Ok(Authority::with_defect(ca, profile, defect)?)
    };
    tokio::task::spawn_blocking(make).await.map_err(|_| LabError::Stopped)?
}

fn read_certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, LabError> {
    let wrong = |reason: String| LabError::OriginCa { path: path.display().to_string(), reason };
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?.collect();
    match found {
        Ok(found) if found.is_empty() => Err(wrong("it holds no PEM certificate".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(error.to_string())),
    }
}
