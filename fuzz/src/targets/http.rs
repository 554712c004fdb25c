//! HTTP/1.1 on its way through the proxy: who reads what it sends on finds the same messages, however they read it
//! (request smuggling, RFC 9112, 11.2). The other reader is `httparse`, with each of the framings that lax readers use
//! where a message states its length twice.

use httparse::Status;
use middlebox::proxy::fuzzing::{self, Message, Relayed};

/// More fields than the proxy lets pass, in a head and among trailers.
const FIELDS: usize = 6000;

/// What counts for a reader where a message has a coding and a length, or several.
const READERS: [Counts; 3] = [Counts::Coding, Counts::FirstLength, Counts::LastLength];

#[derive(Clone, Copy, Debug)]
enum Counts {
    Coding,
    FirstLength,
    LastLength,
}

/// Requests of a client.
pub(super) fn requests(bytes: &[u8]) {
    check(bytes, fuzzing::requests, |sent, counts| {
        read(sent, |bytes, fields| {
            let mut request = httparse::Request::new(fields);
            let Status::Complete(size) = request.parse(bytes)? else { return Ok(None) };
            let start = format!("{} {}", request.method.unwrap_or_default(), request.path.unwrap_or_default());
            Ok(Some(Head { start, size, length: stated(request.headers, counts).unwrap_or(Length::Exact(0)) }))
        })
    });
}

/// Answers of an origin.
pub(super) fn answers(bytes: &[u8]) {
    for method in ["GET", "HEAD"] {
        check(
            bytes,
            |pieces| fuzzing::answers(method, pieces),
            |sent, counts| {
                read(sent, |bytes, fields| {
                    let mut answer = httparse::Response::new(fields);
                    let Status::Complete(size) = answer.parse(bytes)? else { return Ok(None) };
                    let status = answer.code.unwrap_or_default();
                    let bare = method == "HEAD" || matches!(status, 100..200 | 204 | 304);
                    let length = if bare { Some(Length::Exact(0)) } else { stated(answer.headers, counts) };
                    Ok(Some(Head { start: status.to_string(), size, length: length.unwrap_or(Length::ToEnd) }))
                })
            },
        );
    }
}

fn check(
    bytes: &[u8],
    relay: impl Fn(&[&[u8]]) -> Relayed,
    read: impl Fn(&[u8], Counts) -> Result<Vec<Message>, httparse::Error>,
) {
    let whole = relay(&[bytes]);
    let single: Vec<_> = bytes.chunks(1).collect();
    let middle = bytes.len() / 2;
    for pieces in [&single[..], &[&bytes[..middle], &bytes[middle..]]] {
        let cut = relay(pieces);
        assert_eq!(cut.messages, whole.messages, "{} pieces", pieces.len());
        assert_eq!(cut.refused.is_some(), whole.refused.is_some(), "{} pieces", pieces.len());
    }
    // What is sent on is accepted again, and is by then what it stays.
    let again = relay(&[&whole.sent]);
    assert_eq!(again.messages, whole.messages);
    assert_eq!((&again.sent, &again.refused), (&whole.sent, &None));
    for counts in READERS {
        match read(&whole.sent, counts) {
            Ok(found) => assert_eq!(found, whole.messages, "{counts:?} counts"),
            Err(error) => panic!("{counts:?} counts: {error}"),
        }
    }
}

struct Head {
    start: String,
    size: usize,
    length: Length,
}

#[derive(Clone, Copy)]
enum Length {
    Exact(usize),
    Chunked,
    ToEnd,
}

fn stated(fields: &[httparse::Header<'_>], counts: Counts) -> Option<Length> {
    let values = |name: &'static str| {
        let fields = fields.iter().filter(move |field| field.name.trim().eq_ignore_ascii_case(name));
        fields.map(|field| String::from_utf8_lossy(field.value).to_ascii_lowercase())
    };
    let number = |text: String| text.trim().parse().ok().map(Length::Exact);
    let coding = values("transfer-encoding").any(|value| value.contains("chunked")).then_some(Length::Chunked);
    let (first, last) = (values("content-length").next(), values("content-length").next_back());
    match counts {
        Counts::Coding => coding.or(last.and_then(number)),
        Counts::FirstLength => first.and_then(number).or(coding),
        Counts::LastLength => last.and_then(number).or(coding),
    }
}

/// The whole messages that stand one after the other.
fn read<'a>(
    mut bytes: &'a [u8],
    head: impl for<'f> Fn(&'a [u8], &'f mut [httparse::Header<'a>]) -> Result<Option<Head>, httparse::Error>,
) -> Result<Vec<Message>, httparse::Error> {
    let mut messages = Vec::new();
    let mut fields = vec![httparse::EMPTY_HEADER; FIELDS];
    while let Some(Head { start, size, length }) = head(bytes, &mut fields)? {
        bytes = &bytes[size..];
        let body = match length {
            Length::Exact(count) => Some(count).filter(|count| *count <= bytes.len()),
            Length::Chunked => chunked(bytes)?,
            Length::ToEnd => Some(bytes.len()),
        };
        let Some(body) = body else { break };
        messages.push(Message { start, body });
        bytes = &bytes[body..];
        if matches!(length, Length::ToEnd) {
            break;
        }
    }
    Ok(messages)
}

/// Where a chunked body ends.
fn chunked(bytes: &[u8]) -> Result<Option<usize>, httparse::Error> {
    let mut at = 0;
    loop {
        let line = httparse::parse_chunk_size(&bytes[at..]).map_err(|_| httparse::Error::Token)?;
        let Status::Complete((line, size)) = line else { return Ok(None) };
        at += line;
        if size == 0 {
            let mut fields = vec![httparse::EMPTY_HEADER; FIELDS];
            let trailers = httparse::parse_headers(&bytes[at..], &mut fields)?;
            return Ok(if let Status::Complete((size, _)) = trailers { Some(at + size) } else { None });
        }
        let end = usize::try_from(size).ok().and_then(|size| at.checked_add(size)?.checked_add(2));
        let Some(end) = end.filter(|end| *end <= bytes.len()) else { return Ok(None) };
        if &bytes[end - 2..end] != b"\r\n" {
            return Err(httparse::Error::NewLine);
        }
        at = end;
    }
}
