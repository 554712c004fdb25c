//! What is told of a command's connections, and what is expected of them.

use serde_json::json;

use super::program::{Place, stderr, stdout};
use super::{golden, installed, json, line, shell};

const INTRANET: &str = "https://intranet.acme.example/";
const CURL: [&str; 4] = ["curl", "-sS", "-o", "/dev/null"];

fn curl<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&CURL[..], arguments].concat()
}

#[test]
fn a_client_that_reads_the_variables_is_inspected_and_its_output_is_its_own() {
    if !installed("curl", "--version") {
        return;
    }
    let place = Place::new();
    let client = ["curl", "-sS", "-w", "%{http_code} %{ssl_verify_result}", "-o", "/dev/null", INTRANET];
    let output = place.run(&line(&["exec", "--simulate"], &client));
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("200 0", Some(0)), "{}", stderr(&output));
    golden("exec-accepted", &stderr(&output));
}

#[test]
fn a_pinned_client_is_told_apart_and_works_once_it_is_bypassed() {
    if !installed("curl", "--version") {
        return;
    }
    let place = Place::new();
    let client = curl(&["--pinnedpubkey", "sha256//{pin:acme.okta.com}", "https://acme.okta.com/"]);
    let output = place.run(&line(&["exec", "--simulate"], &client));
    assert_eq!(output.status.code(), Some(90), "curl's own code is passed on");
    golden("exec-pinned", &stderr(&output));

    let expected = ["exec", "--simulate", "--expect", "acme.okta.com=refused:pin-mismatch"];
    assert_eq!(place.run(&line(&expected, &client)).status.code(), Some(0));
    let bypassed = ["exec", "--simulate", "--bypass", "*.okta.com", "--expect", "*.okta.com=bypassed"];
    assert_eq!(place.run(&line(&[&bypassed[..], &["--expect-exit", "0"]].concat(), &client)).status.code(), Some(0));
    let failing = place.run(&line(&[&bypassed[..], &["--expect-exit", "90"]].concat(), &client));
    assert_eq!(failing.status.code(), Some(1));
    assert!(stderr(&failing).contains("exit code 90, but: the command ended with exit code 0"), "{}", stderr(&failing));
}

#[test]
fn what_was_expected_and_did_not_come_true_is_told_and_fails() {
    if !installed("curl", "--version") {
        return;
    }
    let place = Place::new();
    let flags = [
        "exec",
        "--simulate",
        "--junit",
        "exec.xml",
        "--expect",
        "intranet.acme.example=refused",
        "--expect",
        "*.okta.com=untouched",
        "--expect",
        "intranet.acme.example=untouched",
        "--expect",
        "other.example=accepted",
    ];
    let output = place.run(&line(&flags, &curl(&[INTRANET])));
    assert_eq!(output.status.code(), Some(1));
    golden("exec-expectations", &stderr(&output));
    let xml = place.junit("exec.xml");
    assert_eq!((xml.matches("<testcase").count(), xml.matches("<failure").count()), (4, 3), "{xml}");
    assert!(xml.contains("message=\"expected intranet.acme.example=refused, got accepted on intranet"), "{xml}");
}

#[test]
fn without_an_expectation_the_command_itself_is_the_test_case() {
    let place = Place::new();
    assert_eq!(place.run(&line(&["exec", "--junit", "a.xml"], &shell("exit 7"))).status.code(), Some(7));
    let xml = place.junit("a.xml");
    assert_eq!((xml.matches("<testcase").count(), xml.matches("<failure").count()), (1, 1), "{xml}");
    assert!(xml.contains("the command ended with exit code 7"), "{xml}");
}

#[test]
fn the_json_is_alone_on_standard_output() {
    if !installed("curl", "--version") {
        return;
    }
    let place = Place::new();
    let flags = ["exec", "--simulate", "--format", "json", "--har", "exec.har", "--expect", "*=accepted"];
    let (told, code) = json(&place, &line(&flags, &["curl", "-sS", INTRANET, "https://echo.acme.example/"]));
    assert_eq!(code, 0);
    assert_eq!((&told["version"], &told["end"]), (&json!(1), &json!({"kind": "exited", "code": 0})));
    assert_eq!(told["command"][0], "curl");
    let hosts: Vec<_> = told["hosts"].as_array().unwrap().iter().map(|host| host["host"].as_str().unwrap()).collect();
    assert_eq!(hosts, ["intranet.acme.example", "echo.acme.example"]);
    let kind = &told["hosts"][0]["kinds"][0];
    assert_eq!((&kind["count"], &kind["connection"]["outcome"]), (&json!(1), &json!("accepted")));
    assert!(kind["bytes_down"].as_u64().unwrap() > 0, "{kind}");
    assert_eq!(
        told["expectations"],
        json!([{"expected": "*=accepted", "met": true, "actual":
        "accepted on intranet.acme.example, accepted on echo.acme.example"}])
    );
    assert_eq!(told["connections"].as_array().unwrap().len(), 2);
    assert_eq!(told["connections"][0]["forged"]["signed_by"], "inspection-ca");
    let har: serde_json::Value = serde_json::from_str(&place.read("exec.har")).unwrap();
    assert_eq!(har["log"]["entries"].as_array().unwrap().len(), 2);
}

#[test]
fn a_command_that_goes_around_the_proxy_is_told_what_to_try() {
    let place = Place::new();
    let output = place.run(&line(&["exec"], &["true"]));
    assert_eq!(output.status.code(), Some(0));
    golden("exec-nothing", &stderr(&output));
    let expected = place.run(&line(&["exec", "--expect", "a.example=untouched"], &["true"]));
    assert_eq!(expected.status.code(), Some(0));
}

#[test]
fn a_client_that_is_told_of_no_ca_refuses_and_that_is_mended() {
    if !installed("curl", "--version") {
        return;
    }
    let place = Place::new();
    let flags = ["exec", "--simulate", "--trust", "none", "--expect", "intranet.acme.example=refused:untrusted-ca"];
    let output = place.run(&line(&flags, &curl(&[INTRANET])));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("    try --trust env"), "{}", stderr(&output));
    // The same by a flag of the client's own.
    let flags = ["exec", "--simulate", "--trust", "none", "--expect", "intranet.acme.example=accepted"];
    let output = place.run(&line(&flags, &curl(&["--cacert", "{bundle}", INTRANET])));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn the_simulated_okta_verify_has_its_pins_from_its_environment() {
    let place = Place::new();
    let enroll = [env!("CARGO_BIN_EXE_middlebox"), "enroll", "https://acme.okta.com"];
    let inspected = ["exec", "--simulate", "--expect", "acme.okta.com=refused"];
    let output = place.run(&line(&inspected, &enroll));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("The sign-in URL is not secure"), "{}", stdout(&output));
    let bypassed = ["exec", "--simulate", "--bypass", "*.okta.com"];
    let output = place.run(&line(&bypassed, &enroll));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("enrolled"), "{}", stdout(&output));
}

#[test]
fn an_origin_of_ones_own_is_added_to_the_simulated_ones() {
    if !installed("curl", "--version") {
        return;
    }
    let place = Place::new();
    let flags = ["exec", "--origin", "api.example=echo", "--expect", "api.example=accepted"];
    let output = place.run(&line(&flags, &curl(&["https://api.example/"])));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_defect_on_request_is_refused_for_what_it_is() {
    if !installed("curl", "--version") {
        return;
    }
    let place = Place::new();
    let flags = ["exec", "--simulate", "--defect", "expired", "--expect", "intranet.acme.example=refused:expired"];
    let output = place.run(&line(&flags, &curl(&[INTRANET])));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_java_client_is_told_by_its_options() {
    if !installed("java", "-version") {
        return;
    }
    let place = Place::new();
    place.write(
        "Get.java",
        "public class Get { public static void main(String[] a) throws Exception { \
         var c = (javax.net.ssl.HttpsURLConnection) new java.net.URL(a[0]).openConnection(); \
         System.out.println(\"answered \" + c.getResponseCode()); } }\n",
    );
    let flags = ["exec", "--simulate", "--expect", "intranet.acme.example=accepted"];
    let output = place.run(&line(&flags, &["java", "Get.java", INTRANET]));
    if stderr(&output).contains("ClassNotFoundException") || stderr(&output).contains("jdk.compiler") {
        println!("skipped: this Java cannot compile");
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "answered 200\n");
}

#[test]
fn python_and_node_are_told_by_their_variables() {
    let place = Place::new();
    let flags = ["exec", "--simulate", "--expect", "intranet.acme.example=accepted"];
    if installed("python3", "--version") {
        let script = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=60)";
        let output = place.run(&line(&flags, &["python3", "-c", script, INTRANET]));
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    if installed("wget", "--version") {
        // Its GnuTLS reads the flag alone.
        let output = place.run(&line(&flags, &["wget", "-qO", "/dev/null", "--ca-certificate={bundle}", INTRANET]));
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        // Without it, one connection cannot tell a CA that it was not told of from a pin; both mends are named.
        let output = place.run(&line(&flags, &["wget", "-qO", "/dev/null", INTRANET]));
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("with {bundle}") && said.contains("--bypass 'intranet.acme.example'"), "{said}");
    }
}
