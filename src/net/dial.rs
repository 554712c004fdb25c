//! Dialling: a destination becomes a TCP connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::{Destination, Host, Overrides};

/// Opens TCP connections to destinations: overrides first, then the system's resolver.
#[derive(Clone, Debug)]
pub struct Dialer {
    overrides: Arc<Overrides>,
    timeout: Duration,
}

/// Why a destination could not be reached.
#[derive(Debug, Error)]
pub enum DialError {
    /// The name has no address.
    #[error("the name {0} could not be resolved")]
    Resolve(Host),
    /// Nothing listens there.
    #[error("{0} refused the connection")]
    Refused(Destination),
    /// No answer within the time limit.
    #[error("{0} did not answer within {1:?}")]
    Timeout(Destination, Duration),
    /// Anything else of the network.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(Destination, io::Error),
}

/// How long one address may stay silent before the next is tried beside it (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

impl Dialer {
    /// A dialer with its overrides and the time limit of one dial, look-up included.
    #[must_use]
    pub fn new(overrides: Arc<Overrides>, timeout: Duration) -> Self {
        Self { overrides, timeout }
    }

    /// The addresses of a destination, in the order in which they are tried.
    ///
    /// # Errors
    /// The name has none.
    pub async fn resolve(&self, destination: &Destination) -> Result<Vec<SocketAddr>, DialError> {
        if let Some(addresses) = self.overrides.lookup(destination) {
            return Ok(addresses.to_vec());
        }
        match &destination.host {
            Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, destination.port)]),
            Host::Name(name) => {
                let found = tokio::net::lookup_host((&**name, destination.port)).await;
                let addresses: Vec<_> = found.map(Iterator::collect).unwrap_or_default();
                if addresses.is_empty() {
                    return Err(DialError::Resolve(destination.host.clone()));
                }
                Ok(interleave(addresses))
            }
        }
    }

    /// Connects to the first address that answers (RFC 8305), with Nagle's algorithm off.
    ///
    /// # Errors
    /// The last failure, or the time limit.
    pub async fn dial(&self, destination: &Destination) -> Result<TcpStream, DialError> {
        let deadline = Instant::now() + self.timeout;
        let attempt = async {
            let addresses = self.resolve(destination).await?;
            race(addresses).await.map_err(|error| match error.kind() {
                io::ErrorKind::ConnectionRefused => DialError::Refused(destination.clone()),
                _ => DialError::Unreachable(destination.clone(), error),
            })
        };
        let stream = timeout_at(deadline, attempt)
            .await
            .map_err(|_| DialError::Timeout(destination.clone(), self.timeout))??;
        // Without it a small request waits for the peer's delayed acknowledgement, some 40 ms.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut running = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    // The usual case of one address needs no task.
    if waiting.len() == 1 {
        return TcpStream::connect(waiting.next().expect("one address")).await;
    }
    loop {
        if let Some(address) = waiting.next() {
            running.spawn(TcpStream::connect(address));
        } else if running.is_empty() {
            return Err(last);
        }
        let more = waiting.len() > 0;
        let joined = tokio::select! {
            joined = running.join_next() => joined,
            () = tokio::time::sleep(ATTEMPT_DELAY), if more => continue,
        };
        match joined {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => last = error,
            Some(Err(_)) | None => {}
        }
    }
}

/// IPv6 and IPv4 in turn, beginning with the resolver's first (RFC 8305, section 4).
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    first.reverse();
    second.reverse();
    let mut mixed = Vec::with_capacity(first.len() + second.len());
    while !first.is_empty() || !second.is_empty() {
        mixed.extend(first.pop());
        mixed.extend(second.pop());
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = interleave(parse(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1"]));
        assert_eq!(mixed, parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
    }

    #[tokio::test]
    async fn a_dead_first_address_does_not_hide_the_second() {
        let live = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (live_at, dead_at) = (live.local_addr().unwrap(), dead.local_addr().unwrap());
        drop(dead);
        let mut overrides = Overrides::new();
        overrides.insert(super::super::ResolveEntry { host: None, port: 443, addresses: vec![dead_at, live_at] });
        let dialer = Dialer::new(overrides.into(), Duration::from_secs(10));
        let stream = dialer.dial(&"a.example:443".parse().unwrap()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live_at);
    }
}
