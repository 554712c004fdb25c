//! The program from outside: what is typed, what is printed, and the exit code.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "cli/bypass.rs"]
mod bypass;
#[path = "support/openssl.rs"]
mod openssl;
#[path = "cli/program.rs"]
mod program;
#[path = "cli/verify.rs"]
mod verify;
#[path = "cli/watch.rs"]
mod watch;

use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Output, Stdio};

use openssl::openssl;
use program::{Place, curl, curl_command, stderr, stdout, text};
use serde_json::Value;

const ORG: &str = "https://acme.okta.com/.well-known/okta-organization";

/// Compares with the file in `tests/golden`.
fn golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(r"127\.0\.0\.1:\d{5}", "127.0.0.1:[PORT]");
    settings.add_filter(r"sha256(//?)[A-Za-z0-9+/]{43}=", "sha256$1[PIN]");
    settings.add_filter(r"\b[0-9a-f]{64}\b", "[SHA-256]");
    settings.add_filter(r"port \d{5},", "port [PORT],");
    settings.add_filter(r"\d{4}-\d\d-\d\d", "[DAY]");
    settings.add_filter(r"(/\S*)?/middlebox-\w{6}/", "[LAB]/");
    settings.add_filter(r"middlebox\.exe", "middlebox");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The whole of what a command said.
fn told(place: &Place, line: &[&str], output: &Output) -> String {
    let mut told = format!("$ middlebox {}\n{}", line.join(" "), stdout(output));
    let complaints = stderr(output);
    if !complaints.is_empty() {
        told = told + "--- standard error\n" + &complaints;
    }
    told = told + "--- exit code " + &output.status.code().unwrap().to_string() + "\n";
    place.stable(&told)
}

#[test]
fn every_command_explains_itself() {
    let place = Place::new();
    let commands: [&[&str]; 19] = [
        &[],
        &["up"],
        &["run"],
        &["exec"],
        &["audit"],
        &["solve"],
        &["enroll"],
        &["verify"],
        &["bypass"],
        &["bypass", "list"],
        &["bypass", "add"],
        &["bypass", "remove"],
        &["bypass", "on"],
        &["bypass", "off"],
        &["watch"],
        &["ca"],
        &["ca", "show"],
        &["ca", "export"],
        &["ca", "renew"],
    ];
    for command in commands {
        let mut line = command.to_vec();
        line.push("--help");
        let output = place.run(&line);
        assert_eq!(output.status.code(), Some(0), "{line:?}");
        let longest = stdout(&output).lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(100), "{line:?} is {longest:?} wide");
        golden(&format!("help {}", command.join(" ")).trim().replace(' ', "-"), &stdout(&output));
    }
}

#[test]
fn mistakes_are_named_with_their_mend_and_exit_code() {
    let place = Place::new();
    place.write("bad.toml", "default = \"inspect\"\n\n[[rule]]\npattern = \"*.okta.com\"\nactoin  = \"bypass\"\n");
    place.write("bad-pattern.toml", "[[rule]]\npattern = \"https://okta.com\"\naction  = \"bypass\"\n");
    place.write(
        "bad-scenario.toml",
        "name = \"x\"\n\n[[step]]\nname = \"y\"\nenrol = { url = \"https://a.okta.com\" }\n",
    );
    place.write("users", "ann:secret\n");
    place.write("not-a-ca.pem", "nothing\n");
    place.write("not-ready.json", "{}\n");
    std::fs::create_dir(place.path("scenarios")).unwrap();
    let mistakes: [(&str, &[&str], i32); 23] = [
        ("flag", &["up", "--bypas", "okta.com"], 2),
        ("command", &["upp"], 2),
        ("profile", &["up", "--profile", "zscalr"], 2),
        ("pattern", &["up", "--bypass", "okta.com", "--block", "ac*me.okta.com"], 2),
        ("resolve", &["up", "--resolve", "acme.okta.com:443"], 2),
        ("listen", &["up", "--listen", "8080"], 2),
        ("open-proxy", &["up", "--listen", "0.0.0.0:0", "--control", "off"], 2),
        ("policy-missing", &["up", "--policy", "nope.toml"], 2),
        ("policy-place", &["up", "--policy", "bad.toml"], 2),
        ("policy-pattern", &["up", "--policy", "bad-pattern.toml"], 2),
        ("default", &["up", "--default", "decrypt"], 2),
        ("ca-missing", &["up", "--ca-cert", "nope.pem", "--ca-key", "nope.key"], 2),
        ("ca-content", &["up", "--ca-cert", "not-a-ca.pem", "--ca-key", "not-a-ca.pem"], 2),
        ("ca-key-alone", &["up", "--ca-key", "nope.key"], 2),
        ("users", &["up", "--proxy-auth", "users"], 2),
        ("simulate", &["up", "--simulate=oktaa"], 2),
        ("run-unknown", &["run", "okta-verify-enrolment", "nope/x.toml"], 2),
        ("run-folder", &["run", "scenarios"], 2),
        ("run-place", &["run", "bad-scenario.toml"], 2),
        ("control", &["up", "--control", "on"], 2),
        ("open-control", &["up", "--listen", "127.0.0.1:0", "--control", "0.0.0.0:0"], 2),
        ("enroll-url", &["enroll", "http://acme.okta.com"], 2),
        ("enroll-ready", &["enroll", "acme.okta.com", "--pins-from", "not-ready.json"], 2),
    ];
    for (name, line, code) in mistakes {
        let output = place.run(line);
        assert_eq!(output.status.code(), Some(code), "{line:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{line:?}");
        golden(&format!("mistake-{name}"), &told(&place, line, &output));
    }
}

#[test]
fn a_taken_port_is_the_environments_fault() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let line = ["up", "--listen", &taken.local_addr().unwrap().to_string(), "--control", "off"];
    let output = place.run(&line);
    assert_eq!(output.status.code(), Some(3));
    golden("mistake-taken-port", &told(&place, &line, &output));
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_the_environments_fault() {
    let place = Place::new();
    std::os::unix::fs::symlink(place.path("nowhere"), place.path("gone")).unwrap();
    let output = place.run(&["ca", "show", "--state-dir", "gone/state"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("choose another folder with --state-dir"), "{}", stderr(&output));
}

#[test]
fn up_tells_how_to_point_a_client_at_it() {
    let place = Place::new();
    let up = place.up(&["--simulate", "--block", "acme.mtls.okta.com", "--bypass", "*.okta.com", "--inspect", "*"]);
    golden("up-simulated", &place.stable(&up.guide));
    drop(up);
    let place = Place::new();
    let up = place.up(&["--default", "bypass", "--permit", "okta.com"]);
    golden("up-plain", &place.stable(&up.guide));
}

#[test]
fn the_ready_file_says_where_everything_is() {
    let place = Place::new();
    place.write("ready.json", "of an earlier run");
    let up = place.up(&["--simulate"]);
    assert!(up.proxy().parse::<std::net::SocketAddr>().unwrap().ip().is_loopback());
    assert_eq!(up.ready["control"], Value::Null);
    for file in ["ca", "public_ca"] {
        let path = up.ready[file].as_str().unwrap();
        assert!(std::fs::read_to_string(path).unwrap().starts_with("-----BEGIN CERTIFICATE-----"), "{path}");
        assert!(!std::fs::read_to_string(path).unwrap().contains("PRIVATE"), "{path}");
    }
    let hosts: Vec<_> = up.ready["origins"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        hosts,
        [
            "acme.mtls.okta.com",
            "acme.okta.com",
            "acme.oktapreview.com",
            "echo.acme.example",
            "intranet.acme.example",
            "login.acme.example"
        ]
    );
    assert!(up.pin("acme.okta.com").starts_with("sha256/"));
}

#[test]
fn a_real_curl_is_inspected_and_a_pinned_one_refuses() {
    let place = Place::new();
    let up = place.up(&["--simulate"]);
    let (proxy, ca) = (up.proxy(), up.ready["ca"].as_str().unwrap());
    let body = place.path("body");
    let code = ["-o", text(&body), "-w", "%{http_code}"];
    let at = ["--proxy", &proxy, "--cacert", ca, ORG];
    let Some(inspected) = curl(&[&code[..], &at].concat()) else { return };
    assert_eq!((inspected.status.code(), stdout(&inspected).as_str()), (Some(0), "200"), "{}", stderr(&inspected));
    assert!(up.logged("acme.okta.com").ends_with("acme.okta.com  inspect (default)  accepted"));

    let pin = up.pin("acme.okta.com").replace("sha256/", "sha256//");
    let pinned = curl(&[&["--pinnedpubkey", &pin][..], &at].concat()).unwrap();
    assert_eq!(pinned.status.code(), Some(90), "{}", stderr(&pinned));
}

/// A root and a CA below it, as an organization's own PKI would give them to a proxy, with its key in each form.
#[test]
fn a_ca_of_the_organization_signs_what_curl_is_shown() {
    for (kind, make, convert) in [
        ("PKCS#1", "genrsa -traditional -out made.pem 2048", "rsa -traditional -in made.pem -out ca.key"),
        ("SEC1", "ecparam -name secp384r1 -genkey -out made.pem", "ec -in made.pem -out ca.key"),
        (
            "encrypted PKCS#8",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out made.pem",
            "pkcs8 -topk8 -v2 aes-256-cbc -in made.pem -passout pass:s3cret -out ca.key",
        ),
    ] {
        let place = Place::new();
        let openssl = |arguments: &str| openssl(&place.path(""), arguments);
        if openssl(make).is_none() {
            return;
        }
        openssl(convert);
        openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out root.key");
        place.write("ca.ext", "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n");
        openssl("req -x509 -new -key root.key -days 30 -subj /O=Corp/CN=Root -out root.pem");
        openssl("req -new -key made.pem -subj /O=Corp/CN=Inspection -out ca.csr");
        openssl(
            "x509 -req -in ca.csr -CA root.pem -CAkey root.key -CAcreateserial -days 9 -extfile ca.ext -text -out ca.pem",
        );
        place.write(
            "chain.pem",
            &format!("Issued to the proxy team\n{}{}", place.read("ca.pem"), place.read("root.pem")),
        );
        place.write("password", "s3cret\n");
        let mut flags = vec!["--simulate", "--ca-cert", "chain.pem", "--ca-key", "ca.key"];
        if kind.starts_with("encrypted") {
            flags.extend(["--ca-key-password-file", "password"]);
        }
        let up = place.up(&flags);
        let (proxy, root) = (up.proxy(), place.path("root.pem"));
        let line = ["--proxy", &proxy, "--cacert", text(&root), "--fail", "--silent", "--show-error", "-v", ORG];
        let Some(output) = curl(&line) else { return };
        assert_eq!(output.status.code(), Some(0), "{kind}: {}", stderr(&output));
        assert!(stderr(&output).contains("CN=Inspection"), "{kind}: {}", stderr(&output));
    }
}

#[test]
fn a_bypassed_host_shows_its_own_certificate() {
    let place = Place::new();
    let up = place.up(&["--simulate=okta", "--bypass", "*.okta.com", "--log-format", "json"]);
    let pin = up.pin("acme.okta.com").replace("sha256/", "sha256//");
    let public = up.ready["public_ca"].as_str().unwrap();
    let line = ["--proxy", &up.proxy(), "--cacert", public, "--pinnedpubkey", &pin, "--fail", ORG];
    let Some(output) = curl(&line) else { return };
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line: Value = serde_json::from_str(&up.logged("\"connection\"")).unwrap();
    let facts = ["host", "decision", "rule", "outcome"].map(|fact| line[fact].as_str().unwrap().to_owned());
    assert_eq!(facts, ["acme.okta.com", "bypass", "*.okta.com", "bypassed"]);
}

#[test]
fn a_proxy_with_users_turns_strangers_away() {
    let place = Place::new();
    place.write("users", &format!("ann:{}\n", bcrypt::hash("secret", 4).unwrap()));
    let up = place.up(&["--simulate", "--proxy-auth", "users"]);
    let (proxy, ca) = (up.proxy(), up.ready["ca"].as_str().unwrap());
    let line = ["--proxy", &proxy, "--cacert", ca, "--fail", ORG];
    let Some(stranger) = curl(&line) else { return };
    assert!(!stranger.status.success() && stderr(&stranger).contains("407"), "{}", stderr(&stranger));
    let known = curl(&[&["--proxy-user", "ann:secret"][..], &line].concat()).unwrap();
    assert_eq!(known.status.code(), Some(0), "{}", stderr(&known));
}

#[test]
fn enroll_uses_the_proxy_and_trust_of_its_environment() {
    let place = Place::new();
    let up = place.up(&["--simulate", "--bypass", "*.oktapreview.com"]);
    let enroll = |roots: &str, flags: &[&str]| {
        let line = [&["enroll", "acme.okta.com", "--pins-from", "ready.json"][..], flags].concat();
        let mut command = place.command(&line);
        command.env("HTTPS_PROXY", format!("http://{}", up.proxy())).env("SSL_CERT_FILE", roots);
        let output = command.output().unwrap();
        told(&place, &line, &output)
    };
    let bundle = up.variable("SSL_CERT_FILE");
    golden("enroll-pinned", &enroll(&bundle, &[]));
    golden("enroll-untrusted", &enroll(up.ready["public_ca"].as_str().unwrap(), &[]));
    let late: String = enroll(&bundle, &["--late", "--format", "json"]);
    assert!(late.contains("\"outcome\": \"refused\"") && late.ends_with("--- exit code 1\n"), "{late}");
    drop(up);

    let up = place.up(&["--simulate", "--bypass", ".okta.com"]);
    let mut command = place.command(&["enroll", "https://acme.okta.com", "--pins-from", "ready.json"]);
    command.env("https_proxy", up.proxy()).env("SSL_CERT_FILE", up.variable("SSL_CERT_FILE"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains(": enrolled\n"), "{}", stdout(&output));
}

#[cfg(unix)]
mod signals {
    use std::time::Instant;

    use rustix::process::Signal;

    use super::*;

    /// An exchange that takes a while, begun: its first byte has come.
    fn dripping(up: &program::Up, count: u32) -> Option<std::process::Child> {
        let url = format!("http://echo.acme.example/drip?n={count}&ms=50");
        let command = curl_command(&["--proxy", &up.proxy(), "--no-buffer", &url]).stdout(Stdio::piped()).spawn();
        let Ok(mut child) = command else {
            program::skipped();
            return None;
        };
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        Some(child)
    }

    #[test]
    fn a_running_exchange_ends_before_up_does() {
        let place = Place::new();
        let mut up = place.up(&["--simulate", "--grace", "30s"]);
        let Some(mut exchange) = dripping(&up, 10) else { return };
        up.signal(Signal::TERM);
        up.logged("stopping");
        let mut rest = String::new();
        exchange.stdout.as_mut().unwrap().read_to_string(&mut rest).unwrap();
        assert!(exchange.wait().unwrap().success(), "{rest}");
        let (status, log) = up.end();
        assert_eq!(status.code(), Some(0), "{log:?}");
    }

    #[test]
    fn a_second_interrupt_ends_it_at_once() {
        let place = Place::new();
        let mut up = place.up(&["--simulate", "--grace", "10m"]);
        let Some(mut exchange) = dripping(&up, 10_000) else { return };
        up.signal(Signal::INT);
        up.logged("stopping");
        let begun = Instant::now();
        up.signal(Signal::INT);
        let (status, log) = up.end();
        assert_eq!(status.code(), Some(130), "{log:?}");
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
        let _ = exchange.kill();
        let _ = exchange.wait();
    }
}

#[test]
fn the_ca_can_be_looked_at_exported_and_renewed() {
    let place = Place::new();
    let show = place.run(&["ca", "show"]);
    assert!(stderr(&show).starts_with("made a new inspection CA in "), "{}", stderr(&show));
    golden("ca-show", &place.stable(&stdout(&place.run(&["ca", "show"]))));

    let pem = place.run(&["ca", "export"]);
    assert!(stdout(&pem).starts_with("-----BEGIN CERTIFICATE-----\n") && !stdout(&pem).contains("PRIVATE"));
    assert_eq!(place.run(&["ca", "export", "--format", "der", "--out", "ca.der"]).status.code(), Some(0));
    assert_eq!(std::fs::read(place.path("ca.der")).unwrap()[0], 0x30);

    let line = ["ca", "renew"];
    let refused = place.run(&line);
    assert_eq!(refused.status.code(), Some(2));
    golden("ca-renew-unconfirmed", &told(&place, &line, &refused));
    assert_eq!(stdout(&place.run(&["ca", "export"])), stdout(&pem), "nothing changed");
    let line = ["ca", "renew", "--yes", "--permit", "okta.com"];
    let renewed = place.run(&line);
    golden("ca-renew", &told(&place, &line, &renewed));
    assert_ne!(stdout(&place.run(&["ca", "export"])), stdout(&pem));
    assert_eq!(stdout(&place.run(&["ca", "export"])), place.read("state/inspection-ca.crt"));
}

#[test]
fn a_shipped_scenario_runs_from_anywhere() {
    let place = Place::new();
    let output = place.run(&["run", "okta-verify-enrollment", "--format", "json", "--junit", "report.xml"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["scenarios"][0]["file"], "scenarios/okta-verify-enrollment.toml");
    assert!(place.junit("report.xml").contains("<testsuites"));
    let quiet = place.run(&["run", "okta-verify-enrollment", "--quiet"]);
    assert_eq!((stdout(&quiet), stderr(&quiet)), (String::new(), String::new()));
}

const FAILING: &str = r#"name = "Two steps, one of which fails"

[[origin]]
hosts = ["acme.okta.com"]
app   = "okta-org"

[[step]]
name   = "It is inspected"
browse = { url = "https://acme.okta.com/" }
expect = { decision = "inspect" }

[[step]]
name   = "It is not bypassed"
browse = { url = "https://acme.okta.com/" }
expect = { decision = "bypass" }
"#;

#[test]
fn a_failed_expectation_is_told_even_quietly() {
    let place = Place::new();
    place.write("failing.toml", FAILING);
    let line = ["run", "failing.toml", "h01-exact-domain", "--quiet", "--junit", "report.xml"];
    let output = place.run(&line);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(!said.contains("It is inspected") && said.contains("It is not bypassed"), "{said}");
    assert!(said.contains("failing.toml:15:"), "{said}");
    assert!(place.junit("report.xml").contains("<failure"));
    let shard = place.run(&["run", "failing.toml", "h01-exact-domain", "--shard", "2/2"]);
    assert_eq!(shard.status.code(), Some(0), "{}", stdout(&shard));
}

#[test]
fn a_scenario_without_its_lab_is_an_error_of_the_report() {
    let place = Place::new();
    let text = FAILING.replacen("[[origin]]", "[middlebox]\nprofile = \"nope\"\n\n[[origin]]", 1);
    place.write("no-lab.toml", &text);
    let output = place.run(&["run", "no-lab.toml", "h01-exact-domain", "--junit", "report.xml"]);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    assert!(stderr(&output).contains("no profile is called `nope`"), "{}", stderr(&output));
    let report = place.junit("report.xml");
    assert!(report.contains("<error") && report.contains("h01-exact-domain"), "{report}");
}

#[test]
fn a_reader_that_goes_away_is_no_mistake() {
    let place = Place::new();
    place.run(&["ca", "show"]);
    let lines: [&[&str]; 4] =
        [&["completions", "bash"], &["ca", "show"], &["run", "h01-exact-domain"], &["ca", "export"]];
    for line in lines {
        let mut child = place.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{line:?}");
    }
}

#[test]
fn completions_are_there_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = place.run(&["completions", shell]);
        assert!(stdout(&output).contains("okta") || stdout(&output).contains("simulate"), "{shell}");
    }
}
