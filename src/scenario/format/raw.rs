//! The file as TOML has it: every key, no meaning yet. What serde reports here are unknown keys and wrong types.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use toml::Spanned;

pub(super) type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawScenario {
    pub(super) name: Text,
    pub(super) summary: Option<String>,
    #[serde(default)]
    pub(super) middlebox: RawMiddlebox,
    pub(super) gateway: Option<RawMiddlebox>,
    #[serde(default, rename = "origin")]
    pub(super) origins: Vec<Spanned<RawOrigin>>,
    #[serde(default)]
    pub(super) workstation: RawWorkstation,
    #[serde(default, rename = "step")]
    pub(super) steps: Vec<Spanned<RawStep>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "the table of a middlebox")]
pub(super) struct RawMiddlebox {
    pub(super) profile: Option<Text>,
    pub(super) default: Option<Text>,
    pub(super) dialect: Option<Text>,
    pub(super) on_change: Option<Text>,
    pub(super) decide_at: Option<Text>,
    pub(super) policy: Option<Text>,
    #[serde(default)]
    pub(super) permit: List,
    pub(super) proxy_auth: Option<RawCredentials>,
    #[serde(default, rename = "rule")]
    pub(super) rules: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table ({ user = \"…\", password = \"…\" })")]
pub(super) struct RawCredentials {
    pub(super) user: Text,
    pub(super) password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table ({ pattern = \"*.okta.com\", action = \"bypass\" })")]
pub(super) struct RawRule {
    pub(super) pattern: Text,
    pub(super) action: Text,
    pub(super) enabled: Option<bool>,
    #[serde(default)]
    pub(super) ports: Vec<Spanned<u16>>,
    #[serde(default)]
    pub(super) clients: List,
    pub(super) note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "the table `[[origin]]`")]
pub(super) struct RawOrigin {
    pub(super) hosts: Spanned<List>,
    pub(super) app: Option<Text>,
    pub(super) certificate: Option<Text>,
    pub(super) custom_domain: Option<Text>,
    pub(super) enroll_link: Option<Text>,
    pub(super) sign_in_assets: Option<Text>,
    pub(super) alpn: Option<Spanned<List>>,
    pub(super) alt_svc: Option<Text>,
    pub(super) revocation: Option<Spanned<RawRevocation>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table ({ ocsp = \"HOST\", crl = \"HOST\" })")]
pub(super) struct RawRevocation {
    pub(super) ocsp: Option<Text>,
    pub(super) crl: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table ({ proxy = \"off\" })")]
pub(super) struct RawWorkstation {
    pub(super) proxy: Option<Text>,
    pub(super) service_proxy: Option<Text>,
    pub(super) pac: Option<Text>,
    pub(super) trust_inspection_ca: Option<bool>,
    pub(super) proxy_credentials: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "the table `[[step]]`")]
pub(super) struct RawStep {
    pub(super) name: Text,
    pub(super) enroll: Option<Spanned<RawEnroll>>,
    pub(super) browse: Option<Spanned<RawBrowse>>,
    pub(super) fast_pass: Option<Spanned<RawTarget>>,
    pub(super) command: Option<Spanned<RawCommand>>,
    pub(super) bypass: Option<Spanned<RawBypass>>,
    pub(super) workstation: Option<Spanned<RawWorkstation>>,
    pub(super) keep_open: Option<Spanned<RawTarget>>,
    pub(super) organization: Option<Spanned<RawOrganization>>,
    pub(super) middlebox: Option<Spanned<RawMiddleboxChange>>,
    pub(super) gateway: Option<Spanned<RawMiddleboxChange>>,
    pub(super) expect: Option<Spanned<RawExpect>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table ({ url = \"https://…\" })")]
pub(super) struct RawEnroll {
    pub(super) url: Text,
    #[serde(default)]
    pub(super) late: bool,
    pub(super) sni: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table ({ url = \"https://…\" })")]
pub(super) struct RawBrowse {
    pub(super) url: Text,
    pub(super) sni: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table ({ url = \"https://…\" })")]
pub(super) struct RawTarget {
    pub(super) url: Text,
}

/// A list of words, or a table around one.
pub(super) struct RawCommand {
    pub(super) run: Vec<Text>,
    pub(super) timeout: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table ({ add = [\"*.okta.com\"] })")]
pub(super) struct RawBypass {
    pub(super) of: Option<Text>,
    #[serde(default)]
    pub(super) add: List,
    #[serde(default)]
    pub(super) remove: List,
    #[serde(default)]
    pub(super) on: List,
    #[serde(default)]
    pub(super) off: List,
    pub(super) at: Option<Spanned<usize>>,
    #[serde(default)]
    pub(super) clients: Option<Spanned<List>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table ({ host = \"…\", enroll-link = \"…\" })")]
pub(super) struct RawOrganization {
    pub(super) host: Text,
    pub(super) enroll_link: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table ({ on-change = \"drain\" })")]
pub(super) struct RawMiddleboxChange {
    pub(super) on_change: Option<Text>,
    pub(super) decide_at: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table ({ outcome = \"enrolled\" })")]
pub(super) struct RawExpect {
    pub(super) outcome: Option<Text>,
    pub(super) cause: Option<Text>,
    pub(super) cause_among: Option<Text>,
    pub(super) message: Option<Text>,
    pub(super) log: Option<Spanned<OneOrMore>>,
    pub(super) decision: Option<Text>,
    pub(super) rule: Option<Text>,
    pub(super) status: Option<Spanned<u16>>,
    pub(super) exit: Option<Spanned<i32>>,
    pub(super) host: Option<Text>,
    pub(super) by: Option<Text>,
    pub(super) version: Option<Text>,
    pub(super) warning: Option<Spanned<OneOrMore>>,
    pub(super) rejected: Option<Text>,
}

/// A list of texts.
#[derive(Default)]
pub(super) struct List(pub(super) Vec<Text>);

/// One text (whose place is that of the whole), or a list of them.
pub(super) enum OneOrMore {
    One(String),
    More(Vec<Text>),
}

impl<'de> Deserialize<'de> for RawCommand {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            run: Vec<Text>,
            timeout: Option<Text>,
        }

        struct ListOrTable;

        impl<'de> Visitor<'de> for ListOrTable {
            type Value = RawCommand;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a list ([\"curl\", \"https://…\"]) or a table ({ run = [\"curl\", …], timeout = \"10s\" })",
                )
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<RawCommand, A::Error> {
                let run = Vec::deserialize(SeqAccessDeserializer::new(items))?;
                Ok(RawCommand { run, timeout: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<RawCommand, A::Error> {
                let Table { run, timeout } = Table::deserialize(MapAccessDeserializer::new(entries))?;
                Ok(RawCommand { run, timeout })
            }
        }

        deserializer.deserialize_any(ListOrTable)
    }
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrList;

        impl<'de> Visitor<'de> for TextOrList {
            type Value = OneOrMore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<OneOrMore, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(OneOrMore::More)
            }
        }

        deserializer.deserialize_any(TextOrList)
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;

        impl<'de> Visitor<'de> for Texts {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts ([\"…\"])")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<List, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(List)
            }
        }

        deserializer.deserialize_seq(Texts)
    }
}
