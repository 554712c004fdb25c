//! Relaying HTTP/1.1 faithfully: heads keep their order and case, bodies pass byte for byte, both directions at once.

use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use smol_str::SmolStr;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::framing::Body;
use super::head::{self, HeadError, Length, RequestHead, ResponseHead, Version};
use super::websocket::{AfterUpgrade, Sender, WebSocketWatch};
use crate::journal::{End, Exchange, Pen, Told};
use crate::net::{
    Destination, DialError, Filter, Flow, Parent, ParentFault, ParentSaid, Passed, PumpError, pump, read_some,
};
use crate::proxy::respond::Answer;
use crate::proxy::stall::{Limits, Phase, Stall, words};
use crate::proxy::tunnel::{self, Ended};

/// How long a connection may stay without a request, and a request head incomplete.
const IDLE: Duration = Duration::from_secs(600);

/// Pipelined requests are read ahead up to this; then the client waits.
const READ_AHEAD: usize = 64 << 10;

/// One side of a relay: a stream in two halves, and what was read from it ahead of need.
pub(crate) struct Side<S> {
    pub(crate) reader: ReadHalf<S>,
    pub(crate) writer: WriteHalf<S>,
    pub(crate) buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite> Side<S> {
    pub(crate) fn new(stream: S, read_ahead: Vec<u8>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self { reader, writer, buffer: read_ahead }
    }
}

/// Says which requests belong to this relay, and with which target they go on.
pub(crate) trait Gate {
    /// Looks at a request before anything of it goes on.
    fn admit(&mut self, request: &RequestHead) -> Admission;
}

/// The answer of a [`Gate`].
pub(crate) enum Admission {
    /// It goes to the origin with this target.
    Forward {
        target: String,
        /// What has to stand in `Host` instead of what stands there.
        host: Option<String>,
    },
    /// It is for another destination: the relay ends and hands it back.
    Elsewhere,
    /// It is refused with this answer.
    Refuse(Answer),
}

/// How a relay ended.
pub(crate) enum RelayEnd {
    /// For good. An end that is not clean must reach the client as a cut, never as a completed body. `idle` says that
    /// the origin's connection stands between two requests and could carry another.
    Closed { end: End, clean: bool, idle: bool },
    /// With a request for another destination, whose head is still in the client's buffer.
    Elsewhere,
}

/// What a relay needs to know.
pub(crate) struct Relay<'a> {
    pub(crate) recording: &'a Pen,
    /// Header fields of answers that are removed.
    pub(crate) dropped: &'static [&'static str],
    /// Whole header lines that are added to requests.
    pub(crate) added: &'a [u8],
    /// How long nothing may move.
    pub(crate) limits: Limits,
    /// The parent proxy that takes the requests in the place of their destination, with that.
    pub(crate) parent: Option<(&'a Arc<Parent>, &'a Destination)>,
}

enum Step {
    Next,
    End(RelayEnd),
}

fn closed(end: End, clean: bool) -> Step {
    Step::End(RelayEnd::Closed { end, clean, idle: false })
}

impl Relay<'_> {
    /// Relays requests and answers until a side ends, a drain is asked for, or a request belongs elsewhere.
    pub(crate) async fn run<C, O>(&self, client: &mut Side<C>, origin: &mut Side<O>, gate: &mut impl Gate) -> RelayEnd
    where
        C: AsyncRead + AsyncWrite,
        O: AsyncRead + AsyncWrite,
    {
        let mut first = true;
        let mut stall = Stall::new(self.limits);
        loop {
            let request = match self.next_request(client, origin).await {
                Ok(request) => request,
                Err(end) => return end,
            };
            let (request, target) = match gate.admit(&request) {
                Admission::Forward { target, host: None } => (request, target),
                Admission::Forward { target, host: Some(host) } => match request.with_host(&host) {
                    Ok(request) => (request, target),
                    Err(error) => return self.bad_request(client, error).await,
                },
                Admission::Elsewhere => {
                    let mut head = request.into_bytes();
                    head.append(&mut client.buffer);
                    client.buffer = head;
                    return RelayEnd::Elsewhere;
                }
                Admission::Refuse(answer) => {
                    let why = answer.detail.clone();
                    return self.refuse(client, answer, End::middlebox(why)).await;
                }
            };
            // In a box of its own, which is given back while the connection waits for the next request.
            match Box::pin(self.exchange(client, origin, &request, &target, first, &mut stall)).await {
                Step::Next => first = false,
                Step::End(end) => return end,
            }
            // An idle connection holds no buffers.
            client.buffer.shrink_to_fit();
            origin.buffer = Vec::new();
        }
    }

    async fn next_request<C, O>(&self, client: &mut Side<C>, origin: &mut Side<O>) -> Result<RequestHead, RelayEnd>
    where
        C: AsyncRead + AsyncWrite,
        O: AsyncRead + AsyncWrite,
    {
        let (drain, kill) = (&self.recording.live().drain, &self.recording.live().kill);
        let deadline = tokio::time::sleep(IDLE);
        tokio::pin!(deadline);
        loop {
            let empty = head::leading_empty_lines(&client.buffer);
            client.buffer.drain(..empty);
            match head::find_end(&client.buffer) {
                Ok(Some(end)) => {
                    let rest = client.buffer.split_off(end);
                    let head = std::mem::replace(&mut client.buffer, rest);
                    return match RequestHead::parse(head) {
                        Ok(request) => Ok(request),
                        Err(error) => Err(self.bad_request(client, error).await),
                    };
                }
                Ok(None) => {}
                Err(error) => return Err(self.bad_request(client, error).await),
            }
            let waiting = client.buffer.is_empty();
            let end = |end: End, clean: bool| Err(RelayEnd::Closed { end, clean, idle: false });
            let idle = |end: End, clean: bool| Err(RelayEnd::Closed { end, clean, idle: true });
            tokio::select! {
                read = read_some(&mut client.reader, &mut client.buffer) => match read {
                    Ok(0) if waiting => return idle(End::client("closed"), true),
                    Ok(0) => return end(End::client("closed inside a request head"), false),
                    Ok(_) => {}
                    // Many clients leave without a close_notify: the origin's connection is none the worse for it.
                    Err(error) if waiting => return idle(End::client(error.to_string()), false),
                    Err(error) => return end(End::client(error.to_string()), false),
                },
                read = read_some(&mut origin.reader, &mut origin.buffer) => return match read {
                    Ok(0) => end(End::origin("closed"), true),
                    Ok(_) => end(End::origin("spoke without being asked"), false),
                    Err(error) => end(End::origin(error.to_string()), false),
                },
                () = drain.cancelled(), if waiting => return idle(End::middlebox("drained"), true),
                () = kill.cancelled() => return end(End::middlebox("ended"), false),
                () = &mut deadline => return idle(End::middlebox("no request for 10 minutes"), true),
            }
        }
    }

    async fn bad_request<C: AsyncRead + AsyncWrite>(&self, client: &mut Side<C>, error: HeadError) -> RelayEnd {
        let answer = Answer::bad_request(error.to_string());
        self.refuse(client, answer, End::middlebox(format!("refused a request: {error}"))).await
    }

    /// Answers in the origin's place, and ends the connection.
    async fn refuse<C: AsyncRead + AsyncWrite>(&self, client: &mut Side<C>, answer: Answer, end: End) -> RelayEnd {
        let inside = self.recording.note(|record| record.handshake.is_some());
        let status = answer.status.as_u16();
        self.recording.note(|record| {
            record.told = Some(if inside { Told::StatusInside(status) } else { Told::Status(status) });
        });
        let clean = client.writer.write_all(&answer.to_http1()).await.is_ok() && client.writer.flush().await.is_ok();
        RelayEnd::Closed { end, clean, idle: false }
    }

    async fn exchange<C, O>(
        &self,
        client: &mut Side<C>,
        origin: &mut Side<O>,
        request: &RequestHead,
        target: &str,
        first: bool,
        stall: &mut Stall,
    ) -> Step
    where
        C: AsyncRead + AsyncWrite,
        O: AsyncRead + AsyncWrite,
    {
        let live = self.recording.live();
        let (sent, received, passing) = (AtomicU64::new(0), AtomicU64::new(0), Passing::default());
        let begun = Instant::now();
        let mut status = None;
        let mut websocket = None;

        let step = 'exchange: {
            // The head and what is there of the body leave in one write.
            let mut out = request.to_origin(target, self.added);
            let mut body = Body::of(request.length);
            if let Some(follow) = &mut body {
                match follow.pass(&client.buffer) {
                    Passed::All => {
                        sent.fetch_add(client.buffer.len() as u64, Ordering::Relaxed);
                        out.append(&mut client.buffer);
                    }
                    Passed::Complete(count) => {
                        sent.fetch_add(count as u64, Ordering::Relaxed);
                        out.extend(client.buffer.drain(..count));
                        body = None;
                    }
                    Passed::Broken(why) => {
                        let answer = Answer::bad_request(why.to_owned());
                        break 'exchange Step::End(self.refuse(client, answer, End::middlebox(why)).await);
                    }
                }
            }
            let written = async {
                origin.writer.write_all(&out).await?;
                origin.writer.flush().await
            };
            if let Err(error) = written.await
                && !first
            {
                // The origin closed an idle connection while the request came: the client sees the same, and retries.
                break 'exchange closed(End::origin(error.to_string()), false);
            }
            drop(out);

            let answered = {
                let complete = AtomicBool::new(body.is_none());
                let mut answer =
                    ToClient { relay: self, request, status: &mut status, passing: &passing, first, begun: false };
                let mut up = std::pin::pin!(upload(
                    &mut client.reader,
                    &mut client.buffer,
                    &mut origin.writer,
                    body,
                    &sent,
                    &complete
                ));
                let mut down =
                    std::pin::pin!(answer.relay(&mut origin.reader, &mut origin.buffer, &mut client.writer, &received));
                let moved = || {
                    let bytes = sent.load(Ordering::Relaxed).wrapping_add(received.load(Ordering::Relaxed));
                    (passing.phase(), bytes.wrapping_add(passing.interim.load(Ordering::Relaxed)))
                };
                let mut stalled = std::pin::pin!(stall.lasts(moved));
                let mut sending = true;
                let answered = loop {
                    tokio::select! {
                        stopped = &mut up, if sending => match stopped {
                            // It may have answered before it stopped reading: the answer decides.
                            Stopped::OriginGone => sending = false,
                            Stopped::Broken(why) if !passing.answered.load(Ordering::Relaxed) => {
                                break Answered::Refuse(Answer::bad_request(why.to_owned()), End::middlebox(why));
                            }
                            stopped => break 'exchange stopped.into_step(),
                        },
                        answered = &mut down => break answered,
                        phase = &mut stalled => break self.stalled(phase),
                        () = live.kill.cancelled() => break 'exchange closed(End::middlebox("ended"), false),
                    }
                };
                // An early answer to a running upload: the rest of the request still belongs to this exchange.
                if matches!(answered, Answered::Done { .. }) && !complete.load(Ordering::Relaxed) {
                    if !sending {
                        break 'exchange Stopped::OriginGone.into_step();
                    }
                    let rest = poll_fn(|cx| match up.as_mut().poll(cx) {
                        Poll::Ready(stopped) => Poll::Ready(Some(stopped)),
                        Poll::Pending if complete.load(Ordering::Relaxed) => Poll::Ready(None),
                        Poll::Pending => Poll::Pending,
                    });
                    tokio::select! {
                        stopped = rest => if let Some(stopped) = stopped {
                            break 'exchange stopped.into_step();
                        },
                        _ = &mut stalled => {
                            let end = End::middlebox(self.silence("behind its early answer"));
                            break 'exchange closed(end, false);
                        }
                        () = live.kill.cancelled() => break 'exchange closed(End::middlebox("ended"), false),
                    }
                }
                answered
            };
            match answered {
                Answered::Done { keep: true } => {}
                Answered::Done { keep: false } => break 'exchange closed(self.reason(request), true),
                Answered::Upgraded { extended } => {
                    if request.upgrades_to("websocket") {
                        websocket = Some(WebSocketWatch::new(self.recording.clone(), extended));
                    }
                    let Ended { end, clean } =
                        self.upgraded(client, origin, websocket.as_ref(), &sent, &received).await;
                    break 'exchange closed(end, clean);
                }
                Answered::Closed { end, clean } => break 'exchange closed(end, clean),
                Answered::Refuse(answer, end) => break 'exchange Step::End(self.refuse(client, answer, end).await),
            }
            if live.drain.is_cancelled() {
                break 'exchange closed(End::middlebox("drained"), true);
            }
            Step::Next
        };
        live.up().fetch_add(sent.load(Ordering::Relaxed), Ordering::Relaxed);
        live.down().fetch_add(received.load(Ordering::Relaxed), Ordering::Relaxed);
        self.recording.exchange(|| Exchange {
            method: request.method.as_str().into(),
            host: request.host().into(),
            path: path_of(target),
            version: match request.version {
                Version::Http10 => "HTTP/1.0",
                Version::Http11 => "HTTP/1.1",
            },
            status,
            request_bytes: sent.into_inner(),
            response_bytes: received.into_inner(),
            began_us: self.recording.moment(begun),
            took_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            websocket: websocket.map(|watch| Box::new(watch.facts())),
        });
        step
    }

    /// What becomes of an exchange in which nothing has moved for too long.
    fn stalled(&self, phase: Phase) -> Answered {
        match phase {
            Phase::Unanswered => {
                let answer = Answer::unanswered(self.limits.answer);
                let end = End::middlebox(answer.detail.clone());
                Answered::Refuse(answer, end)
            }
            Phase::Answered => {
                let end = End::middlebox(self.silence("inside the answer"));
                Answered::Closed { end, clean: false }
            }
        }
    }

    fn silence(&self, place: &str) -> String {
        format!("nothing moved for {} {place}", words(self.limits.idle))
    }

    /// Who wanted the connection to close after an answer.
    fn reason(&self, request: &RequestHead) -> End {
        if !request.keeps_alive() {
            End::client("asked for one answer only")
        } else if self.recording.live().drain.is_cancelled() {
            End::middlebox("drained")
        } else {
            End::origin("closed after its answer")
        }
    }

    /// After `101` the bytes pass untouched, each direction to its own end; a WebSocket's are looked at.
    async fn upgraded<C, O>(
        &self,
        client: &mut Side<C>,
        origin: &mut Side<O>,
        watch: Option<&WebSocketWatch>,
        sent: &AtomicU64,
        received: &AtomicU64,
    ) -> Ended
    where
        C: AsyncRead + AsyncWrite,
        O: AsyncRead + AsyncWrite,
    {
        let (early_up, early_down) = (std::mem::take(&mut client.buffer), std::mem::take(&mut origin.buffer));
        let up = async {
            let mut all = AfterUpgrade { watch, sender: Sender::Client };
            let flow = pump(&mut client.reader, &mut origin.writer, &mut all, &early_up, sent).await;
            if flow.is_ok() {
                let _ = origin.writer.shutdown().await;
            }
            flow
        };
        let down = async {
            let mut all = AfterUpgrade { watch, sender: Sender::Origin };
            let flow = pump(&mut origin.reader, &mut client.writer, &mut all, &early_down, received).await;
            if flow.is_ok() {
                let _ = client.writer.shutdown().await;
            }
            flow
        };
        tunnel::both(self.recording.live(), self.limits.idle, up, down, sent, received).await
    }
}

/// What is remarked of a header field that is removed from an answer.
pub(super) fn removed(name: &str) -> String {
    match name {
        "alt-svc" => {
            "Alt-Svc was removed from answers: the HTTP/3 that it offers would lead around inspection".to_owned()
        }
        name => format!("{name} was removed from answers"),
    }
}

/// The path of a target, without its query and without the authority of an absolute form.
fn path_of(target: &str) -> SmolStr {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    match path.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]).into(),
        None => path.into(),
    }
}

/// Why the client's direction of an exchange stopped.
enum Stopped {
    ClientGone(String),
    OriginGone,
    Broken(&'static str),
}

impl Stopped {
    fn into_step(self) -> Step {
        match self {
            Self::ClientGone(how) => closed(End::client(how), false),
            Self::OriginGone => closed(End::origin("stopped reading the request"), true),
            Self::Broken(why) => closed(End::middlebox(why), false),
        }
    }
}

/// Sends the rest of a request's body and says when it is `complete`. Behind it, reads ahead, so that a client that
/// leaves is noticed while the answer is awaited; its half-close is passed on. Returns only when something is wrong.
async fn upload<R, W>(
    reader: &mut R,
    buffer: &mut Vec<u8>,
    writer: &mut W,
    body: Option<Body>,
    sent: &AtomicU64,
    complete: &AtomicBool,
) -> Stopped
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    if let Some(mut body) = body {
        match pump(reader, writer, &mut body, &[], sent).await {
            Ok(Flow::Complete(rest)) => buffer.extend_from_slice(&rest),
            Ok(Flow::Ended) => return Stopped::ClientGone("closed inside a request body".to_owned()),
            Ok(Flow::Broken(why)) => return Stopped::Broken(why),
            Err(PumpError::Read(error)) => return Stopped::ClientGone(error.to_string()),
            Err(PumpError::Write(_)) => return Stopped::OriginGone,
        }
        complete.store(true, Ordering::Relaxed);
    }
    while buffer.len() < READ_AHEAD {
        match read_some(reader, buffer).await {
            Ok(0) => {
                let _ = writer.shutdown().await;
                break;
            }
            Ok(_) => {}
            Err(error) => return Stopped::ClientGone(error.to_string()),
        }
    }
    std::future::pending().await
}

enum Answered {
    Done {
        keep: bool,
    },
    /// To another protocol, for which extensions may have been agreed on.
    Upgraded {
        extended: bool,
    },
    Closed {
        end: End,
        clean: bool,
    },
    Refuse(Answer, End),
}

/// How far the answer to one request has come, for those who watch it.
#[derive(Debug, Default)]
struct Passing {
    /// A head is on its way to the client, or was the last: what follows belongs to the answer.
    answered: AtomicBool,
    /// Interim answers that have passed.
    interim: AtomicU64,
}

impl Passing {
    fn phase(&self) -> Phase {
        if self.answered.load(Ordering::Relaxed) { Phase::Answered } else { Phase::Unanswered }
    }
}

/// Carries the answers to one request.
struct ToClient<'a, 'r> {
    relay: &'a Relay<'r>,
    request: &'a RequestHead,
    status: &'a mut Option<u16>,
    passing: &'a Passing,
    first: bool,
    begun: bool,
}

impl ToClient<'_, '_> {
    async fn relay<R, W>(
        &mut self,
        reader: &mut R,
        buffer: &mut Vec<u8>,
        writer: &mut W,
        received: &AtomicU64,
    ) -> Answered
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            let head = loop {
                match head::find_end(buffer) {
                    Ok(Some(end)) => {
                        let rest = buffer.split_off(end);
                        break std::mem::replace(buffer, rest);
                    }
                    Ok(None) => {}
                    Err(error) => return self.bad_answer(error),
                }
                let empty = buffer.is_empty();
                match read_some(reader, buffer).await {
                    Ok(0) => return self.no_answer(empty, "closed before it answered".into()),
                    Ok(_) => {}
                    Err(error) => return self.no_answer(empty, error.to_string().into()),
                }
            };
            let response = match ResponseHead::parse(head) {
                Ok(response) => response,
                Err(error) => return self.bad_answer(error),
            };
            if response.status == 407
                && let Some((parent, destination)) = self.relay.parent
            {
                // A challenge that is meant for us, and that the client could only answer with our secret.
                let said =
                    ParentSaid::Http { status: 407, reason: "Proxy Authentication Required".to_owned(), detail: None };
                let wrong = parent.has_credentials();
                let fault = if wrong { ParentFault::WrongCredentials(said) } else { ParentFault::Credentials(said) };
                let (parent, destination) = (Arc::clone(parent), destination.clone());
                let error = DialError::Parent { parent, destination, fault };
                let why = error.to_string();
                self.relay.recording.note(|record| record.origin.get_or_insert_default().fault = Some(why.clone()));
                return Answered::Refuse(Answer::unreachable(&error), End::middlebox(why));
            }
            let length = match response.length(&self.request.method) {
                Ok(length) => length,
                Err(error) => return self.bad_answer(error),
            };
            let interim = response.status < 200 && response.status != 101;
            if response.status == 101 && !self.request.upgrades() {
                return self.bad_answer(HeadError::FirstLine);
            }
            let drains = self.relay.recording.live().drain.is_cancelled();
            let keep = response.keeps_alive() && length != Length::ToEnd && self.request.keeps_alive() && !drains;
            self.begun = true;
            self.passing.answered.store(true, Ordering::Relaxed);
            if !interim {
                *self.status = Some(response.status);
            }

            // An end that follows from the answer and its request needs no word; one that contradicts them does.
            let closes = response.says("close") || drains || (!keep && response.says("keep-alive"));
            self.note_dropped(&response);
            let mut out = response.to_client(closes && !interim, self.relay.dropped);
            let mut body = Body::of(length);
            if let Some(follow) = &mut body {
                match follow.pass(buffer) {
                    Passed::All => {
                        received.fetch_add(buffer.len() as u64, Ordering::Relaxed);
                        out.append(buffer);
                    }
                    Passed::Complete(count) => {
                        received.fetch_add(count as u64, Ordering::Relaxed);
                        out.extend(buffer.drain(..count));
                        body = None;
                    }
                    Passed::Broken(why) => return Answered::Closed { end: End::origin(why), clean: false },
                }
            }
            let written = async {
                writer.write_all(&out).await?;
                writer.flush().await
            };
            if let Err(error) = written.await {
                return Answered::Closed { end: End::client(error.to_string()), clean: false };
            }
            drop(out);
            if interim {
                self.passing.interim.fetch_add(1, Ordering::Relaxed);
                self.passing.answered.store(false, Ordering::Relaxed);
                continue;
            }
            if response.status == 101 {
                return Answered::Upgraded { extended: response.has("sec-websocket-extensions") };
            }
            let Some(mut body) = body else { return Answered::Done { keep } };
            return match pump(reader, writer, &mut body, &[], received).await {
                Ok(Flow::Complete(rest)) => {
                    buffer.extend_from_slice(&rest);
                    Answered::Done { keep }
                }
                Ok(Flow::Ended) if length == Length::ToEnd => {
                    Answered::Closed { end: End::origin("closed"), clean: true }
                }
                Ok(Flow::Ended) => {
                    Answered::Closed { end: End::origin("closed inside the body of its answer"), clean: false }
                }
                Ok(Flow::Broken(why)) => Answered::Closed { end: End::origin(why), clean: false },
                Err(PumpError::Read(error)) => Answered::Closed { end: End::origin(error.to_string()), clean: false },
                Err(PumpError::Write(error)) => Answered::Closed { end: End::client(error.to_string()), clean: false },
            };
        }
    }

    fn note_dropped(&self, response: &ResponseHead) {
        for name in self.relay.dropped.iter().filter(|name| response.has(name)) {
            self.relay.recording.note(|record| record.note_once(&removed(name)));
        }
    }

    fn no_answer(&self, nothing_came: bool, how: Cow<'static, str>) -> Answered {
        // On a connection that was used before, the client sees what it would see without us, and retries.
        if nothing_came && (!self.first || self.begun) {
            return Answered::Closed { end: End::origin(how), clean: self.first };
        }
        let answer = Answer::bad_gateway("http_response_incomplete", format!("the origin {how}"));
        Answered::Refuse(answer, End::origin(how))
    }

    fn bad_answer(&self, error: HeadError) -> Answered {
        let end = End::middlebox(format!("refused the origin's answer: {error}"));
        if self.begun {
            return Answered::Closed { end, clean: false };
        }
        let text = format!("the origin's answer cannot be passed on: {error}");
        Answered::Refuse(Answer::bad_gateway("http_protocol_error", text), end)
    }
}
