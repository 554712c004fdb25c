//! http-mitm-proxy as a program: its own client, a certificate cache that holds every host of the comparison, and
//! requests passed on as they are.

use std::env;
use std::error::Error;
use std::fs::read_to_string;

use http_mitm_proxy::hyper::service::service_fn;
use http_mitm_proxy::moka::sync::Cache;
use http_mitm_proxy::{DefaultClient, MitmProxy};
use rcgen::{Issuer, KeyPair};

/// How many certificates are cached.
const CACHE: u64 = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let key = KeyPair::from_pem(&read_to_string(env::var("CA_KEY")?)?)?;
    let issuer = Issuer::from_ca_cert_pem(&read_to_string(env::var("CA_CERT")?)?, key)?;
    let inspects = env::var("MODE")? == "inspect";
    let port: u16 = env::var("PORT")?.parse()?;

    // One worker: the harness gives each proxy one core.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        // The script behind this has set SSL_CERT_FILE, by which the client of this crate trusts the origin.
        let client = DefaultClient::new();
        let relay = service_fn(move |request| {
            let client = client.clone();
            async move { client.send_request(request).await.map(|(answer, _)| answer) }
        });
        let proxy = MitmProxy::new(inspects.then_some(issuer), Some(Cache::new(CACHE)));
        proxy.bind(("127.0.0.1", port), relay).await?.await;
        Ok(())
    })
}
