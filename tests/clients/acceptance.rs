//! The `generic` profile satisfies the strictest clients, once they trust its root.

use std::path::Path;

use middlebox::journal::Outcome;

use crate::client::{Client, Tls, Visit};
use crate::world::{ADDRESS, EC_HOST, RSA_HOST, Trust, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_that_trusts_the_root_accepts_the_generic_profile() {
    let world = World::new().await;
    assert_eq!(everybody_visits(&world).await, Vec::<String>::new());
    world.lab.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_that_trusts_an_rsa_ca_of_the_users_own_accepts_what_it_signs() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("ca.pem"), folder.path().join("ca.key"));
    if !make_rsa_ca(&certificate, &key) {
        println!("skipped: an RSA CA of the user's own: openssl does not run");
        return;
    }
    let world = World::with_ca(&certificate, &key).await;
    assert_eq!(everybody_visits(&world).await, Vec::<String>::new());
    world.lab.drain().await;
}

/// Sends every client to an EC origin, an RSA origin and an address. Says who was not content.
async fn everybody_visits(world: &World) -> Vec<String> {
    let trust = world.trust_file(Trust::Inspection);
    let mut complaints = Vec::new();
    for client in Client::present().await {
        for host in [EC_HOST, RSA_HOST, ADDRESS] {
            if !client.reaches(host) {
                continue;
            }
            let visit = Visit {
                proxy: world.lab.proxy_address(),
                forward: world.forward(host),
                host,
                trust: &trust,
                tls: Tls::Any,
                pin: None,
                folder: world.folder(),
            };
            let went = client.visit(&visit).await;
            let record = world.last_record(host).await;
            if !went.well || record.outcome != Some(Outcome::Accepted) {
                let (name, outcome) = (client.name(), record.outcome);
                complaints.push(format!("{name} at {host}: {outcome:?}, {:?}: {}", record.diagnosis, went.said));
            }
        }
    }
    complaints
}

/// A CA as companies make them for their appliances.
fn make_rsa_ca(certificate: &Path, key: &Path) -> bool {
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365"])
        .args(["-subj", "/O=Example Corp/CN=Example Corp Inspection CA"])
        .args(["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"])
        .arg("-out")
        .arg(certificate)
        .arg("-keyout")
        .arg(key)
        .output();
    made.is_ok_and(|made| made.status.success())
}
