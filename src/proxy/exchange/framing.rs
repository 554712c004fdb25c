//! Where a body ends: counted or chunked (RFC 9112, sections 6 and 7). The bytes pass as they are.

use super::head::Length;
use crate::net::{Filter, Passed};

/// Trailers and chunk lines beyond this are refused.
const MAX_LINE: usize = 16 << 10;

/// Follows a body to its end.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Counted(u64),
    Chunked(Chunks),
    ToEnd,
}

impl Body {
    /// The follower for a length; `None` where there is no body.
    pub(crate) fn of(length: Length) -> Option<Self> {
        match length {
            Length::Empty => None,
            Length::Exact(count) => Some(Self::Counted(count)),
            Length::Chunked => Some(Self::Chunked(Chunks::default())),
            Length::ToEnd => Some(Self::ToEnd),
        }
    }
}

impl Filter for Body {
    fn pass(&mut self, piece: &[u8]) -> Passed {
        match self {
            Self::ToEnd => Passed::All,
            Self::Counted(left) => {
                if let Some(rest) = left.checked_sub(piece.len() as u64).filter(|rest| *rest > 0) {
                    *left = rest;
                    return Passed::All;
                }
                let count = usize::try_from(*left).unwrap_or(piece.len());
                *left = 0;
                Passed::Complete(count)
            }
            Self::Chunked(chunks) => chunks.pass(piece),
        }
    }
}

/// The state between two pieces of a chunked body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunks {
    state: State,
    /// Bytes of the current line, or of all trailer lines.
    line: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// In the size; the value so far and the number of its digits.
    #[default]
    Start,
    Size(u64, u8),
    /// Blanks behind the size: an extension or the end of the line is due.
    Blank(u64),
    /// Behind the size: an extension.
    Extension(u64),
    /// The LF of the size line is due.
    SizeEnd(u64),
    Data(u64),
    /// The CR, then the LF behind the data are due.
    DataCr,
    DataLf,
    /// At the beginning of a trailer line.
    TrailerStart,
    /// In the name of a trailer.
    TrailerName,
    /// In the value of a trailer.
    TrailerValue,
    TrailerLf,
    /// The last LF is due.
    LastLf,
}

impl Chunks {
    fn pass(&mut self, piece: &[u8]) -> Passed {
        let mut at = 0;
        while at < piece.len() {
            if let State::Data(left) = self.state {
                let here = (piece.len() - at) as u64;
                if here < left {
                    self.state = State::Data(left - here);
                    return Passed::All;
                }
                at += usize::try_from(left).unwrap_or(piece.len() - at);
                self.state = State::DataCr;
                continue;
            }
            let byte = piece[at];
            at += 1;
            self.line += 1;
            if self.line > MAX_LINE {
                return Passed::Broken("a chunk line or the trailers are over 16 KiB");
            }
            self.state = match (self.state, byte) {
                (State::Start, _) => match hex(byte) {
                    Some(digit) => State::Size(digit, 1),
                    None => return Passed::Broken("a chunk does not begin with its size"),
                },
                (State::Size(size, digits), _) if hex(byte).is_some() => {
                    if digits == 15 {
                        return Passed::Broken("a chunk size has more than 15 digits");
                    }
                    State::Size(size << 4 | hex(byte).unwrap_or_default(), digits + 1)
                }
                (State::Size(size, _) | State::Blank(size) | State::Extension(size), b'\r') => State::SizeEnd(size),
                (State::Size(size, _) | State::Blank(size), b' ' | b'\t') => State::Blank(size),
                (State::Size(size, _) | State::Blank(size), b';')
                | (State::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => State::Extension(size),
                (State::SizeEnd(size), b'\n') => {
                    self.line = 0;
                    if size == 0 { State::TrailerStart } else { State::Data(size) }
                }
                (State::DataCr, b'\r') => State::DataLf,
                (State::DataLf, b'\n') => {
                    self.line = 0;
                    State::Start
                }
                (State::TrailerStart, b'\r') => State::LastLf,
                (State::TrailerStart | State::TrailerName, byte) if is_name(byte) => State::TrailerName,
                (State::TrailerValue, b'\r') => State::TrailerLf,
                (State::TrailerName, b':') | (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => State::TrailerValue,
                (State::TrailerLf, b'\n') => State::TrailerStart,
                (State::LastLf, b'\n') => return Passed::Complete(at),
                _ => return Passed::Broken("the chunked body is malformed"),
            };
        }
        Passed::All
    }
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunked(bytes: &[u8]) -> Passed {
        Chunks::default().pass(bytes)
    }

    #[test]
    fn a_chunked_body_ends_behind_its_trailers_however_it_is_cut() {
        let body = b"4\r\nWiki\r\n6;name=\"v\"\r\npedia \r\n0\r\nX-Sum: 1\r\nX-B:\r\n\r\n";
        let with_next = [&body[..], b"GET"].concat();
        assert_eq!(chunked(&with_next), Passed::Complete(body.len()));
        for cut in 1..body.len() {
            let mut chunks = Chunks::default();
            assert_eq!(chunks.pass(&with_next[..cut]), Passed::All, "at {cut}");
            assert_eq!(chunks.pass(&with_next[cut..]), Passed::Complete(body.len() - cut), "at {cut}");
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for good in [&b"4 \r\nWiki"[..], b"4 \t;a\r\nWiki", b"4;a b\r\nWiki"] {
            assert_eq!(chunked(good), Passed::All, "{:?}", String::from_utf8_lossy(good));
        }
        let bad: [&[u8]; 10] = [
            b"4 4\r\n",
            b"\r\n",
            b"x\r\n",
            b"4\nWiki",
            b"4\r\nWikiX",
            b"1\r\na\n",
            b"-1\r\n",
            b"0x4\r\n",
            b"0\r\n folded\r\n\r\n",
            b"fffffffffffffffff\r\n",
        ];
        for bytes in bad {
            assert!(matches!(chunked(bytes), Passed::Broken(_)), "{:?}", String::from_utf8_lossy(bytes));
        }
        let long = [b"1;".to_vec(), vec![b'a'; MAX_LINE]].concat();
        assert!(matches!(chunked(&long), Passed::Broken(_)));
    }

    #[test]
    fn a_counted_body_stops_at_its_count() {
        let mut body = Body::of(Length::Exact(5)).unwrap();
        assert_eq!(body.pass(b"abc"), Passed::All);
        assert_eq!(body.pass(b"defg"), Passed::Complete(2));
        assert!(Body::of(Length::Empty).is_none());
    }
}
