//! Who may ask.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Setup;
use crate::control::ControlError;

#[tokio::test]
async fn another_host_is_refused() {
    let lab = Setup::new().run().await;
    let port = lab.address.port();
    for host in [format!("Host: evil.example:{port}"), "Host: localhost:1".to_owned(), "Host: ".to_owned()] {
        for path in ["GET /api/v1/policy", "GET /", "DELETE /api/v1/policy/rules?pattern=a", "GET /nothing"] {
            lab.send_bare(path, &[&host], "").await.problem(421, "wrong-host");
        }
        assert_eq!(lab.send_bare("GET /ca.pem", &[&host], "").await.status, 200);
    }
    let two = [format!("Host: localhost:{port}"), format!("Host: evil.example:{port}")];
    lab.send_bare("GET /", &[&two[0], &two[1]], "").await.problem(421, "wrong-host");
    for host in [format!("Host: localhost:{port}"), format!("Host: [::1]:{port}")] {
        assert_eq!(lab.send_bare("GET /api/v1/policy", &[&host], "").await.status, 200);
    }
}

#[tokio::test]
async fn whoever_takes_it_for_the_proxy_is_told_where_that_is() {
    let lab = Setup::new().run().await;
    for line in ["GET http://example.com/", "CONNECT example.com:443"] {
        let problem = lab.send(line, &[], "").await.problem(421, "wrong-host");
        assert!(problem["detail"].as_str().unwrap().contains("the proxy is at 127.0.0.1:8080"), "{problem}");
    }
}

#[tokio::test]
async fn other_web_sites_are_refused() {
    let lab = Setup::new().run().await;
    let own = format!("Origin: http://{}", lab.address);
    for foreign in
        ["Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"]
    {
        lab.send("GET /api/v1/connections", &[foreign], "").await.problem(403, "cross-site");
        let body = r#"{"pattern": "okta.com"}"#;
        lab.json("POST /api/v1/policy/rules", &[foreign], body).await.problem(403, "cross-site");
        assert_eq!(lab.send("GET /ca.crt", &[foreign], "").await.status, 200);
    }
    assert_eq!(lab.policy.current().rules().len(), 0);
    let reply = lab.send("GET /api/v1/connections", &[&own, "Sec-Fetch-Site: same-origin"], "").await;
    assert_eq!(reply.status, 200);
    let preflight = lab.send("OPTIONS /api/v1/policy", &["Origin: https://evil.example"], "").await;
    assert!(preflight.status == 403 && !preflight.head.to_lowercase().contains("access-control"), "{preflight:?}");
    let link = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"];
    assert_eq!(lab.send("GET /", &link, "").await.status, 200);
}

#[tokio::test]
async fn a_token_is_demanded_and_compared() {
    let lab = Setup::new().token("correct-horse").run().await;
    let reply = lab.get("/api/v1/status").await;
    reply.problem(401, "unauthorized");
    assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"middlebox\""));
    for wrong in ["Bearer correct-hors", "Basic correct-horse", "Bearer", "correct-horse"] {
        let header = format!("Authorization: {wrong}");
        lab.send("GET /api/v1/status", &[&header], "").await.problem(401, "unauthorized");
    }
    let right = "Authorization: bearer correct-horse";
    assert_eq!(lab.send("GET /api/v1/status", &[right], "").await.status, 200);
    for open in ["/ca.pem", "/ca.crt", "/healthz", "/readyz"] {
        assert_eq!(lab.get(open).await.status, 200, "{open}");
    }
    let rule = r#"{"pattern": "secret.example"}"#;
    assert_eq!(lab.json("POST /api/v1/policy/rules", &[right], rule).await.status, 201);
    assert!(!lab.get("/").await.text().contains("secret.example"));
    assert!(lab.send("GET /", &[right], "").await.text().contains("secret.example"));
}

#[tokio::test]
async fn a_network_address_needs_a_token() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let error = Setup::new().listen(address).refused().await;
        assert!(matches!(error, ControlError::Open(_)) && error.to_string().contains("token"), "{error}");
    }
    assert!(matches!(Setup::new().token("short").refused().await, ControlError::Token));
    assert!(matches!(Setup::new().token("with a blank").refused().await, ControlError::Token));
    let lab = Setup::new().listen("0.0.0.0:0").token("correct-horse").run().await;
    assert_ne!(lab.address.port(), 0);
}

#[tokio::test]
async fn answers_are_hardened() {
    let lab = Setup::new().run().await;
    for path in ["/", "/api/v1/status", "/nothing", "/ca.pem"] {
        let reply = lab.get(path).await;
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        let csp = reply.header("content-security-policy").unwrap();
        assert!(csp.starts_with("default-src 'none';") && csp.contains("frame-ancestors 'none'"), "{csp}");
        assert!(!reply.head.to_lowercase().contains("access-control-"), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_body_is_not_waited_for_either() {
    let lab = Setup::new().run().await;
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    let head = "PATCH /api/v1/policy HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 99\r\n";
    stream.write_all(format!("{head}Host: {}\r\n\r\n{{", lab.address).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    super::Reply::read(&answer).problem(408, "timeout");
}

#[tokio::test(start_paused = true)]
async fn half_a_head_holds_nothing_up_for_ever() {
    let lab = Setup::new().run().await;
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
    let begun = tokio::time::Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    let waited = tokio::time::Instant::now().duration_since(begun);
    assert!(waited.as_secs() >= 10 && waited.as_secs() <= 60, "{waited:?}");
}
