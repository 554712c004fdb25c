//! `middlebox watch`, against a running middlebox.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::ORG;
use super::program::{Place, Up, curl, stderr, stdout};

fn control(up: &Up) -> String {
    format!("http://{}", up.ready["control"].as_str().unwrap())
}

#[cfg(unix)]
#[test]
fn connections_are_told_as_they_end_until_the_middlebox_does() {
    let place = Place::new();
    let mut up = place.up(&["--simulate", "--control", "127.0.0.1:0"]);
    let (proxy, bundle) = (up.proxy(), up.variable("SSL_CERT_FILE"));
    let visit = |url: &str| curl(&["--proxy", &proxy, "--cacert", &bundle, url]);
    if visit("https://intranet.acme.example/").is_none() {
        return;
    }
    let mut watch = place
        .command(&["watch", "--last", "0", "--host", ".okta.com", "--format", "json"])
        .env("MIDDLEBOX_CONTROL", control(&up))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let mut next = || -> Value { serde_json::from_str(&lines.next().expect("the stream goes on")).unwrap() };
    let first = next();
    assert_eq!((first["event"].as_str(), first["data"]["epoch"].as_u64()), (Some("policy"), Some(1)));

    assert!(visit("https://intranet.acme.example/").unwrap().status.success());
    assert!(visit(ORG).unwrap().status.success());
    let told = next();
    assert_eq!(told["event"], "closed");
    assert_eq!(
        (&told["record"]["hello"]["sni"], &told["record"]["outcome"]),
        (&"acme.okta.com".into(), &"accepted".into())
    );

    // The past, for people: the other host, too.
    let mut past = place.command(&["watch", "--last", "1"]);
    let mut past = past.env("MIDDLEBOX_CONTROL", control(&up)).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut shown = BufReader::new(past.stdout.take().unwrap());
    shown.read_line(&mut line).unwrap();
    assert!(line.trim_end().ends_with("acme.okta.com  inspect, default  accepted"), "{line}");

    up.signal(rustix::process::Signal::TERM);
    assert!(watch.wait().unwrap().success());
    assert!(past.wait().unwrap().success());
    let (status, _) = up.end();
    assert!(status.success());
}

#[test]
fn without_a_middlebox_it_says_how_to_start_one() {
    let place = Place::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = place.run(&["watch", "--control", &format!("http://{port}")]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("start one with `middlebox up`") && stdout(&output).is_empty());
    let wrong = place.run(&["watch", "--host", "b*d.example"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
}
