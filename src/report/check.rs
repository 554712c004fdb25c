//! A checked list as JUnit XML: a test suite for each product, a test case for each connection that it makes, and a
//! suite for the entries that are mistakes.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::JunitError;
use crate::policy::{Checked, Finding, HostChecked, HostVerdict, Severity};

/// The report of one checked list as JUnit XML. Where `strict`, warnings are failures, too.
///
/// # Errors
/// The serializer refuses.
pub fn junit_of_check(checked: &Checked, list: &str, strict: bool) -> Result<String, JunitError> {
    let mut whole = Report::new("middlebox policy check");
    let mend = checked.mend.iter().flat_map(|mend| &mend.edits).map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for product in &checked.products {
        let mut suite = TestSuite::new(product.as_str());
        suite.add_property(("list", list));
        suite.add_property(("dialect", checked.dialect.name()));
        for host in checked.hosts.iter().filter(|host| host.product == *product) {
            suite.add_test_case(host_case(host, list, &mend));
        }
        whole.add_test_suite(suite);
    }
    let mut suite = TestSuite::new(list);
    for finding in &checked.findings {
        suite.add_test_case(finding_case(finding, list, strict));
    }
    if !checked.findings.is_empty() {
        whole.add_test_suite(suite);
    }
    Ok(whole.to_string()?)
}

fn host_case(host: &HostChecked, list: &str, mend: &str) -> TestCase {
    let status = match host.verdict {
        HostVerdict::Works | HostVerdict::Advice => TestCaseStatus::success(),
        HostVerdict::Breaks => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let breaks = host.breaks.as_deref().unwrap_or_default();
            status.set_type("policy").set_message(format!("{}: {breaks}", host.decision)).set_description(mend);
            status
        }
    };
    let mut case = TestCase::new(format!("{}:{}", host.host, host.port), status);
    case.set_classname(format!("{}.{list}", host.product));
    case
}

fn finding_case(finding: &Finding, list: &str, strict: bool) -> TestCase {
    let Finding { kind, text, line, message, mend, severity } = finding;
    let fails = *severity == Severity::Error || (strict && *severity == Severity::Warning);
    let status = if fails {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_type("entry").set_message(message.as_str());
        if let Some(mend) = mend {
            status.set_description(mend.as_str());
        }
        status
    } else {
        TestCaseStatus::success()
    };
    let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
    let mut case = TestCase::new(format!("{line}{kind}: {text}"), status);
    case.set_classname(list);
    if !fails {
        case.set_system_out(message.as_str());
    }
    case
}
