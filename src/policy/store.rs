//! The policy in force, and the one way to change it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::watch;

use super::change::{Applied, Change, ChangeError};
use super::decision::{Asked, Decision, Subjects};
use super::dialects::Dialect;
use super::file::PolicyFile;
use super::formats::{self, Format};
use super::layers::{Layers, RuleRefused};
use super::pattern::PatternError;
use super::rule::{Rule, RuleIdError, RuleSpec, RuleView, Source};
use super::{Action, NamesByAddress, Policy, save};
use crate::pac::PacScript;
use crate::source::{Document, DocumentError};

/// Holds the policy in force. Decisions read it without a lock; changes are made one after the other.
#[derive(Debug)]
pub struct PolicyStore {
    current: ArcSwap<Policy>,
    writer: Mutex<Writer>,
    epochs: watch::Sender<u64>,
    file: Option<PathBuf>,
}

#[derive(Debug)]
struct Writer {
    layers: Layers,
    /// The file as it was taken over last.
    document: Option<Document>,
}

/// What a policy is made of at the start.
#[derive(Clone, Debug, Default)]
pub struct PolicyConfig {
    /// How patterns are read; goes before what the file says. Without either, natively.
    pub dialect: Option<Dialect>,
    /// What is done when no rule matches; goes before what the file says. Without either, as the dialect's product does.
    pub default: Option<Action>,
    /// The rules of the command line, in the order typed.
    pub command_line: Vec<RuleSpec>,
    /// The policy file.
    pub file: Option<PathBuf>,
}

/// A policy could not be read, or not be saved.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file cannot be read or is wrong.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The id of a rule cannot be used.
    #[error(transparent)]
    Id(#[from] RuleIdError),
    /// The file is of a format into which changes are not written.
    #[error(
        "changes are saved into a policy.toml alone, and {path} is {format}; \
         `middlebox policy convert --to-format policy-toml` makes one of it"
    )]
    Format {
        /// The file.
        path: String,
        /// What it is.
        format: &'static str,
    },
    /// The file keeps its rules in a form into which nothing can be inserted without losing its formatting.
    #[error("{path} does not write its rules as `[[rule]]` tables; rewrite it so that changes can be saved into it")]
    Layout {
        /// The file.
        path: String,
    },
    /// Saving was asked for without a file.
    #[error("there is no policy file to save to; start with `--policy FILE`")]
    NoFile,
    /// A rule of the command line, or a live one under a new dialect, does not read.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The file could not be written; it is as it was.
    #[error("cannot write {path}: {reason}")]
    Write {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
}

impl PolicyStore {
    /// Builds the first policy, with epoch 1.
    ///
    /// # Errors
    /// The file or a rule of the command line is wrong.
    pub fn new(config: PolicyConfig) -> Result<Self, PolicyError> {
        let PolicyConfig { dialect, default, command_line, file } = config;
        let mut layers = Layers::new(dialect, default);
        let document = file.as_deref().map(Document::read).transpose()?;
        let read = document.as_ref().map(|document| PolicyFile::read(document, dialect)).transpose();
        let read = read.map_err(DocumentError::Place)?;
        if let Some(own) = read.as_ref().and_then(|file| file.dialect) {
            layers.dialect = dialect.unwrap_or(own);
        }
        for spec in command_line {
            let rule = layers.rule(spec, Source::CommandLine)?;
            layers.push(rule);
        }
        if let Some(read) = read {
            layers.take_file(read)?;
        }
        let current = ArcSwap::from_pointee(layers.compile(1));
        let (epochs, _) = watch::channel(1);
        Ok(Self { current, writer: Mutex::new(Writer { layers, document }), epochs, file })
    }

    /// The same store with the addresses that some names have from the beginning, for dialects whose product compares
    /// addresses.
    #[must_use]
    pub fn with_addresses(self, known: impl IntoIterator<Item = (String, Vec<IpAddr>)>) -> Self {
        let mut writer = self.lock();
        writer.layers.names = Arc::new(NamesByAddress::of(known));
        self.current.store(Arc::new(writer.layers.compile(self.current.load().epoch())));
        drop(writer);
        self
    }

    /// The policy in force.
    #[must_use]
    pub fn current(&self) -> Arc<Policy> {
        self.current.load_full()
    }

    /// Decides under the policy in force, with one lock-free read of it.
    #[must_use]
    pub fn decide(&self, subjects: &Subjects<'_>) -> Asked {
        self.current.load().decide(subjects)
    }

    /// Counts a hit for the rule of a decision. Questions that only look are not counted.
    pub fn count_hit(&self, decision: &Decision) {
        if let Some(rule) = &decision.rule {
            rule.hits.add_one();
        }
    }

    /// The policy file.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The epochs as they come into force.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.epochs.subscribe()
    }

    /// Makes one change. When this returns, every later decision is made under the new policy. With
    /// `expected_epoch` it is made only if that is still the epoch in force.
    ///
    /// # Errors
    /// The change is refused, and the policy is as it was.
    pub fn change(&self, change: Change, expected_epoch: Option<u64>) -> Result<Applied, ChangeError> {
        let mut writer = self.lock();
        let epoch = self.current.load().epoch();
        if expected_epoch.is_some_and(|expected| expected != epoch) {
            return Err(ChangeError::Conflict { epoch });
        }
        if matches!(change, Change::Reload) {
            let applied = self.reload(&mut writer)?;
            return Ok(applied.unwrap_or(Applied { epoch, changed: false, rules: Vec::new() }));
        }
        let mut layers = writer.layers.clone();
        let rules = change.apply(&mut layers)?;
        Ok(self.put_in_force(&mut writer, layers, rules))
    }

    /// Tells the addresses that some names have, in place of those told before, to dialects whose product compares
    /// addresses. It is a change like any other: the epoch grows where it makes a difference to what is known.
    pub fn know_addresses(&self, known: impl IntoIterator<Item = (String, Vec<IpAddr>)>) -> Applied {
        let mut writer = self.lock();
        let mut layers = writer.layers.clone();
        layers.names = Arc::new(NamesByAddress::of(known));
        self.put_in_force(&mut writer, layers, Vec::new())
    }

    /// Reads the policy file again; `None` where there is none, or it is as it was. The applied rules are those that
    /// are new.
    ///
    /// # Errors
    /// The file is refused, and the policy is as it was.
    pub fn reload_file(&self) -> Result<Option<Applied>, PolicyError> {
        self.reload(&mut self.lock())
    }

    /// Writes the live changes into the policy file, whole or not at all, keeping its comments and formatting, its
    /// permissions, and the symbolic link that it may be. A file that was edited meanwhile is taken over first. Live
    /// rules become rules of the file; nothing changes in what is decided.
    ///
    /// # Errors
    /// There is no file, it is refused, or it cannot be written.
    pub fn save(&self) -> Result<Applied, PolicyError> {
        let path = self.file.as_deref().ok_or(PolicyError::NoFile)?;
        let mut writer = self.lock();
        let taken = self.reload(&mut writer)?;
        let document = writer.document.clone().ok_or(PolicyError::NoFile)?;
        let saved = writer.layers.entries.iter().filter(|entry| !entry.removed && entry.rule.source == Source::Live);
        let ids: Vec<_> = saved.map(|entry| entry.rule.id.clone()).collect();
        let format = formats::detect(document.text(), document.name());
        if format != Format::POLICY_TOML {
            return Err(PolicyError::Format { path: document.name().to_owned(), format: format.title() });
        }
        let text = save::edited(&document, &writer.layers)?;
        let document = Document::new(document.name(), text);
        let chosen = writer.layers.chosen_dialect();
        let file = PolicyFile::read(&document, chosen).map_err(DocumentError::Place)?;
        let mut layers = writer.layers.clone();
        save::settle(&mut layers);
        layers.take_file(file)?;
        save::write(path, document.text())?;
        writer.document = Some(document);
        let by_id: HashMap<_, _> = layers.effective().map(|rule| (&rule.id, rule)).collect();
        let views = ids.iter().filter_map(|id| by_id.get(id)).map(|rule| rule.view()).collect();
        drop(by_id);
        let applied = self.put_in_force(&mut writer, layers, views);
        Ok(Applied { changed: applied.changed || taken.is_some_and(|taken| taken.changed), ..applied })
    }

    fn reload(&self, writer: &mut Writer) -> Result<Option<Applied>, PolicyError> {
        let Some(path) = &self.file else { return Ok(None) };
        let document = Document::read(path)?;
        if writer.document.as_ref().is_some_and(|known| known.text() == document.text()) {
            return Ok(None);
        }
        let file = PolicyFile::read(&document, writer.layers.chosen_dialect()).map_err(DocumentError::Place)?;
        let mut layers = writer.layers.clone();
        layers.take_file(file)?;
        let old: HashMap<_, _> = writer.layers.effective().map(|rule| (&rule.id, rule)).collect();
        let is_new = |rule: &Rule| old.get(&rule.id).is_none_or(|old| !old.reads_as(rule));
        let views = layers.effective().filter(|rule| is_new(rule)).map(|rule| rule.view()).collect();
        drop(old);
        writer.document = Some(document);
        Ok(Some(self.put_in_force(writer, layers, views)))
    }

    /// Swaps the policy before it returns. One that decides and reads as before keeps the epoch.
    fn put_in_force(&self, writer: &mut Writer, layers: Layers, rules: Vec<RuleView>) -> Applied {
        let old = self.current.load();
        let same_rules = old.rules().len() == layers.effective().count()
            && old.rules().iter().zip(layers.effective()).all(|(old, new)| Arc::ptr_eq(old, new) || old.reads_as(new));
        let changed = !same_rules
            || old.default_action() != layers.default()
            || old.dialect() != layers.dialect
            || old.names != layers.names
            || old.unread != layers.unread
            || old.script.as_ref().map(PacScript::text) != layers.script.as_ref().map(PacScript::text);
        let epoch = old.epoch() + u64::from(changed);
        let untouched = !changed && old.rules().iter().zip(layers.effective()).all(|(old, new)| Arc::ptr_eq(old, new));
        if !untouched {
            self.current.store(Arc::new(layers.compile(epoch)));
        }
        writer.layers = layers;
        if changed {
            self.epochs.send_replace(epoch);
        }
        Applied { epoch, changed, rules }
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        // A writer that panicked has not touched the layers: they are replaced as a whole.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<RuleRefused> for PolicyError {
    fn from(refused: RuleRefused) -> Self {
        match refused {
            RuleRefused::Pattern(error) => Self::Pattern(error),
            RuleRefused::Id(error) => Self::Id(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::Selector;
    use super::*;

    const FILE: &str = r#"# Our policy.

# What pins.
[[rule]]
pattern = "*.okta.com"
action = "bypass"

[[rule]]
pattern = "b.example"
action = "bypass"
"#;

    struct Lab {
        folder: tempfile::TempDir,
        store: PolicyStore,
    }

    impl Lab {
        fn new(text: &str, command_line: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("policy.toml");
            fs::write(&file, text).unwrap();
            let command_line = command_line.iter().map(|pattern| RuleSpec::new(*pattern, Action::Inspect)).collect();
            let config = PolicyConfig { command_line, file: Some(file), ..PolicyConfig::default() };
            Self { folder, store: PolicyStore::new(config).unwrap() }
        }

        fn edit(&self, text: &str) -> Result<Option<Applied>, PolicyError> {
            fs::write(self.folder.path().join("policy.toml"), text).unwrap();
            self.store.reload_file()
        }

        fn add(&self, pattern: &str, at: Option<usize>) {
            self.store.change(Change::Add { rule: RuleSpec::new(pattern, Action::Bypass), at }, None).unwrap();
        }

        fn text(&self) -> String {
            fs::read_to_string(self.folder.path().join("policy.toml")).unwrap()
        }

        fn list(&self) -> String {
            let line =
                |rule: &Arc<Rule>| format!("{}:{}{}", rule.id, rule.pattern, if rule.enabled { "" } else { "-" });
            self.store.current().rules().iter().map(line).collect::<Vec<_>>().join(" ")
        }
    }

    #[test]
    fn layers_stand_above_one_another() {
        let lab = Lab::new(FILE, &["c"]);
        lab.add("live", None);
        assert_eq!(lab.list(), "r4:live r1:c r2:*.okta.com r3:b.example");
        let lines: Vec<_> = lab.store.current().view().rules.iter().map(|rule| rule.line).collect();
        assert_eq!(lines, [None, None, Some(5), Some(9)]);
    }

    #[test]
    fn changes_survive_a_reload_and_so_do_ids_and_hits() {
        let lab = Lab::new(FILE, &["c"]);
        lab.add("live", None);
        lab.add("amid", Some(4));
        lab.store.change(Change::Disable(Selector::new("*.okta.com")), None).unwrap();
        lab.store.change(Change::Remove(Selector::new("c")), None).unwrap();
        lab.store.current().rules()[1].hits.add_one();
        assert_eq!(lab.list(), "r4:live r2:*.okta.com- r5:amid r3:b.example");

        let longer = format!("[[rule]]\npattern = \"new\"\naction = \"block\"\n{FILE}");
        let applied = lab.edit(&longer).unwrap().unwrap();
        assert_eq!(applied.rules.iter().map(|rule| &*rule.pattern).collect::<Vec<_>>(), ["new"]);
        assert_eq!(lab.list(), "r4:live r6:new r2:*.okta.com- r5:amid r3:b.example");
        assert_eq!(lab.store.current().rules()[2].hits(), 1);

        // A removed rule stays away although the file still brings it.
        lab.store.change(Change::Remove(Selector::new("b.example")), None).unwrap();
        assert!(lab.edit(FILE).unwrap().unwrap().changed);
        assert_eq!(lab.list(), "r4:live r2:*.okta.com- r5:amid");
    }

    #[test]
    fn live_rules_stay_above_what_the_file_brings_on_top() {
        let lab = Lab::new(FILE, &[]);
        lab.add("live", None);
        lab.edit(&format!("[[rule]]\npattern = \"new\"\naction = \"block\"\n{FILE}")).unwrap();
        assert_eq!(lab.list(), "r3:live r4:new r1:*.okta.com r2:b.example");
    }

    #[test]
    fn a_reload_that_means_the_same_keeps_the_epoch_and_moves_the_lines() {
        let lab = Lab::new(FILE, &[]);
        assert_eq!(lab.store.reload_file().unwrap(), None);
        let applied = lab.edit(&format!("# one more line\n{FILE}")).unwrap().unwrap();
        assert_eq!((applied.epoch, applied.changed), (1, false));
        assert_eq!(lab.store.current().rules()[0].line(), Some(6));
    }

    #[test]
    fn a_rejected_file_leaves_the_policy_in_force() {
        let lab = Lab::new(FILE, &["only.native"]);
        let before = lab.list();
        let error = lab.edit("[[rule]]\npattern = \"*okta.com\"\naction = \"bypass\"\n").unwrap_err().to_string();
        assert!(error.contains("policy.toml:2:12: a wildcard stands alone before a dot"), "{error}");
        fs::remove_file(lab.folder.path().join("policy.toml")).unwrap();
        assert!(matches!(lab.store.reload_file(), Err(PolicyError::Document(DocumentError::Read { .. }))));
        assert_eq!((lab.list(), lab.store.current().epoch()), (before, 1));
        let refused = lab.store.change(Change::Reload, None).unwrap_err();
        assert!(matches!(refused, ChangeError::Policy(_)));
    }

    #[test]
    fn the_command_line_goes_before_the_file_and_live_before_both() {
        let lab = Lab::new("default = \"block\"\n", &[]);
        assert_eq!(lab.store.current().default_action(), Action::Block);
        lab.edit("default = \"bypass\"\n").unwrap();
        assert_eq!(lab.store.current().default_action(), Action::Bypass);
        lab.store.change(Change::SetDefault(Action::Inspect), None).unwrap();
        lab.edit("default = \"block\"\n").unwrap();
        assert_eq!(lab.store.current().default_action(), Action::Inspect);
    }

    #[test]
    fn saving_keeps_comments_and_decides_as_before() {
        let lab = Lab::new(FILE, &[]);
        lab.add("top.example", None);
        lab.add("amid.example:8443", Some(3));
        lab.add("end.example", Some(5));
        lab.store.change(Change::Disable(Selector::new("b.example")), None).unwrap();
        let before = (lab.list(), lab.store.current().epoch());
        let applied = lab.store.save().unwrap();
        assert_eq!((applied.changed, applied.rules.len()), (false, 3));
        insta::assert_snapshot!(lab.text());
        assert_eq!((lab.list(), lab.store.current().epoch()), before);
        assert_eq!(lab.store.reload_file().unwrap(), None);
        assert!(lab.store.current().rules().iter().all(|rule| rule.source == Source::File && rule.line().is_some()));
        let fresh = PolicyStore::new(PolicyConfig { file: lab.store.file.clone(), ..PolicyConfig::default() }).unwrap();
        let patterns = |store: &PolicyStore| {
            store.current().rules().iter().map(|rule| rule.pattern.canonical()).collect::<Vec<_>>()
        };
        assert_eq!(patterns(&fresh), patterns(&lab.store));

        // Removing the first rule leaves the heading of the file.
        lab.store.change(Change::Remove(Selector::new("top.example")), None).unwrap();
        lab.store.change(Change::Remove(Selector::new("b.example")), None).unwrap();
        lab.store.change(Change::SetDefault(Action::Block), None).unwrap();
        lab.store.save().unwrap();
        insta::assert_snapshot!(lab.text());
        assert_eq!(lab.list(), "r1:*.okta.com r4:amid.example:8443 r5:end.example");
    }

    #[test]
    fn rules_saved_from_above_the_command_line_stay_above_it() {
        let lab = Lab::new(FILE, &["c"]);
        lab.add("live", None);
        lab.store.save().unwrap();
        assert_eq!(lab.list(), "r4:live r1:c r2:*.okta.com r3:b.example");
        lab.edit(&format!("{}\n", lab.text())).unwrap();
        lab.add("newer", None);
        lab.store.save().unwrap();
        assert_eq!(lab.list(), "r5:newer r4:live r1:c r2:*.okta.com r3:b.example");
    }

    #[test]
    fn what_cannot_be_saved_changes_no_byte() {
        let inline = "rule = [{ pattern = \"a\", action = \"bypass\" }]\n";
        let lab = Lab::new(inline, &[]);
        lab.add("live", None);
        assert!(matches!(lab.store.save(), Err(PolicyError::Layout { .. })));
        assert_eq!(lab.text(), inline);
        let none = PolicyStore::new(PolicyConfig::default()).unwrap();
        assert!(matches!(none.save(), Err(PolicyError::NoFile)));
        // A file that was broken meanwhile is neither taken over nor overwritten.
        let lab = Lab::new(FILE, &[]);
        lab.add("live", None);
        fs::write(lab.folder.path().join("policy.toml"), "default = 1").unwrap();
        assert!(matches!(lab.store.save(), Err(PolicyError::Document(_))));
        assert_eq!(lab.text(), "default = 1");
    }

    #[cfg(unix)]
    #[test]
    fn saving_keeps_the_mode_and_the_link() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};

        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real.toml");
        let link = folder.path().join("policy.toml");
        fs::write(&real, "# nothing yet\n").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real.toml", &link).unwrap();
        let config = PolicyConfig { file: Some(link.clone()), ..PolicyConfig::default() };
        let store = PolicyStore::new(config).unwrap();
        let rule = RuleSpec::new("okta.com", Action::Bypass);
        store.change(Change::Add { rule, at: None }, None).unwrap();
        store.save().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(
            fs::read_to_string(&real).unwrap(),
            "# nothing yet\n\n[[rule]]\npattern = \"okta.com\"\naction = \"bypass\"\n"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
