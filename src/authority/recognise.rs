//! Which product signed a chain, by the names that its profile gives its CAs.

use rustls_pki_types::CertificateDer;
use serde::Serialize;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use super::invent;
use super::names::{Attribute, AttributeType};
use super::profile::Profile;

/// A product whose names stand in a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recognised {
    /// The name of its profile.
    pub profile: String,
    /// The product, for people.
    pub product: String,
    /// How well the names fit.
    pub fit: Fit,
    /// The name in the chain.
    pub name: String,
}

/// How well the names of a chain fit those of a profile, the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// The vendor's organization stands in it, with another name of the CA than the profile has.
    Organization,
    /// The whole name is the profile's, but administrators choose theirs: another product may have the same.
    ChosenName,
    /// The whole name is the one that the product itself gives its CAs.
    VendorsName,
}

/// The profile that fits best; none where the chain has no name that any of them has.
#[must_use]
pub fn recognise(chain: &[CertificateDer<'_>]) -> Option<Recognised> {
    let parsed: Vec<_> = chain.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1)).collect();
    let issuers: Vec<&X509Name<'_>> = parsed.iter().map(|certificate| certificate.issuer()).collect();
    let profiles = Profile::built_in().filter_map(|name| Profile::load(name).ok());
    let fits = profiles.flat_map(|profile| {
        let fits = issuers.iter().filter_map(|issuer| {
            let fit = fit(&profile, issuer)?;
            let (profile, product) = (profile.name().to_owned(), profile.title().to_owned());
            Some(Recognised { profile, product, fit, name: issuer.to_string() })
        });
        fits.collect::<Vec<_>>()
    });
    // The first of equals is the one that stands next to the leaf.
    fits.reduce(|best, next| if next.fit > best.fit { next } else { best })
}

fn fit(profile: &Profile, name: &X509Name<'_>) -> Option<Fit> {
    let found = attributes(name);
    let templates = profile.ca_names();
    let equal = |template: &Vec<Attribute>| {
        template.len() == found.len()
            && template
                .iter()
                .zip(&found)
                .all(|(Attribute(kind, value), (oid, said))| kind.oid() == oid.as_slice() && invent::fits(value, said))
    };
    if templates.iter().any(equal) {
        return Some(if is_chosen(&templates) { Fit::ChosenName } else { Fit::VendorsName });
    }
    if is_chosen(&templates) {
        return None;
    }
    let organization = |Attribute(kind, value): &Attribute| {
        *kind == AttributeType::O && found.iter().any(|(oid, said)| kind.oid() == oid.as_slice() && value == said)
    };
    templates.iter().flatten().any(organization).then_some(Fit::Organization)
}

/// Where the product has no name of its own, its profile has that of an example company.
fn is_chosen(templates: &[Vec<Attribute>]) -> bool {
    templates.iter().flatten().any(|Attribute(kind, value)| *kind == AttributeType::O && value == "Example Corp")
}

fn attributes(name: &X509Name<'_>) -> Vec<(Vec<u8>, String)> {
    let text = |value: &x509_parser::der_parser::asn1_rs::Any<'_>| String::from_utf8_lossy(value.data).into_owned();
    name.iter_attributes()
        .map(|attribute| (attribute.attr_type().as_bytes().to_vec(), text(attribute.attr_value())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::testing::{authority, host};

    #[tokio::test]
    async fn every_profile_is_recognised_by_its_own_chain() {
        for name in Profile::built_in() {
            let forged = authority(name, &[]).forge(&host("acme.example"), None).await.unwrap();
            let found = recognise(&forged.certified.cert).unwrap_or_else(|| panic!("{name}"));
            let chosen = ["pan-os", "squid", "cisco-ftd"].contains(&name);
            assert_eq!((found.profile.as_str(), found.fit == Fit::ChosenName), (name, chosen), "{found:?}");
        }
    }

    #[test]
    fn a_vendors_organization_is_less_than_its_whole_name_and_others_are_nothing() {
        let profile = Profile::load("zscaler").unwrap();
        let write = |attributes: &[(AttributeType, &str)]| {
            let attributes: Vec<_> = attributes.iter().map(|(kind, value)| Attribute(*kind, (*value).into())).collect();
            super::super::names::write(&attributes)
        };
        let fit_of = |attributes: &[(AttributeType, &str)]| {
            let der = write(attributes);
            fit(&profile, &X509Name::from_der(&der).unwrap().1)
        };
        let organization = (AttributeType::O, "Zscaler Inc.");
        assert_eq!(fit_of(&[organization, (AttributeType::Cn, "Another CA")]), Some(Fit::Organization));
        assert_eq!(fit_of(&[(AttributeType::O, "Example Corp"), (AttributeType::Cn, "Another CA")]), None);
    }
}
