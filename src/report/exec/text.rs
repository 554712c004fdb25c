//! The report of a command for people: a line for each kind of connection, its evidence and what would help below it.

use std::io::{self, Write};

use super::super::story::{Styles, verdict};
use super::super::text::{clean, wrap};
use super::{ContactKind, EndKind, ExecReport};

/// The widest line that is written without being broken.
const WIDTH: usize = 100;

impl ExecReport {
    /// Tells it. The text carries colours; an [`anstream::AutoStream`] behind the writer takes them out.
    ///
    /// # Errors
    /// The writer fails.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let styles = Styles::coloured();
        self.write_head(styles, to)?;
        self.write_hosts(styles, to)?;
        for remark in &self.remarks {
            writeln!(to)?;
            for line in remark.lines() {
                let indent = line.len() - line.trim_start().len();
                for (at, part) in wrap(&clean(line.trim_start()), WIDTH - indent - 2).iter().enumerate() {
                    writeln!(to, "{:indent$}{:hang$}{part}", "", "", hang = if at == 0 { 0 } else { 2 })?;
                }
            }
        }
        self.write_expectations(styles, to)
    }

    /// The same without colours.
    #[must_use]
    pub fn plain(&self) -> String {
        let mut text = Vec::new();
        self.write(&mut text).expect("memory takes all that is written");
        anstream::adapter::strip_str(&String::from_utf8_lossy(&text)).to_string()
    }

    fn write_head(&self, styles: Styles, to: &mut dyn Write) -> io::Result<()> {
        let Styles { good, bad, strong, .. } = styles;
        let style = if self.end.code == 0 { good } else { bad };
        let program = self.command.first().map(|program| clean(program)).unwrap_or_default();
        let connections = match self.connections.len() {
            0 => "no connection reached the middlebox".to_owned(),
            1 => "1 connection".to_owned(),
            count => format!("{count} connections"),
        };
        let hosts = match self.hosts.len() {
            0 => String::new(),
            1 => " to 1 host".to_owned(),
            count => format!(" to {count} hosts"),
        };
        let ran = match self.end.kind {
            EndKind::NotFound | EndKind::NotExecutable => String::new(),
            EndKind::Exited | EndKind::Signalled | EndKind::TimedOut => {
                format!(" after {:.1} s", self.duration.as_secs_f64())
            }
        };
        writeln!(to, "{strong}{program}{strong:#} {style}{}{style:#}{ran}; {connections}{hosts}", self.end)
    }

    fn write_hosts(&self, styles: Styles, to: &mut dyn Write) -> io::Result<()> {
        let Styles { good, bad, warn, strong, faint } = styles;
        let rows: Vec<_> =
            self.hosts.iter().map(|host| (host, host.kinds.iter().map(cells).collect::<Vec<_>>())).collect();
        let all = || rows.iter().flat_map(|(_, kinds)| kinds);
        let host_width = rows.iter().map(|(host, _)| clean(&host.host).chars().count()).max().unwrap_or(0);
        let decision_width = all().map(|cells| cells[0].chars().count()).max().unwrap_or(0);
        let outcome_width = all().map(|cells| cells[1].chars().count()).max().unwrap_or(0);
        for (host, kinds) in &rows {
            writeln!(to)?;
            let mut name = clean(&host.host);
            for ([decision, outcome, verdict], kind) in kinds.iter().zip(&host.kinds) {
                let style = match kind.connection.outcome.as_str() {
                    "accepted" | "bypassed" | "plain" => good,
                    "unused" => faint,
                    "gave-up" | "blocked" => warn,
                    _ => bad,
                };
                let line = format!(
                    "{strong}{name:host_width$}{strong:#}  {decision:decision_width$}  \
                     {style}{outcome:outcome_width$}{style:#}  {verdict}"
                );
                writeln!(to, "{}", line.trim_end())?;
                name.clear();
                let evidence = kind.connection.cause.iter().flat_map(|cause| &cause.evidence);
                for (label, text) in evidence.chain(why(kind)).map(|text| ("- ", text)) {
                    write_below(label, text, to)?;
                }
            }
            for mend in &host.mends {
                write_below("try ", mend, to)?;
            }
        }
        Ok(())
    }

    fn write_expectations(&self, styles: Styles, to: &mut dyn Write) -> io::Result<()> {
        let Styles { good, bad, .. } = styles;
        if self.expectations.is_empty() {
            return Ok(());
        }
        writeln!(to)?;
        for expectation in &self.expectations {
            let expected = clean(&expectation.expected);
            match expectation.met {
                true => writeln!(to, "{good}as expected{good:#}  {expected}")?,
                false => writeln!(to, "{bad}FAILED{bad:#}       {expected}, but: {}", clean(&expectation.actual))?,
            }
        }
        Ok(())
    }
}

/// Why it went so, where no diagnosis says it.
fn why(kind: &ContactKind) -> Option<&String> {
    kind.connection.why.as_ref().filter(|_| kind.connection.cause.is_none())
}

fn write_below(label: &str, text: &str, to: &mut dyn Write) -> io::Result<()> {
    let hang = label.len();
    for (at, line) in wrap(&clean(text), WIDTH - 4 - hang).iter().enumerate() {
        let label = if at == 0 { label } else { "" };
        writeln!(to, "    {label:hang$}{line}")?;
    }
    Ok(())
}

/// Decision, outcome and diagnosis.
fn cells(kind: &ContactKind) -> [String; 3] {
    let connection = &kind.connection;
    let decision = match (&connection.decision, &connection.rule) {
        (Some(decision), Some(rule)) => format!("{decision} ({})", clean(rule)),
        (Some(decision), None) => decision.clone(),
        (None, _) => "undecided".to_owned(),
    };
    let times = if kind.count > 1 { format!(" ×{}", kind.count) } else { String::new() };
    let status = connection.status.map(|status| format!(", HTTP {status}")).unwrap_or_default();
    let diagnosis = connection.cause.as_ref().map(verdict).unwrap_or_default();
    [decision, format!("{}{status}{times}", connection.outcome), diagnosis]
}
