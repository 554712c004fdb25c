//! Dialling: a destination becomes a connection, straight away or through a parent proxy.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::dialled::Link;
use super::{
    Destination, Dialled, Host, LOOP_HINT, Names, OpenedEnd, Overrides, OwnConnections, Parent, ParentFault,
    ParentKind, ParentTls, Way, through,
};

/// Opens connections to destinations: overrides first, then a parent proxy where one is chosen, then the system's
/// resolver. A destination with an override is where that says, and is reached directly.
#[derive(Clone, Debug)]
pub struct Dialer {
    overrides: Arc<Overrides>,
    names: Names,
    routes: Option<Arc<Routes>>,
    /// Ports of this program on this machine.
    own_ports: Arc<[u16]>,
    /// Where a redirect rule may bring connections back.
    own: Option<Arc<OwnConnections>>,
    timeout: Duration,
}

/// Which destinations go through which parent.
pub struct Routes {
    choose: Box<dyn Fn(&Destination) -> Way + Send + Sync>,
    tls: ParentTls,
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
    /// It is this program itself, to which nothing is connected.
    #[error("{0} is a port of this proxy itself")]
    OwnPort(Destination),
    /// A redirect rule brought the connection back to this program.
    #[error("the connection to {0} came back to this proxy: {LOOP_HINT}")]
    CameBack(Destination),
    /// The parent proxy that the destination goes through gives no connection to it.
    #[error("the parent {parent}, asked for {destination}, {fault}")]
    Parent {
        /// Which one.
        parent: Arc<Parent>,
        /// What it was asked for.
        destination: Destination,
        /// What came of it.
        fault: ParentFault,
    },
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
        Self { overrides, names: Names::system(), routes: None, own_ports: Arc::new([]), own: None, timeout }
    }

    /// Looks names up in another way.
    #[must_use]
    pub fn with_names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// Goes through parents.
    #[must_use]
    pub fn with_routes(mut self, routes: Routes) -> Self {
        self.routes = Some(Arc::new(routes));
        self
    }

    /// Never connects to these ports of this machine, be it as a destination or as a parent.
    #[must_use]
    pub fn avoiding(mut self, own_ports: impl IntoIterator<Item = u16>) -> Self {
        self.own_ports = own_ports.into_iter().collect();
        self
    }

    /// Notices connections that a redirect rule brings back to this program.
    #[must_use]
    pub fn noticing(mut self, own: Arc<OwnConnections>) -> Self {
        self.own = Some(own);
        self
    }

    /// How a destination is reached.
    #[must_use]
    pub fn way(&self, destination: &Destination) -> Way {
        match &self.routes {
            Some(routes) if self.overrides.lookup(destination).is_none() => (routes.choose)(destination),
            Some(_) | None => Way::Direct,
        }
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
                let addresses = self.names.resolve(name, destination.port).await;
                if addresses.is_empty() {
                    return Err(DialError::Resolve(destination.host.clone()));
                }
                Ok(interleave(addresses))
            }
        }
    }

    /// Opens a connection to a destination, in the way that is chosen for it.
    ///
    /// # Errors
    /// The last failure, what the parent said, or the time limit.
    pub async fn dial(&self, destination: &Destination) -> Result<Dialled, DialError> {
        match self.way(destination) {
            Way::Direct => self.direct(destination).await,
            Way::Parent(parent) => self.by_parent(parent, destination, false).await,
        }
    }

    /// Opens a connection for plain HTTP requests to a destination: where an HTTP parent is chosen, it takes them itself
    /// ([`Dialled::is_forwarding`]).
    ///
    /// # Errors
    /// As [`Dialer::dial`].
    pub async fn dial_for_requests(&self, destination: &Destination) -> Result<Dialled, DialError> {
        match self.way(destination) {
            Way::Direct => self.direct(destination).await,
            Way::Parent(parent) => {
                let forwarding = matches!(parent.kind(), ParentKind::Http | ParentKind::Https);
                self.by_parent(parent, destination, forwarding).await
            }
        }
    }

    /// Connects to the first address that answers (RFC 8305), with Nagle's algorithm off and whatever the routes say.
    ///
    /// # Errors
    /// The last failure, or the time limit.
    pub async fn connect(&self, destination: &Destination) -> Result<TcpStream, DialError> {
        self.tcp(destination).await.map(|(stream, ..)| stream)
    }

    async fn direct(&self, destination: &Destination) -> Result<Dialled, DialError> {
        self.tcp(destination).await.map(|(stream, peer, own)| Dialled::direct(stream, peer, own))
    }

    async fn tcp(&self, destination: &Destination) -> Result<(TcpStream, SocketAddr, Option<OpenedEnd>), DialError> {
        let deadline = Instant::now() + self.timeout;
        let attempt = async {
            let addresses = self.resolve(destination).await?;
            race(addresses).await.map_err(|error| match error.kind() {
                io::ErrorKind::ConnectionRefused => DialError::Refused(destination.clone()),
                _ => DialError::Unreachable(destination.clone(), error),
            })
        };
        let (stream, peer) = timeout_at(deadline, attempt)
            .await
            .map_err(|_| DialError::Timeout(destination.clone(), self.timeout))??;
        if self.own_ports.contains(&peer.port())
            && (peer.ip().is_loopback() || stream.local_addr().is_ok_and(|local| local.ip() == peer.ip()))
        {
            return Err(DialError::OwnPort(destination.clone()));
        }
        // Without it a small request waits for the peer's delayed acknowledgement, some 40 ms.
        let _ = stream.set_nodelay(true);
        let own = match (&self.own, stream.local_addr()) {
            (Some(own), Ok(local)) => Some(own.opened(local).ok_or_else(|| DialError::CameBack(destination.clone()))?),
            _ => None,
        };
        Ok((stream, peer, own))
    }

    /// Through a parent; the time limit of a dial counts for all of it.
    async fn by_parent(
        &self,
        parent: Arc<Parent>,
        destination: &Destination,
        forwarding: bool,
    ) -> Result<Dialled, DialError> {
        let deadline = Instant::now() + self.timeout;
        let opened = timeout_at(deadline, Box::pin(self.open_by_parent(&parent, destination, forwarding))).await;
        match opened.unwrap_or(Err(ParentFault::Timeout(self.timeout))) {
            Ok((link, own, peer, ahead)) => {
                Ok(Dialled::by_parent((link, own), peer, Way::Parent(parent), ahead, forwarding))
            }
            Err(fault) => Err(DialError::Parent { parent, destination: destination.clone(), fault }),
        }
    }

    async fn open_by_parent(
        &self,
        parent: &Parent,
        destination: &Destination,
        forwarding: bool,
    ) -> Result<(Link, Option<OpenedEnd>, SocketAddr, Bytes), ParentFault> {
        let reached = self.tcp(parent.at()).await;
        let (stream, peer, own) = reached.map_err(|error| ParentFault::Unreachable(Box::new(error)))?;
        let mut link = match (parent.kind(), &self.routes) {
            (ParentKind::Https, Some(routes)) => routes.tls.wrap(stream, parent).await?,
            _ => Link::Tcp(stream),
        };
        let ahead = if forwarding { Bytes::new() } else { through::ask(&mut link, parent, destination).await? };
        Ok((link, own, peer, ahead))
    }
}

impl Routes {
    /// Chooses by a function; parents over TLS are verified as `tls` says.
    pub fn new(choose: impl Fn(&Destination) -> Way + Send + Sync + 'static, tls: ParentTls) -> Self {
        Self { choose: Box::new(choose), tls }
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("tls", &self.tls).finish_non_exhaustive()
    }
}

async fn race(addresses: Vec<SocketAddr>) -> io::Result<(TcpStream, SocketAddr)> {
    let mut waiting = addresses.into_iter();
    let mut running = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    // The usual case of one address needs no task.
    if waiting.len() == 1 {
        return connect_to(waiting.next().expect("one address")).await;
    }
    loop {
        if let Some(address) = waiting.next() {
            running.spawn(connect_to(address));
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

async fn connect_to(address: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
    TcpStream::connect(address).await.map(|stream| (stream, address))
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
    async fn own_ports_are_no_destination_and_no_parent() {
        let own = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = own.local_addr().unwrap();
        let dialer = Dialer::new(Arc::default(), Duration::from_secs(10)).avoiding([at.port()]);
        let error = dialer.dial(&at.to_string().parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, DialError::OwnPort(_)), "{error}");
        let parent = Way::Parent(Arc::new(format!("http://{at}").parse().unwrap()));
        let tls = ParentTls::new(rustls::RootCertStore::empty(), false, None);
        let dialer = dialer.with_routes(Routes::new(move |_| parent.clone(), tls));
        let error = dialer.dial(&"a.example:443".parse().unwrap()).await.unwrap_err().to_string();
        let told =
            format!("the parent http://{at}, asked for a.example:443, cannot be reached: {at} is a port of this");
        assert!(error.starts_with(&told), "{error}");
    }

    #[tokio::test]
    async fn a_dead_first_address_does_not_hide_the_second() {
        let live = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (live_at, dead_at) = (live.local_addr().unwrap(), dead.local_addr().unwrap());
        drop(dead);
        let mut overrides = Overrides::new();
        overrides.insert(super::super::ResolveEntry {
            hosts: super::super::ResolveHosts::Any,
            port: 443,
            addresses: vec![dead_at, live_at],
        });
        let dialer = Dialer::new(overrides.into(), Duration::from_secs(10));
        let stream = dialer.dial(&"a.example:443".parse().unwrap()).await.unwrap();
        assert_eq!((stream.peer(), stream.by()), (live_at, &Way::Direct));
    }
}
