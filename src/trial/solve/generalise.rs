//! From the hosts that a command needs to the entries that a person would write, in the dialect of a product.

use std::collections::{BTreeMap, BTreeSet};

use super::domain;
use super::oracle::Exclusion;
use crate::net::Host;
use crate::policy::{Dialect, Pattern, Standing};

/// A pattern that the vendor of a product asks to exclude.
#[derive(Clone, Debug)]
pub struct Known {
    /// What is asked for and by whom, in words.
    pub reason: String,
    /// The pattern, in the native dialect.
    pub pattern: Pattern,
}

/// Why an entry is written as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// A vendor asks for it, in these words.
    Product(String),
    /// Several hosts below one domain need it.
    Parent,
    /// The names below the domain are others in each run.
    PassingNames,
    /// One host needs it.
    Host,
}

/// One entry of a bypass list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As the product reads it.
    pub entry: String,
    /// Why it is written so.
    pub ground: Ground,
    /// How well it is known that the product reads it so.
    pub standing: Standing,
    /// What it is there for.
    pub covers: Vec<Exclusion>,
    /// The domain of which it covers more than these, as an entry for a whole domain does.
    pub domain: Option<String>,
    /// Hosts that were contacted and work inspected, which it bypasses as well.
    pub also: Vec<Host>,
}

/// An exclusion that the dialect cannot say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsaid {
    /// What would have to be excluded.
    pub exclusion: Exclusion,
    /// Why it cannot be said.
    pub reason: String,
}

/// A pattern that suggests itself, and bypasses what works inspected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverBroad {
    /// The pattern, in the native dialect.
    pub pattern: String,
    /// The hosts that it would bypass for nothing.
    pub also: Vec<Host>,
}

/// A list as it may be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Proposal {
    pub(super) entries: Vec<Entry>,
    pub(super) unsaid: Vec<Unsaid>,
    pub(super) over_broad: Vec<OverBroad>,
}

/// What is written as one entry, if the dialect has one for it.
struct Group {
    ground: Ground,
    /// The host, or the domain.
    base: String,
    covers: Vec<Exclusion>,
}

/// Writes what is needed as patterns: what vendors ask for, else the domain that several hosts share, else the host.
/// `spared` are the hosts that work inspected: a domain that holds one of them is not taken, unless a vendor asks for
/// it.
pub(super) fn generalise(
    needed: &BTreeSet<Exclusion>,
    spared: &BTreeSet<Host>,
    known: &[Known],
    dialect: Dialect,
) -> Proposal {
    let mut groups = Vec::new();
    let mut names = BTreeSet::new();
    for exclusion in needed {
        match exclusion {
            Exclusion::Host(Host::Name(name)) => {
                names.insert(&**name);
            }
            Exclusion::Host(Host::Ip(address)) => {
                groups.push(Group { ground: Ground::Host, base: address.to_string(), covers: vec![exclusion.clone()] });
            }
            Exclusion::Below(base) => {
                groups.push(Group {
                    ground: Ground::PassingNames,
                    base: base.to_string(),
                    covers: vec![exclusion.clone()],
                });
            }
        }
    }
    groups.extend(by_product(&mut names, known));
    let mut over_broad = Vec::new();
    groups.extend(by_parent(&mut names, spared, &mut over_broad));
    for name in names {
        if let Some(broad) = domain::parent(name).and_then(|parent| over_broad_below(parent, spared)) {
            note(&mut over_broad, broad);
        }
        groups.push(Group { ground: Ground::Host, base: name.to_owned(), covers: vec![host(name)] });
    }
    write(groups, spared, over_broad, dialect)
}

/// Writes each host on its own.
pub(super) fn exact(needed: &BTreeSet<Exclusion>, spared: &BTreeSet<Host>, dialect: Dialect) -> Proposal {
    write(needed.iter().map(single).collect(), spared, Vec::new(), dialect)
}

/// Takes out the names that products are known to need, each under the pattern that serves most of them.
fn by_product(names: &mut BTreeSet<&str>, known: &[Known]) -> Vec<Group> {
    let mut groups = Vec::new();
    loop {
        let served = |known: &Known| names.iter().filter(|name| known.pattern.matches_name(name)).count();
        // Of two that serve as many, the longer is the narrower one.
        let best = known.iter().max_by_key(|known| (served(known), known.pattern.to_string().len()));
        let Some(best) = best.filter(|best| served(best) > 0) else { return groups };
        let (taken, rest): (BTreeSet<&str>, _) =
            names.iter().copied().partition(|name| best.pattern.matches_name(name));
        *names = rest;
        let text = best.pattern.to_string();
        let base = text.trim_start_matches("*.").trim_start_matches('.').to_owned();
        // A pattern of another shape, such as one with a port, is no domain: the hosts are written one by one.
        if taken.iter().all(|name| *name == base || name.ends_with(&format!(".{base}"))) {
            let covers = taken.into_iter().map(host).collect();
            groups.push(Group { ground: Ground::Product(best.reason.clone()), base, covers });
        } else {
            groups.extend(taken.into_iter().map(|name| Group {
                ground: Ground::Product(best.reason.clone()),
                base: name.to_owned(),
                covers: vec![host(name)],
            }));
        }
    }
}

/// Takes out the names that share a domain, the narrowest first, where nothing that works inspected lies below it.
fn by_parent(names: &mut BTreeSet<&str>, spared: &BTreeSet<Host>, over_broad: &mut Vec<OverBroad>) -> Vec<Group> {
    let mut children: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in names.iter().copied() {
        // The domain itself counts among its names where a public suffix does not end it.
        let own = psl::domain_str(name).filter(|domain| domain.len() <= name.len()).map(|_| name);
        for parent in own.into_iter().chain(domain::parents(name)) {
            children.entry(parent).or_default().push(name);
        }
    }
    let mut common: Vec<_> = children.into_iter().filter(|(_, names)| names.len() > 1).collect();
    common.sort_by_key(|(parent, _)| std::cmp::Reverse(parent.split('.').count()));
    let mut groups = Vec::new();
    for (parent, below) in common {
        let below: Vec<_> = below.into_iter().filter(|name| names.contains(name)).collect();
        if below.len() < 2 {
            continue;
        }
        if let Some(broad) = over_broad_below(parent, spared) {
            note(over_broad, broad);
            continue;
        }
        for name in &below {
            names.remove(name);
        }
        let covers = below.into_iter().map(host).collect();
        groups.push(Group { ground: Ground::Parent, base: parent.to_owned(), covers });
    }
    groups
}

/// What a wildcard for a domain would bypass for nothing, if anything.
fn over_broad_below(parent: &str, spared: &BTreeSet<Host>) -> Option<OverBroad> {
    let below = Exclusion::Below(parent.into());
    let also: Vec<_> = spared.iter().filter(|host| below.covers(host)).cloned().collect();
    (!also.is_empty()).then(|| OverBroad { pattern: below.to_string(), also })
}

fn note(all: &mut Vec<OverBroad>, broad: OverBroad) {
    if !all.contains(&broad) {
        all.push(broad);
    }
}

/// Finds an entry for each group: one, or where the dialect has none for the whole domain, one for each domain directly
/// above its hosts, or for each host.
fn write(groups: Vec<Group>, spared: &BTreeSet<Host>, over_broad: Vec<OverBroad>, dialect: Dialect) -> Proposal {
    let mut proposal = Proposal { over_broad, ..Proposal::default() };
    for group in groups {
        if let Some(entry) = entry_of(&group, spared, dialect) {
            // What nobody knows to work is not written where each host can be written surely.
            let exact =
                || group.covers.iter().map(|one| entry_of(&single(one), spared, dialect)).collect::<Option<Vec<_>>>();
            let surer = |exact: &Vec<Entry>| exact.iter().all(|one| one.standing < Standing::NotEstablished);
            match exact().filter(surer).filter(|_| entry.standing == Standing::NotEstablished) {
                Some(exact) => proposal.entries.extend(exact),
                None => proposal.entries.push(entry),
            }
            continue;
        }
        let mut nearer: BTreeMap<String, Vec<Exclusion>> = BTreeMap::new();
        for exclusion in &group.covers {
            let base = match exclusion {
                Exclusion::Host(Host::Name(name)) if **name != group.base => {
                    domain::parent(name).unwrap_or(name).to_owned()
                }
                Exclusion::Host(host) => host.to_string(),
                Exclusion::Below(base) => base.to_string(),
            };
            nearer.entry(base).or_default().push(exclusion.clone());
        }
        for (base, covers) in nearer {
            let group = Group { ground: group.ground.clone(), base, covers };
            match entry_of(&group, spared, dialect) {
                Some(entry) => proposal.entries.push(entry),
                None => {
                    for exclusion in group.covers {
                        match entry_of(&single(&exclusion), spared, dialect) {
                            Some(entry) => proposal.entries.push(entry),
                            None => proposal.unsaid.push(Unsaid { reason: unsaid(&exclusion, dialect), exclusion }),
                        }
                    }
                }
            }
        }
    }
    drop_covered(&mut proposal.entries, dialect);
    proposal.entries.sort_by(|a, b| a.entry.cmp(&b.entry));
    proposal
}

/// What is written for this alone.
fn single(exclusion: &Exclusion) -> Group {
    let (ground, base) = match exclusion {
        Exclusion::Host(host) => (Ground::Host, host.to_string()),
        Exclusion::Below(base) => (Ground::PassingNames, base.to_string()),
    };
    Group { ground, base, covers: vec![exclusion.clone()] }
}

fn unsaid(exclusion: &Exclusion, dialect: Dialect) -> String {
    match exclusion {
        Exclusion::Host(_) => format!("{dialect} has no entry for this host"),
        Exclusion::Below(_) => format!("{dialect} has no entry for every name of a domain"),
    }
}

fn entry_of(group: &Group, spared: &BTreeSet<Host>, dialect: Dialect) -> Option<Entry> {
    let probes: Vec<_> = group.covers.iter().map(probe).collect();
    let probes: Vec<_> = probes.iter().map(String::as_str).collect();
    let (entry, standing) = dialect.entry_for(&group.base, &probes)?;
    let also = spared.iter().filter(|host| dialect.reach(&entry, &host.to_string()).is_some()).cloned().collect();
    let is_wide = dialect.reach(&entry, &format!("a.{}", group.base)).is_some();
    Some(Entry {
        domain: is_wide.then(|| group.base.clone()),
        entry,
        ground: group.ground.clone(),
        standing,
        covers: group.covers.clone(),
        also,
    })
}

/// A host that an entry for this has to cover.
fn probe(exclusion: &Exclusion) -> String {
    match exclusion {
        Exclusion::Host(host) => host.to_string(),
        Exclusion::Below(base) => format!("any.{base}"),
    }
}

/// Drops entries for what another one covers already, as where a product takes every plain name for a domain.
fn drop_covered(entries: &mut Vec<Entry>, dialect: Dialect) {
    let mut at = 0;
    while at < entries.len() {
        let covering = entries.iter().enumerate().find(|(other, entry)| {
            let covers = |exclusion| dialect.reach(&entry.entry, &probe(exclusion)).is_some();
            *other != at && entries[at].covers.iter().all(covers)
        });
        match covering.map(|(other, _)| other) {
            Some(other) => {
                let covers = std::mem::take(&mut entries[at].covers);
                entries[other].covers.extend(covers);
                entries.remove(at);
            }
            None => at += 1,
        }
    }
}

fn host(name: &str) -> Exclusion {
    Exclusion::Host(Host::Name(name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> BTreeSet<Host> {
        names.iter().map(|name| Host::parse(name).unwrap()).collect()
    }

    fn okta() -> Vec<Known> {
        let known = |pattern: &str| Known {
            reason: "Okta Verify".to_owned(),
            pattern: Dialect::MIDDLEBOX.parse(pattern).unwrap(),
        };
        ["*.okta.com", "*.mtls.okta.com", "*.oktapreview.com", "ok11static.oktacdn.com"].map(known).into()
    }

    fn proposed(dialect: &str, needed: &[&str], spared: &[&str]) -> Proposal {
        let needed = hosts(needed).into_iter().map(Exclusion::Host).collect();
        generalise(&needed, &hosts(spared), &okta(), dialect.parse().unwrap())
    }

    fn list(dialect: &str, needed: &[&str], spared: &[&str]) -> String {
        let proposal = proposed(dialect, needed, spared);
        proposal.entries.iter().map(|entry| entry.entry.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_a_vendor_asks_for_is_written_as_the_vendor_does() {
        assert_eq!(list("middlebox", &["acme.okta.com"], &["intranet.acme.example"]), "*.okta.com");
        assert_eq!(list("middlebox", &["acme.okta.com", "login.acme.example"], &[]), "*.okta.com login.acme.example");
        assert_eq!(list("middlebox", &["acme.okta.com", "acme.mtls.okta.com"], &[]), "*.okta.com");
        assert_eq!(list("middlebox", &["acme.mtls.okta.com"], &[]), "*.mtls.okta.com");
        assert_eq!(list("middlebox", &["ok11static.oktacdn.com"], &[]), "ok11static.oktacdn.com");
        let proposal = proposed("middlebox", &["acme.okta.com"], &["status.okta.com"]);
        assert_eq!(proposal.entries[0].ground, Ground::Product("Okta Verify".into()));
        assert_eq!(proposal.entries[0].also, [Host::parse("status.okta.com").unwrap()]);
    }

    #[test]
    fn each_product_says_it_in_its_own_way() {
        let both = ["acme.okta.com", "acme.mtls.okta.com"];
        assert_eq!(list("zscaler", &both, &[]), ".okta.com");
        assert_eq!(list("pan-os-exclusion", &both, &[]), "*.mtls.okta.com *.okta.com");
        assert_eq!(list("cloudflare-host", &both, &[]), "acme.mtls.okta.com acme.okta.com");
        assert_eq!(list("check-point-fqdn", &both, &[]), ".acme.mtls.okta.com .acme.okta.com");
        assert_eq!(list("fortigate-proxy", &both, &[]), "acme.mtls.okta.com acme.okta.com");
        assert_eq!(list("no-proxy-curl", &["acme.example", "login.acme.example"], &[]), "acme.example");
    }

    #[test]
    fn a_shared_domain_is_taken_where_nothing_speaks_against_it() {
        let pair = ["api.acme.example", "cdn.acme.example"];
        assert_eq!(list("middlebox", &pair, &["www.other.example"]), "*.acme.example");
        let with_apex = ["acme.example", "cdn.acme.example"];
        assert_eq!(list("middlebox", &with_apex, &[]), ".acme.example");
        let narrow = ["a.eu.acme.example", "b.eu.acme.example", "login.acme.example"];
        assert_eq!(list("middlebox", &narrow, &[]), "*.eu.acme.example login.acme.example");
        let against = proposed("middlebox", &pair, &["www.acme.example"]);
        assert_eq!(against.entries.iter().map(|entry| &*entry.entry).collect::<Vec<_>>(), pair);
        let broad =
            OverBroad { pattern: "*.acme.example".into(), also: hosts(&["www.acme.example"]).into_iter().collect() };
        assert_eq!(against.over_broad, [broad]);
    }

    #[test]
    fn strangers_under_a_public_suffix_are_kept_apart() {
        let strangers = ["one.cloudfront.net", "two.cloudfront.net", "a.co.uk", "b.co.uk"];
        assert_eq!(list("middlebox", &strangers, &[]), "a.co.uk b.co.uk one.cloudfront.net two.cloudfront.net");
        assert_eq!(list("middlebox", &["127.0.0.1", "::1"], &[]), "127.0.0.1 ::1");
    }

    #[test]
    fn an_entry_says_what_else_it_covers() {
        let proposal = proposed("sophos", &["login.acme.example"], &["a.login.acme.example"]);
        assert_eq!(proposal.entries[0].domain.as_deref(), Some("login.acme.example"));
        assert_eq!(proposal.entries[0].also, [Host::parse("a.login.acme.example").unwrap()]);
        assert_eq!(proposed("middlebox", &["login.acme.example"], &[]).entries[0].domain, None);
    }

    #[test]
    fn every_dialect_writes_a_list_or_says_what_it_cannot() {
        for dialect in Dialect::all() {
            let needed = ["acme.okta.com", "acme.mtls.okta.com", "login.acme.example", "a.x.org", "b.x.org"];
            let needed: BTreeSet<_> = hosts(&needed).into_iter().map(Exclusion::Host).collect();
            let proposal = generalise(&needed, &BTreeSet::new(), &okta(), dialect);
            let covers = |host: &Exclusion| {
                proposal.entries.iter().any(|entry| dialect.reach(&entry.entry, &probe(host)).is_some())
            };
            assert!(proposal.unsaid.is_empty() && needed.iter().all(covers), "{dialect}: {proposal:?}");
            for without in 0..proposal.entries.len() {
                let others = proposal.entries.iter().enumerate().filter(|(at, _)| *at != without);
                let entries: Vec<_> = others.map(|(_, entry)| &entry.entry).collect();
                let covered =
                    |host: &Exclusion| entries.iter().any(|entry| dialect.reach(entry, &probe(host)).is_some());
                assert!(!needed.iter().all(covered), "{dialect}: `{}` is idle", proposal.entries[without].entry);
            }
        }
    }
}
