//! An external dynamic list of PAN-OS, of type URL: plain text with one entry on each line (Palo Alto Networks,
//! "Formatting guidelines for an external dynamic list").

use super::say::Says;
use super::{Format, List, Sample, Spec, plain};
use crate::source::{Document, PlaceError};

pub(super) static SPEC: Spec = Spec {
    name: "edl",
    title: "a PAN-OS external dynamic list",
    dialects: &["pan-os-url", "pan-os-url-legacy"],
    recognises,
    read,
    says: Says::PATTERNS,
    can_write: |_, entry| plain::is_line(entry),
    write: plain::write,
};

/// Its entries alone end in a slash, or have a `^` for one label.
fn recognises(sample: &Sample<'_>) -> bool {
    let mut entries =
        sample.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let own = |entry: &str| {
        let entry = entry.split_whitespace().next().unwrap_or_default();
        let caret = entry.starts_with("^.") && !entry.contains(['(', '\\', '$', '[']);
        caret || (entry.ends_with('/') && !entry.contains("://") && entry.matches('/').count() == 1)
    };
    let is_host = |entry: &str| !entry.contains(['{', '=', '"', '<', '(']);
    entries.clone().any(own) && entries.all(is_host)
}

fn read(document: &Document) -> Result<List, PlaceError> {
    let mut list = plain::read(document)?;
    list.format = Format(&SPEC);
    list.dialect = "pan-os-url".parse().ok();
    Ok(list)
}
