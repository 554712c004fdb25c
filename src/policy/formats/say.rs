//! What a format can say, compared with what a list holds.

use std::fmt;

use thiserror::Error;

use super::super::Action;
use super::{Entry, Format, List};

/// What a format has words for, beside patterns. Notes and names are kept where it has a place for them, and are no
/// reason to refuse.
#[derive(Clone, Copy)]
pub(super) struct Says {
    pub(super) actions: &'static [Action],
    pub(super) disabled: bool,
    pub(super) ports: bool,
    pub(super) clients: bool,
    /// Entries that are read in different dialects.
    pub(super) dialects: bool,
    /// What is done where nothing matches.
    pub(super) defaults: &'static [Action],
}

pub(super) const ALL_ACTIONS: &[Action] = &[Action::Bypass, Action::Inspect, Action::Block];

impl Says {
    /// Bare bypass entries.
    pub(super) const PATTERNS: Self = Self {
        actions: &[Action::Bypass],
        disabled: false,
        ports: false,
        clients: false,
        dialects: false,
        defaults: &[],
    };
}

/// A list holds what a format has no words for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct CannotSay {
    /// The format.
    pub format: Format,
    /// Each thing that it cannot say.
    pub what: Vec<Unsaid>,
}

/// One thing that a format cannot say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsaid {
    /// The number of the entry that it is about, from 0; none where it is about the list.
    pub entry: Option<usize>,
    /// What of it.
    pub lack: Lack,
    /// The same as a clause.
    pub text: String,
}

/// What of an entry, or of a list, has no words in a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// What is done with what it matches.
    Action,
    /// The clients that it is for.
    Clients,
    /// What is done where nothing matches.
    Default,
    /// That it is read as another product reads it.
    Dialect,
    /// That it is switched off.
    Disabled,
    /// The pattern itself.
    Pattern,
    /// The ports that it is for.
    Ports,
    /// The script that stands in place of entries.
    Script,
}

/// So many of the things that a format cannot say are shown.
const SHOWN: usize = 20;

impl Format {
    /// What this format cannot say of a list.
    pub(in super::super) fn unsaid(self, list: &List) -> Vec<Unsaid> {
        let says = self.0.says;
        let mut what = Vec::new();
        let own = self.0.dialects;
        if let Some(other) = list.dialect.filter(|dialect| !own.is_empty() && !own.contains(&dialect.name())) {
            let text = format!("patterns that are written as {other} reads them, and not {}", own.join(" or "));
            what.push(Unsaid { entry: None, lack: Lack::Dialect, text });
        }
        if list.script.is_some() && own != ["pac"] {
            let text = "what a script decides: it is no list of patterns".to_owned();
            what.push(Unsaid { entry: None, lack: Lack::Script, text });
        }
        let usual = list.dialect_or(None).default_action();
        if let Some(default) = list.default.filter(|default| *default != usual && !says.defaults.contains(default)) {
            what.push(Unsaid {
                entry: None,
                lack: Lack::Default,
                text: format!("that everything else is for {default}"),
            });
        }
        for (number, entry) in list.entries.iter().enumerate() {
            let pattern = entry.pattern();
            let mut lacks = |lack, text| what.push(Unsaid { entry: Some(number), lack, text });
            if !says.actions.contains(&entry.action()) {
                lacks(Lack::Action, format!("that `{pattern}` is for {}", entry.action()));
            }
            if !entry.enabled() && !says.disabled {
                lacks(Lack::Disabled, format!("that `{pattern}` is switched off"));
            }
            if !entry.ports().is_empty() && !says.ports {
                lacks(Lack::Ports, format!("the ports of `{pattern}`"));
            }
            if !entry.clients().is_empty() && !says.clients {
                lacks(Lack::Clients, format!("the clients of `{pattern}`"));
            }
            if let Some(own) = entry.dialect().filter(|own| Some(*own) != list.dialect && !says.dialects) {
                lacks(Lack::Dialect, format!("that `{pattern}` alone is read as {own} reads it"));
            }
            if !(self.0.can_write)(list, entry) {
                lacks(Lack::Pattern, format!("`{}` as an entry", pattern.escape_debug()));
            }
        }
        what
    }
}

/// Whether a text can stand on a line of its own, between these signs.
pub(super) fn is_bare(entry: &Entry, but: &[char]) -> bool {
    let pattern = entry.pattern();
    !pattern.is_empty() && pattern.trim() == pattern && !pattern.contains(but) && !pattern.contains(char::is_control)
}

impl fmt::Display for CannotSay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot say everything that the list holds:", self.format.title())?;
        for what in self.what.iter().take(SHOWN) {
            write!(f, "\n  {}", what.text)?;
        }
        match self.what.len().checked_sub(SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\n  and {more} more"),
        }
    }
}
