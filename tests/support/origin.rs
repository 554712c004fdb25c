//! Origins that do exactly what a test tells them.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio_rustls::TlsAcceptor;

use super::{Wire, trust};

/// An answer that is not whole.
pub(crate) const BEGUN: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";

/// What makes it whole.
pub(crate) const ENDED: &str = "4\r\nlast\r\n0\r\n\r\n";

type Play = Arc<dyn Fn(Wire, Report) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Tells the test what an origin saw.
#[derive(Clone)]
pub(crate) struct Report(pub(crate) UnboundedSender<String>);

impl Report {
    pub(crate) fn say(&self, what: impl Into<String>) {
        let _ = self.0.send(what.into());
    }
}

/// An origin that is not started yet.
pub(crate) struct Origin {
    pub(crate) host: String,
    pub(crate) port: u16,
    bind: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    resets: bool,
    play: Play,
}

/// An origin with TLS and without ALPN, at port 443 of this host; it closes what it accepts.
pub(crate) fn origin(host: &str) -> Origin {
    Origin {
        host: host.to_owned(),
        port: 443,
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: Some(Arc::new(trust::server_config(&[host.to_owned()], &[]))),
        resets: false,
        play: Arc::new(|_, _| Box::pin(async {})),
    }
}

impl Origin {
    /// Offers these protocols.
    pub(crate) fn alpn(mut self, names: &[&str]) -> Self {
        self.tls = Some(Arc::new(trust::server_config(&[self.host.clone()], names)));
        self
    }

    /// Shows a certificate for these names instead of its own host's.
    pub(crate) fn certified_for(mut self, names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        self.tls = Some(Arc::new(trust::server_config(&names, &[])));
        self
    }

    /// Speaks TLS like this.
    pub(crate) fn tls(mut self, config: ServerConfig) -> Self {
        self.tls = Some(Arc::new(config));
        self
    }

    /// Speaks TCP alone, at this port.
    pub(crate) fn without_tls(mut self, port: u16) -> Self {
        (self.tls, self.port) = (None, port);
        self
    }

    /// Ends every connection with a reset.
    pub(crate) fn resets(mut self) -> Self {
        self.resets = true;
        self
    }

    /// Listens on this address.
    pub(crate) fn on(mut self, address: SocketAddr) -> Self {
        self.bind = address;
        self
    }

    /// Does this with each connection.
    pub(crate) fn plays<F, P>(mut self, play: F) -> Self
    where
        F: Fn(Wire, Report) -> P + Send + Sync + 'static,
        P: Future<Output = ()> + Send + 'static,
    {
        self.play = Arc::new(move |wire, report| Box::pin(play(wire, report)));
        self
    }

    /// Answers every head with the same bytes, and reports the head.
    pub(crate) fn answers(self, answer: impl AsRef<[u8]>) -> Self {
        let answer: Arc<[u8]> = answer.as_ref().into();
        self.plays(move |mut wire, report| {
            let answer = Arc::clone(&answer);
            async move {
                while let Some(head) = wire.try_head().await {
                    report.say(head);
                    if wire.try_send(&answer).await.is_err() {
                        return;
                    }
                }
                wire.close().await;
            }
        })
    }

    /// Answers one head with these bytes, then ends in order.
    pub(crate) fn answers_once(self, answer: impl AsRef<[u8]>) -> Self {
        let answer: Arc<[u8]> = answer.as_ref().into();
        self.plays(move |mut wire, report| {
            let answer = Arc::clone(&answer);
            async move {
                report.say(wire.head().await);
                wire.send(&answer).await;
                wire.close().await;
            }
        })
    }

    /// Answers one head with these bytes, then cuts the connection without a close_notify.
    pub(crate) fn answers_and_cuts(self, answer: impl AsRef<[u8]>) -> Self {
        let answer: Arc<[u8]> = answer.as_ref().into();
        self.plays(move |mut wire, report| {
            let answer = Arc::clone(&answer);
            async move {
                report.say(wire.head().await);
                wire.send(&answer).await;
            }
        })
    }

    /// Begins an answer to each head and never ends it; reports when the connection is over.
    pub(crate) fn never_finishes(self) -> Self {
        self.plays(|mut wire, report| async move {
            while let Some(head) = wire.try_head().await {
                report.say(head);
                if wire.try_send(BEGUN).await.is_err() {
                    break;
                }
            }
            report.say("over");
        })
    }

    /// Begins an answer, goes on when the test says so, and ends it as chunks end.
    pub(crate) fn waits_for(self, go: Arc<Notify>) -> Self {
        self.plays(move |mut wire, report| {
            let go = Arc::clone(&go);
            async move {
                report.say(wire.head().await);
                wire.send(BEGUN).await;
                go.notified().await;
                let _ = wire.try_send(ENDED).await;
                let (_, ending) = wire.rest().await;
                report.say(format!("{ending:?}"));
            }
        })
    }

    pub(crate) async fn start(self, report: Report) -> SocketAddr {
        let listener = TcpListener::bind(self.bind).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                if self.resets {
                    stream.set_zero_linger().unwrap();
                }
                tokio::spawn(one(stream, self.tls.clone(), Arc::clone(&self.play), report.clone()));
            }
        });
        address
    }
}

/// An address that does not answer: its queue is full, and nobody takes from it. What fills it has to be kept.
pub(crate) async fn unanswering() -> (SocketAddr, Vec<tokio::task::JoinHandle<std::io::Result<TcpStream>>>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Two are taken by the kernel; the next ones are not answered at all.
    let queued: Vec<_> = (0..2).map(|_| tokio::spawn(TcpStream::connect(address))).collect();
    while !queued.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::task::yield_now().await;
    }
    let mut kept = queued;
    kept.push(tokio::spawn(async move {
        let _listener = listener;
        std::future::pending().await
    }));
    (address, kept)
}

async fn one(stream: TcpStream, tls: Option<Arc<ServerConfig>>, play: Play, report: Report) {
    let wire = match tls {
        Some(config) => match TlsAcceptor::from(config).accept(stream).await {
            Ok(stream) => Wire::new(stream),
            Err(error) => return report.say(format!("no handshake: {error}")),
        },
        None => Wire::new(stream),
    };
    play(wire, report).await;
}
