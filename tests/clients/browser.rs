//! A real browser, where one is installed.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use middlebox::child::{Command, Status, run};
use middlebox::journal::{Cause, Outcome};

use crate::client::{Tls, skip};
use crate::world::{EC_HOST, EXPIRED_HOST, Trust, WRONG_HOST, World};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_headless_browser_that_was_not_told_of_the_middlebox_is_not_taken_for_a_pinned_client() {
    let Some(browser) = installed().await else {
        skip("headless browser", &format!("none of {} is installed", NAMES.join(", ")));
        return;
    };
    for tls in [Tls::V12, Tls::V13] {
        let world = World::new().await;
        visit(&world, browser, EC_HOST, tls).await;
        let records = world.records(EC_HOST).await;
        assert!(records.iter().any(|record| record.outcome == Some(Outcome::Refused)), "{records:#?}");
        for diagnosis in records.iter().filter_map(|record| record.diagnosis.as_ref()) {
            assert!(diagnosis.candidates.contains(&Cause::UntrustedCa), "{diagnosis:?}");
        }
        world.lab.drain().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_headless_browser_that_trusts_the_root_shows_the_page() {
    let Some(browser) = installed_with_a_store().await else { return };
    for tls in [Tls::V12, Tls::V13] {
        let world = World::new().await;
        trusting(&world, Trust::Inspection).await;
        let shown = visit(&world, browser, EC_HOST, tls).await;
        assert!(shown.contains("on the simulated internet"), "{shown}");
        let records = world.records(EC_HOST).await;
        assert!(records.iter().any(|record| record.outcome == Some(Outcome::Accepted)), "{records:#?}");
        assert!(records.iter().all(|record| record.outcome != Some(Outcome::Refused)), "{records:#?}");
        let offered = if tls == Tls::V12 { "t12" } else { "t13" };
        let mut hellos = records.iter().filter_map(|record| record.hello.as_ref());
        assert!(hellos.all(|hello| hello.ja4.starts_with(offered)), "{records:#?}");
        world.lab.drain().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_headless_browser_that_objects_to_a_fault_of_the_host_is_understood() {
    let Some(browser) = installed_with_a_store().await else { return };
    for (host, fault) in [(WRONG_HOST, Cause::WrongHost), (EXPIRED_HOST, Cause::Expired)] {
        for tls in [Tls::V12, Tls::V13] {
            let world = World::new().await;
            trusting(&world, Trust::Untrusted).await;
            visit(&world, browser, host, tls).await;
            let records = world.records(host).await;
            let diagnoses: Vec<_> = records.iter().filter_map(|record| record.diagnosis.as_ref()).collect();
            assert!(!diagnoses.is_empty(), "{records:#?}");
            // It says alert 46 for everything; the fault is known from the certificate.
            assert!(diagnoses.iter().all(|diagnosis| diagnosis.candidates[0] == fault), "{diagnoses:#?}");
            world.lab.drain().await;
        }
    }
}

/// A browser, and the tool that fills its trust store.
async fn installed_with_a_store() -> Option<&'static str> {
    match (installed().await, runs(&["sh", "-c", "command -v certutil"]).await) {
        (Some(browser), true) => Some(browser),
        _ => {
            skip("a browser that trusts a root", "no headless browser, or no certutil, is installed");
            None
        }
    }
}

/// Puts a root into the browser's trust store.
async fn trusting(world: &World, trust: Trust) {
    let store = world.folder().join(".pki").join("nssdb");
    std::fs::create_dir_all(&store).expect("the temporary folder can be written");
    let (store, root) = (format!("sql:{}", store.display()), world.trust_file(trust).display().to_string());
    assert!(runs(&["certutil", "-d", &store, "-N", "--empty-password"]).await);
    assert!(runs(&["certutil", "-d", &store, "-A", "-t", "C,,", "-n", "inspection", "-i", &root]).await);
}

/// What a browser would do on its own account, and what asks before the first page.
const QUIET: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
];

/// Shows one page without a window, in a home of its own; gives back the page as the browser built it.
async fn visit(world: &World, browser: &str, host: &str, tls: Tls) -> String {
    let home = world.folder();
    let profile = format!("--user-data-dir={}", home.join("profile").display());
    let proxy = format!("--proxy-server=http://{}", world.lab.proxy_address());
    let version = if tls == Tls::V12 { "--ssl-version-max=tls1.2" } else { "--ssl-version-min=tls1.3" };
    let argv = [&[browser][..], &QUIET, &[version, &profile, &proxy, "--dump-dom"]].concat();
    let mut argv: Vec<OsString> = argv.into_iter().map(OsString::from).collect();
    argv.push(format!("https://{host}/").into());
    let set = vec![("HOME".into(), Path::new(home).into())];
    let command = Command { argv, set, time_limit: Some(Duration::from_secs(120)), ..Command::default() };
    let shown = run(&command).await.expect("a browser that is installed starts");
    format!("{}{}", shown.stdout.text(), shown.stderr.text())
}

async fn installed() -> Option<&'static str> {
    for name in NAMES {
        if runs(&[name, "--version"]).await {
            return Some(name);
        }
    }
    None
}

async fn runs(argv: &[&str]) -> bool {
    let argv = argv.iter().map(OsString::from).collect();
    let command = Command { argv, time_limit: Some(Duration::from_secs(30)), ..Command::default() };
    run(&command).await.is_ok_and(|outcome| outcome.status == Status::Exited(0))
}
