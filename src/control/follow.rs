//! The command line's end of the event stream.

use bytes::BytesMut;
use http::{Method, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::task::JoinHandle;

use super::client::{ClientError, ControlClient};

/// The longest event that is read; one connection's record is far below.
const MAX_EVENT: usize = 16 << 20;

/// Events of a running middlebox, as they come.
#[derive(Debug)]
pub struct Following {
    body: Incoming,
    read: BytesMut,
    base: String,
    driver: JoinHandle<()>,
}

/// One server-sent event (WHATWG HTML, section 9.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerEvent {
    /// What happened: `policy`, `decided`, `closed`, `revised`, `lagged`.
    pub kind: String,
    /// What is said of it, as JSON.
    pub data: String,
    /// What a subscriber that comes back sends as `Last-Event-ID`.
    pub id: String,
}

impl ControlClient {
    /// Follows the events from now on, or from behind the one with this id.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn follow(&self, last: Option<&str>) -> Result<Following, ClientError> {
        let mut request = self.request(Method::GET, "/api/v1/events", None::<&()>);
        if let Some(last) = last.and_then(|last| last.parse().ok()) {
            request.headers_mut().insert(header::HeaderName::from_static("last-event-id"), last);
        }
        let (body, driver) = self.open(request).await?;
        Ok(Following { body, read: BytesMut::new(), base: self.url().to_owned(), driver })
    }
}

impl Following {
    /// The next event; `None` where the middlebox has ended the stream.
    ///
    /// # Errors
    /// The stream broke off, or is none.
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, ClientError> {
        loop {
            while let Some(end) = self.read.windows(2).position(|two| two == b"\n\n") {
                let event = self.read.split_to(end + 2);
                if let Some(event) = ServerEvent::parse(&String::from_utf8_lossy(&event)) {
                    return Ok(Some(event));
                }
            }
            if self.read.len() > MAX_EVENT {
                return Err(ClientError::NotOurs(self.base.clone()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                Some(Err(reason)) => {
                    return Err(ClientError::Broken { url: self.base.clone(), reason: reason.into() });
                }
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl ServerEvent {
    /// Comments, which show that the stream lives, are no event.
    fn parse(text: &str) -> Option<Self> {
        let mut event = Self::default();
        for line in text.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut event.kind),
                "id" => value.clone_into(&mut event.id),
                "data" if event.data.is_empty() => value.clone_into(&mut event.data),
                "data" => event.data = format!("{}\n{value}", event.data),
                _ => {}
            }
        }
        (!event.data.is_empty()).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_and_comments_are_none() {
        let event = ServerEvent::parse("id: 7\nevent: closed\ndata: {\"a\":\ndata:1}\n\n").unwrap();
        assert_eq!((event.kind.as_str(), event.id.as_str(), event.data.as_str()), ("closed", "7", "{\"a\":\n1}"));
        assert_eq!(ServerEvent::parse(":\n\n"), None);
    }
}
