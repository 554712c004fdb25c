//! `middlebox policy matrix`: the same patterns and hosts, in every dialect.

use std::io::{self, Write};

use serde::Serialize;

use super::super::error::CliError;
use super::super::exit;
use super::super::words::Format;
use super::explain::mistaken;
use super::list::dialects;
use super::text::{Paint, item, print};
use crate::policy::{Cell, Dialect, MatrixRow, Question, Standing, matrix};

/// Show what patterns cover, as every product reads them, side by side
///
/// Each host is CONNECT host, SNI and certificate name at once.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Hosts: `acme.okta.com`, `acme.okta.com:8443`
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<String>,

    /// A pattern, written the same way for every product; repeatable
    #[arg(long = "pattern", required = true, value_name = "PATTERN")]
    patterns: Vec<String>,

    /// Show these products alone; repeatable
    #[arg(long = "dialect", value_name = "NAME", value_parser = dialects(), hide_possible_values = true)]
    dialects: Vec<Dialect>,

    /// Tell why a product refuses a pattern, and what was assumed
    #[arg(long, help_heading = "Output")]
    notes: bool,

    /// How the result is written to standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  What becomes of Okta's own advice:
    middlebox policy matrix okta.com acme.okta.com acme.mtls.okta.com notokta.com --pattern '*.okta.com'";

/// The table, for scripts.
#[derive(Serialize)]
struct Table<'t> {
    hosts: &'t [String],
    rows: &'t [MatrixRow],
}

pub(super) fn run(args: &Args) -> Result<u8, CliError> {
    for host in &args.hosts {
        host.parse::<Question>().map_err(|error| mistaken(&error))?;
    }
    let hosts: Vec<&str> = args.hosts.iter().map(String::as_str).collect();
    let patterns: Vec<&str> = args.patterns.iter().map(String::as_str).collect();
    let mut rows = matrix(&hosts, &patterns);
    if !args.dialects.is_empty() {
        rows.retain(|row| args.dialects.contains(&row.dialect));
    }
    print(args.format, &Table { hosts: &args.hosts, rows: &rows }, |to| args.write(&rows, to))?;
    Ok(exit::AS_EXPECTED)
}

impl Args {
    fn write(&self, rows: &[MatrixRow], to: &mut dyn Write) -> io::Result<()> {
        let Paint { strong, faint, .. } = Paint::default();
        for (number, host) in self.hosts.iter().enumerate() {
            writeln!(to, "  {strong}H{:<2}{strong:#} {host}", number + 1)?;
        }
        let width = rows.iter().map(|row| row.dialect.name().len()).max().unwrap_or_default();
        for pattern in &self.patterns {
            let heads: Vec<_> = (1..=self.hosts.len()).map(|number| format!("{:<3}", format!("H{number}"))).collect();
            let heads = heads.join(" ");
            writeln!(to, "\n{strong}{pattern}{strong:#}\n  {faint}{:width$}  {heads}{faint:#}", "")?;
            for row in rows.iter().filter(|row| row.pattern == *pattern) {
                write!(to, "  {:width$} ", row.dialect.name())?;
                if let Some(Cell::Rejected { standing, .. }) = row.cells.first() {
                    let bad = Paint::default().bad;
                    let doubt = if *standing == Standing::Established { "" } else { "~" };
                    writeln!(to, " {bad}refused{bad:#}{doubt}")?;
                } else {
                    for cell in &row.cells {
                        let (letters, style) = letters(cell);
                        write!(to, " {style}{letters:<3}{style:#}")?;
                    }
                    writeln!(to)?;
                }
                if self.notes {
                    write_notes(row, to)?;
                }
            }
        }
        writeln!(to)?;
        writeln!(to, "  Y covered   n not covered   refused: the product does not take the pattern")?;
        writeln!(to, "  ~ not documented, but inferred, observed or from a secondary source")?;
        writeln!(to, "  ?Y ?n not established: test it on your appliance; assumed to be Y or n here")?;
        match self.notes {
            true => Ok(()),
            false => writeln!(to, "  {faint}--notes tells why{faint:#}"),
        }
    }
}

fn letters(cell: &Cell) -> (&'static str, anstyle::Style) {
    let Paint { good, bad, warn, faint, .. } = Paint::default();
    match cell {
        Cell::Match(Standing::Established) => ("Y", good),
        Cell::Match(_) => ("Y~", good),
        Cell::NoMatch(Standing::Established) => ("n", faint),
        Cell::NoMatch(_) => ("n~", faint),
        Cell::NotEstablished { assumed: true } => ("?Y", warn),
        Cell::NotEstablished { assumed: false } => ("?n", warn),
        Cell::Rejected { .. } => ("REJ", bad),
    }
}

fn write_notes(row: &MatrixRow, to: &mut dyn Write) -> io::Result<()> {
    if let Some(Cell::Rejected { reason, .. }) = row.cells.first() {
        item(&format!("    {reason}"), to)?;
    }
    for assumption in &row.assumptions {
        item(&format!("    {assumption}"), to)?;
    }
    row.warnings.iter().try_for_each(|warning| item(&format!("    {warning}"), to))
}
