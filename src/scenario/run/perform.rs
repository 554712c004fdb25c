//! Doing a step.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::setup::{check_pattern, enroll_link};
use super::{Kept, Stage, step_error};
use crate::child::{self, Output, Status, Surroundings};
use crate::journal::ConnectionRecord;
use crate::lab::Toggled;
use crate::net::Host;
use crate::policy::{Action, Change, RuleSpec, Selector};
use crate::report::{Line, StepError};
use crate::scenario::format::{
    BypassChange, Command, CredentialsChange, EnrollLink, Placed, Step, StepAction, Target, WorkstationChange,
};
use crate::simulation::{CertificateSeen, Enrollment, Fault};

/// Makes a change of a pattern.
type Make<'m> = &'m (dyn Fn(&str) -> Change + Sync);

/// How long a command may run where its step says nothing.
const COMMAND: Duration = Duration::from_secs(60);

/// How long the records of a step's connections are waited for once the step is over.
const SETTLE: Duration = Duration::from_secs(10);

/// How long the connections that a change ends are waited for; running exchanges may take longer.
const ENDED: Duration = Duration::from_secs(5);

/// What a step brought.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) said: Vec<Line>,
    pub(super) enrollment: Option<Enrollment>,
    /// What the browser saw and got.
    pub(super) visit: Option<Visited>,
    pub(super) exit: Option<u8>,
    /// The connections of the step, in order; one that stays open as it stands.
    pub(super) records: Vec<Arc<ConnectionRecord>>,
}

#[derive(Debug)]
pub(super) struct Visited {
    pub(super) host: Host,
    pub(super) status: Option<u16>,
    pub(super) certificate: Option<CertificateSeen>,
    pub(super) error: Option<Fault>,
}

impl Stage<'_> {
    /// Does a step; `before` is the number of connections that there have been.
    pub(super) async fn perform(&mut self, step: &Step, before: u64) -> Result<Done, StepError> {
        let mut done = match &step.action {
            StepAction::Enroll { target, late } => {
                let client = if *late { &self.late_okta_verify } else { &self.okta_verify };
                let enrollment = client.enroll(&target.url.value, &self.workstation).await;
                Done { enrollment: Some(enrollment), ..Done::default() }
            }
            StepAction::Browse(target) => {
                let visit = self.workstation.browse(&target.url.value).await;
                let visited = Visited {
                    host: target.host.clone(),
                    status: visit.status,
                    certificate: visit.certificate,
                    error: visit.error,
                };
                Done { visit: Some(visited), ..Done::default() }
            }
            StepAction::KeepOpen(target) => return self.keep_open(target, before).await,
            StepAction::Command(command) => self.command(command).await?,
            StepAction::Bypass(change) => self.bypass(change).await?,
            StepAction::Workstation(change) => self.change_workstation(change),
            StepAction::Organization { host, enroll_link } => self.organization(host, enroll_link)?,
            StepAction::Middlebox { on_change } => {
                self.lab.set_on_change(*on_change);
                said("middlebox", format!("open connections that a change concerns: {}", on_change.as_str()))
            }
        };
        done.records = self.records_since(before).await;
        Ok(done)
    }

    /// The records of the connections that were begun after the first `before`, once they are complete.
    async fn records_since(&self, before: u64) -> Vec<Arc<ConnectionRecord>> {
        let journal = self.lab.journal();
        let deadline = Instant::now() + SETTLE;
        let mut events = journal.subscribe();
        let mut records;
        loop {
            records = journal.records(true);
            records.retain(|record| record.id > before);
            if records.iter().all(|record| record.outcome.is_some()) {
                return records;
            }
            if timeout_at(deadline, events.recv()).await.is_err() {
                return records;
            }
        }
    }

    async fn keep_open(&mut self, target: &Target, before: u64) -> Result<Done, StepError> {
        let key = target.url.value.to_string();
        let mut done = Done::default();
        let held = match self.kept.remove(&key) {
            Some(kept) if self.has_ended(&kept).await => {
                done.said.push(Line::new("connection", "the one that was open has been closed; a new one is opened"));
                None
            }
            held => held,
        };
        let mut visited = Visited { host: target.host.clone(), status: None, certificate: None, error: None };
        let kept = match held {
            Some(mut kept) => match kept.connection.request().await {
                Ok(answer) => {
                    done.said.push(Line::new("connection", "the one that was opened before"));
                    visited.status = Some(answer.status);
                    Some(kept)
                }
                Err(fault) => {
                    visited.error = Some(fault);
                    None
                }
            },
            None => match self.workstation.keep_open(&target.url.value).await {
                Ok(connection) => {
                    visited.status = Some(connection.first_status());
                    let newest = self.lab.journal().records(true).last().map(|record| record.id);
                    Some(Kept { connection, record: newest.filter(|id| *id > before) })
                }
                Err(fault) => {
                    visited.error = Some(fault);
                    None
                }
            },
        };
        match kept {
            Some(kept) => {
                visited.certificate = kept.connection.certificate().cloned();
                let record = kept.record.and_then(|id| self.lab.journal().record(id));
                done.records = record.into_iter().collect();
                self.kept.insert(key, kept);
            }
            None => done.records = self.records_since(before).await,
        }
        done.visit = Some(visited);
        Ok(done)
    }

    /// Whether a kept connection is over. Where the middlebox has ended it, the client is about to learn of it.
    async fn has_ended(&self, kept: &Kept) -> bool {
        let record = kept.record.and_then(|id| self.lab.journal().record(id));
        if record.is_some_and(|record| record.outcome.is_some()) {
            let _ = tokio::time::timeout(ENDED, kept.connection.closed()).await;
        }
        kept.connection.is_closed()
    }

    async fn command(&self, command: &Command) -> Result<Done, StepError> {
        let internet = self.lab.internet();
        let pin = |host: &Host| internet.and_then(|internet| internet.pin(host)).map(|pin| pin.base64());
        let words = command.words(|host| pin(host).unwrap_or_default());
        let mut child = child::Command {
            argv: words.iter().map(Into::into).collect(),
            output: Output::Captured,
            time_limit: Some(command.timeout.unwrap_or(COMMAND)),
            ..child::Command::default()
        };
        self.surroundings()?.apply(&mut child);
        let outcome = child::run(&child).await.map_err(|error| step_error(error.to_string(), None))?;
        let program = words.first().map_or("", String::as_str);
        match outcome.status {
            Status::NotFound => {
                let mend = "install it, or name its path".to_owned();
                return Err(step_error(format!("`{program}` was not found"), mend));
            }
            Status::NotExecutable => {
                return Err(step_error(format!("`{program}` cannot be executed"), "check its mode".to_owned()));
            }
            Status::TimedOut => {
                let limit = humantime::format_duration(command.timeout.unwrap_or(COMMAND));
                let mend = "give the step a longer `timeout`".to_owned();
                return Err(step_error(format!("`{program}` did not end within {limit}"), mend));
            }
            Status::Exited(_) | Status::Signalled(_) => {}
        }
        let mut done = said("command", words.join(" "));
        for (label, captured) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
            let text = captured.text();
            if !text.trim().is_empty() {
                done.said.push(Line::new(label, text.trim_end()));
            }
        }
        let exit = outcome.status.exit_code();
        done.said.push(Line::new("exit", exit.to_string()));
        done.exit = Some(exit);
        Ok(done)
    }

    /// Proxy and trust of the workstation, for a real program.
    fn surroundings(&self) -> Result<Surroundings, StepError> {
        use crate::simulation::ProxySetting;
        let proxy = match self.workstation.proxy() {
            ProxySetting::Off => None,
            ProxySetting::On(address) => {
                let mut url: url::Url = format!("http://{address}").parse().expect("an address makes a URL");
                if let Some((user, password)) = self.workstation.credentials() {
                    let _ = url.set_username(user);
                    let _ = url.set_password(Some(password));
                }
                Some(url)
            }
            ProxySetting::Pac(_) => {
                let mend = "switch the workstation's proxy to `on` or `off` before it".to_owned();
                return Err(step_error("a command line program does not read a PAC file", mend));
            }
        };
        let inspection = self.lab.authority().ca().root_pem();
        let inspection = self.workstation.trusts_inspection().then_some(inspection.as_str());
        let public = self.lab.internet().map(crate::simulation::Internet::root_pem);
        let trust =
            self.lab.files().for_client(inspection, public).map_err(|error| step_error(error.to_string(), None))?;
        Ok(Surroundings { proxy, no_proxy: None, trust: Some(trust) })
    }

    async fn bypass(&mut self, change: &BypassChange) -> Result<Done, StepError> {
        let mut done = Done::default();
        let remove = |text: &str| Change::Remove(Selector::new(text));
        let off = |text: &str| Change::Disable(Selector::new(text));
        let on = |text: &str| Change::Enable(Selector::new(text));
        let at = change.at;
        let add = |text: &str| Change::Add { rule: RuleSpec::new(text, Action::Bypass), at };
        let groups: [(&str, &[Placed<String>], Make<'_>); 4] = [
            ("removed", &change.remove, &remove),
            ("off", &change.off, &off),
            ("on", &change.on, &on),
            ("bypass", &change.add, &add),
        ];
        for (word, patterns, make) in groups {
            // Each addition goes to the same place: from the last to the first, they end up as they are listed.
            let backwards = if word == "bypass" { patterns.len() } else { 0 };
            let ordered = patterns.iter().rev().take(backwards).chain(patterns.iter().skip(backwards));
            for pattern in ordered {
                let toggled = self.toggle(pattern, make(&pattern.value))?;
                let affected = match toggled.affected.len() {
                    0 => String::new(),
                    1 => "; 1 open connection is ended for it".to_owned(),
                    n => format!("; {n} open connections are ended for it"),
                };
                let text = format!("{word} `{}` (epoch {}{affected})", pattern.value, toggled.applied.epoch);
                done.said.push(Line::new("policy", text));
                // The next step finds the world as the change has made it: what is idle is closed by then.
                self.lab.journal().settle_these(&toggled.affected, ENDED).await;
            }
        }
        Ok(done)
    }

    fn toggle(&self, pattern: &Placed<String>, change: Change) -> Result<Toggled, StepError> {
        let document = &self.scenario.document;
        if matches!(change, Change::Add { .. }) {
            let dialect = self.lab.policy().current().dialect();
            check_pattern(document, dialect, pattern).map_err(|error| {
                step_error(
                    format!("{}:{}: {}", document.name(), document.line_column(pattern.span.start).0, error.message()),
                    error.help().map(ToOwned::to_owned),
                )
            })?;
        }
        let line = document.line_column(pattern.span.start).0;
        self.lab.change(change).map_err(|error| step_error(format!("{}:{line}: {error}", document.name()), None))
    }

    fn change_workstation(&mut self, change: &WorkstationChange) -> Done {
        let mut done = Done::default();
        if let Some(trusted) = change.trust_inspection_ca {
            self.trust(trusted);
            let text = if trusted { "trusts the inspection CA" } else { "does not trust the inspection CA" };
            done.said.push(Line::new("workstation", text));
        }
        if let Some(setting) = change.proxy {
            self.set_proxy(setting);
            done.said.push(Line::new("workstation", format!("proxy {setting}")));
        }
        match &change.proxy_credentials {
            Some(CredentialsChange::Set(credentials)) => {
                self.workstation.set_credentials(Some((credentials.user.clone(), credentials.password.clone())));
                done.said.push(Line::new("workstation", format!("answers the proxy as {}", credentials.user)));
            }
            Some(CredentialsChange::Remove) => {
                self.workstation.set_credentials(None);
                done.said.push(Line::new("workstation", "has no credentials for the proxy"));
            }
            None => {}
        }
        done
    }

    fn organization(&self, host: &Placed<Host>, link: &EnrollLink) -> Result<Done, StepError> {
        let organization = self.lab.internet().and_then(|internet| internet.organization(&host.value));
        let organization =
            organization.ok_or_else(|| step_error(format!("{} is no simulated organization", host.value), None))?;
        let (url, text) = match link {
            EnrollLink::Host(to) => (Some(enroll_link(&to.value)), to.value.to_string()),
            EnrollLink::Default => (None, "the host that was asked".to_owned()),
        };
        organization.set_enroll_link(url).map_err(|error| step_error(error.to_string(), None))?;
        Ok(said("organization", format!("the enroll link of {} names {text}", host.value)))
    }
}

fn said(label: &str, text: impl Into<String>) -> Done {
    Done { said: vec![Line::new(label, text)], ..Done::default() }
}
