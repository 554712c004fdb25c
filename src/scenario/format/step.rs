//! The `[[step]]`s: what each does.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use url::Url;

use super::lab::{Credentials, Hosts, Pac, clients, decide_at, service_proxy};
use super::raw::{List, RawBypass, RawCommand, RawMiddleboxChange, RawOrganization, RawStep, RawWorkstation, Text};
use super::{Expectations, Placed, Reader};
use crate::net::Host;
use crate::policy::{Network, OnChange};
use crate::proxy::DecideAt;
use crate::scenario::words::{By, ProxySetting, Word, choices};
use crate::simulation::{App, SniChoice};
use crate::source::PlaceError;

/// One step: something is done, and something may be expected of it.
///
/// A step that cannot be done at all (a command that does not exist, a rule to switch off that nobody added) is an
/// error, with or without expectations.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it is called.
    pub name: Placed<String>,
    /// What it does.
    pub action: StepAction,
    /// What is expected of it; all of it has to hold.
    pub expect: Expectations,
    /// Its place, from `[[step]]` on.
    pub span: Range<usize>,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum StepAction {
    /// The simulated Okta Verify enrolls.
    Enroll {
        /// The organization.
        target: Target,
        /// The client looks at the pin only once the handshake is over, and closes without an alert.
        late: bool,
        /// What the hellos of its application name, if not the host of the address.
        sni: Option<SniChoice>,
    },
    /// The browser of the workstation, which pins nothing, opens a page.
    Browse {
        /// The page.
        target: Target,
        /// What its hello names, if not the host of the address.
        sni: Option<SniChoice>,
    },
    /// The browser opens a sign-in page, which looks for Okta Verify on loopback.
    FastPass(Target),
    /// A real program runs with the workstation's proxy and trust.
    Command(Command),
    /// Bypass rules change while the lab runs.
    Bypass(BypassChange),
    /// The workstation changes.
    Workstation(WorkstationChange),
    /// A request of the browser on a connection that stays open across steps: the first use of an address opens it,
    /// later ones ask again on it, or on a new one where the middlebox has closed it.
    KeepOpen(Target),
    /// The administrator of a simulated organization changes it.
    Organization {
        /// One of its hosts.
        host: Placed<Host>,
        /// Where its enroll link leads from now on.
        enroll_link: EnrollLink,
    },
    /// A middlebox changes.
    Middlebox {
        /// Which one.
        by: By,
        /// What happens to open connections from now on.
        on_change: Option<OnChange>,
        /// When its policy decides from now on.
        decide_at: Option<DecideAt>,
    },
}

/// The kinds of step, by the key that a file uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `enroll`
    Enroll,
    /// `browse`
    Browse,
    /// `fast-pass`
    FastPass,
    /// `command`
    Command,
    /// `bypass`
    Bypass,
    /// `workstation`
    Workstation,
    /// `keep-open`
    KeepOpen,
    /// `organization`
    Organization,
    /// `middlebox`
    Middlebox,
    /// `gateway`
    Gateway,
}

/// An `https` address.
#[derive(Clone, Debug)]
pub struct Target {
    /// The address.
    pub url: Placed<Url>,
    /// Its host.
    pub host: Host,
}

/// A program and its arguments.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program first; each word in parts, at least one word.
    pub run: Vec<Placed<Vec<CommandPart>>>,
    /// When it is ended. `None`: the runner's limit.
    pub timeout: Option<Duration>,
}

/// A piece of one word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandPart {
    /// As it stands.
    Text(String),
    /// `{pin:HOST}`: the bare base64 of the genuine origin's pin.
    Pin(Host),
}

/// Changes to the bypass rules, made in this order: `remove`, `off`, `on`, `add`.
#[derive(Clone, Debug)]
pub struct BypassChange {
    /// Whose rules change.
    pub of: By,
    /// The clients that added rules are for, by address. Empty: all.
    pub clients: Vec<Network>,
    /// Patterns to bypass from now on.
    pub add: Vec<Placed<String>>,
    /// Patterns whose rules go.
    pub remove: Vec<Placed<String>>,
    /// Patterns whose rules apply again.
    pub on: Vec<Placed<String>>,
    /// Patterns whose rules rest.
    pub off: Vec<Placed<String>>,
    /// The position of the first added rule among all rules, from 1. `None`: the top.
    pub at: Option<usize>,
}

/// Changes to the workstation. `None`: stays as it is.
#[derive(Clone, Debug)]
pub struct WorkstationChange {
    /// Its proxy setting; where services have one of their own, that of the user.
    pub proxy: Option<ProxySetting>,
    /// The proxy setting that services read from now on; `Some(None)`: the same again.
    pub service_proxy: Option<Option<ProxySetting>>,
    /// Its PAC file.
    pub pac: Option<Pac>,
    /// Whether its trust store has the inspection CA.
    pub trust_inspection_ca: Option<bool>,
    /// What its clients answer when the proxy asks who they are.
    pub proxy_credentials: Option<CredentialsChange>,
}

/// A change of the workstation's proxy credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsChange {
    /// `"none"`: it has none.
    Remove,
    /// `"user:password"`.
    Set(Credentials),
}

/// Where an organization's enroll link leads.
#[derive(Clone, Debug)]
pub enum EnrollLink {
    /// `"default"`: back to the host that was asked.
    Default,
    /// To this host.
    Host(Placed<Host>),
}

impl Step {
    pub(super) fn read(reader: Reader<'_>, hosts: Hosts<'_>, raw: Spanned<RawStep>) -> Result<Self, PlaceError> {
        let span = raw.span();
        let raw = raw.into_inner();
        let name = reader.filled(raw.name, "the name of the step")?;
        let given = [
            (Kind::Enroll, raw.enroll.as_ref().map(Spanned::span)),
            (Kind::Browse, raw.browse.as_ref().map(Spanned::span)),
            (Kind::FastPass, raw.fast_pass.as_ref().map(Spanned::span)),
            (Kind::Command, raw.command.as_ref().map(Spanned::span)),
            (Kind::Bypass, raw.bypass.as_ref().map(Spanned::span)),
            (Kind::Workstation, raw.workstation.as_ref().map(Spanned::span)),
            (Kind::KeepOpen, raw.keep_open.as_ref().map(Spanned::span)),
            (Kind::Organization, raw.organization.as_ref().map(Spanned::span)),
            (Kind::Middlebox, raw.middlebox.as_ref().map(Spanned::span)),
            (Kind::Gateway, raw.gateway.as_ref().map(Spanned::span)),
        ];
        let mut given: Vec<_> = given.into_iter().filter_map(|(kind, span)| span.map(|span| (kind, span))).collect();
        given.sort_by_key(|(_, span)| span.start);
        if let [(first, _), (second, span), ..] = &given[..] {
            let message = format!("a step does one thing, and this one has `{first}` and `{second}`");
            let help = "make two steps of it".to_owned();
            return Err(reader.document.error(span.clone(), message, Some(help)));
        }
        let action = if let Some(enroll) = raw.enroll {
            let enroll = enroll.into_inner();
            let sni = enroll.sni.map(|text| sni(reader, hosts, text)).transpose()?;
            StepAction::Enroll { target: Target::read(reader, hosts, enroll.url)?, late: enroll.late, sni }
        } else if let Some(browse) = raw.browse {
            let browse = browse.into_inner();
            let sni = browse.sni.map(|text| sni(reader, hosts, text)).transpose()?;
            StepAction::Browse { target: Target::read(reader, hosts, browse.url)?, sni }
        } else if let Some(fast_pass) = raw.fast_pass {
            StepAction::FastPass(Target::read(reader, hosts, fast_pass.into_inner().url)?)
        } else if let Some(command) = raw.command {
            StepAction::Command(Command::read(reader, hosts, command)?)
        } else if let Some(bypass) = raw.bypass {
            StepAction::Bypass(BypassChange::read(reader, hosts, bypass)?)
        } else if let Some(workstation) = raw.workstation {
            StepAction::Workstation(WorkstationChange::read(reader, workstation)?)
        } else if let Some(keep_open) = raw.keep_open {
            StepAction::KeepOpen(Target::read(reader, hosts, keep_open.into_inner().url)?)
        } else if let Some(organization) = raw.organization {
            organization_change(reader, hosts, organization.into_inner())?
        } else if let Some(middlebox) = raw.middlebox {
            middlebox_change(reader, By::Proxy, middlebox)?
        } else if let Some(gateway) = raw.gateway {
            hosts.check_gateway(reader, true, gateway.span())?;
            middlebox_change(reader, By::Gateway, gateway)?
        } else {
            let help = format!("give it one of {}", choices(Kind::ALL.iter().map(|kind| kind.as_str())));
            return Err(reader.document.error(name.span, "the step does nothing", Some(help)));
        };
        let expect = match raw.expect {
            Some(expect) => Expectations::read(reader, hosts, action.kind(), expect)?,
            None => Expectations::default(),
        };
        Ok(Self { name, action, expect, span })
    }
}

impl StepAction {
    /// Which kind of step this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Enroll { .. } => Kind::Enroll,
            Self::Browse { .. } => Kind::Browse,
            Self::FastPass(_) => Kind::FastPass,
            Self::Command(_) => Kind::Command,
            Self::Bypass(_) => Kind::Bypass,
            Self::Workstation(_) => Kind::Workstation,
            Self::KeepOpen(_) => Kind::KeepOpen,
            Self::Organization { .. } => Kind::Organization,
            Self::Middlebox { by: By::Proxy, .. } => Kind::Middlebox,
            Self::Middlebox { by: By::Gateway, .. } => Kind::Gateway,
        }
    }
}

impl Word for Kind {
    const ALL: &'static [Self] = &[
        Self::Enroll,
        Self::Browse,
        Self::FastPass,
        Self::Command,
        Self::Bypass,
        Self::Workstation,
        Self::KeepOpen,
        Self::Organization,
        Self::Middlebox,
        Self::Gateway,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Enroll => "enroll",
            Self::Browse => "browse",
            Self::FastPass => "fast-pass",
            Self::Command => "command",
            Self::Bypass => "bypass",
            Self::Workstation => "workstation",
            Self::KeepOpen => "keep-open",
            Self::Organization => "organization",
            Self::Middlebox => "middlebox",
            Self::Gateway => "gateway",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Target {
    fn read(reader: Reader<'_>, hosts: Hosts<'_>, text: Text) -> Result<Self, PlaceError> {
        let text = Placed::from(text);
        let wrong = |message: String| {
            let help = "write it as in `https://acme.okta.com`".to_owned();
            reader.document.error(text.span.clone(), message, Some(help))
        };
        let url = Url::parse(&text).map_err(|error| wrong(format!("`{}` is no address: {error}", text.value)))?;
        if url.scheme() != "https" {
            return Err(wrong(format!("only https is simulated, not {}", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("an address carries no user and password here".to_owned()));
        }
        let host = Host::parse(url.host_str().unwrap_or_default()).map_err(|error| wrong(error.to_string()))?;
        let host = Placed { value: host, span: text.span.clone() };
        hosts.known(reader, &host)?;
        Ok(Self { url: Placed { value: url, span: text.span }, host: host.value })
    }
}

impl Command {
    fn read(reader: Reader<'_>, hosts: Hosts<'_>, raw: Spanned<RawCommand>) -> Result<Self, PlaceError> {
        let span = raw.span();
        let raw = raw.into_inner();
        if raw.run.first().is_none_or(|program| program.get_ref().is_empty()) {
            let help = "name the program first, as in [\"curl\", \"https://acme.okta.com\"]".to_owned();
            return Err(reader.document.error(span, "the command is empty", Some(help)));
        }
        let timeout = raw.timeout.map(|text| duration(reader, text)).transpose()?;
        let run = reader.each(raw.run, |reader, text| command_word(reader, hosts, text))?;
        Ok(Self { run, timeout })
    }

    /// The words with every placeholder filled in.
    pub fn words(&self, pin: impl Fn(&Host) -> String) -> Vec<String> {
        let fill = |part: &CommandPart| match part {
            CommandPart::Text(text) => text.clone(),
            CommandPart::Pin(host) => pin(host),
        };
        self.run.iter().map(|word| word.iter().map(fill).collect()).collect()
    }
}

fn duration(reader: Reader<'_>, text: Text) -> Result<Duration, PlaceError> {
    let text = Placed::from(text);
    match humantime::parse_duration(&text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => {
            let help = Some("write a number and a unit, as in `10s` or `2m`".to_owned());
            Err(reader.document.error(text.span, format!("`{}` is no time limit", text.value), help))
        }
    }
}

fn command_word(reader: Reader<'_>, hosts: Hosts<'_>, text: Text) -> Result<Placed<Vec<CommandPart>>, PlaceError> {
    let text = Placed::from(text);
    let wrong = |message: String, help: &str| reader.document.error(text.span.clone(), message, Some(help.to_owned()));
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("{pin:") {
        let (name, after) = after.split_once('}').ok_or_else(|| {
            wrong("`{pin:` has no end".to_owned(), "write `{pin:HOST}` with a host of an `[[origin]]`")
        })?;
        let host = Host::parse(name).map_err(|error| {
            wrong(
                format!("`{{pin:{name}}}` names no host: {error}"),
                "write `{pin:HOST}` with a host of an `[[origin]]`",
            )
        })?;
        if !hosts.simulated() {
            let message = format!("`{{pin:{name}}}` has no meaning: only simulated origins have a known pin");
            return Err(wrong(message, "add an `[[origin]]` with that host, or write the pin itself"));
        }
        let host = Placed { value: host, span: text.span.clone() };
        hosts.known(reader, &host)?;
        if !before.is_empty() {
            parts.push(CommandPart::Text(before.to_owned()));
        }
        parts.push(CommandPart::Pin(host.value));
        rest = after;
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(CommandPart::Text(rest.to_owned()));
    }
    Ok(Placed { value: parts, span: text.span })
}

impl BypassChange {
    fn read(reader: Reader<'_>, hosts: Hosts<'_>, raw: Spanned<RawBypass>) -> Result<Self, PlaceError> {
        let span = raw.span();
        let raw = raw.into_inner();
        let patterns = |list: List| reader.each(list.0, |reader: Reader<'_>, text| reader.filled(text, "the pattern"));
        let for_clients = raw.clients.as_ref().map(Spanned::span);
        let change = Self {
            of: raw.of.map(|text| hosts.by(reader, text)).transpose()?.map_or(By::Proxy, |by| by.value),
            clients: raw.clients.map_or(Ok(Vec::new()), |list| clients(reader, list.into_inner()))?,
            add: patterns(raw.add)?,
            remove: patterns(raw.remove)?,
            on: patterns(raw.on)?,
            off: patterns(raw.off)?,
            at: raw.at.as_ref().map(|at| *at.get_ref()),
        };
        if [&change.add, &change.remove, &change.on, &change.off].into_iter().all(Vec::is_empty) {
            let help = "give it patterns to `add`, `remove`, switch `on` or switch `off`".to_owned();
            return Err(reader.document.error(span, "the bypass rules do not change", Some(help)));
        }
        if let Some(span) = for_clients.filter(|_| change.add.is_empty()) {
            let message = "`clients` is whom rules to `add` are for, and there are none";
            return Err(reader.document.error(span, message, None));
        }
        if let Some(at) = raw.at.as_ref().filter(|at| *at.get_ref() == 0) {
            let help = "write `at = 1` for the top".to_owned();
            return Err(reader.document.error(at.span(), "positions count from 1", Some(help)));
        }
        if let Some(at) = raw.at.filter(|_| change.add.is_empty()) {
            return Err(reader.document.error(
                at.span(),
                "`at` is the position of rules to `add`, and there are none",
                None,
            ));
        }
        Ok(change)
    }
}

impl WorkstationChange {
    fn read(reader: Reader<'_>, raw: Spanned<RawWorkstation>) -> Result<Self, PlaceError> {
        let span = raw.span();
        let raw = raw.into_inner();
        let settings = [&raw.proxy, &raw.service_proxy, &raw.pac, &raw.proxy_credentials];
        if settings.into_iter().all(Option::is_none) && raw.trust_inspection_ca.is_none() {
            let help =
                "give it `proxy`, `service-proxy`, `pac`, `trust-inspection-ca` or `proxy-credentials`".to_owned();
            return Err(reader.document.error(span, "the workstation does not change", Some(help)));
        }
        let proxy = raw.proxy.map(|text| reader.word(text, "proxy setting")).transpose()?;
        let credentials = match raw.proxy_credentials {
            Some(text) if text.get_ref() == "none" => Some(CredentialsChange::Remove),
            Some(text) => Some(CredentialsChange::Set(Credentials::of_text(reader, text)?.value)),
            None => None,
        };
        Ok(Self {
            proxy: proxy.map(|setting| setting.value),
            service_proxy: raw.service_proxy.map(|text| service_proxy(reader, text)).transpose()?,
            pac: raw.pac.map(|text| Pac::read(reader, text)).transpose()?,
            trust_inspection_ca: raw.trust_inspection_ca,
            proxy_credentials: credentials,
        })
    }
}

fn middlebox_change(reader: Reader<'_>, by: By, raw: Spanned<RawMiddleboxChange>) -> Result<StepAction, PlaceError> {
    let span = raw.span();
    let RawMiddleboxChange { on_change, decide_at: moment } = raw.into_inner();
    if on_change.is_none() && moment.is_none() {
        let help = Some("give it `on-change` or `decide-at`".to_owned());
        return Err(reader.document.error(span, "nothing changes", help));
    }
    let on_change: Option<Placed<OnChange>> =
        on_change.map(|text| reader.word(text, "choice for open connections")).transpose()?;
    let decide_at = moment.map(|text| decide_at(reader, text)).transpose()?;
    Ok(StepAction::Middlebox { by, on_change: on_change.map(|choice| choice.value), decide_at })
}

/// What a hello names: a host, or `none`.
fn sni(reader: Reader<'_>, hosts: Hosts<'_>, text: Text) -> Result<SniChoice, PlaceError> {
    if text.get_ref() == "none" {
        return Ok(SniChoice::Absent);
    }
    let host = reader.host(text)?;
    hosts.known(reader, &host)?;
    Ok(SniChoice::Host(host.value))
}

fn organization_change(reader: Reader<'_>, hosts: Hosts<'_>, raw: RawOrganization) -> Result<StepAction, PlaceError> {
    let host = reader.host(raw.host)?;
    let Some(origin) = hosts.origin(&host) else {
        return Err(hosts.unknown(reader, &host));
    };
    if origin.app != App::OktaOrg {
        let help = "set `app = \"okta-org\"` in its `[[origin]]`".to_owned();
        return Err(reader.document.error(host.span, format!("`{}` is no organization", host.value), Some(help)));
    }
    let enroll_link = if raw.enroll_link.get_ref() == "default" {
        EnrollLink::Default
    } else {
        let link = reader.host(raw.enroll_link)?;
        hosts.known(reader, &link)?;
        EnrollLink::Host(link)
    };
    Ok(StepAction::Organization { host, enroll_link })
}
