//! The readers of HTTP/1.1 that the proxy keeps to itself, for `fuzz/` and its test: what goes in on one side, and what
//! comes out on the other.

use super::exchange::{Body, HeadError, Length, RequestHead, ResponseHead, find_end, leading_empty_lines};
use crate::net::{Filter, Passed};

/// One message as the proxy read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `METHOD TARGET` of a request, the status of an answer.
    pub start: String,
    /// Bytes of its body, with the framing of chunks.
    pub body: usize,
}

/// What became of the bytes of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    /// What the other side gets.
    pub sent: Vec<u8>,
    /// The messages in it that are whole.
    pub messages: Vec<Message>,
    /// Why there is no more: the bytes are refused, and the connection ends.
    pub refused: Option<String>,
}

/// Reads requests as they come from a client, piece by piece.
#[must_use]
pub fn requests(pieces: &[&[u8]]) -> Relayed {
    relay(pieces, leading_empty_lines, |head| {
        let head = RequestHead::parse(head)?;
        let sent = head.to_origin(&head.target, &[]);
        Ok((format!("{} {}", head.method, head.target), head.length, sent))
    })
}

/// Reads an origin's answers to requests with this method, piece by piece.
#[must_use]
pub fn answers(method: &str, pieces: &[&[u8]]) -> Relayed {
    relay(
        pieces,
        |_| 0,
        |head| {
            let head = ResponseHead::parse(head)?;
            // No request here asks for another protocol.
            let length = if head.status == 101 { Err(HeadError::FirstLine) } else { head.length(method) };
            Ok((head.status.to_string(), length?, head.to_client(false, &[])))
        },
    )
}

fn relay(
    pieces: &[&[u8]],
    empty_lines: impl Fn(&[u8]) -> usize,
    read: impl Fn(Vec<u8>) -> Result<(String, Length, Vec<u8>), HeadError>,
) -> Relayed {
    let mut relayed = Relayed::default();
    let mut buffer = Vec::new();
    let mut running: Option<(Message, Body)> = None;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            if let Some((mut message, mut body)) = running.take() {
                let (count, ended) = match body.pass(&buffer) {
                    Passed::All => (buffer.len(), false),
                    Passed::Complete(count) => (count, true),
                    Passed::Broken(why) => {
                        relayed.refused = Some(why.to_owned());
                        return relayed;
                    }
                };
                relayed.sent.extend(buffer.drain(..count));
                message.body += count;
                if !ended {
                    running = Some((message, body));
                    break;
                }
                relayed.messages.push(message);
            }
            buffer.drain(..empty_lines(&buffer));
            let head = match find_end(&buffer) {
                Ok(None) => break,
                Ok(Some(end)) => read(buffer.drain(..end).collect()),
                Err(error) => Err(error),
            };
            match head {
                Ok((start, length, sent)) => {
                    relayed.sent.extend(sent);
                    let message = Message { start, body: 0 };
                    match Body::of(length) {
                        Some(body) => running = Some((message, body)),
                        None => relayed.messages.push(message),
                    }
                }
                Err(error) => {
                    relayed.refused = Some(error.to_string());
                    return relayed;
                }
            }
        }
    }
    // The end of the connection ends this body alone.
    if let Some((message, Body::ToEnd)) = running {
        relayed.messages.push(message);
    }
    relayed
}
