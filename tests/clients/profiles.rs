//! Another product's profile fails where that product's certificates fail.

use middlebox::journal::{Cause, Outcome};

use crate::client::{Client, Tls, Visit};
use crate::world::{EC_HOST, Trust, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_zscaler_root_is_refused_by_strict_clients_and_accepted_by_the_others() {
    let world = World::forging_as("zscaler").await;
    let trust = world.trust_file(Trust::Inspection);
    for client in Client::present().await {
        let visit = Visit {
            proxy: world.lab.proxy_address(),
            forward: world.forward(EC_HOST),
            host: EC_HOST,
            trust: &trust,
            tls: Tls::Any,
            pin: None,
            folder: world.folder(),
        };
        let went = client.visit(&visit).await;
        let record = world.last_record(EC_HOST).await;
        // Both are told to be strict (X509_V_FLAG_X509_STRICT); Python is by default from 3.13 on.
        let strict = matches!(client, Client::Python | Client::OpenSsl);
        let expected = if strict { Outcome::Refused } else { Outcome::Accepted };
        assert_eq!(record.outcome, Some(expected), "{}: {}", client.name(), went.said);
        assert_eq!(went.well, !strict, "{}: {}", client.name(), went.said);
        if strict {
            assert!(went.said.contains("Basic Constraints of CA cert not marked critical"), "{}", went.said);
            let diagnosis = record.diagnosis.as_ref().unwrap();
            println!("{}: {:?}", client.name(), diagnosis);
            assert!(diagnosis.candidates.contains(&Cause::Policy), "{diagnosis:?}");
        }
    }
    world.lab.drain().await;
}
