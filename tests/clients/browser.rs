//! A real browser, where one is installed.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use middlebox::child::{Command, Status, run};
use middlebox::journal::{Cause, Outcome};

use crate::world::{EC_HOST, Trust, World};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_headless_browser_that_was_not_told_of_the_middlebox_is_not_taken_for_a_pinned_client() {
    let Some(browser) = installed().await else {
        println!("skipped: headless browser: none of {} is installed", NAMES.join(", "));
        return;
    };
    let world = World::new().await;
    visit(&world, browser).await;
    let records = world.records(EC_HOST).await;
    assert!(records.iter().any(|record| record.outcome == Some(Outcome::Refused)), "{records:#?}");
    for diagnosis in records.iter().filter_map(|record| record.diagnosis.as_ref()) {
        assert!(diagnosis.candidates.contains(&Cause::UntrustedCa), "{diagnosis:?}");
    }
    world.lab.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_headless_browser_that_trusts_the_root_shows_the_page() {
    let (Some(browser), true) = (installed().await, runs(&["sh", "-c", "command -v certutil"]).await) else {
        println!("skipped: a browser that trusts the root: no headless browser, or no certutil, is installed");
        return;
    };
    let world = World::new().await;
    let store = world.folder().join(".pki").join("nssdb");
    std::fs::create_dir_all(&store).unwrap();
    let (store, root) = (format!("sql:{}", store.display()), world.trust_file(Trust::Inspection));
    assert!(runs(&["certutil", "-d", &store, "-N", "--empty-password"]).await);
    let root = root.display().to_string();
    assert!(runs(&["certutil", "-d", &store, "-A", "-t", "C,,", "-n", "inspection", "-i", &root]).await);
    let shown = visit(&world, browser).await;
    assert!(shown.contains("on the simulated internet"), "{shown}");
    let records = world.records(EC_HOST).await;
    assert!(records.iter().any(|record| record.outcome == Some(Outcome::Accepted)), "{records:#?}");
    assert!(records.iter().all(|record| record.outcome != Some(Outcome::Refused)), "{records:#?}");
    world.lab.drain().await;
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
async fn visit(world: &World, browser: &str) -> String {
    let home = world.folder();
    let profile = format!("--user-data-dir={}", home.join("profile").display());
    let proxy = format!("--proxy-server=http://{}", world.lab.proxy_address());
    let argv = [&[browser][..], &QUIET, &[&profile, &proxy, "--dump-dom"]].concat();
    let mut argv: Vec<OsString> = argv.into_iter().map(OsString::from).collect();
    argv.push(format!("https://{EC_HOST}/").into());
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
