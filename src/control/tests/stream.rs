//! Events.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Running, Setup};
use crate::control::wire::NewRule;
use crate::journal::{End, LeafAudit, Outcome, Refusal, Signature};
use crate::policy::Action;

/// A subscriber, by hand.
struct Subscriber(BufReader<TcpStream>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    id: String,
    event: String,
    data: String,
}

impl Subscriber {
    async fn of(lab: &Running, headers: &str) -> Self {
        let mut stream = TcpStream::connect(lab.address).await.unwrap();
        let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", lab.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut subscriber = Self(BufReader::new(stream));
        assert!(subscriber.line().await.unwrap().starts_with("HTTP/1.1 200"));
        let mut kind = String::new();
        while let Some(line) = subscriber.line().await.filter(|line| !line.is_empty()) {
            if let Some(value) = line.strip_prefix("content-type: ") {
                kind = value.to_owned();
            }
        }
        assert_eq!(kind, "text/event-stream");
        subscriber
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).await.unwrap();
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event. Sizes of chunks stand between the lines and are no fields.
    async fn next(&mut self) -> Heard {
        let mut heard = Heard::default();
        loop {
            let line = self.line().await.expect("the stream goes on");
            match line.split_once(": ") {
                Some(("id", id)) => heard.id = id.to_owned(),
                Some(("event", event)) => heard.event = event.to_owned(),
                Some(("data", data)) => heard.data = data.to_owned(),
                _ if line.is_empty() && !heard.data.is_empty() => return heard,
                _ => {}
            }
        }
    }
}

fn peer() -> std::net::SocketAddr {
    "127.0.0.1:9".parse().unwrap()
}

#[tokio::test]
async fn a_subscriber_hears_of_changes_and_connections() {
    let lab = Setup::new().run().await;
    drop(lab.journal.open(peer()));
    let mut subscriber = Subscriber::of(&lab, "").await;
    let first = subscriber.next().await;
    assert_eq!((first.event.as_str(), first.data.as_str(), first.id.as_str()), ("policy", r#"{"epoch":1}"#, "1"));
    lab.client().add_rule(&NewRule::new("okta.com", Action::Bypass), None).await.unwrap();
    assert_eq!(subscriber.next().await.data, r#"{"epoch":2}"#);
    let recording = lab.journal.open(peer());
    recording.finish(Outcome::Bypassed, End::client("closed"));
    drop(recording);
    let closed = subscriber.next().await;
    assert_eq!((closed.event.as_str(), closed.id.as_str()), ("closed", "2"));
    assert!(closed.data.contains("\"outcome\":\"bypassed\""), "{closed:?}");
}

#[tokio::test]
async fn who_comes_back_hears_what_closed_meanwhile() {
    let lab = Setup::new().run().await;
    for _ in 0..3 {
        drop(lab.journal.open(peer()));
    }
    let mut subscriber = Subscriber::of(&lab, "Last-Event-ID: 1\r\n").await;
    let events = [subscriber.next().await, subscriber.next().await, subscriber.next().await];
    let heard: Vec<_> = events.iter().map(|heard| (heard.event.as_str(), heard.id.as_str())).collect();
    assert_eq!(heard, [("policy", "1"), ("closed", "2"), ("closed", "3")]);
}

#[tokio::test]
async fn a_verdict_that_changes_is_told_now_and_to_who_comes_back() {
    let lab = Setup::new().run().await;
    let mut subscriber = Subscriber::of(&lab, "").await;
    assert_eq!(subscriber.next().await.event, "policy");
    let to = |host: &str| {
        let recording = lab.journal.open(peer());
        recording.note(|record| record.destination = Some(format!("{host}:443").parse().unwrap()));
        recording
    };
    let signature = Signature::Alert { number: 46, warning: false };
    let refusal = Refusal { signature, after_finished: false, judges_late: false, gap: None };
    let audit = LeafAudit { names_host: true, in_time: true, in_order: true, by_inspection_ca: true };
    to("pin.example").refused(&refusal, audit, End::client("alert"));
    let told = subscriber.next().await;
    assert!(told.event == "closed" && told.data.contains("\"cause\":\"ambiguous\""), "{told:?}");
    let other = to("www.other.example");
    other.accepted();
    let told = subscriber.next().await;
    assert!(told.event == "revised" && told.data.contains("\"cause\":\"pin-mismatch\""), "{told:?}");
    let mut again = Subscriber::of(&lab, "Last-Event-ID: 1\r\n").await;
    assert_eq!((again.next().await.event, again.next().await.event), ("policy".to_owned(), "revised".to_owned()));
}

#[tokio::test]
async fn who_falls_behind_is_told_and_misses_no_end() {
    let lab = Setup::new().run().await;
    let mut subscriber = Subscriber::of(&lab, "").await;
    assert_eq!(subscriber.next().await.event, "policy");
    // Without an await in between, the one thread of this runtime lets the stream read nothing meanwhile.
    for _ in 0..3000 {
        drop(lab.journal.open(peer()));
    }
    let mut lagged = 0;
    let mut closed = std::collections::BTreeSet::new();
    while closed.len() < 3000 {
        let heard = subscriber.next().await;
        match heard.event.as_str() {
            "lagged" => lagged += 1,
            "closed" => {
                let record: serde_json::Value = serde_json::from_str(&heard.data).unwrap();
                closed.insert(record["id"].as_u64().unwrap());
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(lagged, 1);
}

#[tokio::test]
async fn a_stream_ends_with_the_server() {
    let lab = Setup::new().run().await;
    let mut subscriber = Subscriber::of(&lab, "").await;
    assert_eq!(subscriber.next().await.event, "policy");
    lab.shutdown.cancel();
    let mut rest = String::new();
    subscriber.0.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "{rest:?}");
    lab.task.await.unwrap();
    assert!(TcpStream::connect(lab.address).await.is_err());
}
