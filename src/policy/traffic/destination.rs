//! Where one line of a log leads to, borrowed from the line.

/// A host with its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Destination<'l> {
    /// The host, without the brackets of an IPv6 address.
    pub(super) host: &'l [u8],
    pub(super) port: u16,
}

/// The target of a request: `host:port` of a CONNECT, or a URL.
pub(super) fn of_target(target: &[u8]) -> Option<Destination<'_>> {
    match memchr::memmem::find(target, b"://") {
        Some(at) => {
            let usual = match &target[..at] {
                b"https" | b"HTTPS" | b"wss" => 443,
                b"http" | b"HTTP" | b"ws" => 80,
                b"ftp" => 21,
                _ => return None,
            };
            of_authority(&target[at + 3..], usual)
        }
        None => of_authority(target, 443),
    }
}

fn of_authority(text: &[u8], usual: u16) -> Option<Destination<'_>> {
    let end = text.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(text.len());
    let authority = &text[..end];
    let authority = memchr::memrchr(b'@', authority).map_or(authority, |at| &authority[at + 1..]);
    if let Some(inner) = authority.strip_prefix(b"[") {
        let close = memchr::memchr(b']', inner)?;
        let port = match &inner[close + 1..] {
            b"" => usual,
            rest => number(rest.strip_prefix(b":")?)?,
        };
        return Some(Destination { host: &inner[..close], port }).filter(|found| is_address(found.host));
    }
    let (host, port) = match memchr::memchr(b':', authority) {
        // An address of IPv6 without brackets has no port behind it.
        Some(at) if memchr::memchr(b':', &authority[at + 1..]).is_some() => {
            return Some(Destination { host: authority, port: usual }).filter(|found| is_address(found.host));
        }
        Some(at) => (&authority[..at], number(&authority[at + 1..])?),
        None => (authority, usual),
    };
    is_name(host).then_some(Destination { host, port })
}

fn number(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    let mut port: u32 = 0;
    for digit in digits {
        port = port * 10 + u32::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    u16::try_from(port).ok().filter(|port| *port != 0)
}

fn is_address(text: &[u8]) -> bool {
    text.len() >= 2 && text.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
}

/// Whether it can be a host: letters of any script, digits, `-`, `_` and dots, and not nothing but signs.
fn is_name(text: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') || !byte.is_ascii();
    (1..=1000).contains(&text.len()) && text.iter().all(fits) && text.iter().any(u8::is_ascii_alphanumeric)
}
