//! The report of an audit for people: in the terminal, and as Markdown for a pull request.

use std::io::{self, Write};

use super::super::story::Styles;
use super::super::text::{clean, wrap};
use super::{AuditCell, AuditReport, AuditVerdict};

/// The widest line that is written without being broken.
const WIDTH: usize = 100;

/// Columns: mark, attempt, verdict.
const MARK: usize = 8;
const VERDICT: usize = 11;

impl AuditReport {
    /// Tells it. The text carries colours; an [`anstream::AutoStream`] behind the writer takes them out.
    ///
    /// # Errors
    /// The writer fails.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let Styles { good, bad, warn, strong, faint } = Styles::coloured();
        let attempt_width = self.cells().map(|(_, cell)| cell.attempt.len()).max().unwrap_or(0);
        for host in &self.hosts {
            writeln!(to, "{strong}{}{strong:#}", clean(&host.host))?;
            for cell in &host.cells {
                let style = match mark(cell) {
                    "FAILED" => bad,
                    "ok" => good,
                    "known" | "noted" => warn,
                    _ => faint,
                };
                let indent = 2 + MARK + 1 + attempt_width + 2 + VERDICT + 1;
                let mut head = format!(
                    "  {style}{:MARK$}{style:#} {:attempt_width$}  {:VERDICT$} ",
                    mark(cell),
                    cell.attempt,
                    cell.verdict
                );
                let blank = " ".repeat(indent);
                for line in wrap(&clean(&said(cell)), WIDTH - indent) {
                    writeln!(to, "{}", format!("{head}{line}").trim_end())?;
                    head.clone_from(&blank);
                }
            }
            for line in host.note.iter().flat_map(|note| wrap(note, WIDTH - 2)) {
                writeln!(to, "  {line}")?;
            }
            writeln!(to)?;
        }
        let remarks = self.remarks.iter().cloned().chain(self.stale_remark());
        for line in remarks.flat_map(|remark| wrap(&clean(&remark), WIDTH)) {
            writeln!(to, "{warn}{line}{warn:#}")?;
        }
        let style = if self.passed() { good } else { bad };
        writeln!(to, "{style}{}{style:#}", self.summary())
    }

    /// The same without colours.
    #[must_use]
    pub fn plain(&self) -> String {
        let mut text = Vec::new();
        self.write(&mut text).expect("memory takes all that is written");
        anstream::adapter::strip_str(&String::from_utf8_lossy(&text)).to_string()
    }

    /// The report as Markdown: a table per host, for the summary of a CI job or a pull request.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut lines = vec![
            format!("### middlebox audit: `{}`", cell_text(&self.command.join(" "))),
            String::new(),
            self.summary(),
        ];
        for host in &self.hosts {
            lines.extend([String::new(), format!("#### {}", cell_text(&host.host)), String::new()]);
            lines.extend(host.note.iter().flat_map(|note| [format!("{note}."), String::new()]));
            lines
                .extend(["| result | shown | the client | seen |", "| --- | --- | --- | --- |"].map(ToOwned::to_owned));
            for cell in &host.cells {
                let mark = if cell.fails() { format!("**{}**", mark(cell)) } else { mark(cell).to_owned() };
                let (attempt, title, verdict) = (&cell.attempt, &cell.title, cell.verdict);
                lines.push(format!("| {mark} | `{attempt}`: {title} | {verdict} | {} |", cell_text(&said(cell))));
            }
        }
        for remark in self.remarks.iter().cloned().chain(self.stale_remark()) {
            lines.extend([String::new(), cell_text(&remark)]);
        }
        lines.join("\n") + "\n"
    }

    fn stale_remark(&self) -> Option<String> {
        let stale = (!self.stale.is_empty()).then(|| self.stale.join(", "));
        stale.map(|stale| format!("No longer accepted, and to be removed from the baseline: {stale}"))
    }

    /// `FAILED: 2 hosts, 36 tried: 30 refused, 4 accepted (1 known, 1 noted), 2 not tried; 37 runs in 4.2 s`
    fn summary(&self) -> String {
        let count = |test: &dyn Fn(&AuditCell) -> bool| self.cells().filter(|(_, cell)| test(cell)).count();
        let of = |verdict: AuditVerdict| count(&|cell| cell.verdict == verdict);
        let hosts = if self.hosts.len() == 1 { "1 host".to_owned() } else { format!("{} hosts", self.hosts.len()) };
        let failed = count(&AuditCell::fails);
        let mut parts = vec![format!("{} refused", of(AuditVerdict::Refused))];
        let accepted = of(AuditVerdict::Accepted);
        let among: Vec<_> = ["FAILED", "known", "noted"]
            .into_iter()
            .map(|word| (count(&|cell| cell.verdict == AuditVerdict::Accepted && mark(cell) == word), word))
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        let among = if among.is_empty() { String::new() } else { format!(" ({})", among.join(", ")) };
        parts.push(format!("{accepted} accepted{among}"));
        for (verdict, words) in [
            (AuditVerdict::NotReached, "not reached"),
            (AuditVerdict::Unclear, "unclear"),
            (AuditVerdict::NotTried, "not tried"),
        ] {
            if of(verdict) > 0 {
                parts.push(format!("{} {words}", of(verdict)));
            }
        }
        let verdict = if failed == 0 { "passed" } else { "FAILED" };
        let runs = if self.runs == 1 { "run" } else { "runs" };
        format!(
            "{verdict}: {hosts}: {}; {} {runs} in {:.1} s",
            parts.join(", "),
            self.runs,
            self.duration.as_secs_f64()
        )
    }
}

/// What a cell means.
fn mark(cell: &AuditCell) -> &'static str {
    match cell.verdict {
        _ if cell.fails() => "FAILED",
        AuditVerdict::Refused => "ok",
        AuditVerdict::Accepted if cell.known => "known",
        AuditVerdict::Accepted => "noted",
        AuditVerdict::NotReached | AuditVerdict::NotTried | AuditVerdict::Unclear => "-",
    }
}

/// The cause of a refusal, where the client has said it, and what was seen.
fn said(cell: &AuditCell) -> String {
    match cell.cause.as_deref().filter(|cause| *cause != "ambiguous") {
        Some(cause) => format!("{cause}: {}", cell.detail),
        None => cell.detail.clone(),
    }
}

/// Text that neither ends a cell of a table nor begins anything.
fn cell_text(text: &str) -> String {
    clean(text).replace('|', "\\|").replace('<', "&lt;").replace('`', "'")
}
