//! `middlebox bypass`: the rules of a running middlebox.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::control_args::ControlArgs;
use super::error::CliError;
use super::exit;
use super::words::{Format, words};
use crate::control::ControlClient;
use crate::control::wire::{Changed, NewRule, PolicyState, RuleState};
use crate::policy::{Action, Dialect, OnChange};

/// List and change the rules of a running middlebox
///
/// A change holds for every connection that is decided after this command has ended. It lives in memory, above the
/// policy file; --save writes it there.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  Exclude Okta's domains from inspection, and let open connections begin anew:
    middlebox bypass add '*.okta.com' '*.oktapreview.com' --on-change drain
  Switch the rule off and on again, to see what it does:
    middlebox bypass off '*.okta.com'
    middlebox bypass on '*.okta.com'";

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(List),
    Add(Add),
    Remove(Remove),
    On(On),
    Off(Off),
}

/// Show every rule in order, of all actions, with how many connections each has decided
#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    at: Place,
}

/// Bypass hosts from now on, with rules above all others
#[derive(Debug, clap::Args)]
struct Add {
    /// Patterns, in the dialect of the policy; the first one stands first
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<String>,

    /// Insert at this place among all rules, counted from 1
    #[arg(long = "at", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    place: Option<u32>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Remove rules; those of the policy file come back with the next start, unless it is saved
#[derive(Debug, clap::Args)]
struct Remove {
    /// Rules, by pattern or id
    #[arg(required = true, value_name = "PATTERN|ID")]
    rules: Vec<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Switch rules on
#[derive(Debug, clap::Args)]
struct On {
    /// Rules, by pattern or id
    #[arg(required = true, value_name = "PATTERN|ID")]
    rules: Vec<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Switch rules off; they stay where they are
#[derive(Debug, clap::Args)]
struct Off {
    /// Rules, by pattern or id
    #[arg(required = true, value_name = "PATTERN|ID")]
    rules: Vec<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// What all changes have in common.
#[derive(Debug, clap::Args)]
struct ChangeArgs {
    /// What happens to open connections that would now be decided otherwise [default: what `up` was told]
    ///
    /// new-only: they keep the decision they began with. drain: they are closed after their running exchange. kill:
    /// they are closed at once.
    #[arg(long, value_name = "HOW", value_parser = words::<OnChange>(["new-only", "drain", "kill"]))]
    on_change: Option<OnChange>,

    /// Write all changes made while running into the policy file, whole or not at all, keeping its comments
    #[arg(long)]
    save: bool,

    #[command(flatten)]
    at: Place,
}

/// Which middlebox is meant, and how it is told.
#[derive(Debug, clap::Args)]
struct Place {
    #[command(flatten)]
    control: ControlArgs,

    /// How the result is written to standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    format: Format,
}

pub(super) async fn bypass(args: Args) -> Result<u8, CliError> {
    match args.command {
        Command::List(List { at }) => {
            let state = at.client()?.policy().await?;
            at.write(&state, |to| write_list(&state, to))?;
        }
        Command::Add(Add { patterns, place, change }) => {
            let (client, state) = change.begin().await?;
            check(&patterns, &state)?;
            let mut changes = Vec::new();
            // Each goes above the one before, so the last of them goes first.
            for pattern in patterns.iter().rev() {
                let at = place.map(|place| place as usize);
                let rule = NewRule { at, ..NewRule::new(pattern, Action::Bypass) };
                changes.push(client.add_rule(&rule, change.on_change).await?);
            }
            changes.reverse();
            change.end(&client, "added", changes).await?;
        }
        Command::Remove(Remove { rules, change }) => {
            let (client, _) = change.begin().await?;
            let mut changes = Vec::new();
            for rule in &rules {
                changes.push(client.remove(rule, change.on_change).await?);
            }
            change.end(&client, "removed", changes).await?;
        }
        Command::On(On { rules, change }) => change.switch(&rules, true).await?,
        Command::Off(Off { rules, change }) => change.switch(&rules, false).await?,
    }
    Ok(exit::AS_EXPECTED)
}

/// Reads the patterns before the first rule is added, so that a mistake in one adds none.
fn check(patterns: &[String], state: &PolicyState) -> Result<(), CliError> {
    // A dialect that only the other side knows is read there.
    let Ok(dialect) = state.dialect.parse::<Dialect>() else { return Ok(()) };
    patterns.iter().try_for_each(|pattern| dialect.parse(pattern).map(drop)).map_err(CliError::Pattern)
}

impl ChangeArgs {
    /// The client, and the policy before the change.
    async fn begin(&self) -> Result<(ControlClient, PolicyState), CliError> {
        let client = self.at.client()?;
        let state = client.policy().await?;
        if self.save && state.file.is_none() {
            let help = "start it with `middlebox up --policy FILE`, or leave --save out";
            return Err(CliError::usage("that middlebox has no policy file to save to").with_help(help));
        }
        Ok((client, state))
    }

    async fn switch(&self, rules: &[String], on: bool) -> Result<(), CliError> {
        let (client, _) = self.begin().await?;
        let mut changes = Vec::new();
        for rule in rules {
            changes.push(client.set_enabled(rule, on, self.on_change).await?);
        }
        self.end(&client, if on { "switched on" } else { "switched off" }, changes).await
    }

    /// Saves where asked to, and tells.
    async fn end(&self, client: &ControlClient, verb: &str, changes: Vec<Changed>) -> Result<(), CliError> {
        let saved_into = if self.save {
            client.save().await?;
            client.policy().await?.file
        } else {
            None
        };
        let told = Told { changes, saved_into };
        self.at.write(&told, |to| told.write(verb, to))
    }
}

impl Place {
    fn client(&self) -> Result<ControlClient, CliError> {
        self.control.client()
    }

    fn write<T: Serialize>(
        &self,
        json: &T,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), CliError> {
        let mut out = anstream::stdout().lock();
        match self.format {
            Format::Text => text(&mut out)?,
            Format::Json => {
                let json = serde_json::to_string_pretty(json).expect("texts and numbers have a JSON form");
                writeln!(out, "{json}")?;
            }
        }
        Ok(out.flush()?)
    }
}

/// What came of one command.
#[derive(Serialize)]
struct Told {
    changes: Vec<Changed>,
    saved_into: Option<String>,
}

impl Told {
    fn write(&self, verb: &str, to: &mut dyn Write) -> io::Result<()> {
        for Changed { epoch, changed, on_change, affected, rules } in &self.changes {
            let verb = if *changed { verb } else { "unchanged" };
            for rule in rules {
                writeln!(to, "{verb}: {} {} ({}), epoch {epoch}", rule.action, plain(&rule.pattern), rule.id)?;
            }
            match (affected, on_change) {
                (0, _) => {}
                (1, how) => writeln!(to, "  1 open connection would now be decided otherwise: {how}")?,
                (count, how) => writeln!(to, "  {count} open connections would now be decided otherwise: {how}")?,
            }
        }
        if self.changes.iter().any(|change| change.changed && change.on_change == OnChange::NewOnly) {
            writeln!(to, "open connections keep the decision they began with; --on-change drain lets them begin anew")?;
        }
        match &self.saved_into {
            Some(file) => writeln!(to, "saved into {}", plain(file)),
            None => Ok(()),
        }
    }
}

fn write_list(state: &PolicyState, to: &mut dyn Write) -> io::Result<()> {
    let strong = Style::new().bold();
    let faint = Style::new().dimmed();
    let off = AnsiColor::Yellow.on_default();
    let width = |of: fn(&RuleState) -> &str| state.rules.iter().map(|rule| of(rule).chars().count()).max().unwrap_or(0);
    let (ids, patterns) = (width(|rule| &rule.id), width(|rule| &rule.pattern));
    for (at, rule) in state.rules.iter().enumerate() {
        let (style, switch) = if rule.enabled { (Style::new(), "on ") } else { (off, "off") };
        let (id, pattern, action) = (&rule.id, plain(&rule.pattern), rule.action);
        let place = rule.line.map_or_else(|| rule.source.clone(), |line| format!("{} line {line}", rule.source));
        let hits = if rule.hits == 1 { "1 connection".to_owned() } else { format!("{} connections", rule.hits) };
        write!(
            to,
            "{:>3}. {style}{switch}{style:#} {action:<7} {strong}{pattern:<patterns$}{strong:#}  {id:<ids$}  ",
            at + 1
        )?;
        write!(to, "{faint}{place}, {hits}{faint:#}")?;
        match &rule.note {
            Some(note) => writeln!(to, "  {}", plain(note))?,
            None => writeln!(to)?,
        }
    }
    let PolicyState { default, dialect, epoch, on_change, file, .. } = state;
    let file = file.as_deref().map(|file| format!(", file {}", plain(file))).unwrap_or_default();
    writeln!(to, "else {default}; dialect {dialect}, epoch {epoch}, on change {on_change}{file}")
}

/// What the other side says commands no terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
