//! What went well and still deserves a remark: it works for a reason that may not last, or on another path.

use super::Stage;
use super::perform::Done;
use crate::journal::DecisionKind;
use crate::net::Host;
use crate::simulation::{Alpn, CallResult, EnrollOutcome, HttpVersion};

pub(super) fn warnings(stage: &Stage<'_>, done: &Done) -> Vec<String> {
    let mut warnings = inspected_and_not_pinned(done);
    warnings.extend(version_lost(stage, done));
    warnings.extend(other_path(stage, done));
    warnings
}

fn was_inspected(done: &Done, host: &Host) -> bool {
    let host = host.to_string();
    done.records.iter().any(|seen| {
        let decision = seen.record.decision.as_ref().map(|decision| decision.action);
        seen.record.host().as_deref() == Some(host.as_str()) && decision == Some(DecisionKind::Inspect)
    })
}

/// Hosts of an enrollment that are inspected and work all the same.
fn inspected_and_not_pinned(done: &Done) -> Vec<String> {
    let Some(enrollment) = done.enrollment.as_ref().filter(|it| it.outcome == EnrollOutcome::Enrolled) else {
        return Vec::new();
    };
    let mut warnings = Vec::new();
    for call in &enrollment.calls {
        let Some(host) = call.host.as_ref().filter(|host| !call.pinned && was_inspected(done, host)) else { continue };
        let warning = format!(
            "{host} is inspected: it works because nothing pins it and the workstation trusts the inspection CA"
        );
        if matches!(call.result, CallResult::Ok { .. }) && !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings
}

/// HTTP/2 that an origin offers, and inspection takes away.
fn version_lost(stage: &Stage<'_>, done: &Done) -> Option<String> {
    let visit = done.visit.as_ref().filter(|visit| visit.version == Some(HttpVersion::Http1))?;
    let offers = stage.scenario.origin(&visit.host)?.alpn.as_ref().is_none_or(|alpn| alpn.contains(&Alpn::H2));
    (offers && was_inspected(done, &visit.host))
        .then(|| format!("{} speaks HTTP/2, and the middlebox leaves HTTP/1.1 of it", visit.host))
}

/// HTTP/3 that an origin offers: it goes by UDP, which an HTTP proxy does not see.
fn other_path(stage: &Stage<'_>, done: &Done) -> Option<String> {
    let visit = done.visit.as_ref()?;
    let offer = stage.scenario.origin(&visit.host)?.alt_svc.as_ref().filter(|offer| {
        offer.to_str().is_ok_and(|offer| offer.split(',').any(|one| one.trim_start().starts_with("h3")))
    })?;
    let host = &visit.host;
    match &visit.alt_svc {
        Some(seen) if seen.as_bytes() == offer.as_bytes() => Some(format!(
            "{host} offers HTTP/3 (Alt-Svc: {seen}): a browser that takes it goes there by QUIC, around the middlebox, \
             where UDP port 443 is open; this browser does not"
        )),
        None if was_inspected(done, host) => {
            Some(format!("the middlebox takes the offer of HTTP/3 out of {host}'s answers"))
        }
        _ => None,
    }
}
