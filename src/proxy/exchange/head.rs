//! HTTP/1.1 heads (RFC 9112, sections 2 to 6): scanned strictly, kept byte for byte.
//!
//! What two parties could read differently is refused instead of passed on: bare line feeds, folded lines, white space
//! before a colon, control characters, conflicting lengths, transfer codings other than one final `chunked`.

use std::ops::Range;

use memchr::{memchr, memchr2};
use thiserror::Error;

/// The largest head that is read, request line included.
pub(crate) const MAX_HEAD: usize = 64 << 10;

/// The most header fields that a head may have.
const MAX_FIELDS: usize = 256;

/// Why a head is refused; in words for the client.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum HeadError {
    #[error("the head is over 64 KiB")]
    TooLarge,
    #[error("the head has more than 256 header fields")]
    TooManyFields,
    #[error("a line ends with a bare line feed, or holds a bare carriage return")]
    BareLine,
    #[error("a header line is folded (obs-fold)")]
    Folded,
    #[error("a header line has no valid name before its colon")]
    Name,
    #[error("a header value holds a control character")]
    Value,
    #[error("the first line is not of HTTP/1.1 or HTTP/1.0")]
    FirstLine,
    #[error("Content-Length is not one plain number")]
    ContentLength,
    #[error("Transfer-Encoding is not `chunked` alone")]
    TransferEncoding,
    #[error("both Content-Length and Transfer-Encoding are given")]
    BothLengths,
    #[error("the Host header is missing, doubled, or not a host")]
    Host,
}

/// The version in a first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
}

/// How long a body is (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Empty,
    Exact(u64),
    Chunked,
    /// Until the connection ends; answers only.
    ToEnd,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: Range<usize>,
    value: Range<usize>,
    /// The whole line with its CRLF.
    line: Range<usize>,
}

/// The head of a request or an answer, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    first_line: Range<usize>,
    fields: Vec<Field>,
}

/// A request's head.
#[derive(Clone, Debug)]
pub(crate) struct RequestHead {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) length: Length,
    head: Head,
}

/// An answer's head.
#[derive(Clone, Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) version: Version,
    head: Head,
}

/// Where the head ends in `buffer`: behind the empty line. `None` while it is incomplete.
pub(crate) fn find_end(buffer: &[u8]) -> Result<Option<usize>, HeadError> {
    let mut from = 0;
    while let Some(at) = memchr(b'\n', &buffer[from..]).map(|at| at + from) {
        if at == 0 || buffer[at - 1] != b'\r' {
            return Err(HeadError::BareLine);
        }
        if at >= 3 && buffer[at - 2] == b'\n' {
            return if at < MAX_HEAD { Ok(Some(at + 1)) } else { Err(HeadError::TooLarge) };
        }
        from = at + 1;
    }
    if buffer.len() >= MAX_HEAD { Err(HeadError::TooLarge) } else { Ok(None) }
}

/// Empty lines before a request line are passed over (RFC 9112, 2.2): how many bytes of them there are.
pub(crate) fn leading_empty_lines(buffer: &[u8]) -> usize {
    let mut at = 0;
    while buffer[at..].starts_with(b"\r\n") {
        at += 2;
    }
    at
}

impl Head {
    /// Takes a whole head, empty line included.
    fn parse(bytes: Vec<u8>) -> Result<Self, HeadError> {
        let first_end = line_end(&bytes, 0)?;
        let mut head = Self { first_line: 0..first_end, fields: Vec::with_capacity(16), bytes };
        let mut at = first_end + 2;
        loop {
            let end = line_end(&head.bytes, at)?;
            if end == at {
                return Ok(head);
            }
            if head.fields.len() == MAX_FIELDS {
                return Err(HeadError::TooManyFields);
            }
            let line = &head.bytes[at..end];
            if matches!(line[0], b' ' | b'\t') {
                return Err(HeadError::Folded);
            }
            let colon = memchr(b':', line).ok_or(HeadError::Name)?;
            if colon == 0 || !line[..colon].iter().all(|byte| is_token(*byte)) {
                return Err(HeadError::Name);
            }
            let value = trim(line, colon + 1);
            // All of them are looked at, without a branch for each: that takes many at once.
            let control = |byte: u8| matches!(byte, 0..=8 | 10..=31 | 127);
            if line[value.clone()].iter().fold(false, |found, byte| found | control(*byte)) {
                return Err(HeadError::Value);
            }
            head.fields.push(Field {
                name: at..at + colon,
                value: at + value.start..at + value.end,
                line: at..end + 2,
            });
            at = end + 2;
        }
    }

    fn first_line(&self) -> &str {
        // Checked to be ASCII where it is taken apart.
        std::str::from_utf8(&self.bytes[self.first_line.clone()]).unwrap_or_default()
    }

    fn name(&self, field: &Field) -> &[u8] {
        &self.bytes[field.name.clone()]
    }

    /// The values of a field, in order.
    pub(crate) fn values<'a, 'n: 'a>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |field| self.name(field).eq_ignore_ascii_case(name.as_bytes()))
            .map(|field| &self.bytes[field.value.clone()])
    }

    /// The first value of a field as text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|field| self.name(field).eq_ignore_ascii_case(name.as_bytes()))?;
        std::str::from_utf8(&self.bytes[field.value.clone()]).ok()
    }

    /// The members of a comma-separated field.
    fn members<'a, 'n: 'a>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> {
        let members = self.values(name).flat_map(|value| value.split(|byte| *byte == b','));
        members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
    }

    fn has_member(&self, name: &str, member: &str) -> bool {
        self.members(name).any(|other| other.eq_ignore_ascii_case(member.as_bytes()))
    }

    fn length(&self) -> Result<Option<Length>, HeadError> {
        let mut codings = self.values("transfer-encoding");
        let mut lengths = self.values("content-length");
        match (codings.next(), lengths.next()) {
            (Some(_), Some(_)) => Err(HeadError::BothLengths),
            (Some(coding), None) if codings.next().is_none() && coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Some(Length::Chunked))
            }
            (Some(_), None) => Err(HeadError::TransferEncoding),
            (None, Some(length)) => {
                let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
                let number = std::str::from_utf8(length).ok().filter(|_| digits).and_then(|text| text.parse().ok());
                match (number, lengths.next()) {
                    (Some(0), None) => Ok(Some(Length::Empty)),
                    (Some(number), None) => Ok(Some(Length::Exact(number))),
                    _ => Err(HeadError::ContentLength),
                }
            }
            (None, None) => Ok(None),
        }
    }

    /// Writes the header lines as they came, without the hop-by-hop ones (RFC 9110, 7.6.1): those that `Connection`
    /// names, and `Proxy-*`. What the next hop has to know of the connection stands where `Connection` stood.
    fn write_fields(&self, out: &mut Vec<u8>, keep_upgrade: bool, keep_te: bool, closes: bool, extra_drop: &[&str]) {
        let is_named = |name: &str| self.has_member("connection", name);
        let upgrade = keep_upgrade && is_named("upgrade");
        let te = keep_te && self.has_member("te", "trailers");
        let keep_alive = !closes && is_named("keep-alive");
        // Fields that carry the message itself cannot be dropped by naming them.
        let carries = |name: &[u8]| {
            let carrying = ["host", "content-length", "transfer-encoding", "trailer"];
            carrying.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
        };
        let named: Vec<&[u8]> = self.members("connection").filter(|name| !carries(name)).collect();
        let mut connection = Vec::new();
        if closes {
            connection.push("close");
        }
        if keep_alive {
            connection.push("keep-alive");
        }
        if upgrade {
            connection.push("Upgrade");
        }
        if te {
            connection.push("TE");
        }
        let mut connection_written = connection.is_empty();
        for field in &self.fields {
            let name = self.name(field);
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            if is("connection") {
                if !connection_written {
                    connection_written = true;
                    out.extend_from_slice(name);
                    out.extend_from_slice(b": ");
                    out.extend_from_slice(connection.join(", ").as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
                continue;
            }
            let dropped = match () {
                () if is("upgrade") => !upgrade,
                () if is("te") => !te,
                () if is("keep-alive") => true,
                () => {
                    name.len() > 6 && name[..6].eq_ignore_ascii_case(b"proxy-")
                        || extra_drop.iter().any(|other| is(other))
                        || named.iter().any(|other| name.eq_ignore_ascii_case(other))
                }
            };
            if !dropped {
                out.extend_from_slice(&self.bytes[field.line.clone()]);
            }
        }
        if !connection_written {
            out.extend_from_slice(format!("Connection: {}\r\n", connection.join(", ")).as_bytes());
        }
    }
}

impl RequestHead {
    /// Takes a whole head, empty line included.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, HeadError> {
        let head = Head::parse(bytes)?;
        let line = head.first_line();
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(HeadError::FirstLine);
        };
        let version = read_version(version)?;
        let printable = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if method.is_empty() || !method.bytes().all(is_token) || !printable(target) {
            return Err(HeadError::FirstLine);
        }
        let hosts = head.values("host").count();
        if hosts > 1 || (hosts == 0 && version == Version::Http11) {
            return Err(HeadError::Host);
        }
        let length = match head.length()? {
            Some(Length::Chunked) if version == Version::Http10 => return Err(HeadError::TransferEncoding),
            Some(length) => length,
            None => Length::Empty,
        };
        let (method, target) = (method.to_owned(), target.to_owned());
        Ok(Self { method, target, version, length, head })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.text(name)
    }

    pub(crate) fn host(&self) -> &str {
        self.header("host").unwrap_or_default()
    }

    /// Whether the client asks for another protocol (RFC 9110, 7.8).
    pub(crate) fn upgrades(&self) -> bool {
        self.head.has_member("connection", "upgrade") && self.header("upgrade").is_some()
    }

    /// Whether the protocol that it asks for is this one.
    pub(crate) fn upgrades_to(&self, protocol: &str) -> bool {
        self.upgrades() && self.head.has_member("upgrade", protocol)
    }

    /// Whether the client's connection may carry another request.
    pub(crate) fn keeps_alive(&self) -> bool {
        match self.version {
            Version::Http11 => !self.head.has_member("connection", "close"),
            Version::Http10 => self.head.has_member("connection", "keep-alive"),
        }
    }

    /// The same request with another `Host`: where it stood, else in front.
    pub(crate) fn with_host(self, host: &str) -> Result<Self, HeadError> {
        let Head { mut bytes, first_line, fields } = self.head;
        let stood = fields.iter().find(|field| bytes[field.name.clone()].eq_ignore_ascii_case(b"host"));
        match stood.map(|field| field.value.clone()) {
            Some(value) => drop(bytes.splice(value, host.bytes())),
            None => drop(bytes.splice(first_line.end + 2..first_line.end + 2, format!("Host: {host}\r\n").bytes())),
        }
        Self::parse(bytes)
    }

    /// The head as it came.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.head.bytes
    }

    /// The head for the origin: its target as given, and the header lines that the profile adds at its end.
    pub(crate) fn to_origin(&self, target: &str, added: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.head.bytes.len() + 32);
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(target.as_bytes());
        out.extend_from_slice(match self.version {
            Version::Http10 => b" HTTP/1.0\r\n",
            Version::Http11 => b" HTTP/1.1\r\n",
        });
        let closes = self.version == Version::Http11 && !self.keeps_alive();
        self.head.write_fields(&mut out, true, true, closes, &[]);
        out.extend_from_slice(added);
        out.extend_from_slice(b"\r\n");
        out
    }
}

impl ResponseHead {
    /// Takes a whole head, empty line included.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, HeadError> {
        let head = Head::parse(bytes)?;
        let line = &head.bytes[head.first_line.clone()];
        let (Some(version), Some(status)) = (line.get(..8), line.get(9..12)) else {
            return Err(HeadError::FirstLine);
        };
        let version = read_version(std::str::from_utf8(version).map_err(|_| HeadError::FirstLine)?)?;
        let printable = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        let separated = line[8] == b' ' && matches!(line.get(12), None | Some(b' ')) && line.iter().all(printable);
        let status = std::str::from_utf8(status).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let status = status.and_then(|text| text.parse().ok()).filter(|_| separated).ok_or(HeadError::FirstLine)?;
        if status < 100 {
            return Err(HeadError::FirstLine);
        }
        Ok(Self { status, version, head })
    }

    /// How long the body of this answer to `method` is (RFC 9112, 6.3).
    pub(crate) fn length(&self, method: &str) -> Result<Length, HeadError> {
        // Read first, so that two answers in one are refused even where no body is expected.
        let stated = self.head.length()?;
        if method == "HEAD" || matches!(self.status, 100..200 | 204 | 304) {
            return Ok(Length::Empty);
        }
        match stated {
            Some(Length::Chunked) if self.version == Version::Http10 => Err(HeadError::TransferEncoding),
            Some(length) => Ok(length),
            None => Ok(Length::ToEnd),
        }
    }

    /// Whether the origin's connection may carry another request.
    pub(crate) fn keeps_alive(&self) -> bool {
        match self.version {
            Version::Http11 => !self.head.has_member("connection", "close"),
            Version::Http10 => self.head.has_member("connection", "keep-alive"),
        }
    }

    /// Whether it says of the connection that it ends with it, or that it goes on.
    pub(crate) fn says(&self, option: &str) -> bool {
        self.head.has_member("connection", option)
    }

    /// Whether it has such a field.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.head.text(name).is_some()
    }

    /// The head for the client; `drop` names fields to leave out, `closes` that it says that the connection ends.
    pub(crate) fn to_client(&self, closes: bool, drop: &[&str]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.head.bytes.len() + 32);
        out.extend_from_slice(&self.head.bytes[self.head.first_line.clone()]);
        out.extend_from_slice(b"\r\n");
        let closes = closes && self.status != 101 && self.status >= 200;
        self.head.write_fields(&mut out, self.status == 101, false, closes, drop);
        out.extend_from_slice(b"\r\n");
        out
    }
}

fn line_end(bytes: &[u8], from: usize) -> Result<usize, HeadError> {
    let at = memchr2(b'\r', b'\n', &bytes[from..]).map(|at| at + from);
    match at {
        Some(at) if bytes[at] == b'\r' && bytes.get(at + 1) == Some(&b'\n') => Ok(at),
        _ => Err(HeadError::BareLine),
    }
}

fn trim(line: &[u8], from: usize) -> Range<usize> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = line[from..].iter().position(|byte| !blank(byte)).map_or(line.len(), |at| at + from);
    let end = line.iter().rposition(|byte| !blank(byte)).map_or(start, |at| (at + 1).max(start));
    start..end
}

fn read_version(text: &str) -> Result<Version, HeadError> {
    match text {
        "HTTP/1.1" => Ok(Version::Http11),
        "HTTP/1.0" => Ok(Version::Http10),
        _ => Err(HeadError::FirstLine),
    }
}

/// A `tchar` of RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut token = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            token[byte as usize] = byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                );
            byte += 1;
        }
        token
    };
    TOKEN[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Result<RequestHead, HeadError> {
        assert_eq!(find_end(text.as_bytes())?, Some(text.len()));
        RequestHead::parse(text.as_bytes().to_vec())
    }

    #[test]
    fn order_case_and_doubles_survive_and_hop_by_hop_goes() {
        let head = request(
            "GET /a?b HTTP/1.1\r\nHost: a\r\nX-B: 1\r\nx-a:  2 \r\nX-B: 3\r\nConnection: keep-alive, X-Hop\r\n\
             X-Hop: 1\r\nProxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\nTE: gzip\r\n\r\n",
        )
        .unwrap();
        assert_eq!(
            String::from_utf8(head.to_origin("/a?b", b"")).unwrap(),
            "GET /a?b HTTP/1.1\r\nHost: a\r\nX-B: 1\r\nx-a:  2 \r\nX-B: 3\r\nConnection: keep-alive\r\n\r\n"
        );
    }

    #[test]
    fn upgrades_and_trailers_are_kept() {
        let head = request(
            "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, TE\r\nUpgrade: websocket\r\nTE: trailers\r\n\r\n",
        )
        .unwrap();
        assert!(head.upgrades());
        assert_eq!(
            String::from_utf8(head.to_origin("/ws", b"")).unwrap(),
            "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, TE\r\nUpgrade: websocket\r\nTE: trailers\r\n\r\n"
        );
    }

    #[test]
    fn naming_the_message_in_connection_does_not_drop_it() {
        let head =
            request("POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length, host\r\nContent-Length: 3\r\n\r\n");
        let sent = String::from_utf8(head.unwrap().to_origin("/", b"")).unwrap();
        assert_eq!(sent, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    }

    #[test]
    fn what_two_could_read_differently_is_refused() {
        let with = |line: &str| request(&format!("POST / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n")).err();
        assert_eq!(with("Content-Length: 3\r\nContent-Length: 4"), Some(HeadError::ContentLength));
        assert_eq!(with("Content-Length: 3, 4"), Some(HeadError::ContentLength));
        assert_eq!(with("Content-Length: +3"), Some(HeadError::ContentLength));
        assert_eq!(with("Content-Length: 3\r\nTransfer-Encoding: chunked"), Some(HeadError::BothLengths));
        assert_eq!(with("Transfer-Encoding: xchunked"), Some(HeadError::TransferEncoding));
        assert_eq!(with("Transfer-Encoding: gzip, chunked"), Some(HeadError::TransferEncoding));
        assert_eq!(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), Some(HeadError::TransferEncoding));
        assert_eq!(with("A: b\r\n c"), Some(HeadError::Folded));
        assert_eq!(with("A : b"), Some(HeadError::Name));
        assert_eq!(with(": b"), Some(HeadError::Name));
        assert_eq!(with("A: b\0"), Some(HeadError::Value));
        assert_eq!(with("Host: b"), Some(HeadError::Host));
        assert_eq!(with("A: b\rc: d"), Some(HeadError::BareLine));
        assert_eq!(with("A: b\nc: d"), Some(HeadError::BareLine));
        assert_eq!(request("GET / HTTP/1.1\r\n\r\n").err(), Some(HeadError::Host));
        assert_eq!(request("GET  / HTTP/1.1\r\nHost: a\r\n\r\n").err(), Some(HeadError::FirstLine));
        assert_eq!(request("GET / HTTP/2\r\nHost: a\r\n\r\n").err(), Some(HeadError::FirstLine));
        assert_eq!(find_end(b"GET / HTTP/1.1\nHost: a\n\n"), Err(HeadError::BareLine));
        assert_eq!(find_end(&vec![b'a'; MAX_HEAD]), Err(HeadError::TooLarge));
    }

    #[test]
    fn lengths_of_answers() {
        let answer = |text: &str| ResponseHead::parse(text.as_bytes().to_vec()).unwrap();
        assert_eq!(answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").length("GET"), Ok(Length::Exact(5)));
        assert_eq!(answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").length("HEAD"), Ok(Length::Empty));
        assert_eq!(answer("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n").length("GET"), Ok(Length::Empty));
        assert_eq!(answer("HTTP/1.1 200\r\n\r\n").length("GET"), Ok(Length::ToEnd));
        assert!(!answer("HTTP/1.0 200 OK\r\n\r\n").keeps_alive());
        assert!(ResponseHead::parse(b"HTTP/1.1 2x0 OK\r\n\r\n".to_vec()).is_err());
        assert!(ResponseHead::parse(b"HTTP/1.1\r\n\r\n".to_vec()).is_err());
        assert!(ResponseHead::parse(b"HTTP/1.1 200 O\0K\r\n\r\n".to_vec()).is_err());
    }

    #[test]
    fn answers_drop_what_they_are_told_to() {
        let head = ResponseHead::parse(
            b"HTTP/1.1 200 Fine\r\nAlt-Svc: h3=\":443\"\r\nServer: x\r\nConnection: close\r\nKeep-Alive: t\r\n\r\n"
                .to_vec(),
        )
        .unwrap();
        let sent = String::from_utf8(head.to_client(true, &["alt-svc"])).unwrap();
        assert_eq!(sent, "HTTP/1.1 200 Fine\r\nServer: x\r\nConnection: close\r\n\r\n");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            if let Ok(Some(end)) = find_end(&bytes) {
                let _ = RequestHead::parse(bytes[..end].to_vec());
                let _ = ResponseHead::parse(bytes[..end].to_vec());
            }
        }

        #[test]
        fn what_is_accepted_is_accepted_again_when_forwarded(
            lines in proptest::collection::vec("(Host: a|X-A: b|Connection: [a-z-]{1,9}|TE: trailers|Content-Length: 3|Upgrade: x)", 0..6)
        ) {
            let text = format!("GET / HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"));
            if let Ok(Some(end)) = find_end(text.as_bytes())
                && let Ok(head) = RequestHead::parse(text.as_bytes()[..end].to_vec())
            {
                let again = RequestHead::parse(head.to_origin("/", b"")).unwrap();
                proptest::prop_assert_eq!(again.length, head.length);
                proptest::prop_assert_eq!(again.host(), head.host());
            }
        }
    }
}
