//! Terraform: the resources of three providers that hold bypass lists.
//!
//! `zia_url_categories` and `zia_ssl_inspection_rules` (zscaler/zia), `panos_ssl_decrypt` and
//! `panos_custom_url_category` (PaloAltoNetworks/panos), `cloudflare_zero_trust_gateway_policy` and
//! `cloudflare_zero_trust_list` with their older names (cloudflare/cloudflare). What only Terraform can work out, such
//! as a variable without a default, is kept aside.

use std::fmt::Write as _;

use super::super::Action;
use super::cloudflare::{self, Gateway};
use super::pan_os::PanOs;
use super::say::Says;
use super::tree::{self, Node, place};
use super::zscaler::{self, Zia};
use super::{Dialect, Entry, Format, List, Sample, Spec};
use crate::source::{Document, PlaceError};

pub(super) static SPEC: Spec = Spec {
    name: "terraform",
    title: "a Terraform configuration",
    dialects: &["zscaler", "pan-os-exclusion", "cloudflare-host", "cloudflare-domain"],
    recognises,
    read,
    says: Says { dialects: true, ..zscaler::SAYS },
    can_write,
    write,
};

fn recognises(sample: &Sample<'_>) -> bool {
    let is_block = |line: &str| {
        ["resource \"", "data \"", "locals {", "variable \"", "terraform {", "provider \"", "module \""]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let mut lines = sample.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '/']));
    sample.extension == "tf"
        || lines.clone().map(str::trim_start).any(is_block)
        || lines.next().is_some_and(opens_a_block)
}

/// Whether a line is the head of a block of HCL: a type, labels, and a brace.
fn opens_a_block(line: &str) -> bool {
    let Some(head) = line.strip_suffix('{') else { return false };
    let is_word = |word: &str| {
        let word = word.trim_matches('"');
        !word.is_empty() && word.chars().all(|sign| sign.is_ascii_alphanumeric() || "_-".contains(sign))
    };
    !head.trim().is_empty() && head.split_whitespace().all(is_word)
}

fn read(document: &Document) -> Result<List, PlaceError> {
    let root = tree::hcl(document)?;
    let mut list = List::new(Format(&SPEC), document);
    let mut places = document.places();
    let (mut zia, mut pan_os, mut gateway) = (Zia::default(), PanOs::default(), Gateway::default());
    for field in root.fields() {
        let labels: Vec<&str> = field.labels.iter().map(String::as_str).collect();
        match (field.key.as_str(), labels.as_slice()) {
            ("resource", [kind, name]) => {
                let address = format!("{kind}.{name}");
                match *kind {
                    "zia_url_categories" | "zia_ssl_inspection_rules" => {
                        zia.take(&mut list, &mut places, &field.node, Some(&address));
                    }
                    "panos_ssl_decrypt" | "panos_ssl_decrypt_exclude_certificate_entry" => {
                        exclusions(&mut pan_os, &mut list, &mut places, &field.node);
                    }
                    "panos_custom_url_category" => category(&mut pan_os, &mut places, &field.node),
                    "cloudflare_zero_trust_gateway_policy" | "cloudflare_teams_rule" => {
                        gateway.rule(&mut list, &mut places, &field.node);
                    }
                    "cloudflare_zero_trust_list" | "cloudflare_teams_list" => {
                        gateway.list(&mut places, &field.node, Some(&address));
                    }
                    _ => list.put_aside(place(&mut places, field.at), format!("{address} is no bypass rule")),
                }
            }
            // Their values have been put where they are used.
            ("locals" | "variable", _) => {}
            (kind, labels) => {
                let what = format!("`{}` is no bypass rule", [&[kind], labels].concat().join(" "));
                list.put_aside(place(&mut places, field.at), what);
            }
        }
    }
    zia.finish(&mut list);
    pan_os.finish(&mut list);
    gateway.finish(&mut list);
    Ok(list)
}

fn exclusions(pan_os: &mut PanOs, list: &mut List, places: &mut crate::source::Places<'_>, node: &Node) {
    let mut one = |list: &mut List, places: &mut crate::source::Places<'_>, entry: &Node| {
        let Some(name) = entry.field("name") else {
            list.put_aside(place(places, entry.at), "this exclusion has no name");
            return;
        };
        let at = place(places, name.at);
        let exclusion = pan_os.exclusion(name.text().unwrap_or_default(), at);
        // Without a word an entry of the list is excluded.
        exclusion.enabled = entry.field("exclude").is_none_or(Node::is_true);
        exclusion.note = entry.field("description").and_then(Node::text).map(ToOwned::to_owned);
    };
    if node.field("name").is_some() {
        return one(list, places, node);
    }
    for field in node.fields() {
        match field.key.as_str() {
            "ssl_decrypt_exclude_certificate" | "ssl_exclude_cert" => {
                for entry in field.node.items() {
                    one(list, places, entry);
                }
            }
            key => list.put_aside(place(places, field.at), format!("`{key}` of panos_ssl_decrypt is no bypass rule")),
        }
    }
}

fn category(pan_os: &mut PanOs, places: &mut crate::source::Places<'_>, node: &Node) {
    let name = node.field("name").and_then(Node::text).unwrap_or_default().to_owned();
    for key in ["list", "sites"] {
        for url in node.all(key) {
            let at = place(places, url.at);
            pan_os.category(&name, at).urls.push((url.text().unwrap_or_default().to_owned(), at));
        }
    }
}

/// The resources of each provider have their own words.
fn can_write(list: &List, entry: &Entry) -> bool {
    let own = entry.dialect().or(list.dialect).map(Dialect::name);
    match list.dialect.map(Dialect::name) {
        Some("pan-os-exclusion") => entry.action() == Action::Bypass && own == Some("pan-os-exclusion"),
        Some("cloudflare-host" | "cloudflare-domain") => {
            cloudflare::can_write(list, entry) && own.is_some_and(|own| own.starts_with("cloudflare-"))
        }
        _ => own.is_none_or(|own| own == "zscaler"),
    }
}

fn write(list: &List) -> String {
    match list.dialect.map(Dialect::name) {
        Some("pan-os-exclusion") => pan_os(list),
        Some("cloudflare-host" | "cloudflare-domain") => cloudflare::terraform(list),
        _ => zia(list),
    }
}

fn zia(list: &List) -> String {
    let mut text = String::new();
    let groups = zscaler::groups(list, "Bypass list");
    for (group, number) in groups.iter().zip(1..) {
        let _ = writeln!(text, "resource \"zia_url_categories\" \"list_{number}\" {{");
        let _ = writeln!(text, "  configured_name = {}", string(&group.name));
        text.push_str(
            "  super_category  = \"USER_DEFINED\"\n  custom_category = true\n  type            = \"URL_CATEGORY\"\n",
        );
        text.push_str("  urls = [\n");
        for url in &group.urls {
            let _ = writeln!(text, "    {},", string(url));
        }
        text.push_str("  ]\n}\n\n");
    }
    let default = list.default.map(|action| ("Default", true, action, None));
    let rules =
        groups.iter().zip(1..).map(|(group, number)| (group.name.as_str(), group.enabled, group.action, Some(number)));
    let rules: Vec<_> = rules.chain(default).zip(1..).collect();
    for ((name, enabled, action, category), number) in rules {
        let state = if enabled { "ENABLED" } else { "DISABLED" };
        let _ = writeln!(text, "resource \"zia_ssl_inspection_rules\" \"rule_{number}\" {{");
        let _ = writeln!(text, "  name  = {}\n  order = {number}\n  rank  = 7\n  state = \"{state}\"", string(name));
        if let Some(category) = category {
            let _ = writeln!(text, "  url_categories = [zia_url_categories.list_{category}.id]");
        }
        let _ = writeln!(text, "  action {{\n    type = \"{}\"\n  }}\n}}\n", zscaler::action_name(action));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn pan_os(list: &List) -> String {
    let mut text = "resource \"panos_ssl_decrypt\" \"bypass_list\" {\n".to_owned();
    for entry in &list.entries {
        let _ = writeln!(text, "  ssl_decrypt_exclude_certificate {{\n    name        = {}", string(entry.pattern()));
        if let Some(note) = entry.note() {
            let _ = writeln!(text, "    description = {}", string(note));
        }
        let _ = writeln!(text, "    exclude     = {}\n  }}", entry.enabled());
    }
    text.push_str("}\n");
    text
}

/// A string of HCL.
pub(super) fn string(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 2);
    written.push('"');
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            '$' | '%' if signs.peek() == Some(&'{') => written.extend([sign, sign]),
            control if control.is_control() => {
                let _ = write!(written, "\\u{:04X}", u32::from(control));
            }
            sign => written.push(sign),
        }
    }
    written.push('"');
    written
}
