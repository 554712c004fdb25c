//! The policy in force, and the one way to change it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::watch;

use super::change::{Applied, Change, ChangeError};
use super::decision::{Asked, Decision, Subjects};
use super::dialects::Dialect;
use super::file::PolicyFile;
use super::layers::{Layers, RuleRefused};
use super::pattern::PatternError;
use super::rule::{Rule, RuleIdError, RuleSpec, RuleView, Source};
use super::{Action, Policy, save};
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
        let changed = !same_rules || old.default_action() != layers.default() || old.dialect() != layers.dialect;
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
