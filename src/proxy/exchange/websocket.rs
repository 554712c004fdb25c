//! A look at the frames of a WebSocket while its bytes pass, after `101` and in an extended `CONNECT` (RFC 8441).

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::journal::{Pen, SeenFrame, WebSocketFacts};
use crate::net::{Filter, Passed, WebSocketFrames};

/// The first frames that are recorded one by one.
const FRAMES: usize = 32;

/// Watches both directions of one WebSocket.
#[derive(Debug)]
pub(super) struct WebSocketWatch {
    pen: Pen,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    up: WebSocketFrames,
    down: WebSocketFrames,
    first: Vec<SeenFrame>,
}

/// Who sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Origin,
}

impl WebSocketWatch {
    /// Begins to watch; `extended` says that an extension was agreed on.
    pub(super) fn new(pen: Pen, extended: bool) -> Self {
        let (up, down) = (WebSocketFrames::of_client(extended), WebSocketFrames::of_origin(extended));
        Self { pen, seen: Mutex::new(Seen { up, down, first: Vec::new() }) }
    }

    /// Looks at bytes that pass.
    pub(super) fn saw(&self, sender: Sender, bytes: &[u8]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen { up, down, first } = &mut *seen;
        let (frames, from) = match sender {
            Sender::Client => (up, "client"),
            Sender::Origin => (down, "origin"),
        };
        frames.push(bytes, |frame| {
            if first.len() < FRAMES {
                let at_us = self.pen.moment(Instant::now());
                first.push(SeenFrame { from, kind: frame.kind, last: frame.last, length: frame.length, at_us });
            }
        });
    }

    /// What passed so far.
    pub(super) fn facts(&self) -> WebSocketFacts {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        WebSocketFacts { up: seen.up.counts().clone(), down: seen.down.counts().clone(), frames: seen.first.clone() }
    }
}

/// One direction of what follows `101`: everything passes, and is watched where it is a WebSocket.
pub(super) struct AfterUpgrade<'a> {
    pub(super) watch: Option<&'a WebSocketWatch>,
    pub(super) sender: Sender,
}

impl Filter for AfterUpgrade<'_> {
    fn pass(&mut self, piece: &[u8]) -> Passed {
        if let Some(watch) = self.watch {
            watch.saw(self.sender, piece);
        }
        Passed::All
    }
}
