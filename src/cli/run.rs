//! `middlebox run`: scenarios, told as they happen.

use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::error::CliError;
use super::logging::LogArgs;
use super::signal::Stop;
use super::words::Format;
use super::{exit, shipped};
use crate::report::{RunReport, ScenarioReport, StepError, StepReport, Story, Verdict, json, junit, write_whole};
use crate::scenario::{self, Progress, Scenario};

/// Run scenarios: each step with what is expected of it
///
/// A scenario is a file, or the name of one that comes with the program, such as `okta-verify-enrollment`. Every file
/// is read before the first one runs. Each runs in a lab of its own, with a CA that lives in memory only.
///
/// Ends with 0 where everything went as expected, with 1 where a step did not.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Scenario files, or names of shipped scenarios
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// Run only the I-th of N equal parts of the scenarios, for machines that share the work
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,

    /// How the result is written to standard output: as a story, or as JSON once all is done
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    format: Format,

    /// Write the result to this file as JUnit XML, too: a test case for each step
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    junit: Option<PathBuf>,

    #[command(flatten)]
    log: LogArgs,
}

const EXAMPLES: &str = "\
Examples:
  The whole story of an enrollment behind inspection:
    middlebox run okta-verify-enrollment
  In CI, as the second of four machines:
    middlebox run --junit report.xml --shard 2/4 scenarios/*.toml";

/// One of several equal parts of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shard {
    /// From 1.
    part: usize,
    of: usize,
}

pub(super) async fn run(args: Args) -> Result<u8, CliError> {
    args.log.begin("warn")?;
    let scenarios = read(&args.files)?;
    let scenarios: Vec<_> = match args.shard {
        Some(shard) => shard.of(scenarios),
        None => scenarios,
    };
    let mut stop =
        Stop::listen().map_err(|error| CliError::environment(format!("cannot listen for signals: {error}")))?;
    let mut told = Told::new(args.format, args.log.quiet);
    let mut report = RunReport::default();
    let mut worst = exit::AS_EXPECTED;
    for scenario in &scenarios {
        let mut on_progress = |progress: Progress<'_>| told.progress(progress);
        let ran = tokio::select! {
            ran = scenario::run(scenario, &mut on_progress) => ran,
            () = stop.next() => {
                tracing::warn!("ended in the middle of {}; no report is written", scenario.document.name());
                return Ok(exit::INTERRUPTED);
            }
        };
        report.scenarios.push(ran.unwrap_or_else(|error| {
            let error = CliError::from(error);
            error.show();
            worst = worst.max(error.exit_code());
            not_begun(scenario, &error)
        }));
    }
    if !report.passed() {
        worst = worst.max(exit::EXPECTATION_FAILED);
    }
    told.end(&report);
    if let Some(path) = &args.junit {
        write_whole(path, junit(&report)?.as_bytes())?;
    }
    told.failure.map_or(Ok(()), Err)?;
    Ok(worst)
}

/// Reads all of them, and tells what is wrong with each that cannot be read.
fn read(files: &[String]) -> Result<Vec<Scenario>, CliError> {
    let (mut scenarios, mut errors) = (Vec::new(), Vec::new());
    for file in files {
        match shipped::scenario(file, &[]) {
            Ok(scenario) => scenarios.push(scenario),
            Err(error) => errors.push(error),
        }
    }
    match errors.len() {
        0 => Ok(scenarios),
        _ => Err(CliError::Several(errors)),
    }
}

/// A scenario whose lab could not be had stands in the report with the one step that failed.
fn not_begun(scenario: &Scenario, error: &CliError) -> ScenarioReport {
    let step = StepReport {
        name: "The lab starts".to_owned(),
        line: 1,
        kind: "middlebox".to_owned(),
        verdict: Verdict::Error { error: StepError { message: error.to_string(), mend: None } },
        said: Vec::new(),
        client: None,
        connections: Vec::new(),
        mends: Vec::new(),
        duration: Duration::ZERO,
    };
    ScenarioReport {
        name: scenario.name.clone(),
        summary: scenario.summary.clone(),
        file: scenario.document.name().to_owned(),
        steps: vec![step],
        duration: Duration::ZERO,
    }
}

/// What goes to standard output.
struct Told {
    format: Format,
    quiet: bool,
    story: Story,
    /// Standard output takes no more. The steps go on, because the exit code and the report count.
    closed: bool,
    /// It does so for another reason than that its reader has gone.
    failure: Option<CliError>,
}

impl Told {
    fn new(format: Format, quiet: bool) -> Self {
        Self { format, quiet, story: Story::coloured(), closed: false, failure: None }
    }

    fn progress(&mut self, progress: Progress<'_>) {
        let as_expected = !matches!(
            progress,
            Progress::Step(_, StepReport { verdict: Verdict::Failed { .. } | Verdict::Error { .. }, .. })
        );
        if self.format == Format::Json || (self.quiet && as_expected) {
            return;
        }
        let story = self.story;
        self.write(|to| match progress {
            Progress::Begun(scenario) => {
                let summary = scenario.summary.as_deref();
                story.write_head(&scenario.name, summary, scenario.document.name(), to)
            }
            Progress::Step(number, step) => story.write_step(number, step, to),
        });
    }

    fn end(&mut self, report: &RunReport) {
        let story = self.story;
        match self.format {
            Format::Json => self.write(|to| to.write_all(json(report).as_bytes())),
            Format::Text if self.quiet && report.passed() => {}
            Format::Text => self.write(|to| story.write_summary(report, to)),
        }
    }

    fn write(&mut self, tell: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if self.closed {
            return;
        }
        let mut out = anstream::stdout().lock();
        if let Err(error) = tell(&mut out).and_then(|()| out.flush()) {
            self.closed = true;
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.failure = Some(error.into());
            }
        }
    }
}

impl Shard {
    /// Every `of`-th of the list, so that parts are alike however it is sorted.
    fn of<T>(self, whole: Vec<T>) -> Vec<T> {
        let mine = |at: usize| at % self.of == self.part - 1;
        whole.into_iter().enumerate().filter(|(at, _)| mine(*at)).map(|(_, one)| one).collect()
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((part, of)) if (1..=of).contains(&part) => Ok(Self { part, of }),
            _ => Err("write I/N with I from 1 to N, as in `2/4`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_are_the_whole() {
        let parts: Vec<Vec<u8>> = (1..=3).map(|part| Shard { part, of: 3 }.of((0..8).collect())).collect();
        assert_eq!(parts, [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]);
        assert_eq!("2/4".parse(), Ok(Shard { part: 2, of: 4 }));
        for bad in ["0/4", "5/4", "2", "a/b", "1/0"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }
}
