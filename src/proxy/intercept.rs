//! Inspection: the origin's TLS first, then a certificate forged after it, then the client's TLS, then HTTP.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::server::{ClientHello as RustlsHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::client::TlsStream as ClientTls;
use tokio_rustls::server::TlsStream;
use tracing::debug;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::client::Client;
use super::connection::{Route, bypass, client_certificate_note, dial, name_of, note_origin_address, note_unreached};
use super::exchange::{
    Admission, Driver, Gate, Http2Origin, Http2Relay, Relay, RelayEnd, RequestHead, Side, answer_all,
};
use super::inbound::Inbound;
use super::observed::{FirstWord, Observed, Watch, alert_in};
use super::respond::Answer;
use super::upstream::{KnownOrigin, LegCarrier, OriginKey, OriginLeg, UpstreamError, version_name};
use super::{Shared, pool, undecryptable};
use crate::authority::{
    AltSvc, Defect, Forged, Freshness, Mirror, Mirrored, OriginFault, OriginTrust, SignedBy, UntrustedAction,
};
use crate::journal::{
    ConnectionRecord, End, ForgedFacts, HandshakeFacts, LeafAudit, OriginFacts, Outcome, Pen, Recording, Refusal,
    Signature, Told,
};
use crate::net::{ClientHello, DialError, Dialled, Host, Tap, TapHandle, Trace, WireEnd};

/// The client's handshake has to be complete within this.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// A fatal alert of TLS (RFC 8446, 6.2), before any version is agreed on.
const PROTOCOL_VERSION: [u8; 7] = [21, 3, 1, 0, 2, 2, 70];

/// The header fields that the profile removes from answers.
fn dropped(shared: &Shared) -> &'static [&'static str] {
    match shared.authority.profile().tls().alt_svc {
        AltSvc::Keep => &[],
        AltSvc::Remove => &["alt-svc"],
    }
}

/// The two legs of an inspected connection.
pub(super) struct Legs {
    key: OriginKey,
    client: Accepted,
    origin: OriginLeg,
}

/// Opens both legs, the origin's first where it is not known yet; or finds that the connection is to be passed through.
pub(super) async fn open(
    shared: &Arc<Shared>,
    mut client: Client,
    recording: &Recording,
    inbound: &Inbound,
    hello: Box<ClientHello>,
) -> Route {
    let name = name_of(inbound, Some(&hello));
    let key = OriginKey { destination: inbound.destination.clone(), name, alpn: offered(shared, &hello) };
    let host = key.host();
    if let Some(why) = shared.learned.recall(&host) {
        undecryptable::note_bypass(recording, &format!("learned from an earlier connection ({why})"));
        return bypass(shared, client, recording, inbound).await;
    }
    if let Some(why) = undecryptable::by_hello(&hello) {
        if undecryptable::is_passed(shared, recording, &host, &why) {
            return bypass(shared, client, recording, inbound).await;
        }
        let _ = client.write_all(&PROTOCOL_VERSION).await;
        recording.note(|record| record.told = Some(Told::Alert("protocol_version")));
        recording.finish(Outcome::Failed, End::middlebox(format!("the client's TLS does not fit: {why}")));
        client.linger().await;
        return Route::Ended;
    }
    // The record has it.
    drop(hello);
    let opened = match shared.upstream.known(&key) {
        Some(known) => known_origin(shared, client, recording, &key, known).await,
        None => new_origin(shared, client, recording, &key).await,
    };
    match opened {
        Opened::Both(client, origin) => Route::Exchange(Box::new(Legs { key, client, origin })),
        Opened::Bypass(client) => bypass(shared, client, recording, inbound).await,
        Opened::Ended => Route::Ended,
    }
}

/// How far the two legs came.
enum Opened {
    Both(Accepted, OriginLeg),
    /// The origin's cannot be had on our terms.
    Bypass(Client),
    /// The connection has ended.
    Ended,
}

/// The names of the origin's certificate, for a policy that decides on them.
pub(super) async fn certificate_names(
    shared: &Arc<Shared>,
    inbound: &Inbound,
    hello: Option<&ClientHello>,
) -> Vec<String> {
    let alpn = hello.map(|hello| offered(shared, hello)).unwrap_or_default();
    let key = OriginKey { destination: inbound.destination.clone(), name: name_of(inbound, hello), alpn };
    let origin = match shared.upstream.known(&key) {
        Some(known) => Ok(known),
        None => open_origin(shared, &key, |_| {}).await.map(|leg| leg.origin),
    };
    let Ok(origin) = origin else { return Vec::new() };
    let mut names = Vec::new();
    if let Ok((_, certificate)) = X509Certificate::from_der(origin.leaf.der()) {
        names.extend(certificate.subject().iter_common_name().filter_map(|cn| cn.as_str().ok()).map(str::to_owned));
    }
    names.extend(origin.leaf.facts().map_or_else(|_| Vec::new(), |facts| facts.names));
    names
}

/// What the client offers and HTTP inspection can speak, in the client's order; the profile may strip some.
fn offered(shared: &Shared, hello: &ClientHello) -> Vec<Vec<u8>> {
    let spoken = |name: &&String| {
        matches!(name.as_str(), "h2" | "http/1.1") && shared.authority.profile().tls().alpn.contains(name)
    };
    hello.alpn.iter().filter(spoken).map(|name| name.clone().into_bytes()).collect()
}

async fn open_origin(
    shared: &Shared,
    key: &OriginKey,
    connected: impl FnOnce(&Dialled),
) -> Result<OriginLeg, UpstreamError> {
    let stream = dial(shared, &key.destination).await?;
    connected(&stream);
    let came_back = stream.came_back();
    let opened = shared.upstream.open(key, stream).await;
    match opened {
        Err(_) if came_back.is_known() => Err(DialError::CameBack(key.destination.clone()).into()),
        opened => opened,
    }
}

/// Opens the origin's leg, marking the stages in the record.
async fn open_recorded(shared: &Shared, recording: &Recording, key: &OriginKey) -> Result<OriginLeg, UpstreamError> {
    if shared.config.pool
        && let Some(leg) = shared.pool.take(key).await
    {
        recording.stage(|stages| &mut stages.origin_tls);
        note_origin(recording, &leg.origin);
        recording.note(|record| record.notes.push("over a pooled connection to the origin".to_owned()));
        return Ok(leg);
    }
    let leg = open_origin(shared, key, |stream| note_origin_address(recording, stream)).await;
    match &leg {
        Ok(leg) => {
            recording.stage(|stages| &mut stages.origin_tls);
            note_origin(recording, &leg.origin);
        }
        Err(error) => note_unreached(shared, recording, error),
    }
    leg
}

/// An origin seen for the first time: its leg stands before the client's handshake begins.
async fn new_origin(shared: &Arc<Shared>, mut client: Client, recording: &Recording, key: &OriginKey) -> Opened {
    let opened = tokio::select! {
        opened = Box::pin(open_recorded(shared, recording, key)) => opened,
        () = client.left() => {
            recording.finish(Outcome::GaveUp, End::client("left before it was shown a certificate"));
            return Opened::Ended;
        }
        () = recording.live().kill.cancelled() => {
            recording.finish(Outcome::Unused, End::middlebox("ended"));
            return Opened::Ended;
        }
    };
    let leg = match opened {
        Ok(leg) => leg,
        Err(error) => {
            if let Some(why) = undecryptable::by_origin(&error)
                && undecryptable::is_passed(shared, recording, &key.host(), &why)
            {
                return Opened::Bypass(client);
            }
            let why = error.to_string();
            answer_inside(shared, client, recording, key, error.answer(), &why).await;
            return Opened::Ended;
        }
    };
    if let Some(fault) = blocked_fault(shared, &leg.origin.trust) {
        if shared.learned.takes_untrusted() {
            undecryptable::learn(shared, recording, &key.host(), &format!("the origin is not trusted: {fault}"));
        }
        let answer = untrusted_page(shared, &key.name, fault);
        answer_inside(shared, client, recording, key, answer, &fault.to_string()).await;
        return Opened::Ended;
    }
    let Some(forged) = forge(shared, recording, &key.name, Some(&leg.origin)).await else { return Opened::Ended };
    match handshake(shared, client, recording, &forged, leg.origin.alpn.as_deref()).await {
        Some(accepted) => Opened::Both(accepted, leg),
        None => Opened::Ended,
    }
}

/// An origin that is known: both legs are opened at once. No request goes up before this connection's own origin
/// handshake has verified; if the origin has changed, the client is closed, and retries.
async fn known_origin(
    shared: &Arc<Shared>,
    client: Client,
    recording: &Recording,
    key: &OriginKey,
    known: Arc<KnownOrigin>,
) -> Opened {
    if let Some(fault) = blocked_fault(shared, &known.trust) {
        // Looked at again, in case it was mended.
        shared.upstream.forget(key);
        debug!(%fault, "an origin that was not trusted is looked at again");
        return new_origin(shared, client, recording, key).await;
    }
    let client_leg = async {
        let forged = forge(shared, recording, &key.name, Some(&known)).await?;
        handshake(shared, client, recording, &forged, known.alpn.as_deref()).await
    };
    // A client that refuses ends both at once.
    let both = try_both(client_leg, open_recorded(shared, recording, key)).await;
    let Some((accepted, opened)) = both else { return Opened::Ended };
    let leg = match opened {
        Ok(leg) => leg,
        Err(error) => {
            shared.upstream.forget(key);
            if let Some(why) = undecryptable::by_origin(&error) {
                // Too late to pass this one through: its client has seen a forged certificate.
                undecryptable::learn(shared, recording, &key.host(), &why);
            }
            refuse_inside(recording, accepted, error.answer(), &error.to_string()).await;
            return Opened::Ended;
        }
    };
    if !known.same_for_client(&leg.origin) {
        recording.finish(Outcome::Failed, End::middlebox("the origin has changed since it was last seen: try again"));
        return Opened::Ended;
    }
    Opened::Both(accepted, leg)
}

/// Runs both until both are done, or until the first says that it is over.
async fn try_both<A, B>(first: impl Future<Output = Option<A>>, second: impl Future<Output = B>) -> Option<(A, B)> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    tokio::select! {
        done = &mut first => match done {
            Some(done) => Some((done, second.await)),
            None => None,
        },
        ready = &mut second => first.await.map(|done| (done, ready)),
    }
}

fn blocked_fault<'a>(shared: &Shared, trust: &'a OriginTrust) -> Option<&'a OriginFault> {
    match trust {
        OriginTrust::Untrusted(fault) => {
            let action = shared.authority.profile().untrusted_action(*fault == OriginFault::SelfSigned);
            (action == UntrustedAction::Block).then_some(fault)
        }
        OriginTrust::Trusted => None,
    }
}

/// The page that tells of a block, with the product's own status where it has one.
fn untrusted_page(shared: &Shared, host: &Host, fault: &OriginFault) -> Answer {
    let mut answer = Answer::bad_gateway("tls_certificate_error", format!("{host} is blocked: {fault}"));
    answer.status = shared.authority.profile().block_status().unwrap_or(answer.status);
    answer
}

fn note_origin(pen: &Pen, origin: &KnownOrigin) {
    pen.note(|record| {
        record.origin = Some(OriginFacts {
            by: Some(origin.by.clone()),
            address: Some(origin.address),
            version: Some(origin.version),
            alpn: origin.alpn.as_deref().map(|name| String::from_utf8_lossy(name).into()),
            certificate: Some(origin.leaf.clone()),
            trusted: Some(origin.trust == OriginTrust::Trusted),
            client_certificate: origin.client_certificate,
            fault: match &origin.trust {
                OriginTrust::Trusted => None,
                OriginTrust::Untrusted(fault) => Some(fault.to_string()),
            },
        });
        record.notes.extend(origin.client_certificate.map(|given| client_certificate_note(given).to_owned()));
    });
}

async fn forge(
    shared: &Shared,
    recording: &Recording,
    host: &Host,
    origin: Option<&KnownOrigin>,
) -> Option<Arc<Forged>> {
    let mirror = origin.map(|origin| Mirror { leaf: origin.leaf.der(), trust: origin.trust.clone() });
    match shared.authority.forge_or_recall(host, mirror).await {
        Ok((forged, freshness)) => {
            recording.stage(|stages| &mut stages.forged);
            recording.note(|record| {
                record.forged = Some(ForgedFacts {
                    certificate: forged.certificate.clone(),
                    issuer: Arc::clone(&forged.issuer),
                    mirrored: match forged.mirrored {
                        Mirrored::Origin => "origin",
                        Mirrored::NameAlone => "name-alone",
                    },
                    signed_by: match forged.signed_by {
                        SignedBy::InspectionCa => "inspection-ca",
                        SignedBy::UntrustedCa => "untrusted-ca",
                        SignedBy::ItSelf => "itself",
                    },
                    defect: forged.defect.map(Defect::name),
                    cached: freshness == Freshness::Cached,
                });
                if forged.left_out > 0 {
                    record.notes.push(format!(
                        "{} names of the origin's certificate are left out of the forged one: of more than 1,024, only \
                         the host's own are mirrored",
                        forged.left_out
                    ));
                }
            });
            Some(forged)
        }
        Err(error) => {
            recording.finish(Outcome::Failed, End::middlebox(format!("no certificate could be forged: {error}")));
            None
        }
    }
}

// ---- the client's handshake ---------------------------------------------------------------------------------------

struct Accepted {
    /// Boxed, since it goes through many hands.
    stream: Box<TlsStream<Tap<Client>>>,
    done: Instant,
    took: Duration,
    audit: LeafAudit,
    tap: TapHandle,
    resumed: bool,
}

/// Of a client that leaves while it resumes, or after: no verdict comes of that.
const NO_CERTIFICATE: &str = "left without a word; its session was resumed, so it was shown no certificate";

/// One certificate for one connection, whatever the hello says: the name was read from it before.
#[derive(Debug)]
pub(super) struct One(pub(super) Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _: RustlsHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

async fn handshake(
    shared: &Shared,
    client: Client,
    recording: &Recording,
    forged: &Forged,
    alpn: Option<&[u8]>,
) -> Option<Accepted> {
    let mut config: ServerConfig = shared.server.clone();
    config.cert_resolver = Arc::new(One(Arc::clone(&forged.certified)));
    config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
    let resuming = forged.certified.cert.first().filter(|_| recording.has_accepted());
    let resuming = resuming.map(|leaf| shared.tickets.offer(&mut config, leaf));
    let audit = audit(forged, recording);
    let (tapped, tap) = Tap::new(client);
    let begun = Instant::now();
    let accepting = TlsAcceptor::from(Arc::new(config)).accept(tapped);
    let accepted = tokio::select! {
        accepted = tokio::time::timeout(HANDSHAKE, accepting) => accepted,
        () = recording.live().kill.cancelled() => {
            recording.finish(Outcome::Unused, End::middlebox("ended"));
            return None;
        }
    };
    let trace = tap.trace();
    match accepted {
        Ok(Ok(stream)) => {
            let (_, connection) = stream.get_ref();
            let cipher = connection.negotiated_cipher_suite().map(|suite| suite.suite());
            let facts = HandshakeFacts {
                version: version_name(connection.protocol_version()),
                cipher: cipher.and_then(|suite| suite.as_str()).unwrap_or_default(),
                alpn: connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into()),
                resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            };
            let resumed = facts.resumed;
            recording.note(|record| record.handshake = Some(facts));
            recording.stage(|stages| &mut stages.client_tls);
            Some(Accepted {
                stream: Box::new(stream),
                done: Instant::now(),
                took: begun.elapsed(),
                audit,
                tap,
                resumed,
            })
        }
        Ok(Err(_)) if resuming.is_some_and(|resuming| resuming.was_taken()) => {
            recording.finish(Outcome::Unused, End::client(NO_CERTIFICATE));
            None
        }
        Ok(Err(error)) => {
            failed_handshake(recording, &error, &trace, audit);
            None
        }
        Err(_) => {
            let end = End::middlebox(format!("the client's handshake took over {} s", HANDSHAKE.as_secs()));
            recording.finish(Outcome::GaveUp, end);
            None
        }
    }
}

/// What is known of the certificate that the client is about to judge.
fn audit(forged: &Forged, recording: &Recording) -> LeafAudit {
    let host = recording.note(|record| record.host()).unwrap_or_default();
    let names_host = forged.names_host && Host::parse(&host).is_ok_and(|host| host == forged.host);
    let in_time = forged.valid.contains(&OffsetDateTime::now_utc().unix_timestamp());
    let by_inspection_ca = forged.signed_by == SignedBy::InspectionCa;
    LeafAudit { names_host, in_time, in_order: forged.in_order, by_inspection_ca }
}

/// GnuTLS hands the chain to its caller, who may look at it once the handshake is complete; its hello gives it away.
fn judges_late(recording: &Recording) -> bool {
    recording.note(|record| record.hello.as_ref().is_some_and(|hello| hello.record_size_limit))
}

/// A handshake that the client broke off, or that could not fit.
fn failed_handshake(recording: &Recording, error: &io::Error, trace: &Trace, audit: LeafAudit) {
    let rustls_error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let alert = alert_in(error);
    let gap = trace.flight_sent.map(|sent| trace.ended.unwrap_or_else(Instant::now).duration_since(sent));
    let judges_late = judges_late(recording);
    // An alert that came together with the client's Finished ends the handshake's own reading.
    let after_finished = trace.is_past_finished();
    let gap = gap.filter(|_| !after_finished);
    let refusal = |signature| Refusal { signature, after_finished, judges_late, gap };
    match (alert, rustls_error) {
        (Some(number), _) => {
            let signature = Signature::Alert { number, warning: false };
            recording.refused(&refusal(signature), audit, End::client(signature.describe()));
        }
        // Versions, ciphers or protocols do not fit: we said no, and no certificate was judged.
        (None, Some(error)) => {
            recording.note(|record| record.told = Some(Told::Alert("handshake_failure")));
            recording.finish(Outcome::Failed, End::middlebox(format!("the handshake does not fit: {error}")));
        }
        (None, None) => match (trace.flight_sent, trace.plain_alert()) {
            (None, _) => {
                recording.finish(Outcome::GaveUp, End::client("left before it was shown a certificate"));
            }
            (Some(_), Some((level, number))) => {
                let signature = Signature::Alert { number, warning: level == 1 };
                recording.refused(&refusal(signature), audit, End::client(signature.describe()));
            }
            // Opened ahead of need beside one that was accepted, and given up while the two were still shaking hands.
            (Some(_), None) if recording.accepted_beside() => {
                recording.finish(Outcome::Unused, End::client("opened ahead and never used"));
            }
            (Some(_), None) => {
                let how = match trace.end {
                    Some(WireEnd::Reset) => "reset inside the handshake",
                    Some(WireEnd::Fin) | None => "closed inside the handshake",
                };
                recording.refused(&refusal(Signature::Cut), audit, End::client(how));
            }
        },
    }
}

// ---- after the handshake ------------------------------------------------------------------------------------------

/// Relays HTTP between the two legs, and judges how the client took the certificate.
pub(super) async fn exchange(shared: &Arc<Shared>, recording: &Recording, legs: Legs) {
    let Legs { key, client: Accepted { stream, done, took, audit, tap, resumed }, origin: leg } = legs;
    let known = Arc::clone(&leg.origin);
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let (observed, watch) = observe(recording, stream, tap, resumed);
    let end = if http2 {
        let relay = Http2Relay {
            pen: Pen::clone(recording),
            dropped: dropped(shared),
            added: Arc::clone(&shared.added),
            limits: shared.config.limits,
        };
        match Box::pin(http2_leg(shared, &key, leg)).await {
            Ok((origin, driver)) => Box::pin(relay.run(observed, origin, driver)).await,
            Err(error) => End::origin(format!("HTTP/2 could not begin: {error}")),
        }
    } else {
        // A share in an HTTP/2 connection is for clients that speak it.
        let LegCarrier::Tls(stream) = leg.carrier else {
            return recording.finish(Outcome::Failed, End::middlebox("the legs do not speak the same HTTP"));
        };
        let mut client = Side::new(observed, Vec::new());
        let mut origin = Side::new(stream, Vec::new());
        let relay = Relay {
            recording,
            dropped: dropped(shared),
            added: &shared.added_lines,
            limits: shared.config.limits,
            parent: None,
        };
        let ended = Box::pin(relay.run(&mut client, &mut origin, &mut Inside)).await;
        // What is still said to both sides takes its time; a client that is gone may be back meanwhile.
        recording.stage(|stages| &mut stages.closed);
        match ended {
            RelayEnd::Closed { end, clean, idle: true } if shared.config.pool => {
                if clean {
                    let _ = tokio::time::timeout(Duration::from_secs(5), client.writer.shutdown()).await;
                }
                let stream = origin.reader.unsplit(origin.writer);
                shared.pool.give(&key, stream, known);
                end
            }
            RelayEnd::Closed { end, clean: true, .. } => {
                let _ = tokio::time::timeout(Duration::from_secs(5), client.writer.shutdown()).await;
                let _ = tokio::time::timeout(Duration::from_secs(5), origin.writer.shutdown()).await;
                end
            }
            RelayEnd::Closed { end, clean: false, .. } => end,
            RelayEnd::Elsewhere => End::middlebox("ended"),
        }
    };
    let how = Handshaken { done, took, audit, resumed };
    judge(recording, &watch, &how, end, Outcome::Accepted);
}

/// The HTTP/2 connection to the origin, and what runs it where it is this client's own.
async fn http2_leg(
    shared: &Arc<Shared>,
    key: &OriginKey,
    leg: OriginLeg,
) -> Result<(Http2Origin, Option<Driver<Box<ClientTls<Dialled>>>>), h2::Error> {
    let stream = match leg.carrier {
        LegCarrier::Http2(origin) => return Ok((origin, None)),
        LegCarrier::Tls(stream) => stream,
    };
    let (origin, driver) = Http2Origin::begin(stream).await?;
    if shared.config.pool {
        pool::share(shared, key, origin.clone(), leg.origin, driver);
        return Ok((origin, None));
    }
    Ok((origin, Some(driver)))
}

type OnData = Box<dyn FnOnce() + Send + Unpin>;
type ObservedClient = Observed<Box<TlsStream<Tap<Client>>>, OnData>;

/// Watches the client's first word; from it on, the tap is off and the certificate counts as accepted.
fn observe(
    recording: &Recording,
    stream: Box<TlsStream<Tap<Client>>>,
    tap: TapHandle,
    resumed: bool,
) -> (ObservedClient, Watch) {
    let pen = Pen::clone(recording);
    let on_data: OnData = Box::new(move || {
        tap.turn_off();
        pen.stage(|stages| &mut stages.first_byte);
        // What is resumed was accepted before.
        if !resumed {
            pen.accepted();
        }
    });
    Observed::new(stream, on_data)
}

/// A handshake that is complete.
struct Handshaken {
    done: Instant,
    took: Duration,
    audit: LeafAudit,
    resumed: bool,
}

/// Says how the connection turned out, from the client's first word after the handshake.
fn judge(recording: &Recording, watch: &Watch, how: &Handshaken, end: End, if_accepted: Outcome) {
    let Handshaken { done, took, audit, resumed } = *how;
    let (word, at) = match watch.first_word() {
        Some(first) => first,
        // It was gone before it could be read from: seen as what we had to say, a session ticket, was written.
        None if end.by == "client" => (FirstWord::End, Instant::now()),
        None => return recording.finish(Outcome::Unused, end),
    };
    let gap = at.duration_since(done);
    let judges_late = judges_late(recording);
    let refusal = |signature| Refusal { signature, after_finished: true, judges_late, gap: Some(gap) };
    let signature = match word {
        FirstWord::Data => return recording.finish(if_accepted, end),
        _ if resumed => return recording.finish(Outcome::Unused, End::client(NO_CERTIFICATE)),
        FirstWord::Alert(number) => {
            let signature = Signature::Alert { number, warning: false };
            return recording.refused(&refusal(signature), audit, End::client(signature.describe()));
        }
        FirstWord::CloseNotify => Signature::PoliteClose,
        FirstWord::End => Signature::SilentClose,
    };
    // A refusal comes at once; what is closed later, or beside a connection that was accepted, was opened ahead of
    // need, as browsers do.
    let prompt = gap <= (took * 10).max(Duration::from_millis(100));
    if !prompt || recording.accepted_beside() {
        return recording.finish(Outcome::Unused, End::client("opened ahead and never used"));
    }
    recording.refused(&refusal(signature), audit, End::client(signature.describe()));
}

/// Requests inside inspected TLS all go to the one origin behind it.
struct Inside;

impl Gate for Inside {
    fn admit(&mut self, request: &RequestHead) -> Admission {
        if request.method == "CONNECT" {
            return Admission::Refuse(Answer::method_not_allowed("a CONNECT inside inspected TLS is not passed on"));
        }
        Admission::Forward { target: request.target.clone(), host: None }
    }
}

/// The origin cannot be had: the handshake is completed with a certificate forged from the name alone, and the answer
/// given inside, where the client shows it.
async fn answer_inside(
    shared: &Arc<Shared>,
    client: Client,
    recording: &Recording,
    key: &OriginKey,
    answer: Answer,
    why: &str,
) {
    let Some(forged) = forge(shared, recording, &key.name, None).await else { return };
    let alpn = key.alpn.first().map(Vec::as_slice);
    let Some(accepted) = handshake(shared, client, recording, &forged, alpn).await else { return };
    refuse_inside(recording, accepted, answer, why).await;
}

async fn refuse_inside(recording: &Recording, accepted: Accepted, answer: Answer, why: &str) {
    let Accepted { stream, done, took, audit, tap, resumed } = accepted;
    let (observed, watch) = observe(recording, stream, tap, resumed);
    recording.note(|record: &mut ConnectionRecord| record.told = Some(Told::StatusInside(answer.status.as_u16())));
    let serving = tokio::time::timeout(HANDSHAKE, answer_all(observed, answer));
    tokio::select! {
        _ = serving => {}
        () = recording.live().drain.cancelled() => {}
    }
    let how = Handshaken { done, took, audit, resumed };
    judge(recording, &watch, &how, End::middlebox(why.to_owned()), Outcome::Failed);
}
