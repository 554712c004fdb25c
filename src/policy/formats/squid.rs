//! Squid: `acl` lines with server names or domains, and the `ssl_bump` lines that say what becomes of them (squid-cache,
//! `src/cf.data.pre`, `acl` and `ssl_bump`).
//!
//! `splice` is a bypass, `bump` inspects, `terminate` blocks, in the order of the lines. `peek` and `stare` decide
//! nothing; at which step a line counts is kept aside. A line with a condition that no rule can say is kept aside whole.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use super::super::Action;
use super::super::condition::{Network, Ports};
use super::say::{ALL_ACTIONS, Says, is_bare};
use super::words::{Statements, Word};
use super::{Dialect, Entry, Format, List, Place, Sample, Spec};
use crate::source::{Document, PlaceError};

pub(super) static SPEC: Spec = Spec {
    name: "squid",
    title: "a Squid configuration",
    dialects: &["squid-server-name", "squid-dstdomain"],
    recognises,
    read,
    says: Says {
        actions: ALL_ACTIONS,
        ports: true,
        clients: true,
        dialects: true,
        defaults: ALL_ACTIONS,
        ..Says::PATTERNS
    },
    can_write: |_, entry| {
        let pattern = entry.pattern();
        is_bare(entry, &['"', '\'', '\\', '#', ' '])
            && !pattern.contains(char::is_whitespace)
            && !pattern.starts_with('-')
            && !pattern.starts_with("parameters(")
    },
    write,
};

fn recognises(sample: &Sample<'_>) -> bool {
    sample.text.lines().map(str::trim_start).any(|line| {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("acl") => words.nth(1).is_some_and(|kind| {
                ["ssl::", "dstdom", "at_step", "src", "port", "dst"].iter().any(|start| kind.starts_with(start))
            }),
            Some("ssl_bump") => words.next().is_some(),
            _ => false,
        }
    })
}

#[derive(Default)]
struct Acl {
    kind: String,
    place: Place,
    values: Vec<(String, Place)>,
}

struct Bump {
    place: Place,
    action: String,
    acls: Vec<(String, Place)>,
    /// The acls of type `any-of` that stood here, each with one of its members in `acls` instead.
    any: Vec<(String, Place)>,
}

struct Reader {
    list: List,
    acls: HashMap<String, Acl>,
    order: Vec<String>,
    bumps: Vec<Bump>,
}

fn read(document: &Document) -> Result<List, PlaceError> {
    let mut reader =
        Reader { list: List::new(Format(&SPEC), document), acls: HashMap::new(), order: Vec::new(), bumps: Vec::new() };
    reader.file(document, 0, 0)?;
    Ok(reader.finish())
}

/// Files that include one another end here.
const DEPTH: usize = 8;

/// Makes of a line with an acl of type `any-of` one line for each of its members, which means the same.
fn spread(acls: &HashMap<String, Acl>, bumps: Vec<Bump>) -> Vec<Bump> {
    let group = |(name, _): &(String, Place)| acls.get(name).is_some_and(|acl| acl.kind == "any-of");
    let mut lines = Vec::new();
    for bump in bumps {
        let Some(at) = bump.acls.iter().position(group) else {
            lines.push(bump);
            continue;
        };
        lines.extend(acls[&bump.acls[at].0].values.iter().map(|(member, _)| {
            let mut acls = bump.acls.clone();
            acls[at].0.clone_from(member);
            Bump { place: bump.place, action: bump.action.clone(), acls, any: vec![bump.acls[at].clone()] }
        }));
    }
    lines
}

impl Reader {
    fn file(&mut self, document: &Document, number: u16, depth: usize) -> Result<(), PlaceError> {
        let mut statements = Statements::of_squid(document);
        while let Some(mut words) = statements.next()? {
            for word in &mut words {
                word.place.document = number;
            }
            match &*words[0].text {
                "acl" => self.acl(document, &words)?,
                "ssl_bump" => {
                    let Some(action) = words.get(1) else {
                        let at = words[0].at;
                        let help = Some("write an action, such as `ssl_bump splice nobump`".to_owned());
                        return Err(document.error(at..at + "ssl_bump".len(), "`ssl_bump` says nothing", help));
                    };
                    let acls = words[2..].iter().map(|word| (word.text.clone().into_owned(), word.place)).collect();
                    self.bumps.push(Bump {
                        place: words[0].place,
                        action: action.text.clone().into_owned(),
                        acls,
                        any: Vec::new(),
                    });
                }
                "include" => {
                    for name in &words[1..] {
                        match nearby(document, &name.text) {
                            Some(included) if depth < DEPTH => {
                                let number = self.document(&included);
                                self.file(&included, number, depth + 1)?;
                            }
                            _ => self.list.put_unread(
                                name.place,
                                None,
                                format!("the file {} could not be read", name.text),
                            ),
                        }
                    }
                }
                other => self.list.put_aside(words[0].place, format!("`{other}` is no bypass rule")),
            }
        }
        Ok(())
    }

    fn document(&mut self, document: &Document) -> u16 {
        self.list.documents.push(document.clone());
        u16::try_from(self.list.documents.len() - 1).unwrap_or(u16::MAX)
    }

    fn acl(&mut self, document: &Document, words: &[Word<'_>]) -> Result<(), PlaceError> {
        let [_, name, kind, values @ ..] = words else {
            let at = words[0].at;
            let help = Some("write `acl NAME ssl::server_name .okta.com`".to_owned());
            return Err(document.error(at..at + "acl".len(), "this acl says nothing", help));
        };
        let mut read = Vec::new();
        for value in values {
            let file = value.quoted.then_some(&*value.text).or_else(|| {
                value
                    .text
                    .strip_prefix("parameters(")
                    .and_then(|rest| rest.strip_suffix(')'))
                    .map(|rest| rest.trim_matches('"'))
            });
            match file {
                // A text in quotes is the name of a file with a value on each line.
                Some(file) => match nearby(document, file) {
                    Some(named) => {
                        let number = self.document(&named);
                        let mut lines = Statements::of_squid(&named);
                        while let Some(line) = lines.next()? {
                            read.extend(
                                line.into_iter()
                                    .map(|word| (word.text.into_owned(), Place { document: number, ..word.place })),
                            );
                        }
                    }
                    None => {
                        let what = format!("the file {file} of acl {} could not be read", name.text);
                        self.list.put_unread(value.place, None, what);
                    }
                },
                None if value.text.starts_with('-') => self.option(name, kind, value),
                None => read.push((value.text.clone().into_owned(), value.place)),
            }
        }
        let key = name.text.clone().into_owned();
        if !self.acls.contains_key(&key) {
            self.order.push(key.clone());
        }
        let acl = self.acls.entry(key).or_insert_with(|| Acl { place: name.place, ..Acl::default() });
        if !acl.kind.is_empty() && acl.kind != *kind.text {
            let help = Some("give one of them another name".to_owned());
            let message = format!("acl {} is of type {} above", name.text, acl.kind);
            return Err(document.error(kind.at..kind.at + kind.text.len(), message, help));
        }
        acl.kind = kind.text.clone().into_owned();
        acl.values.extend(read);
        Ok(())
    }

    /// An option of an acl (`src/cf.data.pre`): which names `ssl::server_name` compares, and how expressions read.
    fn option(&mut self, name: &Word<'_>, kind: &Word<'_>, option: &Word<'_>) {
        let said = format!("the option {} of acl {}", option.text, name.text);
        match (&*kind.text, &*option.text) {
            // That is what is compared at the step that decides, the second.
            ("ssl::server_name", "--client-requested") => {
                self.list
                    .put_aside(option.place, format!("{said} asks for the client's names, which are compared anyhow"));
            }
            ("ssl::server_name", "--server-provided" | "--consensus") => {
                self.list.put_unread(
                    option.place,
                    None,
                    format!("{said} asks for names of the server, which are not compared"),
                );
            }
            (kind, "-i" | "+i") if kind.ends_with("_regex") => {}
            _ => self.list.put_aside(option.place, format!("{said} is not looked at")),
        }
    }

    fn finish(mut self) -> List {
        let acls = std::mem::take(&mut self.acls);
        let hosts = |acl: &Acl| match acl.kind.as_str() {
            "ssl::server_name" => Some("squid-server-name"),
            "dstdomain" => Some("squid-dstdomain"),
            _ => None,
        };
        let mut used: Vec<&str> = Vec::new();
        let bumps = spread(&acls, std::mem::take(&mut self.bumps));
        let mut closed = false;
        for bump in &bumps {
            used.extend(bump.acls.iter().chain(&bump.any).map(|(name, _)| name.trim_start_matches('!')));
            let action = match bump.action.as_str() {
                "splice" | "none" => Action::Bypass,
                "bump" | "client-first" | "server-first" => Action::Inspect,
                "terminate" => Action::Block,
                other => {
                    let acls: Vec<_> = bump.acls.iter().map(|(name, _)| name.as_str()).collect();
                    self.list.put_aside(
                        bump.place,
                        format!("`ssl_bump {other} {}` decides nothing by itself", acls.join(" ")),
                    );
                    continue;
                }
            };
            if closed {
                self.list.put_aside(bump.place, "this `ssl_bump` comes after one for every host".to_owned());
                continue;
            }
            closed = self.bump(&acls, bump, action, hosts);
        }
        for name in &std::mem::take(&mut self.order) {
            let Some(acl) = acls.get(name) else { continue };
            let dialect = hosts(acl);
            if bumps.is_empty() && dialect.is_some() {
                let what = format!("no `ssl_bump` line says what becomes of acl {name}, so it is taken to be spliced");
                self.list.put_aside(acl.place, what);
                self.entries(name, acl, Action::Bypass, dialect, &[], &[]);
            } else if !used.contains(&name.as_str()) {
                self.list.put_aside(acl.place, format!("no `ssl_bump` line is for acl {name} of type {}", acl.kind));
            }
        }
        if !bumps.is_empty() && !closed {
            // Without a match Squid splices.
            self.list.default = Some(Action::Bypass);
        }
        let own = |name: &str| name.parse().ok();
        self.list.dialect = self.list.dialect.or(own("squid-server-name"));
        self.list
    }

    /// Makes entries of one line; says whether it is for every host.
    fn bump(
        &mut self,
        acls: &HashMap<String, Acl>,
        bump: &Bump,
        action: Action,
        hosts: impl Fn(&Acl) -> Option<&'static str>,
    ) -> bool {
        let mut named: Option<(&String, &Acl, Option<&'static str>)> = None;
        let (mut ports, mut clients) = (Vec::new(), Vec::new());
        let mut aside = Vec::new();
        for (name, place) in &bump.acls {
            if name == "all" {
                continue;
            }
            let Some(acl) = acls.get(name.as_str()) else {
                let why = if name.starts_with('!') { "is taken away from it" } else { "is not defined here" };
                aside.push((*place, format!("{name} {why}")));
                continue;
            };
            match acl.kind.as_str() {
                "at_step" => {
                    let steps: Vec<_> = acl.values.iter().map(|(step, _)| step.as_str()).collect();
                    self.list.put_aside(
                        *place,
                        format!("that this line counts at {} alone is not looked at", steps.join(", ")),
                    );
                }
                "port" => ports.extend(acl.values.iter().filter_map(|(port, _)| port.parse::<Ports>().ok())),
                "src" if acl.values.iter().all(|(network, _)| network.parse::<Network>().is_ok()) => {
                    clients.extend(acl.values.iter().filter_map(|(network, _)| network.parse::<Network>().ok()));
                }
                _ if named.is_none() && hosts(acl).is_some() => named = Some((name, acl, hosts(acl))),
                kind @ ("ssl::server_name_regex" | "dstdom_regex") => {
                    aside.push((*place, format!("acl {name} of type {kind} holds expressions, which are not tried")));
                }
                kind => aside.push((*place, format!("acl {name} of type {kind} limits it"))),
            }
        }
        if !aside.is_empty() {
            for (place, why) in aside {
                self.list.put_unread(place, Some(action), format!("`ssl_bump {}` makes no rule: {why}", bump.action));
            }
            return false;
        }
        match named {
            Some((name, acl, dialect)) => {
                self.entries(name, acl, action, dialect, &ports, &clients);
                false
            }
            None if ports.is_empty() && clients.is_empty() => {
                self.list.default = Some(action);
                true
            }
            None => {
                let what = "this `ssl_bump` is for every host of some ports or clients";
                self.list.put_unread(bump.place, Some(action), what);
                false
            }
        }
    }

    fn entries(
        &mut self,
        name: &str,
        acl: &Acl,
        action: Action,
        dialect: Option<&str>,
        ports: &[Ports],
        clients: &[Network],
    ) {
        let dialect: Option<Dialect> = dialect.and_then(|name| name.parse().ok());
        let main = *self.list.dialect.get_or_insert(dialect.unwrap_or(Dialect::MIDDLEBOX));
        self.list.entries.extend(acl.values.iter().map(|(text, place)| {
            Entry::new(text.as_str(), action, *place)
                .with_name(Some(name.to_owned()))
                .with_ports(ports.to_vec())
                .with_clients(clients.to_vec())
                .with_dialect(dialect.filter(|own| *own != main))
        }));
    }
}

/// A file that a document names: where it says, or else beside the document.
fn nearby(document: &Document, name: &str) -> Option<Document> {
    let folder = Path::new(document.name()).parent().unwrap_or(Path::new(""));
    let named = folder.join(name);
    let beside = Path::new(name).file_name().map(|name| folder.join(name));
    [Some(named), beside].into_iter().flatten().find(|path| path.is_file()).and_then(|path| Document::read(&path).ok())
}

fn write(list: &List) -> String {
    let mut text = String::from("acl step1 at_step SslBump1\n");
    let mut bumps = String::from("ssl_bump peek step1\n");
    let kind = |entry: &Entry| match entry.dialect().or(list.dialect).map(Dialect::name) {
        Some("squid-dstdomain") => "dstdomain",
        _ => "ssl::server_name",
    };
    let key = |entry: &Entry| {
        let name = entry.name().map(ToOwned::to_owned);
        (name, kind(entry), entry.action(), entry.ports().to_vec(), entry.clients().to_vec())
    };
    let mut names = std::collections::BTreeSet::from(["step1".to_owned(), "all".to_owned()]);
    let mut fresh = |wanted: &str| {
        let fits = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '_' | '-' | '.');
        let wanted: String = wanted.chars().map(|sign| if fits(sign) { sign } else { '_' }).collect();
        let wanted = if wanted.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            wanted
        } else {
            format!("acl{wanted}")
        };
        let mut name = wanted.clone();
        let mut number = 2;
        while !names.insert(name.clone()) {
            name = format!("{wanted}_{number}");
            number += 1;
        }
        name
    };
    for run in list.entries.chunk_by(|one, other| key(one) == key(other)) {
        let first = &run[0];
        let word = match first.action() {
            Action::Bypass => "splice",
            Action::Inspect => "bump",
            Action::Block => "terminate",
        };
        let name = fresh(first.name().or(list.name.as_deref()).unwrap_or(word));
        for entry in run {
            let _ = write!(text, "acl {name} {} {}", kind(entry), entry.pattern());
            let _ = match entry.note() {
                Some(note) => writeln!(text, " # {}", super::plain::one_line(note)),
                None => writeln!(text),
            };
        }
        let mut more = String::new();
        if !first.ports().is_empty() {
            let ports: Vec<_> = first.ports().iter().map(ToString::to_string).collect();
            let own = fresh(&format!("{name}_ports"));
            let _ = writeln!(text, "acl {own} port {}", ports.join(" "));
            let _ = write!(more, " {own}");
        }
        if !first.clients().is_empty() {
            let clients: Vec<_> = first.clients().iter().map(ToString::to_string).collect();
            let own = fresh(&format!("{name}_clients"));
            let _ = writeln!(text, "acl {own} src {}", clients.join(" "));
            let _ = write!(more, " {own}");
        }
        let _ = writeln!(bumps, "ssl_bump {word} {name}{more}");
    }
    if let Some(default) = list.default {
        let word = match default {
            Action::Bypass => "splice",
            Action::Inspect => "bump",
            Action::Block => "terminate",
        };
        let _ = writeln!(bumps, "ssl_bump {word} all");
    }
    text + &bumps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_is_a_line_for_each_member() {
        let text = "acl one ssl::server_name .a.example\nacl two ssl::server_name .b.example\n\
                    acl both any-of one two\nssl_bump splice both\nssl_bump bump all\n";
        let list = super::super::read(&Document::new("squid.conf", text), None).unwrap();
        let told: Vec<_> = list.entries.iter().map(|entry| (entry.pattern(), entry.action())).collect();
        assert_eq!(told, [(".a.example", Action::Bypass), (".b.example", Action::Bypass)]);
        assert_eq!((list.default, list.aside.len()), (Some(Action::Inspect), 0));
    }
}
