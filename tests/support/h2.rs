//! HTTP/2 ends: a client through the proxy, and an origin whose answers a test writes.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::origin::Report;
use super::{Client, Origin, Wire, soon};

/// A body of any kind.
pub(crate) type AnyBody = BoxBody<Bytes, BoxError>;

/// An error of any kind.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn full(bytes: impl Into<Bytes>) -> AnyBody {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

/// A body whose frames a test sends one by one.
pub(crate) fn by_hand(frames: UnboundedReceiver<Result<Frame<Bytes>, BoxError>>) -> AnyBody {
    BodyExt::boxed(StreamBody::new(UnboundedReceiverStream::new(frames)))
}

impl Client {
    /// An HTTP/2 connection through inspection.
    pub(crate) async fn h2(&self, host: &str) -> SendRequest<AnyBody> {
        let stream = self.clone().alpn(&["h2"]).tls_stream(host).await.unwrap();
        assert_eq!(super::client::agreed(&stream).as_deref(), Some("h2"));
        let handshake = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(1 << 22)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = soon("an HTTP/2 preface", handshake).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

impl Origin {
    /// Speaks HTTP/2, each request answered by `answer`; reports how each connection ended.
    pub(crate) fn h2<F, A>(self, answer: F) -> Self
    where
        F: Fn(Request<Incoming>, Report) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Response<AnyBody>, BoxError>> + Send + 'static,
    {
        let answer = Arc::new(answer);
        self.alpn(&["h2"]).plays(move |wire: Wire, report| {
            let answer = Arc::clone(&answer);
            async move {
                let told = report.clone();
                let service = service_fn(move |request| answer(request, told.clone()));
                let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = serving.serve_connection(TokioIo::new(wire.stream), service).await;
                report.say("connection over");
            }
        })
    }
}

/// A request with secrets in it.
pub(crate) fn request(method: &str, uri: &str, body: AnyBody) -> Request<AnyBody> {
    Request::builder()
        .method(method)
        .uri(format!("{uri}?token={}", super::SECRET))
        .header("authorization", format!("Bearer {}", super::SECRET))
        .header("cookie", format!("sid={}", super::SECRET))
        .body(body)
        .unwrap()
}
