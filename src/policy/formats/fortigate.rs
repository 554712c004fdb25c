//! FortiGate CLI: address objects and the `ssl-exempt` table of an SSL/SSH profile that names them (Fortinet, CLI
//! reference, `firewall ssl-ssh-profile`, `firewall wildcard-fqdn custom`, `firewall address`).
//!
//! Every exempt object is a bypass. Objects that no profile exempts are no rules; where a file has no profile at all,
//! it is taken to be about its objects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use super::super::Action;
use super::super::condition::Network;
use super::say::Says;
use super::words::{Statements, Word, quote};
use super::{Entry, Format, List, Place, Sample, Spec};
use crate::source::{Document, PlaceError};

pub(super) static SPEC: Spec = Spec {
    name: "fortigate",
    title: "a FortiGate configuration",
    dialects: &["fortigate-flow", "fortigate-proxy"],
    recognises,
    read,
    says: Says::PATTERNS,
    can_write: |_, entry| !entry.pattern().is_empty() && !entry.pattern().contains(char::is_control),
    write,
};

const WILDCARDS: &str = "firewall wildcard-fqdn custom";
const WILDCARD_GROUPS: &str = "firewall wildcard-fqdn group";
const ADDRESSES: &str = "firewall address";
const ADDRESS_GROUPS: &str = "firewall addrgrp";
const PROFILES: &str = "firewall ssl-ssh-profile";
const EXEMPT: &str = "firewall ssl-ssh-profile, ssl-exempt";

fn recognises(sample: &Sample<'_>) -> bool {
    let mut lines = sample.text.lines().map(str::trim);
    lines.clone().any(|line| line.starts_with("config firewall ") || line.starts_with("config vdom"))
        || lines.any(|line| line.starts_with("#config-version="))
}

/// An open `config` or `edit`.
struct Frame {
    table: String,
    /// The word that opened it, for the error where nothing closes it.
    opened: usize,
    edit: Option<String>,
    /// The table is not looked at.
    foreign: bool,
}

/// What one virtual domain defines.
#[derive(Default)]
struct Domain {
    objects: BTreeMap<(Kind, String), Object>,
    groups: HashMap<(Kind, String), Vec<(String, Place)>>,
    exempt: Vec<Exempt>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Address,
    Wildcard,
}

#[derive(Default)]
struct Object {
    /// Its number, so that objects stay in their order.
    number: usize,
    pattern: Option<(String, Place)>,
    /// Its type, where that is one without a name or network.
    other: Option<(String, Place)>,
    comment: Option<String>,
}

#[derive(Default)]
struct Exempt {
    profile: String,
    place: Place,
    kind: Option<String>,
    named: Vec<(String, String, Place)>,
}

struct Reader<'d> {
    document: &'d Document,
    list: List,
    frames: Vec<Frame>,
    domains: Vec<Domain>,
    /// The unrelated tables and settings that were mentioned already.
    told: BTreeSet<String>,
}

fn read(document: &Document) -> Result<List, PlaceError> {
    let mut list = List::new(Format(&SPEC), document);
    list.dialect = "fortigate-flow".parse().ok();
    let mut reader =
        Reader { document, list, frames: Vec::new(), domains: vec![Domain::default()], told: BTreeSet::new() };
    let mut statements = Statements::of_device(document);
    while let Some(words) = statements.next()? {
        reader.statement(&words)?;
    }
    if let Some(open) = reader.frames.last() {
        let help = Some("close it with `end`".to_owned());
        let what = format!("`config {}` is not closed", open.table);
        return Err(document.error(open.opened..open.opened + "config".len(), what, help));
    }
    Ok(reader.finish())
}

impl Reader<'_> {
    fn statement(&mut self, words: &[Word<'_>]) -> Result<(), PlaceError> {
        let first = &words[0];
        let rest: Vec<&str> = words[1..].iter().map(|word| &*word.text).collect();
        let wrong = |message: &str, help: &str| {
            let length = first.text.len();
            Err(self.document.error(first.at..first.at + length, message, Some(help.to_owned())))
        };
        match &*first.text {
            "config" => {
                let table = rest.join(" ");
                let nested = self.frames.last();
                let known = match nested.map(|frame| frame.table.as_str()) {
                    None | Some("vdom" | "global") => {
                        [WILDCARDS, WILDCARD_GROUPS, ADDRESSES, ADDRESS_GROUPS, PROFILES, "vdom", "global"]
                            .contains(&table.as_str())
                    }
                    Some(PROFILES) => table == "ssl-exempt",
                    Some(_) => false,
                };
                let foreign = !known || nested.is_some_and(|frame| frame.foreign);
                if foreign && nested.is_none_or(|frame| !frame.foreign) {
                    self.aside_once(first.place, format!("`config {table}` holds no bypass rule"));
                }
                self.frames.push(Frame { table, opened: first.at, edit: None, foreign });
            }
            "edit" => {
                let Some(frame) = self.frames.last_mut() else {
                    return wrong(
                        "`edit` outside of a table",
                        "put `config …` before it, such as `config firewall address`",
                    );
                };
                let Some(name) = words.get(1) else {
                    return wrong("`edit` names nothing", "write the name of the object behind it");
                };
                frame.edit = Some(name.text.clone().into_owned());
                if !frame.foreign {
                    self.begin(name);
                }
            }
            "next" => match self.frames.last_mut() {
                Some(frame) => frame.edit = None,
                None => {
                    return wrong("`next` without an `edit`", "remove it, or begin at the `config` line of the table");
                }
            },
            "end" => {
                if self.frames.pop().is_none() {
                    return wrong("`end` without a `config`", "remove it, or begin at the `config` line of the table");
                }
            }
            _ => match self.frames.last() {
                None => self.aside_once(first.place, format!("`{}` is no bypass rule", first.text)),
                Some(frame) if frame.foreign => {}
                Some(_) => self.setting(words),
            },
        }
        Ok(())
    }

    /// The tables that are open, from the outside in, with commas between them.
    fn tables(&self) -> String {
        let known = |frame: &&Frame| !matches!(frame.table.as_str(), "vdom" | "global");
        self.frames.iter().filter(known).map(|frame| frame.table.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn begin(&mut self, name: &Word<'_>) {
        let key = name.text.clone().into_owned();
        if self.frames.last().is_some_and(|frame| frame.table == "vdom") {
            self.domains.push(Domain::default());
            return;
        }
        let kind = match self.tables().as_str() {
            WILDCARDS => Kind::Wildcard,
            ADDRESSES => Kind::Address,
            EXEMPT => {
                let profile = self.frames.iter().rev().nth(1).and_then(|frame| frame.edit.clone()).unwrap_or_default();
                self.domain().exempt.push(Exempt { profile, place: name.place, ..Exempt::default() });
                return;
            }
            _ => return,
        };
        let number = self.domain().objects.len();
        self.domain().objects.entry((kind, key)).or_insert_with(|| Object { number, ..Object::default() });
    }

    fn domain(&mut self) -> &mut Domain {
        self.domains.last_mut().expect("there is always one")
    }

    fn setting(&mut self, words: &[Word<'_>]) {
        let verb = &*words[0].text;
        let Some(key) = words.get(1).map(|word| &*word.text) else { return };
        let values = &words[2..];
        let owned = |word: &Word<'_>| (word.text.clone().into_owned(), word.place);
        let name = self.frames.last().and_then(|frame| frame.edit.clone()).unwrap_or_default();
        let sets = verb == "set" || verb == "append";
        let tables = self.tables();
        let taken = match (tables.as_str(), values.first()) {
            (table @ (WILDCARDS | ADDRESSES), Some(value)) if sets => {
                let kind = if table == WILDCARDS { Kind::Wildcard } else { Kind::Address };
                let Some(object) = self.domain().objects.get_mut(&(kind, name.clone())) else { return };
                match key {
                    "wildcard-fqdn" | "fqdn" => object.pattern = Some(owned(value)),
                    "subnet" => match subnet(values) {
                        Some(network) => object.pattern = Some((network, value.place)),
                        None => object.other = Some((key.to_owned(), value.place)),
                    },
                    "comment" => object.comment = Some(value.text.clone().into_owned()),
                    "type" if ["fqdn", "wildcard-fqdn", "ipmask"].contains(&&*value.text) => {}
                    "type" => object.other = Some(owned(value)),
                    // What a device numbers by itself, and how its pages draw it.
                    "uuid" | "color" | "visibility" | "associated-interface" => {}
                    _ => {
                        return self
                            .aside_once(words[0].place, format!("`set {key}` of {name} says nothing about hosts"));
                    }
                }
                true
            }
            (table @ (WILDCARD_GROUPS | ADDRESS_GROUPS), Some(_)) if sets && key == "member" => {
                let kind = if table == WILDCARD_GROUPS { Kind::Wildcard } else { Kind::Address };
                let members = values.iter().map(owned);
                let group = self.domain().groups.entry((kind, name.clone())).or_default();
                if verb == "set" {
                    group.clear();
                }
                group.extend(members);
                true
            }
            (EXEMPT, Some(value)) if sets => {
                let Some(exempt) = self.domain().exempt.last_mut() else { return };
                match key {
                    "type" => exempt.kind = Some(value.text.clone().into_owned()),
                    _ => {
                        exempt
                            .named
                            .extend(values.iter().map(owned).map(|(name, place)| (key.to_owned(), name, place)));
                    }
                }
                true
            }
            _ => false,
        };
        if !taken {
            self.aside_once(words[0].place, format!("`{verb} {key}` in `config {tables}` is no bypass rule"));
        }
    }

    fn aside_once(&mut self, place: Place, what: String) {
        if self.told.insert(what.clone()) {
            self.list.put_aside(place, what);
        }
    }

    fn finish(mut self) -> List {
        let has_profiles = self.domains.iter().any(|domain| !domain.exempt.is_empty());
        let domains = std::mem::take(&mut self.domains);
        let mut profiles: Vec<String> = Vec::new();
        for domain in &domains {
            let mut used = BTreeSet::new();
            for exempt in &domain.exempt {
                if !profiles.contains(&exempt.profile) {
                    profiles.push(exempt.profile.clone());
                }
                self.exempt(domain, exempt, &mut used);
            }
            let mut objects: Vec<_> = domain.objects.iter().collect();
            objects.sort_by_key(|(_, object)| object.number);
            for (key, object) in objects {
                let Some((_, place)) = object.pattern.as_ref().or(object.other.as_ref()) else { continue };
                if has_profiles {
                    if !used.contains(key) {
                        self.list.put_aside(*place, format!("no profile exempts the object {}", key.1));
                    }
                } else {
                    self.object(&key.1, object, *place);
                }
            }
        }
        if !has_profiles && let Some(first) = self.list.entries.first() {
            let what = "no `ssl-exempt` table says which objects are exempt, so all of them are taken to be";
            self.list.aside.insert(0, super::Aside { place: first.place(), what: what.to_owned() });
        }
        if profiles.len() > 1 {
            let place = domains.iter().flat_map(|domain| &domain.exempt).next().map(|exempt| exempt.place);
            let what = format!("the exemptions of several profiles are taken together: {}", profiles.join(", "));
            self.list.put_aside(place.unwrap_or_default(), what);
        }
        self.list.name = profiles.into_iter().next();
        self.list
    }

    fn exempt(&mut self, domain: &Domain, exempt: &Exempt, used: &mut BTreeSet<(Kind, String)>) {
        for (key, name, place) in &exempt.named {
            let kind = match key.as_str() {
                "wildcard-fqdn" => Kind::Wildcard,
                "address" => Kind::Address,
                "regex" => {
                    let what = format!("the exempt expression {name} is not tried");
                    self.list.put_unread(*place, Some(Action::Bypass), what);
                    continue;
                }
                _ => {
                    self.list.put_aside(*place, format!("the exempt {key} {name} cannot be told from a list of hosts"));
                    continue;
                }
            };
            let mut open = vec![(name.clone(), *place)];
            let mut seen = BTreeSet::new();
            while let Some((name, place)) = open.pop() {
                if !seen.insert(name.clone()) {
                    continue;
                }
                let key = (kind, name);
                if let Some(object) = domain.objects.get(&key) {
                    if used.insert(key.clone()) {
                        self.object(&key.1, object, place);
                    }
                } else if let Some(members) = domain.groups.get(&key) {
                    open.extend(members.iter().rev().cloned());
                } else {
                    self.list.put_aside(place, format!("the exempt object {} is not defined in this file", key.1));
                }
            }
        }
        if exempt.named.is_empty() {
            let kind = exempt.kind.as_deref().unwrap_or("fortiguard-category");
            self.list.put_aside(exempt.place, format!("the exemption by {kind} names nothing"));
        }
    }

    fn object(&mut self, name: &str, object: &Object, place: Place) {
        match (&object.pattern, &object.other) {
            (_, Some((kind, place))) => {
                self.list.put_aside(*place, format!("the object {name} of type {kind} is no host name"));
            }
            (Some((pattern, place)), None) => {
                let entry = Entry::new(pattern.as_str(), Action::Bypass, *place)
                    .with_name(Some(name.to_owned()))
                    .with_note(object.comment.clone());
                self.list.entries.push(entry);
            }
            (None, None) => self.list.put_aside(place, format!("the object {name} says nothing")),
        }
    }
}

/// `10.0.0.0 255.0.0.0` or `10.0.0.0/8` as a network.
fn subnet(values: &[Word<'_>]) -> Option<String> {
    let net: ipnet::IpNet = match values {
        [net] => net.text.parse().ok()?,
        [address, mask] => ipnet::IpNet::with_netmask(address.text.parse().ok()?, mask.text.parse().ok()?).ok()?,
        _ => return None,
    };
    net.trunc().to_string().parse::<Network>().ok().map(|network| network.to_string())
}

fn write(list: &List) -> String {
    let mut taken = BTreeSet::new();
    let objects: Vec<(&Entry, String)> = list
        .entries
        .iter()
        .map(|entry| {
            let wanted = entry.name().unwrap_or(entry.pattern()).to_owned();
            let mut name = wanted.clone();
            let mut number = 2;
            while !taken.insert(name.clone()) {
                name = format!("{wanted} {number}");
                number += 1;
            }
            (entry, name)
        })
        .collect();
    let is_wildcard = |entry: &Entry| entry.pattern().contains('*');
    let mut text = String::new();
    for (wildcard, table) in [(true, WILDCARDS), (false, ADDRESSES)] {
        let own: Vec<_> = objects.iter().filter(|(entry, _)| is_wildcard(entry) == wildcard).collect();
        if own.is_empty() {
            continue;
        }
        let _ = writeln!(text, "config {table}");
        for (entry, name) in own {
            let pattern = quote(entry.pattern());
            let _ = writeln!(text, "    edit {}", quote(name));
            let _ = match entry.pattern().parse::<Network>() {
                _ if wildcard => writeln!(text, "        set wildcard-fqdn {pattern}"),
                Ok(network) => writeln!(text, "        set subnet {}", network.net()),
                Err(_) => writeln!(text, "        set type fqdn\n        set fqdn {pattern}"),
            };
            if let Some(note) = entry.note() {
                let _ = writeln!(text, "        set comment {}", quote(note));
            }
            text.push_str("    next\n");
        }
        text.push_str("end\n");
    }
    let profile = quote(list.name.as_deref().unwrap_or("bypass-list"));
    let _ = writeln!(text, "config {PROFILES}\n    edit {profile}\n        config ssl-exempt");
    for ((entry, name), number) in objects.iter().zip(1..) {
        let kind = if is_wildcard(entry) { "wildcard-fqdn" } else { "address" };
        let _ = writeln!(text, "            edit {number}\n                set type {kind}");
        let _ = writeln!(text, "                set {kind} {}\n            next", quote(name));
    }
    text.push_str("        end\n    next\nend\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> List {
        super::super::read(&Document::new("fg.conf", text), None).unwrap()
    }

    fn told(list: &List) -> Vec<String> {
        list.entries.iter().map(|e| format!("{} {} {:?}", e.place(), e.pattern(), e.name())).collect()
    }

    #[test]
    fn groups_domains_and_gaps() {
        let list = list(
            "config vdom\nedit root\nconfig firewall address\nedit a\nset fqdn \"a.example\"\nnext\nedit net\nset subnet \
             10.1.0.0 255.255.0.0\nend\nconfig firewall addrgrp\nedit g\nset member a g\nappend member net gone\nnext\nend\n\
             config firewall ssl-ssh-profile\nedit p\nset caname x\nconfig ssl-exempt\nedit 1\nset type address\nset \
             address g\nnext\nedit 2\nset fortiguard-category 31\nnext\nedit 3\nend\nnext\nend\nnext\nend\nconfig system \
             global\nconfig deeper\nend\nend\n",
        );
        assert_eq!(told(&list), ["5:11 a.example Some(\"a\")", "8:12 10.1.0.0/16 Some(\"net\")"]);
        let aside: Vec<_> = list.aside.iter().map(|aside| format!("{} {}", aside.place, aside.what)).collect();
        assert_eq!(
            aside,
            [
                "18:1 `set caname` in `config firewall ssl-ssh-profile` is no bypass rule",
                "33:1 `config system global` holds no bypass rule",
                "13:19 the exempt object gone is not defined in this file",
                "25:25 the exempt fortiguard-category 31 cannot be told from a list of hosts",
                "27:6 the exemption by fortiguard-category names nothing",
            ]
        );
        assert_eq!(list.name.as_deref(), Some("p"));
    }

    #[test]
    fn tables_that_do_not_close_are_mistakes() {
        let error =
            |text: &str| super::super::read(&Document::new("x", text), Some(Format(&SPEC))).unwrap_err().to_string();
        assert!(
            error("config firewall address\nedit a\n").starts_with("x:1:1: `config firewall address` is not closed")
        );
        assert!(error("end\n").starts_with("x:1:1: `end` without a `config`"));
        assert!(error("config firewall address\n edit\nend").starts_with("x:2:2: `edit` names nothing"));
        assert!(error("edit a").starts_with("x:1:1: `edit` outside of a table"));
        assert!(error("next").starts_with("x:1:1: `next` without"));
    }
}
