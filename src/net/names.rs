//! The system's resolver, with a short memory.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::time::Instant;

/// How long an answer is used again. The system's resolver does not tell the time to live, so this is short enough that
/// nobody waits for a change, and long enough for the connections of one page.
const KEEP: Duration = Duration::from_secs(5);

/// How long a name counts as unresolvable.
const KEEP_FAILURE: Duration = Duration::from_secs(1);

/// How many names are remembered; beyond it the ones used least are forgotten.
const NAMES: usize = 1024;

/// Resolves host names: an answer is remembered for 5 seconds and a failure for 1, for at most 1,024 names, and a name
/// that several connections ask for at once is looked up once.
#[derive(Clone)]
pub struct Names(Arc<Inner>);

struct Inner {
    look_up: LookUp,
    known: Cache<Arc<str>, Known>,
}

type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
type LookUp = Box<dyn Fn(Arc<str>) -> Answer + Send + Sync>;

#[derive(Clone)]
struct Known {
    addresses: Arc<[SocketAddr]>,
    until: Instant,
}

impl Names {
    /// The system's resolver.
    #[must_use]
    pub fn system() -> Self {
        Self::looked_up(async |name: Arc<str>| Ok(tokio::net::lookup_host((&*name, 0)).await?.collect()))
    }

    /// Names looked up by a function of one's own; the ports of its addresses do not count.
    #[must_use]
    pub fn looked_up<F, A>(look_up: F) -> Self
    where
        F: Fn(Arc<str>) -> A + Send + Sync + 'static,
        A: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        let look_up: LookUp = Box::new(move |name| Box::pin(look_up(name)));
        Self(Arc::new(Inner { look_up, known: Cache::new(NAMES) }))
    }

    /// The addresses of a name, none where it does not resolve.
    pub async fn resolve(&self, name: &Arc<str>, port: u16) -> Vec<SocketAddr> {
        let Inner { look_up, known } = &*self.0;
        known.remove_if(name, |known| known.until <= Instant::now());
        let fresh = async {
            let addresses: Arc<[_]> = look_up(Arc::clone(name)).await.unwrap_or_default().into();
            let keep = if addresses.is_empty() { KEEP_FAILURE } else { KEEP };
            Ok::<_, std::convert::Infallible>(Known { addresses, until: Instant::now() + keep })
        };
        let Ok(known) = known.get_or_insert_async(name, fresh).await;
        let with_port = |address: &SocketAddr| {
            let mut address = *address;
            address.set_port(port);
            address
        };
        known.addresses.iter().map(with_port).collect()
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("known", &self.0.known.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Names with a count of look-ups; `missing.example` has no address.
    fn counted() -> (Names, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&count);
        let names = Names::looked_up(move |name: Arc<str>| {
            let nth = counting.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::task::yield_now().await;
                match &*name {
                    "missing.example" => Err(io::Error::other("no such name")),
                    _ => Ok(vec![SocketAddr::from(([10, 0, 0, u8::try_from(nth).unwrap()], 0))]),
                }
            }
        });
        (names, count)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_used_again_for_a_while_and_a_failure_for_less() {
        let (names, count) = counted();
        let asked = |name: &str| {
            let (names, name) = (names.clone(), Arc::from(name));
            async move { names.resolve(&name, 443).await }
        };
        assert_eq!(asked("a.example").await, ["10.0.0.0:443".parse().unwrap()]);
        assert!(asked("missing.example").await.is_empty());
        tokio::time::advance(KEEP_FAILURE / 2).await;
        assert!(asked("missing.example").await.is_empty());
        assert_eq!(count.load(Ordering::Relaxed), 2);
        tokio::time::advance(KEEP_FAILURE).await;
        assert!(asked("missing.example").await.is_empty());
        assert_eq!(asked("a.example").await, ["10.0.0.0:443".parse().unwrap()]);
        assert_eq!(count.load(Ordering::Relaxed), 3);
        tokio::time::advance(KEEP).await;
        assert_eq!(asked("a.example").await, ["10.0.0.3:443".parse().unwrap()]);
    }

    #[tokio::test]
    async fn many_who_ask_at_once_ask_once_and_memory_is_bounded() {
        let (names, count) = counted();
        let name = Arc::from("a.example");
        let (one, two, three) = tokio::join!(names.resolve(&name, 1), names.resolve(&name, 2), names.resolve(&name, 3));
        assert_eq!([one[0].port(), two[0].port(), three[0].port()], [1, 2, 3]);
        assert_eq!(count.load(Ordering::Relaxed), 1);
        let names = Names::looked_up(async |_| Ok(Vec::new()));
        for number in 0..2 * NAMES {
            names.resolve(&format!("{number}.example").into(), 443).await;
        }
        assert!(names.0.known.len() <= NAMES);
    }
}
