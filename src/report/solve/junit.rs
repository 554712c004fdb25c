//! The report as JUnit XML: one test case, which passes where a list was found.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::super::JunitError;
use super::SolveReport;

impl SolveReport {
    /// The report as JUnit XML.
    ///
    /// # Errors
    /// The serializer refuses.
    pub fn junit(&self) -> Result<String, JunitError> {
        let status = if self.found() {
            TestCaseStatus::success()
        } else {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type("solve").set_message(&self.says);
            status
        };
        let mut case = TestCase::new("a bypass list makes it work", status);
        case.set_classname(self.command.first().map_or("", String::as_str)).set_time(self.duration);
        let mut suite = TestSuite::new(self.line());
        suite.set_time(self.duration);
        suite.set_system_out(self.plain());
        suite.add_test_case(case);
        let mut report = Report::new("middlebox solve");
        report.set_time(self.duration);
        report.add_test_suite(suite);
        Ok(report.to_string()?)
    }
}
