//! `middlebox audit`: which wrong certificates a command accepts.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::error::CliError;
use super::exit;
use super::logging::LogArgs;
use super::signal::Stop;
use super::trial_args::TrialArgs;
use crate::policy::{Dialect, Pattern};
use crate::report::{AuditReport, write_whole};
use crate::source::{Document, DocumentError};
use crate::trial::{Attempt, Audit, AuditError, AuditProgress, Baseline, Meaning};

/// How long one run may take where nothing is said.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Find out which wrong certificates a command accepts
///
/// The command runs once with everything bypassed, which shows its hosts; then once for each host and each wrong
/// certificate, with the other hosts bypassed, each time behind a lab of its own. What counts is whether application data
/// came over the wrong certificate; of what was sent, sizes alone are told.
///
/// A trusted forgery, TLS 1.2, a leaf that says that it is a CA, and a host in the common name alone are observations;
/// the genuine certificate behind a forged one is a fault of clients that pin. Everything else that is accepted fails.
///
/// Ends with 0 where nothing fails, with 1 where something does.
#[derive(Debug, clap::Args)]
#[command(after_long_help = help())]
pub(super) struct Args {
    #[command(flatten)]
    trial: TrialArgs,

    /// Audit these hosts alone, by patterns as --bypass of other commands takes them; repeatable
    #[arg(long, value_name = "PATTERN", help_heading = "Audit")]
    host: Vec<String>,

    /// Try these alone, separated by commas or repeated; a trusted forgery always is, since the rest is judged by it
    #[arg(long, value_name = "NAME", value_delimiter = ',', help_heading = "Audit")]
    only: Vec<Attempt>,

    /// Do not try these
    #[arg(long, value_name = "NAME", value_delimiter = ',', conflicts_with = "only", help_heading = "Audit")]
    skip: Vec<Attempt>,

    /// Fail if these are accepted, too: `trusted-forgery` demands a client that pins. Or `none`: never fail
    #[arg(long, value_name = "NAME|none", value_delimiter = ',', help_heading = "Audit")]
    fail_on: Vec<String>,

    /// Do not fail on what this file knows
    #[arg(long, value_name = "FILE", help_heading = "Audit")]
    baseline: Option<PathBuf>,

    /// Write what is accepted now to this file, for --baseline, and end with 0
    #[arg(long, value_name = "FILE", conflicts_with = "baseline", help_heading = "Audit")]
    write_baseline: Option<PathBuf>,

    /// How many runs go on at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64), help_heading = "Audit")]
    jobs: u16,

    /// How the result is written to standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    format: AuditFormat,

    /// Write the result to this file as JUnit XML, too: a test case for each host and certificate
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    junit: Option<PathBuf>,

    #[command(flatten)]
    log: LogArgs,
}

/// How an audit is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum AuditFormat {
    /// For people.
    #[default]
    Text,
    /// For the summary of a CI job or a pull request.
    Markdown,
    /// For scripts.
    Json,
}

const EXAMPLES: &str = "\
Examples:
  What does a curl that verifies nothing accept?
    middlebox audit --simulate -- curl -k https://intranet.acme.example/
  In CI: fail where the client accepts something new, and where it does not pin:
    middlebox audit --fail-on trusted-forgery --baseline known.toml --junit audit.xml -- ./client";

/// What is tried, one a line.
fn help() -> String {
    let mut text = format!("{EXAMPLES}\n\nWhat is tried:\n");
    for attempt in Attempt::all() {
        let meaning = match attempt.meaning() {
            Meaning::Fault => "",
            Meaning::FaultWherePinned => "; a fault of clients that pin",
            Meaning::Observation => "; an observation",
        };
        let _ = writeln!(text, "  {:<28}{}{meaning}", attempt.name(), attempt.title());
    }
    text + "\nThe command is told of proxy and CAs, and {placeholders} are filled in, as `middlebox exec --help` says."
}

pub(super) async fn audit(args: Args) -> Result<u8, CliError> {
    args.log.begin("warn")?;
    let audit = read(&args)?;
    let mut stop =
        Stop::listen().map_err(|error| CliError::environment(format!("cannot listen for signals: {error}")))?;
    let quiet = args.log.quiet;
    let mut on_progress = |progress: AuditProgress<'_>| {
        if !quiet {
            tell_progress(&progress);
        }
    };
    let report = tokio::select! {
        report = audit.run(&mut on_progress) => report?,
        () = stop.next() => {
            tracing::warn!("ended in the middle of the audit; no report is written");
            return Ok(exit::INTERRUPTED);
        }
    };
    tell(&args, &report)?;
    Ok(match report.passed() || args.write_baseline.is_some() {
        true => exit::AS_EXPECTED,
        false => exit::EXPECTATION_FAILED,
    })
}

fn read(args: &Args) -> Result<Audit, CliError> {
    let mut audit = Audit::new(args.trial.trial()?);
    audit.trial.time_limit.get_or_insert(TIME_LIMIT);
    audit.jobs = usize::from(args.jobs);
    let pattern = |text: &String| Dialect::MIDDLEBOX.parse(text).map_err(CliError::Pattern);
    audit.hosts = args.host.iter().map(pattern).collect::<Result<Vec<Pattern>, _>>()?;
    audit
        .attempts
        .retain(|attempt| (args.only.is_empty() || args.only.contains(attempt)) && !args.skip.contains(attempt));
    for name in &args.fail_on {
        match name.as_str() {
            "none" if args.fail_on.len() == 1 => audit.fail_on_faults = false,
            "none" => return Err(CliError::usage("--fail-on none does not go with other names")),
            _ => audit.fail_on.push(name.parse().map_err(|error| CliError::usage(format!("--fail-on: {error}")))?),
        }
    }
    if let Some(path) = &args.baseline {
        audit.baseline = Baseline::parse(&Document::read(path)?).map_err(DocumentError::from)?;
    }
    Ok(audit)
}

/// On standard error, a line for each run.
fn tell_progress(progress: &AuditProgress<'_>) {
    let mut to = anstream::stderr().lock();
    // Nobody reads: the audit goes on.
    let _ = match progress {
        AuditProgress::Begun { hosts, runs } => {
            let names: Vec<_> = hosts.iter().map(ToString::to_string).collect();
            writeln!(to, "auditing {} in {runs} runs", names.join(", "))
        }
        AuditProgress::Done { done, runs, host, attempt, verdict } => {
            let width = runs.to_string().len();
            writeln!(to, "[{done:>width$}/{runs}] {host} {attempt}: {verdict}")
        }
    };
}

/// Writes the files and tells the result; the one does not wait for the other's success.
fn tell(args: &Args, report: &AuditReport) -> Result<(), CliError> {
    let filed = write_files(args, report);
    let told = print(args, report);
    filed.and(told)
}

fn write_files(args: &Args, report: &AuditReport) -> Result<(), CliError> {
    if let Some(path) = &args.junit {
        write_whole(path, report.junit()?.as_bytes())?;
    }
    if let Some(path) = &args.write_baseline {
        write_whole(path, Baseline::text(report).as_bytes())?;
    }
    Ok(())
}

fn print(args: &Args, report: &AuditReport) -> Result<(), CliError> {
    if args.format == AuditFormat::Text && args.log.quiet && report.passed() {
        return Ok(());
    }
    let mut out = anstream::stdout().lock();
    match args.format {
        AuditFormat::Text => report.write(&mut out)?,
        AuditFormat::Markdown => out.write_all(report.markdown().as_bytes())?,
        AuditFormat::Json => out.write_all(report.json().as_bytes())?,
    }
    Ok(out.flush()?)
}

impl From<AuditError> for CliError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Trial(error) => error.into(),
            AuditError::Command(_) => {
                Self::usage(error.to_string()).with_help("name a program that is installed, or its path")
            }
            AuditError::NotAmong(_) => {
                Self::usage(error.to_string()).with_help("name one of these with --host, or leave it out")
            }
            AuditError::NothingArrived(_) => {
                Self::environment(error.to_string()).with_help("run it with `middlebox exec`, which says what to try")
            }
            AuditError::Stopped(_) => Self::environment(error.to_string()),
        }
    }
}
