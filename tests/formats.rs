//! Every format: recognised by its content, read with places, written so that nothing is lost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use middlebox::policy::Dialect;
use middlebox::policy::formats::{self, Entry, Format, List};
use middlebox::source::Document;

#[path = "formats/properties.rs"]
mod properties;

/// Each example and the format that it is of.
const EXAMPLES: [(&str, &str); 25] = [
    ("list.txt", "list"),
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
