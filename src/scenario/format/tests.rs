//! What good files mean, and the text that people see for bad ones.

use std::path::Path;

use super::*;
use crate::journal::{Cause, DecisionKind, Outcome};
use crate::policy::OnChange;
use crate::proxy::DecideAt;
use crate::scenario::words::{By, ClientOutcome, ProxySetting};
use crate::simulation::{App, CertificateKind};

/// A lab with one organization and one page; what a test adds starts at line 9.
const LAB: &str = r#"name = "A test"

[[origin]]
hosts = ["acme.okta.com", "acme.oktapreview.com"]
app   = "okta-org"
[[origin]]
hosts = ["intranet.acme.example"]

"#;

/// The example of the documentation.
const EXAMPLE: &str = r#"
name    = "Okta Verify enrollment behind SSL inspection"
summary = "Inspection breaks the enrollment; excluding Okta's domains repairs it."

[middlebox]
profile = "zscaler"
default = "inspect"

[[origin]]
hosts = ["acme.okta.com", "acme.mtls.okta.com"]
app   = "okta-org"

[workstation]
trust-inspection-ca = true

[[step]]
name   = "Everything is inspected, so the pinned client refuses"
enroll = { url = "https://acme.okta.com" }
expect = { outcome = "refused", cause = "pin-mismatch", message = "The sign-in URL is not secure", log = "did not match pinned keys/certs", decision = "inspect" }

[[step]]
name   = "Exclude Okta's domains from inspection"
bypass = { add = ["*.okta.com", "*.oktapreview.com"] }

[[step]]
name   = "The same client connects"
enroll = { url = "https://acme.okta.com" }
expect = { outcome = "enrolled", decision = "bypass" }

[[step]]
name    = "So does a real one"
command = ["curl", "-sS", "--fail", "--pinnedpubkey", "sha256//{pin:acme.okta.com}", "https://acme.okta.com/.well-known/okta-organization"]
expect  = { exit = 0, decision = "bypass" }
"#;

fn parse(text: &str) -> Result<Scenario, PlaceError> {
    Scenario::parse(&Document::new("test.toml", text))
}

fn step(text: &str) -> Step {
    parse(&format!("{LAB}[[step]]\nname = \"s\"\n{text}\n")).unwrap().steps.remove(0)
}

/// What a person sees for a step that is wrong.
fn wrong(text: &str) -> String {
    let error = parse(&format!("{LAB}[[step]]\nname = \"s\"\n{text}\n")).unwrap_err();
    error.to_string()
}

#[test]
fn the_example_parses() {
    let scenario = parse(EXAMPLE).unwrap();
    assert_eq!(scenario.middlebox.on_change, OnChange::Drain);
    assert_eq!(scenario.middlebox.profile.as_deref().map(String::as_str), Some("zscaler"));
    assert!(scenario.workstation.trust_inspection_ca);
    let origin = scenario.origin(&Host::parse("acme.mtls.okta.com").unwrap()).unwrap();
    assert_eq!((origin.app, origin.certificate), (App::OktaOrg, CertificateKind::Genuine));
    let kinds: Vec<_> = scenario.steps.iter().map(|step| step.action.kind()).collect();
    assert_eq!(kinds, [Kind::Enroll, Kind::Bypass, Kind::Enroll, Kind::Command]);

    let expect = &scenario.steps[0].expect;
    assert_eq!(expect.outcome.as_deref(), Some(&ExpectedOutcome::Client(ClientOutcome::Refused)));
    assert_eq!(expect.cause.as_deref(), Some(&Cause::PinMismatch));
    assert_eq!(expect.decision.as_deref(), Some(&DecisionKind::Inspect));
    let place = |span: &Range<usize>| scenario.document.line_column(span.start);
    assert_eq!(place(&expect.cause.as_ref().unwrap().span), (19, 41));
    assert_eq!(place(&scenario.steps[0].span).0, 16);
    assert!(scenario.steps[1].expect.is_empty());

    let StepAction::Command(command) = &scenario.steps[3].action else { panic!("a command") };
    let words = command.words(|host| format!("<{host}>"));
    assert_eq!(words[4], "sha256//<acme.okta.com>");
    assert_eq!(words.len(), 6);
}

#[test]
fn what_is_shipped_parses() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let scenario = Scenario::parse(&Document::read(&path).unwrap()).unwrap_or_else(|error| panic!("{error}"));
            assert!(scenario.summary.is_some(), "{} has no summary", path.display());
            assert!(scenario.steps.iter().any(|step| !step.expect.is_empty()), "{} expects nothing", path.display());
            names.push(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    names.sort();
    insta::assert_snapshot!(names.join("\n"), @"
    h01-exact-domain
    h02-one-label
    h03-preview-domain
    h04-custom-domain-only
    h05-custom-domain-forgotten
    h06-rule-below-inspect-all
    h07-bypass-by-address
    h08-range-in-url-list
    h09-decided-before-the-sni
    h10-another-sni
    h11-certificate-name
    h12-direct-is-not-bypassed
    h13-localhost-to-the-proxy
    h14-proxy-authentication
    h15-two-proxy-settings
    h16-revocation-blocked
    h17-root-installed
    h19-user-not-identified
    h22-cdn-forgotten
    h24-another-path
    h27-url-in-squid-list
    h27-url-in-zscaler-list
    h28-old-connection
    okta-verify-beside-curl
    okta-verify-enrollment
    ");
}

#[test]
fn the_lab_is_read_in_full() {
    let scenario = parse(
        r#"
        name = "All of it"
        [middlebox]
        profile = "squid"
        default = "block"
        dialect = "fortigate"
        on-change = "kill"
        policy = "lists/policy.toml"
        permit = ["okta.com"]
        proxy-auth = { user = "u", password = "p" }
        [[middlebox.rule]]
        pattern = "*.okta.com"
        action = "bypass"
        enabled = false
        ports = [443, 8443]
        note = "why"
        [[origin]]
        hosts = ["acme.okta.com", "Login.Acme.Example."]
        app = "okta-org"
        certificate = "expired"
        custom-domain = "login.acme.example"
        enroll-link = "login.acme.example"
        alpn = ["h2", "http/1.1"]
        [workstation]
        proxy = "pac"
        proxy-credentials = "u:p:q"
        [[step]]
        name = "s"
        browse = { url = "https://acme.okta.com:8443/x" }
        "#,
    )
    .unwrap();
    assert_eq!(scenario.middlebox.on_change, OnChange::Kill);
    assert_eq!(scenario.middlebox.rules[0].ports, [443, 8443]);
    assert!(!scenario.middlebox.rules[0].enabled);
    assert_eq!(scenario.origins[0].certificate, CertificateKind::Expired);
    assert_eq!(scenario.origins[0].enroll_link.as_deref(), scenario.origins[0].custom_domain.as_deref());
    assert_eq!(scenario.workstation.proxy_credentials.as_ref().unwrap().password, "p:q");
    assert!(!format!("{:?}", scenario.workstation).contains("p:q"), "passwords stay out of logs");
}

#[test]
fn every_kind_of_step_is_read() {
    let StepAction::Enroll { late, .. } = step("enroll = { url = \"https://acme.okta.com\", late = true }").action
    else {
        panic!("an enrollment")
    };
    assert!(late);
    let StepAction::Command(command) =
        step("command = { run = [\"sh\", \"-c\", \"echo ${HOME} {pin:acme.okta.com}\"], timeout = \"5s\" }").action
    else {
        panic!("a command")
    };
    assert_eq!(command.timeout, Some(std::time::Duration::from_secs(5)));
    assert_eq!(command.words(|_| "PIN".to_owned()), ["sh", "-c", "echo ${HOME} PIN"]);
    let StepAction::Workstation(change) = step("workstation = { proxy-credentials = \"none\" }").action else {
        panic!("a workstation")
    };
    assert_eq!(change.proxy_credentials, Some(CredentialsChange::Remove));
    let StepAction::Organization { enroll_link: EnrollLink::Host(link), .. } =
        step("organization = { host = \"acme.okta.com\", enroll-link = \"acme.oktapreview.com\" }").action
    else {
        panic!("an organization")
    };
    assert_eq!(link.to_string(), "acme.oktapreview.com");
    let StepAction::Organization { enroll_link: EnrollLink::Default, .. } =
        step("organization = { host = \"acme.okta.com\", enroll-link = \"default\" }").action
    else {
        panic!("an organization")
    };
    let StepAction::Middlebox { by: By::Proxy, on_change: Some(OnChange::NewOnly), decide_at: None } =
        step("middlebox = { on-change = \"new-only\" }").action
    else {
        panic!("a middlebox")
    };
    let step =
        step("keep-open = { url = \"https://acme.okta.com\" }\nexpect = { outcome = \"gave-up\", status = 200 }");
    assert_eq!(step.action.kind(), Kind::KeepOpen);
    let outcome = step.expect.outcome.as_deref();
    assert_eq!(outcome, Some(&ExpectedOutcome::Connection(Outcome::GaveUp)));
}

#[test]
fn several_lines_of_a_log_can_be_expected() {
    let step = step("enroll = { url = \"https://acme.okta.com\" }\nexpect.log = [\"one\", \"two\"]");
    let texts: Vec<_> = step.expect.log.iter().map(|text| text.as_str()).collect();
    assert_eq!(texts, ["one", "two"]);
}

#[test]
fn without_origins_every_host_is_real() {
    let text = "name = \"r\"\n[[step]]\nname = \"s\"\nenroll = { url = \"https://acme.okta.com\" }\n";
    assert!(parse(text).is_ok());
}

#[test]
fn a_mistake_is_shown_with_its_line() {
    let error =
        parse(&format!("{LAB}[[step]]\nname = \"s\"\nenrol = {{ url = \"https://acme.okta.com\" }}\n")).unwrap_err();
    insta::assert_snapshot!(error.render(false), @r##"
     × unknown field `enrol`, expected one of `name`, `enroll`, `browse`, `fast-pass`, `command`,
     │ `bypass`, `workstation`, `keep-open`, `organization`, `middlebox`, `gateway`, `expect`
       ╭─[test.toml:11:1]
    10 │ name = "s"
    11 │ enrol = { url = "https://acme.okta.com" }
       · ─────
       ╰────
     help: did you mean `enroll`?
    "##);
}

#[test]
fn steps_that_are_wrong_say_so() {
    let cases = [
        "",
        "expect = { outcome = \"enrolled\" }",
        "enroll = { url = \"https://acme.okta.com\" }\nbrowse = { url = \"https://acme.okta.com\" }",
        "enroll = { url = \"https://acme.okta.com\", lat = true }",
        "enroll = \"https://acme.okta.com\"",
        "enroll = { url = \"http://acme.okta.com\" }",
        "enroll = { url = \"acme.okta.com\" }",
        "enroll = { url = \"https://u:p@acme.okta.com\" }",
        "browse = { url = \"https://acme.okat.com\" }",
        "browse = { url = \"https://www.example.net\" }",
        "command = []",
        "command = \"curl https://acme.okta.com\"",
        "command = { run = [\"x\"], timeout = \"ten\" }",
        "command = { run = [\"x\"], timout = \"10s\" }",
        "command = [\"x\", \"{pin:acme.okta.co}\"]",
        "command = [\"x\", \"{pin:acme.okta.com\"]",
        "command = [\"x\", \"{pin:}\"]",
        "bypass = {}",
        "bypass = { on = [\"*.okta.com\"], at = 1 }",
        "bypass = { add = [\"\"] }",
        "bypass = { add = \"*.okta.com\" }",
        "workstation = {}",
        "workstation = { proxy = \"of\" }",
        "workstation = { proxy-credentials = \"user\" }",
        "workstation = { trust-inspection-ca = \"yes\" }",
        "organization = { host = \"intranet.acme.example\", enroll-link = \"default\" }",
        "organization = { host = \"acme.okta.com\", enroll-link = \"https://acme.okta.com\" }",
        "middlebox = { on-change = \"now\" }",
    ];
    let seen: Vec<_> = cases.iter().map(|case| format!("{case}\n  => {}\n", wrong(case))).collect();
    insta::assert_snapshot!(seen.join("\n"), @r##"
      => test.toml:10:8: the step does nothing (give it one of `enroll`, `browse`, `fast-pass`, `command`, `bypass`, `workstation`, `keep-open`, `organization`, `middlebox` or `gateway`)

    expect = { outcome = "enrolled" }
      => test.toml:10:8: the step does nothing (give it one of `enroll`, `browse`, `fast-pass`, `command`, `bypass`, `workstation`, `keep-open`, `organization`, `middlebox` or `gateway`)

    enroll = { url = "https://acme.okta.com" }
    browse = { url = "https://acme.okta.com" }
      => test.toml:12:10: a step does one thing, and this one has `enroll` and `browse` (make two steps of it)

    enroll = { url = "https://acme.okta.com", lat = true }
      => test.toml:11:43: unknown field `lat`, expected one of `url`, `late`, `sni` (did you mean `late`?)

    enroll = "https://acme.okta.com"
      => test.toml:11:10: invalid type: string "https://acme.okta.com", expected a table ({ url = "https://…" })

    enroll = { url = "http://acme.okta.com" }
      => test.toml:11:18: only https is simulated, not http (write it as in `https://acme.okta.com`)

    enroll = { url = "acme.okta.com" }
      => test.toml:11:18: `acme.okta.com` is no address: relative URL without a base (write it as in `https://acme.okta.com`)

    enroll = { url = "https://u:p@acme.okta.com" }
      => test.toml:11:18: an address carries no user and password here (write it as in `https://acme.okta.com`)

    browse = { url = "https://acme.okat.com" }
      => test.toml:11:18: no `[[origin]]` has the host `acme.okat.com` (did you mean `acme.okta.com`?)

    browse = { url = "https://www.example.net" }
      => test.toml:11:18: no `[[origin]]` has the host `www.example.net` (add it to the `hosts` of an `[[origin]]`: hosts = ["www.example.net"])

    command = []
      => test.toml:11:11: the command is empty (name the program first, as in ["curl", "https://acme.okta.com"])

    command = "curl https://acme.okta.com"
      => test.toml:11:11: invalid type: string "curl https://acme.okta.com", expected a list (["curl", "https://…"]) or a table ({ run = ["curl", …], timeout = "10s" })

    command = { run = ["x"], timeout = "ten" }
      => test.toml:11:36: `ten` is no time limit (write a number and a unit, as in `10s` or `2m`)

    command = { run = ["x"], timout = "10s" }
      => test.toml:11:26: unknown field `timout`, expected `run` or `timeout` (did you mean `timeout`?)

    command = ["x", "{pin:acme.okta.co}"]
      => test.toml:11:17: no `[[origin]]` has the host `acme.okta.co` (did you mean `acme.okta.com`?)

    command = ["x", "{pin:acme.okta.com"]
      => test.toml:11:17: `{pin:` has no end (write `{pin:HOST}` with a host of an `[[origin]]`)

    command = ["x", "{pin:}"]
      => test.toml:11:17: `{pin:}` names no host: the host is empty (write `{pin:HOST}` with a host of an `[[origin]]`)

    bypass = {}
      => test.toml:11:10: the bypass rules do not change (give it patterns to `add`, `remove`, switch `on` or switch `off`)

    bypass = { on = ["*.okta.com"], at = 1 }
      => test.toml:11:38: `at` is the position of rules to `add`, and there are none

    bypass = { add = [""] }
      => test.toml:11:19: the pattern is empty

    bypass = { add = "*.okta.com" }
      => test.toml:11:18: invalid type: string "*.okta.com", expected a list of texts (["…"])

    workstation = {}
      => test.toml:11:15: the workstation does not change (give it `proxy`, `service-proxy`, `pac`, `trust-inspection-ca` or `proxy-credentials`)

    workstation = { proxy = "of" }
      => test.toml:11:25: `of` is no proxy setting (did you mean `on`?)

    workstation = { proxy-credentials = "user" }
      => test.toml:11:37: the credentials have no user and password (write `user:password`)

    workstation = { trust-inspection-ca = "yes" }
      => test.toml:11:39: invalid type: string "yes", expected a boolean

    organization = { host = "intranet.acme.example", enroll-link = "default" }
      => test.toml:11:25: `intranet.acme.example` is no organization (set `app = "okta-org"` in its `[[origin]]`)

    organization = { host = "acme.okta.com", enroll-link = "https://acme.okta.com" }
      => test.toml:11:56: `:` cannot stand in a host name (write the host alone, as in `acme.okta.com`)

    middlebox = { on-change = "now" }
      => test.toml:11:27: `now` is no choice for open connections (write `new-only`, `drain` or `kill`)
    "##);
}

#[test]
fn expectations_that_are_wrong_say_so() {
    let cases = [
        ("enroll = { url = \"https://acme.okta.com\" }", "{ outcom = \"enrolled\" }"),
        ("enroll = { url = \"https://acme.okta.com\" }", "{ outcome = \"accepted\" }"),
        ("enroll = { url = \"https://acme.okta.com\" }", "{ exit = 0 }"),
        ("enroll = { url = \"https://acme.okta.com\" }", "{ cause = \"pinning\" }"),
        ("enroll = { url = \"https://acme.okta.com\" }", "{ cause-among = \"ambiguous\" }"),
        ("enroll = { url = \"https://acme.okta.com\" }", "{ decision = \"bypas\" }"),
        ("enroll = { url = \"https://acme.okta.com\" }", "{ outcome = \"refused\", host = \"acme.okat.com\" }"),
        ("enroll = { url = \"https://acme.okta.com\" }", "{ log = 3 }"),
        ("enroll = { url = \"https://acme.okta.com\" }", "{}"),
        ("enroll = { url = \"https://acme.okta.com\" }", "{ host = \"acme.okta.com\" }"),
        ("browse = { url = \"https://acme.okta.com\" }", "{ outcome = \"enrolled\" }"),
        ("browse = { url = \"https://acme.okta.com\" }", "{ message = \"x\" }"),
        ("browse = { url = \"https://acme.okta.com\" }", "{ status = 2000 }"),
        ("browse = { url = \"https://acme.okta.com\" }", "{ status = \"200\" }"),
        ("command = [\"curl\"]", "{ exit = \"0\" }"),
        ("command = [\"curl\"]", "{ log = \"x\" }"),
        ("bypass = { add = [\"*.okta.com\"] }", "{ decision = \"bypass\" }"),
    ];
    let seen: Vec<_> = cases
        .iter()
        .map(|(step, expect)| format!("{step} {expect}\n  => {}\n", wrong(&format!("{step}\nexpect = {expect}"))))
        .collect();
    insta::assert_snapshot!(seen.join("\n"), @r##"
    enroll = { url = "https://acme.okta.com" } { outcom = "enrolled" }
      => test.toml:12:12: unknown field `outcom`, expected one of `outcome`, `cause`, `cause-among`, `message`, `log`, `decision`, `rule`, `status`, `exit`, `host`, `by`, `version`, `warning`, `rejected` (did you mean `outcome`?)

    enroll = { url = "https://acme.okta.com" } { outcome = "accepted" }
      => test.toml:12:22: `accepted` is no outcome of an enrollment (write `enrolled`, `refused` or `error`)

    enroll = { url = "https://acme.okta.com" } { exit = 0 }
      => test.toml:12:19: `exit` cannot be expected of `enroll` (expect `outcome`, `cause`, `cause-among`, `message`, `log`, `decision`, `rule`, `host`, `by` or `warning` of it)

    enroll = { url = "https://acme.okta.com" } { cause = "pinning" }
      => test.toml:12:20: `pinning` is no cause of a refusal (write `untrusted-ca`, `pin-mismatch`, `wrong-host`, `expired`, `policy`, `protocol` or `ambiguous`)

    enroll = { url = "https://acme.okta.com" } { cause-among = "ambiguous" }
      => test.toml:12:26: `ambiguous` is never a candidate (write `cause = "ambiguous"`, or the candidate that you look for)

    enroll = { url = "https://acme.okta.com" } { decision = "bypas" }
      => test.toml:12:23: `bypas` is no decision (did you mean `bypass`?)

    enroll = { url = "https://acme.okta.com" } { outcome = "refused", host = "acme.okat.com" }
      => test.toml:12:40: no `[[origin]]` has the host `acme.okat.com` (did you mean `acme.okta.com`?)

    enroll = { url = "https://acme.okta.com" } { log = 3 }
      => test.toml:12:18: invalid type: integer `3`, expected a text or a list of texts

    enroll = { url = "https://acme.okta.com" } {}
      => test.toml:12:10: nothing is expected (expect `outcome`, `cause`, `cause-among`, `message`, `log`, `decision`, `rule`, `host`, `by` or `warning` of it, or leave `expect` out)

    enroll = { url = "https://acme.okta.com" } { host = "acme.okta.com" }
      => test.toml:12:10: nothing is expected (expect `outcome`, `cause`, `cause-among`, `message`, `log`, `decision`, `rule`, `host`, `by` or `warning` of it, or leave `expect` out)

    browse = { url = "https://acme.okta.com" } { outcome = "enrolled" }
      => test.toml:12:22: `enrolled` is no outcome of a connection (only an `enroll` step enrolls; here it is `accepted` or `bypassed`)

    browse = { url = "https://acme.okta.com" } { message = "x" }
      => test.toml:12:22: `message` cannot be expected of `browse` (expect `outcome`, `cause`, `cause-among`, `decision`, `rule`, `status`, `version`, `by` or `warning` of it)

    browse = { url = "https://acme.okta.com" } { status = 2000 }
      => test.toml:12:21: an HTTP status goes from 100 to 599

    browse = { url = "https://acme.okta.com" } { status = "200" }
      => test.toml:12:21: invalid type: string "200", expected u16

    command = ["curl"] { exit = "0" }
      => test.toml:12:19: invalid type: string "0", expected i32

    command = ["curl"] { log = "x" }
      => test.toml:12:18: `log` cannot be expected of `command` (expect `exit`, `outcome`, `cause`, `cause-among`, `decision`, `rule`, `status`, `host` or `by` of it)

    bypass = { add = ["*.okta.com"] } { decision = "bypass" }
      => test.toml:12:23: `decision` cannot be expected of `bypass` (expect `warning` or `rejected` of it)
    "##);
}

#[test]
fn labs_that_are_wrong_say_so() {
    let step = "[[step]]\nname = \"s\"\nbypass = { add = [\"*\"] }\n";
    let cases = [
        "name = \"\"".to_owned(),
        "summary = \"no name\"".to_owned(),
        "name = \"x\"".to_owned(),
        format!("name = \"x\"\n[midlebox]\n{step}"),
        format!("name = \"x\"\n[middlebox]\ndefault = \"decrypt\"\n{step}"),
        format!("name = \"x\"\n[middlebox]\non_change = \"drain\"\n{step}"),
        format!("name = \"x\"\n[middlebox]\nproxy-auth = {{ user = \"a:b\", password = \"c\" }}\n{step}"),
        format!("name = \"x\"\n[[middlebox.rule]]\npattern = \"a\"\naction = \"by-pass\"\n{step}"),
        format!("name = \"x\"\n[[middlebox.rule]]\npattern = \"a\"\naction = \"bypass\"\nports = [0]\n{step}"),
        format!("name = \"x\"\n[[origin]]\nhosts = []\n{step}"),
        format!("name = \"x\"\n[[origin]]\nhosts = [\"a.example\"]\napp = \"okta\"\n{step}"),
        format!("name = \"x\"\n[[origin]]\nhosts = [\"a.example\", \"A.example.\"]\n{step}"),
        format!("name = \"x\"\n[[origin]]\nhosts = [\"https://a.example\"]\n{step}"),
        format!("name = \"x\"\n[[origin]]\nhosts = [\"a.example\"]\nenroll-link = \"a.example\"\n{step}"),
        format!("name = \"x\"\n[[origin]]\nhosts = [\"a.example\"]\ncertificate = \"selfsigned\"\n{step}"),
        format!(
            "name = \"x\"\n[[origin]]\nhosts = [\"a.example\"]\napp = \"okta-org\"\ncustom-domain = \"b.test\"\n{step}"
        ),
        format!("name = \"x\"\n[[origin]]\nhosts = [\"a.example\"]\nalpn = [\"h3\"]\n{step}"),
    ];
    let seen: Vec<_> = cases.iter().map(|case| format!("{}\n", parse(case).unwrap_err())).collect();
    insta::assert_snapshot!(seen.join(""), @r##"
    test.toml:1:8: the name is empty
    test.toml:1:1: missing field `name`
    test.toml:1:8: the scenario has no step (add a `[[step]]` with a name and what it does)
    test.toml:2:2: unknown field `midlebox`, expected one of `name`, `summary`, `middlebox`, `gateway`, `origin`, `workstation`, `step` (did you mean `middlebox`?)
    test.toml:3:11: `decrypt` is no default action (write `inspect`, `bypass` or `block`)
    test.toml:3:1: unknown field `on_change`, expected one of `profile`, `default`, `dialect`, `on-change`, `decide-at`, `policy`, `permit`, `proxy-auth`, `rule` (did you mean `on-change`?)
    test.toml:3:23: a user has no colon in it (RFC 7617)
    test.toml:4:10: `by-pass` is no action (did you mean `bypass`?)
    test.toml:5:10: ports go from 1 to 65535
    test.toml:3:9: an origin has at least one host
    test.toml:4:7: `okta` is no app (did you mean `okta-org`?)
    test.toml:3:23: `a.example` already belongs to an origin
    test.toml:3:10: `:` cannot stand in a host name (write the host alone, as in `acme.okta.com`)
    test.toml:4:15: only an organization has a custom domain, an enroll link or a sign-in page (set `app = "okta-org"`)
    test.toml:4:15: `selfsigned` is no certificate of an origin (did you mean `self-signed`?)
    test.toml:5:17: no `[[origin]]` has the host `b.test` (add it to the `hosts` of an `[[origin]]`: hosts = ["b.test"])
    test.toml:4:9: `h3` is no application protocol (did you mean `h2`?)
    "##);
}

proptest::proptest! {
    /// A file that is being edited is never a reason to end.
    #[test]
    fn a_file_with_a_hole_parses_or_says_why(from in 0..EXAMPLE.len(), length in 0..60_usize, fill in "[\\[\\]{}\"=a:.\n]{0,3}") {
        let to = (from + length).min(EXAMPLE.len());
        let text = format!("{}{fill}{}", &EXAMPLE[..from], &EXAMPLE[to..]);
        if let Err(error) = parse(&text) {
            proptest::prop_assert!(!error.message().is_empty());
            proptest::prop_assert!(error.render(false).contains("test.toml"));
        }
    }
}

#[test]
fn a_gateway_is_read_like_a_middlebox() {
    let text = r#"
        name = "s"
        [gateway]
        decide-at = "request"
        [[gateway.rule]]
        pattern = "*.okta.com"
        action  = "bypass"
        [[origin]]
        hosts = ["a.example"]
        [[step]]
        name   = "s"
        bypass = { of = "gateway", add = ["a.example"], clients = ["10.0.0.0/8"] }
        "#;
    let scenario = parse(text).unwrap();
    let gateway = scenario.gateway.unwrap();
    assert_eq!((gateway.decide_at, gateway.rules.len()), (DecideAt::Request, 1));
    let StepAction::Bypass(change) = &scenario.steps[0].action else { panic!("a change of rules") };
    assert_eq!((change.of, change.clients[0].to_string()), (By::Gateway, "10.0.0.0/8".to_owned()));
    let alone = "name = \"s\"\n[gateway]\n[[step]]\nname = \"s\"\nbrowse = { url = \"https://a.example\" }\n";
    assert!(parse(alone).unwrap_err().to_string().contains("a gateway needs a simulated internet behind it"));
}

#[test]
fn a_workstation_has_settings_of_its_own() {
    let text = r#"
        name = "s"
        [workstation]
        proxy = "pac"
        service-proxy = "off"
        pac = "function FindProxyForURL(url, host) { return 'PROXY {proxy}' }"
        [[step]]
        name = "s"
        workstation = { service-proxy = "same" }
        "#;
    let scenario = parse(text).unwrap();
    let Workstation { proxy, service_proxy, pac, .. } = &scenario.workstation;
    assert_eq!((*proxy, *service_proxy), (ProxySetting::Pac, Some(ProxySetting::Off)));
    let pac = pac.as_ref().unwrap().text("127.0.0.1:3128".parse().unwrap());
    assert!(pac.contains("'PROXY 127.0.0.1:3128'"), "{pac}");
    let StepAction::Workstation(change) = &scenario.steps[0].action else { panic!("a change") };
    assert_eq!(change.service_proxy, Some(None));
}

#[test]
fn second_middleboxes_and_their_clients_that_are_wrong_say_so() {
    let enroll = "enroll = { url = \"https://acme.okta.com\" }";
    let cases = [
        "gateway = { decide-at = \"hello\" }",
        "bypass = { of = \"gateway\", add = [\"*.okta.com\"] }",
        &format!("{enroll}\nexpect = {{ by = \"gateway\", decision = \"bypass\" }}"),
        "enroll = { url = \"https://acme.okta.com\", sni = \"acme.okta.co\" }",
        "middlebox = { decide-at = \"connect\" }",
        "middlebox = {}",
        "workstation = { pac = \"function FindProxy(url, host) {}\" }",
        "bypass = { on = [\"*.okta.com\"], clients = [\"10.0.0.0/8\"] }",
        "bypass = { add = [\"*.okta.com\"], clients = [\"10.0.0.1/8\"] }",
        "fast-pass = { url = \"https://acme.okta.com\" }\nexpect = { outcome = \"enrolled\" }",
        &format!("{enroll}\nexpect = {{ rejected = \"x\" }}"),
        &format!("{enroll}\nexpect = {{ host = \"localhost\", decision = \"plain\" }}"),
        "browse = { url = \"https://acme.okta.com\" }\nexpect = { version = \"h2\" }",
        "middlebox = { on-change = \"kill\" }\nexpect = { warning = \"x\" }",
    ];
    let seen: Vec<_> = cases.iter().map(|case| format!("{}\n", wrong(case))).collect();
    insta::assert_snapshot!(seen.join(""), @r#"
    test.toml:11:11: this scenario has no gateway (add a table `[gateway]`, with what it decides by default)
    test.toml:11:17: this scenario has no gateway (add a table `[gateway]`, with what it decides by default)
    test.toml:12:17: this scenario has no gateway (add a table `[gateway]`, with what it decides by default)
    test.toml:11:49: no `[[origin]]` has the host `acme.okta.co` (did you mean `acme.okta.com`?)
    test.toml:11:27: `connect` is no moment to decide at (write `request`, `hello` or `certificate`)
    test.toml:11:13: nothing changes (give it `on-change` or `decide-at`)
    test.toml:11:23: pac defines no function FindProxyForURL (write `function FindProxyForURL(url, host) { … }`)
    test.toml:11:43: `clients` is whom rules to `add` are for, and there are none
    test.toml:11:45: `10.0.0.1/8` has bits set after its prefix; write `10.0.0.0/8` for the range, or the address alone
    test.toml:12:22: `enrolled` is no outcome of a sign-in with FastPass (write `answered` or `unanswered`)
    test.toml:12:23: `rejected` cannot be expected of `enroll` (expect `outcome`, `cause`, `cause-among`, `message`, `log`, `decision`, `rule`, `host`, `by` or `warning` of it)
    test.toml:12:19: `enroll` asks nothing of this machine (name a host of an `[[origin]]`)
    test.toml:12:22: `h2` is no version of HTTP that is simulated (write `HTTP/1.1` or `HTTP/2`)
    test.toml:12:10: nothing can be expected of `middlebox` (expect it of the `enroll`, `browse`, `command` or `keep-open` step that follows)
    "#);
}
