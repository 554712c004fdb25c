//! The library's lab, as a Rust test uses it.

#![allow(clippy::unwrap_used, reason = "what a test cannot start ends it")]

use middlebox::lab::Lab;
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn a_lab_that_is_dropped_gives_its_port_back() {
    let lab = Lab::builder().start().await.unwrap();
    let address = lab.proxy_address();
    TcpStream::connect(address).await.unwrap();
    drop(lab);
    // The listener goes with its task, which has to be polled once more.
    while TcpListener::bind(address).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn two_labs_do_not_meet() {
    let (first, second) = tokio::join!(Lab::builder().start(), Lab::builder().start());
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first.proxy_address(), second.proxy_address());
    first.bypass("*.okta.com").unwrap();
    assert_eq!((first.policy().current().rules().len(), second.policy().current().rules().len()), (1, 0));
    assert_ne!(first.authority().ca().fingerprint(), second.authority().ca().fingerprint());
    assert!(first.drain().await && second.drain().await);
}
