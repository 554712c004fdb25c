//! `middlebox up`: a middlebox that stays until it is stopped.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tracing::{info, warn};

use super::address::{Control, DEFAULT_CONTROL};
use super::error::CliError;
use super::guide::Guide;
use super::lab_args::LabArgs;
use super::logging::LogArgs;
use super::ready::{self, Ready};
use super::signal::Stop;
use super::{exit, traffic};
use crate::lab::RunningLab;

/// Where the proxy listens where nothing else is said.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// Start a middlebox, print how to point a client at it, and stay until it is stopped
///
/// Each connection that ends is one line on standard error: host, decision, rule, outcome, and of a refusal the cause.
///
/// Ctrl-C (or SIGTERM) stops it: nothing new is accepted, running exchanges end within --grace. A second one ends it at
/// once.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    lab: LabArgs,

    #[command(flatten)]
    log: LogArgs,
}

const EXAMPLES: &str = "\
Examples:
  Inspect everything, without the internet, as Zscaler's certificates look:
    middlebox up --simulate --profile zscaler
  Inspect everything but Okta's domains:
    middlebox up --bypass '*.okta.com' --bypass '*.oktapreview.com'
  Rehearse a policy file, and wait for the middlebox in a script:
    middlebox up --policy policy.toml --listen 127.0.0.1:0 --ready-file ready.json
  Let a test device in the same network use it:
    middlebox up --listen 0.0.0.0:8080 --allow-client 192.168.1.20";

pub(super) async fn up(args: Args) -> Result<u8, CliError> {
    let Args { lab: args, log } = args;
    log.begin("middlebox=info,warn")?;
    let mut stop =
        Stop::listen().map_err(|error| CliError::environment(format!("cannot listen for signals: {error}")))?;
    let config = args.config(args.kept_ca()?, LISTEN, Control::At(DEFAULT_CONTROL))?;
    if let Some(path) = &args.ready_file {
        ready::forget(path)?;
    }
    let lab = tokio::select! {
        built = config.build() => built?,
        () = stop.next() => return Ok(exit::AS_EXPECTED),
    };
    let lab = lab.spawn();
    let watching = tokio::spawn(traffic::log(lab.journal().subscribe(), log.log_format));
    let served = serve(&lab, &args, log, &mut stop).await;

    if served.is_ok() {
        info!(
            "stopping: running exchanges have {} to end; a second signal ends at once",
            humantime::format_duration(args.grace)
        );
    }
    let in_order = tokio::select! {
        in_order = lab.drain() => in_order,
        () = stop.next() => {
            served?;
            return Ok(exit::INTERRUPTED);
        }
    };
    if !in_order {
        warn!("some connections did not end in time, and were cut");
    }
    // The journal went with the lab, so this ends once the last connection was told; the limit is for one that hangs.
    let _ = tokio::time::timeout(Duration::from_secs(1), watching).await;
    served?;
    Ok(exit::AS_EXPECTED)
}

/// Says where it is, and waits for the wish to stop.
async fn serve(lab: &RunningLab, args: &LabArgs, log: LogArgs, stop: &mut Stop) -> Result<(), CliError> {
    let ready = Ready::of(lab);
    if let Some(path) = &args.ready_file {
        ready.write(Path::new(path))?;
    }
    if !log.quiet {
        let guide = Guide { lab, ready: &ready, password: args.demands_password() };
        let mut out = anstream::stdout().lock();
        guide.write(&mut out)?;
        out.flush()?;
    }
    stop.next().await;
    Ok(())
}
