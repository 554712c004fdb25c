//! The report for people: the list first, then what each entry rests on.

use std::io::{self, Write};

use super::super::story::{Styles, verdict};
use super::super::text::{clean, wrap};
use super::{EntryReport, NeedReport, RunLine, SolveReport};

/// The widest line that is written without being broken.
const WIDTH: usize = 100;

impl SolveReport {
    /// Tells it. The text carries colours; an [`anstream::AutoStream`] behind the writer takes them out.
    ///
    /// # Errors
    /// The writer fails.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let styles = Styles::coloured();
        let Styles { good, bad, strong, .. } = styles;
        let style = if self.found() { good } else { bad };
        for line in wrap(&clean(&self.says), WIDTH) {
            writeln!(to, "{style}{line}{style:#}")?;
        }
        if !self.list.is_empty() {
            writeln!(to)?;
            for entry in &self.list {
                writeln!(to, "  {strong}{}{strong:#}", clean(&entry.entry))?;
            }
        }
        for entry in &self.list {
            writeln!(to)?;
            self.write_entry(entry, styles, to)?;
        }
        if self.list.is_empty() && !self.needed.is_empty() {
            writeln!(to, "\n{strong}Needed{strong:#}")?;
            for need in &self.needed {
                write_need(need, to)?;
            }
        }
        if !self.works_inspected.is_empty() {
            writeln!(to, "\n{strong}Works inspected{strong:#}")?;
            write_below(2, "", &self.works_inspected.join(", "), to)?;
        }
        if !self.over_broad.is_empty() {
            writeln!(to, "\n{strong}Over-broad would be{strong:#}")?;
            for broad in &self.over_broad {
                let also = broad.also.join(", ");
                let works = if broad.also.len() == 1 { "works" } else { "work" };
                let text = format!("{}: also bypasses {also}, which {works} inspected", broad.pattern);
                write_below(2, "", &text, to)?;
            }
        }
        if !self.said.is_empty() {
            writeln!(to, "\n{strong}The command said{strong:#}")?;
            for line in &self.said {
                writeln!(to, "  {}", clean(line))?;
            }
        }
        if !self.remarks.is_empty() {
            writeln!(to)?;
        }
        for remark in &self.remarks {
            write_below(0, "", remark, to)?;
        }
        Ok(())
    }

    /// The same without colours.
    #[must_use]
    pub fn plain(&self) -> String {
        let mut text = Vec::new();
        self.write(&mut text).expect("memory takes all that is written");
        anstream::adapter::strip_str(&String::from_utf8_lossy(&text)).to_string()
    }

    fn write_entry(&self, entry: &EntryReport, styles: Styles, to: &mut dyn Write) -> io::Result<()> {
        let Styles { strong, .. } = styles;
        writeln!(to, "{strong}{}{strong:#}", clean(&entry.entry))?;
        write_below(2, "", &entry.why, to)?;
        for need in self.needed.iter().filter(|need| entry.covers.contains(&need.host)) {
            write_need(need, to)?;
        }
        if !entry.also.is_empty() {
            let text = format!("over-broad: it also bypasses {}, which is not needed", entry.also.join(", "));
            write_below(2, "- ", &text, to)?;
        } else if let Some(domain) = &entry.domain {
            write_below(2, "- ", &format!("it also covers names below {domain} that were not contacted"), to)?;
        }
        if let Some(advice) = &entry.advice {
            write_below(2, "- ", &format!("how {} reads it is {advice}", self.dialect), to)?;
        }
        Ok(())
    }
}

impl RunLine {
    /// The run in one line, for people who watch.
    #[must_use]
    pub fn line(&self) -> String {
        let bypassed = self.bypassed.join(", ");
        let what = match self.purpose.as_str() {
            "everything-bypassed" => "everything bypassed".to_owned(),
            "everything-inspected" => "everything inspected".to_owned(),
            "prove" => format!("the list itself: {bypassed}"),
            _ => format!("bypassed: {bypassed}"),
        };
        let worked = if self.worked { "works" } else { "fails" };
        let refused = match self.refused.len() {
            0 => String::new(),
            _ => format!(", refused {}", self.refused.join(", ")),
        };
        clean(&format!("run {}: {what}: {worked} ({}){refused}", self.number, self.ended))
    }
}

fn write_need(need: &NeedReport, to: &mut dyn Write) -> io::Result<()> {
    let host = &need.host;
    let evidence = need.cause.iter().flat_map(|cause| &cause.evidence);
    match (need.refused_in_run, &need.cause) {
        (Some(run), Some(cause)) => {
            write_below(2, "- ", &format!("{host} was refused in run {run}: {}", verdict(cause)), to)?;
        }
        (Some(run), None) => write_below(2, "- ", &format!("{host} was refused in run {run}"), to)?,
        (None, _) => write_below(2, "- ", &format!("no certificate of {host} was refused"), to)?,
    }
    for evidence in evidence {
        write_below(4, "", evidence, to)?;
    }
    match need.failed_without_in_run {
        Some(run) => write_below(2, "- ", &format!("without {host} the command fails (run {run})"), to),
        None => Ok(()),
    }
}

fn write_below(indent: usize, label: &str, text: &str, to: &mut dyn Write) -> io::Result<()> {
    let hang = label.len();
    for (at, line) in wrap(&clean(text), WIDTH - indent - hang).iter().enumerate() {
        let label = if at == 0 { label } else { "" };
        writeln!(to, "{:indent$}{label:hang$}{line}", "")?;
    }
    Ok(())
}
