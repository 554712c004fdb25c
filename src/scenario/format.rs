//! The scenario file: TOML in, typed steps out; every mistake points at its line and says what to write.
//!
//! | table | keys |
//! | --- | --- |
//! | (top) | `name`, `summary` |
//! | `[middlebox]` | `profile`, `default`, `dialect`, `on-change`, `decide-at`, `policy`, `permit`, `proxy-auth = { user, password }` |
//! | `[[middlebox.rule]]` | `pattern`, `action`, `enabled`, `ports`, `clients`, `note` |
//! | `[gateway]`, `[[gateway.rule]]` | a second middlebox, on the way of what goes without the proxy; the same but `proxy-auth` |
//! | `[[origin]]` | `hosts`, `app`, `certificate`, `alpn`, `alt-svc`, `revocation = { ocsp, crl }`; of an organization `custom-domain`, `enroll-link`, `sign-in-assets` |
//! | `[workstation]` | `proxy`, `service-proxy`, `pac`, `trust-inspection-ca`, `proxy-credentials = "user:password"` |
//! | `[[step]]` | `name`, `expect`, and one of the following |
//!
//! | step | what it does | what can be expected |
//! | --- | --- | --- |
//! | `enroll = { url, late, sni }` | the simulated Okta Verify enrolls | `outcome`, `message`, `log`, `warning`; of a connection: `cause`, `cause-among`, `decision`, `rule`; `host`, `by` |
//! | `browse = { url, sni }` | the browser opens a page | `outcome`, `cause`, `cause-among`, `decision`, `rule`, `status`, `version`, `warning`, `by` |
//! | `fast-pass = { url }` | a sign-in page looks for Okta Verify on loopback | `outcome`, `decision`, `rule`, `host`, `by` |
//! | `keep-open = { url }` | the browser asks on a connection that is held across steps | as `browse`, but `version` and `warning` |
//! | `command = [..]` or `{ run = [..], timeout }` | a program runs | `exit`, all of `keep-open`, `host` |
//! | `bypass = { of, add, remove, on, off, at, clients }` | rules change | `warning`, `rejected` |
//! | `workstation = { proxy, service-proxy, pac, trust-inspection-ca, proxy-credentials }` | the workstation changes | nothing |
//! | `organization = { host, enroll-link }` | its administrator moves the enroll link, or back (`"default"`) | nothing |
//! | `middlebox = { on-change, decide-at }`, `gateway = { .. }` | what changes do to open connections; when the policy decides | nothing |
//!
//! The workstation goes as its proxy settings say: through the proxy (`[middlebox]`), or to the internet, where the
//! gateway stands on the way if the scenario has one. The gateway sees what a transparent middlebox sees: the address
//! (each host has one from 198.18.0.0/15) and the hello. `service-proxy` is what the application and the system's
//! revocation checks read, `proxy` what the browser reads; without the former they are the same. In `pac`, `{proxy}`
//! stands for the proxy's address. `trust-inspection-ca` is about the CAs of both middleboxes.
//!
//! `decide-at` is `request`, `hello` (where nothing is said) or `certificate`: Squid's three steps. `sni = "none"` leaves the
//! server name out of a client's hellos, a host replaces it. A pattern of `add` for which `rejected` is expected has to be
//! refused by the dialect.

mod expect;
mod lab;
mod raw;
mod step;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::{Deref, Range};

use toml::Spanned;

use self::lab::Hosts;
use super::words::Word;
use crate::net::Host;
use crate::source::{Document, PlaceError};

pub use self::expect::{Expectations, ExpectedOutcome};
pub use self::lab::{Credentials, Middlebox, Origin, Pac, Rule, Workstation};
pub use self::step::{
    BypassChange, Command, CommandPart, CredentialsChange, EnrollLink, Kind, Step, StepAction, Target,
    WorkstationChange,
};

/// A scenario: a lab, and what is done and expected in it, in order.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file, for places and excerpts.
    pub document: Document,
    /// What it is called.
    pub name: String,
    /// What it shows, in a sentence or two.
    pub summary: Option<String>,
    /// The proxy.
    pub middlebox: Middlebox,
    /// The middlebox on the way of what goes without the proxy, if there is one.
    pub gateway: Option<Middlebox>,
    /// The simulated internet. Empty: the real one.
    pub origins: Vec<Origin>,
    /// The machine on which the clients run, as it is before the first step.
    pub workstation: Workstation,
    /// What is done, in order; at least one.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// The place of the first mistake, and what to write instead.
    pub fn parse(document: &Document) -> Result<Self, PlaceError> {
        let raw: raw::RawScenario = document.toml()?;
        let reader = Reader { document };
        let name = reader.filled(raw.name, "the name")?;
        if raw.steps.is_empty() {
            let help = "add a `[[step]]` with a name and what it does".to_owned();
            return Err(document.error(name.span, "the scenario has no step", Some(help)));
        }
        let middlebox = Middlebox::read(reader, raw.middlebox)?;
        let workstation = Workstation::read(reader, raw.workstation)?;
        let origins = lab::origins(reader, raw.origins)?;
        let gateway = raw.gateway.map(|raw| gateway(reader, &name, &origins, raw)).transpose()?;
        let hosts = Hosts::of(&origins, gateway.is_some());
        hosts.check_links(reader, &origins)?;
        let steps = raw
            .steps
            .into_iter()
            .map(|step| Step::read(reader, hosts, step))
            .collect::<Result<Vec<_>, PlaceError>>()?;
        Ok(Self {
            document: document.clone(),
            name: name.value,
            summary: raw.summary.filter(|summary| !summary.trim().is_empty()),
            middlebox,
            gateway,
            origins,
            workstation,
            steps,
        })
    }

    /// The origin that answers for a host.
    #[must_use]
    pub fn origin(&self, host: &Host) -> Option<&Origin> {
        self.origins.iter().find(|origin| origin.hosts.iter().any(|known| known.value == *host))
    }
}

/// The gateway: a middlebox of which its clients know nothing.
fn gateway(
    reader: Reader<'_>,
    name: &Placed<String>,
    origins: &[Origin],
    raw: raw::RawMiddlebox,
) -> Result<Middlebox, PlaceError> {
    if let Some(auth) = &raw.proxy_auth {
        let message = "a gateway cannot ask its clients who they are: they do not know of it";
        return Err(reader.document.error(auth.user.span(), message, None));
    }
    if origins.is_empty() {
        let help = Some("add an `[[origin]]`, or leave the gateway out".to_owned());
        return Err(reader.document.error(name.span.clone(), "a gateway needs a simulated internet behind it", help));
    }
    Middlebox::read(reader, raw)
}

/// A value and the bytes of the file that state it.
#[derive(Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Its place, as [`Document::error`] and [`Document::line_column`] take it.
    pub span: Range<usize>,
}

impl<T> Placed<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Placed<U> {
        Placed { value: f(self.value), span: self.span }
    }
}

impl<T> Deref for Placed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Placed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T> From<Spanned<T>> for Placed<T> {
    fn from(spanned: Spanned<T>) -> Self {
        let span = spanned.span();
        Self { value: spanned.into_inner(), span }
    }
}

/// Turns texts of one document into values.
#[derive(Clone, Copy)]
struct Reader<'a> {
    document: &'a Document,
}

impl Reader<'_> {
    /// A text that says something.
    fn filled(self, text: raw::Text, what: &str) -> Result<Placed<String>, PlaceError> {
        let text = Placed::from(text);
        if text.trim().is_empty() {
            return Err(self.document.error(text.span, format!("{what} is empty"), None));
        }
        Ok(text)
    }

    /// One of a closed set of words; `what` completes "`x` is no …".
    fn word<W: Word>(self, text: raw::Text, what: &str) -> Result<Placed<W>, PlaceError> {
        let text = Placed::from(text);
        if let Some(value) = W::of(&text) {
            return Ok(Placed { value, span: text.span });
        }
        let message = format!("`{}` is no {what}", text.value);
        Err(self.document.error(text.span, message, Some(W::mend(&text.value))))
    }

    /// A host name or address, without scheme, port or path.
    fn host(self, text: raw::Text) -> Result<Placed<Host>, PlaceError> {
        let text = Placed::from(text);
        Host::parse(&text).map(|value| Placed { value, span: text.span.clone() }).map_err(|error| {
            let help = text.contains(['/', ':']).then(|| "write the host alone, as in `acme.okta.com`".to_owned());
            self.document.error(text.span, error.to_string(), help)
        })
    }

    /// A list of values.
    fn each<R, T>(self, items: Vec<R>, read: impl Fn(Self, R) -> Result<T, PlaceError>) -> Result<Vec<T>, PlaceError> {
        items.into_iter().map(|item| read(self, item)).collect()
    }
}
