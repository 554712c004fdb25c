//! Origins that ask for a client certificate (RFC 8446, 4.3.2; RFC 5246, 7.4.4): the client's own cannot be shown to
//! them under inspection, since its key stays with the client. It is noticed that they ask, and a certificate that was
//! given for the host is shown in its place.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, Read};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_rustls::client::TlsStream;

use crate::journal::ClientCertificate;
use crate::net::{Destination, Dialled};
use crate::policy::Pattern;

/// A certificate with its key, for origins that ask for one.
#[derive(Clone)]
pub struct ClientCert {
    pattern: Pattern,
    certified: Arc<CertifiedKey>,
}

/// A client certificate cannot be used.
#[derive(Debug, Error)]
#[error("the client certificate in {path} cannot be used: {reason}")]
pub struct ClientCertError {
    path: String,
    reason: String,
}

impl ClientCert {
    /// Reads a certificate, its chain behind it, and its key from PEM files; both may be one file.
    ///
    /// # Errors
    /// A file cannot be read, holds no such thing, or the key is another certificate's.
    pub fn read(pattern: Pattern, certificate: &Path, key: &Path) -> Result<Self, ClientCertError> {
        let wrong = |path: &Path, reason: String| ClientCertError { path: path.display().to_string(), reason };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| wrong(certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(wrong(certificate, "it holds no PEM certificate".to_owned()));
        }
        let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| {
            wrong(key, format!("its private key: {error}; an encrypted one is decrypted with `openssl pkey`"))
        })?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified =
            CertifiedKey::from_der(chain, key_der, &provider).map_err(|error| wrong(certificate, error.to_string()))?;
        Ok(Self { pattern, certified: Arc::new(certified) })
    }

    /// Whether it is for this host, by the name under which it is asked for.
    pub(crate) fn is_for(&self, destination: &Destination) -> bool {
        self.pattern.covers(destination)
    }

    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl fmt::Debug for ClientCert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCert(for {})", self.pattern)
    }
}

tokio::task_local! {
    /// The handshake that this task does. One resolver serves all connections, because rustls resumes sessions only with
    /// the very resolver that they were made with.
    static HANDSHAKE: Handshake;
}

struct Handshake {
    certified: Option<Arc<CertifiedKey>>,
    asked: Cell<Option<ClientCertificate>>,
}

/// Runs a handshake, with a certificate in case the origin asks; says whether it did, and what it got.
pub(super) async fn watched<T>(
    certified: Option<Arc<CertifiedKey>>,
    handshake: impl Future<Output = T>,
) -> (T, Option<ClientCertificate>) {
    let here = Handshake { certified, asked: Cell::new(None) };
    HANDSHAKE.scope(here, async { (handshake.await, HANDSHAKE.with(|here| here.asked.get())) }).await
}

/// Answers every origin that asks, from what [`watched`] was given.
#[derive(Debug)]
pub(super) struct Answering {
    /// Whether there is a certificate for any host at all.
    pub(super) has_any: bool,
}

impl ResolvesClientCert for Answering {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let answer = |here: &Handshake| {
            let fits = here.certified.as_ref().filter(|certified| certified.key.choose_scheme(schemes).is_some());
            here.asked.set(Some(match fits {
                Some(_) => ClientCertificate::Presented,
                None => ClientCertificate::Missing,
            }));
            fits.cloned()
        };
        HANDSHAKE.try_with(answer).ok().flatten()
    }

    fn has_certs(&self) -> bool {
        self.has_any
    }
}

/// Waits for the origin's first word after a handshake of TLS 1.3, in which the client is done before the server has
/// judged its certificate (RFC 8446, 2): an alert is a refusal; tickets and data, which stay to be read, are none.
///
/// # Errors
/// How the origin refused.
pub(super) async fn first_word(stream: &mut TlsStream<Dialled>) -> Result<(), String> {
    poll_fn(|cx| {
        let (io, connection) = stream.get_mut();
        match connection.read_tls(&mut Now { io, cx }) {
            Ok(0) => Poll::Ready(Err("it closed".to_owned())),
            Ok(_) => Poll::Ready(connection.process_new_packets().map(|_| ()).map_err(|error| error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(error.to_string())),
        }
    })
    .await
}

/// What can be read at once.
struct Now<'a, 'b> {
    io: &'a mut Dialled,
    cx: &'a mut Context<'b>,
}

impl Read for Now<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(into);
        match Pin::new(&mut *self.io).poll_read(self.cx, &mut buf) {
            Poll::Ready(read) => read.map(|()| buf.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}
