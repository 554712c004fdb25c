//! The inspection CA and what it signs: profiles of products, forged certificates, leaf keys.
//!
//! [`Profile`] says how one product forges.

mod constraint;
mod der;
mod names;
mod profile;
mod sign;

pub use constraint::{Permit, PermitError};
pub use names::{Attribute, AttributeType};
pub use profile::{
    CaKey, Confidence, Fact, FactStatus, LeafKey, Profile, ProfileError, TlsOffer, TlsVersion, UntrustedAction,
};
pub use sign::SignError;
