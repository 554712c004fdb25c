//! PAN-OS XML: a whole configuration, or the part of one that the XML API takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use roxmltree::{Document as Xml, Node};

use super::pan_os::{PanOs, SAYS, action_name, can_write, layout};
use super::tree::place;
use super::{Format, List, Place, Sample, Spec};
use crate::source::{Document, PlaceError, Places};

pub(super) static SPEC: Spec = Spec {
    name: "pan-os-xml",
    title: "a PAN-OS configuration in XML",
    dialects: &["pan-os-exclusion", "pan-os-url", "pan-os-url-legacy"],
    recognises,
    read,
    says: SAYS,
    can_write,
    write,
};

/// It begins with a tag, which the words of Chrome's bypass list are not.
fn recognises(sample: &Sample<'_>) -> bool {
    let text = sample.text.trim_start();
    text.starts_with('<') && !["<local>", "<-loopback>"].iter().any(|word| text.starts_with(word))
}

/// Around a part that has several roots.
const WRAP: (&str, &str) = ("<part>", "</part>");

struct Reader<'d> {
    places: Places<'d>,
    /// How many bytes stand before the document.
    shift: usize,
    list: List,
    pan_os: PanOs,
    /// What is none of our business, with its first place and how often it came.
    others: BTreeMap<String, (Place, usize)>,
}

fn read(document: &Document) -> Result<List, PlaceError> {
    let text = document.text();
    let wrapped = format!("{}{text}{}", WRAP.0, WRAP.1);
    let (xml, shift) = match (Xml::parse(text), Xml::parse(&wrapped)) {
        (Ok(xml), _) => (xml, 0),
        (Err(_), Ok(xml)) => (xml, WRAP.0.len()),
        (Err(error), Err(_)) => {
            let at = document.offset(error.pos().row as usize, error.pos().col as usize);
            return Err(document.error(at..at + 1, error.to_string(), None));
        }
    };
    let list = List::new(Format(&SPEC), document);
    let mut reader =
        Reader { places: document.places(), shift, list, pan_os: PanOs::default(), others: BTreeMap::new() };
    let top = xml.root_element();
    if top.tag_name().name() == "config" || top.descendants().any(|node| node.has_tag_name("rulebase")) {
        reader.pan_os.whole = true;
    }
    reader.walk(top);
    let Reader { mut list, pan_os, others, .. } = reader;
    for (what, (place, count)) in others {
        let times = if count == 1 { String::new() } else { format!(", {count} times") };
        list.put_aside(place, format!("`{what}` holds no bypass rule{times}"));
    }
    pan_os.finish(&mut list);
    Ok(list)
}

impl Reader<'_> {
    fn place(&mut self, at: usize) -> Place {
        place(&mut self.places, at.saturating_sub(self.shift))
    }

    /// Looks for what is about decryption; nothing else is gone into further than it has to be.
    fn walk(&mut self, node: Node<'_, '_>) {
        match node.tag_name().name() {
            "ssl-exclude-cert" => entries(node).for_each(|entry| self.exclusion(entry)),
            // The part that the API is given may begin at the entries themselves.
            "entry" if child(node, "exclude").is_some() => self.exclusion(node),
            "custom-url-category" => entries(node).for_each(|entry| self.category(entry)),
            "decryption" if child(node, "rules").is_some() => {
                child(node, "rules").into_iter().flat_map(entries).for_each(|entry| self.rule(entry));
            }
            _ => {
                let children: Vec<_> = node.children().filter(Node::is_element).collect();
                let leads = |node: &Node<'_, '_>| {
                    node.descendants().any(|inner| {
                        ["ssl-exclude-cert", "custom-url-category", "decryption"].contains(&inner.tag_name().name())
                            || (inner.has_tag_name("exclude")
                                && inner.parent().is_some_and(|up| up.has_tag_name("entry")))
                    })
                };
                for child in children {
                    if leads(&child) {
                        self.walk(child);
                    } else {
                        let place = self.place(child.range().start);
                        let other = self.others.entry(child.tag_name().name().to_owned()).or_insert((place, 0));
                        other.1 += 1;
                    }
                }
            }
        }
    }

    fn name(&mut self, entry: Node<'_, '_>) -> (String, Place) {
        match entry.attribute_node("name") {
            Some(name) => (name.value().to_owned(), self.place(name.range_value().start)),
            None => (String::new(), self.place(entry.range().start)),
        }
    }

    fn text(&mut self, node: Node<'_, '_>) -> (String, Place) {
        let inner = node.first_child().map_or(node.range().start, |text| {
            let blank = text.text().map_or(0, |text| text.len() - text.trim_start().len());
            text.range().start + blank
        });
        (node.text().unwrap_or_default().trim().to_owned(), self.place(inner))
    }

    fn exclusion(&mut self, entry: Node<'_, '_>) {
        let (name, at) = self.name(entry);
        let enabled =
            child(entry, "exclude").is_none_or(|exclude| exclude.text().is_some_and(|text| text.trim() == "yes"));
        let note = child(entry, "description").and_then(|note| note.text()).map(|note| note.trim().to_owned());
        let exclusion = self.pan_os.exclusion(&name, at);
        (exclusion.enabled, exclusion.note) = (enabled, note.filter(|note| !note.is_empty()));
    }

    fn category(&mut self, entry: Node<'_, '_>) {
        let (name, at) = self.name(entry);
        let members = child(entry, "list").into_iter().flat_map(|list| list.children().filter(Node::is_element));
        let urls: Vec<_> = members.map(|member| self.text(member)).collect();
        let note = child(entry, "description").and_then(|note| note.text()).map(|note| note.trim().to_owned());
        if let Some(kind) =
            child(entry, "type").and_then(|kind| kind.text()).filter(|kind| kind.trim() == "Category Match")
        {
            let what = format!("the URL category {name} is of type {kind}: its members are categories");
            return self.list.put_aside(at, what);
        }
        let category = self.pan_os.category(&name, at);
        category.urls.extend(urls);
        category.note = note.filter(|note| !note.is_empty());
    }

    fn rule(&mut self, entry: Node<'_, '_>) {
        let (name, at) = self.name(entry);
        let settings: Vec<_> = entry
            .children()
            .filter(Node::is_element)
            .map(|setting| {
                let members: Vec<_> = setting.children().filter(|member| member.has_tag_name("member")).collect();
                let values = if members.is_empty() { vec![setting] } else { members };
                let values: Vec<_> = values.into_iter().map(|value| self.text(value)).collect();
                (setting.tag_name().name().to_owned(), values)
            })
            .collect();
        let rule = self.pan_os.rule(&name, at);
        for (key, values) in settings {
            PanOs::rule_setting(rule, &key, values);
        }
    }
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn entries<'a, 'i: 'a>(node: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(|child| child.has_tag_name("entry"))
}

/// A text in XML.
fn escaped(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '&' => written.push_str("&amp;"),
            '"' => written.push_str("&quot;"),
            '\n' | '\r' | '\t' => {
                let _ = write!(written, "&#{};", u32::from(sign));
            }
            sign => written.push(sign),
        }
    }
    written
}

fn write(list: &List) -> String {
    let layout = layout(list);
    let mut text = String::from("<shared>\n");
    if !layout.exclusions.is_empty() {
        text.push_str("  <ssl-decrypt>\n    <ssl-exclude-cert>\n");
        for entry in layout.exclusions {
            let _ = writeln!(text, "      <entry name=\"{}\">", escaped(entry.pattern()));
            let _ = writeln!(text, "        <exclude>{}</exclude>", if entry.enabled() { "yes" } else { "no" });
            if let Some(note) = entry.note() {
                let _ = writeln!(text, "        <description>{}</description>", escaped(note));
            }
            text.push_str("      </entry>\n");
        }
        text.push_str("    </ssl-exclude-cert>\n  </ssl-decrypt>\n");
    }
    if !layout.categories.is_empty() {
        text.push_str("  <profiles>\n    <custom-url-category>\n");
        for (name, entries) in &layout.categories {
            let _ = writeln!(text, "      <entry name=\"{}\">", escaped(name));
            if let Some(note) = entries[0].note() {
                let _ = writeln!(text, "        <description>{}</description>", escaped(note));
            }
            text.push_str("        <list>\n");
            for entry in entries {
                let _ = writeln!(text, "          <member>{}</member>", escaped(entry.pattern()));
            }
            text.push_str("        </list>\n        <type>URL List</type>\n      </entry>\n");
        }
        text.push_str("    </custom-url-category>\n  </profiles>\n");
    }
    if layout.rules {
        text.push_str("  <pre-rulebase>\n    <decryption>\n      <rules>\n");
        let mut rule = |name: &str, category: &str, action: &str, disabled: bool| {
            let _ = writeln!(text, "        <entry name=\"{}\">", escaped(name));
            let _ = writeln!(text, "          <category><member>{}</member></category>", escaped(category));
            let _ = writeln!(text, "          <action>{action}</action>");
            if disabled {
                text.push_str("          <disabled>yes</disabled>\n");
            }
            text.push_str("        </entry>\n");
        };
        for (name, entries) in &layout.categories {
            rule(name, name, action_name(entries[0].action()), !entries[0].enabled());
        }
        if let Some(default) = list.default {
            rule("default", "any", action_name(default), false);
        }
        text.push_str("      </rules>\n    </decryption>\n  </pre-rulebase>\n");
    }
    text.push_str("</shared>\n");
    text
}
