//! One request and its answer over HTTP/2, and how a reset on one side becomes one on the other.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method, Request, Response, Uri, Version, header};
use smol_str::SmolStr;

use super::http1::removed;
use super::http2::Http2Relay;
use super::http2_origin::Http2Origin;
use super::websocket::{Sender, WebSocketWatch};
use crate::journal::{Exchange, Told};
use crate::proxy::respond::Answer;
use crate::proxy::stall::{Phase, Stall};

/// One exchange; recorded when it is let go.
pub(super) struct Http2Exchange {
    relay: Arc<Http2Relay>,
    begun: Instant,
    method: SmolStr,
    host: SmolStr,
    path: SmolStr,
    /// 0 before the answer.
    status: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    interim: AtomicU64,
    /// The head of the answer is on its way to the client.
    answered: AtomicBool,
    /// Where the client asks for a WebSocket (RFC 8441).
    websocket: Option<WebSocketWatch>,
}

/// Why an exchange did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    /// The client reset its stream, or is gone.
    Client(Reason),
    /// The origin reset the stream.
    Origin(Reason),
    /// The origin's connection ended.
    OriginGone,
    /// The origin said goodbye before it looked at the request, which can be sent again (RFC 9113, 8.7).
    NotProcessed,
    /// Nothing moved for too long.
    Silence(Phase),
}

impl Broken {
    fn client(error: &h2::Error) -> Self {
        Self::Client(error.reason().filter(|_| error.is_reset()).unwrap_or(Reason::CANCEL))
    }

    fn origin(error: &h2::Error) -> Self {
        match error.reason() {
            Some(reason) if error.is_reset() => Self::Origin(reason),
            Some(_) if error.is_go_away() && error.is_remote() => Self::NotProcessed,
            Some(reason) => Self::Origin(reason),
            None => Self::OriginGone,
        }
    }
}

impl Http2Exchange {
    pub(super) fn new(relay: Arc<Http2Relay>, request: &Request<RecvStream>) -> Self {
        // Nameless where the record has no room for it.
        let name = || {
            let host = authority_of(request).map(|authority| authority.as_str().into()).unwrap_or_default();
            (request.method().as_str().into(), host, request.uri().path().into())
        };
        let (method, host, path) = relay.pen.has_room().then(name).unwrap_or_default();
        let asked_for = request.extensions().get::<Protocol>().map(Protocol::as_str);
        // Which extensions are agreed on is in the answer, and frames may be on their way before it: what the client
        // offers is what they may use.
        let extended = request.headers().contains_key("sec-websocket-extensions");
        let websocket = (asked_for == Some("websocket")).then(|| WebSocketWatch::new(relay.pen.clone(), extended));
        Self {
            relay,
            begun: Instant::now(),
            method,
            host,
            path,
            status: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            interim: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            websocket,
        }
    }

    /// Carries the exchange to its end.
    pub(super) async fn run(
        &self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        origin: &Http2Origin,
    ) {
        if request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_none() {
            let answer = Answer::method_not_allowed("a CONNECT inside inspected TLS is not passed on");
            return self.answer(&mut respond, &answer);
        }
        let (head, mut body) = self.to_origin(request);
        let ended = body.is_end_stream();

        let mut stall = Stall::new(self.relay.limits);
        let mut stalled = pin!(stall.lasts(|| self.progress()));
        // Waits while the origin allows no more streams.
        let opened = tokio::select! {
            opened = open(origin, head, ended) => opened,
            reset = poll_fn(|cx| respond.poll_reset(cx)) => Err(Broken::Client(reset.unwrap_or(Reason::CANCEL))),
            phase = &mut stalled => Err(Broken::Silence(phase)),
        };
        let (answer, mut to_origin) = match opened {
            Ok(opened) => opened,
            // Nothing of it was sent.
            Err(Broken::OriginGone) => return self.end(Broken::NotProcessed, &mut respond, None),
            Err(broken) => return self.end(broken, &mut respond, None),
        };
        let result = {
            let mut uploading = pin!(async {
                match ended {
                    true => Ok(()),
                    false => self.carry(Direction::Up, &mut body, &mut to_origin).await,
                }
            });
            let mut answering = pin!(self.download(answer, &mut respond));
            // How the upload ended, once it has.
            let mut uploaded: Option<Result<(), Broken>> = None;
            loop {
                tokio::select! {
                    result = &mut uploading, if uploaded.is_none() => match result {
                        Err(broken @ Broken::Client(_)) => break Err(broken),
                        // An origin may have answered before it stopped reading: the answer decides.
                        result => uploaded = Some(result),
                    },
                    result = &mut answering => break match (result, uploaded) {
                        (Ok(()), Some(uploaded)) => uploaded,
                        // An early answer: the rest of the request still belongs to this exchange.
                        (Ok(()), None) => tokio::select! {
                            result = &mut uploading => result,
                            phase = &mut stalled => Err(Broken::Silence(phase)),
                        },
                        (broken, _) => broken,
                    },
                    phase = &mut stalled => break Err(Broken::Silence(phase)),
                }
            }
        };
        if let Err(broken) = result {
            self.end(broken, &mut respond, Some(&mut to_origin));
        }
    }

    /// Moves a body with its trailers, as the window of the receiving side lets it: only what has moved on makes room for
    /// more. A reset of the receiving side is seen at once.
    async fn carry(
        &self,
        direction: Direction,
        from: &mut RecvStream,
        to: &mut SendStream<Bytes>,
    ) -> Result<(), Broken> {
        let live = self.relay.pen.live();
        let (moved, total, sender) = match direction {
            Direction::Up => (&self.sent, live.up(), Sender::Client),
            Direction::Down => (&self.received, live.down(), Sender::Origin),
        };
        loop {
            let data = poll_fn(|cx| match to.poll_reset(cx) {
                Poll::Ready(reset) => Poll::Ready(Err(direction.reset(reset))),
                Poll::Pending => {
                    from.poll_data(cx).map(|data| data.transpose().map_err(|error| direction.unread(&error)))
                }
            });
            let Some(mut data) = data.await? else { break };
            if let Some(watch) = &self.websocket {
                watch.saw(sender, &data);
            }
            let ended = from.is_end_stream();
            loop {
                let room = if data.is_empty() { 0 } else { room(direction, to, data.len()).await? };
                let piece = data.split_to(room);
                let last = data.is_empty();
                to.send_data(piece, last && ended).map_err(|error| direction.unwritten(&error))?;
                // The stream may be gone meanwhile, and then nobody needs the room.
                let _ = from.flow_control().release_capacity(room);
                moved.fetch_add(room as u64, Ordering::Relaxed);
                total.fetch_add(room as u64, Ordering::Relaxed);
                if last {
                    break;
                }
            }
            if ended {
                return Ok(());
            }
        }
        let trailers = poll_fn(|cx| from.poll_trailers(cx)).await.map_err(|error| direction.unread(&error))?;
        let sent = match trailers {
            Some(trailers) => to.send_trailers(trailers),
            None => to.send_data(Bytes::new(), true),
        };
        sent.map_err(|error| direction.unwritten(&error))
    }

    fn progress(&self) -> (Phase, u64) {
        let phase = if self.answered.load(Ordering::Relaxed) { Phase::Answered } else { Phase::Unanswered };
        let moved = [&self.sent, &self.received, &self.interim].map(|count| count.load(Ordering::Relaxed));
        (phase, moved.iter().fold(0, |sum: u64, count| sum.wrapping_add(*count)))
    }

    /// The request as the origin gets it, and its body.
    fn to_origin(&self, request: Request<RecvStream>) -> (Request<()>, RecvStream) {
        let authority = authority_of(&request);
        let (mut parts, body) = request.into_parts();
        drop_proxy_fields(&mut parts.headers);
        for (name, value) in self.relay.added.iter() {
            parts.headers.append(name.clone(), value.clone());
        }
        parts.version = Version::HTTP_2;
        // A request may name its host in `host` alone (RFC 9113, 8.3.1), which the other leg's library cannot send.
        if parts.uri.authority().is_none() && authority.is_some() {
            let mut uri = std::mem::take(&mut parts.uri).into_parts();
            (uri.scheme, uri.authority) = (Some(Scheme::HTTPS), authority);
            parts.uri = Uri::from_parts(uri).unwrap_or_default();
        }
        (Request::from_parts(parts, ()), body)
    }

    async fn download(&self, mut answer: ResponseFuture, respond: &mut SendResponse<Bytes>) -> Result<(), Broken> {
        let answered = poll_fn(|cx| {
            // Interim answers (RFC 9110, 15.2) stand before the answer.
            while let Poll::Ready(Some(Ok(mut interim))) = answer.poll_informational(cx) {
                drop_proxy_fields(interim.headers_mut());
                self.interim.fetch_add(1, Ordering::Relaxed);
                if respond.send_informational(interim).is_err() {
                    return Poll::Ready(Err(Broken::Client(Reason::CANCEL)));
                }
            }
            if let Poll::Ready(answered) = Pin::new(&mut answer).poll(cx) {
                return Poll::Ready(answered.map_err(|error| Broken::origin(&error)));
            }
            respond.poll_reset(cx).map(|reset| Err(Broken::Client(reset.unwrap_or(Reason::CANCEL))))
        });
        let (mut parts, mut body) = answered.await?.into_parts();
        self.status.store(parts.status.as_u16().into(), Ordering::Relaxed);
        drop_proxy_fields(&mut parts.headers);
        for name in self.relay.dropped {
            if parts.headers.remove(*name).is_some() {
                self.relay.pen.note(|record| record.note_once(&removed(name)));
            }
        }
        self.answered.store(true, Ordering::Relaxed);
        let ended = body.is_end_stream();
        let sent = respond.send_response(Response::from_parts(parts, ()), ended);
        let mut to_client = sent.map_err(|error| Broken::client(&error))?;
        match ended {
            true => Ok(()),
            false => self.carry(Direction::Down, &mut body, &mut to_client).await,
        }
    }

    /// Ends both sides of an exchange that broke, each with what the other said.
    fn end(&self, broken: Broken, respond: &mut SendResponse<Bytes>, to_origin: Option<&mut SendStream<Bytes>>) {
        let answered = self.answered.load(Ordering::Relaxed);
        let (of_client, of_origin) = match broken {
            Broken::Client(reason) => (None, Some(reason)),
            Broken::Origin(reason) => (Some(reason), None),
            Broken::NotProcessed => (Some(Reason::REFUSED_STREAM), None),
            Broken::OriginGone if answered => (Some(Reason::INTERNAL_ERROR), None),
            Broken::OriginGone => {
                let text = "the origin closed its connection before it answered";
                self.answer(respond, &Answer::bad_gateway("http_response_incomplete", text));
                (None, None)
            }
            Broken::Silence(Phase::Answered) => (Some(Reason::CANCEL), Some(Reason::CANCEL)),
            Broken::Silence(Phase::Unanswered) => {
                self.answer(respond, &Answer::unanswered(self.relay.limits.answer));
                (None, Some(Reason::CANCEL))
            }
        };
        if let (Some(reason), Some(to_origin)) = (of_origin, to_origin) {
            to_origin.send_reset(reason);
        }
        if let Some(reason) = of_client {
            respond.send_reset(reason);
        }
    }

    /// Answers in the origin's place.
    fn answer(&self, respond: &mut SendResponse<Bytes>, answer: &Answer) {
        self.relay.pen.note(|record| record.told = Some(Told::StatusInside(answer.status.as_u16())));
        let (head, body) = answer.to_http2();
        if let Ok(mut stream) = respond.send_response(head, false) {
            let _ = stream.send_data(body, true);
        }
    }
}

impl Drop for Http2Exchange {
    fn drop(&mut self) {
        let status = u16::try_from(*self.status.get_mut()).ok().filter(|status| *status != 0);
        self.relay.pen.exchange(|| Exchange {
            method: std::mem::take(&mut self.method),
            host: std::mem::take(&mut self.host),
            path: std::mem::take(&mut self.path),
            version: "HTTP/2",
            status,
            request_bytes: *self.sent.get_mut(),
            response_bytes: *self.received.get_mut(),
            began_us: self.relay.pen.moment(self.begun),
            took_us: u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            websocket: self.websocket.take().filter(|_| status == Some(200)).map(|watch| Box::new(watch.facts())),
        });
    }
}

/// Opens a stream to the origin, as soon as it allows one.
async fn open(
    origin: &Http2Origin,
    head: Request<()>,
    ended: bool,
) -> Result<(ResponseFuture, SendStream<Bytes>), Broken> {
    let mut sender = origin.sender().ready().await.map_err(|_| Broken::NotProcessed)?;
    // What it does not take is a request that it cannot write.
    sender.send_request(head, ended).map_err(|error| match Broken::origin(&error) {
        Broken::OriginGone if error.is_io() => Broken::NotProcessed,
        Broken::OriginGone => Broken::Origin(Reason::PROTOCOL_ERROR),
        broken => broken,
    })
}

/// Which way a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl Direction {
    fn unread(self, error: &h2::Error) -> Broken {
        match self {
            Self::Up => Broken::client(error),
            Self::Down => Broken::origin(error),
        }
    }

    fn unwritten(self, error: &h2::Error) -> Broken {
        match self {
            Self::Up => Broken::origin(error),
            Self::Down => Broken::client(error),
        }
    }

    fn reset(self, reset: Result<Reason, h2::Error>) -> Broken {
        match (self, reset) {
            (Self::Up, Ok(reason)) => Broken::Origin(reason),
            (Self::Down, Ok(reason)) => Broken::Client(reason),
            (_, Err(error)) => self.unwritten(&error),
        }
    }
}

/// Waits until some of so many bytes may be sent, and says how many.
async fn room(direction: Direction, to: &mut SendStream<Bytes>, wanted: usize) -> Result<usize, Broken> {
    to.reserve_capacity(wanted);
    let granted = poll_fn(|cx| {
        while to.capacity() == 0 {
            match to.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(direction.unwritten(&error))),
                Poll::Ready(None) => return to.poll_reset(cx).map(|reset| Err(direction.reset(reset))),
                Poll::Pending => return to.poll_reset(cx).map(|reset| Err(direction.reset(reset))),
            }
        }
        Poll::Ready(Ok(to.capacity()))
    });
    Ok(granted.await?.min(wanted))
}

/// Whom a request is for: `:authority`, else `host`.
fn authority_of(request: &Request<RecvStream>) -> Option<Authority> {
    let named = || request.headers().get(header::HOST)?.to_str().ok()?.parse().ok();
    request.uri().authority().cloned().or_else(named)
}

/// What is meant for a proxy goes no further, as in HTTP/1.1.
fn drop_proxy_fields(headers: &mut HeaderMap) {
    while let Some(name) = headers.keys().find(|name| name.as_str().starts_with("proxy-")).cloned() {
        headers.remove(name);
    }
}
