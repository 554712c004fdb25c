//! What a profile's names leave open: ids of tenants, accounts and devices, made up once for each CA.
//!
//! `{hex:32}` in a name stands for 32 lower-case hexadecimal digits, `{digits:8}` for eight decimal ones. The values
//! follow from the public key of the root, so that they stay as long as the CA does and are stored with it; one
//! placeholder stands for one value all over a profile.

use aws_lc_rs::digest;
use rcgen::PublicKeyData;

use super::names::Attribute;

/// The longest value: two hexadecimal digits for each octet of a SHA-256.
const MOST: usize = 64;

/// The made-up values of one CA.
#[derive(Clone, Debug)]
pub(super) struct Invented {
    /// The root's SubjectPublicKeyInfo.
    seed: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Hex,
    Digits,
}

/// Part of a template.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Value(Kind, usize),
}

impl Invented {
    /// The values of the CA with this root key.
    pub(super) fn of(root: &impl PublicKeyData) -> Self {
        Self { seed: root.subject_public_key_info() }
    }

    /// A name with every placeholder filled in.
    pub(super) fn name(&self, template: &[Attribute]) -> Vec<Attribute> {
        template.iter().map(|Attribute(kind, value)| Attribute(*kind, self.fill(value))).collect()
    }

    /// A text with every placeholder filled in. Texts of a parsed profile have no wrong ones.
    pub(super) fn fill(&self, template: &str) -> String {
        let Ok(parts) = parts(template) else { return template.to_owned() };
        let values = parts.into_iter().map(|part| match part {
            Part::Text(text) => text.to_owned(),
            Part::Value(kind, length) => self.value(kind, length),
        });
        values.collect()
    }

    fn value(&self, kind: Kind, length: usize) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(match kind {
            Kind::Hex => b"middlebox placeholder: hex",
            Kind::Digits => b"middlebox placeholder: digits",
        });
        context.update(&length.to_be_bytes());
        context.update(&self.seed);
        let hash = context.finish();
        let nibbles = hash.as_ref().iter().flat_map(|octet| [octet >> 4, octet & 15]).take(length);
        let base = match kind {
            Kind::Hex => 16,
            Kind::Digits => 10,
        };
        nibbles.filter_map(|nibble| char::from_digit(u32::from(nibble) % base, base)).collect()
    }
}

/// Says what is wrong with the placeholders of a text.
pub(super) fn check(template: &str) -> Result<(), String> {
    parts(template).map(drop)
}

/// Whether a name could have come of this template, in whatever CA.
pub(super) fn fits(template: &str, name: &str) -> bool {
    let Ok(parts) = parts(template) else { return template == name };
    let mut rest = name;
    for part in parts {
        let after = match part {
            Part::Text(text) => rest.strip_prefix(text),
            Part::Value(kind, length) => {
                let base = if kind == Kind::Hex { 16 } else { 10 };
                let value = rest.get(..length).filter(|value| value.chars().all(|c| c.is_digit(base)));
                value.map(|value| &rest[value.len()..])
            }
        };
        let Some(after) = after else { return false };
        rest = after;
    }
    rest.is_empty()
}

fn parts(template: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let bad = |what: &str| {
            format!("`{{{what}}}` is no placeholder; there are `{{hex:N}}` and `{{digits:N}}`, N 1 to {MOST}")
        };
        let (inside, after) = after.split_once('}').ok_or_else(|| bad(after))?;
        let (kind, length) = match inside.split_once(':') {
            Some(("hex", length)) => (Kind::Hex, length),
            Some(("digits", length)) => (Kind::Digits, length),
            _ => return Err(bad(inside)),
        };
        let length = length.parse().ok().filter(|length| (1..=MOST).contains(length)).ok_or_else(|| bad(inside))?;
        parts.extend([Part::Text(before), Part::Value(kind, length)]);
        rest = after;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use rcgen::KeyPair;

    use super::*;

    #[test]
    fn a_value_is_of_its_ca_and_of_its_placeholder() {
        let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let fill = |key: &KeyPair, template: &str| Invented::of(key).fill(template);
        let name = fill(&one, "CA {hex:32} of {digits:6}.");
        assert_eq!(name.len(), "CA  of .".len() + 38);
        let (hex, digits) = name.strip_prefix("CA ").unwrap().split_once(" of ").unwrap();
        assert!(hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{name}");
        assert!(digits.strip_suffix('.').unwrap().bytes().all(|b| b.is_ascii_digit()), "{name}");
        assert_eq!(fill(&one, "{hex:32}"), hex);
        assert_ne!(fill(&other, "{hex:32}"), hex);
        assert_eq!(fill(&one, "no braces"), "no braces");
        assert_eq!(fill(&one, "{hex:64}").len(), 64);
    }

    #[test]
    fn what_a_template_can_become_fits_it() {
        let name = Invented::of(&KeyPair::generate().unwrap()).fill("CA {hex:32} of {digits:6}.");
        assert!(fits("CA {hex:32} of {digits:6}.", &name));
        assert!(!fits("CA {hex:32} of {digits:6}.", "CA 12 of 123456.") && !fits("CA {digits:2}", "CA 123"));
    }

    #[test]
    fn wrong_placeholders_are_named() {
        for bad in ["{hex}", "{hex:0}", "{hex:65}", "{HEX:3}", "a{", "{hex:2", "{ca}"] {
            assert!(check(bad).unwrap_err().contains("is no placeholder"), "{bad}");
        }
        assert_eq!(check("{hex:1}{digits:64}"), Ok(()));
    }
}
