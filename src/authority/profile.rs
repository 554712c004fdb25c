//! Profiles: how one product forges certificates and what it offers in the handshake.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use toml::Spanned;

use super::invent::{self, Invented};
use super::names::{self, Attribute, AttributeType};
use super::rules::{KeyReuse, Leaf, MAX_DAYS, RawLeaf};
use crate::source::{Document, DocumentError, PlaceError, did_you_mean};

/// The profiles that come with the program.
const BUILT_IN: [(&str, &str); 11] = [
    ("generic", include_str!("../../certs/profiles/generic.toml")),
    ("zscaler", include_str!("../../certs/profiles/zscaler.toml")),
    ("pan-os", include_str!("../../certs/profiles/pan-os.toml")),
    ("fortigate", include_str!("../../certs/profiles/fortigate.toml")),
    ("squid", include_str!("../../certs/profiles/squid.toml")),
    ("netskope", include_str!("../../certs/profiles/netskope.toml")),
    ("umbrella", include_str!("../../certs/profiles/umbrella.toml")),
    ("cloudflare", include_str!("../../certs/profiles/cloudflare.toml")),
    ("sophos", include_str!("../../certs/profiles/sophos.toml")),
    ("mitmproxy", include_str!("../../certs/profiles/mitmproxy.toml")),
    ("cisco-ftd", include_str!("../../certs/profiles/cisco-ftd.toml")),
];

/// Stands for the root's common name in `issuer-common-name`.
const ROOT_NAME: &str = "{ca}";

/// How one product forges. Read from TOML, with the standing of every fact in it.
#[derive(Clone, Debug)]
pub struct Profile {
    name: String,
    title: String,
    deviates: Vec<String>,
    pub(super) root: Root,
    pub(super) intermediates: Vec<Intermediate>,
    pub(super) leaf: Leaf,
    untrusted: Untrusted,
    tls: TlsOffer,
    undecryptable: Undecryptable,
    headers: Vec<(HeaderName, HeaderValue)>,
    facts: Vec<Fact>,
}

/// A profile as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawProfile {
    name: Spanned<String>,
    title: String,
    #[serde(default)]
    deviates: Vec<String>,
    root: Root,
    #[serde(default, rename = "intermediate")]
    intermediates: Vec<Spanned<Intermediate>>,
    leaf: RawLeaf,
    untrusted: Spanned<Untrusted>,
    tls: TlsOffer,
    #[serde(default)]
    undecryptable: Undecryptable,
    #[serde(default, rename = "header")]
    headers: Vec<Spanned<Header>>,
    #[serde(default, rename = "fact")]
    facts: Vec<Spanned<Fact>>,
}

/// The algorithm and size of a CA's key.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum CaKey {
    /// ECDSA on P-256, signing with SHA-256.
    #[default]
    EcP256,
    /// RSA with 2,048 bits, signing with SHA-256 (PKCS #1 v1.5).
    #[serde(rename = "rsa-2048")]
    Rsa2048,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Root {
    /// May have placeholders, as every name in a profile: see [`Invented`].
    pub(super) subject: Spanned<Vec<Attribute>>,
    #[serde(default)]
    pub(super) key: CaKey,
    pub(super) days: Spanned<u32>,
    /// Whether the root stands at the end of the chain that clients are sent.
    pub(super) send: bool,
    pub(super) basic_constraints: Criticality,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Intermediate {
    pub(super) subject: Vec<Attribute>,
    pub(super) days: Spanned<u32>,
    pub(super) basic_constraints: Criticality,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Criticality {
    Critical,
    NotCritical,
}

/// What a product does with an origin that does not verify.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum UntrustedAction {
    /// A CA that no client trusts signs, so that the client warns as it would have.
    Sign,
    /// The connection is refused.
    Block,
    /// The certificate signs itself (only where the origin's did).
    KeepSelfSigned,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Untrusted {
    action: UntrustedAction,
    /// Instead of `action` where the origin's certificate signs itself.
    self_signed: Option<UntrustedAction>,
    /// The status of the page that tells of a block.
    block_status: Option<Spanned<u16>>,
    /// The name of the untrusted CA.
    issuer: Option<Vec<Attribute>>,
    /// Or the root's name with this common name; `{ca}` stands for the root's own.
    issuer_common_name: Option<String>,
}

/// What the product offers the client in the TLS handshake.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsOffer {
    /// Protocol versions, lowest first.
    pub versions: Vec<TlsVersion>,
    /// Protocol versions that the product offers to origins; both where it is not stated.
    #[serde(default = "both_versions")]
    pub origin_versions: Vec<TlsVersion>,
    /// ALPN protocols in order of preference (RFC 7301). Without `h2`, HTTP/2 is stripped on both legs.
    pub alpn: Vec<String>,
    /// What becomes of an origin's offer of HTTP/3.
    #[serde(default)]
    pub alt_svc: AltSvc,
}

/// What a product does with `Alt-Svc` (RFC 7838) in the answers that it inspects: by it, origins offer HTTP/3, which
/// leads around a middlebox that inspects TCP alone.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum AltSvc {
    /// It passes.
    Keep,
    /// It is removed.
    #[default]
    Remove,
}

fn both_versions() -> Vec<TlsVersion> {
    vec![TlsVersion::V1_2, TlsVersion::V1_3]
}

/// A version of TLS that a forged handshake can speak.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    V1_3,
}

/// What the product does with sessions that it cannot decrypt: TLS 1.0 and 1.1, ciphers that it does not know, origins
/// that ask for a client certificate.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Undecryptable {
    /// What becomes of them where nothing is learned.
    pub action: UndecryptableAction,
    /// How the product learns from them, where it does and that is asked for.
    #[serde(default)]
    pub learning: Option<Learning>,
}

/// What becomes of a session that cannot be decrypted.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum UndecryptableAction {
    /// It fails.
    #[default]
    Block,
    /// It is passed through.
    Bypass,
}

/// How a product learns a bypass from a session that it could not decrypt.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Learning {
    /// What becomes of the session that it learns from.
    pub first: UndecryptableAction,
    /// For how long the host is bypassed; without it until the end.
    pub hours: Option<u32>,
    /// Whether origins that do not verify, and are blocked, are learned as well.
    #[serde(default)]
    pub untrusted: bool,
}

impl Learning {
    /// For how long a host is bypassed; none is until the end.
    #[must_use]
    pub fn keeps(self) -> Option<Duration> {
        self.hours.map(|hours| Duration::from_secs(u64::from(hours) * 3600))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Header {
    name: String,
    value: String,
}

/// One thing that a profile says of its product, and how it is known.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fact {
    /// What is said.
    pub what: String,
    /// Whether it is established.
    pub status: FactStatus,
    /// How well, where it is established.
    pub confidence: Option<Confidence>,
    /// Where it was read or seen; for what is not established, why the profile does what it does.
    pub source: String,
}

/// Whether a fact is established.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum FactStatus {
    /// There is a source for it.
    Established,
    /// There is none; the profile chose something.
    NotEstablished,
}

/// How an established fact is known.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The vendor's documentation or source code says so.
    Verified,
    /// A certificate or log that somebody published shows it.
    Observed,
    /// A third party reports it.
    Secondary,
    /// It follows from other facts.
    Inferred,
}

/// A profile could not be used.
#[derive(Clone, Debug, Error)]
pub enum ProfileError {
    /// No profile has this name, and it is no path.
    #[error("no profile is called `{name}`; give {known}, or the path of a file that ends in .toml{}", guess.map(|guess| format!(" (did you mean `{guess}`?)")).unwrap_or_default())]
    Unknown {
        /// As typed.
        name: String,
        /// The names there are.
        known: String,
        /// The nearest.
        guess: Option<&'static str>,
    },
    /// The file cannot be read or is wrong at a place.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl From<PlaceError> for ProfileError {
    fn from(error: PlaceError) -> Self {
        Self::Document(error.into())
    }
}

impl Profile {
    /// Names of the profiles that come with the program.
    pub fn built_in() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// Loads a profile by its name, or from a file where the text has a path separator or ends in `.toml`.
    ///
    /// # Errors
    /// No such profile, or the file cannot be read or is wrong at a place.
    pub fn load(name_or_path: &str) -> Result<Arc<Self>, ProfileError> {
        if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
            return Ok(Arc::new(Self::parse(&Document::new(format!("certs/profiles/{name}.toml"), *text))?));
        }
        let path = Path::new(name_or_path);
        let is_toml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        if is_toml || path.components().count() > 1 {
            return Ok(Arc::new(Self::parse(&Document::read(path)?)?));
        }
        let known = Self::built_in().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let guess = did_you_mean(name_or_path, Self::built_in());
        Err(ProfileError::Unknown { name: name_or_path.to_owned(), known, guess })
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// The place of the first mistake.
    pub fn parse(document: &Document) -> Result<Self, PlaceError> {
        let raw: RawProfile = document.toml()?;
        let place = |span: std::ops::Range<usize>, message: &str| document.error(span, message, None);
        let wrong = |span, message| Err(place(span, message));
        let name = raw.name.get_ref();
        // The name becomes part of a file's name.
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return wrong(raw.name.span(), "a profile's name has lower-case letters, digits and `-` only");
        }
        if !(1..=MAX_DAYS).contains(raw.root.days.get_ref()) {
            return wrong(raw.root.days.span(), "a root lives 1 to 20000 days");
        }
        let placeholders = |span: std::ops::Range<usize>, name: &[Attribute]| {
            let mut checked = name.iter().map(|Attribute(_, value)| invent::check(value));
            checked.find_map(Result::err).map_or(Ok(()), |message| Err(place(span, &message)))
        };
        placeholders(raw.root.subject.span(), raw.root.subject.get_ref())?;
        for intermediate in &raw.intermediates {
            let days = &intermediate.get_ref().days;
            if !(1..=*raw.root.days.get_ref()).contains(days.get_ref()) {
                return wrong(days.span(), "an intermediate lives at least 1 day and no longer than the root");
            }
            placeholders(intermediate.span(), &intermediate.get_ref().subject)?;
        }
        let untrusted = raw.untrusted.get_ref();
        if untrusted.issuer.is_some() == untrusted.issuer_common_name.is_some() {
            return wrong(raw.untrusted.span(), "give the untrusted CA `issuer` or `issuer-common-name`");
        }
        placeholders(raw.untrusted.span(), untrusted.issuer.as_deref().unwrap_or_default())?;
        if let Some(template) = &untrusted.issuer_common_name
            && let Err(message) = invent::check(&template.replace(ROOT_NAME, ""))
        {
            return wrong(raw.untrusted.span(), &message);
        }
        if untrusted.action == UntrustedAction::KeepSelfSigned {
            return wrong(raw.untrusted.span(), "`keep-self-signed` is for `self-signed` only");
        }
        if let Some(status) = untrusted.block_status.as_ref().filter(|status| !(400..=599).contains(status.get_ref())) {
            return wrong(status.span(), "a block is told with a status of 400 to 599 (RFC 9110, 15)");
        }
        let mut headers = Vec::with_capacity(raw.headers.len());
        for header in &raw.headers {
            let Header { name, value } = header.get_ref();
            match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                (Ok(name), Ok(value)) => headers.push((name, value)),
                _ => return wrong(header.span(), "this is no HTTP header (RFC 9110, 5.1)"),
            }
        }
        for fact in &raw.facts {
            let established = fact.get_ref().status == FactStatus::Established;
            if established != fact.get_ref().confidence.is_some() {
                return wrong(fact.span(), "an established fact has a `confidence`, and only such a one");
            }
        }
        Ok(Self {
            name: raw.name.into_inner(),
            title: raw.title,
            deviates: raw.deviates,
            root: raw.root,
            intermediates: raw.intermediates.into_iter().map(Spanned::into_inner).collect(),
            leaf: raw.leaf.read(document)?,
            untrusted: raw.untrusted.into_inner(),
            tls: raw.tls,
            undecryptable: raw.undecryptable,
            headers,
            facts: raw.facts.into_iter().map(Spanned::into_inner).collect(),
        })
    }

    /// The name, as `--profile` takes it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The product, as its vendor calls it.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// In what the imitation differs from the product knowingly.
    #[must_use]
    pub fn deviates(&self) -> &[String] {
        &self.deviates
    }

    /// What is said of the product, and how each is known.
    pub fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.facts.iter()
    }

    /// The same product as it would be if it spoke no higher version of TLS with clients.
    #[must_use]
    pub fn limited_to(&self, highest: TlsVersion) -> Self {
        let mut limited = self.clone();
        limited.tls.versions.retain(|version| *version <= highest);
        if limited.tls.versions.is_empty() {
            limited.tls.versions.push(highest);
        }
        limited
    }

    /// What is offered in the handshake with the client.
    #[must_use]
    pub fn tls(&self) -> &TlsOffer {
        &self.tls
    }

    /// What becomes of sessions that the product cannot decrypt.
    #[must_use]
    pub fn undecryptable(&self) -> &Undecryptable {
        &self.undecryptable
    }

    /// Headers that the product adds to requests (`via` among them), in order.
    pub fn added_headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> + '_ {
        self.headers.iter().cloned()
    }

    /// How many leaves have one key.
    #[must_use]
    pub fn key_reuse(&self) -> KeyReuse {
        self.leaf.key_reuse
    }

    /// What happens to an origin that does not verify.
    #[must_use]
    pub fn untrusted_action(&self, self_signed: bool) -> UntrustedAction {
        self.untrusted.self_signed.filter(|_| self_signed).unwrap_or(self.untrusted.action)
    }

    /// The HTTP status of the page that tells of a blocked origin, where it is known which the product sends.
    #[must_use]
    pub fn block_status(&self) -> Option<StatusCode> {
        self.untrusted.block_status.as_ref().and_then(|status| StatusCode::from_u16(*status.get_ref()).ok())
    }

    /// The name of the CA that signs for untrusted origins.
    /// The names of all its CAs, placeholders left open.
    pub(super) fn ca_names(&self) -> Vec<Vec<Attribute>> {
        let root = self.root.subject.get_ref();
        let mut names = vec![root.clone()];
        names.extend(self.intermediates.iter().map(|intermediate| intermediate.subject.clone()));
        names.extend(self.untrusted.issuer.clone());
        names.extend(self.untrusted.issuer_common_name.as_deref().map(|template| {
            let renamed = |Attribute(kind, value): &Attribute| match kind {
                AttributeType::Cn => Attribute(*kind, template.replace(ROOT_NAME, value)),
                _ => Attribute(*kind, value.clone()),
            };
            root.iter().map(renamed).collect()
        }));
        names
    }

    pub(super) fn untrusted_issuer(&self, root_common_name: &str, invented: &Invented) -> Vec<Attribute> {
        let Untrusted { issuer, issuer_common_name, .. } = &self.untrusted;
        match (issuer, issuer_common_name) {
            (Some(issuer), _) => invented.name(issuer),
            (None, template) => {
                let template = template.as_deref().unwrap_or("Untrusted {ca}");
                // The root's name is no template any more: a name of the user's own may have braces.
                let parts = template.split(ROOT_NAME).map(|part| invented.fill(part)).collect::<Vec<_>>();
                let name = parts.join(root_common_name);
                names::with_common_name(&invented.name(self.root.subject.get_ref()), &name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_loads_and_says_how_it_knows() {
        for name in Profile::built_in() {
            let profile = Profile::load(name).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(profile.name(), name);
            assert!(!profile.tls().alpn.is_empty() && !profile.tls().versions.is_empty(), "{name}");
            if name != "generic" {
                assert!(profile.facts().any(|fact| fact.status == FactStatus::Established), "{name}");
                assert!(profile.facts().any(|fact| fact.status == FactStatus::NotEstablished), "{name}");
            }
            assert!(profile.facts().all(|fact| !fact.what.is_empty() && !fact.source.is_empty()), "{name}");
        }
    }

    #[test]
    fn an_unknown_profile_is_guessed() {
        let error = Profile::load("zscaller").unwrap_err().to_string();
        assert!(error.starts_with("no profile is called `zscaller`; give `generic`,"), "{error}");
        assert!(error.ends_with("(did you mean `zscaler`?)"), "{error}");
        assert!(matches!(Profile::load("./none.toml"), Err(ProfileError::Document(DocumentError::Read { .. }))));
    }

    #[test]
    fn mistakes_point_at_their_place() {
        let generic = BUILT_IN[0].1;
        let error = |from: &str, to: &str| {
            assert!(generic.contains(from), "{from}");
            Profile::parse(&Document::new("p.toml", generic.replacen(from, to, 1))).unwrap_err()
        };
        assert_eq!(error("key-usage", "key-usge").help(), Some("did you mean `key-usage`?"));
        let short = error("days = 397", "days = 826");
        assert_eq!(short.message(), "an intermediate lives at least 1 day and no longer than the root");
        let line = generic.lines().position(|line| line.starts_with("days = 397")).unwrap() + 1;
        assert_eq!(short.line_column(), (line, 8));
        assert!(error("Root CA\"", "Root {hex:99}\"").message().starts_with("`{hex:99}` is no placeholder"));
        assert!(error("action = \"sign\"", "action = \"sign\"\nblock-status = 200").message().contains("400 to 599"));
        assert!(error("\"generic\"", "\"../x\"").message().starts_with("a profile's name"));
        assert!(error("[[\"O\"", "[[\"X\"").message().starts_with("unknown variant `X`"));
    }
}
