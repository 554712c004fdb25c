//! The report as a story for people: what was done, what the middlebox decided, what the client saw, what mends it.

use std::fmt::{self, Write as _};
use std::io;

use anstyle::{AnsiColor, Style};

use super::excerpt::excerpt;
use super::text::{clean, wrap};
use super::{CauseView, ClientView, Counts, Failure, RunReport, ScenarioReport, StepReport, Verdict};

/// The widest line that is written without being broken.
const WIDTH: usize = 100;
/// Where the details of a step begin.
const INDENT: usize = 5;
/// The width of a label with the space after it.
const LABEL: usize = 11;

/// Tells a report. The text carries colours; [`Story::plain`] leaves them out, and so does an
/// [`anstream::AutoStream`] behind the writer where the terminal has none.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    styles: Styles,
}

/// How words are told apart; by default not at all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Styles {
    pub(super) good: Style,
    pub(super) bad: Style,
    pub(super) warn: Style,
    pub(super) strong: Style,
    pub(super) faint: Style,
}

impl Styles {
    pub(super) fn coloured() -> Self {
        Self {
            good: AnsiColor::Green.on_default().bold(),
            bad: AnsiColor::Red.on_default().bold(),
            warn: AnsiColor::Yellow.on_default().bold(),
            strong: Style::new().bold(),
            faint: Style::new().dimmed(),
        }
    }
}

impl Story {
    /// With colours.
    #[must_use]
    pub fn coloured() -> Self {
        Self { styles: Styles::coloured() }
    }

    /// Without colours.
    #[must_use]
    pub fn plain() -> Self {
        Self { styles: Styles::default() }
    }

    /// Tells everything.
    ///
    /// # Errors
    /// The writer fails.
    pub fn write(&self, report: &RunReport, to: &mut dyn io::Write) -> io::Result<()> {
        for scenario in &report.scenarios {
            self.write_head(&scenario.name, scenario.summary.as_deref(), &scenario.file, to)?;
            for (at, step) in scenario.steps.iter().enumerate() {
                self.write_step(at + 1, step, to)?;
            }
        }
        self.write_summary(report, to)
    }

    /// Tells which scenario begins.
    ///
    /// # Errors
    /// The writer fails.
    pub fn write_head(&self, name: &str, summary: Option<&str>, file: &str, to: &mut dyn io::Write) -> io::Result<()> {
        let Styles { strong, faint, .. } = self.styles;
        writeln!(to, "{strong}{}{strong:#}  {faint}{}{faint:#}", clean(name), clean(file))?;
        for line in summary.iter().flat_map(|summary| wrap(&clean(summary), WIDTH)) {
            writeln!(to, "{line}")?;
        }
        writeln!(to)
    }

    /// Tells one step; `number` from 1.
    ///
    /// # Errors
    /// The writer fails.
    pub fn write_step(&self, number: usize, step: &StepReport, to: &mut dyn io::Write) -> io::Result<()> {
        let Styles { good, bad, warn, strong, .. } = self.styles;
        let (style, mark) = match step.verdict {
            Verdict::Passed => (good, "ok"),
            Verdict::Failed { .. } => (bad, "FAILED"),
            Verdict::Error { .. } => (bad, "error"),
            Verdict::Skipped { .. } => (warn, "skipped"),
        };
        let name = clean(&step.name);
        writeln!(to, "{number:>3}. {strong}{name}{strong:#}  {style}{mark}{style:#}")?;
        to.write_all(self.details(step).as_bytes())?;
        match &step.verdict {
            Verdict::Passed => {}
            Verdict::Failed { failures } => {
                for failure in failures {
                    for line in excerpt(failure).lines().map(clean) {
                        let carets = line.split_once(" | ").is_some_and(|(_, text)| text.trim_start().starts_with('^'));
                        let style = if carets { bad } else { Style::new() };
                        writeln!(to, "{:INDENT$}{style}{line}{style:#}", "")?;
                    }
                }
            }
            Verdict::Error { error } => {
                let mut block = Block::new(self.styles);
                block.line("error", &error.message);
                if let Some(mend) = &error.mend {
                    block.line("to mend", mend);
                }
                to.write_all(block.text.as_bytes())?;
            }
            Verdict::Skipped { reason } => {
                let mut block = Block::new(self.styles);
                block.line("why", reason);
                to.write_all(block.text.as_bytes())?;
            }
        }
        writeln!(to)
    }

    /// Tells how many steps went how, and which did not go as expected.
    ///
    /// # Errors
    /// The writer fails.
    pub fn write_summary(&self, report: &RunReport, to: &mut dyn io::Write) -> io::Result<()> {
        let Styles { good, bad, .. } = self.styles;
        let Counts { steps, passed, failed, errors, skipped } = report.counts();
        let scenarios = match report.scenarios.len() {
            1 => String::new(),
            count => format!("{count} scenarios, "),
        };
        let style = if report.passed() { good } else { bad };
        let plural = if steps == 1 { "step" } else { "steps" };
        write!(to, "{style}{scenarios}{steps} {plural}: {passed} as expected")?;
        for (count, what) in [(failed, "failed"), (errors, "could not run"), (skipped, "skipped")] {
            if count > 0 {
                write!(to, ", {count} {what}")?;
            }
        }
        writeln!(to, "{style:#}")?;
        for scenario in &report.scenarios {
            self.write_not_as_expected(scenario, to)?;
        }
        Ok(())
    }

    fn write_not_as_expected(&self, scenario: &ScenarioReport, to: &mut dyn io::Write) -> io::Result<()> {
        let bad = self.styles.bad;
        for step in &scenario.steps {
            let (mark, place, said) = match &step.verdict {
                Verdict::Failed { failures } => {
                    let said: Vec<_> = failures.iter().map(|failure| clean(&failure.to_string())).collect();
                    let line = failures.first().map_or(step.line, |failure| failure.place.line);
                    ("FAILED", line, said)
                }
                Verdict::Error { error } => ("error ", step.line, vec![clean(&error.message)]),
                Verdict::Passed | Verdict::Skipped { .. } => continue,
            };
            writeln!(to, "  {bad}{mark}{bad:#} {}:{place} {}", clean(&scenario.file), clean(&step.name))?;
            for said in said {
                for line in wrap(&said, WIDTH - 9) {
                    writeln!(to, "{:9}{line}", "")?;
                }
            }
        }
        Ok(())
    }

    /// What happened in a step, without its headline and verdict; empty where there is nothing to tell.
    pub(super) fn details(&self, step: &StepReport) -> String {
        let mut block = Block::new(self.styles);
        for line in &step.said {
            block.line(&line.label, &line.text);
        }
        for connection in &step.connections {
            let Styles { strong, .. } = self.styles;
            let by = connection.by.as_ref().map_or(String::new(), |by| format!(", at the {by}"));
            let _ = writeln!(block.text, "{:INDENT$}{strong}{}{strong:#}{}", "", clean(&connection.host), clean(&by));
            block.indent = 2;
            if let Some(decision) = &connection.decision {
                let by = match connection.rule.as_deref() {
                    Some("default") => ", by the default action".to_owned(),
                    Some(rule) => format!(", by the rule `{rule}`"),
                    None => String::new(),
                };
                let why = connection.why.as_ref().map_or(String::new(), |why| format!(" ({why})"));
                block.line("decision", &format!("{decision}{by}{why}"));
            }
            if let Some(seen) = &connection.seen {
                block.line("issuer", &seen.issuer);
                block.line("saw", &seen.pin.to_string());
            }
            for (at, pin) in connection.expected_pins.iter().enumerate() {
                let other = connection.seen.as_ref().is_none_or(|seen| seen.pin != *pin);
                let note = if other { "" } else { "  the same" };
                block.line(if at == 0 { "pinned" } else { "" }, &format!("{pin}{note}"));
            }
            let status = connection.status.map_or(String::new(), |status| format!(", HTTP {status}"));
            block.line("outcome", &format!("{}{status}", connection.outcome));
            if let Some(cause) = &connection.cause {
                block.line("diagnosis", &verdict(cause));
                for evidence in &cause.evidence {
                    block.line("", &format!("- {evidence}"));
                }
            }
            block.indent = 0;
        }
        if let Some(client) = &step.client {
            block.client(client);
        }
        for (at, mend) in step.mends.iter().enumerate() {
            block.line(if at == 0 { "to mend" } else { "" }, mend);
        }
        block.text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.expectation, self.expected, self.actual)
    }
}

/// `pin-mismatch (high confidence)`, or what it could be.
pub(super) fn verdict(cause: &CauseView) -> String {
    let candidates = match &cause.candidates[..] {
        [] => String::new(),
        candidates => format!(": {}", candidates.join(", or ")),
    };
    format!("{}{candidates} ({} confidence)", cause.cause, cause.confidence)
}

/// Labelled lines, aligned, broken at the width.
struct Block {
    styles: Styles,
    indent: usize,
    text: String,
}

impl Block {
    fn new(styles: Styles) -> Self {
        Self { styles, indent: 0, text: String::new() }
    }

    fn line(&mut self, label: &str, text: &str) {
        let faint = self.styles.faint;
        let indent = INDENT + self.indent;
        // Details of a connection stand further in; their texts align with all others.
        let width = LABEL + 2 - self.indent;
        let mut label = clean(label);
        for line in text.lines() {
            // What follows a break hangs, so that the next line of a log is told from the rest of this one.
            for (at, part) in wrap(&clean(line), WIDTH - indent - width - 2).iter().enumerate() {
                let hang = if at == 0 { 0 } else { 2 };
                let _ = writeln!(self.text, "{:indent$}{faint}{label:width$}{faint:#}{:hang$}{part}", "", "");
                label.clear();
            }
        }
    }

    fn client(&mut self, client: &ClientView) {
        self.line("client", &client.outcome);
        if let Some(call) = client.calls.iter().find(|call| !call.ok) {
            self.line("stopped at", &format!("{}: {}", call.name, call.request));
            self.line("", &call.result);
        }
        if let Some(shown) = &client.shown {
            self.line("user sees", shown);
        }
        for (at, line) in client.log.iter().enumerate() {
            self.line(if at == 0 { "event log" } else { "" }, line);
        }
    }
}
