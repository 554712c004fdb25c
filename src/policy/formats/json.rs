//! JSON that is no product's configuration: a list of texts, and what vendors publish about their services.
//!
//! Microsoft's web service of endpoints answers with sets of hosts (learn.microsoft.com, "Microsoft 365 IP Address and URL
//! web service"); Okta publishes the ranges of its cells (`ip_ranges.json`). Their addresses are no entries of a list
//! of hosts where hosts stand beside them, and are kept aside.

use super::super::Action;
use super::say::Says;
use super::tree::{self, Node, Value, place};
use super::{Entry, Format, List, Sample, Spec, client_lists};
use crate::source::{Document, PlaceError, Places};

pub(super) static SPEC: Spec = Spec {
    name: "json",
    title: "JSON with hosts",
    dialects: &[],
    // The policies of Chrome are kept in JSON, too.
    recognises: |sample: &Sample<'_>| sample.is_json() && !(client_lists::CHROME.recognises)(sample),
    read,
    says: Says::PATTERNS,
    can_write: |_, entry| !entry.pattern().is_empty(),
    write,
};

/// Whether a text is the answer of Microsoft's web service, whose sets have `urls` as Zscaler's categories do.
pub(super) fn is_of_microsoft(sample: &Sample<'_>) -> bool {
    sample.is_json() && sample.text.contains("\"serviceArea\"")
}

fn read(document: &Document) -> Result<List, PlaceError> {
    let root = tree::json(document)?;
    let mut list = List::new(Format(&SPEC), document);
    let mut places = document.places();
    let all = |test: fn(&Node) -> bool| !root.items().is_empty() && root.items().iter().all(test);
    let is_cell = |cell: &tree::Field| cell.node.field("ip_ranges").is_some();
    match &root.value {
        Value::Items(items) if all(|item| matches!(item.value, Value::Text(_))) => {
            add(&mut list, &mut places, items, None);
        }
        Value::Items(sets) if all(|item| item.field("service_area").is_some()) => {
            for set in sets {
                endpoint_set(&mut list, &mut places, set);
            }
        }
        Value::Fields(cells) if !cells.is_empty() && cells.iter().all(is_cell) => {
            for cell in cells {
                let ranges = cell.node.field("ip_ranges").map_or(&[][..], Node::items);
                add(&mut list, &mut places, ranges, Some(&cell.key));
            }
        }
        _ => {
            let help = "known are the JSON of Zscaler, Netskope and Cloudflare, Microsoft's and Okta's endpoints, and a list of \
                        texts, such as [\"okta.com\", \".oktapreview.com\"]";
            return Err(document.error(root.at..root.at + 1, "this JSON is no bypass list", Some(help.to_owned())));
        }
    }
    if list.entries.is_empty() {
        return Err(document.error(root.at..root.at + 1, "this JSON names no host", None));
    }
    Ok(list)
}

/// One set of Microsoft's endpoints.
fn endpoint_set(list: &mut List, places: &mut Places<'_>, set: &Node) {
    let said = |key: &str| set.field(key).and_then(Node::text).unwrap_or_default();
    let name = format!("{} {}", said("service_area"), said("id"));
    let hosts = set.field("urls").map_or(&[][..], Node::items);
    if let Some(ranges) = set.field("ips") {
        let what = match hosts.is_empty() {
            true => format!("set {name} has addresses and names no host"),
            false => format!("the addresses of set {name} are no hosts"),
        };
        list.put_aside(place(places, ranges.at), what);
    }
    let ports = said("tcp_ports");
    if !hosts.is_empty() && !ports.split(',').any(|port| port.trim() == "443") {
        let ports = if ports.is_empty() { "UDP alone".to_owned() } else { format!("TCP {ports}") };
        list.put_aside(place(places, set.at), format!("set {name} is for {ports}, which is not looked at"));
    }
    add(list, places, hosts, Some(&name));
}

fn add(list: &mut List, places: &mut Places<'_>, items: &[Node], name: Option<&str>) {
    for item in items {
        let at = place(places, item.at);
        match &item.value {
            Value::Text(text) => {
                let entry = Entry::new(text, Action::Bypass, at);
                list.entries.push(entry.with_name(name.map(ToOwned::to_owned)));
            }
            _ => list.put_aside(at, "this is no host"),
        }
    }
}

fn write(list: &List) -> String {
    let hosts: Vec<&str> = list.entries.iter().map(Entry::pattern).collect();
    format!("{:#}\n", serde_json::json!(hosts))
}
