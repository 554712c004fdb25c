//! PAN-OS: the SSL decryption exclusion list, custom URL categories, and the decryption rules that name them.
//!
//! Three languages say the same: XML, as the device exports it and its API takes it; `set` lines, as its command line
//! shows them; Terraform. Excluded names come first, because the exclusion list stands outside of the rules (Palo Alto
//! Networks, "SSL Decryption Exclusion"). A custom URL category is no rule by itself: where the file has decryption rules,
//! they say what becomes of it; where it has none and is no whole configuration, its categories are taken as bypasses.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::fmt::Write as _;

use super::super::Action;
use super::say::Says;
use super::words::{Statements, Word, quote};
use super::{Dialect, Entry, Format, List, Place, Sample, Spec};
use crate::source::{Document, PlaceError};

pub(super) static SET: Spec = Spec {
    name: "pan-os-set",
    title: "PAN-OS set commands",
    dialects: &["pan-os-exclusion", "pan-os-url", "pan-os-url-legacy"],
    recognises: recognises_set,
    read: read_set,
    says: SAYS,
    can_write,
    write: write_set,
};

const EXCLUSIONS: &str = "ssl-exclude-cert";
const CATEGORIES: &str = "custom-url-category";

/// What was found, before it is put together.
#[derive(Default)]
pub(super) struct PanOs {
    /// It is a whole configuration, in which a category may be there for something else.
    pub(super) whole: bool,
    exclusions: Vec<Exclusion>,
    categories: Vec<Category>,
    rules: Vec<Rule>,
}

pub(super) struct Exclusion {
    name: String,
    place: Place,
    pub(super) enabled: bool,
    pub(super) note: Option<String>,
}

pub(super) struct Category {
    name: String,
    place: Place,
    pub(super) urls: Vec<(String, Place)>,
    pub(super) note: Option<String>,
}

pub(super) struct Rule {
    name: String,
    place: Place,
    pub(super) action: Option<Action>,
    pub(super) disabled: bool,
    pub(super) categories: Vec<(String, Place)>,
    /// By what else it is limited.
    pub(super) limits: Vec<(String, Place)>,
}

impl PanOs {
    pub(super) fn exclusion(&mut self, name: &str, place: Place) -> &mut Exclusion {
        let at = self.exclusions.iter().position(|known| known.name == name).unwrap_or(self.exclusions.len());
        if at == self.exclusions.len() {
            self.exclusions.push(Exclusion { name: name.to_owned(), place, enabled: true, note: None });
        }
        &mut self.exclusions[at]
    }

    pub(super) fn category(&mut self, name: &str, place: Place) -> &mut Category {
        let at = self.categories.iter().position(|known| known.name == name).unwrap_or(self.categories.len());
        if at == self.categories.len() {
            self.categories.push(Category { name: name.to_owned(), place, urls: Vec::new(), note: None });
        }
        &mut self.categories[at]
    }

    pub(super) fn rule(&mut self, name: &str, place: Place) -> &mut Rule {
        let at = self.rules.iter().position(|known| known.name == name).unwrap_or(self.rules.len());
        if at == self.rules.len() {
            let (action, disabled) = (None, false);
            self.rules.push(Rule {
                name: name.to_owned(),
                place,
                action,
                disabled,
                categories: Vec::new(),
                limits: Vec::new(),
            });
        }
        &mut self.rules[at]
    }

    /// Takes one setting of a rule.
    pub(super) fn rule_setting(rule: &mut Rule, key: &str, values: Vec<(String, Place)>) {
        match key {
            "action" => {
                rule.action = match values.first().map(|(value, _)| value.as_str()) {
                    Some("no-decrypt") => Some(Action::Bypass),
                    Some("decrypt" | "decrypt-and-forward") => Some(Action::Inspect),
                    _ => None,
                };
            }
            "disabled" => rule.disabled = values.first().is_some_and(|(value, _)| value == "yes"),
            "category" => rule.categories.extend(values),
            "source" | "destination" | "source-user" | "service" | "source-hip" | "destination-hip" => {
                let real = values.into_iter().filter(|(value, _)| value != "any");
                rule.limits.extend(real.map(|(value, place)| (format!("{key} {value}"), place)));
            }
            _ => {}
        }
    }

    /// Makes entries of all that was taken.
    pub(super) fn finish(self, list: &mut List) {
        let Self { whole, exclusions, categories, rules } = self;
        if exclusions.is_empty() && categories.is_empty() && rules.is_empty() {
            return;
        }
        let url: Option<Dialect> = "pan-os-url".parse().ok();
        let main = if exclusions.is_empty() { url } else { "pan-os-exclusion".parse().ok() };
        list.dialect = list.dialect.or(main);
        let own = url.filter(|own| Some(*own) != list.dialect);
        for excluded in exclusions {
            let entry = Entry::new(excluded.name, Action::Bypass, excluded.place);
            list.entries.push(entry.with_enabled(excluded.enabled).with_note(excluded.note));
        }
        let add = |list: &mut List, category: &Category, action, enabled| {
            list.entries.extend(category.urls.iter().map(|(text, place)| {
                Entry::new(text.as_str(), action, *place)
                    .with_enabled(enabled)
                    .with_name(Some(category.name.clone()))
                    .with_note(category.note.clone())
                    .with_dialect(own)
            }));
        };
        if rules.is_empty() {
            for category in &categories {
                match whole {
                    true => {
                        let what = format!("no decryption rule is for the URL category {}", category.name);
                        list.put_aside(category.place, what);
                    }
                    false => add(list, category, Action::Bypass, true),
                }
            }
            return;
        }
        let mut used = vec![false; categories.len()];
        for rule in &rules {
            let Some(action) = rule.action else {
                list.put_aside(rule.place, format!("decryption rule {} says no action", rule.name));
                continue;
            };
            for (limit, place) in &rule.limits {
                list.put_aside(
                    *place,
                    format!("decryption rule {} is limited by {limit}, which is not looked at", rule.name),
                );
            }
            let any = rule.categories.is_empty() || rule.categories.iter().any(|(name, _)| name == "any");
            if any {
                if rule.limits.is_empty() && !rule.disabled {
                    list.default = list.default.or(Some(action));
                } else {
                    list.put_aside(
                        rule.place,
                        format!("decryption rule {} is for every host of some traffic", rule.name),
                    );
                }
                continue;
            }
            for (named, place) in &rule.categories {
                match categories.iter().position(|category| category.name == *named) {
                    Some(found) if list.default.is_none() || rule.disabled => {
                        used[found] = true;
                        add(list, &categories[found], action, !rule.disabled);
                    }
                    Some(found) => {
                        used[found] = true;
                        list.put_aside(*place, format!("decryption rule {} comes after one for every host", rule.name));
                    }
                    None => list.put_aside(*place, format!("the URL category {named} is not defined in this file")),
                }
            }
        }
        for (category, _) in categories.iter().zip(used).filter(|(_, used)| !used) {
            list.put_aside(category.place, format!("no decryption rule is for the URL category {}", category.name));
        }
    }
}

fn recognises_set(sample: &Sample<'_>) -> bool {
    let mut lines = sample.text.lines().map(str::trim_start).filter(|line| !line.is_empty());
    lines.any(|line| {
        line.starts_with("set ")
            && [
                EXCLUSIONS,
                CATEGORIES,
                " rulebase ",
                " deviceconfig ",
                "set shared ",
                "set device-group ",
                "set template ",
            ]
            .iter()
            .any(|word| line.contains(word))
    })
}

fn read_set(document: &Document) -> Result<List, PlaceError> {
    let mut list = List::new(Format(&SET), document);
    let mut pan_os = PanOs::default();
    let mut statements = Statements::of_device(document);
    let mut told = std::collections::BTreeSet::new();
    while let Some(words) = statements.next()? {
        let texts: Vec<&str> = words.iter().map(|word| &*word.text).collect();
        if texts[0] != "set" {
            list.put_aside(words[0].place, format!("`{}` is no set command", texts[0]));
            continue;
        }
        let at = |name: &str| texts.iter().position(|text| *text == name);
        let decryption = texts.windows(2).position(|pair| pair == ["decryption", "rules"]);
        if texts.contains(&"rulebase") || texts.contains(&"deviceconfig") {
            pan_os.whole = true;
        }
        let taken = match (at(EXCLUSIONS), at(CATEGORIES), decryption) {
            (Some(at), _, _) if at + 1 < words.len() => exclusion(&mut pan_os, &words[at + 1..]),
            (_, Some(at), _) if at + 1 < words.len() => category(&mut pan_os, &words[at + 1..]),
            (_, _, Some(at)) if at + 2 < words.len() => rule(&mut pan_os, &words[at + 2..]),
            _ => false,
        };
        if !taken {
            let place = words[0].place;
            let what = texts[1..].iter().take(3).copied().collect::<Vec<_>>().join(" ");
            if told.insert(what.clone()) {
                list.put_aside(place, format!("`set {what}` is no bypass rule"));
            }
        }
    }
    pan_os.finish(&mut list);
    Ok(list)
}

/// The values of a setting: one word, or several in brackets.
fn values(words: &[Word<'_>]) -> Vec<(String, Place)> {
    let bracket = |word: &&Word<'_>| word.quoted || !matches!(&*word.text, "[" | "]");
    words.iter().filter(bracket).map(|word| (word.text.clone().into_owned(), word.place)).collect()
}

fn exclusion(pan_os: &mut PanOs, words: &[Word<'_>]) -> bool {
    let excluded = pan_os.exclusion(&words[0].text, words[0].place);
    for pair in words[1..].chunks(2) {
        match (&*pair[0].text, pair.get(1).map(|word| &*word.text)) {
            ("exclude", Some(value)) => excluded.enabled = value == "yes",
            ("description", Some(value)) => excluded.note = Some(value.to_owned()),
            _ => return false,
        }
    }
    true
}

fn category(pan_os: &mut PanOs, words: &[Word<'_>]) -> bool {
    let category = pan_os.category(&words[0].text, words[0].place);
    match words.get(1).map(|word| &*word.text) {
        Some("list") => category.urls.extend(values(&words[2..])),
        Some("description") => category.note = words.get(2).map(|word| word.text.clone().into_owned()),
        Some("type") | None => {}
        Some(_) => return false,
    }
    true
}

fn rule(pan_os: &mut PanOs, words: &[Word<'_>]) -> bool {
    let rule = pan_os.rule(&words[0].text, words[0].place);
    if let Some(key) = words.get(1) {
        PanOs::rule_setting(rule, &key.text, values(&words[2..]));
    }
    true
}

/// What becomes of an entry when it is written: a line of the exclusion list, or of a URL category.
pub(super) struct Layout<'l> {
    pub(super) exclusions: Vec<&'l Entry>,
    /// The runs of entries of one name and action, each as a category with a rule of its own.
    pub(super) categories: Vec<(String, Vec<&'l Entry>)>,
    /// Whether rules have to say what becomes of the categories.
    pub(super) rules: bool,
}

pub(super) const SAYS: Says = Says {
    actions: &[Action::Bypass, Action::Inspect],
    disabled: true,
    dialects: true,
    defaults: &[Action::Bypass, Action::Inspect],
    ..Says::PATTERNS
};

fn is_exclusion(list: &List, entry: &Entry) -> bool {
    entry.dialect().or(list.dialect).map(Dialect::name) == Some("pan-os-exclusion")
}

/// The exclusion list has bypasses alone, and neither language has control characters.
pub(super) fn can_write(list: &List, entry: &Entry) -> bool {
    let texts = [Some(entry.pattern()), entry.note(), entry.name()];
    let plain = texts.into_iter().flatten().all(|text| !text.contains(|sign: char| sign.is_control() && sign != '\n'));
    plain && !entry.pattern().is_empty() && (!is_exclusion(list, entry) || entry.action() == Action::Bypass)
}

/// Puts the entries where they belong.
pub(super) fn layout(list: &List) -> Layout<'_> {
    let mut layout = Layout { exclusions: Vec::new(), categories: Vec::new(), rules: list.default.is_some() };
    let mut excluded = HashMap::new();
    for entry in &list.entries {
        if is_exclusion(list, entry) {
            // The list holds each name once; of two, the one that is enabled counts.
            match excluded.entry(entry.pattern()) {
                Vacant(place) => {
                    place.insert(layout.exclusions.len());
                    layout.exclusions.push(entry);
                }
                Occupied(place) if entry.enabled() && !layout.exclusions[*place.get()].enabled() => {
                    layout.exclusions[*place.get()] = entry;
                }
                Occupied(_) => {}
            }
            continue;
        }
        layout.rules = layout.rules || entry.action() != Action::Bypass || !entry.enabled();
        let name = entry.name().or(list.name.as_deref()).unwrap_or("bypass-list");
        match layout.categories.last_mut() {
            Some((before, run))
                if before == name && run[0].action() == entry.action() && run[0].enabled() == entry.enabled() =>
            {
                run.push(entry);
            }
            _ => layout.categories.push((name.to_owned(), vec![entry])),
        }
    }
    let names: std::collections::BTreeSet<_> = layout.categories.iter().map(|(name, _)| name.clone()).collect();
    if names.len() < layout.categories.len() {
        for (number, (name, _)) in layout.categories.iter_mut().enumerate() {
            *name = format!("{name}-{}", number + 1);
        }
    }
    layout
}

fn word(text: &str) -> String {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'[]#\\".contains(&byte));
    if plain { text.to_owned() } else { quote(text) }
}

fn write_set(list: &List) -> String {
    let layout = layout(list);
    let mut text = String::new();
    for entry in layout.exclusions {
        let start = format!("set shared ssl-decrypt {EXCLUSIONS} {}", word(entry.pattern()));
        let _ = writeln!(text, "{start} exclude {}", if entry.enabled() { "yes" } else { "no" });
        if let Some(note) = entry.note() {
            let _ = writeln!(text, "{start} description {}", quote(note));
        }
    }
    for (name, entries) in &layout.categories {
        let start = format!("set shared profiles {CATEGORIES} {}", word(name));
        let _ = writeln!(text, "{start} type \"URL List\"");
        if let Some(note) = entries[0].note() {
            let _ = writeln!(text, "{start} description {}", quote(note));
        }
        for entry in entries {
            let _ = writeln!(text, "{start} list {}", word(entry.pattern()));
        }
    }
    if layout.rules {
        for (name, entries) in &layout.categories {
            let start = format!("set rulebase decryption rules {}", word(name));
            let _ = writeln!(text, "{start} category {}", word(name));
            let _ = writeln!(text, "{start} action {}", action_name(entries[0].action()));
            if !entries[0].enabled() {
                let _ = writeln!(text, "{start} disabled yes");
            }
        }
        if let Some(default) = list.default {
            let _ = writeln!(text, "set rulebase decryption rules default category any");
            let _ = writeln!(text, "set rulebase decryption rules default action {}", action_name(default));
        }
    }
    text
}

pub(super) fn action_name(action: Action) -> &'static str {
    match action {
        Action::Bypass => "no-decrypt",
        Action::Inspect | Action::Block => "decrypt",
    }
}
