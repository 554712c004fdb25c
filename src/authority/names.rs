//! Distinguished names (RFC 5280, 4.1.2.4): written from a profile, or taken over from an origin byte for byte.

use serde::Deserialize;

use crate::net::der::{self, Elements, tag};

/// The upper bound of a common name (RFC 5280, appendix A.1, `ub-common-name`).
pub(super) const MAX_COMMON_NAME: usize = 64;

/// The attribute types that profiles name.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum AttributeType {
    /// countryName, two letters.
    C,
    /// stateOrProvinceName.
    #[serde(rename = "ST")]
    St,
    /// localityName.
    L,
    /// organizationName.
    O,
    /// organizationalUnitName.
    #[serde(rename = "OU")]
    Ou,
    /// commonName.
    #[serde(rename = "CN")]
    Cn,
    /// emailAddress (PKCS #9).
    #[serde(rename = "emailAddress")]
    EmailAddress,
}

/// One attribute of a name, written `["CN", "Example Root"]` in a profile.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Attribute(pub AttributeType, pub String);

const OID_CN: &[u8] = &[0x55, 4, 3];
const OID_O: &[u8] = &[0x55, 4, 10];

impl AttributeType {
    pub(super) fn oid(self) -> &'static [u8] {
        match self {
            Self::C => &[0x55, 4, 6],
            Self::St => &[0x55, 4, 8],
            Self::L => &[0x55, 4, 7],
            Self::O => OID_O,
            Self::Ou => &[0x55, 4, 11],
            Self::Cn => OID_CN,
            Self::EmailAddress => &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1],
        }
    }

    /// The string type that RFC 5280 demands, UTF-8 where it leaves the choice.
    fn string_tag(self) -> u8 {
        match self {
            Self::C => tag::PRINTABLE_STRING,
            Self::EmailAddress => tag::IA5_STRING,
            _ => tag::UTF8_STRING,
        }
    }
}

/// Writes a name, one attribute per relative name, in the order given.
pub(super) fn write(attributes: &[Attribute]) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = attributes
        .iter()
        .map(|Attribute(kind, value)| {
            let oid = der::element(tag::OID, kind.oid());
            let value = der::element(kind.string_tag(), value.as_bytes());
            der::element(tag::SET, &der::wrap(tag::SEQUENCE, &[oid, value]))
        })
        .collect();
    der::wrap(tag::SEQUENCE, &parts)
}

/// The name that has nothing but this common name; empty where the name would be too long for one.
pub(super) fn common_name_alone(name: &str) -> Vec<u8> {
    if name.chars().count() > MAX_COMMON_NAME {
        return write(&[]);
    }
    write(&[Attribute(AttributeType::Cn, name.to_owned())])
}

/// The name with its last common name replaced, or appended where it has none.
pub(super) fn with_common_name(attributes: &[Attribute], name: &str) -> Vec<Attribute> {
    let mut attributes = attributes.to_vec();
    match attributes.iter_mut().rev().find(|attribute| attribute.0 == AttributeType::Cn) {
        Some(attribute) => name.clone_into(&mut attribute.1),
        None => attributes.push(Attribute(AttributeType::Cn, name.to_owned())),
    }
    attributes
}

/// Which attributes of an origin's subject are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    All,
    CommonName,
    CommonNameAndOrganization,
    Organization,
}

/// Takes over a name with its string types. A common name over 64 characters is dropped: OpenSSL and others refuse it.
pub(super) fn copy(name: &[u8], keep: Keep) -> Vec<u8> {
    let parts: Vec<&[u8]> = der::inside(tag::SEQUENCE, name)
        .into_iter()
        .flatten()
        .filter(|relative| {
            Elements(relative.content).all(|attribute| match attribute_parts(attribute.raw) {
                Some((OID_CN, length)) => length <= MAX_COMMON_NAME && keep != Keep::Organization,
                Some((OID_O, _)) => keep != Keep::CommonName,
                _ => keep == Keep::All,
            })
        })
        .map(|relative| relative.raw)
        .collect();
    der::wrap(tag::SEQUENCE, &parts)
}

/// The first common name of a name as text; `None` where it has none in a string type that can be read.
pub(super) fn common_name(name: &[u8]) -> Option<String> {
    use x509_parser::prelude::FromDer as _;
    let (_, name) = x509_parser::x509::X509Name::from_der(name).ok()?;
    name.iter_common_name().next()?.as_str().ok().map(ToOwned::to_owned)
}

/// One name of the attributes of several.
pub(super) fn join(names: &[Vec<u8>]) -> Vec<u8> {
    let parts: Vec<&[u8]> =
        names.iter().filter_map(|name| der::inside(tag::SEQUENCE, name)).flatten().map(|part| part.raw).collect();
    der::wrap(tag::SEQUENCE, &parts)
}

/// Whether a name has no attribute at all.
pub(super) fn is_empty(name: &[u8]) -> bool {
    der::inside(tag::SEQUENCE, name).is_none_or(|mut parts| parts.next().is_none())
}

/// The object identifier of an attribute and the length of its value in characters.
fn attribute_parts(attribute: &[u8]) -> Option<(&[u8], usize)> {
    let mut parts = der::inside(tag::SEQUENCE, attribute)?;
    let (oid, value) = (parts.next()?, parts.next()?);
    let length = match value.tag {
        tag::BMP_STRING => value.content.len() / 2,
        tag::UNIVERSAL_STRING => value.content.len() / 4,
        tag::UTF8_STRING => String::from_utf8_lossy(value.content).chars().count(),
        _ => value.content.len(),
    };
    Some((oid.content, length))
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::FromDer;
    use x509_parser::x509::X509Name;

    use super::*;

    fn text(name: &[u8]) -> String {
        X509Name::from_der(name).unwrap().1.to_string()
    }

    fn attributes(list: &[(AttributeType, &str)]) -> Vec<Attribute> {
        list.iter().map(|(kind, value)| Attribute(*kind, (*value).to_owned())).collect()
    }

    #[test]
    fn a_name_keeps_order_repetition_and_trailing_spaces() {
        use AttributeType::{C, Cn, Ou};
        let name = write(&attributes(&[(C, "US"), (Ou, "one"), (Ou, "two"), (Cn, "Root (t) ")]));
        assert_eq!(text(&name), "C=US, OU=one, OU=two, CN=Root (t) ");
        assert_eq!(copy(&name, Keep::All), name);
    }

    #[test]
    fn copying_leaves_out_what_the_profile_or_the_length_forbids() {
        use AttributeType::{C, Cn, O};
        let name = write(&attributes(&[(C, "US"), (O, "Octo"), (Cn, "a.example")]));
        assert_eq!(text(&copy(&name, Keep::CommonName)), "CN=a.example");
        assert_eq!(text(&copy(&name, Keep::CommonNameAndOrganization)), "O=Octo, CN=a.example");
        assert_eq!(text(&copy(&name, Keep::Organization)), "O=Octo");
        assert_eq!(text(&join(&[common_name_alone("b"), copy(&name, Keep::Organization)])), "CN=b, O=Octo");
        assert_eq!(common_name(&name).as_deref(), Some("a.example"));
        let long = "é".repeat(65);
        let name = write(&attributes(&[(O, "Octo"), (Cn, &long)]));
        assert_eq!(text(&copy(&name, Keep::All)), "O=Octo");
        let fits = write(&attributes(&[(Cn, &"é".repeat(64))]));
        assert_eq!(copy(&fits, Keep::All), fits);
        assert!(is_empty(&common_name_alone(&long)));
        assert!(is_empty(&copy(b"not der", Keep::All)));
    }
}
