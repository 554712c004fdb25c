//! Steps that change something: rules, the workstation, an organization, a middlebox.

use super::perform::{Done, ENDED, said};
use super::setup::{check_pattern, enroll_link};
use super::{Stage, step_error};
use crate::lab::Toggled;
use crate::net::Host;
use crate::policy::{Action, Change, OnChange, RuleSpec, Selector};
use crate::proxy::DecideAt;
use crate::report::{Line, StepError};
use crate::scenario::format::{BypassChange, CredentialsChange, EnrollLink, Placed, WorkstationChange};
use crate::scenario::words::By;

/// Makes a change of a pattern.
type Make<'m> = &'m (dyn Fn(&str) -> Change + Sync);

impl Stage<'_> {
    /// Changes rules. Where a pattern is expected to be `rejected`, those that the dialect refuses are reported instead
    /// of ending the step.
    pub(super) async fn bypass(&mut self, change: &BypassChange, may_reject: bool) -> Result<Done, StepError> {
        let mut done = Done::default();
        let remove = |text: &str| Change::Remove(Selector::new(text));
        let off = |text: &str| Change::Disable(Selector::new(text));
        let on = |text: &str| Change::Enable(Selector::new(text));
        let at = change.at;
        let add = |text: &str| {
            let rule = RuleSpec { clients: change.clients.clone(), ..RuleSpec::new(text, Action::Bypass) };
            Change::Add { rule, at }
        };
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
                let made = make(&pattern.value);
                if matches!(made, Change::Add { .. }) {
                    match self.lab_of(change.of).policy().current().dialect().parse(&pattern.value) {
                        Ok(read) => done.warnings.extend(read.warnings().iter().map(|it| match &it.mend {
                            Some(mend) => format!("`{}`: {}; {mend}", pattern.value, it.text),
                            None => format!("`{}`: {}", pattern.value, it.text),
                        })),
                        Err(error) if may_reject => {
                            let mend = error.mend.as_ref().map_or(String::new(), |mend| format!("; {mend}"));
                            done.said.push(Line::new("rejected", format!("`{}`: {error}{mend}", pattern.value)));
                            done.rejected.push(error.to_string());
                            continue;
                        }
                        Err(_) => {}
                    }
                }
                let toggled = self.toggle(change.of, pattern, made)?;
                let affected = match toggled.affected.len() {
                    0 => String::new(),
                    1 => "; 1 open connection is ended for it".to_owned(),
                    n => format!("; {n} open connections are ended for it"),
                };
                let text = format!("{word} `{}` (epoch {}{affected})", pattern.value, toggled.applied.epoch);
                done.said.push(Line::new(if change.of == By::Gateway { "gateway" } else { "policy" }, text));
                // The next step finds the world as the change has made it: what is idle is closed by then.
                self.lab_of(change.of).journal().settle_these(&toggled.affected, ENDED).await;
            }
        }
        Ok(done)
    }

    fn toggle(&self, of: By, pattern: &Placed<String>, change: Change) -> Result<Toggled, StepError> {
        let document = &self.scenario.document;
        if matches!(change, Change::Add { .. }) {
            let dialect = self.lab_of(of).policy().current().dialect();
            check_pattern(document, dialect, pattern).map_err(|error| {
                step_error(
                    format!("{}:{}: {}", document.name(), document.line_column(pattern.span.start).0, error.message()),
                    error.help().map(ToOwned::to_owned),
                )
            })?;
        }
        let line = document.line_column(pattern.span.start).0;
        self.lab_of(of).change(change).map_err(|error| step_error(format!("{}:{line}: {error}", document.name()), None))
    }

    pub(super) fn change_workstation(&mut self, change: &WorkstationChange) -> Result<Done, StepError> {
        let mut done = Done::default();
        if let Some(trusted) = change.trust_inspection_ca {
            self.trust(trusted);
            let text = if trusted { "trusts the inspection CA" } else { "does not trust the inspection CA" };
            done.said.push(Line::new("workstation", text));
        }
        if let Some(setting) = change.proxy {
            self.settings.proxy = setting;
            done.said.push(Line::new("workstation", format!("proxy {setting}")));
        }
        if let Some(setting) = change.service_proxy {
            self.settings.service_proxy = setting;
            let text = match setting {
                Some(setting) => format!("proxy {setting} for services"),
                None => "services use the proxy setting of the user".to_owned(),
            };
            done.said.push(Line::new("workstation", text));
        }
        if let Some(pac) = &change.pac {
            self.settings.pac = Some(pac.clone());
            done.said.push(Line::new("workstation", "another PAC file"));
        }
        self.apply_settings().map_err(|error| step_error(error.to_string(), None))?;
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
        Ok(done)
    }

    pub(super) fn change_middlebox(
        &mut self,
        by: By,
        on_change: Option<OnChange>,
        decide_at: Option<DecideAt>,
    ) -> Done {
        let lab = match (by, &mut self.gateway) {
            (By::Gateway, Some(gateway)) => gateway,
            (By::Proxy, _) | (By::Gateway, None) => &mut self.lab,
        };
        let mut done = Done::default();
        let label = if by == By::Gateway { "gateway" } else { "middlebox" };
        if let Some(on_change) = on_change {
            lab.set_on_change(on_change);
            let text = format!("open connections that a change concerns: {}", on_change.as_str());
            done.said.push(Line::new(label, text));
        }
        if let Some(decide_at) = decide_at {
            lab.set_decide_at(decide_at);
            let when = match decide_at {
                DecideAt::Request => "before the client's hello is read",
                DecideAt::Hello => "once the client's hello is read",
                DecideAt::Certificate => "once the origin's certificate is known",
            };
            done.said.push(Line::new(label, format!("decides {when}")));
        }
        done
    }

    pub(super) fn organization(&self, host: &Placed<Host>, link: &EnrollLink) -> Result<Done, StepError> {
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
