//! What the control API knows of its lab. It is bound before the proxy, which has to know its port; so what it asks the
//! proxy it can ask only once that is at work.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::control::wire::OriginStatus;
use crate::control::{Control, Lab, LabStatus};
use crate::policy::OnChange;
use crate::proxy::RunningProxy;
use crate::simulation::Internet;

/// A lab, as its control API asks about it.
#[derive(Debug)]
pub(super) struct Overseen {
    profile: String,
    origins: BTreeMap<String, OriginStatus>,
    started: OffsetDateTime,
    proxy: OnceLock<(SocketAddr, RunningProxy)>,
    serving: AtomicBool,
}

/// A control API that is bound and does not serve yet.
pub(super) struct BoundControl(pub(super) Control);

/// A control API at work; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct RunningControl {
    pub(super) address: SocketAddr,
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Overseen {
    pub(super) fn new(profile: &str, internet: Option<&Internet>) -> Self {
        let origins = internet.map(Internet::origins).unwrap_or_default();
        Self {
            profile: profile.to_owned(),
            origins: origins.into_iter().map(|(host, pin)| (host.to_string(), OriginStatus { pin })).collect(),
            started: OffsetDateTime::now_utc(),
            proxy: OnceLock::new(),
            serving: AtomicBool::new(false),
        }
    }

    /// The proxy is at work.
    pub(super) fn begin(&self, address: SocketAddr, proxy: RunningProxy) {
        let _ = self.proxy.set((address, proxy));
        self.serving.store(true, Ordering::Release);
    }

    /// The proxy takes no new connections.
    pub(super) fn end(&self) {
        self.serving.store(false, Ordering::Release);
    }
}

impl fmt::Debug for BoundControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BoundControl").field(&self.0.address()).finish()
    }
}

impl Lab for Overseen {
    fn reconsider(&self, on_change: OnChange) -> usize {
        self.proxy.get().map_or(0, |(_, proxy)| proxy.reconsider(on_change).len())
    }

    fn status(&self) -> LabStatus {
        let unbound = SocketAddr::from(([0, 0, 0, 0], 0));
        LabStatus {
            proxy: self.proxy.get().map_or(unbound, |(address, _)| *address),
            serving: self.serving.load(Ordering::Acquire),
            started: self.started,
            profile: self.profile.clone(),
            origins: self.origins.clone(),
        }
    }
}

impl RunningControl {
    pub(super) fn begin(BoundControl(control): BoundControl) -> Self {
        let stop = CancellationToken::new();
        Self { address: control.address(), task: control.spawn(stop.clone()), stop: stop.drop_guard() }
    }

    /// Ends its connections, and waits for them.
    pub(super) async fn drain(self) {
        drop(self.stop);
        let _ = self.task.await;
    }
}
