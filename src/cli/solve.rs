//! `middlebox solve`: the smallest bypass list with which a command works.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::error::CliError;
use super::exit;
use super::logging::LogArgs;
use super::policy_args::PolicyArgs;
use super::signal::Stop;
use super::trial_args::TrialArgs;
use super::words::Format;
use crate::lab::LabError;
use crate::policy::PolicyStore;
use crate::report::{SolveReport, SolveResult, write_whole};
use crate::trial::Trust;
use crate::trial::solve::{CommandError, CommandOracle, Limits, Question, Run, known, solve};

/// How long one run may take where nothing is said.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Find the smallest bypass list with which a command works behind inspection
///
/// The command runs with everything bypassed, where it has to work, and with everything inspected, where it has to
/// fail. Then what it refuses is bypassed until it works, and what is not needed is taken away again. What remains is
/// written as a person would: what vendors ask to exclude, a domain that several hosts share, else the host; in the
/// dialect of --dialect, and proven by a last run. Each run has a lab of its own.
///
/// Rules given with --bypass, --inspect, --block and --policy are what the product has already: then the list is what
/// is missing there. For n hosts it takes at most 3n + 5 runs, each repeated where it fails: once more where no refusal
/// explains the failure, and as often as --retries says.
///
/// Ends with 0 where a list was found, with 1 where there is none, or none is needed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    policy: PolicyArgs,

    #[command(flatten)]
    trial: TrialArgs,

    /// The command works where it ends with this code; repeatable [default: 0]
    ///
    /// What an exit code does not say, a shell does: `-- sh -c './client | grep -q "signed in"'`.
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u8), help_heading = "Search")]
    success_exit: Vec<u8>,

    /// Repeat a run that fails so often, for commands that fail by chance
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100), help_heading = "Search")]
    retries: u32,

    /// End the search after so many runs
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Search")]
    max_runs: u32,

    /// How the result is written to standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    format: Format,

    /// Write the result to this file as JUnit XML, too: one test case, which passes where a list was found
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    junit: Option<PathBuf>,

    #[command(flatten)]
    log: LogArgs,
}

const EXAMPLES: &str = "\
Examples:
  What does the simulated Okta Verify need?
    middlebox solve --simulate -- middlebox enroll https://acme.okta.com
  A list for Zscaler, for a client of one's own that now and then fails by itself:
    middlebox solve --dialect zscaler --retries 2 -- ./client --once
  What is missing in the list that we have?
    middlebox solve --dialect pan-os-exclusion --policy ours.toml -- ./client --once

A run that takes longer than --timeout, or 60s where none is given, has failed.
The command is told of proxy and CAs, and {placeholders} are filled in, as `middlebox exec --help` says.";

pub(super) async fn run(args: Args) -> Result<u8, CliError> {
    args.log.begin("warn")?;
    let mut trial = args.trial.trial()?;
    trial.time_limit.get_or_insert(TIME_LIMIT);
    trial.lab.policy = args.policy.config();
    // Read here, so that a mistake in it is told before the first run.
    let dialect = PolicyStore::new(trial.lab.policy.clone()).map_err(LabError::from)?.current().dialect();
    let command = trial.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let success = if args.success_exit.is_empty() { vec![0] } else { args.success_exit.clone() };
    let distrusts_simulation = trial.trust == Trust::None && !trial.lab.simulate.is_empty();
    let limits = Limits { retries: args.retries, max_runs: args.max_runs };
    let question = Question { dialect, known: known(), limits };
    let mut oracle = CommandOracle::new(trial, dialect, success.into_iter().map(i32::from).collect());

    let mut stop =
        Stop::listen().map_err(|error| CliError::environment(format!("cannot listen for signals: {error}")))?;
    let quiet = args.log.quiet;
    let mut on_run = |run: &Run| {
        if !quiet {
            // Nobody reads: the search goes on.
            let _ = writeln!(anstream::stderr().lock(), "{}", run.told().line());
        }
    };
    let began = Instant::now();
    let solution = tokio::select! {
        solution = solve(&mut oracle, &question, &mut on_run) => solution?,
        () = stop.next() => {
            tracing::warn!("ended in the middle of the search; no report is written");
            return Ok(exit::INTERRUPTED);
        }
    };
    let mut report = solution.report(command, dialect, began.elapsed());
    if report.result == SolveResult::FailsBypassed && distrusts_simulation {
        let remark = "With --trust none the command is not told of the simulated internet's CA either: name the file \
                      {public-ca} in its arguments.";
        report.remarks.push(remark.to_owned());
    }
    tell(&args, &report)?;
    Ok(if report.found() { exit::AS_EXPECTED } else { exit::EXPECTATION_FAILED })
}

/// Writes the file and tells the result; the one does not wait for the other's success.
fn tell(args: &Args, report: &SolveReport) -> Result<(), CliError> {
    let filed = write_junit(args, report);
    let told = print(args, report);
    filed.and(told)
}

fn write_junit(args: &Args, report: &SolveReport) -> Result<(), CliError> {
    match &args.junit {
        Some(path) => Ok(write_whole(path, report.junit()?.as_bytes())?),
        None => Ok(()),
    }
}

fn print(args: &Args, report: &SolveReport) -> Result<(), CliError> {
    let mut out = anstream::stdout().lock();
    match args.format {
        Format::Json => out.write_all(report.json().as_bytes())?,
        Format::Text => report.write(&mut out)?,
    }
    Ok(out.flush()?)
}

impl From<CommandError> for CliError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Trial(error) => error.into(),
            CommandError::Command(_) => {
                Self::usage(error.to_string()).with_help("name a program that is installed, or its path")
            }
        }
    }
}
