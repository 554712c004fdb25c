//! The lab of a scenario, from its file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{DEVICE, RunError, Stage};
use crate::authority::{Permit, Profile};
use crate::lab::LabConfig;
use crate::policy::{Dialect, PolicyConfig, Ports, RuleSpec};
use crate::proxy::Credentials;
use crate::scenario::Scenario;
use crate::scenario::format::{Middlebox, Placed};
use crate::scenario::words::ProxySetting;
use crate::simulation::{ClientProfile, OktaVerify, OriginSpec, PinTable};
use crate::source::{Document, PlaceError};

/// The simulated internet that a scenario describes.
#[must_use]
pub fn origins(scenario: &Scenario) -> Vec<OriginSpec> {
    let spec = |origin: &crate::scenario::format::Origin| {
        let hosts = origin.hosts.iter().map(|host| host.value.clone()).collect();
        let mut spec = OriginSpec::new(hosts, origin.app);
        spec.certificate = origin.certificate;
        spec.custom_domain = origin.custom_domain.as_ref().map(|host| host.value.clone());
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
        let middlebox = &scenario.middlebox;
        let config = LabConfig {
            policy: policy(document, middlebox)?,
            profile: match &middlebox.profile {
                Some(profile) => known_profile(document, profile)?,
                None => "generic".to_owned(),
            },
            permits: permits(document, middlebox)?,
            // A rehearsal never reaches the real internet, whatever a step asks for.
            system_roots: scenario.origins.is_empty(),
            simulate: origins(scenario),
            on_change: middlebox.on_change,
            credentials: match &middlebox.proxy_auth {
                Some(one) => Some(
                    Credentials::one(&one.user, &one.password)
                        .map_err(|error| document.error(0..0, error.to_string(), None))?,
                ),
                None => None,
            },
            ..LabConfig::default()
        };
        let lab = config.build().await?.spawn();
        let mut workstation = lab.workstation(DEVICE);
        let pins = lab.internet().map(PinTable::simulated).unwrap_or_default();
        let profile = ClientProfile::default();
        let mut stage = Self {
            scenario,
            okta_verify: OktaVerify::new(pins.clone(), profile),
            late_okta_verify: OktaVerify::new(pins, ClientProfile { late: true, ..profile }),
            kept: HashMap::new(),
            workstation: {
                let credentials = scenario.workstation.proxy_credentials.as_ref();
                workstation.set_credentials(credentials.map(|one| (one.user.clone(), one.password.clone())));
                workstation
            },
            lab,
        };
        stage.trust(scenario.workstation.trust_inspection_ca);
        stage.set_proxy(scenario.workstation.proxy);
        Ok(stage)
    }

    /// Puts the inspection CA into the workstation's trust store, or takes it out; the middlebox's journal is told, as
    /// the owner of a device would know.
    pub(super) fn trust(&mut self, trusted: bool) {
        let root = trusted.then(|| self.lab.authority().ca().root().clone());
        self.workstation.set_inspection_root(root);
        self.lab.journal().set_device_trust(DEVICE, Some(trusted));
    }

    pub(super) fn set_proxy(&mut self, setting: ProxySetting) {
        use crate::simulation::ProxySetting as Simulated;
        self.workstation.set_proxy(match setting {
            ProxySetting::On => Simulated::On(self.lab.proxy_address()),
            ProxySetting::Off => Simulated::Off,
            ProxySetting::Pac => Simulated::Pac(self.lab.pac()),
        });
    }
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
