//! What the simulated Okta remembers: its organizations, sign-ins under way, codes and tokens.
//!
//! All organizations of one internet live in one cell, so that a token is good at every host of every one of them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use serde_json::{Value, json};
use url::Url;

use super::{OriginSpec, SimulationError};
use crate::net::Host;

/// How long an authorization code or a sign-in under way is good (RFC 6749, 4.1.2 recommends 10 minutes at most).
const CODE_LIFE: Duration = Duration::from_secs(300);
/// How long an access token is good.
pub(super) const TOKEN_LIFE: Duration = Duration::from_secs(3600);
/// Tickets of one sort that are kept; the oldest gives way.
const TICKETS: usize = 10_000;

/// Where clients enroll unless the organization names another place.
pub(super) const ENROLL_PATH: &str = "/idp/authenticators";

/// A running simulated Okta organization: one organization, several hosts.
#[derive(Clone)]
pub struct Organization(Arc<State>);

struct State {
    id: String,
    canonical: Host,
    custom: Option<Host>,
    enroll_link: RwLock<Option<Url>>,
    assets: Option<Host>,
    cell: Arc<Cell>,
}

/// One simulated Okta cell.
#[derive(Default)]
pub(super) struct Cell {
    organizations: Mutex<Vec<Weak<State>>>,
    sign_ins: Mutex<Tickets<SignIn>>,
    codes: Mutex<Tickets<SignIn>>,
    tokens: Mutex<Tickets<()>>,
}

/// An authorization request (RFC 6749, 4.1.1) with its PKCE challenge (RFC 7636, method S256).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignIn {
    pub(super) client_id: String,
    pub(super) redirect_uri: Url,
    pub(super) state: String,
    pub(super) code_challenge: String,
}

impl Organization {
    pub(super) fn found(cell: &Arc<Cell>, spec: &OriginSpec) -> Result<Self, SimulationError> {
        let OriginSpec { hosts, enroll_link, .. } = spec;
        let custom = spec.custom_domain.as_ref();
        let first = hosts.first().ok_or(SimulationError::NoHost(1))?;
        let main = |host: &&Host| {
            let special = host.name().is_some_and(|name| name.contains(".mtls.") || name.contains(".kerberos."));
            !special && custom != Some(*host)
        };
        let state = State {
            id: identifier("00o")?,
            canonical: hosts.iter().find(main).unwrap_or(first).clone(),
            custom: custom.cloned(),
            enroll_link: RwLock::new(enroll_link.clone().map(https).transpose()?),
            assets: spec.sign_in_assets.clone(),
            cell: cell.clone(),
        };
        let organization = Self(Arc::new(state));
        let mut known = cell.organizations.lock().unwrap_or_else(PoisonError::into_inner);
        known.push(Arc::downgrade(&organization.0));
        Ok(organization)
    }

    /// The organization's id, `00o…`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The host that its canonical URL names.
    #[must_use]
    pub fn canonical_host(&self) -> &Host {
        &self.0.canonical
    }

    /// The host from which the sign-in page loads its script.
    pub(super) fn assets(&self) -> Option<&Host> {
        self.0.assets.as_ref()
    }

    /// Changes where clients are sent to enroll, while it runs; `None` is `/idp/authenticators` of the host they ask.
    ///
    /// # Errors
    /// The link is no https URL.
    pub fn set_enroll_link(&self, link: Option<Url>) -> Result<(), SimulationError> {
        let link = link.map(https).transpose()?;
        *self.0.enroll_link.write().unwrap_or_else(PoisonError::into_inner) = link;
        Ok(())
    }

    /// Where clients that ask `host` are sent to enroll.
    pub(super) fn enroll_link(&self, host: &Host) -> String {
        let link = self.0.enroll_link.read().unwrap_or_else(PoisonError::into_inner);
        link.as_ref().map_or_else(|| format!("{}{ENROLL_PATH}", base(host)), Url::to_string)
    }

    /// The answer of `/.well-known/okta-organization`.
    pub(super) fn describe(&self) -> Value {
        let mut links = json!({ "organization": { "href": base(&self.0.canonical) } });
        if let Some(custom) = &self.0.custom {
            links["alternate"] = json!({ "href": base(custom) });
        }
        json!({
            "id": self.0.id,
            "pipeline": "idx",
            "cell": "sim1",
            "_links": links,
            "settings": { "analyticsCollectionEnabled": true, "bugReportingEnabled": true, "omEnabled": false },
        })
    }

    pub(super) fn cell(&self) -> &Cell {
        &self.0.cell
    }
}

impl fmt::Debug for Organization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { id, canonical, custom, .. } = &*self.0;
        f.debug_struct("Organization").field("id", id).field("canonical", canonical).field("custom", custom).finish()
    }
}

impl Cell {
    /// Whether some organization of the cell enrolls at this path.
    pub(super) fn enrolls_at(&self, path: &str) -> bool {
        let organizations = self.organizations.lock().unwrap_or_else(PoisonError::into_inner);
        path == ENROLL_PATH
            || organizations.iter().filter_map(Weak::upgrade).any(|organization| {
                let link = organization.enroll_link.read().unwrap_or_else(PoisonError::into_inner);
                link.as_ref().is_some_and(|link| link.path() == path)
            })
    }

    /// A sign-in page is shown: returns the state token of its form.
    pub(super) fn begin(&self, sign_in: SignIn) -> Result<String, SimulationError> {
        issue(&self.sign_ins, sign_in, CODE_LIFE)
    }

    /// The form was sent: returns the authorization request with its code.
    pub(super) fn sign_in(&self, state_token: &str) -> Result<Option<(SignIn, String)>, SimulationError> {
        let Some(sign_in) = take(&self.sign_ins, state_token) else { return Ok(None) };
        let code = issue(&self.codes, sign_in.clone(), CODE_LIFE)?;
        Ok(Some((sign_in, code)))
    }

    /// What a code stands for; it is good once.
    pub(super) fn redeem(&self, code: &str) -> Option<SignIn> {
        take(&self.codes, code)
    }

    pub(super) fn token(&self) -> Result<String, SimulationError> {
        issue(&self.tokens, (), TOKEN_LIFE)
    }

    pub(super) fn knows_token(&self, token: &str) -> bool {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.good.get(token).is_some_and(|(until, ())| *until > Instant::now())
    }
}

/// Secrets with what they stand for and until when.
struct Tickets<T> {
    good: HashMap<String, (Instant, T)>,
    order: VecDeque<String>,
}

impl<T> Default for Tickets<T> {
    fn default() -> Self {
        Self { good: HashMap::new(), order: VecDeque::new() }
    }
}

fn issue<T>(tickets: &Mutex<Tickets<T>>, value: T, life: Duration) -> Result<String, SimulationError> {
    let secret = random_text(40)?;
    let mut tickets = tickets.lock().unwrap_or_else(PoisonError::into_inner);
    if tickets.order.len() >= TICKETS
        && let Some(oldest) = tickets.order.pop_front()
    {
        tickets.good.remove(&oldest);
    }
    tickets.order.push_back(secret.clone());
    tickets.good.insert(secret.clone(), (Instant::now() + life, value));
    Ok(secret)
}

fn take<T>(tickets: &Mutex<Tickets<T>>, secret: &str) -> Option<T> {
    let mut tickets = tickets.lock().unwrap_or_else(PoisonError::into_inner);
    let (until, value) = tickets.good.remove(secret)?;
    (until > Instant::now()).then_some(value)
}

/// An id as Okta writes them: a prefix of three characters and 17 letters or digits.
pub(super) fn identifier(prefix: &str) -> Result<String, SimulationError> {
    Ok(format!("{prefix}{}", random_text(17)?))
}

fn random_text(length: usize) -> Result<String, SimulationError> {
    // 64 characters, so that the six low bits of a random byte choose evenly; the last two repeat.
    const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ012345678901";
    let mut bytes = vec![0; length];
    rand::fill(&mut bytes).map_err(|_| SimulationError::Random)?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect())
}

/// `https://host`, without a slash at its end, as Okta writes it.
fn base(host: &Host) -> String {
    match host {
        Host::Ip(std::net::IpAddr::V6(ip)) => format!("https://[{ip}]"),
        other => format!("https://{other}"),
    }
}

fn https(link: Url) -> Result<Url, SimulationError> {
    if link.scheme() == "https" && link.has_host() { Ok(link) } else { Err(SimulationError::EnrollLink(link)) }
}
