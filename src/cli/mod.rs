//! The command line: one file per command, with its arguments and its printing.
//!
//! What a command finds out for machines goes to standard output, everything about its own work to standard error.
//! How it went is said by [`exit`] codes alone.

mod address;
mod audit;
mod bypass;
mod ca;
mod client_environment;
mod completions;
mod control_args;
mod enroll;
mod error;
mod exec;
pub mod exit;
mod forging_args;
mod guide;
mod lab_args;
mod logging;
mod origin_args;
mod pins;
mod policy;
mod policy_args;
mod ready;
mod rule_args;
mod run;
mod shipped;
mod signal;
mod solve;
mod state_folder;
mod token;
mod traffic;
mod trial_args;
mod up;
mod verify;
mod watch;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::Styles;
use clap::builder::styling::{AnsiColor, Effects};
use clap::{Parser, Subcommand};

use self::error::CliError;

/// Put a TLS-inspecting middlebox on this machine.
///
/// With it you watch a pinned client fail the way it fails behind the corporate proxy, find the bypass rule that
/// repairs it, and prove both in CI.
#[derive(Debug, Parser)]
#[command(name = "middlebox", version, max_term_width = 100, styles = STYLES, after_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(Box<up::Args>),
    Run(run::Args),
    Exec(Box<exec::Args>),
    Audit(Box<audit::Args>),
    Solve(Box<solve::Args>),
    Enroll(enroll::Args),
    Verify(verify::Args),
    Bypass(bypass::Args),
    Watch(watch::Args),
    Policy(Box<policy::Args>),
    Ca(ca::Args),
    Completions(completions::Args),
}

const AFTER: &str = "\
Exit codes: 0 as expected, 1 an expectation failed, 2 the command line or a file is wrong, 3 the environment is \
(a port is taken).
`middlebox help COMMAND` says more about a command.";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .literal(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
    .placeholder(AnsiColor::Cyan.on_default())
    .error(AnsiColor::Red.on_default().effects(Effects::BOLD))
    .valid(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
    .invalid(AnsiColor::Yellow.on_default().effects(Effects::BOLD));

/// Parses the arguments, the program's name first, and does what they say.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(told) => {
            // Help goes to standard output, mistakes to standard error. Where nobody reads, there is nobody to tell.
            let _ = told.print();
            return if told.use_stderr() { exit::USAGE.into() } else { exit::AS_EXPECTED.into() };
        }
    };
    match dispatch(cli.command) {
        Ok(code) => code.into(),
        Err(error) => {
            error.show();
            error.exit_code().into()
        }
    }
}

fn dispatch(command: Command) -> Result<u8, CliError> {
    match command {
        Command::Up(args) => wait_for(up::up(*args)),
        Command::Run(args) => wait_for(run::run(args)),
        Command::Exec(args) => wait_for(exec::exec(*args)),
        Command::Audit(args) => wait_for(audit::audit(*args)),
        Command::Solve(args) => wait_for(solve::run(*args)),
        Command::Enroll(args) => wait_for(enroll::enroll(args)),
        Command::Verify(args) => wait_for(verify::verify(args)),
        Command::Bypass(args) => wait_for(bypass::bypass(args)),
        Command::Watch(args) => wait_for(watch::watch(args)),
        Command::Policy(args) => policy::policy(*args),
        Command::Ca(args) => ca::ca(args),
        Command::Completions(args) => completions::completions(&args),
    }
}

fn wait_for(work: impl Future<Output = Result<u8, CliError>>) -> Result<u8, CliError> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().on_thread_start(leave_wide_registers).build().map_err(|error| {
        let help = "the system has no threads or files left for it; end something else first";
        CliError::environment(format!("cannot start: {error}")).with_help(help)
    })?;
    let result = runtime.block_on(work);
    // What is still computing (a key, a hash) is of no use to anybody now.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// A thread begins with the registers of the one that started it, and where the upper halves of the vector registers are
/// in use, as they are amid cryptography, x86 processors take several times as long for the C library's own string
/// functions: a look-up in a hosts file of 2,000 lines took 1.2 ms in place of 0.33 ms. A search that uses the wide
/// registers clears them when it is done.
fn leave_wide_registers() {
    std::hint::black_box(memchr::memchr(1, std::hint::black_box(&[0; 128])));
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_holds_together() {
        super::Cli::command().debug_assert();
    }
}
