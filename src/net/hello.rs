//! The ClientHello, read without being consumed (RFC 8446, 4.1.2; RFC 5246, 7.4.1.2), and its JA4 fingerprint.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use serde::Serialize;

/// More than this is no ClientHello: the largest seen, with post-quantum key shares and padding, stay under 4 KiB.
pub const MAX_HELLO: usize = 64 << 10;

/// What the first bytes of a client turn out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstBytes {
    /// So far they may be the beginning of a ClientHello.
    Incomplete,
    /// A whole ClientHello.
    Hello(Box<ClientHello>),
    /// Not TLS.
    NotTls,
    /// TLS records whose content is no ClientHello: for a person, what is wrong.
    Malformed(&'static str),
}

/// What a client says of itself before anything is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientHello {
    /// The server name (RFC 6066, section 3), as the client wrote it.
    pub sni: Option<String>,
    /// The protocols offered (RFC 7301), in order of preference.
    pub alpn: Vec<String>,
    /// The TLS versions offered, highest first: `TLS 1.3`, `TLS 1.2`, …
    pub versions: Vec<&'static str>,
    /// The JA4 fingerprint of the client's TLS stack. GREASE is left out of the signature algorithms too: clients
    /// that put it there (Chromium) would otherwise change their fingerprint with every connection.
    pub ja4: String,
    /// The same without what one stack sends in some connections only: a session to resume, early data, padding, and a
    /// name, which an address has not. This tells stacks apart where connections are to be put together.
    #[serde(skip)]
    pub stack: String,
    /// Whether an earlier session is offered for resumption; a client that resumes does not look at a certificate.
    pub resumes: bool,
    /// Whether a record size limit is offered (RFC 8449). Of the common libraries GnuTLS and NSS offer one.
    pub record_size_limit: bool,
    /// Size of the handshake message in bytes.
    pub size: usize,
}

impl ClientHello {
    /// Whether TLS 1.2 or 1.3 is offered; nothing older can be inspected here.
    #[must_use]
    pub fn offers_modern_tls(&self) -> bool {
        self.versions.iter().any(|version| matches!(*version, "TLS 1.3" | "TLS 1.2"))
    }
}

/// Reads the first bytes of a connection. They may stand in several TLS records; nothing is consumed.
#[must_use]
pub fn read_first_bytes(bytes: &[u8]) -> FirstBytes {
    const HANDSHAKE: u8 = 22;
    match bytes {
        [] => return FirstBytes::Incomplete,
        [kind, ..] if *kind != HANDSHAKE => return FirstBytes::NotTls,
        [_, major, ..] if *major != 3 => return FirstBytes::NotTls,
        [_, _, minor, ..] if *minor > 4 => return FirstBytes::NotTls,
        _ => {}
    }
    let mut message = Vec::new();
    let mut rest = bytes;
    while let [kind, _, _, high, low, after @ ..] = rest {
        if *kind != HANDSHAKE {
            return FirstBytes::Malformed("another record stands inside the ClientHello");
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > (1 << 14) + 256 {
            return FirstBytes::Malformed("a TLS record has an impossible length");
        }
        let taken = length.min(after.len());
        message.extend_from_slice(&after[..taken]);
        if taken < length {
            break;
        }
        rest = &after[length..];
        if wanted(&message).is_some_and(|wanted| message.len() >= wanted) {
            break;
        }
    }
    match message.first() {
        None => return FirstBytes::Incomplete,
        Some(1) => {}
        Some(_) => return FirstBytes::Malformed("the first handshake message is no ClientHello"),
    }
    match wanted(&message) {
        Some(wanted) if wanted > MAX_HELLO => FirstBytes::Malformed("the ClientHello is over 64 KiB"),
        Some(wanted) if message.len() >= wanted => match Fields::parse(&message[4..wanted]) {
            Some(fields) => FirstBytes::Hello(Box::new(fields.into_hello(wanted))),
            None => FirstBytes::Malformed("the ClientHello does not parse"),
        },
        _ => FirstBytes::Incomplete,
    }
}

/// The size of the handshake message, header included, once its header is there.
fn wanted(message: &[u8]) -> Option<usize> {
    let [_, a, b, c, ..] = message else { return None };
    Some(4 + (usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c)))
}

#[derive(Default)]
struct Fields<'a> {
    legacy_version: u16,
    ciphers: Vec<u16>,
    extensions: Vec<u16>,
    sni: Option<&'a [u8]>,
    alpn: Vec<&'a [u8]>,
    versions: Vec<u16>,
    signature_algorithms: Vec<u16>,
    session_ticket: bool,
    pre_shared_key: bool,
}

impl<'a> Fields<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let mut input = Input(body);
        let mut fields = Self { legacy_version: input.u16()?, ..Self::default() };
        input.take(32)?;
        input.vector8()?;
        fields.ciphers = numbers(input.vector16()?);
        input.vector8()?;
        if input.0.is_empty() {
            return Some(fields);
        }
        let mut extensions = Input(input.vector16()?);
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            let mut data = Input(extensions.vector16()?);
            fields.extensions.push(kind);
            match kind {
                0 => fields.sni = fields.sni.or(server_name(data)),
                13 => fields.signature_algorithms = numbers(data.vector16()?),
                16 => {
                    let mut names = Input(data.vector16()?);
                    while !names.0.is_empty() {
                        fields.alpn.push(names.vector8()?);
                    }
                }
                35 => fields.session_ticket = !data.0.is_empty(),
                41 => fields.pre_shared_key = true,
                43 => fields.versions = numbers(data.vector8()?),
                _ => {}
            }
        }
        Some(fields)
    }

    fn into_hello(self, size: usize) -> ClientHello {
        let mut versions = if self.versions.is_empty() { vec![self.legacy_version] } else { self.versions.clone() };
        versions.sort_unstable_by(|a, b| b.cmp(a));
        ClientHello {
            sni: self.sni.map(|name| String::from_utf8_lossy(name).into_owned()),
            alpn: self.alpn.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
            versions: versions.iter().filter_map(|version| version_name(*version)).collect(),
            ja4: self.ja4(|_| true),
            stack: self.ja4(|extension| !matches!(extension, SERVER_NAME | PADDING | PRE_SHARED_KEY | EARLY_DATA)),
            resumes: self.session_ticket || self.pre_shared_key,
            record_size_limit: self.extensions.contains(&28),
            size,
        }
    }

    /// JA4 as published by FoxIO: the TCP form, with GREASE (RFC 8701) left out everywhere, of the extensions that are
    /// wanted.
    fn ja4(&self, wanted: impl Fn(u16) -> bool) -> String {
        let plain = |numbers: &[u16]| numbers.iter().copied().filter(|n| !is_grease(*n)).collect::<Vec<_>>();
        let (mut ciphers, mut extensions) = (plain(&self.ciphers), plain(&self.extensions));
        extensions.retain(|extension| wanted(*extension));
        let version = plain(&self.versions).into_iter().max().unwrap_or(self.legacy_version);
        let version = match version {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            _ => "00",
        };
        let sni = if extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
        let mut text = format!("t{version}{sni}{:02}{:02}", ciphers.len().min(99), extensions.len().min(99));
        text.push_str(&alpn_mark(self.alpn.iter().copied().find(|name| !is_grease_alpn(name))));
        ciphers.sort_unstable();
        extensions.retain(|kind| !matches!(kind, 0 | 16));
        extensions.sort_unstable();
        let mut of_extensions = hex_list(&extensions);
        let algorithms = plain(&self.signature_algorithms);
        if !algorithms.is_empty() {
            of_extensions.push('_');
            of_extensions.push_str(&hex_list(&algorithms));
        }
        format!("{text}_{}_{}", short_hash(&hex_list(&ciphers)), short_hash(&of_extensions))
    }
}

/// Numbers of extensions (RFC 6066, 7685, 8446).
const SERVER_NAME: u16 = 0;
const PADDING: u16 = 21;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;

fn server_name(mut data: Input<'_>) -> Option<&[u8]> {
    let mut names = Input(data.vector16()?);
    while !names.0.is_empty() {
        let kind = names.take(1)?[0];
        let name = names.vector16()?;
        if kind == 0 && !name.is_empty() && name.len() <= 255 {
            return Some(name);
        }
    }
    None
}

fn version_name(version: u16) -> Option<&'static str> {
    match version {
        0x0304 => Some("TLS 1.3"),
        0x0303 => Some("TLS 1.2"),
        0x0302 => Some("TLS 1.1"),
        0x0301 => Some("TLS 1.0"),
        0x0300 => Some("SSL 3.0"),
        _ => None,
    }
}

fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

fn is_grease_alpn(name: &[u8]) -> bool {
    matches!(name, [a, b] if is_grease(u16::from_be_bytes([*a, *b])))
}

/// First and last character of the first protocol; of its hexadecimal form where they are not alphanumeric.
fn alpn_mark(name: Option<&[u8]>) -> String {
    match name {
        Some([first, .., last]) if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() => {
            format!("{}{}", char::from(*first), char::from(*last))
        }
        Some([one]) if one.is_ascii_alphanumeric() => format!("{0}{0}", char::from(*one)),
        Some([first, .., last]) => format!("{:x}{:x}", first >> 4, last & 0x0f),
        Some([one]) => format!("{:x}{:x}", one >> 4, one & 0x0f),
        Some([]) | None => "00".to_owned(),
    }
}

fn hex_list(numbers: &[u16]) -> String {
    let mut text = String::with_capacity(numbers.len() * 5);
    for (index, number) in numbers.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let _ = write!(text, "{number:04x}");
    }
    text
}

fn short_hash(text: &str) -> String {
    if text.is_empty() {
        return "0".repeat(12);
    }
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref()[..6].iter().fold(String::with_capacity(12), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn numbers(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

#[derive(Clone, Copy)]
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(length.into())
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn rustls_hello(name: &str, alpn: &[&[u8]]) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = name.to_owned().try_into().unwrap();
        let mut client = rustls::ClientConnection::new(config.into(), name).unwrap();
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    #[test]
    fn a_real_hello_in_any_pieces() {
        let bytes = rustls_hello("acme.okta.com", &[b"h2", b"http/1.1"]);
        assert!(bytes.len() > 1200, "the post-quantum key share makes it large: {}", bytes.len());
        for cut in 0..bytes.len() {
            assert_eq!(read_first_bytes(&bytes[..cut]), FirstBytes::Incomplete, "at {cut}");
        }
        let FirstBytes::Hello(hello) = read_first_bytes(&bytes) else { panic!("no hello") };
        assert_eq!(hello.sni.as_deref(), Some("acme.okta.com"));
        assert_eq!(hello.alpn, ["h2", "http/1.1"]);
        assert_eq!(hello.versions, ["TLS 1.3", "TLS 1.2"]);
        assert!(hello.ja4.starts_with("t13d"), "{}", hello.ja4);
        assert!(hello.ja4[4..].contains("h2_"), "{}", hello.ja4);
    }

    #[test]
    fn a_hello_over_many_records_is_the_same_hello() {
        let bytes = rustls_hello("a.example", &[]);
        let mut cut = Vec::new();
        for piece in bytes[5..].chunks(100) {
            cut.extend_from_slice(&[22, 3, 1, 0, u8::try_from(piece.len()).unwrap()]);
            cut.extend_from_slice(piece);
        }
        assert_eq!(read_first_bytes(&cut), read_first_bytes(&bytes));
    }

    #[test]
    fn ja4_of_the_published_example() {
        // FoxIO's own worked example (github.com/FoxIO-LLC/ja4, technical_details/JA4.md): these lists give
        // t13d1516h2_8daaf6152771_e5627efa2ab1.
        let ciphers = [
            0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d,
            0x002f, 0x0035, 0x2a2a,
        ];
        let extensions = [
            0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01,
            0x000b, 0x000a, 0x0015, 0xfafa,
        ];
        let fields = Fields {
            legacy_version: 0x0303,
            ciphers: ciphers.to_vec(),
            extensions: extensions.to_vec(),
            alpn: vec![b"h2", b"http/1.1"],
            versions: vec![0x7a7a, 0x0304, 0x0303],
            signature_algorithms: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            ..Fields::default()
        };
        assert_eq!(fields.ja4(|_| true), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn a_stack_is_the_same_with_and_without_a_session_a_name_and_padding() {
        let stack = |extensions: &[u16]| {
            let fields = Fields { ciphers: vec![0x1301], extensions: extensions.to_vec(), ..Fields::default() };
            let hello = fields.into_hello(0);
            (hello.stack, hello.ja4)
        };
        let (full, resuming) = (stack(&[0, 43, 51, 45]), stack(&[0, 43, 51, 45, 21, 42, 41]));
        assert_eq!((&full.0, full.1 == resuming.1), (&resuming.0, false));
        assert_eq!(stack(&[43, 51, 45]).0, full.0);
        assert_ne!(stack(&[43, 51]).0, full.0);
    }

    #[test]
    fn other_protocols_are_told_at_the_first_byte_that_differs() {
        assert_eq!(read_first_bytes(b"GET / HTTP/1.1\r\n"), FirstBytes::NotTls);
        assert_eq!(read_first_bytes(b"SSH-2.0-x\r\n"), FirstBytes::NotTls);
        assert_eq!(read_first_bytes(&[22, 4]), FirstBytes::NotTls);
        assert!(matches!(read_first_bytes(&[22, 3, 1, 0, 4, 2, 0, 0, 0]), FirstBytes::Malformed(_)));
        assert!(matches!(read_first_bytes(&[22, 3, 1, 0, 0]), FirstBytes::Malformed(_)));
        assert!(matches!(read_first_bytes(&[22, 3, 1, 0, 4, 1, 0xff, 0, 0]), FirstBytes::Malformed(_)));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            let _ = read_first_bytes(&bytes);
            let mut record = vec![22, 3, 1, 2, 0, 1, 0, 1, 252];
            record.extend_from_slice(&bytes);
            let _ = read_first_bytes(&record);
        }
    }
}
