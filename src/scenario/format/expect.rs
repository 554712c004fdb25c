//! `expect`: what a step has to bring about, typed by the kind of step.

use std::fmt;
use std::ops::Range;

use toml::Spanned;

use super::lab::Hosts;
use super::raw::{OneOrMore, RawExpect, Text};
use super::{Kind, Placed, Reader};
use crate::journal::{Cause, DecisionKind, Outcome};
use crate::net::Host;
use crate::scenario::words::{By, ClientOutcome, FastPassOutcome, Word, choices};
use crate::simulation::HttpVersion;
use crate::source::PlaceError;

/// What is expected of a step; all that is given has to hold.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    /// How it ended.
    pub outcome: Option<Placed<ExpectedOutcome>>,
    /// The middlebox's verdict on a refusal.
    pub cause: Option<Placed<Cause>>,
    /// The verdict, or one of its candidates.
    pub cause_among: Option<Placed<Cause>>,
    /// What the user sees, to the letter.
    pub message: Option<Placed<String>>,
    /// Texts that lines of the client's event log contain, each in some line.
    pub log: Vec<Placed<String>>,
    /// What the middlebox decided.
    pub decision: Option<Placed<DecisionKind>>,
    /// The pattern of the rule that decided, or `default`.
    pub rule: Option<Placed<String>>,
    /// The HTTP status that the client got.
    pub status: Option<Placed<u16>>,
    /// The exit code of the command, as a shell gives it (128 + n for a signal).
    pub exit: Option<Placed<i32>>,
    /// Whose connection `cause`, `cause-among`, `decision`, `rule`, `status` and a connection's `outcome` are about,
    /// the last one to it. `None`: the last one of the step.
    pub host: Option<Placed<Host>>,
    /// Which middlebox those are about. `None`: whichever saw the last connection.
    pub by: Option<Placed<By>>,
    /// The version of HTTP that the browser spoke.
    pub version: Option<Placed<HttpVersion>>,
    /// Texts that warnings contain, each in some warning.
    pub warning: Vec<Placed<String>>,
    /// A text that the reason contains for which a pattern was not taken.
    pub rejected: Option<Placed<String>>,
}

/// The outcome of a simulated client, or that of a connection, by the kind of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedOutcome {
    /// Of an `enroll`.
    Client(ClientOutcome),
    /// Of a `fast-pass`.
    FastPass(FastPassOutcome),
    /// Of everything else.
    Connection(Outcome),
}

impl fmt::Display for ExpectedOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(outcome) => outcome.fmt(f),
            Self::FastPass(outcome) => outcome.fmt(f),
            Self::Connection(outcome) => outcome.fmt(f),
        }
    }
}

impl Kind {
    /// What can be expected of such a step, by the keys of `expect`.
    #[must_use]
    pub fn expectations(self) -> &'static [&'static str] {
        match self {
            Self::Enroll => {
                &["outcome", "cause", "cause-among", "message", "log", "decision", "rule", "host", "by", "warning"]
            }
            Self::Browse => {
                &["outcome", "cause", "cause-among", "decision", "rule", "status", "version", "by", "warning"]
            }
            Self::FastPass => &["outcome", "decision", "rule", "host", "by"],
            Self::KeepOpen => &["outcome", "cause", "cause-among", "decision", "rule", "status", "by"],
            Self::Command => &["exit", "outcome", "cause", "cause-among", "decision", "rule", "status", "host", "by"],
            Self::Bypass => &["warning", "rejected"],
            Self::Workstation | Self::Organization | Self::Middlebox | Self::Gateway => &[],
        }
    }
}

impl Expectations {
    /// Whether nothing is expected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { outcome, cause, cause_among, message, log, decision, rule, status, exit, host: _, by: _, .. } = self;
        outcome.is_none()
            && (cause.is_none() && cause_among.is_none() && message.is_none() && log.is_empty())
            && (decision.is_none() && rule.is_none() && status.is_none() && exit.is_none())
            && (self.version.is_none() && self.warning.is_empty() && self.rejected.is_none())
    }

    pub(super) fn read(
        reader: Reader<'_>,
        hosts: Hosts<'_>,
        kind: Kind,
        raw: Spanned<RawExpect>,
    ) -> Result<Self, PlaceError> {
        let whole = raw.span();
        let raw = raw.into_inner();
        applicable(reader, kind, whole.clone(), &raw)?;
        let expectations = Self {
            outcome: raw.outcome.map(|text| outcome(reader, kind, text)).transpose()?,
            cause: raw.cause.map(|text| reader.word(text, "cause of a refusal")).transpose()?,
            cause_among: raw.cause_among.map(|text| reader.word(text, "cause of a refusal")).transpose()?,
            message: raw.message.map(|text| reader.filled(text, "the message")).transpose()?,
            log: raw.log.map_or(Ok(Vec::new()), |log| texts(reader, log, "the text of the log"))?,
            decision: raw.decision.map(|text| reader.word(text, "decision")).transpose()?,
            rule: raw.rule.map(|text| reader.filled(text, "the rule")).transpose()?,
            status: raw.status.map(|status| http_status(reader, status)).transpose()?,
            exit: raw.exit.map(Placed::from),
            host: raw.host.map(|text| expected_host(reader, kind, text)).transpose()?,
            by: raw.by.map(|text| hosts.by(reader, text)).transpose()?,
            version: raw.version.map(|text| reader.word(text, "version of HTTP that is simulated")).transpose()?,
            warning: raw.warning.map_or(Ok(Vec::new()), |text| texts(reader, text, "the text of the warning"))?,
            rejected: raw.rejected.map(|text| reader.filled(text, "the reason")).transpose()?,
        };
        if let Some(host) = expectations.host.as_ref().filter(|host| !is_this_machine(host)) {
            hosts.known(reader, host)?;
        }
        if expectations.is_empty() {
            let help = format!("expect {} of it, or leave `expect` out", choices(kind.expectations().iter().copied()));
            return Err(reader.document.error(whole, "nothing is expected", Some(help)));
        }
        if let Some(cause) = expectations.cause_among.as_ref().filter(|cause| cause.value == Cause::Ambiguous) {
            let help = "write `cause = \"ambiguous\"`, or the candidate that you look for".to_owned();
            return Err(reader.document.error(cause.span.clone(), "`ambiguous` is never a candidate", Some(help)));
        }
        Ok(expectations)
    }
}

/// An expectation that such a step can never meet is a mistake of the file.
fn applicable(reader: Reader<'_>, kind: Kind, whole: Range<usize>, raw: &RawExpect) -> Result<(), PlaceError> {
    let known = kind.expectations();
    if known.is_empty() {
        let message = format!("nothing can be expected of `{kind}`");
        let help = "expect it of the `enroll`, `browse`, `command` or `keep-open` step that follows".to_owned();
        return Err(reader.document.error(whole, message, Some(help)));
    }
    let given = [
        ("outcome", raw.outcome.as_ref().map(Spanned::span)),
        ("cause", raw.cause.as_ref().map(Spanned::span)),
        ("cause-among", raw.cause_among.as_ref().map(Spanned::span)),
        ("message", raw.message.as_ref().map(Spanned::span)),
        ("log", raw.log.as_ref().map(Spanned::span)),
        ("decision", raw.decision.as_ref().map(Spanned::span)),
        ("rule", raw.rule.as_ref().map(Spanned::span)),
        ("status", raw.status.as_ref().map(Spanned::span)),
        ("exit", raw.exit.as_ref().map(Spanned::span)),
        ("host", raw.host.as_ref().map(Spanned::span)),
        ("by", raw.by.as_ref().map(Spanned::span)),
        ("version", raw.version.as_ref().map(Spanned::span)),
        ("warning", raw.warning.as_ref().map(Spanned::span)),
        ("rejected", raw.rejected.as_ref().map(Spanned::span)),
    ];
    for (key, span) in given {
        if let Some(span) = span.filter(|_| !known.contains(&key)) {
            let message = format!("`{key}` cannot be expected of `{kind}`");
            let help = format!("expect {} of it", choices(known.iter().copied()));
            return Err(reader.document.error(span, message, Some(help)));
        }
    }
    Ok(())
}

fn outcome(reader: Reader<'_>, kind: Kind, text: Text) -> Result<Placed<ExpectedOutcome>, PlaceError> {
    if kind == Kind::Enroll {
        return reader
            .word(text, "outcome of an enrollment")
            .map(|word: Placed<ClientOutcome>| word.map(ExpectedOutcome::Client));
    }
    if kind == Kind::FastPass {
        return reader
            .word(text, "outcome of a sign-in with FastPass")
            .map(|word: Placed<FastPassOutcome>| word.map(ExpectedOutcome::FastPass));
    }
    if ClientOutcome::of(text.get_ref()) == Some(ClientOutcome::Enrolled) {
        let help = "only an `enroll` step enrolls; here it is `accepted` or `bypassed`".to_owned();
        return Err(reader.document.error(text.span(), "`enrolled` is no outcome of a connection", Some(help)));
    }
    reader.word(text, "outcome of a connection").map(|word: Placed<Outcome>| word.map(ExpectedOutcome::Connection))
}

/// The host of an expectation; a sign-in page also asks this machine.
fn expected_host(reader: Reader<'_>, kind: Kind, text: Text) -> Result<Placed<Host>, PlaceError> {
    let host = reader.host(text)?;
    if is_this_machine(&host) && kind != Kind::FastPass {
        let help = Some("name a host of an `[[origin]]`".to_owned());
        return Err(reader.document.error(host.span, format!("`{kind}` asks nothing of this machine"), help));
    }
    Ok(host)
}

fn is_this_machine(host: &Host) -> bool {
    host.name() == Some("localhost")
}

fn texts(reader: Reader<'_>, log: Spanned<OneOrMore>, what: &str) -> Result<Vec<Placed<String>>, PlaceError> {
    let span = log.span();
    let lines = match log.into_inner() {
        OneOrMore::One(text) => vec![Spanned::new(span, text)],
        OneOrMore::More(texts) => texts,
    };
    reader.each(lines, |reader, text| reader.filled(text, what))
}

fn http_status(reader: Reader<'_>, status: Spanned<u16>) -> Result<Placed<u16>, PlaceError> {
    let status = Placed::from(status);
    if (100..=599).contains(&status.value) {
        return Ok(status);
    }
    Err(reader.document.error(status.span, "an HTTP status goes from 100 to 599", None))
}
