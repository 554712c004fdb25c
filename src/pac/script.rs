//! A script, compiled once and asked many times.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use time::OffsetDateTime;
use url::Url;

use super::dns::{NoNames, PacDns};
use super::engine::{Call, Job};
use super::error::{PacError, PacLimit};
use crate::source::Document;

/// The longest script that is read, as in Chrome (`net/proxy_resolution/pac_file_fetcher_impl.cc`).
const MAX_TEXT: usize = 1 << 20;
/// How many calls may be stuck inside the engine before the script is no longer asked.
const MAX_STUCK: usize = 4;

/// A PAC script that defines `FindProxyForURL`.
///
/// Every call has an engine of its own, runs the script from its top, and throws the engine away: calls share no
/// state, and any number of tasks may call at once. Browsers keep their engines, several of them, so no script can rely
/// on what an earlier call left behind there either.
#[derive(Clone, Debug)]
pub struct PacScript {
    document: Document,
    limits: PacLimits,
    clock: PacClock,
    stuck: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// How much a call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacLimits {
    /// Bytes of memory, the engine's own 0.2 MiB included; at least 1 MiB.
    pub memory: usize,
    /// Bytes of stack; at most 512 KiB are used.
    pub stack: usize,
    /// Time, look-ups included.
    pub time: Duration,
    /// Bytes of the answer.
    pub result: usize,
}

/// The time that `weekdayRange`, `dateRange`, `timeRange` and `Date` go by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PacClock {
    /// The machine's clock and time zone.
    #[default]
    System,
    /// Always this moment; its offset is the local time zone. (`new Date()` is this moment too, but its local fields
    /// are of the machine's zone.)
    Fixed(OffsetDateTime),
}

/// What a call gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// The text that `FindProxyForURL` returned, as it is.
    pub result: String,
    /// What the script told `alert`: the first 64 messages, each cut at 1024 characters.
    pub alerts: Vec<String>,
}

impl Default for PacLimits {
    fn default() -> Self {
        Self { memory: 32 << 20, stack: 256 << 10, time: Duration::from_secs(2), result: 64 << 10 }
    }
}

impl PacClock {
    /// Milliseconds since 1970, and minutes east of UTC, where the clock stands still.
    pub(super) fn fixed(self) -> (Option<f64>, Option<i32>) {
        match self {
            Self::System => (None, None),
            Self::Fixed(moment) => {
                let since = moment - OffsetDateTime::UNIX_EPOCH;
                (Some(since.as_seconds_f64() * 1000.0), Some(moment.offset().whole_minutes().into()))
            }
        }
    }
}

impl PacScript {
    /// Reads a script and runs it once, without calling `FindProxyForURL`. Meanwhile no name resolves.
    ///
    /// # Errors
    /// The place of a syntax error or of an exception that nothing catches; `FindProxyForURL` is missing; a limit of
    /// [`PacLimits::default`] was reached.
    pub fn compile(name: &str, text: &str) -> Result<Self, PacError> {
        if text.len() > MAX_TEXT {
            return Err(PacError::Limit(PacLimit::Size(MAX_TEXT)));
        }
        let script = Self {
            document: Document::new(name, text.strip_prefix('\u{feff}').unwrap_or(text)),
            limits: PacLimits::default(),
            clock: PacClock::default(),
            stuck: Arc::default(),
        };
        script.run(None, &NoNames)?;
        Ok(script)
    }

    /// The same script under another clock.
    #[must_use]
    pub fn with_clock(self, clock: PacClock) -> Self {
        Self { clock, ..self }
    }

    /// The same script under other limits.
    #[must_use]
    pub fn with_limits(self, limits: PacLimits) -> Self {
        Self { limits, ..self }
    }

    /// The name that it was compiled under.
    #[must_use]
    pub fn name(&self) -> &str {
        self.document.name()
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.document.text()
    }

    /// Asks the script for the way to a URL, and gives its answer as it is. The script gets what a browser would
    /// give it: [`url_for_pac`] and [`host_for_pac`].
    ///
    /// The call blocks its thread, at the worst for a little longer than the time limit, whatever the script does.
    ///
    /// # Errors
    /// An exception that nothing catches, an answer that is no text, or a limit.
    pub fn find_proxy(&self, url: &Url, host: &str, dns: &dyn PacDns) -> Result<String, PacError> {
        self.evaluate(url, host, dns).map(|evaluation| evaluation.result)
    }

    /// As [`Self::find_proxy`], with what the script told `alert`.
    ///
    /// # Errors
    /// As [`Self::find_proxy`].
    pub fn evaluate(&self, url: &Url, host: &str, dns: &dyn PacDns) -> Result<Evaluation, PacError> {
        self.run(Some(Call { url: url_for_pac(url), host: host_for_pac(host) }), dns)
    }

    fn run(&self, call: Option<Call>, dns: &dyn PacDns) -> Result<Evaluation, PacError> {
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        stuck.retain(|thread| !thread.is_finished());
        let count = stuck.len();
        drop(stuck);
        if count >= MAX_STUCK {
            return Err(PacError::Busy(count));
        }
        let job = Job { document: self.document.clone(), call, limits: self.limits, clock: self.clock };
        let (outcome, thread) = job.run(dns);
        if let Some(thread) = thread {
            self.stuck.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        outcome
    }
}

/// The form of a URL that browsers hand to a script: never credentials or a fragment, and where the connection will be
/// encrypted (`https`, `wss`) neither path nor query (Chrome since version 75; Firefox unless
/// `network.proxy.autoconfig_url.include_path` is set).
#[must_use]
pub fn url_for_pac(url: &Url) -> String {
    let mut bare = url.clone();
    // A URL without an authority has no credentials, and says so with an error.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare.set_fragment(None);
    if matches!(url.scheme(), "https" | "wss") {
        bare.set_path("/");
        bare.set_query(None);
    }
    bare.into()
}

/// The form of a host that browsers hand to a script: in lower case, an IPv6 address without brackets.
#[must_use]
pub fn host_for_pac(host: &str) -> String {
    let inner = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    inner.unwrap_or(host).to_ascii_lowercase()
}
