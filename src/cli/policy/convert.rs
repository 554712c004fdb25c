//! `middlebox policy convert`: the same hosts in another product's syntax.

use std::io::{self, Write};
use std::path::PathBuf;

use super::super::error::CliError;
use super::super::exit;
use super::list::{dialects, formats as names_of_formats, tell_aside};
use super::text::{Paint, item, labelled};
use crate::policy::formats::{self, Format, List};
use crate::policy::{Action, Contrast, Conversion, ConvertError, Dialect, Treatment, convert, usual_format};
use crate::report;
use crate::source::{Document, DocumentError};

/// Write a list in another product's syntax, for the same hosts
///
/// Both lists decide hosts that are made out of their entries. Where the other product cannot say the same, the hosts
/// that would be treated differently are told, and nothing is written without --lossy. What differs only because the two
/// products take capital letters or a trailing dot differently is told, and is no reason to refuse: no list changes it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The list, in any format
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The product that reads the list now [default: what the file says, else middlebox]
    #[arg(long, value_name = "NAME", value_parser = dialects(), hide_possible_values = true)]
    from: Option<Dialect>,

    /// The product that shall read it
    #[arg(long, value_name = "NAME", value_parser = dialects(), hide_possible_values = true)]
    to: Dialect,

    /// The format of the file [default: told by its content]
    #[arg(long, value_name = "FORMAT", value_parser = names_of_formats(), help_heading = "Formats")]
    from_format: Option<Format>,

    /// The format to write [default: list, or policy-toml where a list cannot say it]
    #[arg(long, value_name = "FORMAT", value_parser = names_of_formats(), hide_possible_values = true, help_heading = "Formats")]
    to_format: Option<Format>,

    /// Write it even where hosts differ, or where something has to be left out
    #[arg(long, help_heading = "Output")]
    lossy: bool,

    /// Write to this file, whole or not at all, instead of standard output
    #[arg(long, short, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Exit codes: 0 written, 1 hosts would differ and nothing was written, 2 the command line or the file is wrong.

Examples:
  A Zscaler category as the exclusion list of PAN-OS:
    middlebox policy convert --from zscaler --to pan-os-exclusion --to-format pan-os-set category.json
  What this program reads, as mitmproxy's option:
    middlebox policy convert --to mitmproxy --to-format mitmproxy-yaml policy.toml -o config.yaml";

pub(super) fn run(args: &Args) -> Result<u8, CliError> {
    let document = Document::read(&args.file)?;
    let list = formats::read(&document, args.from_format).map_err(DocumentError::Place)?;
    let done = convert_to(args, &list)?;
    let faithful = done.is_faithful();
    tell_aside(&list, "not converted")?;
    tell(args, &list, &done, &mut anstream::stderr().lock())?;
    if !faithful && !args.lossy {
        return Ok(if done.rejected.is_empty() { exit::EXPECTATION_FAILED } else { exit::USAGE });
    }
    let text = formats::write(&done.list, done.list.format).map_err(|error| CliError::usage(error.to_string()))?;
    match &args.output {
        Some(path) => report::write_whole(path, text.as_bytes())?,
        None => {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
    }
    Ok(exit::AS_EXPECTED)
}

fn convert_to(args: &Args, list: &List) -> Result<Conversion, CliError> {
    let wrong = |error: ConvertError| {
        let help = match &error {
            ConvertError::Script => {
                "ask it about hosts with `middlebox policy explain --policy FILE --dialect pac HOST`"
            }
            ConvertError::Format { .. } => "choose another format with --to-format, or none",
        };
        CliError::usage(error.to_string()).with_help(help)
    };
    let into = |format| convert(list, args.from, args.to, format).map_err(wrong);
    match args.to_format {
        Some(format) => into(format),
        None => {
            // Only what it says shows which of the two can hold it.
            let done = into(Format::POLICY_TOML)?;
            let format = usual_format(list, &done.list);
            if format == done.list.format { Ok(done) } else { into(format) }
        }
    }
}

/// So many things of each kind are told.
const SHOWN: usize = 20;

/// Tells everything that is not the list itself.
fn tell(args: &Args, list: &List, done: &Conversion, to: &mut dyn Write) -> io::Result<()> {
    let Paint { strong, good, bad, warn, .. } = Paint::default();
    let from = list.dialect_or(args.from);
    for rejected in done.rejected.iter().take(SHOWN) {
        let line = rejected.line.map(|line| format!("{}:{line}: ", args.file.display())).unwrap_or_default();
        writeln!(to, "{bad}refused by {from}{bad:#} {line}`{}`: {}", rejected.text, rejected.reason)?;
        if let Some(mend) = &rejected.mend {
            writeln!(to, "  {mend}")?;
        }
    }
    more(done.rejected.len(), "refused", to)?;
    for left_out in done.left_out.iter().take(SHOWN) {
        writeln!(to, "{warn}left out{warn:#} {}: {}", list.locate(left_out.place), left_out.what)?;
    }
    more(done.left_out.len(), "left out", to)?;
    if let Some(action) = done.other_default {
        let default = done.default;
        let format = done.list.format.title();
        writeln!(
            to,
            "{warn}default{warn:#} where no entry matches, {} does {action}, not {default}; {format} cannot say so",
            args.to
        )?;
    }
    if !done.contrasts.is_empty() {
        writeln!(
            to,
            "{bad}these hosts differ{bad:#} between {strong}{from}{strong:#} and {strong}{}{strong:#}:",
            args.to
        )?;
        contrasts(&done.contrasts, from, args.to, to)?;
        if !args.lossy {
            writeln!(to, "{good}nothing was written{good:#}; --lossy writes it nevertheless")?;
        }
    }
    if !done.spellings.is_empty() {
        let hosts: Vec<_> = done.spellings.iter().flat_map(|contrast| &contrast.witnesses).take(3).cloned().collect();
        let found: usize = done.spellings.iter().map(|contrast| contrast.found).sum();
        let text = format!(
            "capital letters and trailing dots: {from} and {} take them differently whatever the list says ({}{})",
            args.to,
            hosts.join(", "),
            if found > hosts.len() { ", …" } else { "" },
        );
        item(&text, to)?;
    }
    Ok(())
}

fn more(count: usize, what: &str, to: &mut dyn Write) -> io::Result<()> {
    match count.checked_sub(SHOWN) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(to, "and {more} more {what}"),
    }
}

fn contrasts(contrasts: &[Contrast], from: Dialect, to: Dialect, out: &mut dyn Write) -> io::Result<()> {
    let said = |treatment: &Treatment| {
        let entry = treatment.entry.as_ref().map(|entry| format!(" by `{}`", entry.text)).unwrap_or_default();
        let action: Action = treatment.decision;
        format!("{action}{entry}")
    };
    for contrast in contrasts.iter().take(SHOWN) {
        let rest = contrast.found - contrast.witnesses.len();
        let rest = if rest == 0 { String::new() } else { format!(", and {rest} more") };
        item(&format!("{}{rest}", contrast.witnesses.join(", ")), out)?;
        labelled(from.name(), &said(&contrast.first), out)?;
        labelled(to.name(), &said(&contrast.second), out)?;
    }
    more(contrasts.len(), "ways in which hosts differ", out)
}
