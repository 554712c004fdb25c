//! Two middleboxes in a row, the second as the parent of the first.

use middlebox::journal::Outcome;
use middlebox::policy::Action;
use middlebox::simulation::ProxySetting;

use crate::support::{SITE, browse, by, desk, far, near, only};

#[tokio::test]
async fn both_inspect_one_of_them_or_none() {
    use Action::{Bypass, Inspect};
    for (first, second) in [(Inspect, Inspect), (Inspect, Bypass), (Bypass, Inspect), (Bypass, Bypass)] {
        let far = far().default_action(second).profile("zscaler").start().await.unwrap();
        let far_root = far.files().inspection_root.clone();
        let near = near(&far, &format!("http://{}", far.proxy_address())).default_action(first).origin_ca(far_root);
        let near = near.start().await.unwrap();
        let mut desk = desk(&near, &far);
        if first == Bypass {
            // The desk then meets the second middlebox itself.
            desk.set_inspection_root(Some(far.authority().ca().root().clone()));
            desk.set_proxy(ProxySetting::On(near.proxy_address()));
        }
        let visit = browse(&desk, &format!("https://{SITE}/")).await;
        assert_eq!((visit.status, visit.error), (Some(200), None), "{first} {second}");

        let (here, beyond) = (only(&near).await, only(&far).await);
        let outcome = |action: Action| if action == Inspect { Outcome::Accepted } else { Outcome::Bypassed };
        assert_eq!((here.outcome, beyond.outcome), (Some(outcome(first)), Some(outcome(second))));
        assert_eq!(by(&here), format!("http://{}", far.proxy_address()));
        assert_eq!(by(&beyond), "direct");
        let seen = visit.certificate.unwrap().issuer;
        match (first, second) {
            (Inspect, _) => assert_eq!(seen, near.issuer()),
            (_, Inspect) => assert_eq!(seen, far.issuer()),
            _ => assert!(seen != near.issuer() && seen != far.issuer(), "{seen}"),
        }
        if first == Inspect {
            // The first takes the second's forgery for the origin's certificate, and mirrors it.
            let origin = here.origin.as_ref().unwrap();
            assert_eq!(origin.trusted, Some(true), "{origin:?}");
            let issuer = origin.certificate.as_ref().unwrap().facts().unwrap().issuer;
            assert_eq!(issuer.contains(&far.issuer()), second == Inspect, "{issuer}");
        }
    }
}
