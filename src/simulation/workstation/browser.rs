//! The workstation's browser: not pinned, it trusts what the workstation trusts.
//!
//! It refuses a certificate with the alerts that Firefox sends (48 for an unknown CA, 42 for a name, 45 for time).

use bytes::Bytes;
use http::Method;
use http::header::{ALT_SVC, LOCATION};
use serde::Serialize;
use tokio::time::timeout;
use url::Url;

use super::fetch::{Account, Answer, Attempt, Client, Conversation, HttpVersion, Order, SniChoice, Stack, fetch};
use super::trust::CertificateSeen;
use super::{Fault, Workstation};

/// What the browser calls itself.
pub(crate) const USER_AGENT: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) middlebox-simulated-browser/1.0";
/// Redirects that one visit follows.
const REDIRECTS: usize = 10;

/// What a visit of the browser brought.
#[derive(Clone, Debug, Serialize)]
pub struct Visit {
    /// The URL that answered or failed: the last one where there were redirects.
    pub url: String,
    /// The status code, where the origin answered.
    pub status: Option<u16>,
    /// The body as text, at most 1 MiB; empty without an answer.
    pub body: String,
    /// Whether the body was longer.
    pub truncated: bool,
    /// The version of HTTP that was spoken.
    pub version: Option<HttpVersion>,
    /// What the answer offers beside this connection (`Alt-Svc`, RFC 7838), such as HTTP/3.
    pub alt_svc: Option<String>,
    /// The certificate that was shown, refused or not.
    pub certificate: Option<CertificateSeen>,
    /// Why there is no answer.
    pub error: Option<Fault>,
}

/// A connection that the browser holds open.
#[derive(Debug)]
pub struct KeptConnection {
    conversation: Conversation,
    url: Url,
    certificate: Option<CertificateSeen>,
    first_status: u16,
    time_limit: std::time::Duration,
}

impl Visit {
    /// Whether the browser refused a certificate.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.error, Some(Fault::Refused(_)))
    }
}

impl Workstation {
    /// Opens a page in the browser, by HTTP/2 or HTTP/1.1 as ALPN decides; follows up to 10 redirects.
    pub async fn browse(&self, url: &Url) -> Visit {
        self.browse_as(url, None).await
    }

    /// The same with another server name in the hello, or none.
    pub async fn browse_as(&self, url: &Url, sni: Option<SniChoice>) -> Visit {
        let browser = Client { sni, ..browser() };
        let mut url = url.clone();
        let mut left = REDIRECTS;
        loop {
            let Attempt { result, certificate, version } = fetch(self, &browser, &Order::get(url.clone())).await;
            let next = result.as_ref().ok().and_then(|answer| redirect(&url, answer)).filter(|_| left > 0);
            if let Some(next) = next {
                left -= 1;
                url = next;
                continue;
            }
            let (answer, error) = match result {
                Ok(answer) => (Some(answer), None),
                Err(error) => (None, Some(error)),
            };
            return Visit {
                url: url.to_string(),
                status: answer.as_ref().map(|answer| answer.status),
                truncated: answer.as_ref().is_some_and(|answer| answer.truncated),
                alt_svc: answer.as_ref().and_then(alt_svc),
                body: answer.map(|answer| String::from_utf8_lossy(&answer.body).into_owned()).unwrap_or_default(),
                version,
                certificate,
                error,
            };
        }
    }

    /// Opens a page and keeps its connection open, as browsers do.
    ///
    /// # Errors
    /// The page could not be opened.
    pub async fn keep_open(&self, url: &Url) -> Result<KeptConnection, Fault> {
        let time_limit = self.time_limit;
        let mut certificate = None;
        let open = async {
            let mut conversation = Conversation::open(self, &browser(), url, &mut certificate).await?;
            let answer = conversation.send(&Order::get(url.clone()), USER_AGENT).await?;
            Ok((conversation, answer.status))
        };
        let opened = timeout(time_limit, open).await.unwrap_or_else(|_| Err(Fault::timed_out(time_limit)));
        let (conversation, first_status) = opened?;
        Ok(KeptConnection { conversation, url: url.clone(), certificate, first_status, time_limit })
    }
}

impl KeptConnection {
    /// Asks for the same page again on the same connection.
    ///
    /// # Errors
    /// The connection was closed, or there is no answer within the time limit.
    pub async fn request(&mut self) -> Result<Answer, Fault> {
        let order = Order { method: Method::GET, url: self.url.clone(), headers: Vec::new(), body: Bytes::new() };
        timeout(self.time_limit, self.conversation.send(&order, USER_AGENT))
            .await
            .unwrap_or_else(|_| Err(Fault::timed_out(self.time_limit)))
    }

    /// Whether the other side has closed the connection, as far as has been noticed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.conversation.is_closed()
    }

    /// Waits until the other side closes the connection.
    pub async fn closed(&self) {
        self.conversation.ended().await;
    }

    /// The certificate that the connection was opened with.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateSeen> {
        self.certificate.as_ref()
    }

    /// The version of HTTP that it speaks.
    #[must_use]
    pub fn version(&self) -> HttpVersion {
        self.conversation.version()
    }

    /// The status of the answer with which it was opened.
    #[must_use]
    pub fn first_status(&self) -> u16 {
        self.first_status
    }

    /// Closes the connection.
    pub async fn close(self) {
        self.conversation.close().await;
    }
}

/// The browser as a client.
pub(crate) fn browser() -> Client<'static> {
    Client {
        user_agent: USER_AGENT,
        stack: Stack::Browser,
        account: Account::User,
        pinned: None,
        sni: None,
        late: false,
        checks_revocation: false,
        answer_challenge: true,
    }
}

fn alt_svc(answer: &Answer) -> Option<String> {
    Some(answer.headers.get(ALT_SVC)?.to_str().ok()?.to_owned())
}

/// Where an answer sends the browser.
pub(crate) fn redirect(from: &Url, answer: &Answer) -> Option<Url> {
    let redirects = matches!(answer.status, 301 | 302 | 303 | 307 | 308);
    let location = answer.headers.get(LOCATION).filter(|_| redirects)?.to_str().ok()?;
    from.join(location).ok()
}
