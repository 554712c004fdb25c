//! The shape of JUnit XML as CI systems read it: what the schemas of Maven's Surefire (`surefire-test-report.xsd`) and of
//! Jenkins (xUnit plugin, `junit-10.xsd`) have in common, with the `file` and `line` of a case that GitLab reads.

use roxmltree::{Document, Node};

/// Reads a report, and fails where a CI system would not read it, or would count otherwise.
pub(crate) fn assert_junit(xml: &str) {
    let document = Document::parse(xml).unwrap_or_else(|error| panic!("{error}\n{xml}"));
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "testsuites", "{xml}");
    attributes(root, &["name", "tests", "failures", "errors"], &["skipped", "time"]);
    let suites: Vec<_> = root.children().filter(Node::is_element).collect();
    assert!(!suites.is_empty(), "{xml}");
    for counted in ["tests", "failures", "errors", "skipped"] {
        let sum: usize = suites.iter().map(|suite| number(*suite, counted)).sum();
        assert_eq!(number(root, counted), sum, "{counted} of all\n{xml}");
    }
    for suite in suites {
        assert_suite(suite);
    }
}

fn assert_suite(suite: Node<'_, '_>) {
    assert_eq!(suite.tag_name().name(), "testsuite");
    attributes(suite, &["name", "tests", "failures", "errors", "skipped"], &["time", "timestamp"]);
    in_order(suite, &["properties", "testcase", "system-out", "system-err"]);
    let cases: Vec<_> = suite.children().filter(|child| child.has_tag_name("testcase")).collect();
    assert_eq!(number(suite, "tests"), cases.len());
    for (counted, verdict) in [("failures", "failure"), ("errors", "error"), ("skipped", "skipped")] {
        let with = |case: &&Node<'_, '_>| case.children().any(|child| child.has_tag_name(verdict));
        assert_eq!(
            number(suite, counted),
            cases.iter().filter(with).count(),
            "{counted} of {:?}",
            suite.attribute("name")
        );
    }
    for properties in suite.children().filter(|child| child.has_tag_name("properties")) {
        for property in properties.children().filter(Node::is_element) {
            assert!(property.has_tag_name("property"));
            attributes(property, &["name", "value"], &[]);
        }
    }
    for case in cases {
        attributes(case, &["name", "classname"], &["time", "file", "line"]);
        assert!(!case.attribute("name").unwrap().is_empty());
        let verdicts = ["failure", "error", "skipped"];
        in_order(case, &["failure", "error", "skipped", "system-out", "system-err"]);
        let verdict: Vec<_> = case.children().filter(|child| verdicts.contains(&child.tag_name().name())).collect();
        assert!(verdict.len() <= 1, "one verdict for each case");
        for verdict in verdict {
            attributes(verdict, if verdict.has_tag_name("skipped") { &[] } else { &["type"] }, &["message"]);
        }
    }
}

/// Elements stand in this order, and those that are no case once at most.
fn in_order(node: Node<'_, '_>, order: &[&str]) {
    let mut last = 0;
    for child in node.children().filter(Node::is_element) {
        let name = child.tag_name().name();
        let place =
            order.iter().position(|other| *other == name).unwrap_or_else(|| panic!("<{name}> has no place here"));
        assert!(place > last || place == last && (name == "testcase" || last == 0), "<{name}> stands too late");
        last = place;
    }
}

fn attributes(node: Node<'_, '_>, needed: &[&str], allowed: &[&str]) {
    for name in needed {
        assert!(node.has_attribute(*name), "<{}> has no {name}", node.tag_name().name());
    }
    for attribute in node.attributes() {
        let name = attribute.name();
        assert!(needed.contains(&name) || allowed.contains(&name), "<{}> has {name}", node.tag_name().name());
        if ["time", "tests", "failures", "errors", "skipped"].contains(&name) {
            let value = attribute.value();
            assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{name}=\"{value}\"");
        }
    }
}

fn number(node: Node<'_, '_>, name: &str) -> usize {
    node.attribute(name).unwrap_or("0").parse().unwrap()
}
