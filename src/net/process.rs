//! Which process of this machine holds the other end of a connection (Linux: `/proc/net/tcp` and `/proc/PID/fd`, see
//! proc(5)). Elsewhere, and for processes of other users, nobody is found.

use std::collections::HashMap;
use std::net::SocketAddr;

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its number.
    pub pid: u32,
    /// Its program file.
    pub program: String,
}

/// The owners of the sockets that are bound to these addresses and connected to one of these ports, as far as they can
/// be found. It goes through all processes, once for all sockets; that takes milliseconds.
#[must_use]
pub fn owners(sockets: &[SocketAddr], ports: &[u16]) -> HashMap<SocketAddr, Owner> {
    #[cfg(target_os = "linux")]
    return linux::owners(sockets, ports);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (sockets, ports);
        HashMap::new()
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

    use super::Owner;

    pub(super) fn owners(sockets: &[SocketAddr], ports: &[u16]) -> HashMap<SocketAddr, Owner> {
        let mut wanted = HashMap::new();
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            if wanted.len() == sockets.len() {
                break;
            }
            let Ok(table) = fs::File::open(table) else { continue };
            // Line by line: the table lists every connection of the machine.
            let rows = BufReader::new(table).lines().skip(1).map_while(Result::ok).filter_map(|line| row(&line));
            wanted.extend(rows.filter_map(|(local, remote, inode)| {
                let socket = sockets.iter().find(|socket| canonical(**socket) == local)?;
                ports.contains(&remote.port()).then_some((inode, *socket))
            }));
        }
        let mut found = HashMap::new();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        // A client is most likely among the newest.
        let mut numbers: Vec<_> = numbers.collect();
        numbers.sort_unstable_by(|one, other| other.cmp(one));
        for pid in numbers {
            if wanted.is_empty() {
                break;
            }
            for descriptor in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
                let Ok(target) = fs::read_link(descriptor.path()) else { continue };
                let inode = target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'));
                let Some(socket) = inode.and_then(|inode| wanted.remove(&inode.parse::<u64>().ok()?)) else { continue };
                let Ok(program) = fs::read_link(format!("/proc/{pid}/exe")) else { continue };
                found.insert(socket, Owner { pid, program: program.to_string_lossy().into_owned() });
            }
        }
        found
    }

    /// Local address, remote address and inode of one line.
    fn row(line: &str) -> Option<(SocketAddr, SocketAddr, u64)> {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
        Some((local, remote, fields.nth(6)?.parse().ok()?))
    }

    /// `0100007F:1F90`: words of 32 bits in the machine's order, the port as it is read.
    fn address(text: &str) -> Option<SocketAddr> {
        let (ip, port) = text.split_once(':')?;
        let words = ip.as_bytes().chunks(8).map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok());
        let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
        let ip = match bytes.len() {
            4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
            16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
            _ => return None,
        };
        Some(canonical(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?)))
    }

    fn canonical(address: SocketAddr) -> SocketAddr {
        SocketAddr::new(address.ip().to_canonical(), address.port())
    }

    #[cfg(test)]
    mod tests {
        use std::net::{TcpListener, TcpStream};

        use super::*;

        #[test]
        fn this_process_is_found_at_the_other_end_of_its_own_connection() {
            for here in ["127.0.0.1:0", "[::1]:0"] {
                let Ok(listener) = TcpListener::bind(here) else { continue };
                let to = listener.local_addr().unwrap();
                let stream = TcpStream::connect(to).unwrap();
                let from = stream.local_addr().unwrap();
                let stranger = SocketAddr::new(from.ip(), 1);
                let found = owners(&[stranger, from], &[to.port()]);
                assert_eq!(found.len(), 1);
                assert_eq!(found[&from].pid, std::process::id());
                assert_eq!(found[&from].program, std::env::current_exe().unwrap().display().to_string());
                assert!(owners(&[from], &[1]).is_empty(), "a connection to another port");
            }
        }
    }
}
