//! The flags of every command that starts a lab.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::address::{self, Control};
use super::error::CliError;
use super::rule_args::RuleArgs;
use super::shipped;
use super::state_folder::StateArgs;
use super::token::TokenArgs;
use super::words::words;
use crate::authority::Permit;
use crate::lab::{CaSource, ClientCertRule, LabConfig, ParentRule, acme};
use crate::net::{Destination, ResolveEntry};
use crate::policy::{Action, Dialect, OnChange, PolicyConfig};
use crate::proxy::{Authenticate, Credentials, Limits};
use crate::scenario;
use crate::simulation::OriginSpec;

/// What `--simulate` means without a value.
const ACME: &str = "okta";

// What was typed; nothing is read yet. `config` reads the files and makes a lab's configuration of it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct LabArgs {
    /// Where the proxy listens; port 0 is any free one [default: 127.0.0.1:8080]
    ///
    /// An address that others can reach needs --allow-client or --proxy-auth, so that nobody opens a proxy to the
    /// network by accident.
    #[arg(long, value_name = "ADDR", value_parser = address::listen, help_heading = "Serving")]
    listen: Option<SocketAddr>,

    /// Where the control API and the dashboard listen, or `off` [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR|off", help_heading = "Serving")]
    control: Option<Control>,

    /// Take connections here that the kernel redirects (nftables `redirect` or `tproxy`; Linux)
    ///
    /// For clients that know no proxy. What they want to reach is their original destination, and their SNI.
    #[arg(long, value_name = "ADDR", value_parser = address::listen, help_heading = "Serving")]
    transparent: Option<SocketAddr>,

    /// Lead every connection to this port to one place; repeatable
    ///
    /// For clients that know no proxy either: `--forward 8443=acme.okta.com:443`, on loopback unless an address stands
    /// before the port.
    #[arg(long, value_name = "PORT=HOST:PORT", value_parser = address::forward, help_heading = "Serving")]
    forward: Vec<(SocketAddr, Destination)>,

    /// Write addresses, CA files and simulated hosts to this file, as JSON, once it serves
    ///
    /// The file appears whole: {"proxy": "127.0.0.1:PORT", "control": "127.0.0.1:PORT" or null, "ca": PATH of the
    /// inspection root, "public_ca": PATH of the simulated internet's root or null, "origins": {"acme.okta.com":
    /// {"pin": "sha256/…"}, …}}. One that is left from an earlier run is removed first, so a script can wait for it.
    #[arg(long, value_name = "FILE", help_heading = "Serving")]
    pub(super) ready_file: Option<PathBuf>,

    /// What is done with hosts that no rule matches [default: as the dialect's product does]
    #[arg(long, value_name = "ACTION", value_parser = words::<Action>(["inspect", "bypass", "block"]), help_heading = "Policy")]
    default: Option<Action>,

    #[command(flatten)]
    rules: RuleArgs,

    /// Read further rules from this file, and again whenever it changes
    ///
    /// A change that does not read is reported, and the running policy stays.
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    policy: Option<PathBuf>,

    /// Read patterns as this product does [default: what the policy file says, else middlebox]
    #[arg(long, value_name = "NAME", value_parser = words::<Dialect>(Dialect::all().map(Dialect::name)), help_heading = "Policy")]
    dialect: Option<Dialect>,

    /// What happens to open connections when a rule changes
    ///
    /// new-only: they keep the decision they began with, as on real appliances. drain: those that would now be decided
    /// otherwise are closed after their running exchange, so that the client connects anew. kill: they are closed at
    /// once.
    #[arg(long, value_name = "HOW", default_value = "new-only", value_parser = words::<OnChange>(["new-only", "drain", "kill"]), hide_possible_values = false, help_heading = "Policy")]
    on_change: OnChange,

    /// Forge certificates as this product does: a name, or the path of a profile
    #[arg(long, value_name = "NAME", default_value = "generic", help_heading = "Certificates")]
    profile: String,

    /// Sign with a CA of your own: its certificate, PEM, with its chain behind it
    #[arg(long, value_name = "FILE", requires = "ca_key", help_heading = "Certificates")]
    ca_cert: Option<PathBuf>,

    /// The private key of --ca-cert, PEM
    #[arg(long, value_name = "FILE", requires = "ca_cert", help_heading = "Certificates")]
    ca_key: Option<PathBuf>,

    /// The password of an encrypted --ca-key: the first line of this file
    #[arg(long, value_name = "FILE", requires = "ca_key", help_heading = "Certificates")]
    ca_key_password_file: Option<PathBuf>,

    /// Let the CA sign for this domain or network alone; repeatable
    ///
    /// Written into a new CA as X.509 name constraints, so that a trusted test CA cannot sign for the rest of the
    /// internet. Hosts outside are bypassed, and recorded so. Without this flag an existing CA keeps what it was made
    /// with; `middlebox ca renew --permit` changes it.
    #[arg(long, value_name = "DOMAIN", conflicts_with = "ca_cert", help_heading = "Certificates")]
    permit: Vec<Permit>,

    #[command(flatten)]
    state: StateArgs,

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

    /// Let one upstream connection serve several clients, which appliances do not
    ///
    /// Over HTTP/1.1 one after the other, over HTTP/2 also at once.
    #[arg(long, help_heading = "Origins")]
    pool: bool,

    /// Let clients in this network use the proxy, beside this machine; repeatable
    #[arg(long, value_name = "CIDR", value_parser = address::network, help_heading = "Access")]
    allow_client: Vec<IpNet>,

    /// Demand a user and password of this file, as `htpasswd -B` writes it
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    proxy_auth: Option<PathBuf>,

    /// For which hosts --proxy-auth counts
    ///
    /// Products differ: behind some, a client that cannot answer a 407 fails for bypassed hosts, too. The CONNECT host
    /// alone is asked about, before the client's hello.
    #[arg(long, value_name = "WHEN", default_value = "always", value_parser = words::<Authenticate>(["always", "not-for-bypassed"]), requires = "proxy_auth", help_heading = "Access")]
    authenticate: Authenticate,

    /// How long an origin may take to begin its answer while nothing moves; then the client is answered 504
    ///
    /// Uploads and interim answers begin it anew, and it is over once the answer begins.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, help_heading = "Origins")]
    answer_timeout: Duration,

    /// How long nothing may move inside a body, a WebSocket or a tunnel; then it is cut
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration, help_heading = "Origins")]
    idle_timeout: Duration,

    #[command(flatten)]
    token: TokenArgs,

    /// Append the TLS secrets of both legs to this file, for Wireshark
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    keylog: Option<PathBuf>,

    /// How long running exchanges may take to end when it is stopped
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration, help_heading = "Serving")]
    pub(super) grace: Duration,
}

impl LabArgs {
    /// The CA of the user's own where there is one, else that in the state folder.
    pub(super) fn kept_ca(&self) -> Result<CaSource, CliError> {
        match (&self.ca_cert, &self.ca_key) {
            (Some(certificate), Some(key)) => {
                let password = self.ca_key_password_file.clone();
                Ok(CaSource::External { certificate: certificate.clone(), key: key.clone(), password })
            }
            _ => Ok(CaSource::State(self.state.folder()?)),
        }
    }

    /// The configuration of a lab that listens at `listen` and `control` where the flags do not say otherwise.
    pub(super) fn config(&self, ca: CaSource, listen: SocketAddr, control: Control) -> Result<LabConfig, CliError> {
        let credentials = self.proxy_auth.as_deref().map(Credentials::read).transpose()?;
        let simulate = self.simulate.as_deref().map(simulated).transpose()?.unwrap_or_default();
        Ok(LabConfig {
            listen: self.listen.unwrap_or(listen),
            control: match self.control.unwrap_or(control) {
                Control::Off => None,
                Control::At(address) => Some(address),
            },
            control_token: self.token.token()?,
            policy: PolicyConfig {
                dialect: self.dialect,
                default: self.default,
                command_line: self.rules.rules.clone(),
                file: self.policy.clone(),
            },
            profile: self.profile.clone(),
            ca,
            permits: self.permit.clone(),
            origin_ca: self.origin_ca.clone(),
            resolve: self.resolve.clone(),
            simulate,
            parents: self.parent.clone(),
            parent_ca: self.parent_ca.clone(),
            client_certs: self.client_cert.clone(),
            transparent: self.transparent,
            forward: self.forward.clone(),
            authenticate: self.authenticate,
            on_change: self.on_change,
            allow_clients: self.allow_client.clone(),
            credentials,
            pool: self.pool,
            keylog: self.keylog.clone(),
            limits: Limits { answer: self.answer_timeout, idle: self.idle_timeout },
            grace: self.grace,
            ..LabConfig::default()
        })
    }

    /// Whether clients have to give a password.
    pub(super) fn demands_password(&self) -> bool {
        self.proxy_auth.is_some()
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
