//! The lab of a scenario, from its file.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpSocket;

use super::{DEVICE, RunError, Settings, Stage};
use crate::authority::{Permit, Profile};
use crate::lab::{LabConfig, PacProxy, RunningLab};
use crate::net::{Destination, Host, Overrides, ResolveEntry, ResolveHosts};
use crate::pac::{PacError, PacScript};
use crate::policy::{Dialect, PolicyConfig, Ports, RuleSpec};
use crate::proxy::Credentials;
use crate::scenario::Scenario;
use crate::scenario::format::{Middlebox, Placed};
use crate::scenario::words::ProxySetting;
use crate::simulation::{FAST_PASS_PORTS, FastPass, Internet, OriginSpec, PinTable, ProxyAutoConfig, RevocationHosts};
use crate::source::{Document, PlaceError};

/// The simulated internet that a scenario describes.
#[must_use]
pub fn origins(scenario: &Scenario) -> Vec<OriginSpec> {
    let spec = |origin: &crate::scenario::format::Origin| {
        let hosts = origin.hosts.iter().map(|host| host.value.clone()).collect();
        let mut spec = OriginSpec::new(hosts, origin.app);
        spec.certificate = origin.certificate;
        spec.custom_domain = origin.custom_domain.as_ref().map(|host| host.value.clone());
        spec.sign_in_assets = origin.sign_in_assets.as_ref().map(|host| host.value.clone());
        spec.alt_svc.clone_from(&origin.alt_svc);
        let [ocsp, crl] = origin.revocation.each_ref().map(|host| host.as_ref().map(|host| host.value.clone()));
        spec.revocation = RevocationHosts { ocsp, crl };
        spec.enroll_link = origin.enroll_link.as_ref().map(|host| enroll_link(&host.value));
        if let Some(alpn) = &origin.alpn {
            spec.alpn.clone_from(alpn);
        }
        spec
    };
    scenario.origins.iter().map(spec).collect()
}

/// The address to which an organization sends clients to enroll, on another of its hosts.
pub(super) fn enroll_link(host: &crate::net::Host) -> url::Url {
    let destination = crate::net::Destination::new(host.clone(), 443);
    format!("https://{destination}/idp/authenticators").parse().expect("a host makes an address")
}

impl<'a> Stage<'a> {
    /// Starts the lab, and puts the workstation beside it.
    pub(super) async fn set(scenario: &'a Scenario) -> Result<Self, RunError> {
        let document = &scenario.document;
        let closed = TcpSocket::new_v4()?;
        closed.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let fast_pass = FastPass::listen().await?;
        let mut config = middlebox_config(document, &scenario.middlebox)?;
        // A rehearsal never reaches the real internet, whatever a step asks for.
        config.system_roots = scenario.origins.is_empty();
        config.simulate = origins(scenario);
        // `localhost` is the proxy's own machine to the proxy, and no Okta Verify is there.
        for port in FAST_PASS_PORTS {
            let hosts = ResolveHosts::Exact(localhost());
            config.resolve.push(ResolveEntry { hosts, port, addresses: vec![closed.local_addr()?] });
        }
        let lab = config.build().await?.spawn();
        let gateway = match &scenario.gateway {
            Some(gateway) => Some(start_gateway(document, gateway, &lab).await?),
            None => None,
        };

        let mut workstation = lab.workstation(DEVICE);
        let mut ways = match (&gateway, lab.internet()) {
            (Some(gateway), Some(internet)) => through(gateway, internet),
            (_, Some(internet)) => internet.overrides(),
            (_, None) => Overrides::new(),
        };
        for (at, port) in FAST_PASS_PORTS.into_iter().enumerate() {
            let address = if at == 0 { fast_pass.address() } else { closed.local_addr()? };
            ways.point(Destination::new(localhost(), port), address);
        }
        workstation.set_overrides(ways);
        let credentials = scenario.workstation.proxy_credentials.as_ref();
        workstation.set_credentials(credentials.map(|one| (one.user.clone(), one.password.clone())));
        let mut stage = Self {
            scenario,
            pins: lab.internet().map(PinTable::simulated).unwrap_or_default(),
            kept: HashMap::new(),
            workstation,
            settings: Settings {
                proxy: scenario.workstation.proxy,
                service_proxy: scenario.workstation.service_proxy,
                pac: scenario.workstation.pac.clone(),
            },
            lab,
            gateway,
            _fast_pass: fast_pass,
            _closed: closed,
        };
        stage.trust(scenario.workstation.trust_inspection_ca);
        stage.apply_settings().map_err(|error| document.error(0..0, error.to_string(), None))?;
        Ok(stage)
    }

    /// Puts the inspection CAs into the workstation's trust store, or takes them out; the proxy's journal is told, as
    /// the owner of a device would know. The gateway does not know which device a connection comes from.
    pub(super) fn trust(&mut self, trusted: bool) {
        let roots: Vec<_> = self.labs().map(|(_, lab)| lab.authority().ca().root().clone()).collect();
        self.workstation.set_inspection_roots(roots.into_iter().filter(|_| trusted));
        self.lab.journal().set_device_trust(DEVICE, Some(trusted));
    }

    /// Lets the workstation go as it is set to.
    ///
    /// # Errors
    /// The PAC file does not run.
    pub(super) fn apply_settings(&mut self) -> Result<(), PacError> {
        use crate::simulation::ProxySetting as Simulated;
        let proxy = self.lab.proxy_address();
        let pac: Arc<dyn ProxyAutoConfig> = match &self.settings.pac {
            Some(pac) => {
                let names = self.lab.internet().map(Internet::overrides).unwrap_or_default();
                Arc::new(PacProxy::new(PacScript::compile("proxy.pac", &pac.text(proxy))?, Arc::new(names)))
            }
            None => self.lab.pac(),
        };
        let simulated = |setting| match setting {
            ProxySetting::On => Simulated::On(proxy),
            ProxySetting::Off => Simulated::Off,
            ProxySetting::Pac => Simulated::Pac(Arc::clone(&pac)),
        };
        self.workstation.set_proxy(simulated(self.settings.proxy));
        self.workstation.set_service_proxy(self.settings.service_proxy.map(simulated));
        Ok(())
    }
}

fn localhost() -> Host {
    Host::parse("localhost").expect("a literal host name")
}

/// The ports of each host that the gateway stands before.
const PORTS: [u16; 2] = [443, 80];

/// Starts the middlebox on the way of what goes without the proxy. It has a port for each address of the simulated
/// internet, and sees what a transparent middlebox sees: the address that was dialled, and the hello.
async fn start_gateway(document: &Document, gateway: &Middlebox, lab: &RunningLab) -> Result<RunningLab, RunError> {
    let mut config = middlebox_config(document, gateway)?;
    config.system_roots = false;
    config.origin_ca.extend(lab.files().public_root.clone());
    if let Some(internet) = lab.internet() {
        let ways = internet.overrides();
        for (host, _) in internet.origins() {
            let address = internet.address(&host).map(|address| Host::Ip(address.into()));
            for (address, port) in address.iter().flat_map(|address| PORTS.map(|port| (address, port))) {
                let public = Destination::new(address.clone(), port);
                let addresses = ways.lookup(&public).map(<[_]>::to_vec).unwrap_or_default();
                for hosts in [address.clone(), host.clone()].map(ResolveHosts::Exact) {
                    config.resolve.push(ResolveEntry { hosts, port, addresses: addresses.clone() });
                }
                config.forward.push((SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), public));
            }
        }
    }
    Ok(config.build().await?.spawn())
}

/// Where the workstation finds each host: behind the gateway.
fn through(gateway: &RunningLab, internet: &Internet) -> Overrides {
    let mut ways = Overrides::new();
    let mut doors = gateway.other_addresses().iter();
    for (host, _) in internet.origins() {
        let address = internet.address(&host).map(|address| Host::Ip(address.into()));
        // In the order in which they were asked for.
        for (port, door) in PORTS.into_iter().zip(doors.by_ref()) {
            for host in std::iter::once(host.clone()).chain(address.clone()) {
                ways.point(Destination::new(host, port), *door);
            }
        }
    }
    ways
}

/// What both middleboxes of a scenario have in common.
fn middlebox_config(document: &Document, middlebox: &Middlebox) -> Result<LabConfig, RunError> {
    Ok(LabConfig {
        policy: policy(document, middlebox)?,
        profile: match &middlebox.profile {
            Some(profile) => known_profile(document, profile)?,
            None => "generic".to_owned(),
        },
        permits: permits(document, middlebox)?,
        on_change: middlebox.on_change,
        decide_at: middlebox.decide_at,
        credentials: match &middlebox.proxy_auth {
            Some(one) => Some(
                Credentials::one(&one.user, &one.password)
                    .map_err(|error| document.error(0..0, error.to_string(), None))?,
            ),
            None => None,
        },
        ..LabConfig::default()
    })
}

fn policy(document: &Document, middlebox: &Middlebox) -> Result<PolicyConfig, PlaceError> {
    let dialect = match &middlebox.dialect {
        Some(name) => {
            let parsed = name.value.parse::<Dialect>();
            Some(parsed.map_err(|error| document.error(name.span.clone(), error.to_string(), None))?)
        }
        None => None,
    };
    let mut rules = Vec::with_capacity(middlebox.rules.len());
    for rule in &middlebox.rules {
        check_pattern(document, dialect.unwrap_or(Dialect::MIDDLEBOX), &rule.pattern)?;
        let mut spec = RuleSpec::new(rule.pattern.value.clone(), rule.action);
        spec.enabled = rule.enabled;
        spec.ports = rule.ports.iter().filter_map(|port| Ports::new(*port, *port)).collect();
        spec.clients.clone_from(&rule.clients);
        spec.note.clone_from(&rule.note);
        rules.push(spec);
    }
    Ok(PolicyConfig {
        dialect,
        default: middlebox.default.as_ref().map(|default| default.value),
        command_line: rules,
        file: middlebox.policy.as_ref().map(|path| beside(document, &path.value)),
    })
}

/// A bad pattern is pointed at within its string, where that is written without escapes.
pub(super) fn check_pattern(document: &Document, dialect: Dialect, pattern: &Placed<String>) -> Result<(), PlaceError> {
    let Err(error) = dialect.parse(&pattern.value) else { return Ok(()) };
    let text = document.text().get(pattern.span.clone()).unwrap_or_default();
    let inner = text.find(pattern.value.as_str()).map(|at| pattern.span.start + at);
    let span = match inner {
        Some(at) => at + error.span.start..at + error.span.end,
        None => pattern.span.clone(),
    };
    Err(document.error(span, error.problem.to_string(), error.mend))
}

fn known_profile(document: &Document, profile: &Placed<String>) -> Result<String, PlaceError> {
    let beside_file = beside(document, &profile.value);
    let is_toml = Path::new(&profile.value).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    let is_path = profile.value.contains(['/', '\\']) || is_toml;
    let name = if is_path { beside_file.display().to_string() } else { profile.value.clone() };
    match Profile::load(&name) {
        Ok(_) => Ok(name),
        Err(error) => Err(document.error(profile.span.clone(), error.to_string(), None)),
    }
}

fn permits(document: &Document, middlebox: &Middlebox) -> Result<Vec<Permit>, PlaceError> {
    let permit = |host: &Placed<crate::net::Host>| {
        let parsed = host.value.to_string().parse::<Permit>();
        parsed.map_err(|error| document.error(host.span.clone(), error.to_string(), None))
    };
    middlebox.permit.iter().map(permit).collect()
}

/// Paths in a scenario are relative to its file.
fn beside(document: &Document, path: &str) -> PathBuf {
    let folder = Path::new(document.name()).parent().unwrap_or(Path::new(""));
    folder.join(path)
}
