//! Files and arguments of a user: names of places, scripts, logs, scenarios, product packs, profiles.

use std::io::Read;

use middlebox::authority::Profile;
use middlebox::net::{Destination, Host, Overrides, Parent, Pin, ResolveEntry, Way};
use middlebox::pac::PacScript;
use middlebox::policy::formats::Entry;
use middlebox::policy::{Action, Customer, Dialect, Network, Ports, Product, Question, Reading, Traffic, impact};
use middlebox::scenario::Scenario;
use middlebox::source::Document;
use url::Url;

use super::text;

/// Reads a text as whatever names a place: what is written reads as it was.
pub(super) fn destinations(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(destination) = Destination::parse(text) {
        assert_eq!(Destination::parse(&destination.to_string()).as_ref(), Ok(&destination), "{text}");
    }
    if let Ok(host) = Host::parse(text) {
        assert_eq!(Host::parse(&host.to_string()).as_ref(), Ok(&host), "{text}");
    }
    let _ = (text.parse::<Parent>(), text.parse::<Way>(), text.parse::<ResolveEntry>(), text.parse::<Pin>());
    let _ = (text.parse::<Network>(), text.parse::<Ports>(), text.parse::<Question>());
}

/// Compiles a PAC script and calls it, within its limits.
pub(super) fn pac_script(bytes: &[u8]) {
    let Ok(script) = PacScript::compile("fuzzed", text(bytes)) else { return };
    let url = Url::parse("https://a.okta.com/").expect("a URL");
    let _ = script.evaluate(&url, "a.okta.com", &Overrides::default());
}

/// Reads hosts seen elsewhere, in one piece and byte by byte, and what a list does to them.
pub(super) fn traffic(bytes: &[u8]) {
    let whole = Traffic::read(bytes);
    let cut = Traffic::read(Trickle(bytes));
    let hosts = |traffic: &Traffic| {
        let questions = traffic.questions().map(|(question, count)| (format!("{question:?}"), count));
        let mut questions: Vec<_> = questions.collect();
        questions.sort();
        (traffic.format, traffic.read, traffic.without_host, questions)
    };
    assert_eq!(whole.as_ref().ok().map(hosts), cut.as_ref().ok().map(hosts));
    let Ok(traffic) = whole else { return };
    let entries = ["*.okta.com", "10.0.0.0/8"].map(|pattern| Entry::typed(pattern, Action::Bypass));
    let impact = impact(&Reading::of(Dialect::MIDDLEBOX, None, entries).policy, &traffic);
    assert!(impact.hosts <= traffic.hosts());
}

/// As from a pipe that somebody fills slowly.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = into.len().min(1);
        self.0.read(&mut into[..count])
    }
}

/// Reads a scenario file.
pub(super) fn scenario(bytes: &[u8]) {
    if let Err(error) = Scenario::parse(&Document::new("fuzzed.toml", text(bytes))) {
        let _ = error.render(false);
    }
}

/// Reads the profile of a product's forged certificates.
pub(super) fn profile(bytes: &[u8]) {
    match Profile::parse(&Document::new("fuzzed.toml", text(bytes))) {
        Ok(profile) => drop((profile.facts().count(), profile.added_headers().count())),
        Err(error) => drop(error.render(false)),
    }
}

/// Reads a product pack, and what it asks for a customer.
pub(super) fn product(bytes: &[u8]) {
    match Product::read("fuzzed", &Document::new("fuzzed.toml", text(bytes))) {
        Ok(product) => {
            for org in [None, Some("acme.okta.com".to_owned())] {
                let _ = product.requirements(&Customer { org, custom_domain: Some("login.acme.example".to_owned()) });
            }
        }
        Err(error) => drop(error.render(false)),
    }
}
