//! TLS to the proxy itself (a "secure web proxy"): its certificate comes from the inspection CA.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::{Tunnel, http, http2};
use crate::journal::{End, Outcome, Recording};
use crate::net::{FirstBytes, Host, read_first_bytes};
use crate::proxy::Shared;
use crate::proxy::client::{Carrier, Client};
use crate::proxy::intercept::One;

/// The handshake has to be complete within this.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// Ends the client's TLS, and serves HTTP inside it. What is tunnelled inside may be TLS again; that is another's.
pub(super) async fn serve(shared: &Arc<Shared>, mut client: Client, recording: Recording) -> Option<Tunnel> {
    let (drain, kill) = (recording.live().drain.clone(), recording.live().kill.clone());
    let ended = |outcome, end| {
        recording.finish(outcome, end);
        None
    };
    let named = tokio::select! {
        named = tokio::time::timeout(HANDSHAKE, server_name(&mut client)) => named,
        () = drain.cancelled() => return ended(Outcome::Unused, End::middlebox("drained")),
        () = kill.cancelled() => return ended(Outcome::Unused, End::middlebox("ended")),
    };
    let Ok(Some(host)) = named else {
        return ended(Outcome::GaveUp, End::client("no complete ClientHello to the proxy"));
    };
    // Who names no host has an address for the proxy: the one that it reached.
    let host = host.unwrap_or_else(|| Host::Ip(client.local_ip().unwrap_or_else(|| shared.address.ip())));
    let forged = match shared.authority.forge(&host, None).await {
        Ok(forged) => forged,
        Err(error) => {
            let end = End::middlebox(format!("no certificate for the proxy itself could be made: {error}"));
            return ended(Outcome::Failed, end);
        }
    };
    let mut config: ServerConfig = shared.server.clone();
    config.cert_resolver = Arc::new(One(Arc::clone(&forged.certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let accepting = TlsAcceptor::from(Arc::new(config)).accept(client);
    let accepted = tokio::select! {
        accepted = tokio::time::timeout(HANDSHAKE, accepting) => accepted,
        () = kill.cancelled() => return ended(Outcome::Unused, End::middlebox("ended")),
    };
    let stream = match accepted {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let end = End::client(format!("did not complete TLS with the proxy itself: {error}"));
            return ended(Outcome::GaveUp, end);
        }
        Err(_) => {
            return ended(Outcome::GaveUp, End::middlebox("TLS with the proxy itself took too long"));
        }
    };
    recording.note(|record| record.notes.push("over TLS to the proxy".to_owned()));
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let client = Client::new(Carrier::Tls(Box::new(stream)));
    if !http2 {
        return Box::pin(http::serve(shared, client, recording)).await;
    }
    Box::pin(http2::serve(shared, client, recording)).await;
    None
}

/// The name by which the client knows the proxy; none where it names none or an address.
async fn server_name(client: &mut Client) -> Option<Option<Host>> {
    loop {
        match read_first_bytes(client.ahead()) {
            FirstBytes::Hello(hello) => return Some(hello.sni.and_then(|name| Host::parse(&name).ok())),
            FirstBytes::Incomplete => {}
            FirstBytes::NotTls | FirstBytes::Malformed(_) => return None,
        }
        if let Ok(0) | Err(_) = client.read_ahead().await {
            return None;
        }
    }
}
