//! The flags of a command that starts a lab and stays.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::address::{self, Control};
use super::error::CliError;
use super::forging_args::{DefectArgs, ForgingArgs};
use super::origin_args::OriginArgs;
use super::policy_args::PolicyArgs;
use super::state_folder::StateArgs;
use super::token::TokenArgs;
use super::words::words;
use crate::lab::{CaSource, LabConfig};
use crate::net::Destination;
use crate::policy::OnChange;
use crate::proxy::{Authenticate, Credentials, DecideAt};

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

    #[command(flatten)]
    policy: PolicyArgs,

    /// When rules are compared with a TLS connection
    ///
    /// request: before the client's hello is read, when only the host that it asked for is known, or the address on a
    /// transparent port. hello: once the SNI is known. certificate: once the origin has shown its certificate. These are
    /// Squid's three `ssl_bump` steps; a dialect that does not look at the name in question does not change.
    #[arg(long, value_name = "WHEN", default_value = "hello", value_parser = words::<DecideAt>(["request", "hello", "certificate"]), hide_possible_values = false, help_heading = "Policy")]
    decide_at: DecideAt,

    /// What happens to open connections when a rule changes
    ///
    /// new-only: they keep the decision they began with, as on real appliances. drain: those that would now be decided
    /// otherwise are closed after their running exchange, so that the client connects anew. kill: they are closed at
    /// once.
    #[arg(long, value_name = "HOW", default_value = "new-only", value_parser = words::<OnChange>(["new-only", "drain", "kill"]), hide_possible_values = false, help_heading = "Policy")]
    on_change: OnChange,

    #[command(flatten)]
    forging: ForgingArgs,

    #[command(flatten)]
    defect: DefectArgs,

    #[command(flatten)]
    state: StateArgs,

    #[command(flatten)]
    origins: OriginArgs,

    /// Where it stays open why a client refused a host, pass its next connection there through, once
    ///
    /// A client that refuses its first host never gets to the others, whose connections would decide; and one that
    /// fails past the middlebox too does not fail for the certificate. The record says that it was a probe.
    #[arg(long, help_heading = "Diagnosis")]
    probe: bool,

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
        self.forging.own_ca().map_or_else(|| Ok(CaSource::State(self.state.folder()?)), Ok)
    }

    /// The configuration of a lab that listens at `listen` and `control` where the flags do not say otherwise.
    pub(super) fn config(&self, ca: CaSource, listen: SocketAddr, control: Control) -> Result<LabConfig, CliError> {
        let mut config = LabConfig {
            listen: self.listen.unwrap_or(listen),
            control: match self.control.unwrap_or(control) {
                Control::Off => None,
                Control::At(address) => Some(address),
            },
            control_token: self.token.token()?,
            policy: self.policy.config(),
            ca,
            defect: self.defect.defect,
            transparent: self.transparent,
            forward: self.forward.clone(),
            authenticate: self.authenticate,
            decide_at: self.decide_at,
            on_change: self.on_change,
            allow_clients: self.allow_client.clone(),
            credentials: self.proxy_auth.as_deref().map(Credentials::read).transpose()?,
            probe: self.probe,
            keylog: self.keylog.clone(),
            grace: self.grace,
            ..LabConfig::default()
        };
        self.forging.apply(&mut config);
        self.origins.apply(&mut config)?;
        Ok(config)
    }

    /// Whether clients have to give a password.
    pub(super) fn demands_password(&self) -> bool {
        self.proxy_auth.is_some()
    }
}
