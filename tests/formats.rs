//! Every format: recognised by its content, read with places, written so that nothing is lost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use middlebox::policy::formats::{self, Entry, Format, List};
use middlebox::policy::{Action, Confidence, Dialect};
use middlebox::source::Document;

#[path = "formats/properties.rs"]
mod properties;

/// Each example and the format that it is of.
const EXAMPLES: [(&str, &str); 29] = [
    ("list.txt", "list"),
    ("apple.txt", "list"),
    ("microsoft-365.json", "json"),
    ("microsoft-365.csv", "netskope-csv"),
    ("okta-ip-ranges.json", "json"),
    ("zscaler-category.json", "zscaler-json"),
    ("zscaler-rules.json", "zscaler-json"),
    ("zscaler.tf", "terraform"),
    ("pan-os.xml", "pan-os-xml"),
    ("pan-os-part.xml", "pan-os-xml"),
    ("pan-os.set", "pan-os-set"),
    ("pan-os.tf", "terraform"),
    ("edl.txt", "edl"),
    ("fortigate.conf", "fortigate"),
    ("squid.conf", "squid"),
    ("mitmproxy.yaml", "mitmproxy-yaml"),
    ("mitmproxy-allow.yaml", "mitmproxy-yaml"),
    ("mitmproxy.sh", "mitmproxy-arguments"),
    ("cloudflare.json", "cloudflare-json"),
    ("cloudflare-list.json", "cloudflare-json"),
    ("cloudflare.tf", "terraform"),
    ("netskope.csv", "netskope-csv"),
    ("netskope.json", "netskope-json"),
    ("no-proxy.env", "no-proxy"),
    ("no-proxy-bare.txt", "no-proxy"),
    ("chrome.txt", "chrome-bypass"),
    ("windows.reg", "chrome-bypass"),
    ("proxy.pac", "pac"),
    ("policy.toml", "policy-toml"),
];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats").join(name)
}

fn example(name: &str) -> List {
    formats::read(&Document::read(&path(name)).unwrap(), None).unwrap()
}

fn entry_line(entry: &Entry) -> String {
    let mut line = format!("{} {}", entry.action(), entry.pattern());
    if !entry.enabled() {
        line += " off";
    }
    for ports in entry.ports() {
        let _ = write!(line, " port {ports}");
    }
    for clients in entry.clients() {
        let _ = write!(line, " from {clients}");
    }
    if let Some(dialect) = entry.dialect() {
        let _ = write!(line, " as {dialect}");
    }
    if let Some(name) = entry.name() {
        let _ = write!(line, " [{name}]");
    }
    if let Some(note) = entry.note() {
        let _ = write!(line, " ({note})");
    }
    line
}

/// All that a list says.
fn told(list: &List) -> String {
    let folder = path("").display().to_string();
    let dialect = list.dialect.map_or("no dialect", Dialect::name);
    let mut text = format!("{} as {dialect}", list.format);
    if let Some(default) = list.default {
        let _ = write!(text, ", default {default}");
    }
    if let Some(name) = &list.name {
        let _ = write!(text, ", {name}");
    }
    text.push('\n');
    for entry in &list.entries {
        let _ = writeln!(text, "{}: {}", list.locate(entry.place()).replace(&folder, ""), entry_line(entry));
    }
    for aside in &list.aside {
        let _ = writeln!(text, "aside {}: {}", list.locate(aside.place).replace(&folder, ""), aside.what);
    }
    let under = list.under(None, None);
    for rejected in &under.rejected {
        let _ = writeln!(text, "rejected {}, line {:?}: {}", rejected.text, rejected.line, rejected.reason);
    }
    text.replace(&folder, "")
}

#[test]
fn every_example_is_recognised_by_its_content_and_read() {
    let mut text = String::new();
    for (name, format) in EXAMPLES {
        let document = Document::read(&path(name)).unwrap();
        assert_eq!(formats::detect(document.text(), "").name(), format, "{name}");
        let _ = writeln!(text, "== {name}\n{}", told(&example(name)));
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("formats", text));
}

#[test]
fn every_format_has_an_example() {
    for format in Format::all() {
        assert!(EXAMPLES.iter().any(|(_, name)| *name == format.name()), "{format}");
    }
}

fn read(text: &str) -> Result<List, String> {
    formats::read(&Document::new("m", text), None).map_err(|error| error.to_string())
}

#[test]
fn what_begins_like_json_xml_or_hcl_is_that_or_an_error() {
    let errors = [
        ("{\"hosts\": [\"okta.com\" \"b.example\"]}", "m:1:22: expected comma"),
        ("[\n  \"okta.com\",\n  okta.com\n]", "m:3:3: "),
        ("{\"hosts\": [\"okta.com\"]}", "m:1:1: this JSON is no bypass list (known are the JSON of Zscaler"),
        ("[{\"id\": 1, \"name\": \"okta.com\"}]", "m:1:1: this JSON is no bypass list"),
        ("<config>\n  <shared>\n", "m:1:1: the root node was opened but never closed"),
        ("<html><body><p>okta.com</p></body></html>", "m:1:"),
        ("resource \"zia_url_categories\" \"okta\" {\n  urls = [\n", "m:2:11: "),
        ("zia_url_categories okta {\n  urls = [\n", "m:2:11: "),
        (
            "resource \"aws_instance\" \"x\" {\n  ami = \"y\"\n}\n",
            "m:1:1: no bypass rule was found in this file, which",
        ),
    ];
    for (text, start) in errors {
        let error = read(text).expect_err(text);
        assert!(error.starts_with(start), "{text}: {error}");
    }
    let hosts = read("[\"okta.com\", \".b.example\"]").unwrap();
    assert_eq!(hosts.entries.iter().map(Entry::pattern).collect::<Vec<_>>(), ["okta.com", ".b.example"]);
    // An address, the words of Chrome's list and a table of TOML begin with the same signs.
    assert_eq!(read("[2001:db8::1]:443\nokta.com\n").unwrap().format.name(), "list");
    assert_eq!(read("<local>;okta.com\n").unwrap().format.name(), "chrome-bypass");
    assert_eq!(read("[[rule]]\npattern = \"okta.com\"\naction = \"bypass\"\n").unwrap().format.name(), "policy-toml");
}

#[test]
fn what_stands_around_an_entry_is_left_out_with_a_word() {
    let list = read("a.example,\nb.example (443)\n  \"*.c.example\";\nd.example\n").unwrap();
    let told: Vec<_> = list.entries.iter().map(|entry| format!("{} {}", entry.place(), entry.pattern())).collect();
    assert_eq!(told, ["1:1 a.example", "2:1 b.example", "3:4 *.c.example", "4:1 d.example"]);
    assert_eq!(list.format.name(), "list");
    let aside: Vec<_> = list.aside.iter().map(|aside| format!("{} {}", aside.place, aside.what)).collect();
    assert_eq!(aside, ["1:1 what stands around this entry (`…,`) is no part of it; so it is with 2 more"]);
}

#[test]
fn a_log_is_no_list() {
    let logs = [
        "#Software: SGOS 7\n#Fields: date time cs-host\n2026-11-26 10:00:00 acme.okta.com\n",
        "1700000000.123    456 192.0.2.7 TCP_TUNNEL/200 3900 CONNECT acme.okta.com:443 - HIER_DIRECT/198.51.100.1 -\n",
        "192.0.2.7 - - [10/Oct/2026:13:55:36 +0000] \"CONNECT acme.okta.com:443 HTTP/1.1\" 200 2326\n",
    ];
    for log in logs {
        let error = read(log).unwrap_err();
        assert!(error.starts_with("m:1:1: this is a log of connections, and no list"), "{error}");
    }
}

#[test]
fn an_alias_in_yaml_is_told_what_it_was_meant_to_be() {
    let error = read("ignore_hosts:\n  - *.okta.com\n").unwrap_err();
    assert!(error.starts_with("m:2:") && error.contains("put the entry into quotes"), "{error}");
}

#[test]
fn what_decides_and_is_not_read_makes_answers_less_sure() {
    let squid = "acl pins ssl::server_name .okta.com\nacl more ssl::server_name_regex -i ^x\\.\n\
                 ssl_bump splice pins\nssl_bump splice more\nssl_bump bump all\n";
    let cloudflare =
        r#"{"action": "off", "name": "p", "filters": ["http"], "traffic": "http.conn.hostname == \"a.okta.com\""}"#;
    let matches =
        r#"{"action": "off", "name": "q", "filters": ["http"], "traffic": "http.conn.hostname matches \"^x\""}"#;
    let fortigate = "config firewall wildcard-fqdn custom\nedit a\nset wildcard-fqdn a.okta.com\nnext\nend\n\
                     config firewall ssl-ssh-profile\nedit p\nconfig ssl-exempt\nedit 1\nset type wildcard-fqdn\n\
                     set wildcard-fqdn a\nnext\nedit 2\nset type regex\nset regex ^x\nnext\nend\nnext\nend\n";
    for text in [squid, &format!("[{cloudflare}, {matches}]"), fortigate] {
        let list = read(text).unwrap();
        let reading = list.under(None, Some(Action::Inspect));
        let answer = |host: &str| reading.rehearse(&host.parse().unwrap());
        // Whoever bypasses this host already changes nothing by bypassing it again.
        assert_eq!(answer("a.okta.com").decision, Action::Bypass, "{}", list.format);
        let assumed = |host: &str| answer(host).assumptions.iter().map(ToString::to_string).collect::<String>();
        assert!(!assumed("a.okta.com").contains("set aside"), "{}", assumed("a.okta.com"));
        let other = answer("x.example");
        assert_eq!((other.decision, other.confidence), (Action::Inspect, Confidence::Low), "{}", list.format);
        assert!(assumed("x.example").contains("what was set aside is for other hosts: "), "{}", assumed("x.example"));
    }
}

/// What counts of a list, without its places.
fn meaning(list: &List) -> Vec<String> {
    list.entries.iter().map(entry_line).chain(list.default.map(|default| default.to_string())).collect()
}

#[test]
fn what_is_written_reads_as_it_was() {
    for (name, format) in EXAMPLES {
        let list = example(name);
        let format: Format = format.parse().unwrap();
        let text = formats::write(&list, format).unwrap();
        let again = formats::read(&Document::new("again", text.as_str()), None).unwrap_or_else(|error| {
            panic!("{name}: {error}\n{text}");
        });
        assert_eq!(again.format, format, "{name}\n{text}");
        // FortiGate has to name every object, and PAN-OS and Zscaler every list.
        let bare = |line: &String| line.split(" [").next().unwrap().to_owned();
        let (old, new): (Vec<_>, Vec<_>) =
            (meaning(&list).iter().map(bare).collect(), meaning(&again).iter().map(bare).collect());
        assert_eq!(old, new, "{name}\n{text}");
        // Once written, it stays as it is.
        assert_eq!(formats::write(&again, format).unwrap(), text, "{name}");
    }
}

#[test]
fn line_ends_marks_and_tabs_change_nothing() {
    for (name, _) in EXAMPLES {
        let document = Document::read(&path(name)).unwrap();
        let list = formats::read(&document, None).unwrap();
        let windows = format!("\u{feff}{}", document.text().replace('\n', "\r\n"));
        let windows = formats::read(&Document::new(path(name).display().to_string(), windows), None).unwrap();
        assert_eq!(meaning(&list), meaning(&windows), "{name}");
        let places = |list: &List| list.entries.iter().map(Entry::place).collect::<Vec<_>>();
        assert_eq!(places(&list), places(&windows), "{name}");
        assert_eq!(list.aside, windows.aside, "{name}");
        if !name.contains("toml") && !name.contains("yaml") {
            let tabs = document.text().replace("  ", "\t");
            let tabs = formats::read(&Document::new(path(name).display().to_string(), tabs), None).unwrap();
            assert_eq!(meaning(&list), meaning(&tabs), "{name}");
        }
    }
}

#[test]
fn mistakes_have_their_place() {
    let mistakes = [
        ("zscaler-json", "{\"urls\": [\".okta.com\",\n  okta.com]}", "m:2:3: "),
        ("zscaler-json", "{\"urls\": [\".okta.com\"", "m:1:10: "),
        ("terraform", "resource \"x\" \"y\" {\n  urls = [\n}\n", "m:3:1: "),
        ("pan-os-xml", "<shared>\n  <entry>\n</shared>\n", "m:3:1: "),
        (
            "pan-os-set",
            "set shared ssl-decrypt ssl-exclude-cert a description \"b\n",
            "m:1:55: this quote is not closed",
        ),
        ("fortigate", "config firewall address\n    edit \"a\n", "m:2:10: this quote is not closed"),
        ("squid", "acl nobump\n", "m:1:1: this acl says nothing"),
        ("squid", "acl a port 1\nacl a src 10.0.0.0/8\n", "m:2:7: acl a is of type port above"),
        ("mitmproxy-yaml", "ignore_hosts: ['a\n", "m:"),
        ("mitmproxy-arguments", "mitmdump --ignore-hosts\n", "m:1:10: `--ignore-hosts` has no value"),
        ("no-proxy", "NO_PROXY=\n", "m:1:1: the list has no entry"),
        ("pac", "function FindProxyForURL(url, host) {\n  return (;\n}\n", "m:2:"),
        ("list", "# nothing\n", "m:1:1: the list has no entry"),
    ];
    for (format, text, start) in mistakes {
        let error = formats::read(&Document::new("m", text), Some(format.parse().unwrap())).unwrap_err();
        assert!(error.to_string().starts_with(start), "{format}: {error}");
    }
    for format in Format::all().filter(|format| *format != Format::POLICY_TOML) {
        let empty = formats::read(&Document::new("m", " \r\n"), Some(format)).unwrap_err();
        assert_eq!(empty.to_string(), "m:1:1: the file is empty");
        let binary = formats::read(&Document::new("m", "PK\u{3}\u{4}\0\0"), Some(format)).unwrap_err();
        assert!(binary.to_string().starts_with("m:1:5: this is not text"), "{binary}");
    }
}
