//! What the answers about lists have in common in a terminal.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::super::error::CliError;
use super::super::words::Format;
use crate::policy::{Action, Confidence, Standing};
use crate::report::{clean, wrap};

/// The widest line that is written without being broken.
pub(super) const WIDTH: usize = 100;

/// Where the text behind a label begins.
const LABEL: usize = 15;

/// The colours of answers.
pub(super) struct Paint {
    pub(super) good: Style,
    pub(super) bad: Style,
    pub(super) warn: Style,
    pub(super) strong: Style,
    pub(super) faint: Style,
}

impl Default for Paint {
    fn default() -> Self {
        Self {
            good: AnsiColor::Green.on_default().bold(),
            bad: AnsiColor::Red.on_default().bold(),
            warn: AnsiColor::Yellow.on_default().bold(),
            strong: Style::new().bold(),
            faint: Style::new().dimmed(),
        }
    }
}

impl Paint {
    /// The colour of a decision.
    pub(super) fn of(action: Action) -> Style {
        let Self { good, bad, warn, .. } = Self::default();
        match action {
            Action::Bypass => good,
            Action::Block => bad,
            Action::Inspect => warn,
        }
    }
}

/// Writes an answer to standard output, for people or for scripts.
pub(super) fn print<T: Serialize + ?Sized>(
    format: Format,
    json: &T,
    text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), CliError> {
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    match format {
        Format::Text => text(&mut out)?,
        Format::Json => {
            let json = serde_json::to_string_pretty(json).expect("texts and numbers have a JSON form");
            writeln!(out, "{json}")?;
        }
    }
    Ok(out.flush()?)
}

/// A line of an answer: a label and its text, broken where it is too long.
pub(super) fn labelled(label: &str, text: &str, to: &mut dyn Write) -> io::Result<()> {
    for (at, line) in wrap(&clean(text), WIDTH - LABEL - 2).into_iter().enumerate() {
        let label = if at == 0 { label } else { "" };
        let indent = if at == 0 { "" } else { "  " };
        writeln!(to, "{:LABEL$}{indent}{line}", format!("  {label}"))?;
    }
    Ok(())
}

/// One item of a list, broken where it is too long.
pub(super) fn item(text: &str, to: &mut dyn Write) -> io::Result<()> {
    for (at, line) in wrap(&clean(text), WIDTH - 4).into_iter().enumerate() {
        writeln!(to, "  {}{line}", if at == 0 { "" } else { "  " })?;
    }
    Ok(())
}

/// Where an entry stands, behind its text.
pub(super) fn place(line: Option<usize>) -> String {
    line.map(|line| format!(" (line {line})")).unwrap_or_default()
}

/// How sure an answer is, in words.
pub(super) fn confidence(confidence: Confidence, standing: Standing) -> String {
    let known = standing.advice().unwrap_or("the product's documentation or source says so");
    format!("{}: {known}", confidence.as_str())
}
