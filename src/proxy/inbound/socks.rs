//! SOCKS 5 (RFC 1928, with the user names of RFC 1929), SOCKS 4 and 4a, `CONNECT` only.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::{REQUEST, Tunnel, read_more};
use crate::journal::{End, Outcome, Pen, Recording, Told, Via};
use crate::net::{Destination, Host};
use crate::proxy::client::Client;
use crate::proxy::{Shared, connection};

/// How the request of a SOCKS client ended instead of becoming a destination.
enum Refusal {
    /// The client left.
    Ended(Outcome, End),
    /// It was told this, for this reason: it asks for what cannot be had.
    Malformed(Vec<u8>, String),
    /// It was told this, for this reason: it may not.
    Denied(Vec<u8>, String),
}

type Read<T> = Result<T, Refusal>;

/// Reads the parts of a request as they come.
struct Reader<'a> {
    client: &'a mut Client,
    pen: &'a Pen,
    deadline: Instant,
}

impl Reader<'_> {
    /// Reads more. Who leaves now has said something already: at the least, the version.
    async fn more(&mut self) -> Read<()> {
        read_more(self.client, self.pen, self.deadline).await.map_err(|stopped| match stopped.ended() {
            (_, end) if end.by == "client" => Refusal::Ended(Outcome::GaveUp, end),
            (outcome, end) => Refusal::Ended(outcome, end),
        })
    }

    async fn bytes(&mut self, count: usize) -> Read<Vec<u8>> {
        while self.client.ahead().len() < count {
            self.more().await?;
        }
        Ok(self.client.take(count))
    }

    async fn byte(&mut self) -> Read<u8> {
        Ok(self.bytes(1).await?[0])
    }

    async fn port(&mut self) -> Read<u16> {
        let bytes = self.bytes(2).await?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A string with its length in front.
    async fn counted(&mut self) -> Read<Vec<u8>> {
        let length = self.byte().await?;
        self.bytes(length.into()).await
    }

    /// A string with a NUL behind it.
    async fn terminated(&mut self) -> Read<Vec<u8>> {
        loop {
            if let Some(end) = self.client.ahead().iter().position(|byte| *byte == 0) {
                let mut text = self.client.take(end + 1);
                text.pop();
                return Ok(text);
            }
            if self.client.ahead().len() > 512 {
                return Err(Refusal::Malformed(reply4(91), "a name without an end".to_owned()));
            }
            self.more().await?;
        }
    }
}

async fn say(client: &mut Client, bytes: &[u8]) -> std::io::Result<()> {
    client.write_all(bytes).await?;
    client.flush().await
}

async fn refused(mut client: Client, recording: &Recording, refusal: Refusal) {
    let (outcome, bytes, why) = match refusal {
        Refusal::Ended(outcome, end) => return recording.finish(outcome, end),
        Refusal::Malformed(bytes, why) => (Outcome::Failed, bytes, why),
        Refusal::Denied(bytes, why) => (Outcome::Blocked, bytes, why),
    };
    recording.note(|record| record.told = Some(Told::Close));
    let _ = say(&mut client, &bytes).await;
    recording.finish(outcome, End::middlebox(why));
    client.linger().await;
}

async fn go_on(
    shared: &Arc<Shared>,
    mut client: Client,
    recording: Recording,
    via: Via,
    (destination, typed): (Destination, String),
    granted: Vec<u8>,
    denied: Vec<u8>,
) -> Option<Tunnel> {
    let inbound = connection::arrive(&recording, via, destination, Some(typed));
    if let Err(answer) = connection::admit(shared, &recording, &inbound) {
        refused(client, &recording, Refusal::Denied(denied, answer.detail)).await;
        return None;
    }
    if let Err(error) = say(&mut client, &granted).await {
        recording.finish(Outcome::GaveUp, End::client(error.to_string()));
        return None;
    }
    Some(Tunnel::new(client, recording, inbound))
}

// ---- SOCKS 5 --------------------------------------------------------------------------------------------------------

/// None of the methods that the client offers will do (RFC 1928, 3).
pub(super) const NO_METHOD5: [u8; 2] = [5, 0xff];

const NO_AUTHENTICATION: u8 = 0;
const USER_NAME: u8 = 2;

/// Serves one SOCKS 5 connection.
pub(super) async fn serve5(shared: &Arc<Shared>, mut client: Client, recording: Recording) -> Option<Tunnel> {
    recording.note(|record| record.via = Some(Via::Socks5));
    let deadline = Instant::now() + REQUEST;
    match request5(shared, Reader { client: &mut client, pen: &recording, deadline }).await {
        Ok(target) => {
            let (granted, denied) = (reply5(0), reply5(2));
            go_on(shared, client, recording, Via::Socks5, target, granted, denied).await
        }
        Err(refusal) => {
            refused(client, &recording, refusal).await;
            None
        }
    }
}

async fn request5(shared: &Shared, mut reader: Reader<'_>) -> Read<(Destination, String)> {
    reader.byte().await?;
    let methods = reader.counted().await?;
    let wanted = match shared.config.credentials {
        Some(_) => USER_NAME,
        None => NO_AUTHENTICATION,
    };
    // A client that only knows user names is let in with any where none is asked for.
    let method = match methods.contains(&wanted) {
        true => wanted,
        false if wanted == NO_AUTHENTICATION && methods.contains(&USER_NAME) => USER_NAME,
        false => {
            let why = "the client offers no way to say who it is that this proxy takes";
            return Err(Refusal::Denied(NO_METHOD5.to_vec(), why.to_owned()));
        }
    };
    let ended = |error: std::io::Error| Refusal::Ended(Outcome::GaveUp, End::client(error.to_string()));
    say(reader.client, &[5, method]).await.map_err(ended)?;
    if method == USER_NAME {
        reader.byte().await?;
        let user = reader.counted().await?;
        let password = reader.counted().await?;
        let (user, password) = (String::from_utf8_lossy(&user), String::from_utf8_lossy(&password));
        let right = match &shared.config.credentials {
            Some(credentials) => credentials.is_right(&user, &password).await,
            None => true,
        };
        if !right {
            return Err(Refusal::Denied(vec![1, 1], "the user name or the password is wrong".to_owned()));
        }
        say(reader.client, &[1, 0]).await.map_err(ended)?;
    }
    let head = reader.bytes(3).await?;
    let target = address5(&mut reader).await?;
    if head[0] != 5 {
        return Err(Refusal::Malformed(reply5(1), "the request is not SOCKS 5".to_owned()));
    }
    if head[1] != 1 {
        return Err(Refusal::Malformed(reply5(7), "only CONNECT is served, neither BIND nor UDP".to_owned()));
    }
    Ok(target)
}

async fn address5(reader: &mut Reader<'_>) -> Read<(Destination, String)> {
    let (host, typed) = match reader.byte().await? {
        1 => {
            let octets = reader.bytes(4).await?;
            let ip = IpAddr::from(<[u8; 4]>::try_from(octets.as_slice()).expect("four bytes"));
            (Host::Ip(ip), ip.to_string())
        }
        3 => {
            let name = reader.counted().await?;
            let typed = String::from_utf8_lossy(&name).into_owned();
            let host = Host::parse(&typed).map_err(|error| Refusal::Malformed(reply5(8), error.to_string()))?;
            (host, typed)
        }
        4 => {
            let octets = reader.bytes(16).await?;
            let ip = IpAddr::from(<[u8; 16]>::try_from(octets.as_slice()).expect("sixteen bytes"));
            (Host::Ip(ip), ip.to_string())
        }
        _ => return Err(Refusal::Malformed(reply5(8), "the address is of an unknown type".to_owned())),
    };
    let port = reader.port().await?;
    if port == 0 {
        return Err(Refusal::Malformed(reply5(1), "port 0 cannot be connected to".to_owned()));
    }
    Ok((Destination::new(host, port), typed))
}

/// A reply without a bound address: the origin is not connected to yet, and no client asks.
fn reply5(code: u8) -> Vec<u8> {
    let mut reply = vec![5, code, 0, 1];
    reply.extend_from_slice(&Ipv4Addr::UNSPECIFIED.octets());
    reply.extend_from_slice(&[0, 0]);
    reply
}

// ---- SOCKS 4 and 4a -------------------------------------------------------------------------------------------------

/// Serves one SOCKS 4 or 4a connection.
pub(super) async fn serve4(shared: &Arc<Shared>, mut client: Client, recording: Recording) -> Option<Tunnel> {
    recording.note(|record| record.via = Some(Via::Socks4));
    let deadline = Instant::now() + REQUEST;
    match request4(shared, Reader { client: &mut client, pen: &recording, deadline }).await {
        Ok(target) => go_on(shared, client, recording, Via::Socks4, target, reply4(90), reply4(91)).await,
        Err(refusal) => {
            refused(client, &recording, refusal).await;
            None
        }
    }
}

async fn request4(shared: &Shared, mut reader: Reader<'_>) -> Read<(Destination, String)> {
    let head = reader.bytes(2).await?;
    let port = reader.port().await?;
    let octets: [u8; 4] = reader.bytes(4).await?.try_into().expect("four bytes");
    reader.terminated().await?;
    // 4a: an address of the form 0.0.0.x says that a name follows.
    let (host, typed) = match octets {
        [0, 0, 0, 1..=255] => {
            let name = reader.terminated().await?;
            let typed = String::from_utf8_lossy(&name).into_owned();
            let host = Host::parse(&typed).map_err(|error| Refusal::Malformed(reply4(91), error.to_string()))?;
            (host, typed)
        }
        octets => (Host::Ip(octets.into()), IpAddr::from(octets).to_string()),
    };
    if shared.config.credentials.is_some() {
        return Err(Refusal::Denied(reply4(93), "SOCKS 4 knows no passwords, and this proxy asks for one".to_owned()));
    }
    if head[1] != 1 || port == 0 {
        return Err(Refusal::Malformed(reply4(91), "only CONNECT is served, with a port".to_owned()));
    }
    Ok((Destination::new(host, port), typed))
}

/// The request is refused.
pub(super) const DENIED4: [u8; 8] = [0, 91, 0, 0, 0, 0, 0, 0];

fn reply4(code: u8) -> Vec<u8> {
    vec![0, code, 0, 0, 0, 0, 0, 0]
}
