//! Builders for tests of the proxy: a stage with a lab and origins, clients that speak to it, wires that read well.
#![allow(dead_code, unused_imports, reason = "each test binary uses its own part")]

pub(crate) mod client;
pub(crate) mod curl;
pub(crate) mod h2;
pub(crate) mod openssl;
pub(crate) mod origin;
pub(crate) mod stage;
pub(crate) mod trust;
pub(crate) mod wire;

use std::future::Future;
use std::time::Duration;

pub(crate) use client::Client;
pub(crate) use origin::{Origin, origin};
pub(crate) use stage::{Stage, stage};
pub(crate) use wire::{Ending, Wire};

/// Stands in requests wherever a secret may stand; no record may hold it.
pub(crate) const SECRET: &str = "s3cr3t";

/// How long a test waits for anything before it fails: never for an event that it expects to pass by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits, but not forever.
pub(crate) async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, event).await;
    waited.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// A request with secrets in all places where they stand.
pub(crate) fn get(host: &str, path: &str) -> String {
    format!(
        "GET {path}?token={SECRET} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {SECRET}\r\n\
         Cookie: sid={SECRET}\r\n\r\n"
    )
}

/// A small answer with a length.
pub(crate) const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: sid=s3cr3t\r\n\r\nhello";
