//! `middlebox policy diff`: two lists, by the hosts that they treat differently.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::super::error::CliError;
use super::super::exit;
use super::super::words::{Format, words};
use super::list::{Listed, dialects};
use super::text::{Paint, item, labelled, place, print};
use crate::policy::{Action, Contrast, Dialect, Reading, Rejected, Treatment, compare};

/// Compare two lists by the hosts that they treat differently, and not by their texts
///
/// The hosts are made out of what the entries of both lists say: each name, names below it at the depths where products
/// count labels, its neighbours, other spellings, ports, the edges of networks. Every host that is shown really differs.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The first list
    #[arg(value_name = "A")]
    first: PathBuf,

    /// The second list
    #[arg(value_name = "B")]
    second: PathBuf,

    /// The product that reads the first list [default: what the file says, else middlebox]
    #[arg(long, visible_alias = "dialect-a", value_name = "NAME", value_parser = dialects(), hide_possible_values = true)]
    from: Option<Dialect>,

    /// The product that reads the second list [default: what the file says, else middlebox]
    #[arg(long, visible_alias = "dialect-b", value_name = "NAME", value_parser = dialects(), hide_possible_values = true)]
    to: Option<Dialect>,

    /// The product that reads both
    #[arg(long, value_name = "NAME", value_parser = dialects(), hide_possible_values = true, conflicts_with_all = ["from", "to"])]
    dialect: Option<Dialect>,

    /// What both do with what no entry matches [default: what each file says, else what its product does]
    #[arg(long, value_name = "ACTION", value_parser = words::<Action>(["inspect", "bypass", "block"]))]
    default: Option<Action>,

    /// End with 1 where the lists differ
    #[arg(long, help_heading = "Output")]
    exit_code: bool,

    /// How the result is written to standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  What the change of a list changes:
    middlebox policy diff before.txt after.txt --dialect zscaler
  What becomes of a list on another product:
    middlebox policy diff bypass.txt bypass.txt --from netskope-url-list --to pan-os-url";

#[derive(Serialize)]
struct Told<'t> {
    first: Side<'t>,
    second: Side<'t>,
    differences: &'t [Contrast],
}

#[derive(Serialize)]
struct Side<'t> {
    name: &'t str,
    dialect: Dialect,
    default: Action,
    rejected: &'t [Rejected],
}

pub(super) fn run(args: &Args) -> Result<u8, CliError> {
    let first = Listed::open(&args.first, None, args.dialect.or(args.from), args.default)?;
    let second = Listed::open(&args.second, None, args.dialect.or(args.to), args.default)?;
    let names = [first.name.clone(), second.name.clone()];
    let readings = [first.reading(), second.reading()];
    let contrasts = compare(&readings[0].policy, &readings[1].policy);
    let [first, second] = [0, 1].map(|at| side(&names[at], &readings[at]));
    print(
        args.format,
        &Told { first: side(&names[0], &readings[0]), second: side(&names[1], &readings[1]), differences: &contrasts },
        |to| write(&first, &second, &contrasts, to),
    )?;
    Ok(if args.exit_code && !contrasts.is_empty() { exit::EXPECTATION_FAILED } else { exit::AS_EXPECTED })
}

fn side<'t>(name: &'t str, reading: &'t Reading) -> Side<'t> {
    let policy = &reading.policy;
    Side { name, dialect: policy.dialect(), default: policy.default_action(), rejected: &reading.rejected }
}

fn write(first: &Side<'_>, second: &Side<'_>, contrasts: &[Contrast], to: &mut dyn Write) -> io::Result<()> {
    let Paint { strong, faint, good, bad, .. } = Paint::default();
    for (letter, side) in [("A", first), ("B", second)] {
        writeln!(
            to,
            "{strong}{letter}{strong:#}  {}  {faint}read as {}, else {}{faint:#}",
            side.name, side.dialect, side.default
        )?;
        for rejected in side.rejected {
            let text = format!("{bad}refused{bad:#} {}{}: {}", rejected.text, place(rejected.line), rejected.reason);
            writeln!(to, "   {text}")?;
        }
    }
    writeln!(to)?;
    for contrast in contrasts {
        let shown = contrast.witnesses.join(", ");
        let more = contrast.found - contrast.witnesses.len();
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        item(&format!("{shown}{more}"), to)?;
        labelled("A", &treatment(&contrast.first), to)?;
        labelled("B", &treatment(&contrast.second), to)?;
    }
    match contrasts.len() {
        0 => writeln!(to, "{good}no difference found{good:#}"),
        1 => writeln!(to, "{bad}they differ in 1 way{bad:#}"),
        ways => writeln!(to, "{bad}they differ in {ways} ways{bad:#}"),
    }
}

fn treatment(treatment: &Treatment) -> String {
    let by = match &treatment.entry {
        Some(entry) => format!("by `{}`{}", entry.text, place(entry.line)),
        None => "by default".to_owned(),
    };
    let assumed: Vec<_> = treatment.assumptions.iter().map(|assumption| format!("; {assumption}")).collect();
    format!("{} {by}{}", treatment.decision, assumed.concat())
}
