//! The flags that say where origins are, and which are simulated.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::error::CliError;
use super::shipped;
use crate::lab::{ClientCertRule, LabConfig, ParentRule, acme};
use crate::net::{Host, ResolveEntry};
use crate::proxy::Limits;
use crate::scenario::{self, words::Word as _};
use crate::simulation::{App, OriginSpec};

/// What `--simulate` means without a value.
const ACME: &str = "okta";

/// The way to origins, and the simulated ones.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct OriginArgs {
    /// Trust the CAs in this PEM file for origins, too; repeatable
    #[arg(long, value_name = "FILE", help_heading = "Origins")]
    origin_ca: Vec<PathBuf>,

    /// Reach HOST at PORT under another address, as with curl; repeatable
    ///
    /// HOST may be `*`, or `*.example.com` for every name below. ADDR may be several, separated by commas, and may carry a port of its own:
    /// `acme.okta.com:443:127.0.0.1:8443`.
    #[arg(long, value_name = "HOST:PORT:ADDR", help_heading = "Origins")]
    resolve: Vec<ResolveEntry>,

    /// Go out through a proxy of your own network, bypassed connections as well; repeatable, the first match counts
    ///
    /// `http://`, `https://` or `socks5://`, with `user:password@` where it asks; `direct` goes without. A pattern before
    /// it says for which hosts: `--parent '*.corp.example=direct' --parent http://proxy.corp.example:3128`.
    #[arg(long, value_name = "[PATTERN=]URL|direct", help_heading = "Origins")]
    parent: Vec<ParentRule>,

    /// Trust the CAs in this PEM file for parents over TLS, too; repeatable
    #[arg(long, value_name = "FILE", help_heading = "Origins")]
    parent_ca: Vec<PathBuf>,

    /// Show this client certificate to origins that ask for one: PEM, with its key; repeatable
    #[arg(long, value_name = "HOST=FILE", help_heading = "Origins")]
    client_cert: Vec<ClientCertRule>,

    /// Simulate the origins, so that no internet is needed
    ///
    /// Alone, or as `okta`: the organization acme.okta.com with acme.mtls.okta.com, acme.oktapreview.com and its custom
    /// domain login.acme.example; intranet.acme.example; echo.acme.example. With a scenario file, or the name of a
    /// shipped scenario: its origins.
    #[arg(
        long,
        value_name = "SCENARIO|PACK",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ACME,
        help_heading = "Origins"
    )]
    simulate: Option<String>,

    /// Simulate one more host, or say where a real one is; repeatable
    ///
    /// APP is what the simulated host does: `static` (a small web site), `echo`, `okta-org` or `mtls`; several hosts of
    /// one organization are separated by commas. ADDR is the address of a real one, as in
    /// `api.acme.example=127.0.0.1:8443`, whose CA --origin-ca names.
    #[arg(long, value_name = "HOST=APP|ADDR", help_heading = "Origins")]
    origin: Vec<OriginRule>,

    /// Let one upstream connection serve several clients, which appliances do not
    ///
    /// Over HTTP/1.1 one after the other, over HTTP/2 also at once.
    #[arg(long, help_heading = "Origins")]
    pool: bool,

    /// How long an origin may take to begin its answer while nothing moves; then the client is answered 504
    ///
    /// Uploads and interim answers begin it anew, and it is over once the answer begins.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, help_heading = "Origins")]
    answer_timeout: Duration,

    /// How long nothing may move inside a body, a WebSocket or a tunnel; then it is cut
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration, help_heading = "Origins")]
    idle_timeout: Duration,
}

impl OriginArgs {
    /// Says all of it; reads the scenario whose origins are simulated.
    pub(super) fn apply(&self, config: &mut LabConfig) -> Result<(), CliError> {
        config.origin_ca.clone_from(&self.origin_ca);
        config.resolve.clone_from(&self.resolve);
        config.simulate = self.simulate.as_deref().map(simulated).transpose()?.unwrap_or_default();
        for rule in &self.origin {
            match rule {
                OriginRule::Simulated(origin) => config.simulate.push((**origin).clone()),
                OriginRule::At(entries) => config.resolve.extend(entries.iter().cloned()),
            }
        }
        config.parents.clone_from(&self.parent);
        config.parent_ca.clone_from(&self.parent_ca);
        config.client_certs.clone_from(&self.client_cert);
        config.pool = self.pool;
        config.limits = Limits { answer: self.answer_timeout, idle: self.idle_timeout };
        Ok(())
    }
}

/// `--origin`: a host with what it does, or with where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum OriginRule {
    Simulated(Box<OriginSpec>),
    At(Vec<ResolveEntry>),
}

impl FromStr for OriginRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "write HOST=APP with one of `static`, `echo`, `okta-org`, `mtls`, `revocation`, or HOST=ADDR:PORT";
        let (hosts, what) = text.split_once('=').ok_or(FORM)?;
        let hosts = hosts.split(',').map(|host| Host::parse(host).map_err(|error| format!("`{host}`: {error}")));
        let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
        if let Ok(address) = what.parse::<SocketAddr>() {
            let entry = |host: &Host| format!("{host}:443:{address}").parse::<ResolveEntry>();
            let entries = hosts.iter().map(entry).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
            return Ok(Self::At(entries));
        }
        let app = App::of(what).ok_or_else(|| format!("`{what}` is no app and no address with its port; {FORM}"))?;
        Ok(Self::Simulated(Box::new(OriginSpec::new(hosts, app))))
    }
}

/// A time limit: one of nothing would end everything.
fn duration(text: &str) -> Result<Duration, String> {
    let limit = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if limit.is_zero() { Err("write a time limit above 0, such as 30s or 5m".to_owned()) } else { Ok(limit) }
}

fn simulated(what: &str) -> Result<Vec<OriginSpec>, CliError> {
    if what == ACME {
        return Ok(acme());
    }
    let scenario = shipped::scenario(what, &[ACME])?;
    let origins = scenario::origins(&scenario);
    if origins.is_empty() {
        let help = "add an `[[origin]]` to it, or use --simulate alone for the organization acme.okta.com";
        let message = format!("{} has no origin to simulate", scenario.document.name());
        return Err(CliError::usage(message).with_help(help));
    }
    Ok(origins)
}
