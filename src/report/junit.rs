//! The report as JUnit XML: a test suite per scenario file, a test case per step.
//!
//! A failed expectation is a `<failure>` with the line of the file, whatever kept a step from running an `<error>`,
//! a step that was not run `<skipped>`. The story of the step is its `<system-out>`.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use thiserror::Error;

use super::excerpt::excerpt;
use super::{Failure, RunReport, ScenarioReport, StepReport, Story, Verdict};

/// The report has no XML form.
#[derive(Debug, Error)]
#[error("cannot write the report as JUnit XML: {0}")]
pub struct JunitError(#[from] quick_junit::SerializeError);

/// The report as JUnit XML.
///
/// # Errors
/// The serializer refuses.
pub fn junit(report: &RunReport) -> Result<String, JunitError> {
    let mut whole = Report::new("middlebox");
    whole.set_time(report.scenarios.iter().map(|scenario| scenario.duration).sum());
    for scenario in &report.scenarios {
        whole.add_test_suite(suite(scenario));
    }
    Ok(whole.to_string()?)
}

fn suite(scenario: &ScenarioReport) -> TestSuite {
    // The file, not the name: CI systems group by it, and two files may carry one name.
    let mut suite = TestSuite::new(scenario.file.as_str());
    suite.set_time(scenario.duration);
    suite.add_property(("name", scenario.name.as_str()));
    if let Some(summary) = &scenario.summary {
        suite.add_property(("summary", summary.as_str()));
    }
    for (at, step) in scenario.steps.iter().enumerate() {
        suite.add_test_case(case(scenario, at + 1, step));
    }
    suite
}

fn case(scenario: &ScenarioReport, number: usize, step: &StepReport) -> TestCase {
    let status = match &step.verdict {
        Verdict::Passed => TestCaseStatus::success(),
        Verdict::Failed { failures } => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let messages: Vec<_> = failures.iter().map(Failure::to_string).collect();
            let excerpts: Vec<_> = failures.iter().map(excerpt).collect();
            status.set_type("expectation").set_message(messages.join("; ")).set_description(excerpts.join("\n"));
            status
        }
        Verdict::Error { error } => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            let place = format!("{}:{}: {}", scenario.file, step.line, error.message);
            let description = error.mend.as_ref().map_or(place.clone(), |mend| format!("{place}\n{mend}"));
            status.set_type("error").set_message(error.message.as_str()).set_description(description);
            status
        }
        Verdict::Skipped { reason } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason.as_str());
            status
        }
    };
    // Two steps may carry one name; the number tells them apart and keeps them in order.
    let mut case = TestCase::new(format!("{number}. {}", step.name), status);
    case.set_classname(scenario.file.as_str());
    case.set_time(step.duration);
    case.extra.insert("file".into(), scenario.file.as_str().into());
    case.extra.insert("line".into(), step.line.to_string().into());
    let told = Story::plain().details(step);
    if !told.is_empty() {
        case.set_system_out(told);
    }
    case
}
