//! The report of an audit as JUnit XML: a test suite per host, a test case per thing that was tried.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::super::JunitError;
use super::{AuditCell, AuditReport, AuditVerdict};

impl AuditReport {
    /// The report as JUnit XML. What must not be accepted and was is a `<failure>`, what could not be judged an
    /// `<error>`, what was not tried `<skipped>`.
    ///
    /// # Errors
    /// The serializer refuses.
    pub fn junit(&self) -> Result<String, JunitError> {
        let mut report = Report::new("middlebox audit");
        report.set_time(self.duration);
        for host in &self.hosts {
            let mut suite = TestSuite::new(host.host.as_str());
            suite.add_property(("command", self.command.join(" ").as_str()));
            suite.add_property(("profile", self.profile.as_str()));
            if let Some(note) = &host.note {
                suite.add_property(("note", note.as_str()));
            }
            for cell in &host.cells {
                let mut case = TestCase::new(cell.attempt.as_str(), status(cell));
                case.set_classname(host.host.as_str());
                let known = if cell.known { ", as the baseline knows" } else { "" };
                case.set_system_out(format!("{}: {}{known}: {}", cell.title, cell.verdict, cell.detail));
                suite.add_test_case(case);
            }
            report.add_test_suite(suite);
        }
        Ok(report.to_string()?)
    }
}

fn status(cell: &AuditCell) -> TestCaseStatus {
    let non_success = |kind| {
        let mut status = TestCaseStatus::non_success(kind);
        let message = format!("{} ({}): {}", cell.attempt, cell.title, cell.detail);
        status.set_type(cell.verdict.word()).set_message(message);
        status
    };
    match cell.verdict {
        AuditVerdict::NotTried => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(cell.detail.as_str());
            status
        }
        AuditVerdict::Accepted if cell.fails() => non_success(NonSuccessKind::Failure),
        AuditVerdict::NotReached | AuditVerdict::Unclear if cell.fails() => non_success(NonSuccessKind::Error),
        AuditVerdict::Accepted | AuditVerdict::Refused | AuditVerdict::NotReached | AuditVerdict::Unclear => {
            TestCaseStatus::success()
        }
    }
}
