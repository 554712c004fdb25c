//! One check over every way in, inspected, bypassed and in the clear: what is asserted once holds in every cell.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use middlebox::journal::{ConnectionRecord, Outcome};
use middlebox::net::Destination;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::door::{Door, REDIRECTED, any_port, to_proxy};
use crate::support::client::agreed;
use crate::support::wire::Stream;
use crate::support::{Client, Origin, Stage, Wire, stage};

pub(crate) const HOST: &str = "site.test";

/// What is done to a connection that came in by a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    Inspected,
    Bypassed,
    /// Requests in absolute form, which are relayed like inspected ones.
    Clear,
}

/// Which ways a check goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ways {
    /// Every door, inspected and bypassed, and the absolute form with and without TLS to the proxy.
    All,
    /// The same without the absolute form: for what only a tunnel can carry.
    Tunnels,
    /// Where the kernel redirects, inspected and bypassed.
    #[cfg(target_os = "linux")]
    Redirected(crate::transparent::Way),
}

impl Ways {
    fn are(self) -> Vec<(Treatment, Vec<Door>)> {
        use Treatment::{Bypassed, Clear, Inspected};
        let doors = match self {
            #[cfg(target_os = "linux")]
            Self::Redirected(_) => vec![Door::Redirected],
            Self::All | Self::Tunnels => Door::ALL.to_vec(),
        };
        let mut ways = vec![(Inspected, doors.clone()), (Bypassed, doors)];
        if matches!(self, Self::All) {
            ways.push((Clear, vec![Door::Connect, Door::ConnectOverTls]));
        }
        ways
    }
}

/// One cell: a way in and what is done there.
pub(crate) struct Way<'a> {
    pub(crate) door: Door,
    pub(crate) treatment: Treatment,
    stage: &'a Stage,
    /// Connections of this stage so far.
    opened: &'a Cell<usize>,
}

/// Does a check once for each cell. The check leaves nothing unheard, and ends every connection that it opens.
pub(crate) async fn everywhere(ways: Ways, site: impl Fn(Treatment) -> Origin, check: impl AsyncFn(&Way<'_>)) {
    for (treatment, doors) in ways.are() {
        let stage = set(ways, treatment, site(treatment)).await;
        let opened = Cell::new(0);
        for door in doors {
            let way = Way { door, treatment, stage: &stage, opened: &opened };
            eprintln!("{way:?}");
            check(&way).await;
            way.records().await;
        }
    }
}

async fn set(ways: Ways, treatment: Treatment, mut site: Origin) -> Stage {
    let to = Destination::parse(&format!("{HOST}:443")).unwrap();
    let mut build = stage().lab(|lab| match ways {
        #[cfg(target_os = "linux")]
        Ways::Redirected(_) => lab.transparent(any_port()),
        Ways::All | Ways::Tunnels => lab.forward(any_port(), to),
    });
    match treatment {
        Treatment::Inspected => {}
        Treatment::Bypassed => build = build.lab(|lab| lab.bypass(HOST)),
        Treatment::Clear => site = site.without_tls(80),
    }
    #[cfg(target_os = "linux")]
    if let Ways::Redirected(how) = ways {
        REDIRECTED.clone_into(&mut site.host);
        let stage = build.origin(site).start().await;
        crate::transparent::lead(how, stage.lab.other_addresses()[0].port());
        return stage;
    }
    build.origin(site).start().await
}

impl std::fmt::Debug for Way<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {:?}", self.door, self.treatment)
    }
}

impl Way<'_> {
    /// Whether nothing may be touched.
    pub(crate) fn is_untouched(&self) -> bool {
        self.treatment == Treatment::Bypassed
    }

    /// The target of a request for this path.
    pub(crate) fn target(&self, path: &str) -> String {
        match self.treatment {
            Treatment::Clear => format!("http://{HOST}{path}"),
            Treatment::Inspected | Treatment::Bypassed => path.to_owned(),
        }
    }

    /// A request for this path, with these header lines behind its `Host`.
    pub(crate) fn request(&self, method: &str, path: &str, lines: &str) -> String {
        format!("{method} {} HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n", self.target(path))
    }

    /// A connection over which HTTP/1.1 can be spoken with the origin.
    pub(crate) async fn open(&self) -> Wire {
        self.open_with(&[]).await.0
    }

    /// The same, with these protocols offered, and with the TLS records that come in on it.
    pub(crate) async fn open_with(&self, alpn: &[&str]) -> (Wire, Records) {
        self.opened.set(self.opened.get() + 1);
        let client = self.client().alpn(alpn);
        match (self.treatment, self.door) {
            (Treatment::Clear, Door::ConnectOverTls) => (to_proxy(&client, &[]).await, Records::default()),
            (Treatment::Clear, _) => (client.dial().await, Records::default()),
            (Treatment::Inspected | Treatment::Bypassed, door) => {
                let tunnel = door.knock(self.stage, HOST, None).await.unwrap();
                let (watched, records) = Watched::new(tunnel.stream);
                let stream = client.handshake(Wire::new(watched), HOST).await.unwrap();
                assert_eq!(agreed(&stream).as_deref(), alpn.first().copied(), "{self:?}");
                (Wire::new(stream), records)
            }
        }
    }

    /// A client that takes the certificate that it has to be shown here, and no other.
    fn client(&self) -> Client {
        match self.treatment {
            Treatment::Bypassed => self.stage.client().without_the_ca(),
            Treatment::Inspected | Treatment::Clear => self.stage.client(),
        }
    }

    /// What the origin reports next.
    pub(crate) async fn hears(&self) -> String {
        self.stage.hears().await
    }

    /// The record of the last connection, which has ended, and was carried as it had to be.
    pub(crate) async fn record(&self) -> Arc<ConnectionRecord> {
        let record = self.records().await.pop().expect("a connection");
        let outcome = match self.treatment {
            Treatment::Inspected => Outcome::Accepted,
            Treatment::Bypassed => Outcome::Bypassed,
            Treatment::Clear => Outcome::Plain,
        };
        assert_eq!(record.outcome, Some(outcome), "{self:?}: {record:#?}");
        if self.treatment != Treatment::Clear {
            assert_eq!(record.via, Some(self.door.via()), "{self:?}");
        }
        record
    }

    /// All records of this stage so far, each of a connection that has ended.
    pub(crate) async fn records(&self) -> Vec<Arc<ConnectionRecord>> {
        self.stage.records(self.opened.get()).await
    }
}

/// The lengths of the TLS records with application data that came in, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records(Arc<Mutex<Vec<u16>>>);

impl Records {
    /// Whether one record held so many bytes: TLS 1.3 adds a byte for the kind and 16 for the tag (RFC 8446, 5.2).
    pub(crate) fn hold(&self, length: usize) -> bool {
        self.0.lock().unwrap().iter().any(|record| usize::from(*record) == length + 17)
    }
}

/// A stream below TLS whose incoming records are counted.
pub(crate) struct Watched<S> {
    inner: S,
    records: Records,
    header: Vec<u8>,
    left: usize,
}

impl<S: Stream> Watched<S> {
    pub(crate) fn new(inner: S) -> (Self, Records) {
        let records = Records::default();
        (Self { inner, records: records.clone(), header: Vec::new(), left: 0 }, records)
    }

    fn saw(&mut self, mut bytes: &[u8]) {
        while let [byte, rest @ ..] = bytes {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                (self.left, bytes) = (self.left - skipped, &bytes[skipped..]);
                continue;
            }
            self.header.push(*byte);
            bytes = rest;
            if let [kind, _, _, high, low] = self.header[..] {
                let length = u16::from_be_bytes([high, low]);
                self.left = usize::from(length);
                self.header.clear();
                if kind == 23 {
                    self.records.0.lock().unwrap().push(length);
                }
            }
        }
    }
}

impl<S: Stream> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let came = buf.filled()[before..].to_vec();
        self.saw(&came);
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
