//! Network namespaces for tests that change the kernel's routes and rules.
//!
//! A test that needs one calls [`in_own_namespace`] with its own full name. The first time, that runs the test's
//! program once more under `unshare --net`, with this one test to run and a variable that says where it is; the second
//! time, inside, it runs the test. What is inside has an interface `lo` of its own and nothing else: no other machine
//! is in reach, every rule and address vanishes with the process, and neither this machine nor another test sees them.
//!
//! It takes root, `unshare`, `ip` and `nft`, and a kernel with `nf_tables`. Where one of these is missing the test says
//! so and passes.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// Set inside.
const INSIDE: &str = "MIDDLEBOX_TEST_NAMESPACE";

/// Runs a test in a network namespace of its own; `name` is the test's, as the test program lists it.
pub(crate) fn in_own_namespace(name: &str, test: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        // `lo` is down in a new namespace, and has no address but its own.
        for arguments in ["link set lo up", "address add 10.9.9.9/32 dev lo", "address add 2001:db8:9::9/128 dev lo"] {
            ip(arguments);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(test);
    }
    if let Some(why) = impossible() {
        return eprintln!("skipped: {why}");
    }
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.arg("--net").arg(program).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "inside the namespace:\n{said}");
    assert!(said.contains("1 passed"), "{name} is not the name of this test:\n{said}");
}

fn impossible() -> Option<&'static str> {
    let works =
        |command: &mut Command| command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success());
    if !works(Command::new("unshare").args(["--net", "true"])) {
        return Some("a network namespace takes root and `unshare`");
    }
    if !works(Command::new("ip").arg("-Version")) {
        return Some("there is no `ip` here (package iproute2)");
    }
    if !works(Command::new("unshare").args(["--net", "nft", "list", "ruleset"])) {
        return Some("there is no `nft` here that works (package nftables)");
    }
    None
}

/// Whether IPv6 is missing from this kernel.
pub(crate) fn no_ipv6() -> bool {
    let missing = std::net::TcpListener::bind("[::1]:0").is_err();
    if missing {
        eprintln!("skipped: this machine has no ::1");
    }
    missing
}

/// Runs `ip`, inside.
pub(crate) fn ip(arguments: &str) {
    assert!(std::env::var_os(INSIDE).is_some(), "only inside a namespace of the test's own");
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    let missing = arguments.contains("2001:db8") && no_ipv6();
    assert!(missing || output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Adds rules to the kernel's tables, inside.
pub(crate) fn nft(rules: &str) {
    assert!(std::env::var_os(INSIDE).is_some(), "only inside a namespace of the test's own");
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{rules}\n{}", String::from_utf8_lossy(&output.stderr));
}
