//! Product packs: the hosts that a product needs, which of them it pins, and what its vendor asks for.
//!
//! A pack is a TOML file. Those of `scenarios/products/` come with the program; a user's own is named by its path.
//!
//! ```toml
//! title  = "Our own client"
//!
//! [[host]]
//! name       = "*.api.acme.example"        # as the vendor writes it; `*` is any text
//! examples   = ["eu.api.acme.example"]     # real hosts that it stands for
//! ports      = [443]
//! needs      = "bypass"                    # or "advised", "reach"
//! pinned     = "key of the server's certificate"
//! breaks     = "it does not start"
//! asks       = "exclude from inspection"
//! source     = "our wiki"
//! confidence = "established"
//! ```

use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use toml::Spanned;

use super::question::Question;
use super::standing::Standing;
use crate::source::{Document, DocumentError, PlaceError, did_you_mean};

/// The packs that come with the program, by the names of their files.
const SHIPPED: [(&str, &str); 10] = [
    ("apple", include_str!("../../scenarios/products/apple.toml")),
    ("chrome-os", include_str!("../../scenarios/products/chrome-os.toml")),
    ("crowdstrike", include_str!("../../scenarios/products/crowdstrike.toml")),
    ("delivery-optimization", include_str!("../../scenarios/products/delivery-optimization.toml")),
    ("dropbox", include_str!("../../scenarios/products/dropbox.toml")),
    ("intune", include_str!("../../scenarios/products/intune.toml")),
    ("microsoft-store", include_str!("../../scenarios/products/microsoft-store.toml")),
    ("okta", include_str!("../../scenarios/products/okta.toml")),
    ("signal", include_str!("../../scenarios/products/signal.toml")),
    ("zoom", include_str!("../../scenarios/products/zoom.toml")),
];

/// What a product needs of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its name: that of its file.
    pub name: String,
    /// What it is.
    pub title: String,
    /// Who makes it.
    pub vendor: Option<String>,
    /// The domains under which each customer has hosts of its own, if there are any.
    pub org: Option<OrgDomains>,
    /// Its hosts.
    pub hosts: Vec<ProductHost>,
}

/// The domains of a product under which each customer has hosts of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgDomains {
    /// The domains, the usual one first.
    pub zones: Vec<String>,
    /// The organization that is taken where none is named.
    pub example: String,
}

/// One host, or a family of hosts, that a product needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductHost {
    /// As the vendor writes it, with `*` for any text; may hold `{org}`, `{zone}` and `{custom}`.
    pub name: String,
    /// Real hosts that it stands for; may hold `{org}` and `{zone}`.
    pub examples: Vec<String>,
    /// The ports.
    pub ports: Vec<u16>,
    /// What it needs.
    pub needs: Needs,
    /// What of the certificate is pinned; none where nothing is.
    pub pinned: Option<String>,
    /// What breaks without it.
    pub breaks: String,
    /// What the vendor asks for.
    pub asks: Option<String>,
    /// Where that stands.
    pub source: String,
    /// How well it is known.
    pub confidence: Standing,
    /// The zones in which there is such a host; empty is all.
    pub zones: Vec<String>,
}

/// What a host needs of an inspecting proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Needs {
    /// It has to be bypassed: the client does not work under inspection, or the vendor does not support it.
    Bypass,
    /// The vendor advises to bypass it, and it works without.
    Advised,
    /// It must not be blocked.
    Reach,
}

/// One connection that a product makes, with what it needs and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The product.
    pub product: String,
    /// The host as the vendor writes it.
    pub name: String,
    /// The connection.
    pub question: Question,
    /// What it needs.
    pub needs: Needs,
    /// What of the certificate is pinned.
    pub pinned: Option<String>,
    /// What breaks without it.
    pub breaks: String,
    /// What the vendor asks for.
    pub asks: Option<String>,
    /// Where that stands.
    pub source: String,
    /// How well it is known.
    pub confidence: Standing,
    /// What part the host plays for a customer's own organization.
    pub part: Part,
}

/// What part a host plays for a customer's own organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The organization's own address.
    Organization,
    /// A host of the organization beside that address.
    BesideOrganization,
    /// The organization's custom domain.
    CustomDomain,
    /// The same for every customer.
    Common,
}

/// The names that are a customer's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Customer {
    /// The organization's address: `acme.okta.com`.
    pub org: Option<String>,
    /// Its custom domain: `login.acme.example`.
    pub custom_domain: Option<String>,
}

/// A product cannot be had.
#[derive(Clone, Debug, Error)]
pub enum ProductError {
    /// No pack has this name.
    #[error("there is no product pack `{name}`")]
    Unknown {
        /// As typed.
        name: String,
        /// What to do.
        help: String,
    },
    /// The file cannot be read or is wrong.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The organization is not one of the product's.
    #[error("{org} is no organization of {product}")]
    Org {
        /// As typed.
        org: String,
        /// The product.
        product: String,
        /// What to do.
        help: String,
    },
    /// A name of the customer's is no host.
    #[error(transparent)]
    Host(#[from] super::question::QuestionError),
}

impl ProductError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Unknown { help, .. } | Self::Org { help, .. } => Some(help),
            Self::Document(_) | Self::Host(_) => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PackToml {
    title: String,
    vendor: Option<String>,
    org: Option<OrgToml>,
    #[serde(default)]
    host: Vec<HostToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrgToml {
    zones: Vec<Spanned<String>>,
    example: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostToml {
    name: Spanned<String>,
    #[serde(default)]
    examples: Vec<Spanned<String>>,
    #[serde(default)]
    ports: Vec<Spanned<u16>>,
    needs: Needs,
    pinned: Option<String>,
    breaks: String,
    asks: Option<String>,
    source: String,
    #[serde(default)]
    confidence: Standing,
    #[serde(default)]
    zones: Vec<String>,
}

impl Product {
    /// The names of the packs that come with the program.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// The pack of this name, or the one in the file with this path.
    ///
    /// # Errors
    /// There is none, or its file is wrong, with the place.
    pub fn load(name: &str) -> Result<Self, ProductError> {
        let path = Path::new(name);
        let looks_like_a_path = name.contains(['/', '\\'])
            || path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        if !Self::names().any(|known| known == name) && (looks_like_a_path || path.is_file()) {
            let document = Document::read(path)?;
            let stem = path.file_stem().map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned());
            return Ok(Self::read(&stem, &document).map_err(DocumentError::Place)?);
        }
        Self::shipped(name)
    }

    /// The pack of this name that comes with the program.
    ///
    /// # Errors
    /// There is none.
    pub fn shipped(name: &str) -> Result<Self, ProductError> {
        if let Some((name, text)) = SHIPPED.iter().find(|(known, _)| *known == name) {
            let document = Document::new(format!("products/{name}.toml"), *text);
            return Ok(Self::read(name, &document).map_err(DocumentError::Place)?);
        }
        let help = match did_you_mean(name, Self::names()) {
            Some(guess) => format!("did you mean `{guess}`? A pack of your own is named by its path"),
            None => {
                let known: Vec<_> = Self::names().collect();
                format!("known are {}; a pack of your own is named by its path", known.join(", "))
            }
        };
        Err(ProductError::Unknown { name: name.to_owned(), help })
    }

    /// Reads a pack.
    ///
    /// # Errors
    /// The place of the first mistake.
    pub fn read(name: &str, document: &Document) -> Result<Self, PlaceError> {
        let PackToml { title, vendor, org, host: written } = document.toml()?;
        let org = org.map(|org| OrgDomains::read(org, document)).transpose()?;
        if written.is_empty() {
            let help = "write a `[[host]]` with its `name`, `needs`, `breaks` and `source`".to_owned();
            return Err(document.error(0..0, "the pack names no host", Some(help)));
        }
        let hosts = written.into_iter().map(|host| ProductHost::read(host, org.as_ref(), document));
        Ok(Self { name: name.to_owned(), title, vendor, hosts: hosts.collect::<Result<_, _>>()?, org })
    }

    /// The connections that the product makes for a customer.
    ///
    /// # Errors
    /// The organization is under none of the product's domains, or a name is no host.
    pub fn requirements(&self, customer: &Customer) -> Result<Vec<Requirement>, ProductError> {
        let filled = self.fill(customer)?;
        let mut requirements = Vec::new();
        for host in &self.hosts {
            let is_here =
                host.zones.is_empty() || filled.zone.is_none_or(|zone| host.zones.iter().any(|own| own == zone));
            if !is_here || (host.name.contains("{custom}") && filled.custom.is_none()) {
                continue;
            }
            let part = match host.examples.first().unwrap_or(&host.name).as_str() {
                "{org}.{zone}" => Part::Organization,
                name if name.contains("{org}") => Part::BesideOrganization,
                name if name.contains("{custom}") => Part::CustomDomain,
                _ => Part::Common,
            };
            for example in host.examples() {
                for &port in &host.ports {
                    requirements.push(Requirement {
                        product: self.name.clone(),
                        name: filled.text(&host.name),
                        question: Question::new(filled.text(&example)).to_port(port),
                        needs: host.needs,
                        pinned: host.pinned.clone(),
                        breaks: host.breaks.clone(),
                        asks: host.asks.clone(),
                        source: host.source.clone(),
                        confidence: host.confidence,
                        part,
                    });
                }
            }
        }
        Ok(requirements)
    }

    /// Whether its hosts depend on the customer.
    #[must_use]
    pub fn has_organizations(&self) -> bool {
        self.org.is_some()
    }

    fn fill<'f>(&'f self, customer: &'f Customer) -> Result<Filled<'f>, ProductError> {
        let custom = customer.custom_domain.as_deref().map(str::parse::<Question>).transpose()?;
        let custom = custom.map(|question| question.host.to_ascii_lowercase());
        let Some(domains) = &self.org else { return Ok(Filled { org: None, zone: None, custom }) };
        let typed = customer.org.as_deref().unwrap_or(&domains.example);
        let host = typed.parse::<Question>()?.host.to_ascii_lowercase();
        let (org, zone) = domains.split(&host).ok_or_else(|| ProductError::Org {
            org: typed.to_owned(),
            product: self.name.clone(),
            help: format!(
                "an organization is a name under {}; a custom domain is given with --custom-domain",
                domains.zones.join(", ")
            ),
        })?;
        Ok(Filled { org: Some(org), zone: Some(zone), custom })
    }
}

/// The words that stand for a customer's own names.
struct Filled<'f> {
    org: Option<String>,
    zone: Option<&'f str>,
    custom: Option<String>,
}

impl Filled<'_> {
    fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (word, value) in
            [("{org}", self.org.as_deref()), ("{zone}", self.zone), ("{custom}", self.custom.as_deref())]
        {
            if let Some(value) = value {
                text = text.replace(word, value);
            }
        }
        text
    }
}

impl OrgDomains {
    fn read(org: OrgToml, document: &Document) -> Result<Self, PlaceError> {
        if let Some(bad) = org.zones.iter().find(|zone| zone.get_ref().parse::<Question>().is_err()) {
            return Err(document.error(bad.span(), "a zone is a domain, such as `okta.com`", None));
        }
        let zones: Vec<String> = org.zones.into_iter().map(Spanned::into_inner).collect();
        let domains = Self { zones, example: org.example.get_ref().clone() };
        match domains.split(org.example.get_ref()) {
            Some(_) => Ok(domains),
            None => {
                let message = "the example is no name under one of the zones";
                Err(document.error(org.example.span(), message, None))
            }
        }
    }

    /// The organization's own part of its name, and the zone.
    fn split(&self, host: &str) -> Option<(String, &str)> {
        let host = host.trim_end_matches('.');
        self.zones.iter().find_map(|zone| {
            let org = host.strip_suffix(zone.as_str())?.strip_suffix('.')?;
            (!org.is_empty()).then(|| (org.to_owned(), zone.as_str()))
        })
    }
}

impl ProductHost {
    fn read(host: HostToml, org: Option<&OrgDomains>, document: &Document) -> Result<Self, PlaceError> {
        let HostToml { name, examples, ports, needs, pinned, breaks, asks, source, confidence, zones } = host;
        if let Some(zero) = ports.iter().find(|port| *port.get_ref() == 0) {
            return Err(document.error(zero.span(), "a port is a number from 1 to 65535", None));
        }
        let texts = std::iter::once((true, &name)).chain(examples.iter().map(|example| (false, example)));
        for (is_name, text) in texts {
            let mut trial = text.get_ref().clone();
            for word in ["{org}", "{zone}", "{custom}"] {
                if word != "{custom}" && trial.contains(word) && org.is_none() {
                    let help = Some("add an `[org]` with its `zones` and an `example`".to_owned());
                    let message =
                        format!("`{word}` stands for a part of an organization's name, and the pack has none");
                    return Err(document.error(text.span(), message, help));
                }
                trial = trial.replace(word, "a.example");
            }
            if trial.contains(['{', '}']) {
                let help = Some("known are `{org}`, `{zone}` and `{custom}`".to_owned());
                return Err(document.error(text.span(), "unknown word in braces", help));
            }
            if is_name {
                trial = trial.replace('*', "a");
            }
            if let Err(error) = trial.parse::<Question>() {
                let message = format!("`{}` {}", text.get_ref(), error.problem);
                return Err(document.error(text.span(), message, error.mend));
            }
        }
        let ports: Vec<u16> = ports.into_iter().map(Spanned::into_inner).collect();
        Ok(Self {
            name: name.into_inner(),
            examples: examples.into_iter().map(Spanned::into_inner).collect(),
            ports: if ports.is_empty() { vec![443] } else { ports },
            needs,
            pinned,
            breaks,
            asks,
            source,
            confidence,
            zones,
        })
    }

    /// The hosts that are asked about: the examples, or the name with something in place of its `*`.
    fn examples(&self) -> Vec<String> {
        if self.examples.is_empty() { vec![self.name.replace('*', "any")] } else { self.examples.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(name: &str, org: Option<&str>, custom: Option<&str>) -> Vec<String> {
        let customer = Customer { org: org.map(str::to_owned), custom_domain: custom.map(str::to_owned) };
        let requirements = Product::load(name).unwrap().requirements(&customer).unwrap();
        requirements.iter().map(|requirement| requirement.question.to_string()).collect()
    }

    #[test]
    fn every_pack_of_the_folder_is_shipped_and_reads() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/products");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        files.sort();
        assert_eq!(files, Product::names().collect::<Vec<_>>());
        for name in Product::names() {
            let product = Product::load(name).unwrap();
            let requirements = product.requirements(&Customer::default()).unwrap();
            assert!(!requirements.is_empty());
            for requirement in requirements {
                let host = &requirement.question.host;
                assert!(!host.contains(['{', '*']) && host.parse::<Question>().is_ok(), "{name}: {host}");
            }
        }
    }

    #[test]
    fn the_hosts_are_those_of_the_organization() {
        assert_eq!(
            hosts("okta", Some("globex.oktapreview.com"), Some("login.globex.example")),
            [
                "globex.oktapreview.com",
                "globex.mtls.oktapreview.com",
                "globex.kerberos.oktapreview.com",
                "globex-admin.oktapreview.com",
                "login.globex.example",
                "ok1static.oktacdn.com",
                "ocsp.digicert.com:80",
                "crl3.digicert.com:80",
                "crl4.digicert.com:80",
            ]
        );
        assert_eq!(hosts("okta", None, None)[0], "acme.okta.com");
        assert!(!hosts("okta", Some("acme.okta-gov.com"), None).iter().any(|host| host.contains("kerberos")));
    }

    #[test]
    fn an_organization_elsewhere_and_a_url_are_mistakes() {
        let okta = Product::load("okta").unwrap();
        let error = |org: &str| {
            let customer = Customer { org: Some(org.to_owned()), custom_domain: None };
            okta.requirements(&customer).unwrap_err().to_string()
        };
        assert_eq!(error("login.acme.example"), "login.acme.example is no organization of okta");
        assert!(error("https://acme.okta.com").ends_with("is a URL; write the host alone: `acme.okta.com`"));
        let unknown = Product::load("okat").unwrap_err();
        assert!(unknown.help().unwrap().starts_with("did you mean `okta`?"));
    }

    #[test]
    fn mistakes_in_a_pack_have_their_place() {
        let error = |text: &str| Product::read("x", &Document::new("x.toml", text)).unwrap_err().to_string();
        let host = "needs = \"bypass\"\nbreaks = \"x\"\nsource = \"x\"\n";
        assert!(error("title = \"x\"").starts_with("x.toml:1:1: the pack names no host"));
        assert!(
            error(&format!("title = \"x\"\n[[host]]\nname = \"a.example\"\npined = \"x\"\n{host}"))
                .contains("x.toml:4:1: unknown field `pined`")
        );
        assert!(
            error(&format!("title = \"x\"\n[[host]]\nname = \"https://a.example\"\n{host}"))
                .starts_with("x.toml:3:8: `https://a.example` is a URL (write the host alone: `a.example`)")
        );
        assert!(
            error(&format!("title = \"x\"\n[[host]]\nname = \"{{org}}.a.example\"\n{host}")).contains("add an `[org]`")
        );
        assert!(
            error(&format!("title = \"x\"\n[[host]]\nname = \"a.example\"\nports = [443, 0]\n{host}"))
                .starts_with("x.toml:4:15: a port is")
        );
        assert!(
            error("title = \"x\"\n[[host]]\nname = \"a.example\"\nneeds = \"bypas\"\nbreaks = \"\"\nsource = \"\"\n")
                .ends_with("(did you mean `bypass`?)")
        );
    }
}
