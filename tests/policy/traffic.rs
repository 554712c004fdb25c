//! impact: traffic in the forms in which it is found elsewhere.

use super::{Place, json, shown};

const SQUID: &str = "\
1700000000.123    456 192.0.2.7 TCP_TUNNEL/200 3900 CONNECT acme.okta.com:443 - HIER_DIRECT/198.51.100.1 -
1700000001.123    456 192.0.2.7 TCP_TUNNEL/200 3900 CONNECT acme.okta.com:443 - HIER_DIRECT/198.51.100.1 -
1700000002.123     12 192.0.2.7 TCP_TUNNEL/200 512 CONNECT acme.mtls.okta.com:443 - HIER_DIRECT/198.51.100.2 -
1700000003.123     12 192.0.2.8 TCP_TUNNEL/200 512 CONNECT www.example.com:443 - HIER_DIRECT/198.51.100.3 -
";

#[test]
fn impact_tells_what_a_list_does_to_traffic() {
    let place = Place::new();
    place.write("access.log", SQUID);
    place.write("list.txt", "*.okta.com\n");
    let line = ["policy", "impact", "--policy", "list.txt", "--dialect", "pan-os-exclusion", "--traffic", "access.log"];
    assert_eq!(shown(&place, "impact", &line), 0);
    let (impact, code) = json(&place, &line);
    assert_eq!(
        (code, &impact["format"], &impact["connections"], &impact["hosts"]),
        (0, &"squid".into(), &4.into(), &3.into())
    );
    let of = |decision: &str| {
        let shares = impact["decisions"].as_array().unwrap();
        shares.iter().find(|share| share["decision"] == decision).unwrap()["connections"].as_u64().unwrap()
    };
    assert_eq!((of("bypass"), of("inspect")), (2, 2));
}

#[test]
fn against_shows_only_what_changes() {
    let place = Place::new();
    place.write("access.log", SQUID);
    place.write("old.txt", "*.okta.com\n");
    place.write("new.txt", "*.okta.com\n*.*.okta.com\n");
    let line = [
        "policy",
        "impact",
        "--policy",
        "new.txt",
        "--against",
        "old.txt",
        "--dialect",
        "pan-os-exclusion",
        "--traffic",
        "access.log",
    ];
    assert_eq!(shown(&place, "impact-against", &line), 0);
    let (shift, _) = json(&place, &line);
    assert_eq!((&shift["changed"], shift["changes"].as_array().unwrap().len()), (&1.into(), 1));
    assert_eq!(shift["changes"][0]["most"][0]["host"], "acme.mtls.okta.com");
}

#[test]
fn every_form_of_traffic_is_told_by_its_content() {
    let place = Place::new();
    let traffic = [
        ("squid", "x.log", SQUID),
        (
            "common",
            "x.log",
            "192.0.2.7 - - [10/Oct/2026:13:55:36 +0000] \"CONNECT acme.okta.com:443 HTTP/1.1\" 200 1\n",
        ),
        ("har", "x.har", r#"{"log": {"entries": [{"request": {"url": "https://acme.okta.com/"}}]}}"#),
        ("csv", "x.csv", "time,host\n1,acme.okta.com\n"),
        ("plain", "x.txt", "acme.okta.com\n"),
    ];
    for (form, file, text) in traffic {
        place.write(file, text);
        let (impact, code) = json(&place, &["policy", "impact", "--pattern", "*.okta.com", "--traffic", file]);
        assert_eq!((code, &impact["format"]), (0, &form.into()), "{form}");
        assert_eq!(impact["entries"][0]["entry"]["text"], "*.okta.com", "{form}");
    }
    place.write("empty", "");
    assert_eq!(
        shown(&place, "mistake-traffic", &["policy", "impact", "--pattern", "*.okta.com", "--traffic", "empty"]),
        2
    );
}
