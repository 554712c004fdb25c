//! What stands before the first step: the proxy, the simulated internet, the workstation.

use std::fmt;
use std::net::SocketAddr;

use http::HeaderValue;
use toml::Spanned;

use super::raw::{List, RawCredentials, RawMiddlebox, RawOrigin, RawRevocation, RawRule, RawWorkstation, Text};
use super::{Placed, Reader};
use crate::net::Host;
use crate::pac::PacScript;
use crate::policy::{Action, Network, OnChange};
use crate::proxy::DecideAt;
use crate::scenario::words::{By, ProxySetting};
use crate::simulation::{Alpn, App, CertificateKind};
use crate::source::{PlaceError, did_you_mean};

/// The `[middlebox]` table.
#[derive(Clone, Debug)]
pub struct Middlebox {
    /// Whose certificates are forged: the name of a profile.
    pub profile: Option<Placed<String>>,
    /// What happens where no rule matches; otherwise the dialect says it.
    pub default: Option<Placed<Action>>,
    /// How patterns are read: the name of a dialect.
    pub dialect: Option<Placed<String>>,
    /// What happens to open connections when the policy changes.
    pub on_change: OnChange,
    /// When the policy decides about a TLS connection.
    pub decide_at: DecideAt,
    /// A policy file, relative to the scenario's folder.
    pub policy: Option<Placed<String>>,
    /// The names for which alone the inspection CA may sign (RFC 5280, 4.2.1.10). Empty: all.
    pub permit: Vec<Placed<Host>>,
    /// Who may use the proxy. `None`: everyone.
    pub proxy_auth: Option<Credentials>,
    /// Rules, in order, before those of the policy file.
    pub rules: Vec<Rule>,
}

/// One `[[middlebox.rule]]`; the dialect reads the pattern later.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which hosts.
    pub pattern: Placed<String>,
    /// What happens to them.
    pub action: Action,
    /// Whether it applies now.
    pub enabled: bool,
    /// The ports it is for. Empty: all.
    pub ports: Vec<u16>,
    /// The clients it is for, by address. Empty: all.
    pub clients: Vec<Network>,
    /// Why it is there.
    pub note: Option<String>,
}

/// A name and a password for the proxy. `Debug` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name, without a colon (RFC 7617, section 2).
    pub user: String,
    /// The password.
    pub password: String,
}

/// One `[[origin]]`: hosts of the simulated internet behind which one app answers.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The hosts, at least one.
    pub hosts: Vec<Placed<Host>>,
    /// What answers.
    pub app: App,
    /// The certificate that it shows.
    pub certificate: CertificateKind,
    /// The organization's own domain, which `_links.alternate` names.
    pub custom_domain: Option<Placed<Host>>,
    /// The host that the organization's enroll link names. `None`: the host that was asked.
    pub enroll_link: Option<Placed<Host>>,
    /// The application protocols that it offers, in order. `None`: the simulation's choice.
    pub alpn: Option<Vec<Alpn>>,
    /// The host from which the organization's sign-in page loads its script.
    pub sign_in_assets: Option<Placed<Host>>,
    /// The offer of another way (`Alt-Svc`) that its answers make.
    pub alt_svc: Option<HeaderValue>,
    /// Where its certificates say that their revocation can be asked after: the OCSP responder, and the CRL.
    pub revocation: [Option<Placed<Host>>; 2],
}

/// The `[workstation]` table.
#[derive(Clone, Debug)]
pub struct Workstation {
    /// Whether its trust store has the inspection CA.
    pub trust_inspection_ca: bool,
    /// Its proxy setting; where services have one of their own, that of the user.
    pub proxy: ProxySetting,
    /// The proxy setting that services read. `None`: the same.
    pub service_proxy: Option<ProxySetting>,
    /// Its PAC file. `None`: the one that the middlebox makes of its policy.
    pub pac: Option<Pac>,
    /// What its clients answer when the proxy asks who they are.
    pub proxy_credentials: Option<Placed<Credentials>>,
}

impl Middlebox {
    pub(super) fn read(reader: Reader<'_>, raw: RawMiddlebox) -> Result<Self, PlaceError> {
        let on_change = raw.on_change.map(|text| reader.word(text, "choice for open connections")).transpose()?;
        Ok(Self {
            profile: raw.profile.map(|text| reader.filled(text, "the profile")).transpose()?,
            default: raw.default.map(|text| reader.word(text, "default action")).transpose()?,
            dialect: raw.dialect.map(|text| reader.filled(text, "the dialect")).transpose()?,
            on_change: on_change.map_or(OnChange::Drain, |choice| choice.value),
            decide_at: raw.decide_at.map(|text| decide_at(reader, text)).transpose()?.unwrap_or_default(),
            policy: raw.policy.map(|text| reader.filled(text, "the path of the policy")).transpose()?,
            permit: reader.each(raw.permit.0, Reader::host)?,
            proxy_auth: raw.proxy_auth.map(|raw| Credentials::read(reader, raw)).transpose()?,
            rules: reader.each(raw.rules, Rule::read)?,
        })
    }
}

/// When the policy decides.
pub(super) fn decide_at(reader: Reader<'_>, text: Text) -> Result<DecideAt, PlaceError> {
    reader.word(text, "moment to decide at").map(|word| word.value)
}

/// The addresses of clients.
pub(super) fn clients(reader: Reader<'_>, list: List) -> Result<Vec<Network>, PlaceError> {
    reader.each(list.0, |reader, text| {
        let text = Placed::from(text);
        text.parse::<Network>().map_err(|error| reader.document.error(text.span.clone(), error.to_string(), None))
    })
}

impl Rule {
    fn read(reader: Reader<'_>, raw: RawRule) -> Result<Self, PlaceError> {
        if let Some(zero) = raw.ports.iter().find(|port| *port.get_ref() == 0) {
            return Err(reader.document.error(zero.span(), "ports go from 1 to 65535", None));
        }
        Ok(Self {
            pattern: reader.filled(raw.pattern, "the pattern")?,
            action: reader.word(raw.action, "action")?.value,
            enabled: raw.enabled.unwrap_or(true),
            ports: raw.ports.into_iter().map(Spanned::into_inner).collect(),
            clients: clients(reader, raw.clients)?,
            note: raw.note,
        })
    }
}

impl Credentials {
    fn read(reader: Reader<'_>, raw: RawCredentials) -> Result<Self, PlaceError> {
        let user = reader.filled(raw.user, "the user")?;
        if user.contains(':') {
            return Err(reader.document.error(user.span, "a user has no colon in it (RFC 7617)", None));
        }
        Ok(Self { user: user.value, password: raw.password })
    }

    /// Reads `user:password`.
    pub(super) fn of_text(reader: Reader<'_>, text: Text) -> Result<Placed<Self>, PlaceError> {
        let text = Placed::from(text);
        match text.split_once(':') {
            Some((user, password)) if !user.is_empty() => {
                let value = Self { user: user.to_owned(), password: password.to_owned() };
                Ok(Placed { value, span: text.span })
            }
            _ => {
                let help = Some("write `user:password`".to_owned());
                Err(reader.document.error(text.span, "the credentials have no user and password", help))
            }
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).field("password", &"…").finish()
    }
}

impl Workstation {
    pub(super) fn read(reader: Reader<'_>, raw: RawWorkstation) -> Result<Self, PlaceError> {
        Ok(Self {
            trust_inspection_ca: raw.trust_inspection_ca.unwrap_or(false),
            proxy: raw
                .proxy
                .map(|text| reader.word(text, "proxy setting"))
                .transpose()?
                .map_or(ProxySetting::On, |p| p.value),
            service_proxy: raw.service_proxy.map(|text| service_proxy(reader, text)).transpose()?.flatten(),
            pac: raw.pac.map(|text| Pac::read(reader, text)).transpose()?,
            proxy_credentials: raw.proxy_credentials.map(|text| Credentials::of_text(reader, text)).transpose()?,
        })
    }
}

/// The proxy setting of services; `same` is that of the user.
pub(super) fn service_proxy(reader: Reader<'_>, text: Text) -> Result<Option<ProxySetting>, PlaceError> {
    if text.get_ref() == "same" {
        return Ok(None);
    }
    reader.word(text, "proxy setting").map(|setting| Some(setting.value))
}

/// A PAC file, in which `{proxy}` stands for the address of the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pac(Placed<String>);

impl Pac {
    pub(super) fn read(reader: Reader<'_>, text: Text) -> Result<Self, PlaceError> {
        let pac = Self(reader.filled(text, "the PAC file")?);
        let stand_in = pac.text(SocketAddr::from(([127, 0, 0, 1], 8080)));
        match PacScript::compile("pac", &stand_in) {
            Ok(_) => Ok(pac),
            Err(error) => {
                let help = Some("write `function FindProxyForURL(url, host) { … }`".to_owned());
                Err(reader.document.error(pac.0.span, error.to_string(), help))
            }
        }
    }

    /// Its text for a proxy at this address.
    #[must_use]
    pub fn text(&self, proxy: SocketAddr) -> String {
        self.0.replace("{proxy}", &proxy.to_string())
    }
}

/// Reads every `[[origin]]`; a host belongs to one of them.
pub(super) fn origins(reader: Reader<'_>, raw: Vec<Spanned<RawOrigin>>) -> Result<Vec<Origin>, PlaceError> {
    let mut origins: Vec<Origin> = Vec::with_capacity(raw.len());
    for raw in raw {
        let origin = Origin::read(reader, raw.into_inner())?;
        for (at, host) in origin.hosts.iter().enumerate() {
            let mut earlier = origins.iter().flat_map(|origin| &origin.hosts).chain(&origin.hosts[..at]);
            if earlier.any(|known| known.value == host.value) {
                let message = format!("`{}` already belongs to an origin", host.value);
                return Err(reader.document.error(host.span.clone(), message, None));
            }
        }
        origins.push(origin);
    }
    Ok(origins)
}

impl Origin {
    fn read(reader: Reader<'_>, raw: RawOrigin) -> Result<Self, PlaceError> {
        let span = raw.hosts.span();
        let hosts = reader.each(raw.hosts.into_inner().0, Reader::host)?;
        if hosts.is_empty() {
            return Err(reader.document.error(span, "an origin has at least one host", None));
        }
        let app = raw.app.map(|text| reader.word(text, "app")).transpose()?.map_or(App::Static, |app| app.value);
        let certificate = raw.certificate.map(|text| reader.word(text, "certificate of an origin")).transpose()?;
        let links = [&raw.custom_domain, &raw.enroll_link, &raw.sign_in_assets];
        if let Some(link) = links.into_iter().flatten().next().filter(|_| app != App::OktaOrg) {
            let message = "only an organization has a custom domain, an enroll link or a sign-in page";
            return Err(reader.document.error(link.span(), message, Some("set `app = \"okta-org\"`".to_owned())));
        }
        Ok(Self {
            hosts,
            app,
            certificate: certificate.map_or(CertificateKind::Genuine, |certificate| certificate.value),
            custom_domain: raw.custom_domain.map(|text| reader.host(text)).transpose()?,
            enroll_link: raw.enroll_link.map(|text| reader.host(text)).transpose()?,
            alpn: raw.alpn.map(|list| alpn(reader, list)).transpose()?,
            sign_in_assets: raw.sign_in_assets.map(|text| reader.host(text)).transpose()?,
            alt_svc: raw.alt_svc.map(|text| alt_svc(reader, text)).transpose()?,
            revocation: raw.revocation.map(|raw| revocation(reader, raw)).transpose()?.unwrap_or_default(),
        })
    }
}

fn alt_svc(reader: Reader<'_>, text: Text) -> Result<HeaderValue, PlaceError> {
    let text = reader.filled(text, "the offer")?;
    HeaderValue::from_str(&text).map_err(|_| {
        let help = Some("write it as in 'h3=\":443\"' (RFC 7838)".to_owned());
        reader.document.error(text.span.clone(), "no header field has such a value", help)
    })
}

fn revocation(reader: Reader<'_>, raw: Spanned<RawRevocation>) -> Result<[Option<Placed<Host>>; 2], PlaceError> {
    let span = raw.span();
    let RawRevocation { ocsp, crl } = raw.into_inner();
    if ocsp.is_none() && crl.is_none() {
        let help = Some("give it the host of an `ocsp` responder, of a `crl`, or both".to_owned());
        return Err(reader.document.error(span, "nobody is named who could be asked", help));
    }
    let host = |text: Option<Text>| text.map(|text| reader.host(text)).transpose();
    Ok([host(ocsp)?, host(crl)?])
}

fn alpn(reader: Reader<'_>, list: Spanned<List>) -> Result<Vec<Alpn>, PlaceError> {
    let span = list.span();
    let list = reader.each(list.into_inner().0, |reader, text| reader.word(text, "application protocol"))?;
    if list.is_empty() {
        let help = Some("leave `alpn` out for the simulation's choice".to_owned());
        return Err(reader.document.error(span, "an origin offers at least one protocol", help));
    }
    Ok(list.into_iter().map(|protocol| protocol.value).collect())
}

/// What a step can name: hosts, and the gateway.
#[derive(Clone, Copy)]
pub(super) struct Hosts<'a> {
    origins: &'a [Origin],
    gateway: bool,
}

impl<'a> Hosts<'a> {
    pub(super) fn of(origins: &'a [Origin], gateway: bool) -> Self {
        Self { origins, gateway }
    }

    /// Which middlebox is meant.
    pub(super) fn by(self, reader: Reader<'_>, text: Text) -> Result<Placed<By>, PlaceError> {
        let by: Placed<By> = reader.word(text, "middlebox")?;
        self.check_gateway(reader, by.value == By::Gateway, by.span.clone())?;
        Ok(by)
    }

    /// Whoever names the gateway needs one.
    pub(super) fn check_gateway(
        self,
        reader: Reader<'_>,
        named: bool,
        span: std::ops::Range<usize>,
    ) -> Result<(), PlaceError> {
        if self.gateway || !named {
            return Ok(());
        }
        let help = Some("add a table `[gateway]`, with what it decides by default".to_owned());
        Err(reader.document.error(span, "this scenario has no gateway", help))
    }

    /// Whether there is a simulated internet at all.
    pub(super) fn simulated(self) -> bool {
        !self.origins.is_empty()
    }

    pub(super) fn origin(self, host: &Host) -> Option<&'a Origin> {
        self.origins.iter().find(|origin| origin.hosts.iter().any(|known| known.value == *host))
    }

    /// In a simulated internet, a host that nobody serves is a typing mistake.
    pub(super) fn known(self, reader: Reader<'_>, host: &Placed<Host>) -> Result<(), PlaceError> {
        if !self.simulated() || self.origin(host).is_some() {
            return Ok(());
        }
        Err(self.unknown(reader, host))
    }

    pub(super) fn unknown(self, reader: Reader<'_>, host: &Placed<Host>) -> PlaceError {
        let message = format!("no `[[origin]]` has the host `{}`", host.value);
        let names: Vec<_> =
            self.origins.iter().flat_map(|origin| &origin.hosts).map(|host| host.value.to_string()).collect();
        let help = match did_you_mean(&host.to_string(), names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add it to the `hosts` of an `[[origin]]`: hosts = [\"{}\"]", host.value),
        };
        reader.document.error(host.span.clone(), message, Some(help))
    }

    /// Links between origins lead somewhere.
    pub(super) fn check_links(self, reader: Reader<'_>, origins: &[Origin]) -> Result<(), PlaceError> {
        let links = origins.iter().flat_map(|origin| {
            let Origin { custom_domain, enroll_link, sign_in_assets, revocation, .. } = origin;
            [custom_domain, enroll_link, sign_in_assets].into_iter().chain(revocation).flatten()
        });
        links.into_iter().try_for_each(|host| self.known(reader, host))
    }
}
