//! The rules of a profile for its leaves: key, dates, subject, names, serial number and extensions.

use serde::Deserialize;
use toml::Spanned;

use crate::source::{Document, PlaceError};

/// The longest life of any certificate of a profile, in days.
pub(super) const MAX_DAYS: u32 = 20_000;

/// What stands in a leaf, and after what.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) key: LeafKey,
    pub(super) key_reuse: KeyReuse,
    pub(super) validity: Validity,
    pub(super) subject: Subject,
    pub(super) san: San,
    pub(super) serial: Serial,
    pub(super) key_usage: KeyUsage,
    pub(super) extended_key_usage: ExtendedKeyUsage,
    pub(super) basic_constraints: LeafConstraints,
    pub(super) authority_key_identifier: bool,
    pub(super) subject_key_identifier: bool,
    pub(super) crl_distribution_point: Option<String>,
}

/// The key of a forged leaf.
#[derive(Clone, Copy, Debug, Deserialize, Hash, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum LeafKey {
    /// ECDSA on P-256.
    EcP256,
    /// ECDSA on P-384.
    EcP384,
    /// ECDSA on P-521. Few browsers offer it (RFC 8446, 4.2.3 leaves it optional).
    EcP521,
    /// Ed25519 (RFC 8410). Few browsers offer it.
    Ed25519,
    /// RSA with 2,048 bits.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA with 3,072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// RSA with 4,096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
    /// The algorithm of the origin's key, and the size next to its own.
    FollowOrigin,
}

/// How many leaves have one key. It is never the key of a CA.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum KeyReuse {
    /// Each leaf has its own.
    #[default]
    PerLeaf,
    /// All leaves with the same kind of key share one, made at start, so that all hosts have one pin.
    PerProfile,
}

/// The dates of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    /// The origin's dates.
    Copy {
        /// The longest span in days; unlimited where absent.
        max_days: Option<u32>,
        /// Whether a leaf that is valid now ends with its issuer at the latest.
        within_issuer: bool,
    },
    /// So many days, begun so many days ago.
    Fixed { days: u32, backdate_days: u32 },
}

/// The serial number of a leaf (RFC 5280, 4.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serial {
    /// So many random octets.
    Random { octets: u8 },
    /// Seconds since 1970; where two leaves are made in one second the second gets the next number.
    UnixTime,
    /// The SHA-1 of everything else in the certificate, so that the same content has the same number.
    ContentSha1,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Subject {
    Copy,
    CnOnly,
    CnAndOrganization,
    /// The host as common name.
    HostOnly,
    /// The first alternative name as common name, then the origin's organization.
    FirstNameAndOrganization,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum San {
    Copy,
    HostOnly,
    CopyAndHost,
    /// The origin's common name, its alternative names and the host, each once, in this order.
    Union,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum KeyUsage {
    /// digitalSignature, with keyEncipherment for RSA.
    ForKey,
    Copy,
    Absent,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ExtendedKeyUsage {
    ServerAuth,
    ServerAndClientAuth,
    Copy,
    Absent,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LeafConstraints {
    Critical,
    NotCritical,
    Copy,
    Absent,
}

/// `[leaf]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawLeaf {
    key: LeafKey,
    #[serde(default)]
    key_reuse: KeyReuse,
    validity: Spanned<RawValidity>,
    subject: Subject,
    san: San,
    serial: Spanned<RawSerial>,
    key_usage: KeyUsage,
    extended_key_usage: ExtendedKeyUsage,
    basic_constraints: LeafConstraints,
    authority_key_identifier: bool,
    subject_key_identifier: bool,
    crl_distribution_point: Option<String>,
}

/// Flat, because serde's tagged enums forget the place of what is inside them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawValidity {
    rule: ValidityRule,
    max_days: Option<Spanned<u32>>,
    within_issuer: Option<Spanned<bool>>,
    days: Option<Spanned<u32>>,
    backdate_days: Option<Spanned<u32>>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum ValidityRule {
    Copy,
    Fixed,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawSerial {
    rule: SerialRule,
    octets: Option<Spanned<u8>>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum SerialRule {
    Random,
    UnixTime,
    ContentSha1,
}

impl RawLeaf {
    /// The rules, or the place of the first that contradicts itself.
    pub(super) fn read(self, document: &Document) -> Result<Leaf, PlaceError> {
        Ok(Leaf {
            key: self.key,
            key_reuse: self.key_reuse,
            validity: read_validity(&self.validity, document)?,
            subject: self.subject,
            san: self.san,
            serial: read_serial(&self.serial, document)?,
            key_usage: self.key_usage,
            extended_key_usage: self.extended_key_usage,
            basic_constraints: self.basic_constraints,
            authority_key_identifier: self.authority_key_identifier,
            subject_key_identifier: self.subject_key_identifier,
            crl_distribution_point: self.crl_distribution_point,
        })
    }
}

fn read_validity(raw: &Spanned<RawValidity>, document: &Document) -> Result<Validity, PlaceError> {
    let text = raw.get_ref();
    let wrong = |span, message: &str| document.error(span, message, None);
    let misplaced = |span, message: &str| match span {
        Some(span) => Err(wrong(span, message)),
        None => Ok(()),
    };
    match text.rule {
        ValidityRule::Copy => {
            let strange = text.days.as_ref().or(text.backdate_days.as_ref()).map(Spanned::span);
            misplaced(strange, "`days` and `backdate-days` are for the rule `fixed`")?;
            if let Some(days) = text.max_days.as_ref().filter(|days| !(1..=MAX_DAYS).contains(days.get_ref())) {
                return Err(wrong(days.span(), "a leaf lives 1 to 20000 days"));
            }
            let Some(within_issuer) = &text.within_issuer else {
                return Err(wrong(raw.span(), "the rule `copy` needs `within-issuer = true` or `false`"));
            };
            let max_days = text.max_days.as_ref().map(|days| *days.get_ref());
            Ok(Validity::Copy { max_days, within_issuer: *within_issuer.get_ref() })
        }
        ValidityRule::Fixed => {
            misplaced(text.max_days.as_ref().map(Spanned::span), "`max-days` is for the rule `copy`")?;
            misplaced(text.within_issuer.as_ref().map(Spanned::span), "`within-issuer` is for the rule `copy`")?;
            let (Some(days), Some(backdate)) = (&text.days, &text.backdate_days) else {
                return Err(wrong(raw.span(), "the rule `fixed` needs `days` and `backdate-days`"));
            };
            if !(1..=MAX_DAYS).contains(days.get_ref()) {
                return Err(wrong(days.span(), "a leaf lives 1 to 20000 days"));
            }
            if *backdate.get_ref() >= *days.get_ref() {
                return Err(wrong(backdate.span(), "a leaf that begins `days` ago or earlier is over when it is made"));
            }
            Ok(Validity::Fixed { days: *days.get_ref(), backdate_days: *backdate.get_ref() })
        }
    }
}

fn read_serial(raw: &Spanned<RawSerial>, document: &Document) -> Result<Serial, PlaceError> {
    let wrong = |span, message: &str| Err(document.error(span, message, None));
    match (raw.get_ref().rule, &raw.get_ref().octets) {
        (SerialRule::Random, Some(octets)) if (1..=20).contains(octets.get_ref()) => {
            Ok(Serial::Random { octets: *octets.get_ref() })
        }
        (SerialRule::Random, Some(octets)) => {
            wrong(octets.span(), "a serial number has 1 to 20 octets (RFC 5280, 4.1.2.2)")
        }
        (SerialRule::Random, None) => wrong(raw.span(), "the rule `random` needs `octets`, 1 to 20"),
        (_, Some(octets)) => wrong(octets.span(), "`octets` is for the rule `random`"),
        (SerialRule::UnixTime, None) => Ok(Serial::UnixTime),
        (SerialRule::ContentSha1, None) => Ok(Serial::ContentSha1),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Profile;
    use super::*;

    const GENERIC: &str = include_str!("../../certs/profiles/generic.toml");

    /// The error for another value of one key of the generic profile, with the text that it points at.
    fn error(key: &str, value: &str) -> (String, String) {
        let old = GENERIC.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
        let document = Document::new("p.toml", GENERIC.replacen(old, &format!("{key} = {value}"), 1));
        let error = Profile::parse(&document).unwrap_err();
        let (line, column) = error.line_column();
        (error.message().to_owned(), document.line(line).chars().skip(column - 1).take(9).collect())
    }

    #[test]
    fn mistakes_inside_a_rule_point_at_their_key() {
        for (key, value, message, place) in [
            (
                "validity",
                "{ rule = \"copy\", max-days = 0, within-issuer = true }",
                "a leaf lives 1 to 20000",
                "0, within",
            ),
            ("validity", "{ rule = \"copy\", within-isuer = true }", "unknown field `within-isuer`", "within-is"),
            ("validity", "{ rule = \"copy\" }", "the rule `copy` needs", "{ rule = "),
            ("validity", "{ rule = \"copy\", days = 77, within-issuer = true }", "`days` and", "77, withi"),
            ("validity", "{ rule = \"coppy\" }", "unknown variant `coppy`", "\"coppy\" }"),
            ("validity", "{ rule = \"fixed\", days = 4000000, backdate-days = 0 }", "a leaf lives", "4000000, "),
            ("validity", "{ rule = \"fixed\", days = 7, backdate-days = 7 }", "a leaf that begins", "7 }"),
            ("validity", "{ rule = \"fixed\", days = 7, backdate-days = 1, max-days = 9 }", "`max-days` is for", "9 }"),
            ("validity", "{ rule = \"fixed\", days = 7, backdate-days = \"1\" }", "invalid type", "\"1\" }"),
            ("serial", "{ rule = \"random\", octets = 21 }", "a serial number has 1 to 20 octets", "21 }"),
            ("serial", "{ rule = \"random\" }", "the rule `random` needs `octets`", "{ rule = "),
            ("serial", "{ rule = \"unix-time\", octets = 4 }", "`octets` is for the rule `random`", "4 }"),
        ] {
            let (said, at) = error(key, value);
            assert!(said.starts_with(message), "{value}: {said}");
            assert_eq!(at, place, "{value}: {said}");
        }
    }
}
