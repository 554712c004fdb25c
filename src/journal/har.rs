//! Records as an HTTP archive (HAR 1.2, <http://www.softwareishard.com/blog/har-12-spec/>), for the many tools that
//! read one. It is only written here.
//!
//! Each exchange that was readable is an entry. A connection without any (bypassed, refused, blocked, …) is one too,
//! as its `CONNECT`, with status 0 where the middlebox answered nothing, so that what failed is in the archive as
//! well. What only a middlebox knows stands in `_middlebox`; the format leaves names with an underscore to the tool.
//!
//! There is no secret in it, because there is none in a record: no header, cookie, query string or body.

use std::sync::Arc;

use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::{Cause, Confidence, ConnectionRecord, DecisionKind, Exchange, Outcome, SeenFrame, Told, Via};
use crate::net::Way;

/// An archive; its JSON form is the file's content.
#[derive(Clone, Debug, Serialize)]
pub struct Har {
    log: Log,
}

#[derive(Clone, Debug, Serialize)]
struct Log {
    version: &'static str,
    creator: Creator,
    entries: Vec<Entry>,
    comment: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Creator {
    name: &'static str,
    version: &'static str,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    started_date_time: String,
    time: f64,
    request: Request,
    response: Response,
    cache: Cache,
    timings: Timings,
    #[serde(rename = "serverIPAddress", skip_serializing_if = "Option::is_none")]
    server_ip_address: Option<String>,
    connection: String,
    /// As browsers write them, without what was in them.
    #[serde(rename = "_webSocketMessages", skip_serializing_if = "Option::is_none")]
    web_socket_messages: Option<Vec<Message>>,
    #[serde(rename = "_middlebox")]
    middlebox: Middlebox,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: String,
    http_version: &'static str,
    cookies: [Nothing; 0],
    headers: [Nothing; 0],
    query_string: [Nothing; 0],
    headers_size: i64,
    body_size: i64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    status: u16,
    status_text: String,
    http_version: &'static str,
    cookies: [Nothing; 0],
    headers: [Nothing; 0],
    content: Content,
    #[serde(rename = "redirectURL")]
    redirect_url: &'static str,
    headers_size: i64,
    body_size: i64,
}

/// What is never kept: the element of lists that are always empty.
#[derive(Clone, Copy, Debug, Serialize)]
struct Nothing {}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    size: u64,
    mime_type: &'static str,
}

/// One frame of a WebSocket.
#[derive(Clone, Debug, Serialize)]
struct Message {
    /// `send` from the client, `receive` from the origin.
    r#type: &'static str,
    /// Seconds since 1970.
    time: f64,
    opcode: u8,
    /// Never kept.
    data: &'static str,
    #[serde(rename = "_length")]
    length: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Cache {}

/// In milliseconds. All of an exchange counts as waiting: when the first byte of the answer came is not recorded.
#[derive(Clone, Copy, Debug, Serialize)]
struct Timings {
    send: f64,
    wait: f64,
    receive: f64,
}

#[derive(Clone, Debug, Serialize)]
struct Middlebox {
    record: u64,
    decision: Option<DecisionKind>,
    rule: Option<String>,
    outcome: Option<Outcome>,
    cause: Option<Cause>,
    confidence: Option<Confidence>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

impl Har {
    /// The archive of these records, in their order.
    #[must_use]
    pub fn of(records: &[Arc<ConnectionRecord>]) -> Self {
        let entries = records.iter().flat_map(|record| {
            let plain = record.exchanges.is_empty().then(|| Entry::of_connection(record));
            record.exchanges.iter().map(|exchange| Entry::of_exchange(record, exchange)).chain(plain)
        });
        Self {
            log: Log {
                version: "1.2",
                creator: Creator { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
                entries: entries.collect(),
                comment: "headers, cookies, query strings and bodies are not recorded; a connection that could not be \
                          read is its CONNECT",
            },
        }
    }

    /// The content of a `.har` file.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("texts, numbers and lists have a JSON form")
    }
}

impl Entry {
    fn of_exchange(record: &ConnectionRecord, exchange: &Exchange) -> Self {
        let scheme = if record.hello.is_some() { "https" } else { "http" };
        let request = Request {
            method: exchange.method.to_string(),
            url: format!("{scheme}://{}{}", exchange.host, exchange.path),
            http_version: exchange.version,
            body_size: size(exchange.request_bytes),
            ..Request::default()
        };
        let response = Response {
            status: exchange.status.unwrap_or(0),
            status_text: reason(exchange.status),
            http_version: exchange.version,
            content: Content { size: exchange.response_bytes, ..Content::default() },
            body_size: size(exchange.response_bytes),
            ..Response::default()
        };
        let mut entry = Self::new(record, exchange.began_us, exchange.took_us, request, response);
        entry.web_socket_messages = exchange.websocket.as_ref().map(|websocket| {
            let opened = milliseconds(record.opened.unix_timestamp_nanos().try_into().unwrap_or(u64::MAX) / 1_000);
            let message = |frame: &SeenFrame| Message {
                r#type: if frame.from == "client" { "send" } else { "receive" },
                time: (opened + milliseconds(frame.at_us)) / 1_000.0,
                opcode: frame.kind.opcode(),
                data: "",
                length: frame.length,
            };
            websocket.frames.iter().map(message).collect()
        });
        entry
    }

    /// A connection of which nothing could be read: what is known is where it went and how it ended.
    fn of_connection(record: &ConnectionRecord) -> Self {
        let target = record.destination.as_ref().map(ToString::to_string).unwrap_or_default();
        let plain = record.via == Some(Via::AbsoluteForm) || record.outcome == Some(Outcome::Plain);
        let scheme = if plain { "http" } else { "https" };
        let status = match record.told {
            Some(Told::Status(status) | Told::StatusInside(status)) => Some(status),
            Some(Told::Alert(_) | Told::Reset | Told::Close) | None => None,
        };
        let request = Request {
            method: "CONNECT".to_owned(),
            url: format!("{scheme}://{target}/"),
            body_size: size(record.bytes_up),
            ..Request::default()
        };
        let response = Response {
            status: status.unwrap_or(0),
            status_text: reason(status),
            body_size: size(record.bytes_down),
            ..Response::default()
        };
        Self::new(record, 0, record.stages.closed.unwrap_or(0), request, response)
    }

    fn new(record: &ConnectionRecord, began_us: u64, took_us: u64, request: Request, response: Response) -> Self {
        let took = milliseconds(took_us);
        let diagnosis = record.diagnosis.as_ref();
        Self {
            started_date_time: moment(record.opened, began_us),
            time: took,
            request,
            response,
            cache: Cache {},
            timings: Timings { send: 0.0, wait: took, receive: 0.0 },
            server_ip_address: address(record),
            connection: record.id.to_string(),
            web_socket_messages: None,
            middlebox: Middlebox {
                record: record.id,
                decision: record.decision.as_ref().map(|decision| decision.action),
                rule: record.decision.as_ref().and_then(|decision| decision.rule.clone()),
                outcome: record.outcome,
                cause: diagnosis.map(|diagnosis| diagnosis.cause),
                confidence: diagnosis.map(|diagnosis| diagnosis.confidence),
                evidence: diagnosis.map(|diagnosis| diagnosis.evidence.clone()).unwrap_or_default(),
                notes: record.notes.clone(),
            },
        }
    }
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: String::new(),
            url: String::new(),
            http_version: "",
            cookies: [],
            headers: [],
            query_string: [],
            headers_size: -1,
            body_size: -1,
        }
    }
}

impl Default for Response {
    fn default() -> Self {
        Self {
            status: 0,
            status_text: String::new(),
            http_version: "",
            cookies: [],
            headers: [],
            content: Content::default(),
            redirect_url: "",
            headers_size: -1,
            body_size: -1,
        }
    }
}

impl Default for Content {
    fn default() -> Self {
        Self { size: 0, mime_type: "x-unknown" }
    }
}

/// The origin's address; a parent proxy's is not the server's.
fn address(record: &ConnectionRecord) -> Option<String> {
    let origin = record.origin.as_ref()?;
    let direct = origin.by.as_ref().is_none_or(|way| *way == Way::Direct);
    origin.address.filter(|_| direct).map(|address| address.ip().to_string())
}

fn reason(status: Option<u16>) -> String {
    let status = status.and_then(|status| http::StatusCode::from_u16(status).ok());
    status.and_then(|status| status.canonical_reason()).unwrap_or_default().to_owned()
}

fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

fn moment(opened: OffsetDateTime, micros: u64) -> String {
    let began = opened.saturating_add(Duration::microseconds(size(micros)));
    began.format(&Rfc3339).expect("a moment of our time has an RFC 3339 form")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::journal::{Journal, OriginFacts, WebSocketFacts};
    use crate::net::{Destination, FrameKind};

    /// The archive of a journal, which has every member that HAR 1.2 demands, each of its kind.
    fn archive(journal: &Journal) -> Value {
        let archive: Value = serde_json::from_slice(&Har::of(&journal.records(true)).to_json()).unwrap();
        let log = &archive["log"];
        assert!(
            log["version"].is_string() && log["creator"]["name"].is_string() && log["creator"]["version"].is_string()
        );
        for entry in log["entries"].as_array().unwrap() {
            let texts = ["/startedDateTime", "/request/method", "/request/url", "/request/httpVersion", "/connection"];
            let of_answer = ["statusText", "httpVersion", "redirectURL", "content/mimeType"];
            let of_answer = of_answer.map(|name| format!("/response/{name}"));
            for name in texts.into_iter().chain(of_answer.iter().map(String::as_str)) {
                assert!(entry.pointer(name).is_some_and(Value::is_string), "{name} of {entry}");
            }
            let lists =
                ["request/cookies", "request/headers", "request/queryString", "response/cookies", "response/headers"];
            for name in lists {
                assert!(entry.pointer(&format!("/{name}")).is_some_and(Value::is_array), "{name} of {entry}");
            }
            let sizes = ["request/headersSize", "request/bodySize", "response/headersSize", "response/bodySize"];
            for name in sizes.into_iter().chain(["response/status", "response/content/size"]) {
                assert!(entry.pointer(&format!("/{name}")).is_some_and(Value::is_i64), "{name} of {entry}");
            }
            assert!(entry["cache"].is_object(), "{entry}");
            let parts = ["send", "wait", "receive"].map(|name| entry["timings"][name].as_f64().unwrap());
            assert!(parts.iter().all(|part| *part >= 0.0), "{entry}");
            assert!((parts.iter().sum::<f64>() - entry["time"].as_f64().unwrap()).abs() < 1e-9, "{entry}");
            assert!(OffsetDateTime::parse(entry["startedDateTime"].as_str().unwrap(), &Rfc3339).is_ok(), "{entry}");
        }
        archive
    }

    #[test]
    fn the_frames_of_a_websocket_are_messages_without_their_data() {
        let journal = Journal::default();
        let recording = journal.open("127.0.0.1:9".parse().unwrap());
        recording.note(|record| record.opened = OffsetDateTime::UNIX_EPOCH + Duration::seconds(100));
        let frame = |from, kind, at_us| SeenFrame { from, kind, last: true, length: 5, at_us };
        let frames = vec![frame("client", FrameKind::Text, 250_000), frame("origin", FrameKind::Close, 500_000)];
        recording.exchange(|| Exchange {
            method: "GET".into(),
            host: "chat.example".into(),
            path: "/".into(),
            version: "HTTP/1.1",
            status: Some(101),
            request_bytes: 11,
            response_bytes: 7,
            began_us: 0,
            took_us: 500_000,
            websocket: Some(Box::new(WebSocketFacts { frames, ..WebSocketFacts::default() })),
        });
        drop(recording);
        let messages = json!([
            { "type": "send", "time": 100.25, "opcode": 1, "data": "", "_length": 5 },
            { "type": "receive", "time": 100.5, "opcode": 8, "data": "", "_length": 5 },
        ]);
        assert_eq!(archive(&journal)["log"]["entries"][0]["_webSocketMessages"], messages);
    }

    #[test]
    fn what_was_read_is_an_entry_for_each_exchange() {
        let journal = Journal::default();
        let recording = journal.open("127.0.0.1:9".parse().unwrap());
        recording.note(|record| {
            record.destination = Some("shop.example:80".parse::<Destination>().unwrap());
            record.origin = Some(OriginFacts { address: "192.0.2.7:80".parse().ok(), ..OriginFacts::default() });
            record.opened = OffsetDateTime::UNIX_EPOCH;
        });
        for (path, status) in [("/a", Some(200)), ("/b", None)] {
            recording.exchange(|| Exchange {
                websocket: None,
                method: "GET".into(),
                host: "shop.example".into(),
                path: path.into(),
                version: "HTTP/1.1",
                status,
                request_bytes: 0,
                response_bytes: 12,
                began_us: 1_500,
                took_us: 2_250,
            });
        }
        let archive = archive(&journal);
        assert_eq!(
            (&archive["log"]["version"], &archive["log"]["creator"]["name"]),
            (&json!("1.2"), &json!("middlebox"))
        );
        let entries = archive["log"]["entries"].as_array().unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0]["startedDateTime"], "1970-01-01T00:00:00.0015Z");
        assert_eq!((&entries[0]["time"], &entries[0]["timings"]["wait"]), (&json!(2.25), &json!(2.25)));
        assert_eq!(entries[0]["request"]["url"], "http://shop.example/a");
        assert_eq!(entries[0]["response"]["statusText"], "OK");
        assert_eq!(entries[0]["response"]["content"], json!({ "size": 12, "mimeType": "x-unknown" }));
        assert_eq!((&entries[0]["serverIPAddress"], &entries[0]["connection"]), (&json!("192.0.2.7"), &json!("1")));
        assert_eq!((&entries[1]["response"]["status"], &entries[1]["response"]["statusText"]), (&json!(0), &json!("")));
        for list in ["cookies", "headers"] {
            assert_eq!((&entries[0]["request"][list], &entries[0]["response"][list]), (&json!([]), &json!([])));
        }
    }

    #[test]
    fn a_connection_that_could_not_be_read_is_there_as_its_connect() {
        let journal = Journal::default();
        let recording = journal.open("127.0.0.1:9".parse().unwrap());
        recording.note(|record| {
            record.destination = Some("shop.example:443".parse::<Destination>().unwrap());
            record.told = Some(Told::Status(403));
            record.outcome = Some(Outcome::Blocked);
        });
        drop(recording);
        let entry = &archive(&journal)["log"]["entries"][0];
        assert_eq!((&entry["request"]["method"], &entry["response"]["status"]), (&json!("CONNECT"), &json!(403)));
        assert_eq!(entry["request"]["url"], "https://shop.example:443/");
        assert_eq!(entry["_middlebox"]["outcome"], "blocked");
    }
}
