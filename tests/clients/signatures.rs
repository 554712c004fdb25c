//! What a refusal of each client looks like, and that no verdict about it is wrong.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::{Client, Tls, Visit, Went};
use crate::table::{Case, Row};
use crate::world::{EC_HOST, EXPIRED_HOST, SECOND_HOST, Trust, WRONG_HOST, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_verdict_about_a_real_client_is_wrong() {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let places = Arc::new(Semaphore::new(processors));
    let mut measuring = JoinSet::new();
    for client in Client::present().await {
        let places = Arc::clone(&places);
        measuring.spawn(async move {
            let mut rows = Vec::new();
            for case in Case::ALL {
                for tls in [Tls::V12, Tls::V13] {
                    if !case.is_for(client) {
                        continue;
                    }
                    let place = places.acquire().await;
                    rows.push(measure(client, case, tls).await);
                    drop(place);
                }
            }
            rows
        });
    }
    let mut rows: Vec<_> = measuring.join_all().await.into_iter().flatten().collect();
    rows.sort_by_key(|row| Client::ALL.iter().position(|client| *client == row.client));
    for row in &rows {
        println!("{row}");
    }
    let complaints: Vec<_> = rows.iter().filter_map(Row::complaint).collect();
    let decided: Vec<_> = rows.iter().filter(|row| row.case.has_history()).collect();
    let exact = decided.iter().filter(|row| row.is_exact()).count();
    println!("with history, {exact} of {} verdicts on an untrusted CA or a pin are exact", decided.len());
    assert!(complaints.is_empty(), "{} of {} are wrong:\n{}", complaints.len(), rows.len(), complaints.join("\n"));
}

/// One measurement in a lab of its own, so that nothing is known of the client but what the case says.
async fn measure(client: Client, case: Case, tls: Tls) -> Row {
    let world = World::new().await;
    let (host, trust) = match case {
        Case::Trusted | Case::Pinned | Case::PinnedHere => (EC_HOST, Trust::Inspection),
        Case::UntrustedCa | Case::UntrustedCaAgain | Case::PinnedBypassed => (EC_HOST, Trust::Public),
        // The forged certificate repeats the origin's fault, and the CA for untrusted origins signs it: whoever trusts
        // that CA sees the one fault alone.
        Case::WrongHost => (WRONG_HOST, Trust::Untrusted),
        Case::Expired => (EXPIRED_HOST, Trust::Untrusted),
    };
    if matches!(case, Case::UntrustedCaAgain | Case::PinnedHere) {
        go_to(&world, client, SECOND_HOST, trust, tls, None).await;
        world.last_record(SECOND_HOST).await;
    }
    if case == Case::PinnedBypassed {
        world.lab.bypass(host).expect("a host is a pattern");
    }
    let pin = case.is_pinned().then(|| world.pin(host));
    let went = go_to(&world, client, host, trust, tls, pin.as_deref()).await;
    let record = world.last_record(host).await;
    world.lab.drain().await;
    Row { client, case, tls, went_well: went.well, said: went.said, record }
}

async fn go_to(world: &World, client: Client, host: &str, trust: Trust, tls: Tls, pin: Option<&str>) -> Went {
    let (proxy, forward, trust) = (world.lab.proxy_address(), world.forward(host), world.trust_file(trust));
    client.visit(&Visit { proxy, forward, host, trust: &trust, tls, pin, folder: world.folder() }).await
}
