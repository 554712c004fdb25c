//! The log on standard error.

use std::io::{self, IsTerminal as _};

use anstream::ColorChoice;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use super::error::CliError;

/// The variable with a filter in the manner of `RUST_LOG`; it goes before the flags.
const FILTER: &str = "MIDDLEBOX_LOG";

/// What is told of the command's own work.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct LogArgs {
    /// Print nothing but errors
    #[arg(long, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// Tell more on standard error; twice for still more
    ///
    /// The variable MIDDLEBOX_LOG takes a finer filter, as in `middlebox::proxy=debug`, and goes before this flag.
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,

    /// How the log on standard error is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(super) log_format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl LogArgs {
    /// Begins to log; `usual` is what is told where no flag says otherwise.
    pub(super) fn begin(self, usual: &str) -> Result<(), CliError> {
        let wanted = std::env::var(FILTER).ok().filter(|filter| !filter.trim().is_empty());
        let filter = match wanted {
            Some(filter) => EnvFilter::try_new(&filter).map_err(|error| {
                let help = "write it as in `middlebox=debug` or `middlebox::proxy=trace,warn`";
                CliError::usage(format!("{FILTER} is not a filter: {error}")).with_help(help)
            })?,
            None => EnvFilter::new(match (self.quiet, self.verbose) {
                (true, _) => "error",
                (false, 0) => usual,
                (false, 1) => "middlebox=debug,warn",
                (false, 2) => "middlebox=trace,info",
                (false, _) => "trace",
            }),
        };
        let colours = anstream::AutoStream::choice(&io::stderr()) != ColorChoice::Never;
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_timer(Clock);
        // A second beginning is a test's, within one process; the first log goes on.
        let _ = match self.log_format {
            LogFormat::Json => log.json().flatten_event(true).with_current_span(false).try_init(),
            LogFormat::Text => {
                let detailed = self.verbose > 0 || std::env::var_os(FILTER).is_some();
                log.with_ansi(colours && io::stderr().is_terminal()).with_target(detailed).try_init()
            }
        };
        Ok(())
    }
}

/// UTC to the millisecond, as records have it.
struct Clock;

const FORM: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

impl FormatTime for Clock {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        let now = time::OffsetDateTime::now_utc().format(FORM).map_err(|_| std::fmt::Error)?;
        to.write_str(&now)
    }
}
