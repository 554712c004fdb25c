//! Keys of leaves: EC and Ed25519 keys are made on the spot (some 20 µs), RSA keys (some 70 ms) ahead of need on
//! threads of their own.

use std::sync::{Arc, OnceLock};
use std::thread;

use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256,
    RsaKeySize,
};
use rustls::sign::SigningKey;
use rustls_pki_types::PrivateKeyDer;
use thiserror::Error;
use tokio::sync::{Mutex, OnceCell, mpsc};
use zeroize::Zeroizing;

use super::profile::CaKey;
use super::rules::{KeyReuse, LeafKey};

/// How many RSA keys of one size wait to be taken.
const READY: usize = 16;

/// No key could be made.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// The cryptographic library refused.
    #[error("cannot make a key: {0}")]
    Generate(String),
    /// The threads that make RSA keys have ended.
    #[error("cannot make RSA keys: the threads that make them have ended")]
    Ended,
}

/// The private key of a leaf, once as rcgen and once as rustls wants it.
#[derive(Clone)]
pub(super) struct FreshKey {
    pub(super) pair: Arc<KeyPair>,
    pub(super) signing: Arc<dyn SigningKey>,
}

impl FreshKey {
    fn of(pair: KeyPair) -> Result<Self, KeyError> {
        let der = Zeroizing::new(PrivateKeyDer::Pkcs8(pair.serialize_der().into()));
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der)
            .map_err(|error| KeyError::Generate(error.to_string()))?;
        Ok(Self { pair: Arc::new(pair), signing })
    }
}

/// The key of a CA. Takes up to some 100 ms for RSA.
pub(super) fn ca_key(kind: CaKey) -> Result<KeyPair, rcgen::Error> {
    match kind {
        CaKey::EcP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        CaKey::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
    }
}

/// Where leaves get their keys. Threads for RSA begin at the first need and end when this is dropped.
#[derive(Default)]
pub(super) struct LeafKeys {
    reuse: KeyReuse,
    /// For 2,048, 3,072 and 4,096 bits.
    rsa: [OnceLock<Pool>; 3],
    /// The keys that leaves share, one of each kind that was asked for.
    shared: [OnceCell<FreshKey>; 7],
}

impl LeafKeys {
    pub(super) fn new(reuse: KeyReuse) -> Self {
        Self { reuse, ..Self::default() }
    }

    /// Begins to make keys, so that the first leaf does not wait.
    pub(super) fn warm(&self, kind: LeafKey) {
        self.pool(kind);
    }

    /// A key that nobody else gets, or the one that all leaves of the profile share.
    pub(super) async fn take(&self, kind: LeafKey) -> Result<FreshKey, KeyError> {
        match self.reuse {
            KeyReuse::PerLeaf => self.fresh(kind).await,
            KeyReuse::PerProfile => {
                let shared = &self.shared[place(kind)];
                shared.get_or_try_init(|| self.fresh(kind)).await.cloned()
            }
        }
    }

    async fn fresh(&self, kind: LeafKey) -> Result<FreshKey, KeyError> {
        match self.pool(kind) {
            Some(pool) => pool.take().await,
            None => make(kind),
        }
    }

    fn pool(&self, kind: LeafKey) -> Option<&Pool> {
        let (pool, size) = match kind {
            LeafKey::EcP256 | LeafKey::EcP384 | LeafKey::EcP521 | LeafKey::Ed25519 | LeafKey::FollowOrigin => {
                return None;
            }
            LeafKey::Rsa2048 => (&self.rsa[0], 2048),
            LeafKey::Rsa3072 => (&self.rsa[1], 3072),
            LeafKey::Rsa4096 => (&self.rsa[2], 4096),
        };
        let ready = match self.reuse {
            KeyReuse::PerLeaf => READY,
            KeyReuse::PerProfile => 1,
        };
        Some(pool.get_or_init(|| Pool::begin(kind, size, ready)))
    }
}

/// Where the shared key of a kind is kept.
fn place(kind: LeafKey) -> usize {
    match kind {
        LeafKey::EcP256 | LeafKey::FollowOrigin => 0,
        LeafKey::EcP384 => 1,
        LeafKey::EcP521 => 2,
        LeafKey::Ed25519 => 3,
        LeafKey::Rsa2048 => 4,
        LeafKey::Rsa3072 => 5,
        LeafKey::Rsa4096 => 6,
    }
}

/// Keys of one size, made by threads that pause while enough are ready.
struct Pool {
    // The lock hands keys out in the order of asking, so that a burst waits and nobody starves.
    ready: Mutex<mpsc::Receiver<Result<FreshKey, KeyError>>>,
}

impl Pool {
    fn begin(kind: LeafKey, size: u16, ready: usize) -> Self {
        let (sender, receiver) = mpsc::channel(ready);
        // Half of the processors: the other half has connections to serve.
        let threads = thread::available_parallelism().map_or(1, |count| (count.get() / 2).clamp(1, ready.min(4)));
        for number in 0..threads {
            let sender = sender.clone();
            let work = move || while sender.blocking_send(make(kind)).is_ok() {};
            // Where no thread can be had the channel closes, and whoever asks is told.
            let _ = thread::Builder::new().name(format!("rsa-{size}-{number}")).spawn(work);
        }
        Self { ready: Mutex::new(receiver) }
    }

    async fn take(&self) -> Result<FreshKey, KeyError> {
        self.ready.lock().await.recv().await.unwrap_or(Err(KeyError::Ended))
    }
}

fn make(kind: LeafKey) -> Result<FreshKey, KeyError> {
    let pair = match kind {
        LeafKey::EcP256 | LeafKey::FollowOrigin => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        LeafKey::EcP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        LeafKey::EcP521 => KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
        LeafKey::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
        LeafKey::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        LeafKey::Rsa3072 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
        LeafKey::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
    };
    FreshKey::of(pair.map_err(|error| KeyError::Generate(error.to_string()))?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[tokio::test]
    async fn a_burst_larger_than_the_pool_is_served_with_distinct_keys() {
        let keys = Arc::new(LeafKeys::default());
        let burst = (0..READY + 4).map(|_| {
            let keys = Arc::clone(&keys);
            tokio::spawn(async move { keys.take(LeafKey::Rsa2048).await.unwrap().pair.public_key_raw().to_vec() })
        });
        let mut seen = HashSet::new();
        for key in burst.collect::<Vec<_>>() {
            assert!(seen.insert(key.await.unwrap()));
        }
    }

    #[tokio::test]
    async fn a_shared_key_is_one_of_each_kind() {
        let keys = Arc::new(LeafKeys::new(KeyReuse::PerProfile));
        let mut seen = HashSet::new();
        for kind in [LeafKey::EcP256, LeafKey::EcP384, LeafKey::EcP521, LeafKey::Ed25519, LeafKey::Rsa2048] {
            let asking = (0..8).map(|_| {
                let keys = Arc::clone(&keys);
                tokio::spawn(async move { keys.take(kind).await.unwrap().pair.public_key_raw().to_vec() })
            });
            let mut answers = HashSet::new();
            for answer in asking.collect::<Vec<_>>() {
                answers.insert(answer.await.unwrap());
            }
            assert_eq!(answers.len(), 1, "{kind:?}");
            seen.extend(answers);
        }
        assert_eq!(seen.len(), 5);
    }

    #[tokio::test]
    async fn ec_keys_need_no_thread() {
        let keys = LeafKeys::default();
        let (a, b) = (keys.take(LeafKey::EcP256).await.unwrap(), keys.take(LeafKey::EcP256).await.unwrap());
        assert_ne!(a.pair.public_key_raw(), b.pair.public_key_raw());
        assert!(keys.rsa.iter().all(|pool| pool.get().is_none()));
    }
}
