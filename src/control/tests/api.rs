//! Endpoint by endpoint, by hand and by the client.

use std::sync::atomic::Ordering;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::Setup;
use crate::control::wire::NewRule;
use crate::control::{ClientError, ConnectionFilter, ControlClient, ControlError, ProblemKind};
use crate::journal::{DecisionFacts, DecisionKind, End, Outcome, OwnedSubjects, Recording};
use crate::net::Destination;
use crate::policy::{Action, OnChange, Standing};

#[tokio::test]
async fn status_says_how_it_stands() {
    let lab = Setup::new().run().await;
    let status = lab.client().status().await.unwrap();
    assert_eq!((status.control, status.proxy.port()), (lab.address, 8080));
    assert!((90..100).contains(&status.uptime_s), "{status:?}");
    assert_eq!((status.epoch, status.default, status.on_change), (1, Action::Inspect, OnChange::Drain));
    assert!(status.origins.contains_key("acme.okta.com") && status.ca.sha256.len() == 64);
    let raw = lab.get("/api/v1/status").await.value();
    assert_eq!((&raw["serving"], &raw["dialect"]), (&json!(true), &json!("middlebox")));
    assert!(raw["origins"]["acme.okta.com"]["pin"].as_str().unwrap().starts_with("sha256/"));
}

#[tokio::test]
async fn readiness_follows_the_proxy() {
    let lab = Setup::new().run().await;
    assert_eq!((lab.get("/healthz").await.status, lab.get("/readyz").await.status), (200, 200));
    lab.lab.serving.store(false, Ordering::Relaxed);
    lab.get("/readyz").await.problem(503, "unavailable");
    assert_eq!(lab.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn rules_come_and_go_with_the_epoch() {
    let lab = Setup::new().run().await;
    let added = lab.json("POST /api/v1/policy/rules", &[], r#"{"pattern": "*.okta.com", "note": "pins"}"#).await;
    assert_eq!((added.status, added.header("etag")), (201, Some("\"2\"")));
    assert_eq!(added.header("location"), Some("/api/v1/policy/rules/r1"));
    let value = added.value();
    assert_eq!((&value["epoch"], &value["affected"], &value["on_change"]), (&json!(2), &json!(3), &json!("drain")));
    assert_eq!(value["rules"][0]["action"], "bypass");
    assert_eq!(lab.policy.current().epoch(), 2);
    assert_eq!(lab.lab.asked.load(Ordering::Relaxed), 1);

    let again = lab.json("POST /api/v1/policy/rules", &[], r#"{"pattern": "*.okta.com", "note": "pins"}"#).await;
    assert_eq!((again.status, again.header("etag")), (200, Some("\"2\"")));

    let policy = lab.get("/api/v1/policy").await;
    assert_eq!(policy.header("etag"), Some("\"2\""));
    assert_eq!(policy.value()["rules"][0]["note"], "pins");
    assert_eq!(lab.get("/api/v1/policy/rules").await.value()["rules"][0]["id"], "r1");
    assert_eq!(lab.get("/api/v1/policy/rules/r1").await.value()["pattern"], "*.okta.com");
    lab.get("/api/v1/policy/rules/r9").await.problem(404, "not-found");

    let off = lab.json("PATCH /api/v1/policy/rules/r1?on-change=kill", &[], r#"{"enabled": false}"#).await.value();
    assert_eq!((&off["epoch"], &off["rules"][0]["enabled"]), (&json!(3), &json!(false)));
    assert_eq!(lab.lab.killed.load(Ordering::Relaxed), 1);
    let removed = lab.send("DELETE /api/v1/policy/rules/r1?on-change=new-only", &[], "").await.value();
    assert_eq!((&removed["epoch"], &removed["affected"]), (&json!(4), &json!(0)));
    lab.send("DELETE /api/v1/policy/rules/r1", &[], "").await.problem(404, "not-found");

    let default = lab.json("PATCH /api/v1/policy", &[], r#"{"default": "block"}"#).await.value();
    assert_eq!((&default["epoch"], &default["changed"]), (&json!(5), &json!(true)));
    assert_eq!(lab.policy.current().default_action(), Action::Block);
}

#[tokio::test]
async fn an_id_in_the_path_is_no_pattern() {
    let lab = Setup::new().run().await;
    let client = lab.client();
    client.add_rule(&NewRule::new("okta.com", Action::Bypass), None).await.unwrap();
    lab.send("DELETE /api/v1/policy/rules/okta.com", &[], "").await.problem(404, "not-found");
    assert_eq!(lab.policy.current().rules().len(), 1);
}

#[tokio::test]
async fn a_pattern_selects_every_rule_that_has_it() {
    let lab = Setup::new().run().await;
    let client = lab.client();
    let block = NewRule { ports: vec!["8443".parse().unwrap()], ..NewRule::new("*.OKTA.com", Action::Block) };
    client.add_rule(&NewRule::new("*.okta.com", Action::Bypass), None).await.unwrap();
    client.add_rule(&block, None).await.unwrap();
    client.add_rule(&NewRule { at: Some(3), ..NewRule::new("okta.com", Action::Bypass) }, None).await.unwrap();
    let off = client.set_enabled("*.okta.com", false, Some(OnChange::NewOnly)).await.unwrap();
    assert_eq!((off.rules.len(), off.on_change, off.affected), (2, OnChange::NewOnly, 0));
    let removed = client.remove("*.okta.com", None).await.unwrap();
    assert_eq!((removed.rules.len(), removed.epoch), (2, 6));
    let left = client.policy().await.unwrap().rules;
    assert_eq!(left.iter().map(|rule| rule.pattern.as_str()).collect::<Vec<_>>(), ["okta.com"]);
    match client.remove("okta.co", None).await.unwrap_err() {
        ClientError::Problem(problem) => {
            assert!(problem.is(ProblemKind::NotFound));
            assert_eq!(problem.mend.as_deref(), Some("okta.com"));
        }
        other => panic!("{other}"),
    }
    lab.send("DELETE /api/v1/policy/rules", &[], "").await.problem(400, "bad-request");
    assert_eq!(lab.policy.current().rules().len(), 1);
}

#[tokio::test]
async fn a_stale_change_is_refused_and_changes_nothing() {
    let lab = Setup::new().run().await;
    let rule = r#"{"pattern": "okta.com"}"#;
    assert_eq!(lab.json("POST /api/v1/policy/rules", &["If-Match: \"1\""], rule).await.status, 201);
    let lines = ["PATCH /api/v1/policy/rules/r1", "PATCH /api/v1/policy/rules?pattern=okta.com"];
    for line in lines {
        let reply = lab.json(line, &["If-Match: \"1\""], r#"{"enabled": false}"#).await;
        assert_eq!(reply.problem(412, "stale")["epoch"], 2);
        assert_eq!(reply.header("etag"), Some("\"2\""));
    }
    lab.send("POST /api/v1/policy/save", &["If-Match: \"1\""], "").await.problem(412, "stale");
    lab.send("DELETE /api/v1/policy/rules/r1", &["If-Match: 2"], "").await.problem(400, "bad-request");
    assert!(lab.policy.current().rules()[0].enabled);
    assert_eq!(lab.send("DELETE /api/v1/policy/rules/r1", &["If-Match: \"2\""], "").await.status, 200);
}

#[tokio::test]
async fn mistakes_are_problems_that_say_what_to_write() {
    let lab = Setup::new().run().await;
    let post = async |body: &str| lab.json("POST /api/v1/policy/rules", &[], body).await;
    let pattern = post(r#"{"pattern": "a.*.okta.com"}"#).await.problem(422, "bad-pattern");
    assert_eq!((&pattern["column"], &pattern["pattern"]), (&json!(3), &json!("a.*.okta.com")));
    assert!(pattern["mend"].as_str().unwrap().contains("*.okta.com"), "{pattern}");
    let key = post(r#"{"patern": "okta.com"}"#).await.problem(400, "unknown-key");
    assert_eq!(key["mend"], "did you mean `pattern`?");
    let word = post(r#"{"pattern": "okta.com", "action": "bypas"}"#).await.problem(400, "bad-request");
    assert_eq!(word["mend"], "did you mean `bypass`?");
    post(r#"{"pattern": "okta.com", "at": 9}"#).await.problem(422, "bad-value");
    post(r#"{"pattern": "okta.com", "id": "r7"}"#).await.problem(422, "bad-value");
    post("{").await.problem(400, "bad-request");
    post(&format!("{{\"note\": \"{}\"}}", "x".repeat(64 << 10))).await.problem(413, "too-large");
    let query = lab.json("POST /api/v1/policy/rules?on-chnge=kill", &[], "{}").await.problem(400, "unknown-key");
    assert_eq!(query["mend"], "did you mean `on-change`?");
    lab.send("POST /api/v1/policy/rules", &["Content-Type: text/plain"], "{}").await.problem(415, "not-json");
    lab.get("/api/v1/nothing").await.problem(404, "not-found");
    lab.get("/api/v1/policy/rules/%ff").await.problem(400, "bad-request");
    let method = lab.send("PUT /api/v1/policy", &[], "").await;
    method.problem(405, "method-not-allowed");
    assert!(method.header("allow").unwrap().contains("PATCH"), "{method:?}");
    assert_eq!(lab.policy.current().epoch(), 1);
}

#[tokio::test]
async fn saving_needs_a_file_and_writes_it() {
    let lab = Setup::new().run().await;
    let problem = lab.send("POST /api/v1/policy/save", &[], "").await.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("--policy FILE"), "{problem}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    std::fs::write(&file, "# ours\n").unwrap();
    let lab = Setup::with_file(Some(file.clone())).run().await;
    let client = lab.client();
    client.add_rule(&NewRule::new("*.okta.com", Action::Bypass), None).await.unwrap();
    let saved = client.save().await.unwrap();
    assert_eq!((saved.rules.len(), saved.rules[0].source.as_str()), (1, "file"));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# ours") && text.contains("*.okta.com"), "{text}");
    assert_eq!(client.policy().await.unwrap().file, Some(file.display().to_string()));
}

#[tokio::test]
async fn decide_explains_every_rule() {
    let lab = Setup::new().run().await;
    lab.client().add_rule(&NewRule::new("*.okta.com", Action::Bypass), None).await.unwrap();
    let below = lab.get("/api/v1/decide?host=acme.okta.com").await.value();
    assert_eq!((&below["decision"]["action"], &below["decision"]["rule"]["id"]), (&json!("bypass"), &json!("r1")));
    assert_eq!((&below["port"], &below["sni"]), (&json!(443), &json!("acme.okta.com")));
    let apex = lab.get("/api/v1/decide?host=okta.com&port=443").await.value();
    assert_eq!(apex["decision"]["action"], "inspect");
    assert!(apex["rules"][0]["verdict"].as_str().unwrap().contains("not okta.com itself"), "{apex}");
    let fronted = lab.get("/api/v1/decide?host=other.example&sni=acme.okta.com").await.value();
    assert_eq!(fronted["decision"]["action"], "inspect");
    assert_eq!(lab.get("/api/v1/decide?host=192.0.2.1").await.value()["sni"], json!(null));
    lab.get("/api/v1/decide").await.problem(400, "bad-request");
    lab.get("/api/v1/decide?host=a%20b").await.problem(400, "bad-request");
    lab.get("/api/v1/decide?host=a&prot=1").await.problem(400, "unknown-key");
    assert_eq!(lab.policy.current().rules()[0].hits(), 0);
}

#[tokio::test]
async fn hosts_are_answered_under_the_policy_in_force_and_under_a_list_sent_along() {
    let lab = Setup::new().run().await;
    lab.client().add_rule(&NewRule::new("*.okta.com", Action::Bypass), None).await.unwrap();
    let ask = async |body: &str| lab.json("POST /api/v1/decide", &[], body).await;
    let answered = ask(r#"{"hosts": ["acme.okta.com", "okta.com:8443"]}"#).await;
    assert_eq!((answered.status, answered.header("etag")), (200, Some("\"2\"")));
    let answers = answered.value();
    assert_eq!((&answers[0]["decision"], &answers[0]["entry"]["text"]), (&json!("bypass"), &json!("*.okta.com")));
    assert_eq!((&answers[1]["decision"], &answers[1]["port"]), (&json!("inspect"), &json!(8443)));
    let body = r#"{"hosts": ["acme.okta.com"], "patterns": ["*.okta.com"], "dialect": "zscaler"}"#;
    let refused = ask(body).await.value();
    assert_eq!(
        (&refused[0]["decision"], &refused[0]["rejected"][0]["text"]),
        (&json!("inspect"), &json!("*.okta.com"))
    );
    let without = ask(r#"{"hosts": ["acme.okta.com"], "sni": "none", "dialect": "umbrella"}"#).await.value();
    assert_eq!(without[0]["decision"], "inspect");
    let url = ask(r#"{"hosts": ["https://acme.okta.com"]}"#).await;
    assert!(url.problem(422, "bad-value")["mend"].as_str().unwrap().contains("`acme.okta.com`"));
    ask(r#"{"hosts": []}"#).await.problem(422, "bad-value");
    ask(r#"{"hosts": ["a"], "dialekt": "zscaler"}"#).await.problem(400, "unknown-key");
    assert_eq!(lab.policy.current().rules()[0].hits(), 0);
}

#[tokio::test]
async fn a_check_is_answered_with_its_mend() {
    let lab = Setup::new().run().await;
    let ask = async |body: &str| lab.json("POST /api/v1/check", &[], body).await;
    let checked = ask(r#"{"products": ["okta"], "org": "acme.okta.com"}"#).await.value();
    assert_eq!(checked["passed"], false);
    assert_eq!(checked["mend"]["edits"][0]["text"], ".okta.com");
    lab.client().add_rule(&NewRule::new(".okta.com", Action::Bypass), None).await.unwrap();
    assert_eq!(ask(r#"{"products": ["okta"]}"#).await.value()["passed"], true);
    let body = r#"{"products": ["okta"], "patterns": ["*.okta.com"], "dialect": "pan-os-exclusion"}"#;
    assert_eq!(ask(body).await.value()["half_right"][0]["id"], "H2");
    ask(r#"{"products": []}"#).await.problem(422, "bad-value");
    // No file of this machine is read for a request.
    ask(r#"{"products": ["scenarios/products/okta.toml"]}"#).await.problem(422, "bad-value");
    ask(r#"{"products": ["okta"], "org": "acme.example"}"#).await.problem(422, "bad-value");
}

#[tokio::test]
async fn the_policy_is_served_as_a_pac_file() {
    let lab = Setup::new().run().await;
    lab.client().add_rule(&NewRule::new("*.okta.com", Action::Bypass), None).await.unwrap();
    let pac = lab.get("/proxy.pac").await;
    assert_eq!((pac.status, pac.header("content-type")), (200, Some("application/x-ns-proxy-autoconfig")));
    assert!(pac.text().contains("FindProxyForURL") && pac.text().contains("okta.com"), "{}", pac.text());
    assert!(pac.text().contains(":8080"), "{}", pac.text());
}

fn connection(lab: &super::Running, host: &str, kind: DecisionKind) -> Recording {
    let recording = lab.journal.open("127.0.0.1:9".parse().unwrap());
    recording.note(|record| record.destination = Some(Destination::parse(&format!("{host}:443")).unwrap()));
    let why = "a <b>bold</b> reason".to_owned();
    let facts = DecisionFacts {
        action: kind,
        rule: None,
        rule_id: None,
        subject: None,
        why,
        standing: Standing::Established,
        assumptions: Vec::new(),
        epoch: 1,
    };
    recording.decided(OwnedSubjects::default(), facts);
    recording
}

#[tokio::test]
async fn connections_are_filtered() {
    let lab = Setup::new().run().await;
    for (host, kind, outcome) in [
        ("okta.com", DecisionKind::Inspect, Outcome::Refused),
        ("acme.okta.com", DecisionKind::Bypass, Outcome::Bypassed),
        ("example.com", DecisionKind::Inspect, Outcome::Accepted),
    ] {
        connection(&lab, host, kind).finish(outcome, End::client("closed"));
    }
    let _open = connection(&lab, "192.0.2.7", DecisionKind::Inspect);
    let client = lab.client();
    let ids = async |query: &str| {
        let value = lab.get(&format!("/api/v1/connections?{query}")).await.value();
        value["records"].as_array().unwrap().iter().map(|record| record["id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, [1, 2, 3, 4]);
    assert_eq!(ids("host=okta.com").await, [1]);
    assert_eq!(ids("host=*.okta.com").await, [2]);
    assert_eq!(ids("host=.OKTA.com").await, [1, 2]);
    assert_eq!(ids("host=192.0.2.0/24").await, [4]);
    assert_eq!(ids("outcome=refused").await, [1]);
    assert_eq!(ids("decision=inspect").await, [1, 3, 4]);
    assert_eq!(ids("open=true").await, [4]);
    assert_eq!(ids("open=false&limit=2").await, [2, 3]);
    assert_eq!(ids("since=1&limit=2").await, [2, 3]);
    let filter = ConnectionFilter {
        host: Some(".okta.com".into()),
        outcome: Some(Outcome::Bypassed),
        decision: Some(DecisionKind::Bypass),
        since: Some(1),
        limit: Some(1),
        open: Some(false),
    };
    let list = client.connections(&filter).await.unwrap();
    assert_eq!((list.records.len(), &list.records[0]["id"], list.truncated), (1, &json!(2), false));
    assert_eq!((list.connections.open, list.connections.total), (1, 4));
    let har = lab.get("/api/v1/har?host=.okta.com").await;
    assert_eq!(har.header("content-disposition"), Some("attachment; filename=\"middlebox.har\""));
    let entries = har.value()["log"]["entries"].as_array().unwrap().clone();
    let urls: Vec<_> = entries.iter().map(|entry| &entry["request"]["url"]).collect();
    assert_eq!(urls, ["https://okta.com:443/", "https://acme.okta.com:443/"]);
    lab.get("/api/v1/har?limit=0").await.problem(400, "bad-request");
    lab.get("/api/v1/connections?limit=0").await.problem(400, "bad-request");
    lab.get("/api/v1/connections?outcome=refusd").await.problem(400, "bad-request");
    lab.get("/api/v1/connections?host=a.*.b").await.problem(422, "bad-pattern");
    lab.get("/api/v1/connections?hots=a").await.problem(400, "unknown-key");
}

#[tokio::test]
async fn one_connection_is_shown_and_killed() {
    let lab = Setup::new().run().await;
    let recording = connection(&lab, "okta.com", DecisionKind::Inspect);
    assert_eq!(lab.get("/api/v1/connections/1").await.value()["outcome"], json!(null));
    assert!(!recording.live().kill.is_cancelled());
    assert_eq!(lab.client().kill(1).await.unwrap().id, 1);
    assert!(recording.live().kill.is_cancelled());
    drop(recording);
    lab.send("DELETE /api/v1/connections/1", &[], "").await.problem(409, "conflict");
    lab.send("DELETE /api/v1/connections/2", &[], "").await.problem(404, "not-found");
    lab.get("/api/v1/connections/x").await.problem(404, "not-found");
}

#[tokio::test]
async fn the_root_is_downloaded_in_both_forms() {
    let lab = Setup::new().run().await;
    let (pem, der) = (lab.get("/ca.pem").await, lab.get("/ca.crt").await);
    assert_eq!(der.header("content-type"), Some("application/x-x509-ca-cert"));
    assert_eq!(der.header("content-disposition"), Some("attachment; filename=\"middlebox-ca.crt\""));
    assert!(crate::net::CertificateFacts::of(&der.body.into()).is_ok());
    assert!(pem.text().starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(pem.header("content-type"), Some("application/x-pem-file"));
}

#[tokio::test]
async fn the_page_shows_texts_as_texts() {
    let lab = Setup::new().run().await;
    let rule = NewRule { note: Some("<script>alert(1)</script>".into()), ..NewRule::new("okta.com", Action::Bypass) };
    lab.client().add_rule(&rule, None).await.unwrap();
    drop(connection(&lab, "okta.com", DecisionKind::Bypass));
    let page = lab.get("/").await;
    let text = page.text();
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(text.contains("&lt;script&gt;alert(1)") && text.contains("a &lt;b&gt;bold"), "{text}");
    assert_eq!(text.matches("<script").count(), 1, "the page's own");
    assert!(text.contains("href=\"/ca.crt\"") && text.contains("127.0.0.1:8080"));
}

#[tokio::test]
async fn the_client_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let client = ControlClient::new(&address.to_string(), None).unwrap();
    let stranger = tokio::spawn(async move {
        let (mut stream, _) = taken.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await.unwrap();
        drop(taken.accept().await.unwrap());
        let (mut other, _) = taken.accept().await.unwrap();
        other.write_all(b"SSH-2.0-OpenSSH\r\n\r\n").await.unwrap();
        (taken, stream, other)
    });
    assert!(matches!(client.status().await.unwrap_err(), ClientError::NotOurs(_)));
    assert!(matches!(client.status().await.unwrap_err(), ClientError::Broken { .. }));
    assert!(matches!(client.status().await.unwrap_err(), ClientError::NotOurs(_)));
    drop(stranger.await.unwrap());
    let error = client.status().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no middlebox answers at http://{address}: start one with `middlebox up`, or name its control address with \
             --control or MIDDLEBOX_CONTROL"
        )
    );
    let lab = Setup::new().token("correct-horse").run().await;
    let error = lab.client().policy().await.unwrap_err();
    assert!(error.to_string().contains("token"), "{error}");
    let client = ControlClient::new(&lab.address.to_string(), Some("correct-horse")).unwrap();
    assert_eq!(client.set_default(Action::Block, None).await.unwrap().epoch, 2);
}

#[tokio::test]
async fn a_taken_address_is_an_error() {
    let lab = Setup::new().run().await;
    let error = Setup::new().listen(&lab.address.to_string()).refused().await;
    assert!(matches!(error, ControlError::Bind(address, _) if address == lab.address), "{error}");
}

#[tokio::test]
async fn counts_are_there_for_prometheus() {
    let lab = Setup::new().run().await;
    lab.client().add_rule(&NewRule::new("okta.com", Action::Bypass), None).await.unwrap();
    let recording = lab.journal.open("127.0.0.1:9".parse().unwrap());
    recording.finish(Outcome::GaveUp, End::client("closed"));
    drop(recording);
    let reply = lab.get("/metrics").await;
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = reply.text();
    for line in [
        "# TYPE middlebox_connections_ended_total counter",
        "middlebox_connections_ended_total{decision=\"none\",outcome=\"gave-up\"} 1",
        "middlebox_connections_open 0",
        "middlebox_policy_epoch 2",
        "middlebox_rule_hits_total{rule=\"r1\",pattern=\"okta.com\",action=\"bypass\"} 0",
    ] {
        assert!(text.lines().any(|told| told == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn the_document_of_the_api_names_its_version() {
    let lab = Setup::new().run().await;
    let reply = lab.get("/openapi.json").await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let document: serde_json::Value = serde_json::from_str(&reply.text()).unwrap();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn the_page_runs_its_own_script_and_no_other() {
    use base64::Engine as _;
    let lab = Setup::new().run().await;
    let page = lab.get("/").await;
    let text = page.text();
    let script = text.split_once("<script>").unwrap().1.split_once("</script>").unwrap().0;
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, script.as_bytes());
    let hash = base64::prelude::BASE64_STANDARD.encode(hash);
    let csp = page.header("content-security-policy").unwrap();
    assert!(csp.contains(&format!("script-src 'sha256-{hash}'")) && csp.contains("connect-src 'self'"), "{csp}");
}
