//! What holds for every dialect and every text.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::Dialect;
use crate::policy::decision::{Sni, Subjects};
use crate::policy::rule::{Rule, RuleId, RuleSpec, Source};
use crate::policy::view::Bearing;
use crate::policy::{Action, Policy};

fn entry() -> impl Strategy<Value = String> {
    let label = prop::sample::select(vec!["a", "B", "okta", "com", "*", "^", "x*", "bücher", "10", ""]);
    let start =
        prop::sample::select(vec!["", "", ".", "*.", "^.", "*", "https://", "CN=", "url.host.suffix=", "<local>"]);
    let end = prop::sample::select(vec!["", "", ".", "/", "/*", "/x", ":443", ":8443", "$"]);
    let names = (start, prop::collection::vec(label, 1..5), end)
        .prop_map(|(start, labels, end)| format!("{start}{}{end}", labels.join(".")));
    let addresses = vec!["10.0.0.0/8", "10.1.1.1", "::1", "[::1]:443", "*", "<-loopback>", "url.address=10.0.0.0/8"];
    prop_oneof![8 => names, 1 => prop::sample::select(addresses).prop_map(str::to_owned)]
}

fn host() -> impl Strategy<Value = String> {
    let label = prop::sample::select(vec!["a", "B", "okta", "notokta", "com", "x"]);
    let names = (prop::collection::vec(label, 1..8), prop::sample::select(vec!["", "", "."]))
        .prop_map(|(labels, end)| format!("{}{end}", labels.join(".")));
    let addresses = prop::sample::select(vec!["10.1.1.1", "[::1]", "127.0.0.1", "localhost"]);
    prop_oneof![6 => names, 1 => addresses.prop_map(str::to_owned)]
}

fn dialect() -> impl Strategy<Value = Dialect> {
    prop::sample::select(Dialect::all().collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn any_text_is_a_pattern_or_an_error_with_a_place(
        dialect in dialect(),
        text in prop_oneof![r"\PC{0,24}", r"[*^.a\[\]:/0-9é。()|\\<>=@,; -]{0,20}", entry()],
    ) {
        match dialect.parse(&text) {
            Ok(pattern) => {
                prop_assert_eq!(pattern.text(), &*text);
                for warning in pattern.warnings() {
                    prop_assert!(text.get(warning.span.clone()).is_some(), "{} {:?}", dialect, warning);
                }
                let _ = pattern.canonical();
            }
            Err(error) => prop_assert!(error.pattern.get(error.span.clone()).is_some(), "{} {:?}", dialect, error),
        }
    }

    #[test]
    fn the_index_finds_what_a_scan_finds(
        dialect in dialect(),
        entries in prop::collection::vec((entry(), prop::sample::select(vec![Action::Inspect, Action::Bypass])), 1..14),
        connect in prop::option::of(host()),
        sni in prop::option::of(host()),
        names in prop::collection::vec(prop_oneof![3 => host(), 1 => host().prop_map(|host| format!("*.{host}"))], 0..3),
        port in prop::sample::select(vec![443, 80, 8443]),
    ) {
        let entries = entries.into_iter().filter_map(|(entry, action)| Some((dialect.parse(&entry).ok()?, entry, action)));
        let rules = entries.zip(1..).map(|((pattern, entry, action), number)| {
            Arc::new(RuleSpec::new(entry, action).into_rule(RuleId::numbered(number), pattern, Source::Live))
        });
        let policy = Policy::compile(1, dialect, Action::Inspect, rules.collect());
        let subjects = Subjects {
            connect_host: connect.as_deref(),
            port,
            sni: sni.as_deref().map_or(Sni::Absent, Sni::Name),
            address: "10.1.1.1".parse().ok(),
            certificate: Some(&names),
            client: None,
        };
        let answer = dialect.ask(&policy, &subjects);
        let decision = answer.asked.decision().expect("all there is to know is known");
        let ranked = (0..u32::try_from(policy.rules().len()).unwrap()).map(|rank| policy.at_rank(rank));
        let applies = |rule: &&Rule| answer.view.bearing(rule) == Bearing::Applies;
        let scanned = ranked.clone().find(applies);
        let shown = scanned.filter(|rule| !rule.pattern.subtracts());
        prop_assert_eq!(decision.rule.as_ref().map(|rule| &rule.id), shown.map(|rule| &rule.id));

        // Every doubt that a scan finds about a rule that would decide otherwise is told.
        for rule in ranked.take_while(|rule| scanned.is_none_or(|found| found.id != rule.id)) {
            if rule.action != decision.action {
                for assumption in answer.view.assumptions(rule, answer.view.bearing(rule)) {
                    prop_assert!(decision.assumptions().contains(&assumption), "{} {:?}", rule.pattern.text(), assumption);
                }
            }
        }
        let _ = policy.explain(&subjects).nearest_first().len();
    }
}
