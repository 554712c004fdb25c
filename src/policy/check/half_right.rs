//! Configurations that look right and leave the client broken, recognised by name.
//!
//! The names H1, H2, … are those of the shipped scenarios. A list shows only some of them: what stands in a proxy
//! setting, on a device or in an open connection is not in it.

use serde::Serialize;

use super::lint::{covers, never_matches};
use super::{HostChecked, HostVerdict};
use crate::policy::decision::{Reason, Sni, Subjects};
use crate::policy::explain::Verdict;
use crate::policy::matcher::Matcher;
use crate::policy::product::{Needs, Part, Product, Requirement};
use crate::policy::reading::Reading;
use crate::policy::rule::Rule;
use crate::policy::witness::Seeds;
use crate::policy::{Action, Asked, AskedSni, Network, Question};

/// A configuration that looks right and is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HalfRight {
    /// Its name: `H2`.
    pub id: &'static str,
    /// The configuration, as found here.
    pub what: String,
    /// Why it is not enough.
    pub why: &'static str,
}

/// Recognises what it can, in the order of the names.
pub(super) fn recognise(
    reading: &Reading,
    products: &[Product],
    requirements: &[Requirement],
    hosts: &[HostChecked],
) -> Vec<HalfRight> {
    let scene = Scene { reading, products, requirements, hosts };
    let finders: [fn(&Scene<'_>) -> Option<HalfRight>; 13] =
        [h1, h2, h3, h4, h5, h6, h7_or_h8, h10, h11, h13, h16, h19, h22];
    let mut found: Vec<HalfRight> = finders.iter().filter_map(|find| find(&scene)).collect();
    found.extend(h27(&scene));
    found
}

struct Scene<'s> {
    reading: &'s Reading,
    products: &'s [Product],
    requirements: &'s [Requirement],
    hosts: &'s [HostChecked],
}

impl Scene<'_> {
    fn first(&self, part: Part, verdict: HostVerdict) -> Option<&HostChecked> {
        self.hosts.iter().find(|host| host.part == part && host.verdict == verdict)
    }

    fn bypasses(&self) -> impl Iterator<Item = &Rule> {
        let rules = self.reading.policy.rules().iter().map(AsRef::as_ref);
        rules.filter(|rule| rule.enabled && rule.action == Action::Bypass)
    }

    /// The entry whose name this is, and which covers it.
    fn entry_about(&self, name: &str) -> Option<&Rule> {
        self.bypasses().find(|rule| names_of(rule).iter().any(|own| own == name))
    }

    fn bypassed(&self, host: &str) -> bool {
        self.reading.policy.rehearse(&Question::new(host).subjects()).action == Action::Bypass
    }

    fn breaking(&self) -> impl Iterator<Item = (&Requirement, &HostChecked)> {
        let both = self.requirements.iter().zip(self.hosts);
        both.filter(|(_, host)| host.verdict == HostVerdict::Breaks)
    }
}

fn names_of(rule: &Rule) -> Vec<String> {
    let mut seeds = Seeds::default();
    seeds.take(&rule.pattern.matcher);
    seeds.take_text(rule.pattern.text());
    seeds.names
}

fn named(rule: &Rule) -> String {
    match rule.line() {
        Some(line) => format!("`{}` on line {line}", rule.pattern),
        None => format!("`{}`", rule.pattern),
    }
}

fn parent(host: &str) -> &str {
    host.split_once('.').map_or(host, |(_, parent)| parent)
}

fn h1(scene: &Scene<'_>) -> Option<HalfRight> {
    let org = scene.first(Part::Organization, HostVerdict::Breaks)?;
    let zone = parent(&org.host);
    let rule =
        scene.entry_about(zone).filter(|rule| covers(&rule.pattern, zone) && !covers(&rule.pattern, &org.host))?;
    let what = format!("{} covers {zone} alone, and the organization is {}", named(rule), org.host);
    Some(HalfRight { id: "H1", what, why: "the names below a domain need an entry of their own" })
}

fn h2(scene: &Scene<'_>) -> Option<HalfRight> {
    let org = scene.hosts.iter().find(|host| host.part == Part::Organization && host.covered)?;
    let beside = scene.hosts.iter().find(|host| {
        let deeper = host.host.split('.').count() > org.host.split('.').count();
        host.part == Part::BesideOrganization && host.verdict == HostVerdict::Breaks && deeper
    })?;
    let rule =
        scene.bypasses().find(|rule| covers(&rule.pattern, &org.host) && !covers(&rule.pattern, &beside.host))?;
    let one_label = covers(&rule.pattern, &format!("any.{}", parent(&org.host)));
    let what = format!("{} covers {} and not {}", named(rule), org.host, beside.host);
    one_label.then_some(HalfRight { id: "H2", what, why: "here a wildcard is one label, and that host has two" })
}

fn h3(scene: &Scene<'_>) -> Option<HalfRight> {
    let org = scene.first(Part::Organization, HostVerdict::Breaks)?;
    let zones = scene.products.iter().filter_map(|product| product.org.as_ref()).flat_map(|org| &org.zones);
    let own = parent(&org.host);
    let other = zones.filter(|zone| *zone != own).find(|zone| scene.bypassed(&format!("any.{zone}")))?;
    let what = format!("{other} is excluded, and the organization is {}", org.host);
    Some(HalfRight { id: "H3", what, why: "the pins cover every domain, so each one in use has to be excluded" })
}

fn h4(scene: &Scene<'_>) -> Option<HalfRight> {
    let custom = scene.first(Part::CustomDomain, HostVerdict::Works)?;
    let org = scene.first(Part::Organization, HostVerdict::Breaks)?;
    let what = format!("the custom domain {} is excluded, {} is not", custom.host, org.host);
    let why = "the client goes on to the organization's own address, which is pinned (an assumption)";
    Some(HalfRight { id: "H4", what, why })
}

fn h5(scene: &Scene<'_>) -> Option<HalfRight> {
    let org = scene.first(Part::Organization, HostVerdict::Works)?;
    let custom = scene.first(Part::CustomDomain, HostVerdict::Breaks)?;
    let what = format!("{} is excluded, the custom domain {} is not", org.host, custom.host);
    Some(HalfRight { id: "H5", what, why: "its chain fails wherever the inspection CA is not trusted" })
}

fn h6(scene: &Scene<'_>) -> Option<HalfRight> {
    scene.breaking().take(8).find_map(|(requirement, host)| {
        let explanation = scene.reading.policy.rehearse_explained(&requirement.question.subjects());
        let late = explanation.rules.iter().find(|explained| {
            explained.rule.action == Action::Bypass && matches!(explained.verdict, Verdict::Later { .. })
        })?;
        let line = late.rule.line.map(|line| format!(" on line {line}")).unwrap_or_default();
        let entry = host.entry.as_ref().map(|entry| format!("`{}`", entry.text)).unwrap_or_default();
        let what = format!("`{}`{line} would bypass {}, and {entry} decides before it", late.rule.pattern, host.host);
        Some(HalfRight { id: "H6", what, why: "an entry below another one that matches is never reached" })
    })
}

/// Addresses instead of names: compared as addresses (H7), or as the text that they are (H8).
fn h7_or_h8(scene: &Scene<'_>) -> Option<HalfRight> {
    let as_text = scene.bypasses().find(|rule| {
        rule.pattern.text().parse::<Network>().is_ok() && !matches!(rule.pattern.matcher, Matcher::Network(_))
    });
    if let Some(rule) = as_text {
        let what = format!("{} is an address in a list of names", named(rule));
        return Some(HalfRight { id: "H8", what, why: "it is compared as text, so it never matches" });
    }
    let broken = scene.first(Part::Organization, HostVerdict::Breaks)?;
    let addresses = scene.bypasses().find(|rule| matches!(rule.pattern.matcher, Matcher::Network(_)))?;
    if scene.entry_about(parent(&broken.host)).is_some() || scene.entry_about(&broken.host).is_some() {
        return None;
    }
    let what = format!("addresses such as {} are excluded, and {} is not", named(addresses), broken.host);
    Some(HalfRight { id: "H7", what, why: "the service's addresses are shared and change; a client asks for a name" })
}

/// Rehearsed once more, as a client that sends no server name.
fn h10(scene: &Scene<'_>) -> Option<HalfRight> {
    let org = scene.first(Part::Organization, HostVerdict::Works).filter(|host| host.covered)?;
    let bare = Question { sni: AskedSni::Absent, ..Question::new(org.host.as_str()) };
    // A wildcard certificate is what stands there in truth.
    let wildcard = [format!("*.{}", parent(&org.host)), parent(&org.host).to_owned()];
    let subjects = Subjects { certificate: Some(&wildcard), ..bare.subjects() };
    let policy = &scene.reading.policy;
    let left = match policy.decide(&subjects) {
        Asked::Decided(decision) => decision.action != Action::Bypass,
        Asked::Needs(_) => false,
    };
    let what = format!("without a server name in its ClientHello, a client of {} is not bypassed", org.host);
    left.then_some(HalfRight {
        id: "H10",
        what,
        why: "this product compares the server name; without one the default counts",
    })
}

/// Another organization behind the same wildcard certificate.
fn h11(scene: &Scene<'_>) -> Option<HalfRight> {
    let org = scene.hosts.iter().find(|host| host.part == Part::Organization && host.covered)?;
    let zone = parent(&org.host);
    let other = format!("zq7-unlikely.{zone}");
    let wildcard = [format!("*.{zone}"), zone.to_owned()];
    if scene.bypassed(&other) {
        return None;
    }
    let question = Question::new(other.as_str());
    let policy = &scene.reading.policy;
    let open = [Sni::Name(other.as_str()), Sni::Absent].into_iter().any(|sni| {
        let subjects = Subjects { sni, certificate: Some(&wildcard), ..question.subjects() };
        policy.decide(&subjects).decision().is_some_and(|decision| decision.action == Action::Bypass)
    });
    let what = format!("with the certificate *.{zone}, other organizations of {zone} are bypassed as well");
    open.then_some(HalfRight {
        id: "H11",
        what,
        why: "this product compares the certificate's names, and a wildcard is for all",
    })
}

/// A script that sends the device's own services to the proxy. Other lists say nothing about them by being silent.
fn h13(scene: &Scene<'_>) -> Option<HalfRight> {
    let sent = ["localhost", "127.0.0.1"].into_iter().find_map(|host| {
        let decision = scene.reading.policy.rehearse(&Question::new(host).subjects());
        (decision.action != Action::Bypass && matches!(decision.why.reason, Reason::Script(_)))
            .then_some((host, decision.why))
    });
    let (host, why) = sent?;
    let what = format!("{host} is sent to the proxy: {why}");
    Some(HalfRight { id: "H13", what, why: "there it is the proxy's own machine, and calls to the client's app die" })
}

fn h16(scene: &Scene<'_>) -> Option<HalfRight> {
    let blocked = scene.hosts.iter().find(|host| host.needs == Needs::Reach && host.decision == Action::Block)?;
    let what = format!("{} is blocked", blocked.host);
    Some(HalfRight { id: "H16", what, why: "revocation cannot be checked, and the genuine certificate is refused" })
}

fn h19(scene: &Scene<'_>) -> Option<HalfRight> {
    let (_, host) = scene.breaking().find(|(requirement, _)| {
        let question = &requirement.question;
        scene.bypasses().any(|rule| !rule.clients().is_empty() && covers(&rule.pattern, &question.host))
    })?;
    let what = format!("{} is excluded for some clients only", host.host);
    Some(HalfRight { id: "H19", what, why: "a client that is not identified yet gets the default" })
}

fn h22(scene: &Scene<'_>) -> Option<HalfRight> {
    let cdn = scene.first(Part::Common, HostVerdict::Advice)?;
    let what = format!("{} is not excluded", cdn.name);
    Some(HalfRight { id: "H22", what, why: "it is not pinned, so this is no failure, and the vendor lists it" })
}

/// A host as a browser shows it: a URL, upper case, a slash or a dot at its end.
fn h27(scene: &Scene<'_>) -> Vec<HalfRight> {
    let is_dressed = |text: &str| {
        text.contains("://") || text.ends_with(['/', '.']) || text.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    let is_wanted = |text: &str| {
        let mut seeds = Seeds::default();
        seeds.take_text(text);
        let about = |host: &str, name: &String| host == name || host.ends_with(&format!(".{name}"));
        scene.requirements.iter().any(|wanted| seeds.names.iter().any(|name| about(&wanted.question.host, name)))
    };
    let refused = scene.reading.rejected.iter().map(|rejected| (rejected.text.as_str(), rejected.line, "refused"));
    let dead = scene.bypasses().filter(|rule| never_matches(&rule.pattern.matcher));
    let dead = dead.map(|rule| (rule.pattern.text(), rule.line(), "never matched"));
    let found = refused.chain(dead).filter(|(text, ..)| is_dressed(text) && is_wanted(text));
    let half_right = |(text, line, fate): (&str, Option<usize>, &str)| {
        let line = line.map(|line| format!(" on line {line}")).unwrap_or_default();
        HalfRight { id: "H27", what: format!("`{text}`{line} is {fate}"), why: "a list of hosts wants the host alone" }
    };
    found.map(half_right).collect()
}
