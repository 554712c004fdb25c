//! Passwords for every host, or for those alone that are not bypassed.

use middlebox::journal::{Outcome, Via};
use middlebox::lab::Lab;
use middlebox::policy::Action;
use middlebox::proxy::{Authenticate, Credentials};

use crate::support::{SITE, far, read_head};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

async fn status(lab: &middlebox::lab::RunningLab, request: &str) -> String {
    let mut stream = TcpStream::connect(lab.proxy_address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await;
    head.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn connect(target: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
}

#[tokio::test]
async fn a_product_may_spare_bypassed_hosts_the_password() {
    for (authenticate, bypassed) in [(Authenticate::Always, "407"), (Authenticate::NotForBypassed, "200")] {
        let lab =
            far().default_action(Action::Inspect).bypass("*.bypassed.example").bypass("10.0.0.1").config(|config| {
                config.credentials = Credentials::one("ann", "secret").ok();
                config.authenticate = authenticate;
            });
        let lab = lab.start().await.unwrap();
        assert_eq!(status(&lab, &connect("a.bypassed.example:443")).await, bypassed, "{authenticate:?}");
        assert_eq!(status(&lab, &connect("10.0.0.1:443")).await, bypassed);
        assert_eq!(status(&lab, &connect(&format!("{SITE}:443"))).await, "407");
        assert_eq!(status(&lab, &connect("nonsense")).await, "407");
        let plain = "GET http://a.bypassed.example/ HTTP/1.1\r\nHost: a.bypassed.example\r\n\r\n";
        assert_eq!(status(&lab, plain).await, "407");
        let told = lab.records().await.iter().filter(|record| record.outcome == Some(Outcome::Blocked)).count();
        assert_eq!(told, if bypassed == "407" { 5 } else { 3 });
    }
}

#[tokio::test]
async fn a_policy_that_needs_the_address_demands_the_password() {
    let lab = Lab::builder().bypass("127.0.0.1").config(|config| {
        config.credentials = Credentials::one("ann", "secret").ok();
        config.authenticate = Authenticate::NotForBypassed;
        config.resolve.push("named.example:443:127.0.0.1".parse().unwrap());
    });
    let lab = lab.start().await.unwrap();
    assert_eq!(status(&lab, &connect("named.example:443")).await, "407");
    assert_eq!(lab.records().await[0].via, Some(Via::Connect));
}
