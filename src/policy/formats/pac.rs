//! A PAC file: a script, and no list of patterns. As a whole it is the policy of the `pac` dialect, which asks it about
//! every host: what goes `DIRECT` is a bypass. Written out of a list, it is a script that asks `dnsDomainIs` for each entry.

use std::fmt::Write as _;

use super::super::Action;
use super::say::Says;
use super::{Entry, Format, List, Sample, Spec, plain};
use crate::pac::{PacError, PacScript};
use crate::source::{Document, PlaceError};

pub(super) static SPEC: Spec = Spec {
    name: "pac",
    title: "a PAC file",
    dialects: &["pac"],
    recognises: |sample: &Sample<'_>| sample.text.contains("FindProxyForURL"),
    read,
    says: Says {
        actions: &[Action::Bypass, Action::Inspect],
        defaults: &[Action::Bypass, Action::Inspect],
        ..Says::PATTERNS
    },
    can_write: |_, _| true,
    write,
};

fn read(document: &Document) -> Result<List, PlaceError> {
    let script = PacScript::compile(document.name(), document.text()).map_err(|error| match error {
        PacError::Place(place) => place,
        other => document.error(0..0, other.to_string(), None),
    })?;
    let mut list = List::new(Format(&SPEC), document);
    list.dialect = "pac".parse().ok();
    list.script = Some(script);
    Ok(list)
}

fn write(list: &List) -> String {
    if let Some(script) = &list.script {
        return script.text().to_owned();
    }
    let way = |action| if action == Action::Bypass { "\"DIRECT\"" } else { "PROXY" };
    let mut text = String::from(
        "// The proxy of everything that is not bypassed.\nvar PROXY = \"PROXY 127.0.0.1:8080\";\n\n\
         function FindProxyForURL(url, host) {\n",
    );
    for entry in &list.entries {
        let pattern = serde_json::Value::from(entry.pattern());
        let note = entry.note().map(|note| format!(" // {}", plain::one_line(note))).unwrap_or_default();
        let _ = writeln!(text, "  if (dnsDomainIs(host, {pattern})) return {};{note}", way(Entry::action(entry)));
    }
    let _ = writeln!(text, "  return {};\n}}", way(list.default.unwrap_or(Action::Inspect)));
    text
}
