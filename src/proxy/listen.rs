//! Accepting connections: one task and one span each, within the limits.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tracing::{Instrument, debug, debug_span, warn};

use super::Shared;
use super::connection;
use super::respond::Answer;
use crate::journal::{End, Outcome, Recording, Told};

/// Accepts until it is told to stop. An error of one accept (most often: too many open files) ends nothing.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener) {
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
                let task = welcome(Arc::clone(&shared), stream, recording).instrument(span);
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

async fn welcome(shared: Arc<Shared>, stream: TcpStream, recording: Recording) {
    let _ = stream.set_nodelay(true);
    let client = recording.note(|record| record.client.address.ip());
    let refused = if !may_use(&shared, client) {
        Some(Answer::client_not_allowed(&client.to_string()))
    } else if shared.journal.open_count() > shared.config.max_connections {
        Some(Answer::too_many())
    } else {
        None
    };
    match refused {
        Some(answer) => turn_away(stream, &recording, &answer).await,
        None => connection::serve(&shared, stream, recording).await,
    }
}

fn may_use(shared: &Shared, client: IpAddr) -> bool {
    let allowed = &shared.config.allow_clients;
    let client = client.to_canonical();
    allowed.is_empty() || client.is_loopback() || allowed.iter().any(|network| network.contains(&client))
}

async fn turn_away(mut stream: TcpStream, recording: &Recording, answer: &Answer) {
    debug!(detail = answer.detail, "turned away");
    let written = stream.write_all(&answer.to_http1()).await;
    recording.note(|record| record.told = Some(Told::Status(answer.status.as_u16())));
    let how = if written.is_ok() { answer.detail.clone() } else { format!("{} (unheard)", answer.detail) };
    recording.finish(Outcome::Blocked, End::middlebox(how));
    connection::linger(stream).await;
}
