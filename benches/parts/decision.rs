//! Asking the policy: the same question of short and of long lists.

use divan::{Bencher, black_box};
use middlebox::policy::{Action, Asked, PolicyConfig, PolicyStore, RuleSpec, Sni, Subjects};

const RULES: [usize; 4] = [0, 10, 1_000, 100_000];

/// Rules of which only the last is for `wanted.example`.
fn store(rules: usize) -> PolicyStore {
    let mut command_line: Vec<_> =
        (1..rules).map(|number| RuleSpec::new(format!("*.site{number}.example"), Action::Bypass)).collect();
    if rules > 0 {
        command_line.push(RuleSpec::new("*.wanted.example", Action::Bypass));
    }
    PolicyStore::new(PolicyConfig { default: Some(Action::Inspect), command_line, ..PolicyConfig::default() }).unwrap()
}

fn ask(store: &PolicyStore, host: &str) -> Asked {
    store.decide(&Subjects {
        connect_host: Some(host),
        port: 443,
        sni: Sni::Name(host),
        address: None,
        certificate: None,
        client: None,
    })
}

/// A host that the last rule is for.
#[divan::bench(args = RULES)]
fn matched(bencher: Bencher<'_, '_>, rules: usize) {
    let store = store(rules);
    bencher.bench_local(|| ask(&store, black_box("login.wanted.example")));
}

/// A host that no rule is for.
#[divan::bench(args = RULES)]
fn by_default(bencher: Bencher<'_, '_>, rules: usize) {
    let store = store(rules);
    bencher.bench_local(|| ask(&store, black_box("www.elsewhere.example")));
}
