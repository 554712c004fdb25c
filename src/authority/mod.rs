//! The inspection CA and what it signs: profiles of products, forged certificates, leaf keys.
//!
//! [`Authority`] is what a proxy holds: asked for a host, and shown the origin's certificate where there is one, it
//! answers with a certified key for the client's handshake. [`InspectionCa`] is the key that clients are made to
//! trust, [`Profile`] says how one product forges, [`Defect`] in what way it is to be wrong on request. A leaf never
//! shares a key with its CA; whether leaves share one is for the profile to say.

mod ca;
mod constraint;
mod defect;
mod error;
mod external;
mod fault;
mod forge;
mod forged;
#[cfg(test)]
mod golden;
mod invent;
mod keys;
mod leaf;
mod mint;
mod names;
mod order;
mod origin;
mod password;
mod profile;
mod recognise;
mod rules;
mod sign;
mod store;
#[cfg(test)]
mod testing;

pub use ca::InspectionCa;
pub use constraint::{Permit, PermitError};
pub use defect::{Defect, UnknownDefect};
pub use error::CaError;
pub use fault::{Mirror, OriginFault, OriginTrust};
pub use forge::Authority;
pub use forged::{ForgeError, Forged, Freshness, Mirrored, SignedBy};
pub use keys::KeyError;
pub use names::{Attribute, AttributeType};
pub use password::Password;
pub use profile::{
    AltSvc, CaKey, Confidence, Fact, FactStatus, Learning, Profile, ProfileError, TlsOffer, TlsVersion, Undecryptable,
    UndecryptableAction, UntrustedAction,
};
pub use recognise::{Fit, Recognised, recognise};
pub use rules::{KeyReuse, LeafKey};
pub use sign::SignError;
