//! Ports for clients that know no proxy: transparent ones, whose connections were redirected here by the kernel
//! (Linux `REDIRECT` or `TPROXY`), and forwarded ones, which all lead to one place.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::Tunnel;
use crate::journal::{End, Outcome, Recording, Told, Via};
use crate::net::{Destination, Host, LOOP_HINT};
use crate::proxy::client::Client;
use crate::proxy::{Shared, connection};

/// Listens for redirected connections. Where the kernel lets us (`CAP_NET_ADMIN`), also for those of `TPROXY`.
///
/// # Errors
/// The address cannot be listened on.
pub(in crate::proxy) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    {
        // Without the right to it, REDIRECT still works.
        let _ = if address.is_ipv4() { socket.set_ip_transparent_v4(true) } else { socket.set_ip_transparent_v6(true) };
    }
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Where a redirected connection was going.
fn original_destination(stream: &TcpStream) -> io::Result<SocketAddr> {
    let local = stream.local_addr()?;
    #[cfg(target_os = "linux")]
    {
        let socket = SockRef::from(stream);
        // A socket for both families has IPv4's connections under mapped addresses, but IPv4's table knows them.
        let is_ipv4 = local.ip().to_canonical().is_ipv4();
        let redirected = if is_ipv4 { socket.original_dst_v4() } else { socket.original_dst_v6() };
        if let Some(address) = redirected.ok().and_then(|address| address.as_socket())
            && address != local
        {
            return Ok(address);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = SockRef::from(stream);
    // With TPROXY the connection keeps its destination as our own address.
    Ok(local)
}

/// Takes one redirected connection.
pub(in crate::proxy) fn serve(
    shared: &Shared,
    stream: TcpStream,
    recording: Recording,
    here: SocketAddr,
) -> Option<Tunnel> {
    let peer = recording.note(|record| record.client.address);
    let end = match shared.own.as_ref().map(|own| own.accepted(peer)) {
        Some(None) => {
            recording.note(|record| record.told = Some(Told::Reset));
            let end = format!("a redirect rule brought the proxy's own connection back to it: {LOOP_HINT}");
            recording.finish(Outcome::Blocked, End::middlebox(end));
            Client::tcp(stream).reset();
            return None;
        }
        end => end.flatten(),
    };
    let to = match original_destination(&stream) {
        Ok(to) if to.port() != here.port() || (!here.ip().is_unspecified() && to.ip() != here.ip()) => to,
        Ok(_) => {
            recording.note(|record| record.told = Some(Told::Reset));
            let end = End::middlebox("nothing redirected this connection: it asks for the transparent port itself");
            recording.finish(Outcome::Blocked, end);
            Client::tcp(stream).reset();
            return None;
        }
        Err(error) => {
            recording.finish(Outcome::Failed, End::middlebox(error.to_string()));
            return None;
        }
    };
    let destination = Destination::new(Host::Ip(to.ip().to_canonical()), to.port());
    let inbound = connection::arrive(&recording, Via::Transparent, destination, None);
    Some(Tunnel { client: Client::tcp(stream), recording, inbound, end })
}
