//! Zscaler: URL categories, and the SSL inspection rules that name them (help.zscaler.com, ZIA API, `/urlCategories` and
//! `/sslInspectionRules`; zscaler/terraform-provider-zia, `zia_url_categories` and `zia_ssl_inspection_rules`).
//!
//! A category by itself is taken as a list of bypasses. Where rules stand beside it, they say what becomes of it.

use super::super::Action;
use super::say::{ALL_ACTIONS, Says};
use super::tree::{self, Node, Value, place};
use super::{Entry, Format, List, Place, Sample, Spec, json};
use crate::source::{Document, PlaceError, Places};

pub(super) static SPEC: Spec = Spec {
    name: "zscaler-json",
    title: "JSON of the Zscaler API",
    dialects: &["zscaler"],
    recognises,
    read,
    says: SAYS,
    can_write: |_, _| true,
    write,
};

fn recognises(sample: &Sample<'_>) -> bool {
    let keys = [
        "\"urls\"",
        "\"urlCategories\"",
        "\"configuredName\"",
        "\"dbCategorizedUrls\"",
        "\"superCategory\"",
        "\"DO_NOT_DECRYPT\"",
    ];
    sample.is_json() && !json::is_of_microsoft(sample) && keys.iter().any(|key| sample.text.contains(key))
}

/// What an API or a Terraform file says.
#[derive(Default)]
pub(super) struct Zia {
    categories: Vec<Category>,
    rules: Vec<Rule>,
}

struct Category {
    /// Every word by which a rule may name it.
    names: Vec<String>,
    title: Option<String>,
    place: Place,
    urls: Vec<(String, Place)>,
}

struct Rule {
    name: String,
    place: Place,
    order: (i64, i64),
    enabled: bool,
    action: Action,
    categories: Vec<(String, Place)>,
    /// It is for every host.
    for_all: bool,
}

/// What limits a rule to some traffic; anything else that a rule says is about how it is carried out.
const CRITERIA: &[&str] = &[
    "cloud_applications",
    "departments",
    "dest_ip_groups",
    "device_groups",
    "device_trust_levels",
    "devices",
    "groups",
    "labels",
    "location_groups",
    "locations",
    "platforms",
    "proxy_gateways",
    "source_ip_groups",
    "time_windows",
    "user_agent_types",
    "users",
    "workload_groups",
    "zpa_app_segments",
];

impl Zia {
    /// Takes an object of the API, or the body of a resource under its address.
    pub(super) fn take(&mut self, list: &mut List, places: &mut Places<'_>, node: &Node, address: Option<&str>) {
        if node.field("action").is_some() {
            self.rule(list, places, node);
        } else {
            self.category(list, places, node, address);
        }
    }

    fn category(&mut self, list: &mut List, places: &mut Places<'_>, node: &Node, address: Option<&str>) {
        let said = |key: &str| node.field(key).and_then(Node::text).map(ToOwned::to_owned);
        let title = said("configured_name").or_else(|| said("name"));
        let mut names: Vec<String> = [said("id"), said("category_id"), title.clone()].into_iter().flatten().collect();
        names.extend(address.map(|address| format!("{address}.id")));
        names.extend(address.map(|address| format!("{address}.category_id")));
        let mut category = Category { names, title, place: place(places, node.at), urls: Vec::new() };
        let shown = category.title.clone().unwrap_or_else(|| "this category".to_owned());
        for field in node.fields() {
            match field.key.as_str() {
                "urls" | "db_categorized_urls" => {
                    for url in field.node.items() {
                        let at = place(places, url.at);
                        match &url.value {
                            Value::Text(text) => category.urls.push((text.clone(), at)),
                            Value::Expression(text) => {
                                list.put_aside(at, format!("`{text}` is not said in this file"));
                            }
                            _ => list.put_aside(at, "this is no URL"),
                        }
                    }
                }
                "ip_ranges"
                | "ip_ranges_retaining_parent_category"
                | "keywords"
                | "keywords_retaining_parent_category"
                | "scopes"
                    if !field.node.is_nothing() =>
                {
                    let what = format!("`{}` of {shown} does not go by host names", field.key);
                    list.put_aside(place(places, field.at), what);
                }
                _ => {}
            }
        }
        self.categories.push(category);
    }

    fn rule(&mut self, list: &mut List, places: &mut Places<'_>, node: &Node) {
        let said = |key: &str| node.field(key).and_then(Node::text).unwrap_or_default().to_owned();
        let at = place(places, node.at);
        let name = said("name");
        let kind = node.field("action").and_then(|action| match &action.value {
            Value::Items(items) => items.first().and_then(|action| action.field("type")),
            Value::Fields(_) => action.field("type"),
            _ => Some(action),
        });
        let action = match kind.and_then(Node::text) {
            Some("DO_NOT_DECRYPT") => Action::Bypass,
            Some("DECRYPT") => Action::Inspect,
            Some("BLOCK") => Action::Block,
            other => {
                let what = format!("rule {name} has the action {}, which is not known", other.unwrap_or("nothing"));
                list.put_aside(at, what);
                return;
            }
        };
        let mut limited = false;
        for field in node.fields().iter().filter(|field| CRITERIA.contains(&field.key.as_str())) {
            if !field.node.is_nothing() {
                limited = limited || field.key != "labels";
                let what = format!("rule {name} is limited by `{}`, which is not looked at", field.key);
                list.put_aside(place(places, field.at), what);
            }
        }
        let mut categories = Vec::new();
        for category in node.all("url_categories") {
            let named =
                category.text().or_else(|| category.field("id").or(category.field("name")).and_then(Node::text));
            if let Some(named) = named {
                categories.push((named.to_owned(), place(places, category.at)));
            }
        }
        let any = categories.iter().any(|(name, _)| name == "ANY");
        let for_all = any || (categories.is_empty() && !limited);
        let number = |key: &str, missing| said(key).parse().unwrap_or(missing);
        self.rules.push(Rule {
            name,
            place: at,
            order: (number("order", i64::MAX), number("rank", 7)),
            enabled: said("state") != "DISABLED" && node.field("enabled").is_none_or(Node::is_true),
            action,
            categories,
            for_all,
        });
    }

    /// Makes entries of all that was taken.
    pub(super) fn finish(mut self, list: &mut List) {
        if self.categories.is_empty() && self.rules.is_empty() {
            return;
        }
        list.dialect = list.dialect.or("zscaler".parse().ok());
        if self.rules.is_empty() {
            for category in &self.categories {
                add(list, category, Action::Bypass, true);
            }
            return;
        }
        self.rules.sort_by_key(|rule| rule.order);
        let mut used = vec![false; self.categories.len()];
        let mut closed = false;
        for rule in &self.rules {
            if closed && rule.enabled {
                list.put_aside(rule.place, format!("rule {} comes after one that is for every host", rule.name));
                continue;
            }
            if rule.for_all {
                match rule.enabled {
                    true => (list.default, closed) = (Some(rule.action), true),
                    false => list.put_aside(rule.place, format!("rule {} is for every host, and disabled", rule.name)),
                }
                continue;
            }
            if rule.categories.is_empty() {
                list.put_aside(rule.place, format!("rule {} names no URL category", rule.name));
            }
            for (named, at) in &rule.categories {
                let bare = named.trim_start_matches("${").trim_end_matches('}').trim();
                let found = self.categories.iter().position(|category| category.names.iter().any(|name| name == bare));
                match found {
                    Some(found) => {
                        used[found] = true;
                        add(list, &self.categories[found], rule.action, rule.enabled);
                    }
                    None => {
                        list.put_aside(*at, format!("the category {named} of rule {} is not in this file", rule.name));
                    }
                }
            }
        }
        for (category, _) in self.categories.iter().zip(used).filter(|(_, used)| !used) {
            let title = category.title.as_deref().unwrap_or_default();
            list.put_aside(category.place, format!("no rule is for the category {title}"));
        }
    }
}

fn add(list: &mut List, category: &Category, action: Action, enabled: bool) {
    list.entries.extend(category.urls.iter().map(|(url, place)| {
        Entry::new(url.as_str(), action, *place).with_enabled(enabled).with_name(category.title.clone())
    }));
}

fn read(document: &Document) -> Result<List, PlaceError> {
    let root = tree::json(document)?;
    let mut list = List::new(Format(&SPEC), document);
    let mut places = document.places();
    let mut zia = Zia::default();
    take_all(&mut zia, &mut list, &mut places, &root, 4);
    zia.finish(&mut list);
    Ok(list)
}

/// Objects, lists of them, and objects that hold such lists under some key.
fn take_all(zia: &mut Zia, list: &mut List, places: &mut Places<'_>, node: &Node, depth: usize) {
    let is_one = ["urls", "configured_name", "custom_category", "super_category", "action", "db_categorized_urls"]
        .iter()
        .any(|key| node.field(key).is_some());
    match &node.value {
        Value::Fields(_) if is_one => zia.take(list, places, node, None),
        Value::Fields(fields) if depth > 0 => {
            for field in fields {
                match field.node.value {
                    Value::Items(_) | Value::Fields(_) => take_all(zia, list, places, &field.node, depth - 1),
                    _ => list
                        .put_aside(place(places, field.at), format!("`{}` is no URL category and no rule", field.key)),
                }
            }
        }
        Value::Items(items) => items.iter().for_each(|item| take_all(zia, list, places, item, depth)),
        _ => list.put_aside(place(places, node.at), "this is no URL category and no rule"),
    }
}

/// The entries of one category under one rule.
pub(super) struct Group<'l> {
    pub(super) name: String,
    pub(super) action: Action,
    pub(super) enabled: bool,
    pub(super) urls: Vec<&'l str>,
}

/// The entries in runs of the same name, action and state, because a rule is for all of a category.
pub(super) fn groups<'l>(list: &'l List, title: &str) -> Vec<Group<'l>> {
    let mut groups: Vec<Group<'l>> = Vec::new();
    for entry in &list.entries {
        let name = entry.name().or(list.name.as_deref()).unwrap_or(title);
        match groups.last_mut() {
            Some(run) if run.name == name && run.action == entry.action() && run.enabled == entry.enabled() => {
                run.urls.push(entry.pattern());
            }
            _ => groups.push(Group {
                name: name.to_owned(),
                action: entry.action(),
                enabled: entry.enabled(),
                urls: vec![entry.pattern()],
            }),
        }
    }
    groups
}

pub(super) const SAYS: Says = Says { actions: ALL_ACTIONS, disabled: true, defaults: ALL_ACTIONS, ..Says::PATTERNS };

pub(super) fn action_name(action: Action) -> &'static str {
    match action {
        Action::Bypass => "DO_NOT_DECRYPT",
        Action::Inspect => "DECRYPT",
        Action::Block => "BLOCK",
    }
}

fn write(list: &List) -> String {
    let groups = groups(list, "Bypass list");
    let category = |group: &Group<'_>| {
        serde_json::json!({
            "configuredName": group.name,
            "customCategory": true,
            "superCategory": "USER_DEFINED",
            "type": "URL_CATEGORY",
            "urls": group.urls,
        })
    };
    let plain = list.default.is_none() && groups.iter().all(|group| group.action == Action::Bypass && group.enabled);
    let json = match groups.as_slice() {
        [one] if plain => category(one),
        many if plain => many.iter().map(category).collect(),
        many => {
            let categories: Vec<_> = many
                .iter()
                .zip(1..)
                .map(|(group, number)| {
                    let mut category = category(group);
                    category["id"] = format!("CUSTOM_{number:02}").into();
                    category
                })
                .collect();
            let rule = |name: &str, number: usize, enabled: bool, action: Action, categories: Vec<String>| {
                let state = if enabled { "ENABLED" } else { "DISABLED" };
                let action = serde_json::json!({"type": action_name(action)});
                serde_json::json!({"name": name, "order": number, "rank": 7, "state": state, "action": action, "urlCategories": categories})
            };
            let mut rules: Vec<_> = many
                .iter()
                .zip(1..)
                .map(|(group, number)| {
                    rule(&group.name, number, group.enabled, group.action, vec![format!("CUSTOM_{number:02}")])
                })
                .collect();
            rules.extend(list.default.map(|action| rule("Default", many.len() + 1, true, action, Vec::new())));
            serde_json::json!({"urlCategories": categories, "sslInspectionRules": rules})
        }
    };
    format!("{json:#}\n")
}
