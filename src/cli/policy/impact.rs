//! `middlebox policy impact`: what a list does to traffic that was seen.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::super::error::CliError;
use super::super::exit;
use super::super::words::Format;
use super::list::{ListArgs, Listed};
use super::text::{Paint, labelled, place, print};
use crate::policy::{HostCount, Impact, Shift, Standing, Traffic, TrafficError, impact, shift};

/// So many entries are shown without --all.
const SHOWN: usize = 20;

/// Tell what a list does to traffic that was seen: what is inspected, bypassed and blocked, by which entry
///
/// The traffic is an access log of Squid or of a web server's form, a log in the W3C extended format, a HAR file, a CSV
/// table with a column for the host, or a list of hosts; which of them is told by its content. It is read as a stream, however long it is.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    list: ListArgs,

    /// The traffic; `-` is standard input
    #[arg(long, value_name = "LOG", help_heading = "Traffic")]
    traffic: PathBuf,

    /// Show only what changes against this older list, read in the same way
    #[arg(long, value_name = "OLD", help_heading = "Traffic")]
    against: Option<PathBuf>,

    /// Show every entry, and not only those with the most connections
    #[arg(long, help_heading = "Output")]
    all: bool,

    /// How the result is written to standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  What the list does to yesterday's traffic:
    middlebox policy impact --policy bypass.txt --dialect zscaler --traffic access.log
  What a change of the list changes:
    middlebox policy impact --policy new.txt --against old.txt --dialect zscaler --traffic access.log";

pub(super) fn run(args: &Args) -> Result<u8, CliError> {
    let list = args.list.listed()?;
    let old =
        args.against.as_deref().map(|path| Listed::open(path, None, Some(list.dialect), list.default)).transpose()?;
    let traffic = args.read()?;
    let reading = list.reading();
    match old {
        None => {
            let impact = impact(&reading.policy, &traffic);
            print(args.format, &impact, |to| args.write(&impact, to))?;
        }
        Some(old) => {
            let shift = shift(&old.reading().policy, &reading.policy, &traffic);
            print(args.format, &shift, |to| args.write_shift(&shift, to))?;
        }
    }
    Ok(exit::AS_EXPECTED)
}

impl Args {
    fn read(&self) -> Result<Traffic, CliError> {
        let name = self.traffic.display();
        let stream: Box<dyn Read> = if self.traffic.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            let file = File::open(&self.traffic);
            Box::new(file.map_err(|error| CliError::usage(format!("cannot read {name}: {error}")))?)
        };
        Traffic::read(stream).map_err(|error| match error {
            TrafficError::Read(error) => CliError::usage(format!("cannot read {name}: {error}")),
            error => CliError::usage(format!("{name}: {error}")),
        })
    }

    fn write(&self, impact: &Impact, to: &mut dyn Write) -> io::Result<()> {
        let Paint { strong, faint, .. } = Paint::default();
        let Impact { format, connections, hosts, without_host, beyond, decisions, entries } = impact;
        writeln!(to, "{}", counted(*connections, *hosts, &format.to_string()))?;
        write_left_over(*without_host, *beyond, to)?;
        writeln!(to)?;
        for share in decisions {
            let style = Paint::of(share.decision);
            writeln!(
                to,
                "  {style}{:<7}{style:#} {:>12}  {:>5.1} %  {}",
                share.decision,
                share.connections,
                percent(share.connections, *connections),
                several(share.hosts as u64, "host")
            )?;
        }
        writeln!(to)?;
        let shown = if self.all { entries.len() } else { SHOWN };
        for share in entries.iter().take(shown) {
            let style = Paint::of(share.decision);
            let by = share
                .entry
                .as_ref()
                .map_or_else(|| "by default".to_owned(), |entry| format!("{}{}", entry.text, place(entry.line)));
            let percent = percent(share.connections, *connections);
            write!(to, "{:>12}  {percent:>5.1} %  ", share.connections)?;
            writeln!(
                to,
                "{style}{:<7}{style:#} {strong}{by}{strong:#}  {faint}{}{faint:#}",
                share.decision,
                several(share.hosts as u64, "host")
            )?;
            labelled("", &most(&share.most, share.hosts), to)?;
            if share.standing > Standing::Inferred {
                for assumption in &share.assumptions {
                    labelled("", &assumption.to_string(), to)?;
                }
            }
        }
        match entries.len().saturating_sub(shown) {
            0 => Ok(()),
            left => writeln!(to, "{faint}and {left} entries with fewer connections; --all shows them{faint:#}"),
        }
    }

    fn write_shift(&self, shift: &Shift, to: &mut dyn Write) -> io::Result<()> {
        let Paint { strong, faint, good, .. } = Paint::default();
        let Shift { format, connections, hosts, without_host, beyond, changed, changes } = shift;
        writeln!(to, "{}", counted(*connections, *hosts, &format.to_string()))?;
        write_left_over(*without_host, *beyond, to)?;
        writeln!(to)?;
        if changes.is_empty() {
            return writeln!(to, "{good}nothing changes{good:#}");
        }
        writeln!(
            to,
            "{strong}{changed}{strong:#} of them decided otherwise ({:.1} %)\n",
            percent(*changed, *connections)
        )?;
        let shown = if self.all { changes.len() } else { SHOWN };
        for moved in changes.iter().take(shown) {
            let (before, now) = (Paint::of(moved.before), Paint::of(moved.now.decision));
            write!(to, "{:>12}  {before}{}{before:#} -> ", moved.now.connections, moved.before)?;
            let hosts = several(moved.now.hosts as u64, "host");
            writeln!(to, "{now}{}{now:#}  {faint}{hosts}{faint:#}", moved.now.decision)?;
            let by = |entry: &Option<crate::policy::Deciding>| {
                entry.as_ref().map_or_else(
                    || "by default".to_owned(),
                    |entry| format!("by `{}`{}", entry.text, place(entry.line)),
                )
            };
            labelled("", &format!("before {}, now {}", by(&moved.entry_before), by(&moved.now.entry)), to)?;
            labelled("", &most(&moved.now.most, moved.now.hosts), to)?;
        }
        match changes.len().saturating_sub(shown) {
            0 => Ok(()),
            left => writeln!(to, "{faint}and {left} changes of fewer connections; --all shows them{faint:#}"),
        }
    }
}

fn counted(connections: u64, hosts: usize, format: &str) -> String {
    format!("{} to {}, out of {format}", several(connections, "connection"), several(hosts as u64, "host"))
}

fn several(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn write_left_over(without_host: u64, beyond: u64, to: &mut dyn Write) -> io::Result<()> {
    let Paint { warn, .. } = Paint::default();
    if without_host > 0 {
        writeln!(to, "{warn}{} without a host{warn:#}", several(without_host, "line"))?;
    }
    if beyond > 0 {
        writeln!(to, "{warn}{beyond} lines are left out: there are too many hosts to tell apart{warn:#}")?;
    }
    Ok(())
}

fn most(hosts: &[HostCount], of: usize) -> String {
    let named: Vec<_> = hosts.iter().map(|host| format!("{} ({})", host.host, host.connections)).collect();
    let more = of - hosts.len();
    if more == 0 { named.join(", ") } else { format!("{}, and {more} more", named.join(", ")) }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage with one digit")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}
