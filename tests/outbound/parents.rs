//! Parents of each kind, for connections of each kind.

use middlebox::journal::{DecisionKind, Outcome, Via};
use middlebox::policy::Action;
use middlebox::proxy::Credentials;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{
    ECHO, SITE, Scripted, banner_server, browse, by, desk, far, near, only, plain_request, read_head, rule, say, tunnel,
};

const KINDS: [(&str, Via); 3] = [("http", Via::Connect), ("https", Via::Connect), ("socks5", Via::Socks5)];

#[tokio::test]
async fn inspected_and_bypassed_connections_go_through_each_kind_of_parent() {
    for (scheme, via) in KINDS {
        for action in [Action::Inspect, Action::Bypass] {
            let far = far().config(|config| config.credentials = Credentials::one("ann", "pass:w@rd").ok());
            let far = far.start().await.unwrap();
            let at = far.proxy_address();
            let parent = format!("{scheme}://ann:pass%3Aw%40rd@{at}");
            let near = near(&far, &parent).default_action(action).start().await.unwrap();

            let visit = browse(&desk(&near, &far), &format!("https://{SITE}/")).await;
            assert_eq!((visit.status, visit.error), (Some(200), None), "{scheme} {action}");
            let inspected = visit.certificate.unwrap().issuer == near.issuer();
            assert_eq!(inspected, action == Action::Inspect, "{scheme}");

            let record = only(&near).await;
            assert_eq!(by(&record), format!("{scheme}://{at}"));
            assert_eq!(record.origin.as_ref().unwrap().address, Some(at));
            assert_eq!(record.decision.as_ref().unwrap().action, DecisionKind::from(action));
            assert!(!serde_json::to_string(&record).unwrap().contains("w@rd"));
            // The name went to the parent as a name: only there is it known where it is.
            let beyond = only(&far).await;
            assert_eq!(beyond.destination.as_ref().unwrap().to_string(), format!("{SITE}:443"));
            assert_eq!(
                (beyond.via, beyond.outcome, by(&beyond).as_str()),
                (Some(via), Some(Outcome::Bypassed), "direct")
            );
        }
    }
}

#[tokio::test]
async fn plain_requests_go_to_an_http_parent_in_absolute_form_and_through_a_socks_tunnel() {
    for (scheme, via) in [("http", Via::AbsoluteForm), ("https", Via::AbsoluteForm), ("socks5", Via::Socks5)] {
        let far = far().config(|config| config.credentials = Credentials::one("ann", "secret").ok());
        let far = far.start().await.unwrap();
        let near = near(&far, &format!("{scheme}://ann:secret@{}", far.proxy_address())).start().await.unwrap();
        let answer = say(near.proxy_address(), &plain_request()).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{scheme}: {answer}");
        assert!(answer.contains("/what") && !answer.to_lowercase().contains("proxy-authorization"), "{answer}");
        let record = only(&near).await;
        assert_eq!(
            (record.outcome, by(&record)),
            (Some(Outcome::Plain), format!("{scheme}://{}", far.proxy_address()))
        );
        assert_eq!(record.exchanges[0].path, "/what");
        assert_eq!(only(&far).await.via, Some(via), "{scheme}");
    }
}

#[tokio::test]
async fn what_an_http_parent_is_sent() {
    let parent = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    let near = middlebox::lab::Lab::builder().parent(rule(&format!("http://ann:secret@{}", parent.address)));
    let near = near.start().await.unwrap();
    let request = "GET HTTP://A.example:8080/x?y#z HTTP/1.1\r\nhost: A.example:8080\r\nX-One: 1\r\n\
                   Proxy-Connection: close\r\nConnection: close\r\n\r\n";
    let answer = say(near.proxy_address(), request).await;
    assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
    tunnel(near.proxy_address(), "b.example:99").await.write_all(b"x\r\n").await.unwrap();
    near.records().await;
    assert_eq!(
        parent.heads(),
        [
            "GET HTTP://A.example:8080/x?y HTTP/1.1\r\nhost: A.example:8080\r\nX-One: 1\r\nConnection: close\r\n\
             Proxy-Authorization: Basic YW5uOnNlY3JldA==\r\n\r\n",
            "CONNECT b.example:99 HTTP/1.1\r\nHost: b.example:99\r\nProxy-Authorization: Basic YW5uOnNlY3JldA==\r\n\r\n",
        ]
    );
}

#[tokio::test]
async fn an_origin_that_speaks_first_is_heard_through_each_kind_of_parent() {
    for (scheme, _) in KINDS {
        let far = far().start().await.unwrap();
        let near = near(&far, &format!("{scheme}://{}", far.proxy_address())).start().await.unwrap();
        let origin = banner_server().await;
        let mut client = tunnel(near.proxy_address(), &origin.to_string()).await;
        let mut heard = [0; 10];
        client.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"220 mail\r\n", "{scheme}");
        client.write_all(b"QUIT\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "QUIT\r\n", "{scheme}");
        let record = only(&near).await;
        assert_eq!(
            (record.outcome, by(&record)),
            (Some(Outcome::Plain), format!("{scheme}://{}", far.proxy_address()))
        );
        assert!(record.notes.contains(&"the origin speaks first".to_owned()), "{scheme}: {:?}", record.notes);
        assert_eq!((record.bytes_up, record.bytes_down), (6, 16), "{scheme}");
    }
}

#[tokio::test]
async fn what_comes_in_one_piece_with_the_parents_answer_belongs_to_the_tunnel() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let parent = listener.local_addr().unwrap();
    let talk = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        let early = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n220 early\r\n";
        stream.write_all(early).await.unwrap();
        // Nothing more before the client has heard it.
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).await.unwrap();
        heard
    });
    let near = middlebox::lab::Lab::builder().parent(rule(&format!("http://{parent}"))).start().await.unwrap();
    let mut client = tunnel(near.proxy_address(), "mail.example:25").await;
    let mut heard = [0; 11];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"220 early\r\n");
    client.write_all(b"EHLO").await.unwrap();
    assert_eq!(&talk.await.unwrap(), b"EHLO");
    drop(client);
    assert!(only(&near).await.notes.contains(&"the origin speaks first".to_owned()));
}

#[tokio::test]
async fn the_first_rule_that_matches_chooses() {
    let far = far().start().await.unwrap();
    let unused = Scripted::answering("HTTP/1.1 500 Wrong Way\r\n\r\n").await;
    let near = near(&far, &format!("{SITE}=http://{}", far.proxy_address()))
        .parent(rule("*.example=direct"))
        .parent(rule(&format!("http://{}", unused.address)))
        .config(|config| {
            let http = far.internet().unwrap().overrides();
            let echo = http.lookup(&format!("{ECHO}:80").parse().unwrap()).unwrap()[0];
            config.resolve.push(format!("{ECHO}:80:{echo}").parse().unwrap());
        });
    let near = near.start().await.unwrap();
    let visit = browse(&desk(&near, &far), &format!("https://{SITE}/")).await;
    assert_eq!(visit.status, Some(200), "{visit:?}");
    let answer = say(near.proxy_address(), &plain_request()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let elsewhere = say(near.proxy_address(), "GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n").await;
    assert!(elsewhere.starts_with("HTTP/1.1 500 Wrong Way\r\n"), "{elsewhere}");
    let ways: Vec<_> = near.records().await.iter().map(|record| by(record)).collect();
    let (first, last) = (format!("http://{}", far.proxy_address()), format!("http://{}", unused.address));
    assert_eq!(ways, [first.as_str(), "direct", last.as_str()]);
    assert_eq!(far.records().await.len(), 1);
}
