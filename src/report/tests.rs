//! The three forms of hand-made reports, to the letter.

use super::*;

const FILE: &str = r#"name = "Sample"

[[step]]
name   = "Inspected"
enroll = { url = "https://acme.okta.com" }
expect = { outcome = "refused", cause = "pin-mismatch", log = "did not match pinned keys/certs" }

[[step]]
name   = "Excluded"
enroll = { url = "https://acme.okta.com" }
expect = { outcome = "enrolled", decision = "bypass" }
"#;

fn pin(byte: u8) -> Pin {
    Pin::of_spki(&[byte])
}

fn step(name: &str, line: usize, kind: &str) -> StepReport {
    StepReport {
        name: name.to_owned(),
        line,
        kind: kind.to_owned(),
        verdict: Verdict::Passed,
        said: Vec::new(),
        client: None,
        connections: Vec::new(),
        mends: Vec::new(),
        duration: Duration::from_millis(12),
    }
}

/// A pinned client refuses behind inspection, as expected.
fn refused() -> StepReport {
    let mut step = step("Inspected", 3, "enroll");
    step.connections = vec![ConnectionView {
        host: "acme.okta.com".to_owned(),
        decision: Some("inspect".to_owned()),
        rule: Some("default".to_owned()),
        outcome: "refused".to_owned(),
        cause: Some(CauseView {
            cause: "pin-mismatch".to_owned(),
            confidence: "high".to_owned(),
            candidates: Vec::new(),
            evidence: vec![
                "alert 46 (certificate_unknown) after the client's Finished".to_owned(),
                "another client of this machine accepted the inspection CA 2 s ago".to_owned(),
            ],
        }),
        seen: Some(CertView { issuer: "Zscaler Intermediate Root CA (zscalerthree.net)".to_owned(), pin: pin(1) }),
        expected_pins: vec![pin(2), pin(3)],
        ..ConnectionView::default()
    }];
    step.client = Some(ClientView {
        outcome: "refused".to_owned(),
        shown: Some("The sign-in URL is not secure".to_owned()),
        log: vec![
            "Extensions.WriteException: An error occurred when getting the organization status. Exception: An error \
             occurred while sending the request.: The underlying connection was closed: Could not establish trust \
             relationship for the SSL/TLS secure channel.: The remote certificate is invalid according to the \
             validation procedure."
                .to_owned(),
            "[CertificatePinningValidator.ValidateConnection]: Certificate domain .okta.com did not match pinned \
             keys/certs, validation failed."
                .to_owned(),
        ],
        calls: vec![CallView {
            name: "organization status".to_owned(),
            request: "GET https://acme.okta.com/.well-known/okta-organization".to_owned(),
            result: "the certificate's key is not one of the pinned keys".to_owned(),
            ok: false,
        }],
    });
    step.mends = vec!["bypass `*.okta.com`".to_owned()];
    step
}

fn enrolled() -> StepReport {
    let mut step = step("Excluded", 8, "enroll");
    step.connections = vec![ConnectionView {
        host: "acme.okta.com".to_owned(),
        decision: Some("bypass".to_owned()),
        rule: Some("*.okta.com".to_owned()),
        why: Some("on the SNI acme.okta.com".to_owned()),
        outcome: "bypassed".to_owned(),
        seen: Some(CertView { issuer: "Simulated Public CA".to_owned(), pin: pin(2) }),
        expected_pins: vec![pin(2)],
        ..ConnectionView::default()
    }];
    step.client = Some(ClientView { outcome: "enrolled".to_owned(), ..ClientView::default() });
    step
}

fn scenario(file: &str, steps: Vec<StepReport>) -> ScenarioReport {
    ScenarioReport {
        name: "Sample".to_owned(),
        summary: Some("Inspection breaks the enrollment; excluding Okta's domains repairs it.".to_owned()),
        file: file.to_owned(),
        steps,
        duration: Duration::from_millis(34),
    }
}

fn as_expected() -> RunReport {
    let mut toggle = step("The rule is switched on", 20, "bypass");
    toggle.said = vec![Line::new("policy", "`*.okta.com` bypass: on (epoch 4)")];
    RunReport { scenarios: vec![scenario("sample.toml", vec![refused(), toggle, enrolled()])] }
}

fn with_trouble() -> RunReport {
    let document = Document::new("sample.toml", FILE);
    let span = |text: &str| {
        let at = FILE.find(text).unwrap();
        at..at + text.len()
    };
    let mut failed = enrolled();
    failed.verdict = Verdict::Failed {
        failures: vec![
            Failure::at(&document, &span("\"enrolled\""), "outcome", "enrolled", "refused"),
            Failure::at(&document, &span("\"bypass\""), "decision", "bypass", "inspect"),
        ],
    };
    failed.connections[0].cause = Some(CauseView {
        cause: "ambiguous".to_owned(),
        confidence: "low".to_owned(),
        candidates: vec!["pin-mismatch".to_owned(), "untrusted-ca".to_owned()],
        evidence: vec!["the client closed without an alert".to_owned()],
    });
    let mut error = step("A real client", 14, "command");
    error.said = vec![Line::new("stderr", "\u{1b}[31mred\u{1b}[0m & <loud>\nsecond line")];
    error.verdict = Verdict::Error {
        error: StepError {
            message: "`curl` was not found".to_owned(),
            mend: Some("install it, or name its path".to_owned()),
        },
    };
    let mut skipped = step("Later", 18, "browse");
    skipped.verdict = Verdict::Skipped { reason: "an earlier step could not run".to_owned() };
    let other = scenario("other.toml", vec![refused()]);
    RunReport { scenarios: vec![scenario("sample.toml", vec![failed, error, skipped]), other] }
}

fn story(report: &RunReport) -> String {
    let mut text = Vec::new();
    Story::plain().write(report, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn the_story_of_a_run_as_expected() {
    insta::assert_snapshot!(story(&as_expected()));
}

#[test]
fn the_story_of_a_run_with_trouble() {
    insta::assert_snapshot!(story(&with_trouble()));
}

#[test]
fn stories_fit_into_100_columns() {
    for report in [as_expected(), with_trouble()] {
        for line in story(&report).lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}

#[test]
fn colours_change_no_letter() {
    let mut text = Vec::new();
    let mut stream = anstream::StripStream::new(&mut text);
    Story::coloured().write(&with_trouble(), &mut stream).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), story(&with_trouble()));
}

#[test]
fn json_is_stable() {
    insta::assert_snapshot!(json(&as_expected()));
}

#[test]
fn json_tells_every_verdict() {
    let text = json(&with_trouble());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["version"], 1);
    assert_eq!(value["counts"]["errors"], 1);
    let verdicts: Vec<_> = value["scenarios"][0]["steps"].as_array().unwrap().iter().map(|s| &s["verdict"]).collect();
    insta::assert_snapshot!(serde_json::to_string_pretty(&verdicts).unwrap());
}

#[test]
fn junit_is_stable() {
    insta::assert_snapshot!(junit(&as_expected()).unwrap());
}

#[test]
fn junit_tells_failures_from_errors() {
    insta::assert_snapshot!(junit(&with_trouble()).unwrap());
}

#[test]
fn a_run_passes_where_nothing_failed_and_nothing_was_in_the_way() {
    assert!(as_expected().passed());
    assert!(!with_trouble().passed());
    let counts = with_trouble().counts();
    assert_eq!((counts.steps, counts.passed, counts.failed, counts.errors, counts.skipped), (4, 1, 1, 1, 1));
}
