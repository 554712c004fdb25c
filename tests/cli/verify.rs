//! `verify`: what somebody types on a workstation to see whether the exclusion has arrived.

use std::process::Output;

use middlebox::lab::{Lab, RunningLab};
use middlebox::net::{Host, pem};
use middlebox::proxy::Credentials;
use middlebox::simulation::{App, OriginSpec};
use serde_json::Value;

use crate::program::{Place, stderr, stdout, text};
use crate::{golden, told};

const HOST: &str = "acme.okta.com";

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// The one verdict, and the exit code with it.
fn verdict(place: &Place, line: &[&str]) -> (i32, Value) {
    let output = place.run(&[&["verify", "--format", "json"], line].concat());
    let all: Value = serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    (code(&output), all["hosts"][0].clone())
}

#[test]
fn an_inspected_path_is_seen_with_its_product_and_broken_pins() {
    let place = Place::new();
    let up = place.up(&["--simulate"]);
    let (proxy, pin, ca) = (up.proxy(), up.pin(HOST), up.ready["ca"].as_str().unwrap().to_owned());
    let line = ["verify", HOST, "--proxy", &proxy, "--pin", &pin];
    let output = place.run(&line);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    golden("verify-inspected", &told(&place, &["verify", HOST, "--proxy", "[PROXY]", "--pin", &pin], &output));

    let (code, seen) = verdict(&place, &[HOST, "--proxy", &format!("http://{proxy}"), "--ca-file", &ca]);
    assert_eq!((code, &seen["inspected"], &seen["product"]["profile"]), (1, &true.into(), &"generic".into()));
    assert_eq!((&seen["trust"]["by"], &seen["confidence"]), (&"given-roots".into(), &"high".into()));
    assert_eq!((&seen["pins"]["hold"], &seen["version"]), (&false.into(), &"TLS 1.3".into()), "Okta's own pins");
}

#[test]
fn the_exclusion_has_arrived() {
    let place = Place::new();
    let up = place.up(&["--simulate", "--bypass", "*.okta.com"]);
    let public = up.ready["public_ca"].as_str().unwrap();
    let (proxy, pin) = (up.proxy(), up.pin(HOST));
    let line = ["verify", HOST, "--proxy", &proxy, "--pin", &pin, "--ca-file", public];
    let output = place.run(&line);
    let shown = ["verify", HOST, "--proxy", "[PROXY]", "--pin", &pin, "--ca-file", "[FILE]"];
    golden("verify-bypassed", &told(&place, &shown, &output));
    assert_eq!(code(&output), 0);
    // Another host of the same path is not excluded.
    let (code, seen) = verdict(&place, &["intranet.acme.example", "--proxy", &proxy]);
    assert_eq!((code, &seen["inspected"]), (1, &true.into()));
}

#[test]
fn products_are_told_apart_and_what_they_take_away_is_seen() {
    for (profile, alpn, confidence) in
        [("zscaler", "http/1.1", "high"), ("fortigate", "h2", "high"), ("squid", "http/1.1", "medium")]
    {
        let place = Place::new();
        let up = place.up(&["--simulate", "--profile", profile]);
        let proxy = up.proxy();
        let (code, seen) = verdict(&place, &["intranet.acme.example", "--proxy", &proxy]);
        assert_eq!((code, &seen["product"]["profile"]), (1, &profile.into()), "{seen:#}");
        assert_eq!((&seen["confidence"], &seen["pins"]), (&confidence.into(), &Value::Null), "{seen:#}");
        assert_eq!(seen["alpn"], alpn, "{seen:#}");
        assert_eq!(seen["trust"]["by"], "nobody");
    }
}

#[test]
fn the_proxy_is_that_of_the_environment_but_for_the_hosts_around_it() {
    let place = Place::new();
    let up = place.up(&["--simulate"]);
    let mut command = place.command(&["verify", "--format", "json", "intranet.acme.example"]);
    let output = command.env("HTTPS_PROXY", up.proxy()).output().unwrap();
    let seen: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((code(&output), &seen["hosts"][0]["by"]), (1, &format!("http://{}", up.proxy()).into()));
    // A port of this machine that nothing listens on: directly, it is refused.
    let mut around = place.command(&["verify", "--timeout", "5", "--resolve", "x.acme.example:443:127.0.0.1"]);
    let output = around.arg("x.acme.example").env("HTTPS_PROXY", up.proxy()).env("NO_PROXY", ".acme.example").output();
    assert_eq!(code(&output.unwrap()), 3);
}

#[test]
fn what_cannot_be_looked_at_is_the_environments_fault() {
    let place = Place::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let line = ["verify", HOST, "--proxy", &closed.to_string()];
    let output = place.run(&line);
    assert_eq!(code(&output), 3);
    golden("verify-unreachable", &told(&place, &line, &output));
    let both = place.run(&["verify", "--format", "json", HOST, "--proxy", &closed.to_string()]);
    let seen: Value = serde_json::from_str(&stdout(&both)).unwrap();
    assert!(seen["hosts"][0]["error"].as_str().unwrap().contains("refused the connection"), "{seen:#}");
}

#[test]
fn mistakes_are_named() {
    let place = Place::new();
    let empty = place.write("empty.pem", "nothing\n");
    for line in [
        &["verify"][..],
        &["verify", HOST, "--pin", "sha256/x"],
        &["verify", HOST, "--proxy", "ftp://x.example"],
        &["verify", HOST, "--ca-file", text(&empty)],
        &["verify", "a b"],
    ] {
        let output = place.run(line);
        assert_eq!(code(&output), 2, "{line:?}: {}", stderr(&output));
        assert!(stdout(&output).is_empty() && stderr(&output).contains("error: "), "{}", stderr(&output));
    }
}

fn origins() -> [OriginSpec; 2] {
    let origin = |host: &str, app| OriginSpec::new(vec![Host::parse(host).unwrap()], app);
    [origin("shop.example", App::Static), origin("mtls.example", App::Mtls)]
}

fn public_roots(place: &Place, lab: &RunningLab) -> std::path::PathBuf {
    place.write("public.pem", &pem(lab.internet().unwrap().root_der()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_without_a_proxy_can_be_inspected_too() {
    let place = Place::new();
    let to = "shop.example:443".parse().unwrap();
    let lab = Lab::builder().simulate(origins()).forward("127.0.0.1:0".parse().unwrap(), to).start().await.unwrap();
    let entry = format!("shop.example:{0}:127.0.0.1", lab.other_addresses()[0].port());
    let host = format!("shop.example:{}", lab.other_addresses()[0].port());
    let line = [host.as_str(), "--resolve", &entry];
    let (code, seen) = verdict(&place, &line);
    assert_eq!((code, &seen["by"], &seen["inspected"]), (1, &"direct".into(), &true.into()), "{seen:#}");
    lab.bypass("shop.example").unwrap();
    let roots = public_roots(&place, &lab);
    let pin = lab.internet().unwrap().pin(&Host::parse("shop.example").unwrap()).unwrap().to_string();
    let (code, seen) = verdict(&place, &[&line[..], &["--ca-file", text(&roots), "--pin", &pin]].concat());
    assert_eq!((code, &seen["trust"]["by"], &seen["pins"]["hold"]), (0, &"given-roots".into(), &true.into()));
    lab.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_wants_to_know_who_asks_is_told_or_said_to_be_one() {
    let place = Place::new();
    let users = Credentials::one("ann", "secret").unwrap();
    let lab = Lab::builder().simulate(origins()).config(|config| config.credentials = Some(users)).start().await;
    let lab = lab.unwrap();
    let at = lab.proxy_address();
    let (code, seen) = verdict(&place, &["shop.example", "--proxy", &format!("http://{at}")]);
    assert_eq!(code, 3);
    assert!(seen["error"].as_str().unwrap().contains("407"), "{seen:#}");
    let (code, seen) = verdict(&place, &["shop.example", "--proxy", &format!("http://ann:secret@{at}")]);
    assert_eq!((code, &seen["inspected"]), (1, &true.into()));
    assert!(!seen.to_string().contains("secret"), "{seen:#}");
    lab.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_request_for_a_client_certificate_is_lost_under_inspection() {
    let place = Place::new();
    let lab = Lab::builder().simulate(origins()).bypass("mtls.example").start().await.unwrap();
    let proxy = lab.proxy_address().to_string();
    let (_, seen) = verdict(&place, &["mtls.example", "--proxy", &proxy]);
    assert_eq!(seen["asks_for_client_certificate"], true, "{seen:#}");
    lab.remove("mtls.example").unwrap();
    let (_, seen) = verdict(&place, &["mtls.example", "--proxy", &proxy]);
    assert_eq!(seen["asks_for_client_certificate"], false, "{seen:#}");
    lab.drain().await;
}
