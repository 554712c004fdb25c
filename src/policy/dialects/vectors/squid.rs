//! `squid-dstdomain` against a real Squid, which says by its answer whether an entry matched: nothing is fetched.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::Dialect;
use super::generated::{self, Dice};
use crate::policy::matrix::{Cell, read};
use crate::policy::standing::Standing;

/// Starting takes Squid a second or two; this is for a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);

const ENTRIES: &[&str] = &[
    "okta.com",
    ".okta.com",
    "OKTA.com",
    ".OKTA.com",
    "*.okta.com",
    "*okta.com",
    "com",
    ".com",
    "a.b.okta.com",
    "ta.com",
    "okta",
    ".okta",
    "okta.com.evil.com",
    "xn--bcher-kva.example",
];
const HOSTS: &[&str] = &[
    "okta.com",
    "acme.okta.com",
    "a.b.okta.com",
    "notokta.com",
    "okta.com.evil.com",
    "ACME.OKTA.COM",
    "acme.okta.com.",
    "OKTA.com.",
    "okta",
    "acme.okta",
    "com",
    "a.xn--bcher-kva.example",
    "xn--bcher-kva.example",
];

struct Squid {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Squid {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One list for each entry, chosen by a header; a match is a redirect, everything else a 403. With `-n` nothing is
/// looked up for addresses.
fn configuration(address: SocketAddr, entries: &[String]) -> String {
    let mut text = format!("http_port {address}\npid_filename none\naccess_log none\ncache deny all\n");
    text += "cache_log stdio:/dev/null\nnetdb_filename none\nshutdown_lifetime 0 seconds\nicon_directory /\n";
    for (number, entry) in entries.iter().enumerate() {
        let _ =
            writeln!(text, "acl chosen{number} req_header X-Entry ^{number}$\nacl list{number} dstdomain -n {entry}");
        let _ = writeln!(text, "deny_info 307:http://matched.example/ list{number}");
        let _ = writeln!(text, "http_access deny chosen{number} list{number}");
    }
    text + "http_access deny all\n"
}

/// Starts Squid, or says why it cannot be had.
fn start(entries: &[String]) -> Result<Squid, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
    let address = address.map_err(|error| error.to_string())?;
    let file = folder.path().join("squid.conf");
    std::fs::write(&file, configuration(address, entries)).map_err(|error| error.to_string())?;
    let program = ["squid", "/usr/sbin/squid"].into_iter().find(|name| {
        Path::new(name).is_file()
            || Command::new(name).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    });
    let program = program.ok_or("squid is not installed")?;
    let mut command = Command::new(program);
    command.arg("-N").arg("-f").arg(&file).current_dir(folder.path());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut squid = Squid { child: child.map_err(|error| error.to_string())?, address, _folder: folder };
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Ok(Some(status)) = squid.child.try_wait() {
            return Err(format!("squid does not run here: {status}"));
        }
        if begun.elapsed() > LIMIT {
            return Err("squid did not begin to listen".to_owned());
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Ok(squid)
}

impl Squid {
    fn matches(&self, number: usize, host: &str) -> bool {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let request =
            format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nX-Entry: {number}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        match answer.split(' ').nth(1) {
            Some("307") => true,
            Some("403") => false,
            _ => panic!("{host}: {answer}"),
        }
    }
}

#[test]
fn dstdomain_is_read_as_squid_reads_it() {
    let mut dice = Dice::new(3);
    let entries = generated::with(ENTRIES, 80, || dice.entry());
    let hosts = generated::with(HOSTS, 50, || dice.host());
    let squid = match start(&entries) {
        Ok(squid) => squid,
        Err(why) => return println!("skipped: {why}"),
    };
    let dialect: Dialect = "squid-dstdomain".parse().unwrap();
    let mut differing = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        for host in &hosts {
            let (cell, real) = (read(dialect, entry, host, 443), squid.matches(number, host));
            if (cell == Cell::Match(Standing::Established)) != real {
                differing.push(format!("`{entry}` {host}: Squid says {real}, here it is {cell}"));
            }
        }
    }
    assert!(differing.is_empty(), "\n{}", differing.join("\n"));
}
