//! A list held against the products that have to work behind it: what is covered, what breaks, what mends it, and what
//! else is the matter with the list.
//!
//! ```
//! use middlebox::policy::formats::Entry;
//! use middlebox::policy::{Action, Customer, Dialect, Product, check};
//!
//! let list = [Entry::typed("*.okta.com", Action::Bypass)];
//! let exclusion: Dialect = "pan-os-exclusion".parse()?;
//! let checked = check(&list, exclusion, None, &[], &[Product::load("okta")?], &Customer::default())?;
//! assert!(!checked.passed); // `*` is one label there: acme.mtls.okta.com is still inspected
//! let mended = checked.mend.unwrap().apply(&list);
//! assert!(check(&mended, exclusion, None, &[], &[Product::load("okta")?], &Customer::default())?.passed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod half_right;
mod lint;
mod mend;

use serde::Serialize;

pub use half_right::HalfRight;
pub use lint::{Finding, FindingKind, Severity, lint};
pub use mend::{Edit, Mend};

use super::decision::Decision;
use super::dialects::Dialect;
use super::formats::{Entry, Unread};
use super::product::{Customer, Needs, Part, Product, ProductError, Requirement};
use super::reading::Reading;
use super::rehearsal::{Confidence, Deciding};
use super::standing::{Assumption, Standing};
use super::{Action, Policy};

/// What came of holding a list against products.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// How the list was read.
    pub dialect: Dialect,
    /// The products.
    pub products: Vec<String>,
    /// Whether nothing breaks and no entry is refused.
    pub passed: bool,
    /// Every connection that the products make.
    pub hosts: Vec<HostChecked>,
    /// What is the matter with single entries.
    pub findings: Vec<Finding>,
    /// Configurations that look right and are not, recognised by name.
    pub half_right: Vec<HalfRight>,
    /// The shortest mend; none where there is nothing to mend, or the dialect has no words for it.
    pub mend: Option<Mend>,
}

/// One connection that a product makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostChecked {
    /// The product.
    pub product: String,
    /// The host as its vendor writes it.
    pub name: String,
    /// The host that was asked about.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What it needs.
    pub needs: Needs,
    /// What part it plays for the customer's organization.
    pub part: Part,
    /// What of its certificate is pinned.
    pub pinned: Option<String>,
    /// What is decided.
    pub decision: Action,
    /// Whether it is bypassed.
    pub covered: bool,
    /// The entry that decides; none where the default does.
    pub entry: Option<Deciding>,
    /// How that is for the product.
    pub verdict: HostVerdict,
    /// What breaks, where something does.
    pub breaks: Option<String>,
    /// What the vendor asks for.
    pub asks: Option<String>,
    /// Where that stands.
    pub source: String,
    /// How well the need is known.
    pub source_confidence: Standing,
    /// How sure the decision is.
    pub confidence: Confidence,
    /// How well it is known that the product with the list decides like this.
    pub standing: Standing,
    /// What was assumed about that.
    pub assumptions: Vec<Assumption>,
}

/// How a decision is for a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HostVerdict {
    /// It works.
    Works,
    /// It works, against the vendor's advice.
    Advice,
    /// It breaks.
    Breaks,
}

/// Holds a list, read in a dialect, against products. Without a default action it is the one of the dialect's product.
/// What of its file could not be read makes the answers less sure.
///
/// # Errors
/// The customer's organization is none of a product's, or a name is no host.
pub fn check(
    list: &[Entry],
    dialect: Dialect,
    default: Option<Action>,
    unread: &[Unread],
    products: &[Product],
    customer: &Customer,
) -> Result<Checked, ProductError> {
    let reading = Reading::of(dialect, default, list).with_unread(unread.to_vec());
    let checked = check_reading(&reading, products, customer)?;
    if checked.passed {
        return Ok(checked);
    }
    let requirements = requirements(products, customer)?;
    Ok(Checked { mend: mend::find(list, dialect, default, &requirements), ..checked })
}

/// Holds a list that has been read against products, without a mend: what a script decides has no entries to add to.
///
/// # Errors
/// The customer's organization is none of a product's, or a name is no host.
pub fn check_reading(reading: &Reading, products: &[Product], customer: &Customer) -> Result<Checked, ProductError> {
    let requirements = requirements(products, customer)?;
    let hosts: Vec<HostChecked> =
        requirements.iter().map(|requirement| HostChecked::of(&reading.policy, requirement)).collect();
    let findings = lint(reading);
    let half_right = half_right::recognise(reading, products, &requirements, &hosts);
    let passed = passes(&hosts, reading);
    let products = products.iter().map(|product| product.name.clone()).collect();
    let dialect = reading.policy.dialect();
    Ok(Checked { dialect, products, passed, hosts, findings, half_right, mend: None })
}

fn requirements(products: &[Product], customer: &Customer) -> Result<Vec<Requirement>, ProductError> {
    let mut requirements = Vec::new();
    for product in products {
        requirements.extend(product.requirements(customer)?);
    }
    Ok(requirements)
}

/// Whether nothing breaks and no entry is refused.
fn passes(hosts: &[HostChecked], reading: &Reading) -> bool {
    reading.rejected.is_empty() && hosts.iter().all(|host| host.verdict != HostVerdict::Breaks)
}

impl HostChecked {
    fn of(policy: &Policy, requirement: &Requirement) -> Self {
        let decision = policy.rehearse(&requirement.question.subjects());
        let assumptions = decision.assumptions().to_vec();
        let Decision { action, rule, standing, .. } = decision;
        let verdict = verdict(requirement.needs, action);
        let Requirement { product, name, question, needs, pinned, breaks, asks, source, confidence, part } =
            requirement;
        Self {
            product: product.clone(),
            name: name.clone(),
            host: question.host.clone(),
            port: question.port,
            needs: *needs,
            part: *part,
            pinned: pinned.clone(),
            decision: action,
            covered: action == Action::Bypass,
            entry: rule.map(Deciding::of),
            verdict,
            breaks: (verdict != HostVerdict::Works).then(|| breaks.clone()),
            asks: asks.clone(),
            source: source.clone(),
            source_confidence: *confidence,
            confidence: standing.into(),
            standing,
            assumptions,
        }
    }
}

/// How a decision is for a host with these needs.
fn verdict(needs: Needs, decision: Action) -> HostVerdict {
    match (needs, decision) {
        (_, Action::Block) => HostVerdict::Breaks,
        (Needs::Bypass, Action::Inspect) => HostVerdict::Breaks,
        (Needs::Advised, Action::Inspect) => HostVerdict::Advice,
        (_, Action::Bypass) | (Needs::Reach, Action::Inspect) => HostVerdict::Works,
    }
}

#[cfg(test)]
mod tests;
