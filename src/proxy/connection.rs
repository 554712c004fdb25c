//! What happens to a connection once it is known where it wants to go: the policy decides, and its bytes are passed
//! through, or its TLS is inspected.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::debug;

use super::client::Client;
use super::inbound::{ACCESS_DENIED, Inbound, Tunnel};
use super::intercept::{self, Legs};
use super::peek::{Peeked, peek};
use super::respond::Answer;
use super::tunnel::{self, Ended};
use super::upstream::UpstreamError;
use super::{DecideAt, Shared};
use crate::journal::{
    ClientCertificate, DecisionFacts, DecisionKind, End, Outcome, OwnedSubjects, Pen, Recording, Told, Via,
};
use crate::net::{ClientHello, Destination, DialError, Dialled, Host, LOOP_HINT, Tap};
use crate::policy::{Action, Asked, Decision, Need, Sni, Subjects};

/// Notes where a client wants to go.
pub(super) fn arrive(pen: &Pen, via: Via, destination: Destination, typed: Option<String>) -> Inbound {
    let client = pen.note(|record| {
        record.via = Some(via);
        record.destination = Some(destination.clone());
        record.client.address.ip().to_canonical()
    });
    pen.stage(|stages| &mut stages.requested);
    Inbound { destination, typed, client }
}

/// What can be said against a tunnel before anything of it is seen, in the words of the door that it came by.
pub(super) fn admit(shared: &Shared, recording: &Recording, inbound: &Inbound) -> Result<(), Answer> {
    if is_own_port_by_name(shared, &inbound.destination) {
        return Err(Answer::own_port(&inbound.destination.to_string()));
    }
    let early = shared.policy.decide(&subjects(inbound, Sni::NotYet, None, None));
    if let Asked::Decided(decision) = &early
        && decision.action == Action::Block
    {
        let address = inbound.destination.host.ip().filter(|_| inbound.typed.is_none());
        note_decision(recording, owned(inbound, None, false, address, None), decision, decision.action.into());
        shared.policy.count_hit(decision);
        return Err(Answer::blocked(&inbound.destination.host.to_string(), &decision.why.to_string()));
    }
    Ok(())
}

/// Whether a `CONNECT` to this host will be bypassed, as far as that can be told before the client's hello: the host is
/// asked about with the SNI assumed to be the same. Where the policy needs to know more, it will not.
pub(super) fn is_bypassed_by_name(shared: &Shared, inbound: &Inbound) -> bool {
    let sni = match inbound.typed.as_deref() {
        Some(name) if inbound.destination.host.name().is_some() => Sni::Name(name),
        Some(_) | None => Sni::Absent,
    };
    let asked = shared.policy.decide(&subjects(inbound, sni, None, None));
    matches!(asked, Asked::Decided(decision) if decision.action == Action::Bypass)
}

/// What can be said against plain requests to a destination.
pub(super) async fn admit_plain(shared: &Arc<Shared>, recording: &Recording, inbound: &Inbound) -> Result<(), Answer> {
    if is_own_port_by_name(shared, &inbound.destination) {
        return Err(Answer::own_port(&inbound.destination.to_string()));
    }
    if decide(shared, recording, inbound, None).await == Action::Block {
        let why = recording.note(|record| record.decision.as_ref().map(|decision| decision.why.clone()));
        return Err(Answer::blocked(&inbound.destination.host.to_string(), &why.unwrap_or_default()));
    }
    Ok(())
}

/// What becomes of a tunnel, once the client's first words are there and the policy has decided.
pub(super) enum Route {
    /// Its bytes are passed on to here as they are.
    Through(Client, Dialled, Outcome),
    /// Passed through, and watched whether the client uses the genuine certificate, for what this connection left open.
    Probe(Client, Dialled),
    /// Its TLS is taken apart.
    Inspect(Client, Box<ClientHello>),
    /// Both legs of an inspected connection stand.
    Exchange(Box<Legs>),
    /// Nothing more: it has ended.
    Ended,
}

/// Carries a tunnel to its end.
pub(super) async fn carry(shared: &Arc<Shared>, tunnel: Tunnel) {
    let Tunnel { client, recording, inbound, end: _end } = tunnel;
    // Each stage has a box of its own, and gives its memory back when the next begins: the last one is where most of a
    // connection's life is spent.
    let mut route = Box::pin(route(shared, client, &recording, &inbound)).await;
    if let Route::Inspect(client, hello) = route {
        route = Box::pin(intercept::open(shared, client, &recording, &inbound, hello)).await;
    }
    match route {
        Route::Through(client, origin, outcome) => {
            Box::pin(through(shared, &recording, client, origin, outcome)).await;
        }
        Route::Probe(client, origin) => Box::pin(probe(shared, client, &recording, origin)).await,
        Route::Exchange(legs) => Box::pin(intercept::exchange(shared, &recording, *legs)).await,
        Route::Inspect(..) | Route::Ended => {}
    }
}

async fn route(shared: &Arc<Shared>, mut client: Client, recording: &Recording, inbound: &Inbound) -> Route {
    let (drain, kill) = (&recording.live().drain, &recording.live().kill);
    let peeked = tokio::select! {
        peeked = peek(&mut client, || dial(shared, &inbound.destination)) => peeked,
        () = drain.cancelled() => {
            recording.finish(Outcome::Unused, End::middlebox("drained"));
            return Route::Ended;
        }
        () = kill.cancelled() => {
            recording.finish(Outcome::Unused, End::middlebox("ended"));
            return Route::Ended;
        }
    };
    recording.stage(|stages| &mut stages.hello);
    match peeked {
        Peeked::Tls(hello) => {
            recording.note(|record| record.hello = Some((*hello).clone()));
            tls(shared, client, recording, inbound, hello).await
        }
        Peeked::NotTls(why) => {
            if let Some(why) = why {
                recording.note(|record| record.notes.push(format!("not TLS: {why}")));
            }
            plain(shared, client, recording, inbound, None).await
        }
        Peeked::ServerFirst(origin) => {
            recording.note(|record| record.notes.push("the origin speaks first".to_owned()));
            plain(shared, client, recording, inbound, Some(origin)).await
        }
        Peeked::Left { bytes, how } => {
            let outcome = if bytes == 0 { Outcome::Unused } else { Outcome::GaveUp };
            recording.finish(outcome, End::client(how));
            Route::Ended
        }
        Peeked::Unreachable(error) => {
            fail_unreached(shared, &mut client, recording, &error);
            Route::Ended
        }
    }
}

async fn tls(
    shared: &Arc<Shared>,
    mut client: Client,
    recording: &Recording,
    inbound: &Inbound,
    hello: Box<ClientHello>,
) -> Route {
    if let (Some(sni), Some(asked)) = (&hello.sni, inbound.destination.host.name())
        && !sni.eq_ignore_ascii_case(asked)
    {
        recording.note(|record| record.notes.push(format!("the client asked for {asked}, its hello for {sni}")));
    }
    let action = decide(shared, recording, inbound, Some(&hello)).await;
    if action == Action::Inspect
        && shared.config.probe
        && let Some(open) = recording.probe()
    {
        note_probe(recording, open);
        return match dial(shared, &inbound.destination).await {
            Ok(origin) => {
                note_origin_address(recording, &origin);
                Route::Probe(client, origin)
            }
            Err(error) => {
                fail_unreached(shared, &mut client, recording, &error);
                Route::Ended
            }
        };
    }
    match action {
        Action::Block => {
            let _ = client.write_all(&ACCESS_DENIED).await;
            recording.note(|record| record.told = Some(Told::Alert("access_denied")));
            recording.finish(Outcome::Blocked, End::middlebox("blocked by policy"));
            client.linger().await;
            Route::Ended
        }
        Action::Bypass => bypass(shared, client, recording, inbound).await,
        Action::Inspect => {
            shared.owners.ask(recording);
            Route::Inspect(client, hello)
        }
    }
}

fn note_probe(recording: &Recording, open: u64) {
    recording.note(|record| {
        let why = format!("probe: bypassed once, because connection {open} left open why the client refused");
        record.notes.push(why.clone());
        if let Some(decision) = &mut record.decision {
            (decision.action, decision.why) = (DecisionKind::Bypass, why);
        }
    });
}

/// Passes one connection through that would be inspected, and sees whether the client uses the genuine certificate.
async fn probe(shared: &Shared, client: Client, recording: &Recording, mut origin: Dialled) {
    let (mut client, tap) = Tap::new(client);
    let Ended { end, clean } = tunnel::run(recording.live(), shared.config.limits.idle, &mut client, &mut origin).await;
    if tap.trace().carried_data() {
        recording.note(|record| record.notes.push("probe: the client used the genuine certificate".to_owned()));
        recording.passed();
    } else {
        recording.note(|record| record.notes.push("probe: the client sent no request past us either".to_owned()));
    }
    recording.finish(Outcome::Bypassed, end);
    if !clean {
        client.into_inner().reset();
        origin.reset();
    }
}

/// Reaches the destination that a client's TLS is passed through to.
pub(super) async fn bypass(shared: &Shared, mut client: Client, recording: &Recording, inbound: &Inbound) -> Route {
    let origin = tokio::select! {
        origin = dial(shared, &inbound.destination) => origin,
        () = client.left() => {
            recording.finish(Outcome::GaveUp, End::client("left before the origin was reached"));
            return Route::Ended;
        }
        () = recording.live().kill.cancelled() => {
            killed(&mut client, recording);
            return Route::Ended;
        }
    };
    match origin {
        Ok(origin) => {
            note_origin_address(recording, &origin);
            Route::Through(client, origin, Outcome::Bypassed)
        }
        Err(error) => {
            fail_unreached(shared, &mut client, recording, &error);
            Route::Ended
        }
    }
}

/// Finds out where bytes go that are no TLS, recorded as such; blocked hosts were refused before the tunnel where they
/// could be.
async fn plain(
    shared: &Arc<Shared>,
    mut client: Client,
    recording: &Recording,
    inbound: &Inbound,
    origin: Option<Dialled>,
) -> Route {
    if decide(shared, recording, inbound, None).await == Action::Block {
        recording.note(|record| record.told = Some(Told::Reset));
        recording.finish(Outcome::Blocked, End::middlebox("blocked by policy"));
        client.reset();
        return Route::Ended;
    }
    let origin = match origin {
        Some(origin) => origin,
        None => tokio::select! {
            origin = dial(shared, &inbound.destination) => match origin {
                Ok(origin) => origin,
                Err(error) => {
                    fail_unreached(shared, &mut client, recording, &error);
                    return Route::Ended;
                }
            },
            () = recording.live().kill.cancelled() => {
                killed(&mut client, recording);
                return Route::Ended;
            }
        },
    };
    note_origin_address(recording, &origin);
    Route::Through(client, origin, Outcome::Plain)
}

/// Passes the bytes of both sides; a tunnel that did not end in order ends with a reset on both.
async fn through(shared: &Shared, recording: &Recording, mut client: Client, mut origin: Dialled, outcome: Outcome) {
    let (live, idle) = (recording.live(), shared.config.limits.idle);
    let Ended { end, clean } = tunnel::run(live, idle, &mut client, &mut origin).await;
    let came_back = origin.came_back();
    if !clean {
        client.reset();
        origin.reset();
    } else if end.by == "middlebox" {
        // The client's own end has not been answered yet; over TLS and HTTP/2 silence is not an end.
        let _ = timeout(Duration::from_secs(1), client.shutdown()).await;
    }
    if came_back.is_known() {
        let end = format!("the connection came back to this proxy: {LOOP_HINT}");
        return recording.finish(Outcome::Failed, End::middlebox(end));
    }
    recording.finish(outcome, end);
}

/// Asks the policy until it decides, fetching what it needs; the policy in force at the last asking counts.
async fn decide(shared: &Arc<Shared>, recording: &Recording, inbound: &Inbound, hello: Option<&ClientHello>) -> Action {
    let at = **shared.decide_at.load();
    let sni = match hello {
        None => Sni::NotTls,
        Some(ClientHello { sni: Some(name), .. }) if at != DecideAt::Request => Sni::Name(name),
        Some(_) => Sni::Absent,
    };
    let (mut address, mut certificate): (Option<IpAddr>, Option<Vec<String>>) = (None, None);
    if at == DecideAt::Certificate && hello.is_some() {
        certificate = Some(intercept::certificate_names(shared, inbound, hello).await);
    }
    if inbound.typed.is_none() {
        address = inbound.destination.host.ip();
    }
    loop {
        let asked = shared.policy.decide(&subjects(inbound, sni, address, certificate.as_deref()));
        let decision = match asked {
            Asked::Decided(decision) => decision,
            Asked::Needs(Need::Address) if address.is_none() => {
                let resolved = shared.upstream.dialer().resolve(&inbound.destination).await;
                let first = resolved.ok().and_then(|found| found.first().map(std::net::SocketAddr::ip));
                address = first.or(Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
                continue;
            }
            Asked::Needs(Need::OriginCertificate) if certificate.is_none() => {
                certificate = Some(intercept::certificate_names(shared, inbound, hello).await);
                continue;
            }
            // All there is to know is known, and the policy still asks: what it would do without a rule is safe.
            Asked::Needs(_) => return shared.policy.current().default_action(),
        };
        let mut action = decision.action;
        let host = name_of(inbound, hello);
        if action == Action::Inspect && hello.is_some() && !shared.authority.permits(&host) {
            recording.note(|record| {
                record.notes.push(format!("bypassed: the inspection CA is constrained and may not sign for {host}"));
            });
            action = Action::Bypass;
        }
        let kind = match (hello, action) {
            (None, Action::Inspect | Action::Bypass) => DecisionKind::Plain,
            _ => action.into(),
        };
        let name = match sni {
            Sni::Name(name) => Some(name),
            Sni::Absent | Sni::NotTls | Sni::NotYet => None,
        };
        let owned = owned(inbound, name, hello.is_some(), address, certificate.clone());
        note_decision(recording, owned, &decision, kind);
        // A change between the asking and the noting would have missed this connection: ask again.
        if shared.policy.current().epoch() == decision.epoch {
            shared.policy.count_hit(&decision);
            debug!(action = %kind, why = %decision.why, "decided");
            return action;
        }
    }
}

/// The name that is asked for, forged and verified: the SNI where it is a host, else the host asked for.
pub(super) fn name_of(inbound: &Inbound, hello: Option<&ClientHello>) -> Host {
    let sni = hello.and_then(|hello| hello.sni.as_deref()).and_then(|name| Host::parse(name).ok());
    sni.unwrap_or_else(|| inbound.destination.host.clone())
}

fn subjects<'a>(
    inbound: &'a Inbound,
    sni: Sni<'a>,
    address: Option<IpAddr>,
    certificate: Option<&'a [String]>,
) -> Subjects<'a> {
    Subjects {
        connect_host: inbound.typed.as_deref(),
        port: inbound.destination.port,
        sni,
        address,
        certificate,
        client: Some(inbound.client),
    }
}

fn owned(
    inbound: &Inbound,
    sni: Option<&str>,
    tls: bool,
    address: Option<IpAddr>,
    certificate: Option<Vec<String>>,
) -> OwnedSubjects {
    OwnedSubjects {
        connect_host: inbound.typed.clone(),
        port: inbound.destination.port,
        sni: sni.map(ToOwned::to_owned),
        tls,
        address,
        certificate,
        client: Some(inbound.client),
    }
}

fn note_decision(recording: &Recording, owned: OwnedSubjects, decision: &Decision, action: DecisionKind) {
    let facts = DecisionFacts {
        action,
        rule: decision.rule.as_ref().map(|rule| rule.pattern.to_string()),
        rule_id: decision.rule.as_ref().map(|rule| rule.id.to_string()),
        subject: decision.subject.as_ref().map(|subject| format!("{} {}", subject.kind, subject.text)),
        why: decision.why.to_string(),
        standing: decision.standing,
        assumptions: decision.assumptions().iter().map(|assumption| assumption.assumed.to_string()).collect(),
        epoch: decision.epoch,
    };
    recording.decided(owned, facts);
}

/// Connects to a destination in the way that is chosen for it, but never to this program itself.
pub(super) async fn dial(shared: &Shared, destination: &Destination) -> Result<Dialled, UpstreamError> {
    Ok(shared.upstream.dialer().dial(destination).await?)
}

/// Whether a destination is this program by its literal text; what names resolve to is seen when they are dialled.
fn is_own_port_by_name(shared: &Shared, destination: &Destination) -> bool {
    let here = match &destination.host {
        Host::Ip(ip) => ip.is_loopback() || ip.is_unspecified() || *ip == shared.address.ip(),
        Host::Name(name) => &**name == "localhost",
    };
    here && shared.own_ports().any(|port| port == destination.port)
}

pub(super) fn note_origin_address(pen: &Pen, origin: &Dialled) {
    pen.note(|record| {
        let facts = record.origin.get_or_insert_default();
        (facts.by, facts.address) = (Some(origin.by().clone()), Some(origin.peer()));
    });
    pen.stage(|stages| &mut stages.connected);
}

/// Notes which way led to no connection, and why.
pub(super) fn note_unreached(shared: &Shared, recording: &Recording, error: &UpstreamError) {
    recording.note(|record| {
        let by = record.destination.as_ref().map(|destination| shared.upstream.dialer().way(destination));
        let facts = record.origin.get_or_insert_default();
        facts.by = by;
        facts.fault = Some(error.to_string());
        if let UpstreamError::ClientCertificate { given, .. } = error {
            facts.client_certificate = Some(*given);
            record.notes.push(client_certificate_note(*given).to_owned());
        }
    });
}

/// What is remarked of an origin that asks for a client certificate.
pub(super) fn client_certificate_note(given: ClientCertificate) -> &'static str {
    match given {
        ClientCertificate::Missing => {
            "the origin asks for a client certificate, which inspection cannot present: bypass it, or give one with \
             --client-cert"
        }
        ClientCertificate::Presented => "the origin asks for a client certificate, and got the one given for its host",
    }
}

/// Inside a tunnel nothing can be said in HTTP: an origin that cannot be reached is a reset.
fn fail_unreached(shared: &Shared, client: &mut Client, recording: &Recording, error: &UpstreamError) {
    let own_port = matches!(error, UpstreamError::Dial(DialError::OwnPort(_)));
    let outcome = if own_port { Outcome::Blocked } else { Outcome::Failed };
    note_unreached(shared, recording, error);
    recording.note(|record| record.told = Some(Told::Reset));
    recording.finish(outcome, End::middlebox(error.to_string()));
    client.reset();
}

/// Ended by a change of policy, or with the proxy, before anything came of it.
pub(super) fn killed(client: &mut Client, recording: &Recording) {
    recording.note(|record| record.told = Some(Told::Reset));
    recording.finish(Outcome::Unused, End::middlebox("ended"));
    client.reset();
}
