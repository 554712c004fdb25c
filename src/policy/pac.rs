//! A policy as a PAC script, for networks that steer with one: what is bypassed goes `DIRECT`, everything else goes to
//! the proxy, which decides again for itself.
//!
//! So the script may send too much to the proxy, and must never send too little. A bypass that PAC cannot say is left
//! out, and any other rule is widened to what PAC can say. What a browser asks about is the host of a URL, which is the
//! CONNECT host; a policy that reads the SNI as well decides later and may differ where a client lies about one of them.
//!
//! The script is of JavaScript's oldest edition, which WinHTTP still runs (MDN, "Proxy Auto-Configuration (PAC) file").

use std::fmt::{self, Write as _};

use ipnet::{IpNet, Ipv6Net};
use thiserror::Error;

use super::condition::{Network, Ports};
use super::dialects::Dialect;
use super::matcher::Matcher;
use super::rule::{Rule, RuleId};
use super::{Action, Policy};
use crate::net::Destination;

/// A generated script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedPac {
    /// The script.
    pub text: String,
    /// The rules that it cannot say as they are; its head lists them too.
    pub left_out: Vec<LeftOut>,
}

/// A rule that a script cannot say as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The rule.
    pub rule: RuleId,
    /// Its pattern, in its one spelling.
    pub pattern: String,
    /// What it does.
    pub action: Action,
    /// What PAC does not know.
    pub reason: NotInPac,
}

/// What a script cannot know of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInPac {
    /// The client's address as the proxy sees it.
    Clients,
}

/// No script can be made.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum GenerateError {
    /// Another product's patterns and order.
    #[error(
        "a PAC script is made from a policy in the `middlebox` dialect, and this one is in `{0}`; convert it first"
    )]
    Dialect(Dialect),
}

/// What comes before every rule: a browser whose loopback calls reach the proxy cannot talk to the programs beside it.
const OPENING: &str = r#"
function FindProxyForURL(url, host) {
  host = host.toLowerCase().replace(/^\[|\]$/g, "").replace(/\.$/, "");
"#;

const LOOPBACK: &str = r#"  if (host === "localhost" || endsWith(host, ".localhost") || inIpv4(host, "127.0.0.0", "255.0.0.0") || host === "::1") {
    return "DIRECT";
  }
"#;

const HELPERS: &str = r"
function endsWith(host, end) {
  return host.length > end.length && host.substring(host.length - end.length) === end;
}

// Literal addresses alone: no name is resolved.
function inIpv4(host, network, mask) {
  return /^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}$/.test(host) && isInNet(host, network, mask);
}
";

const IPV6: &str = r#"
// Whether a literal IPv6 address begins with these bits.
function inIpv6(host, network, length) {
  var words = ipv6Words(host);
  for (var at = 0; words && at < 8 && length > 16 * at; at++) {
    var shift = Math.max(0, 16 * (at + 1) - length);
    if (words[at] >> shift !== network[at] >> shift) {
      return false;
    }
  }
  return words !== null;
}

function ipv6Words(host) {
  if (!/^[0-9a-f:]*:[0-9a-f:]*$/.test(host)) {
    return null;
  }
  var halves = host.split("::");
  var head = halves[0] === "" ? [] : halves[0].split(":");
  var tail = halves.length < 2 || halves[1] === "" ? [] : halves[1].split(":");
  while (halves.length === 2 && head.length + tail.length < 8) {
    head.push("0");
  }
  var words = head.concat(tail);
  for (var at = 0; at < words.length; at++) {
    words[at] = parseInt(words[at], 16);
  }
  return words.length === 8 ? words : null;
}

// Addresses such as ::ffff:a00:1 are the IPv4 addresses that they stand for.
function unmapped(host) {
  var words = ipv6Words(host);
  if (!words || words.slice(0, 6).join() !== "0,0,0,0,0,65535") {
    return host;
  }
  return [words[6] >> 8, words[6] & 255, words[7] >> 8, words[7] & 255].join(".");
}
"#;

const PORT: &str = r"
// The port of a URL; 0 where neither the URL nor its scheme says it.
function portOf(url) {
  var found = /^([a-z][a-z0-9+.-]*):\/\/([^\/?#]*)/i.exec(url);
  if (!found) {
    return 0;
  }
  var written = /:(\d+)$/.exec(found[2]);
  var usual = { http: 80, ws: 80, https: 443, wss: 443, ftp: 21 }[found[1].toLowerCase()];
  return written ? Number(written[1]) : usual || 0;
}
";

/// Makes a script out of a policy in the native dialect, with the proxy that everything but a bypass goes to.
///
/// # Errors
/// The policy is of another dialect.
pub fn generate(policy: &Policy, proxy: &Destination) -> Result<GeneratedPac, GenerateError> {
    if policy.dialect() != Dialect::MIDDLEBOX {
        return Err(GenerateError::Dialect(policy.dialect()));
    }
    let mut left_out = Vec::new();
    let mut body = String::new();
    for rule in policy.rules().iter().filter(|rule| rule.enabled) {
        if !rule.clients().is_empty() {
            left_out.push(LeftOut {
                rule: rule.id.clone(),
                pattern: rule.pattern.canonical(),
                action: rule.action,
                reason: NotInPac::Clients,
            });
            if rule.action == Action::Bypass {
                continue;
            }
        }
        let condition = condition(rule);
        let way = way(rule.action);
        let said = format!("{}: {} {}", rule.id, rule.action, rule.pattern.canonical());
        let _ = writeln!(body, "  if ({condition}) return {way}; // {said}");
    }
    let mut text = head(policy, proxy, &left_out);
    let _ = write!(text, "var PROXY = \"PROXY {proxy}\";\n{OPENING}  host = unmapped(host);\n{LOOPBACK}");
    let has_ports = policy.rules().iter().any(|rule| rule.pattern.port().is_some() || !rule.ports().is_empty());
    if has_ports {
        text.push_str("  var port = portOf(url);\n");
    }
    let _ = writeln!(text, "{body}  return {}; // the default: {}\n}}", way(policy.default_action()), policy.default);
    text.push_str(HELPERS);
    text.push_str(IPV6);
    if has_ports {
        text.push_str(PORT);
    }
    Ok(GeneratedPac { text, left_out })
}

fn head(policy: &Policy, proxy: &Destination, left_out: &[LeftOut]) -> String {
    let epoch = policy.epoch();
    let mut head = format!(
        "// Made from a bypass policy (epoch {epoch}): bypassed hosts go DIRECT, all others to {proxy}, which decides.\n\
         // This machine itself (localhost, loopback addresses) is always DIRECT.\n"
    );
    for left_out in left_out {
        let _ = writeln!(head, "// {left_out}");
    }
    head
}

fn way(action: Action) -> &'static str {
    match action {
        Action::Bypass => "\"DIRECT\"",
        Action::Block | Action::Inspect => "PROXY",
    }
}

/// The condition of a rule as an expression. Every text in it is a name in ASCII, which needs no quoting.
fn condition(rule: &Rule) -> String {
    let host = match &rule.pattern.matcher {
        Matcher::Any => vec!["true".to_owned()],
        Matcher::Exact(name) => vec![format!("host === \"{name}\"")],
        Matcher::Below(name) => vec![format!("endsWith(host, \".{name}\")")],
        Matcher::Within(name) => vec![format!("host === \"{name}\""), format!("endsWith(host, \".{name}\")")],
        Matcher::Network(network) => vec![in_network(*network)],
        // Only native patterns come here, and they have no other shapes.
        Matcher::Deeper { .. }
        | Matcher::Ends(_)
        | Matcher::Glob(_)
        | Matcher::Loopback
        | Matcher::Never(_)
        | Matcher::Plain
        | Matcher::Regex(_)
        | Matcher::Tokens(_) => vec!["false".to_owned()],
    };
    let port = rule.pattern.port().map(|port| format!("port === {port}"));
    let ports = rule.ports().iter().copied().map(in_ports).collect();
    let all = [host, port.into_iter().collect(), ports].into_iter().filter(|any: &Vec<_>| !any.is_empty());
    let mut all: Vec<_> = all.map(|any| any.join(" || ")).collect();
    if all.len() > 1 {
        for any in all.iter_mut().filter(|any| any.contains("||")) {
            *any = format!("({any})");
        }
    }
    all.join(" && ")
}

fn in_network(network: Network) -> String {
    match network.net() {
        IpNet::V4(v4) => format!("inIpv4(host, \"{}\", \"{}\")", v4.network(), v4.netmask()),
        IpNet::V6(v6) => format!("inIpv6(host, [{}], {})", words(v6), v6.prefix_len()),
    }
}

fn words(network: Ipv6Net) -> String {
    network.network().segments().map(|word| word.to_string()).join(", ")
}

fn in_ports(ports: Ports) -> String {
    match ports.single() {
        Some(port) => format!("port === {port}"),
        None => {
            let (first, last) = ports.ends();
            format!("port >= {first} && port <= {last}")
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, pattern, action, reason: NotInPac::Clients } = self;
        match action {
            Action::Bypass => write!(f, "Left out: {rule}, {action} {pattern}: ")?,
            Action::Block | Action::Inspect => write!(f, "For every client: {rule}, {action} {pattern}: ")?,
        }
        f.write_str("a script does not know which client addresses the proxy sees.")
    }
}
