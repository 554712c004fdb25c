//! The frames of a WebSocket (RFC 6455, section 5), followed as their bytes pass. What they carry is never kept: it is
//! counted and skipped, whatever an extension has made of it.

use serde::Serialize;

/// Follows one direction of a WebSocket, fed with its bytes in pieces of any size.
#[derive(Clone, Debug)]
pub struct WebSocketFrames {
    masked: bool,
    extended: bool,
    /// The head of the next frame, as far as it is there: 14 bytes at most; behind it the first two of a close.
    head: [u8; 16],
    filled: usize,
    /// Bytes of the current frame's payload that are still to come.
    left: u64,
    in_message: bool,
    closed: bool,
    counts: WebSocketCounts,
}

/// What passed in one direction of a WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WebSocketCounts {
    /// Frames of every kind.
    pub frames: u64,
    /// Text messages; one may have several frames.
    pub text: u64,
    /// Binary messages.
    pub binary: u64,
    /// Messages that an extension compressed (RFC 7692), of both kinds.
    pub compressed: u64,
    /// Pings.
    pub pings: u64,
    /// Pongs.
    pub pongs: u64,
    /// Bytes of all payloads, as they passed: compressed where they are.
    pub payload_bytes: u64,
    /// The status with which this side closed (RFC 6455, 7.4); 1005 where it closed without one.
    pub close: Option<u16>,
    /// What is not as RFC 6455 has it; nothing behind it is counted, and everything passes all the same.
    pub fault: Option<&'static str>,
}

/// The head of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketFrame {
    /// What it is.
    pub kind: FrameKind,
    /// Whether its message ends with it.
    pub last: bool,
    /// Bytes of its payload.
    pub length: u64,
}

/// What a frame is (RFC 6455, 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameKind {
    /// More of a message.
    Continuation,
    /// A text message, or its beginning.
    Text,
    /// A binary message, or its beginning.
    Binary,
    /// The side that sends it sends nothing more.
    Close,
    /// A ping.
    Ping,
    /// A pong.
    Pong,
}

impl FrameKind {
    /// Its opcode.
    #[must_use]
    pub fn opcode(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    fn of(opcode: u8) -> Option<Self> {
        [Self::Continuation, Self::Text, Self::Binary, Self::Close, Self::Ping, Self::Pong]
            .into_iter()
            .find(|kind| kind.opcode() == opcode)
    }

    fn is_control(self) -> bool {
        self.opcode() >= 8
    }
}

impl WebSocketFrames {
    /// Follows what a client sends, whose frames are masked. `extended` says that an extension was agreed on.
    #[must_use]
    pub fn of_client(extended: bool) -> Self {
        Self::new(true, extended)
    }

    /// Follows what an origin sends.
    #[must_use]
    pub fn of_origin(extended: bool) -> Self {
        Self::new(false, extended)
    }

    fn new(masked: bool, extended: bool) -> Self {
        Self {
            masked,
            extended,
            head: [0; 16],
            filled: 0,
            left: 0,
            in_message: false,
            closed: false,
            counts: WebSocketCounts::default(),
        }
    }

    /// What has passed so far.
    #[must_use]
    pub fn counts(&self) -> &WebSocketCounts {
        &self.counts
    }

    /// Takes the next bytes, and tells of each frame whose head is complete with them.
    pub fn push(&mut self, mut bytes: &[u8], mut tell: impl FnMut(WebSocketFrame)) {
        while !bytes.is_empty() && self.counts.fault.is_none() {
            if self.left > 0 {
                let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                bytes = self.skip(bytes, skipped);
                continue;
            }
            self.head[self.filled] = bytes[0];
            (self.filled, bytes) = (self.filled + 1, &bytes[1..]);
            match self.begin() {
                Ok(Some(frame)) => tell(frame),
                Ok(None) => {}
                Err(fault) => self.counts.fault = Some(fault),
            }
        }
    }

    /// Passes over payload; of a close, its status is read.
    fn skip<'a>(&mut self, bytes: &'a [u8], count: usize) -> &'a [u8] {
        let (payload, rest) = bytes.split_at(count);
        self.left -= count as u64;
        self.counts.payload_bytes += count as u64;
        if self.closed {
            let head = self.head_length();
            for byte in payload.iter().take((head + 2).saturating_sub(self.filled)) {
                self.head[self.filled] = *byte;
                self.filled += 1;
                if self.filled == head + 2 {
                    let status = [self.head[head], self.head[head + 1]];
                    // A control frame's mask ends right before its payload.
                    let mask = if self.masked { [self.head[head - 4], self.head[head - 3]] } else { [0, 0] };
                    self.counts.close = Some(u16::from_be_bytes([status[0] ^ mask[0], status[1] ^ mask[1]]));
                }
            }
        }
        if self.left == 0 {
            self.filled = 0;
        }
        rest
    }

    /// How long the head is that has begun, by its first two bytes.
    fn head_length(&self) -> usize {
        let extended = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + if self.masked { 4 } else { 0 }
    }

    /// The frame, if its head is complete.
    fn begin(&mut self) -> Result<Option<WebSocketFrame>, &'static str> {
        if self.filled < 2 {
            return Ok(None);
        }
        let [first, second, ..] = self.head;
        let (last, reserved) = (first & 0x80 != 0, first & 0x70);
        let kind = FrameKind::of(first & 0x0f).ok_or("a frame has an opcode that is not assigned")?;
        if self.filled == 2 {
            // All that the first two bytes say, before the rest is waited for.
            if (second & 0x80 != 0) != self.masked {
                return Err(if self.masked {
                    "a frame of the client is not masked"
                } else {
                    "a frame of the origin is masked"
                });
            }
            if self.closed {
                return Err("a frame follows the close");
            }
            if reserved != 0 && !self.extended {
                return Err("a reserved bit is set, and no extension was agreed on");
            }
            if kind.is_control() && (!last || second & 0x7f > 125) {
                return Err("a control frame is fragmented, or longer than 125 bytes");
            }
            if !kind.is_control() && (kind == FrameKind::Continuation) != self.in_message {
                return Err(if self.in_message {
                    "a message begins inside another"
                } else {
                    "a message goes on that has not begun"
                });
            }
        }
        if self.filled < self.head_length() {
            return Ok(None);
        }
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([self.head[2], self.head[3]])),
            127 => self.head[2..10].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
            short => u64::from(short),
        };
        let shortest = match second & 0x7f {
            126 => length > 125,
            127 => length > u64::from(u16::MAX) && length >> 63 == 0,
            _ => true,
        };
        if !shortest {
            return Err("the length of a frame is not in its shortest form");
        }
        if kind == FrameKind::Close && length == 1 {
            return Err("a close has half a status");
        }
        self.count(kind, reserved & 0x40 != 0);
        self.in_message = if kind.is_control() { self.in_message } else { !last };
        if kind == FrameKind::Close {
            self.closed = true;
            self.counts.close = (length == 0).then_some(NO_STATUS);
        }
        self.left = length;
        if length == 0 {
            self.filled = 0;
        }
        Ok(Some(WebSocketFrame { kind, last, length }))
    }

    fn count(&mut self, kind: FrameKind, compressed: bool) {
        let counts = &mut self.counts;
        counts.frames += 1;
        match kind {
            FrameKind::Text => counts.text += 1,
            FrameKind::Binary => counts.binary += 1,
            FrameKind::Ping => counts.pings += 1,
            FrameKind::Pong => counts.pongs += 1,
            FrameKind::Continuation | FrameKind::Close => {}
        }
        if compressed && matches!(kind, FrameKind::Text | FrameKind::Binary) {
            counts.compressed += 1;
        }
    }
}

/// Stands for a close without a status (RFC 6455, 7.1.5).
const NO_STATUS: u16 = 1005;

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(mut frames: WebSocketFrames, pieces: &[&[u8]]) -> (Vec<WebSocketFrame>, WebSocketCounts) {
        let mut told = Vec::new();
        for piece in pieces {
            frames.push(piece, |frame| told.push(frame));
        }
        (told, frames.counts().clone())
    }

    /// A frame with its length in the shortest form.
    fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let bit = if mask.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![first];
        match payload.len() {
            short @ ..=125 => bytes.push(bit | u8::try_from(short).unwrap()),
            long => {
                bytes.push(bit | 0x7e);
                bytes.extend(u16::try_from(long).unwrap().to_be_bytes());
            }
        }
        let mask = mask.inspect(|mask| bytes.extend(mask)).unwrap_or_default();
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let mask = Some([7, 9, 200, 1]);
        let bytes = [
            frame(0x81, mask, b"hello"),
            frame(0x02, mask, &[3; 300]),
            frame(0x89, mask, b"are you there"),
            frame(0x80, mask, b""),
            frame(0xc1, mask, b"squeezed"),
            frame(0x8a, mask, b""),
            frame(0x88, mask, &[0x03, 0xe9, b'b', b'y', b'e']),
        ]
        .concat();
        let whole = follow(WebSocketFrames::of_client(true), &[&bytes]);
        let counts = WebSocketCounts {
            frames: 7,
            text: 2,
            binary: 1,
            compressed: 1,
            pings: 1,
            pongs: 1,
            payload_bytes: 5 + 300 + 13 + 8 + 5,
            close: Some(1001),
            fault: None,
        };
        assert_eq!(whole.1, counts);
        assert_eq!(whole.0[1], WebSocketFrame { kind: FrameKind::Binary, last: false, length: 300 });
        let bytewise: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(follow(WebSocketFrames::of_client(true), &bytewise), whole);
        for cut in 1..bytes.len() {
            let (left, right) = bytes.split_at(cut);
            assert_eq!(follow(WebSocketFrames::of_client(true), &[left, right]), whole, "at {cut}");
        }
    }

    #[test]
    fn a_close_may_have_no_status_and_an_origin_does_not_mask() {
        let (_, counts) = follow(WebSocketFrames::of_origin(false), &[&frame(0x88, None, b"")]);
        assert_eq!((counts.close, counts.fault), (Some(1005), None));
        let (_, counts) = follow(WebSocketFrames::of_origin(false), &[&frame(0x88, None, &[3, 232])]);
        assert_eq!(counts.close, Some(1000));
    }

    #[test]
    fn a_payload_may_be_as_long_as_its_head_can_say() {
        let head = [&[0x82, 127][..], &(u64::MAX >> 1).to_be_bytes()].concat();
        let (told, counts) = follow(WebSocketFrames::of_origin(false), &[&head, b"some of it"]);
        assert_eq!((told[0].length, counts.payload_bytes, counts.fault), (u64::MAX >> 1, 10, None));
    }

    #[test]
    fn what_is_not_as_it_has_to_be_ends_the_counting() {
        for (bytes, fault) in [
            (frame(0x81, Some([0; 4]), b"a"), "masked"),
            (frame(0x83, None, b"a"), "not assigned"),
            (frame(0xc1, None, b"a"), "reserved bit"),
            (frame(0x09, None, b"a"), "control frame"),
            (frame(0x89, None, &[1; 126]), "control frame"),
            (frame(0x80, None, b"a"), "has not begun"),
            ([frame(0x01, None, b"a"), frame(0x81, None, b"b")].concat(), "inside another"),
            (vec![0x81, 126, 0, 5], "shortest"),
            (vec![0x81, 127, 0, 0, 0, 0, 0, 0, 255, 255], "shortest"),
            (vec![0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255], "shortest"),
            (frame(0x88, None, b"a"), "half a status"),
            ([frame(0x88, None, b""), frame(0x81, None, b"a")].concat(), "follows the close"),
        ] {
            let (_, counts) = follow(WebSocketFrames::of_origin(false), &[&bytes, &frame(0x81, None, b"later")]);
            assert!(counts.fault.unwrap().contains(fault), "{bytes:?}: {counts:?}");
            assert!(counts.text < 2, "{bytes:?}");
        }
        let (_, counts) = follow(WebSocketFrames::of_client(false), &[&frame(0x81, None, b"a")]);
        assert_eq!(counts.fault, Some("a frame of the client is not masked"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_followed_alike_however_they_are_cut(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400),
            at in 0_usize..400,
            client: bool,
            extended: bool,
        ) {
            let frames = if client { WebSocketFrames::of_client(extended) } else { WebSocketFrames::of_origin(extended) };
            let (left, right) = bytes.split_at(at.min(bytes.len()));
            proptest::prop_assert_eq!(follow(frames.clone(), &[left, right]), follow(frames, &[&bytes]));
        }
    }
}
