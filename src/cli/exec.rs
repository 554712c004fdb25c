//! `middlebox exec`: a command behind a lab, and what became of its connections.

use std::io::{self, Write as _};
use std::path::PathBuf;

use super::error::CliError;
use super::exit;
use super::forging_args::DefectArgs;
use super::logging::LogArgs;
use super::policy_args::PolicyArgs;
use super::trial_args::{TrialArgs, surroundings_help};
use super::words::Format;
use crate::child::{NOT_EXECUTABLE, NOT_FOUND, OUR_FAILURE, Output, Signals};
use crate::journal::Har;
use crate::report::{EndKind, ExecReport, ExpectationReport, write_whole};
use crate::source::DocumentError;
use crate::trial::{Expectation, report};

/// Run a command behind a middlebox, and tell what became of each host that it contacted
///
/// A lab of its own starts on free ports, with a CA that lives in memory only. The command is told of its proxy and its
/// CAs by the variables that its runtime reads, and runs with this terminal's input and output. When it has ended, a
/// table on standard error says per host what was decided and by which rule, how the client took it, and why it refused.
#[derive(Debug, clap::Args)]
#[command(after_long_help = help())]
pub(super) struct Args {
    #[command(flatten)]
    policy: PolicyArgs,

    #[command(flatten)]
    trial: TrialArgs,

    #[command(flatten)]
    defect: DefectArgs,

    /// Expect each connection to HOST to end so; repeatable
    ///
    /// HOST is a pattern as --bypass takes it. OUTCOME is one of accepted, refused, bypassed, blocked, plain, unused,
    /// gave-up, failed, or `untouched`: never contacted. CAUSE, for refused alone, is one of untrusted-ca, pin-mismatch,
    /// wrong-host, expired, policy, protocol, ambiguous. Connections that were opened ahead and never used do not count.
    #[arg(long, value_name = "HOST=OUTCOME[:CAUSE]", help_heading = "Expectations")]
    expect: Vec<String>,

    /// Expect the command to end with this code
    #[arg(long, value_name = "CODE", help_heading = "Expectations")]
    expect_exit: Option<u8>,

    /// How the result is written: as a table on standard error, or as JSON on standard output
    ///
    /// With JSON, what the command says on standard output goes to standard error.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    format: Format,

    /// Write the result to this file as JUnit XML, too: a test case for each expectation
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    junit: Option<PathBuf>,

    /// Write the connections to this file as an HTTP archive (HAR 1.2), too; without headers, queries and bodies
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    har: Option<PathBuf>,

    #[command(flatten)]
    log: LogArgs,
}

const EXAMPLES: &str = "\
Examples:
  Does curl work behind inspection?
    middlebox exec -- curl https://www.example.com/
  The simulated Okta Verify, which pins its hosts, without the internet:
    middlebox exec --simulate -- middlebox enroll https://acme.okta.com
  In CI: the pinned host refuses, and works once it is bypassed:
    middlebox exec --expect api.example.com=refused:pin-mismatch -- ./client
    middlebox exec --bypass api.example.com --expect api.example.com=bypassed --expect-exit 0 -- ./client";

const ENDINGS: &str = "\
Exit codes: the command's own; 128 and its number for a signal; 124 at --timeout, 125 for a failure of our own, 126 where \
the command cannot be executed, 127 where it is not found. With an expectation: 0 where all came true, else 1. 2 where the \
command line or a file is wrong, in either case. Signals are passed on to the command, and nothing of it is left running.";

fn help() -> String {
    format!("{EXAMPLES}\n\n{}\n\n{ENDINGS}", surroundings_help())
}

pub(super) async fn exec(args: Args) -> Result<u8, CliError> {
    // What goes wrong with us must not be taken for what the command says with its exit code.
    let passes_on = !args.expects();
    match perform(args).await {
        Err(error) if passes_on && error.exit_code() == exit::ENVIRONMENT => {
            error.show();
            Ok(OUR_FAILURE)
        }
        result => result,
    }
}

async fn perform(args: Args) -> Result<u8, CliError> {
    args.log.begin("warn")?;
    let expectations = expectations(&args.expect)?;
    let mut trial = args.trial.trial()?;
    trial.lab.policy = args.policy.config();
    trial.lab.defect = args.defect.defect;
    trial.output = match args.format {
        Format::Text => Output::Inherited,
        Format::Json => Output::ToStderr,
    };
    let mut signals =
        Signals::listen().map_err(|error| CliError::environment(format!("cannot listen for signals: {error}")))?;
    let ran = trial.run_with_signals(&mut signals).await?;
    let mut report = report(&trial, &ran, &expectations);
    report.expectations.extend(args.expect_exit.map(|code| ExpectationReport {
        expected: format!("exit code {code}"),
        met: code == report.end.code,
        actual: format!("the command {}", report.end),
    }));
    tell(&args, &report)?;
    Ok(match report.end.kind {
        EndKind::NotFound => NOT_FOUND,
        EndKind::NotExecutable => NOT_EXECUTABLE,
        EndKind::Exited | EndKind::Signalled | EndKind::TimedOut if !args.expects() => report.end.code,
        EndKind::Exited | EndKind::Signalled | EndKind::TimedOut => match report.as_expected() {
            true => exit::AS_EXPECTED,
            false => exit::EXPECTATION_FAILED,
        },
    })
}

impl Args {
    /// Whether the exit code says how expectations went, and not how the command did.
    fn expects(&self) -> bool {
        !self.expect.is_empty() || self.expect_exit.is_some()
    }
}

/// Reads all of them, and tells what is wrong with each.
fn expectations(typed: &[String]) -> Result<Vec<Expectation>, CliError> {
    let (mut expectations, mut errors) = (Vec::new(), Vec::new());
    for text in typed {
        match Expectation::parse(text) {
            Ok(expectation) => expectations.push(expectation),
            Err(place) => errors.push(DocumentError::from(place).into()),
        }
    }
    match errors.len() {
        0 => Ok(expectations),
        1 => Err(errors.remove(0)),
        _ => Err(CliError::Several(errors)),
    }
}

/// Writes the files and tells the result; the one does not wait for the other's success.
fn tell(args: &Args, report: &ExecReport) -> Result<(), CliError> {
    let filed = write_files(args, report);
    let told = print(args, report);
    filed.and(told)
}

fn write_files(args: &Args, report: &ExecReport) -> Result<(), CliError> {
    if let Some(path) = &args.junit {
        write_whole(path, report.junit()?.as_bytes())?;
    }
    if let Some(path) = &args.har {
        write_whole(path, &Har::of(&report.connections).to_json())?;
    }
    Ok(())
}

fn print(args: &Args, report: &ExecReport) -> Result<(), CliError> {
    match args.format {
        Format::Json => {
            let mut out = io::stdout().lock();
            out.write_all(report.json().as_bytes())?;
            out.flush()?;
        }
        Format::Text if args.log.quiet && report.as_expected() => {}
        Format::Text => {
            let mut to = anstream::stderr().lock();
            // Standard error may be closed; the exit code says the most of it.
            let _ = report.write(&mut to).and_then(|()| to.flush());
        }
    }
    Ok(())
}
