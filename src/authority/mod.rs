//! The inspection CA and what it signs: profiles of products, forged certificates, leaf keys.
//!
//! [`Authority`] is what a proxy holds: asked for a host, and shown the origin's certificate where there is one, it
//! answers with a certified key for the client's handshake. [`InspectionCa`] is the key that clients are made to
//! trust, [`Profile`] says how one product forges. A leaf never shares a key with its CA or with another leaf.

mod ca;
mod constraint;
mod der;
mod error;
mod external;
mod fault;
mod forge;
mod forged;
mod keys;
mod leaf;
mod names;
mod order;
mod origin;
mod profile;
mod sign;
mod store;

pub use ca::InspectionCa;
pub use constraint::{Permit, PermitError};
pub use error::CaError;
pub use fault::{Mirror, OriginFault, OriginTrust};
pub use forge::Authority;
pub use forged::{ForgeError, Forged, Freshness, Mirrored, SignedBy};
pub use keys::KeyError;
pub use names::{Attribute, AttributeType};
pub use profile::{
    CaKey, Confidence, Fact, FactStatus, LeafKey, Profile, ProfileError, TlsOffer, TlsVersion, UntrustedAction,
};
pub use sign::SignError;
