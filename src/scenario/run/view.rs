//! What a step brought, told for a report: the hosts, the decisions, the certificates, and what would mend it.

use super::check::{self, client_outcome};
use super::perform::{Done, Visited};
use super::{Seen, Stage};
use crate::journal::{ConnectionRecord, DecisionKind, Told};
use crate::net::Host;
use crate::policy::{Action, Sni, Subjects};
use crate::report::{CallView, CertView, ClientView, ConnectionView, Line, StepReport};
use crate::scenario::words::By;
use crate::simulation::{Call, CallResult, CertificateSeen, Enrollment, FastPassSignIn, Fault, RefusalCause};

/// Fills a report with what was done.
pub(super) fn fill(report: &mut StepReport, stage: &Stage<'_>, done: Done) {
    report.connections = connections(&done);
    report.mends = mends(stage, &done);
    report.said = done.said;
    if let Some(visit) = &done.visit {
        report.said.push(Line::new("browser", browser_says(visit)));
    }
    if let Some(sign_in) = &done.fast_pass {
        report.said.extend(fast_pass_says(sign_in));
    }
    report.said.extend(done.warnings.iter().map(|warning| Line::new("warning", warning.as_str())));
    report.client = done.enrollment.map(client);
}

fn browser_says(visit: &Visited) -> String {
    match (&visit.error, visit.status) {
        (Some(fault), _) => format!("{}: {fault}", visit.host),
        (None, Some(status)) => format!("{} answers {status}", visit.host),
        (None, None) => format!("{} does not answer", visit.host),
    }
}

fn fast_pass_says(sign_in: &FastPassSignIn) -> Vec<Line> {
    let mut said = vec![Line::new(
        "browser",
        match (&sign_in.error, sign_in.page) {
            (Some(fault), _) => format!("the sign-in page does not open: {fault}"),
            (None, status) => format!("the sign-in page answers {}", status.unwrap_or_default()),
        },
    )];
    for probe in &sign_in.probes {
        let what = match (&probe.error, probe.status) {
            (Some(fault), _) => fault.to_string(),
            (None, status) => format!("answered {}", status.unwrap_or_default()),
        };
        said.push(Line::new("probe", format!("http://localhost:{}/probe: {what}", probe.port)));
    }
    said.push(Line::new("fast pass", check::fast_pass_outcome(sign_in).to_string()));
    said
}

fn client(enrollment: Enrollment) -> ClientView {
    ClientView {
        outcome: client_outcome(enrollment.outcome).to_string(),
        shown: enrollment.shown,
        log: enrollment.log,
        calls: enrollment.calls.iter().map(call_view).collect(),
    }
}

fn call_view(call: &Call) -> CallView {
    let (result, ok) = match &call.result {
        CallResult::Ok { status } => (status.to_string(), true),
        CallResult::Refused { refusal } => (in_words(refusal.cause).to_owned(), false),
        CallResult::Failed { reason, .. } => (reason.clone(), false),
    };
    let name = serde_json::to_value(call.name).ok().and_then(|name| name.as_str().map(|name| name.replace('-', " ")));
    CallView { name: name.unwrap_or_default(), request: format!("{} {}", call.method, call.url), result, ok }
}

fn in_words(cause: RefusalCause) -> &'static str {
    match cause {
        RefusalCause::UntrustedCa => "the workstation does not trust the CA that signed the certificate",
        RefusalCause::WrongHost => "the certificate is for other hosts",
        RefusalCause::Expired => "the certificate has expired",
        RefusalCause::NotYetValid => "the certificate is not valid yet",
        RefusalCause::PinMismatch => "the chain is trusted, but the certificate's key is none of the pinned ones",
        RefusalCause::RevocationUnknown => "nobody could be asked whether the certificate has been revoked",
        RefusalCause::Policy => "the certificate breaks a rule of certificate validation",
    }
}

/// One view for each connection that says something new: a client opens one for each call, most of them alike.
fn connections(done: &Done) -> Vec<ConnectionView> {
    let mut calls: Vec<Option<&Call>> = done.enrollment.iter().flat_map(|it| &it.calls).map(Some).collect();
    let mut views: Vec<ConnectionView> = Vec::new();
    for Seen { by, record } in &done.records {
        let host = record.host();
        let call =
            calls.iter_mut().find(|call| call.is_some_and(|call| call.host.as_ref().map(Host::to_string) == host));
        let call = call.and_then(Option::take);
        let seen = call
            .and_then(|call| call.certificate.as_ref())
            .or_else(|| done.visit.as_ref().and_then(|visit| visit.certificate.as_ref()));
        push(&mut views, view(*by, record, seen));
    }
    // Calls that went around the middlebox.
    for call in calls.into_iter().flatten() {
        let Some((host, seen)) = call.host.as_ref().zip(call.certificate.as_ref()) else { continue };
        push(&mut views, around(host, seen));
    }
    if let (true, Some(visit)) = (done.records.is_empty(), &done.visit)
        && let Some(seen) = &visit.certificate
    {
        push(&mut views, around(&visit.host, seen));
    }
    views
}

fn push(views: &mut Vec<ConnectionView>, view: ConnectionView) {
    let same = |other: &ConnectionView| {
        use ConnectionView as View;
        let key = |view: &View| {
            let pin = view.seen.as_ref().map(|seen| seen.pin);
            let View { host, by, decision, rule, outcome, .. } = view;
            (host.clone(), by.clone(), decision.clone(), rule.clone(), outcome.clone(), pin)
        };
        key(other) == key(&view)
    };
    match views.iter_mut().find(|other| same(other)) {
        // The pinned half of a client says more of the same connection than its browser.
        Some(known) if known.expected_pins.is_empty() => known.expected_pins = view.expected_pins,
        Some(_) => {}
        None => views.push(view),
    }
}

fn view(by: By, record: &ConnectionRecord, seen: Option<&CertificateSeen>) -> ConnectionView {
    let mut view = ConnectionView::of(record);
    view.by = (by == By::Gateway).then(|| by.to_string());
    if let Some(seen) = seen {
        view.seen = Some(cert_view(seen));
        view.expected_pins.clone_from(&seen.expected_pins);
    }
    view
}

fn around(host: &Host, seen: &CertificateSeen) -> ConnectionView {
    ConnectionView {
        host: host.to_string(),
        outcome: "direct".to_owned(),
        why: Some("the workstation went around the middlebox".to_owned()),
        seen: Some(cert_view(seen)),
        expected_pins: seen.expected_pins.clone(),
        ..ConnectionView::default()
    }
}

fn cert_view(seen: &CertificateSeen) -> CertView {
    CertView { issuer: seen.issuer.clone(), pin: seen.facts.pin }
}

// ---- what would mend it -------------------------------------------------------------------------------------------

fn mends(stage: &Stage<'_>, done: &Done) -> Vec<String> {
    if let Some(call) = done.enrollment.as_ref().and_then(Enrollment::failed) {
        return call_mends(stage, done, call);
    }
    if let Some(FastPassSignIn { answered: false, probes, .. }) = &done.fast_pass
        && done.records.iter().any(|seen| seen.record.host().as_deref() == Some("localhost"))
    {
        let asked = probes.len();
        return vec![format!(
            "let the PAC file return DIRECT for localhost: {asked} probes went to the proxy, which is another machine"
        )];
    }
    let Some(visit) = &done.visit else { return Vec::new() };
    match &visit.error {
        Some(Fault::Refused(refusal)) => refusal_mends(stage, done, &visit.host, None, refusal.cause),
        Some(fault) => fault_mends(fault),
        None => Vec::new(),
    }
}

fn call_mends(stage: &Stage<'_>, done: &Done, call: &Call) -> Vec<String> {
    match (&call.result, &call.host) {
        (CallResult::Refused { refusal }, Some(host)) => {
            let suffix = call.certificate.as_ref().and_then(|seen| seen.pinned_suffix.as_deref());
            refusal_mends(stage, done, host, suffix, refusal.cause)
        }
        (CallResult::Failed { .. }, _) => {
            let told = done.records.last().and_then(|seen| seen.record.told.clone());
            match told {
                Some(Told::Status(407)) => fault_mends(&Fault::ProxyAuthentication { tried: false }),
                Some(Told::Status(403) | Told::Alert(_)) => vec!["change the rule that blocks it".to_owned()],
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

fn refusal_mends(
    stage: &Stage<'_>,
    done: &Done,
    host: &Host,
    suffix: Option<&str>,
    cause: RefusalCause,
) -> Vec<String> {
    if cause == RefusalCause::RevocationUnknown {
        return vec!["let the OCSP and CRL hosts of the certificate through, over plain HTTP on port 80".to_owned()];
    }
    let text = host.to_string();
    let seen = done.records.iter().rev().find(|seen| seen.record.host().as_deref() == Some(text.as_str()));
    let decided = |seen: &&Seen| seen.record.decision.as_ref().map(|decision| decision.action);
    let Some(seen) = seen.filter(|seen| decided(seen) == Some(DecisionKind::Inspect)) else {
        return vec![format!("nothing at the middlebox: {host} itself shows that certificate")];
    };
    let pattern = suffix.map_or_else(|| host.to_string(), |suffix| format!("*{suffix}"));
    let whom = if seen.by == By::Gateway { " at the gateway" } else { "" };
    let mut mends = vec![format!("bypass `{pattern}`{whom}")];
    if cause == RefusalCause::UntrustedCa {
        mends.push(match suffix {
            Some(_) => "installing the inspection CA does not help: the client pins this domain".to_owned(),
            None => "or install the inspection CA on the workstation".to_owned(),
        });
    }
    mends.extend(near_misses(stage, seen));
    mends
}

/// Why the bypass rules that there are did not apply.
fn near_misses(stage: &Stage<'_>, seen: &Seen) -> Vec<String> {
    let record = &seen.record;
    let destination = record.destination.as_ref();
    let named = destination.filter(|_| seen.by == By::Proxy).map(|destination| destination.host.to_string());
    let sni = record.hello.as_ref().and_then(|hello| hello.sni.as_deref());
    let explanation = stage.lab_of(seen.by).policy().current().explain(&Subjects {
        connect_host: named.as_deref(),
        port: destination.map_or(443, |destination| destination.port),
        sni: sni.map_or(Sni::Absent, Sni::Name),
        address: destination.and_then(|destination| destination.host.ip()),
        certificate: None,
        client: Some(record.client.address.ip()),
    });
    let bypasses = explanation.rules.iter().filter(|explained| explained.rule.action == Action::Bypass);
    bypasses.take(3).map(|it| format!("the rule `{}` {}", it.rule.pattern, it.verdict)).collect()
}

fn fault_mends(fault: &Fault) -> Vec<String> {
    match fault {
        Fault::ProxyAuthentication { tried: false } => vec![
            "let the proxy pass these hosts without authentication".to_owned(),
            "or give the workstation credentials for the proxy".to_owned(),
        ],
        Fault::ProxyAuthentication { tried: true } => vec!["mend the workstation's proxy credentials".to_owned()],
        Fault::ProxyUnreachable { .. } => vec!["start the proxy, or turn it off on the workstation".to_owned()],
        _ => Vec::new(),
    }
}
