//! The report of a command as JUnit XML: a test case for each expectation; without any, one for the command itself.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::super::JunitError;
use super::ExecReport;

impl ExecReport {
    /// The report as JUnit XML.
    ///
    /// # Errors
    /// The serializer refuses.
    pub fn junit(&self) -> Result<String, JunitError> {
        let mut report = Report::new("middlebox exec");
        report.set_time(self.duration);
        let mut suite = TestSuite::new(self.line());
        suite.set_time(self.duration);
        suite.set_system_out(self.plain());
        let classname = self.command.first().map_or("", String::as_str);
        let failure = |message: String| {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type("expectation").set_message(message);
            status
        };
        let mut cases: Vec<_> = self
            .expectations
            .iter()
            .map(|expectation| {
                let status = match expectation.met {
                    true => TestCaseStatus::success(),
                    false => failure(format!("expected {}, got {}", expectation.expected, expectation.actual)),
                };
                (expectation.expected.clone(), status)
            })
            .collect();
        if cases.is_empty() {
            let status = match self.end.code {
                0 => TestCaseStatus::success(),
                _ => failure(format!("the command {}", self.end)),
            };
            cases.push((self.line(), status));
        }
        for (name, status) in cases {
            let mut case = TestCase::new(name, status);
            case.set_classname(classname).set_time(self.duration);
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
        Ok(report.to_string()?)
    }
}
