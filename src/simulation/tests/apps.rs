//! The simulated origins, seen by the browser.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::{self, Message};

use super::proxy::Does;
use super::*;
use crate::net::Destination;
use crate::simulation::{Alpn, Fault, HttpVersion};

#[tokio::test]
async fn alpn_decides_the_version() {
    let http1 = OriginSpec { alpn: vec![Alpn::Http1], ..origin(&["one.example"], App::Static) };
    let none = OriginSpec { alpn: vec![], ..origin(&["none.example"], App::Static) };
    let world = World::direct(vec![origin(&["two.example", "10.1.2.3"], App::Static), http1, none]).await;
    for (host, version) in [
        ("two.example", HttpVersion::Http2),
        ("10.1.2.3", HttpVersion::Http2),
        ("one.example", HttpVersion::Http1),
        ("none.example", HttpVersion::Http1),
    ] {
        let visit = world.workstation.browse(&url(&format!("https://{host}/a"))).await;
        assert_eq!((visit.status, visit.version, visit.error), (Some(200), Some(version), None), "{host}");
        let seen = visit.certificate.unwrap();
        assert_eq!(seen.facts.names, [host]);
        assert_eq!(seen.facts.key, "EC P-256");
        assert_eq!(seen.issuer, "Simulated Public TLS CA 1");
    }
}

#[tokio::test]
async fn the_static_site_streams_redirects_and_fails_on_demand() {
    let world = World::direct(vec![origin(&["site.example"], App::Static)]).await;
    let browse = async |path: &str| world.workstation.browse(&url(path)).await;
    let visit = browse("http://site.example/a?b=c").await;
    assert_eq!((visit.status, visit.url.as_str()), (Some(200), "https://site.example/a?b=c"));
    assert_eq!(browse("https://site.example/status/503").await.status, Some(503));
    assert_eq!(browse("https://site.example/status/100").await.status, Some(400));
    let visit = browse("https://site.example/bytes/100000").await;
    assert_eq!((visit.body.len(), visit.truncated), (100_000, false));
    // An exabyte is begun, and cut where the browser has enough.
    let visit = browse("https://site.example/bytes/1000000000000000000").await;
    assert_eq!((visit.status, visit.body.len(), visit.truncated), (Some(200), 1 << 20, true));
}

#[tokio::test]
async fn an_okta_organization_answers_with_documented_errors() {
    let world = World::direct(vec![acme()]).await;
    let json = async |path: &str| {
        let visit = world.workstation.browse(&url(&format!("https://acme.okta.com{path}"))).await;
        (visit.status.unwrap(), serde_json::from_str::<Value>(&visit.body).unwrap())
    };
    let (status, body) = json("/api/v1/authenticators?key=okta_verify&expand=methods").await;
    assert_eq!((status, &body["errorCode"]), (401, &json!("E0000011")));
    let (status, body) = json("/nothing").await;
    assert_eq!((status, &body["errorCode"], &body["errorCauses"]), (404, &json!("E0000007"), &json!([])));
    let (status, body) = json("/oauth2/v1/authorize?response_type=code&client_id=a&state=b").await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
    for page in ["/", "/login"] {
        let visit = world.workstation.browse(&url(&format!("https://acme.okta.com{page}"))).await;
        assert!(visit.body.contains("Sign in to acme.okta.com"), "{}", visit.body);
    }
}

#[tokio::test]
async fn echo_tells_what_it_was_sent_with_and_without_tls() {
    let world = World::direct(vec![origin(&["echo.example"], App::Echo)]).await;
    for scheme in ["http", "https"] {
        let visit = world.workstation.browse(&url(&format!("{scheme}://echo.example/a?b"))).await;
        let body: Value = serde_json::from_str(&visit.body).unwrap();
        assert_eq!((&body["method"], &body["body"]), (&json!("GET"), &json!("")));
        assert!(body["headers"].as_array().unwrap().iter().any(|pair| pair[0] == "user-agent"));
    }
    let visit = world.workstation.browse(&url("https://echo.example/drip?n=3&ms=1")).await;
    assert_eq!(visit.body, "1\n2\n3\n");

    let mut stream = world.workstation.open(&Destination::new(host("echo.example"), 80), "test").await.unwrap();
    let request = "POST /echo HTTP/1.1\r\nHost: echo.example\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("hello"), "{answer}");
}

#[tokio::test]
async fn a_websocket_echoes_for_a_client_of_others() {
    let world = World::direct(vec![origin(&["echo.example"], App::Echo)]).await;
    let stream = world.workstation.open(&Destination::new(host("echo.example"), 80), "test").await.unwrap();
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    let talk = move || {
        let (mut socket, response) = tungstenite::client("ws://echo.example/ws", stream).unwrap();
        assert_eq!(response.status(), 101);
        let long = "x".repeat(70_000);
        for text in ["", "hello", &"y".repeat(200), &long] {
            socket.send(Message::text(text)).unwrap();
            assert_eq!(socket.read().unwrap(), Message::text(text));
        }
        socket.send(Message::binary(vec![0, 159, 255])).unwrap();
        assert_eq!(socket.read().unwrap(), Message::binary(vec![0, 159, 255]));
        socket.send(Message::Ping(vec![1].into())).unwrap();
        assert_eq!(socket.read().unwrap(), Message::Pong(vec![1].into()));
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
    };
    tokio::task::spawn_blocking(talk).await.unwrap();
    let visit = world.workstation.browse(&url("https://echo.example/ws")).await;
    assert_eq!(visit.status, Some(426));
}

#[tokio::test]
async fn a_kept_connection_lives_until_the_origin_goes() {
    let mut world = World::of(vec![origin(&["site.example"], App::Static)]).await;
    world.trust_inspection();
    world.proxy.set("site.example", Does::Forge);
    let mut forged = world.workstation.keep_open(&url("https://site.example/")).await.unwrap();
    world.proxy.set("site.example", Does::Tunnel);
    let mut genuine = world.workstation.keep_open(&url("https://site.example/")).await.unwrap();
    assert_eq!(forged.certificate().unwrap().issuer, "Test Inspection CA");
    assert_eq!(genuine.certificate().unwrap().issuer, "Simulated Public TLS CA 1");
    assert_eq!((forged.version(), genuine.version()), (HttpVersion::Http1, HttpVersion::Http2));
    for kept in [&mut forged, &mut genuine] {
        assert_eq!(kept.request().await.unwrap().status, 200);
        assert!(!kept.is_closed());
    }
    world.internet.shutdown().await;
    for kept in [&mut forged, &mut genuine] {
        kept.closed().await;
        assert!(kept.is_closed());
        assert!(kept.request().await.is_err());
    }
}

#[tokio::test]
async fn tls_1_2_is_served_as_well() {
    let world = World::direct(vec![acme()]).await;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(world.internet.root_der().clone()).unwrap();
    for (host, version) in [
        ("acme.okta.com", &rustls::version::TLS12),
        ("acme.mtls.okta.com", &rustls::version::TLS12),
        ("acme.mtls.okta.com", &rustls::version::TLS13),
    ] {
        let config = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let destination: Destination = format!("{host}:443").parse().unwrap();
        let stream = world.workstation.open(&destination, "test").await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = connector.connect(destination.host.server_name(), stream).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
    }
    let pin = |name: &str| world.internet.pin(&host(name)).unwrap();
    assert_ne!(pin("acme.okta.com"), pin("acme.mtls.okta.com"));
}

#[tokio::test]
async fn plain_http_goes_through_the_proxy_in_absolute_form() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut workstation = Workstation::new("desk\r\n1", Vec::new());
    workstation.set_proxy(ProxySetting::On(listener.local_addr().unwrap()));
    workstation.set_credentials(Some(("u".into(), "p".into())));
    let proxy = async {
        let mut heads = Vec::new();
        for answer in ["407 Proxy Authentication Required", "200 OK"] {
            let mut stream = listener.accept().await.unwrap().0;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            heads.push(String::from_utf8(head).unwrap().to_lowercase());
            let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heads
    };
    let page = url("http://site.example/a?b");
    let (visit, heads) = tokio::join!(workstation.browse(&page), proxy);
    assert_eq!((visit.status, visit.error), (Some(200), None));
    for head in &heads {
        assert!(head.starts_with("get http://site.example/a?b http/1.1\r\n"), "{head}");
        assert!(head.contains("middlebox-device: desk--1\r\n"), "{head}");
    }
    assert!(!heads[0].contains("proxy-authorization") && heads[1].contains("proxy-authorization: basic dtpw\r\n"));
}

#[tokio::test]
async fn nothing_hangs() {
    // Accepts and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut workstation = Workstation::new("desk-1", Vec::new());
    workstation.set_proxy(ProxySetting::On(silent.local_addr().unwrap()));
    workstation.set_time_limit(Duration::from_millis(50));
    let timed_out = Fault::TimedOut { seconds: 1 };
    let page = url("https://acme.okta.com/");
    assert_eq!(workstation.browse(&page).await.error, Some(timed_out.clone()));
    assert_eq!(workstation.keep_open(&page).await.unwrap_err(), timed_out);
    assert_eq!(workstation.open(&"acme.okta.com:443".parse().unwrap(), "test").await.unwrap_err(), timed_out);
}

#[tokio::test]
async fn origins_that_contradict_each_other_do_not_start() {
    let start = async |origins| Internet::start(origins).await.unwrap_err().to_string();
    let twice = vec![acme(), origin(&["acme.okta.com"], App::Static)];
    assert!(start(twice).await.starts_with("acme.okta.com belongs to two origins"));
    assert!(start(vec![origin(&[], App::Static)]).await.starts_with("origin 1"));
    let link = OriginSpec { enroll_link: Some(url("http://a.example")), ..acme() };
    assert!(start(vec![link]).await.contains("https URL"));
    let link = OriginSpec { enroll_link: Some(url("https://a.example")), ..origin(&["b.example"], App::Echo) };
    assert!(start(vec![link]).await.contains("only an `okta-org`"));
}
