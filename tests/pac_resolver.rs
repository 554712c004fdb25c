//! PAC scripts under `middlebox::pac` and under Node's `pac-resolver`, on generated calls, scripts and hosts. `.ci/run`
//! installs what is needed; without it this is skipped, with the reason printed.
//!
//! Where the two differ by intent, the text that browsers run decides (Mozilla, `netwerk/base/ascii_pac_utils.js`, which
//! goes back to Netscape's), and pac-resolver 7.0.1 departs from it. These calls are not generated:
//! - `dnsDomainIs(x, "")` is true there: `substring(host.length)` is empty. pac-resolver takes the whole host for it.
//! - `isPlainHostName("::1")` is false there, whose expression knows the colon. pac-resolver looks for dots alone.
//! - `isInNet` takes any mask there. pac-resolver refuses one with holes, takes 0.0.0.0 for one host, and takes
//!   networks of fewer than four numbers.
//! - `timeRange(9, 17)` is true there until 17:59:59, and with minutes goes round midnight. pac-resolver ends at 16:59:59
//!   and goes round nothing.
//! - `dateRange` does nothing in pac-resolver.
//! - names of days that are none, for which pac-resolver has no rule.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says why")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use middlebox::net::Overrides;
use middlebox::pac::{PacClock, PacLimits, PacScript};
use serde::Serialize;
use time::{OffsetDateTime, UtcOffset};
use url::Url;

/// Names that resolve, on both sides.
const NAMES: [(&str, &str); 4] = [
    ("localhost", "127.0.0.1"),
    ("ten.okta.com", "10.1.2.3"),
    ("intranet", "192.168.7.9"),
    ("far.example", "203.0.113.77"),
];

const HOSTS: &[&str] = &[
    "okta.com",
    "acme.okta.com",
    "a.b.okta.com",
    "notokta.com",
    "okta.com.evil.com",
    "acme.okta.com.",
    "localhost",
    "intranet",
    "www",
    "a",
    "ten.okta.com",
    "far.example",
    "nowhere.example",
    "10.1.2.3",
    "10.255.0.1",
    "192.168.7.9",
    "255.255.255.255",
    "300.1.2.3",
    "1.2.3",
    "::1",
    "2001:db8::1",
    "xn--bcher-kva.example",
    "www.example.co.uk",
    "a-b_c.example",
    "..",
    "okta.com:443",
];

#[derive(Serialize)]
struct Input {
    now: i128,
    names: BTreeMap<&'static str, &'static str>,
    scripts: Vec<Asked>,
}

#[derive(Serialize)]
struct Asked {
    text: String,
    hosts: Vec<String>,
}

/// Where `.ci/run` installs it.
fn packages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/node/node_modules")
}

/// What pac-resolver answers, in a time zone so many hours east of UTC; none where it cannot be asked.
fn pac_resolver(input: &Input, hours: i8) -> Option<Vec<Vec<Option<String>>>> {
    if !packages().join("pac-resolver").exists() {
        eprintln!("skipped: pac-resolver is not in {}, where .ci/run installs it", packages().display());
        return None;
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/pac_resolver.js");
    // POSIX counts hours west.
    let zone = format!("Etc/GMT{:+}", -hours);
    let mut node = Command::new("node");
    node.arg(program).env("NODE_PATH", packages()).env("TZ", zone).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = match node.spawn() {
        Ok(node) => node,
        Err(error) => {
            eprintln!("skipped: node does not run here: {error}");
            return None;
        }
    };
    // It reads all before it writes anything.
    node.stdin.take().unwrap().write_all(&serde_json::to_vec(input).unwrap()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Compares both on every host of every script.
fn agree(scripts: Vec<Asked>, now: OffsetDateTime) {
    let input = Input { now: now.unix_timestamp_nanos() / 1_000_000, names: NAMES.into(), scripts };
    let Some(theirs) = pac_resolver(&input, now.offset().whole_hours()) else { return };
    let mut names = Overrides::new();
    for (name, address) in NAMES {
        names.insert(format!("{name}:443:{address}").parse().unwrap());
    }
    let url = Url::parse("https://unused.example/").unwrap();
    let limits = PacLimits { time: Duration::from_secs(30), ..PacLimits::default() };
    let mut differing = Vec::new();
    for (asked, theirs) in input.scripts.iter().zip(theirs) {
        let script = PacScript::compile("generated.pac", &asked.text).unwrap();
        let script = script.with_clock(PacClock::Fixed(now)).with_limits(limits);
        for (host, theirs) in asked.hosts.iter().zip(theirs) {
            let ours = script.find_proxy(&url, host, &names).ok();
            if ours != theirs {
                differing.push(format!("{host}: {ours:?}, and pac-resolver {theirs:?}, with\n{}", asked.text));
            }
        }
    }
    assert!(differing.is_empty(), "{} differ\n{}", differing.len(), differing[..differing.len().min(5)].join("\n"));
}

/// Numbers that look random and are the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % count
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    fn host(&mut self) -> String {
        match self.below(3) {
            0 => self.one_of(HOSTS).to_owned(),
            1 => {
                let labels: Vec<_> =
                    (0..=self.below(4)).map(|_| self.one_of(&["a", "b", "okta", "com", "www"])).collect();
                labels.join(".")
            }
            _ => (0..4).map(|_| self.one_of(&["10", "1", "192", "168", "7", "255", "0"])).collect::<Vec<_>>().join("."),
        }
    }

    /// A host with something done to it.
    fn pattern(&mut self) -> String {
        let mut text = self.host();
        for _ in 0..self.below(4) {
            let at = self.below(text.len() + 1);
            match self.below(5) {
                0 => text.insert(at, '*'),
                1 => text.insert(at, '?'),
                2 => text.insert(0, '.'),
                3 if at < text.len() => drop(text.remove(at)),
                _ => text = text.split_once('.').map_or(text.clone(), |(_, rest)| rest.to_owned()),
            }
        }
        text
    }

    /// A glob; some with what only a regular expression gives a meaning to.
    fn glob(&mut self) -> String {
        match self.below(6) {
            0 => format!("({}|{})", self.pattern(), self.pattern()),
            1 => format!("{}[a-z]*", self.pattern()),
            2 => self.pattern().replace('a', "a+"),
            3 => format!("^{}$", self.pattern()),
            4 => format!("{}|{}", self.pattern(), self.pattern()),
            _ => self.pattern(),
        }
    }

    fn network(&mut self) -> (String, &'static str) {
        let address =
            self.one_of(&["10.0.0.0", "10.1.2.3", "192.168.0.0", "203.0.113.64", "0.0.0.0", "256.0.0.0", "x"]);
        let masks = ["255.0.0.0", "255.255.0.0", "255.255.255.192", "255.255.255.255", "128.0.0.0", "255.255.255.256"];
        (address.to_owned(), self.one_of(&masks))
    }

    /// A call, on the host that was asked about or on another.
    fn call(&mut self) -> String {
        let host = if self.below(2) == 0 { "host".to_owned() } else { quoted(&self.host()) };
        match self.below(10) {
            0 | 1 => match self.pattern() {
                pattern if pattern.is_empty() => "true".to_owned(),
                pattern => format!("dnsDomainIs({host}, {})", quoted(&pattern)),
            },
            2 | 3 => format!("shExpMatch({host}, {})", quoted(&self.glob())),
            4 => format!("localHostOrDomainIs({host}, {})", quoted(&self.host())),
            // Literals of IPv6 are left to a test of our own.
            5 => format!("(!/:/.test({host}) && isPlainHostName({host}))"),
            6 => format!("dnsDomainLevels({host})"),
            7 => {
                let (address, mask) = self.network();
                format!("isInNet({host}, {}, '{mask}')", quoted(&address))
            }
            8 => format!("isResolvable({host})"),
            _ => format!("dnsResolve({host})"),
        }
    }

    fn time(&mut self) -> String {
        let zone = self.one_of(&["", ", 'GMT'"]);
        let days = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
        let (hour, minute, second) = (self.below(24), self.below(60), self.below(60));
        // Later on the same day, since pac-resolver goes round nothing.
        let (last, end) = (hour + self.below(24 - hour), self.below(60).max(minute));
        match self.below(5) {
            0 => format!("weekdayRange('{}'{zone})", self.one_of(&days)),
            1 => format!("weekdayRange('{}', '{}'{zone})", self.one_of(&days), self.one_of(&days)),
            2 => format!("timeRange({hour}{zone})"),
            3 => format!("timeRange({hour}, {minute}, {last}, {end}{zone})"),
            _ => format!("timeRange({hour}, {minute}, {second}, {last}, {end}, {}{zone})", second.max(30)),
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// A script that returns what each of the calls gives.
fn calling(calls: &[String]) -> String {
    let lines: Vec<_> = calls.iter().map(|call| format!("  found += {call} + \",\";\n")).collect();
    format!("function FindProxyForURL(url, host) {{\n  var found = \"\";\n{}  return found;\n}}\n", lines.concat())
}

/// 2026-11-26 12:34:56 UTC, a Thursday, on a clock so many hours east of UTC.
fn thursday(hours: i8) -> OffsetDateTime {
    let offset = UtcOffset::from_hms(hours, 0, 0).unwrap();
    OffsetDateTime::from_unix_timestamp(1_795_696_496).unwrap().to_offset(offset)
}

#[test]
fn names_and_addresses_are_compared_alike() {
    let mut dice = Dice(0x6d69_6464_6c65_626f);
    let scripts = (0..30).map(|_| {
        let calls: Vec<_> = (0..60).map(|_| dice.call()).collect();
        let hosts = HOSTS.iter().map(ToString::to_string).chain((0..6).map(|_| dice.host())).collect();
        Asked { text: calling(&calls), hosts }
    });
    agree(scripts.collect(), thursday(0));
}

#[test]
fn whole_scripts_choose_the_same_proxy() {
    let mut dice = Dice(0x0070_6163_0000_0001);
    let scripts = (0..30).map(|_| {
        let mut text = "function FindProxyForURL(url, host) {\n".to_owned();
        for number in 0..8 {
            let joined = dice.one_of(&["&&", "||"]);
            let not = dice.one_of(&["", "!"]);
            let (one, other) = (dice.call(), dice.call());
            let _ = writeln!(text, "  if ({one} {joined} {not}{other}) return 'PROXY p{number}.example:8080; DIRECT';");
        }
        text += "  return 'DIRECT';\n}\n";
        let hosts = (0..20).map(|_| dice.host()).collect();
        Asked { text, hosts }
    });
    agree(scripts.collect(), thursday(0));
}

#[test]
fn the_clock_says_the_same() {
    let mut dice = Dice(0x0074_696d_6500_0001);
    for hours in [0, 2, -5] {
        for step in 0..6 {
            let scripts = (0..4).map(|_| {
                let calls: Vec<_> = (0..40).map(|_| dice.time()).collect();
                Asked { text: calling(&calls), hosts: vec!["a.example".to_owned()] }
            });
            let scripts = scripts.collect();
            agree(scripts, thursday(hours) + Duration::from_secs(30_000) * step);
        }
    }
}
