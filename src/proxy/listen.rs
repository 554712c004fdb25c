//! Accepting connections: one task and one span each, within the limits.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tracing::{Instrument, debug, debug_span, warn};

use super::client::Client;
use super::inbound::Tunnel;
use super::respond::Answer;
use super::{Shared, connection, inbound};
use crate::journal::{End, Outcome, Recording, Told, Via};
use crate::net::Destination;

/// What connections to a port are.
#[derive(Clone, Debug)]
pub(super) enum Port {
    /// Questions to a proxy.
    Proxy,
    /// Connections that the kernel redirected to this address.
    Transparent(SocketAddr),
    /// Connections that all go to one place.
    Forward(Destination),
}

/// Accepts until it is told to stop. An error of one accept (most often: too many open files) ends nothing.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener, port: Port) {
    let mut pause = Duration::from_millis(10);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = Duration::from_millis(10);
                let recording = shared.journal.open(peer);
                let span = debug_span!("connection", id = recording.live().id(), client = %peer);
                let task = welcome(Arc::clone(&shared), stream, port.clone(), recording).instrument(span);
                shared.tasks.spawn(task);
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}

async fn welcome(shared: Arc<Shared>, stream: TcpStream, port: Port, recording: Recording) {
    let _ = stream.set_nodelay(true);
    let client = recording.note(|record| record.client.address.ip());
    let refused = if !may_use(&shared, client) {
        Some(Answer::client_not_allowed(&client.to_string()))
    } else if shared.journal.open_count() > shared.config.max_connections {
        Some(Answer::too_many())
    } else {
        None
    };
    let tunnel = match (refused, port) {
        (Some(answer), Port::Proxy) => {
            debug!(detail = answer.detail, "turned away");
            Box::pin(inbound::turn_away(Client::tcp(stream), &recording, &answer)).await;
            None
        }
        // Who knows no proxy cannot be told why.
        (Some(answer), Port::Transparent(_) | Port::Forward(_)) => {
            recording.note(|record| record.told = Some(Told::Reset));
            recording.finish(Outcome::Blocked, End::middlebox(answer.detail));
            Client::tcp(stream).reset();
            None
        }
        // In boxes of their own, the stages before the tunnel give their memory back when it begins.
        (None, Port::Proxy) => Box::pin(inbound::serve(&shared, Client::tcp(stream), recording)).await,
        (None, Port::Transparent(here)) => inbound::serve_transparent(&shared, stream, recording, here),
        (None, Port::Forward(destination)) => {
            // An address is what a transparent port sees, too: nobody named a host.
            let typed = destination.host.name().map(ToOwned::to_owned);
            let arrived = connection::arrive(&recording, Via::Forward, destination, typed);
            Some(Tunnel::new(Client::tcp(stream), recording, arrived))
        }
    };
    if let Some(tunnel) = tunnel {
        connection::carry(&shared, tunnel).await;
    }
}

fn may_use(shared: &Shared, client: IpAddr) -> bool {
    let allowed = &shared.config.allow_clients;
    let client = client.to_canonical();
    allowed.is_empty() || client.is_loopback() || allowed.iter().any(|network| network.contains(&client))
}
