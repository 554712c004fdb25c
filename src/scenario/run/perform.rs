//! Doing a step.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Kept, Marks, Seen, Stage, step_error};
use crate::child::{self, Output, Status, Surroundings};
use crate::journal::{ConnectionRecord, Journal};
use crate::lab::RunningLab;
use crate::net::Host;
use crate::report::{Line, StepError};
use crate::scenario::format::{Command, Step, StepAction, Target};
use crate::scenario::words::By;
use crate::simulation::{CertificateSeen, ClientProfile, Enrollment, FastPassSignIn, Fault, HttpVersion, OktaVerify};

/// How long a command may run where its step says nothing.
const COMMAND: Duration = Duration::from_secs(60);

/// How long the records of a step's connections are waited for once the step is over.
const SETTLE: Duration = Duration::from_secs(10);

/// How long the connections that a change ends are waited for; running exchanges may take longer.
pub(super) const ENDED: Duration = Duration::from_secs(5);

/// What a step brought.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) said: Vec<Line>,
    pub(super) enrollment: Option<Enrollment>,
    /// What the browser saw and got.
    pub(super) visit: Option<Visited>,
    /// What the sign-in page found on loopback.
    pub(super) fast_pass: Option<FastPassSignIn>,
    pub(super) exit: Option<u8>,
    /// The connections of the step, in order; one that stays open as it stands.
    pub(super) records: Vec<Seen>,
    /// What went well, and deserves a remark.
    pub(super) warnings: Vec<String>,
    /// Why patterns were refused that were expected to be.
    pub(super) rejected: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Visited {
    pub(super) host: Host,
    pub(super) status: Option<u16>,
    pub(super) version: Option<HttpVersion>,
    pub(super) alt_svc: Option<String>,
    pub(super) certificate: Option<CertificateSeen>,
    pub(super) error: Option<Fault>,
}

impl Stage<'_> {
    /// Does a step; `before` is how many connections there have been.
    pub(super) async fn perform(&mut self, step: &Step, before: Marks) -> Result<Done, StepError> {
        let mut done = match &step.action {
            StepAction::Enroll { target, late, sni } => {
                let profile = ClientProfile { late: *late, ..ClientProfile::default() };
                let client = OktaVerify::new(self.pins.clone(), profile).with_sni(sni.clone());
                let enrollment = client.enroll(&target.url.value, &self.workstation).await;
                Done { enrollment: Some(enrollment), ..Done::default() }
            }
            StepAction::Browse { target, sni } => {
                let visit = self.workstation.browse_as(&target.url.value, sni.clone()).await;
                let visited = Visited {
                    host: target.host.clone(),
                    status: visit.status,
                    version: visit.version,
                    alt_svc: visit.alt_svc,
                    certificate: visit.certificate,
                    error: visit.error,
                };
                Done { visit: Some(visited), ..Done::default() }
            }
            StepAction::FastPass(target) => {
                let sign_in = self.workstation.sign_in_with_fast_pass(&target.url.value).await;
                Done { fast_pass: Some(sign_in), ..Done::default() }
            }
            StepAction::KeepOpen(target) => return self.keep_open(target, before).await,
            StepAction::Command(command) => self.command(command).await?,
            StepAction::Bypass(change) => self.bypass(change, step.expect.rejected.is_some()).await?,
            StepAction::Workstation(change) => self.change_workstation(change)?,
            StepAction::Organization { host, enroll_link } => self.organization(host, enroll_link)?,
            StepAction::Middlebox { by, on_change, decide_at } => self.change_middlebox(*by, *on_change, *decide_at),
        };
        done.records = self.records_since(before).await;
        Ok(done)
    }

    /// The records of the connections that were begun since then, once they are complete.
    async fn records_since(&self, before: Marks) -> Vec<Seen> {
        let deadline = Instant::now() + SETTLE;
        let mut all = Vec::new();
        for (by, lab) in self.labs() {
            let records = records_since(lab.journal(), before.of(by), deadline).await;
            all.extend(records.into_iter().map(|record| Seen { by, record }));
        }
        // What two middleboxes saw, in the order in which it happened.
        all.sort_by_key(|seen| seen.record.opened);
        all
    }

    async fn keep_open(&mut self, target: &Target, before: Marks) -> Result<Done, StepError> {
        let key = target.url.value.to_string();
        let mut done = Done::default();
        let held = match self.kept.remove(&key) {
            Some(kept) if self.has_ended(&kept).await => {
                done.said.push(Line::new("connection", "the one that was open has been closed; a new one is opened"));
                None
            }
            held => held,
        };
        let mut visited = Visited {
            host: target.host.clone(),
            status: None,
            version: None,
            alt_svc: None,
            certificate: None,
            error: None,
        };
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
                    let newest = |(by, lab): (By, &RunningLab)| {
                        let id = lab.journal().records(true).last()?.id;
                        (id > before.of(by)).then_some((by, id))
                    };
                    let record = self.labs().find_map(newest);
                    Some(Kept { connection, record })
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
                done.records = self.seen(&kept).into_iter().collect();
                self.kept.insert(key, kept);
            }
            None => done.records = self.records_since(before).await,
        }
        done.visit = Some(visited);
        Ok(done)
    }

    fn seen(&self, kept: &Kept) -> Option<Seen> {
        let (by, id) = kept.record?;
        Some(Seen { by, record: self.lab_of(by).journal().record(id)? })
    }

    /// Whether a kept connection is over. Where the middlebox has ended it, the client is about to learn of it.
    async fn has_ended(&self, kept: &Kept) -> bool {
        if self.seen(kept).is_some_and(|seen| seen.record.outcome.is_some()) {
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
        let inspection: String = self.labs().map(|(_, lab)| lab.authority().ca().root_pem()).collect();
        let inspection = self.workstation.trusts_inspection().then_some(inspection.as_str());
        let public = self.lab.internet().map(crate::simulation::Internet::root_pem);
        let trust =
            self.lab.files().for_client(inspection, public).map_err(|error| step_error(error.to_string(), None))?;
        Ok(Surroundings { proxy, no_proxy: None, trust: Some(trust) })
    }
}

/// The records of one journal that come after the first `before`, once they are complete or the time is over.
async fn records_since(journal: &Journal, before: u64, deadline: Instant) -> Vec<Arc<ConnectionRecord>> {
    let mut events = journal.subscribe();
    loop {
        let mut records = journal.records(true);
        records.retain(|record| record.id > before);
        let complete = records.iter().all(|record| record.outcome.is_some());
        if complete || timeout_at(deadline, events.recv()).await.is_err() {
            return records;
        }
    }
}

pub(super) fn said(label: &str, text: impl Into<String>) -> Done {
    Done { said: vec![Line::new(label, text)], ..Done::default() }
}
