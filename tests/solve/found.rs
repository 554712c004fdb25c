//! The list is the smallest, whatever the client is like.

use crate::place::{CLIENT, Place, missing, no_curl};

#[test]
fn one_of_five_hosts_is_pinned() {
    if no_curl() {
        return;
    }
    let hosts = ["a.one.test", "b.two.test", "c.three.test", "d.four.test", "e.five.test"];
    let script = format!(
        "{CLIENT} get {} && get {} && pinned c.three.test {{pin:c.three.test}} && get {} && get {}",
        hosts[0], hosts[1], hosts[3], hosts[4]
    );
    let answer = Place::new().solve(&hosts, &[], &script);
    assert_eq!((answer.list(), answer.runs()), (vec!["c.three.test"], 3));
    assert_eq!(answer.json["list"][0]["domain"], serde_json::Value::Null);
    assert_eq!(answer.texts("works_inspected"), ["a.one.test", "b.two.test", "d.four.test", "e.five.test"]);
    let need = &answer.json["needed"][0];
    assert_eq!((&need["refused_in_run"], &need["failed_without_in_run"]), (&2.into(), &2.into()));
    assert_eq!(need["cause"]["cause"], "pin-mismatch", "{need:#}");
}

#[test]
fn a_second_pinned_host_is_reached_once_the_first_one_works() {
    if no_curl() {
        return;
    }
    let hosts = ["login.one.test", "www.two.test", "api.three.test"];
    let script = format!(
        "{CLIENT} pinned login.one.test {{pin:login.one.test}} && get www.two.test \
         && pinned api.three.test {{pin:api.three.test}}"
    );
    let answer = Place::new().solve(&hosts, &[], &script);
    assert_eq!(answer.list(), ["api.three.test", "login.one.test"]);
    // Both ends, one host more each time, and that the first is still needed; that the second is was seen on the way.
    assert_eq!(answer.runs(), 5, "{:#}", answer.json["runs"]);
    assert_eq!(answer.texts("works_inspected"), ["www.two.test"]);
}

#[test]
fn two_entries_under_different_parents_are_both_needed() {
    if no_curl() {
        return;
    }
    let hosts = ["push.one.test", "telemetry.two.test", "sync.three.test"];
    // It goes on after a refusal, and does not mind the one of its telemetry.
    let script = format!(
        "{CLIENT} failed=0; pinned push.one.test {{pin:push.one.test}} || failed=1
         pinned telemetry.two.test {{pin:telemetry.two.test}} || true
         pinned sync.three.test {{pin:sync.three.test}} || failed=1
         exit $failed"
    );
    let answer = Place::new().solve(&hosts, &[], &script);
    assert_eq!(answer.list(), ["push.one.test", "sync.three.test"]);
    // All three are refused in the second run, bypassed in the third, and taken away one by one.
    assert_eq!(answer.runs(), 6, "{:#}", answer.json["runs"]);
    assert_eq!(answer.texts("works_inspected"), ["telemetry.two.test"]);
}

#[test]
fn a_flaky_client_is_solved_with_repetitions() {
    if no_curl() {
        return;
    }
    let hosts = ["a.one.test", "b.two.test"];
    // Every second run ends before it has begun.
    let script = format!(
        "{CLIENT} if [ -e odd ]; then rm odd; else touch odd; echo by chance >&2; exit 9; fi
         pinned a.one.test {{pin:a.one.test}} && get b.two.test"
    );
    let answer = Place::new().solve(&hosts, &["--retries", "1"], &script);
    assert_eq!(answer.list(), ["a.one.test"]);
    assert!(answer.texts("remarks").iter().any(|remark| remark.contains("flaky")), "{:#}", answer.json);
    assert!(answer.runs() <= 6, "{:#}", answer.json["runs"]);
}

#[test]
fn hosts_of_one_domain_are_one_entry_unless_it_would_bypass_what_works() {
    if no_curl() {
        return;
    }
    let pins = "pinned a.cdn.one.test {pin:a.cdn.one.test} && pinned b.cdn.one.test {pin:b.cdn.one.test}";
    let hosts = ["a.cdn.one.test", "b.cdn.one.test", "www.one.test", "img.cdn.one.test"];
    let place = Place::new();
    let answer = place.solve(&hosts, &[], &format!("{CLIENT} get www.one.test && {pins}"));
    assert_eq!(answer.list(), ["*.cdn.one.test"]);
    let last = answer.json["runs"].as_array().unwrap().last().unwrap();
    assert_eq!((last["purpose"].as_str(), &last["worked"]), (Some("prove"), &true.into()));

    let answer = place.solve(&hosts, &[], &format!("{CLIENT} get img.cdn.one.test && {pins}"));
    assert_eq!(answer.list(), ["a.cdn.one.test", "b.cdn.one.test"]);
    let broad = &answer.json["over_broad"][0];
    assert_eq!(
        (broad["pattern"].as_str(), broad["also"][0].as_str()),
        (Some("*.cdn.one.test"), Some("img.cdn.one.test"))
    );
}

#[test]
fn a_python_client_with_a_root_list_of_its_own_for_one_host() {
    if missing("python3", "--version") {
        return;
    }
    let place = Place::new();
    place.write(
        "client.py",
        "
import ssl, sys, urllib.request

def get(host, roots=None):
    context = ssl.create_default_context(cafile=roots)
    urllib.request.urlopen(f'https://{host}/', context=context, timeout=30).read()

get('www.one.test')
get('vault.two.test', roots=sys.argv[1])
",
    );
    let origins = ["--origin=www.one.test=static", "--origin=vault.two.test=static"];
    let client = ["--", "python3", "client.py", "{public-ca}"];
    let answer = place.solve_command(&[&origins[..], &client[..]].concat());
    assert_eq!((answer.list(), answer.runs()), (vec!["vault.two.test"], 3));
}

#[test]
fn what_the_product_has_already_is_not_asked_for_again() {
    if no_curl() {
        return;
    }
    let hosts = ["a.one.test", "b.two.test"];
    let script = format!("{CLIENT} pinned a.one.test {{pin:a.one.test}} && pinned b.two.test {{pin:b.two.test}}");
    let answer = Place::new().solve(&hosts, &["--bypass", "*.one.test"], &script);
    assert_eq!(answer.list(), ["b.two.test"]);
}
