//! Scripts that are well, and the answers that they give.

mod functions;
mod limits;

use std::time::Duration;

use url::Url;

use super::*;
use crate::net::Overrides;

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

/// Names that the tests know: `a.example` with both families, `six.example` with IPv6 alone.
fn names() -> Overrides {
    let mut names = Overrides::new();
    names.insert("a.example:443:10.1.2.3,2001:db8::1".parse().unwrap());
    names.insert("six.example:443:2001:db8::6".parse().unwrap());
    names
}

/// The answer of a script whose `FindProxyForURL` has this body.
fn ask(body: &str, address: &str) -> Result<String, PacError> {
    let script = PacScript::compile("proxy.pac", &format!("function FindProxyForURL(url, host) {{ {body} }}"))?;
    // As much time as a machine may need that does much else.
    let script = script.with_limits(PacLimits { time: Duration::from_secs(60), ..PacLimits::default() });
    let address = url(address);
    script.find_proxy(&address, address.host_str().unwrap_or_default(), &names())
}

/// The value of an expression, as JSON.
fn value(expression: &str) -> String {
    ask(&format!("return JSON.stringify({expression});"), "https://acme.okta.com/").unwrap()
}

fn mistake(text: &str) -> String {
    PacScript::compile("proxy.pac", text).unwrap_err().to_string()
}

#[test]
fn a_script_is_sloppy_old_javascript_and_modern_too() {
    let old = "undeclared = 1; with ({a: 2}) { return 'PROXY p:' + (undeclared + a) + 010; }";
    assert_eq!(ask(old, "https://a.example/").unwrap(), "PROXY p:38");
    let new = "const ways = new Map([['a.example', 'DIRECT']]); return ways.get(host) ?? `PROXY ${host}:1`;";
    assert_eq!(ask(new, "https://a.example/").unwrap(), "DIRECT");
    assert_eq!(ask(new, "https://b.example/").unwrap(), "PROXY b.example:1");
}

#[test]
fn the_arguments_are_what_a_browser_passes() {
    let arguments = |address| ask("return url + ' ' + host;", address).unwrap();
    assert_eq!(arguments("https://u:p@Acme.Okta.com:8443/a/b?c=d#e"), "https://acme.okta.com:8443/ acme.okta.com");
    assert_eq!(arguments("http://u:p@a.example/b?c#d"), "http://a.example/b?c a.example");
    assert_eq!(arguments("wss://a.example/b"), "wss://a.example/ a.example");
    assert_eq!(arguments("https://[2001:DB8::1]:443/b"), "https://[2001:db8::1]/ 2001:db8::1");
    assert_eq!(url_for_pac(&url("data:text/plain,hi")), "data:text/plain,hi");
}

#[test]
fn calls_share_nothing() {
    let text = "var count = 0; function FindProxyForURL() { count += 1; return String(count); }";
    let script = PacScript::compile("count.pac", text).unwrap();
    let call = || script.find_proxy(&url("https://a.example/"), "a.example", &names()).unwrap();
    assert_eq!((call(), call()), ("1".to_owned(), "1".to_owned()));
}

#[test]
fn many_threads_ask_one_script() {
    fn is_shared<T: Send + Sync + Clone>(_: &T) {}
    let script = PacScript::compile("proxy.pac", "function FindProxyForURL(u, h) { return dnsResolve(h); }").unwrap();
    is_shared(&script);
    std::thread::scope(|scope| {
        let call = || script.find_proxy(&url("https://a.example/"), "a.example", &names()).unwrap();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(call)).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == "10.1.2.3"));
    });
}

#[test]
fn alerts_are_collected_and_bounded() {
    let text = "function FindProxyForURL(url, host) { for (var i = 0; i < 99; i++) alert(host + i); return 'DIRECT'; }";
    let script = PacScript::compile("proxy.pac", text).unwrap();
    let found = script.evaluate(&url("https://a.example/"), "a.example", &names()).unwrap();
    assert_eq!((found.result.as_str(), found.alerts.len(), found.alerts[1].as_str()), ("DIRECT", 64, "a.example1"));
}

#[test]
fn a_syntax_error_has_its_place_and_its_mend() {
    assert_eq!(
        mistake("function FindProxyForURL(url, host) {\n  return \"DIRECT\" \"PROXY\";\n}\n"),
        "proxy.pac:2:19: syntax error: expecting ';' (look for a bracket, quote or operator that is missing here or \
         just before)"
    );
    assert_eq!(
        mistake("<!DOCTYPE html>\n<html></html>"),
        "proxy.pac:1:1: syntax error: unexpected token in expression: '<' (this is a web page and not a script; check \
         the address that it was fetched from)"
    );
    let error = PacScript::compile("proxy.pac", "// größer\n/* ü */ var é = = 1;").unwrap_err();
    assert!(matches!(&error, PacError::Place(place) if place.line_column() == (2, 17)), "{error}");
    assert!(mistake("function FindProxyForURL() {").starts_with("proxy.pac:1:"), "at the end");
}

#[test]
fn uncaught_exceptions_have_their_place() {
    assert_eq!(
        mistake("var a = 1;\nvar b = a.b.c;"),
        "proxy.pac:2:9: uncaught TypeError: cannot read property 'c' of undefined"
    );
    assert_eq!(
        ask("\n  return shExpMach(host, '*');", "https://a.example/").unwrap_err().to_string(),
        "proxy.pac:2:10: uncaught ReferenceError: shExpMach is not defined (did you mean `shExpMatch`?)"
    );
    let thrown = |body| ask(body, "https://a.example/").unwrap_err().to_string();
    assert_eq!(thrown("throw 'no way'"), "uncaught exception: no way");
    assert_eq!(thrown("throw {toString: function () { throw 1; }}"), "uncaught exception: an object");
    assert!(
        thrown("timeRange(1, 2, 3)").contains("uncaught TypeError: timeRange takes"),
        "of a function of the format"
    );
}

#[test]
fn the_function_has_to_be_there() {
    assert_eq!(mistake(""), "proxy.pac defines no function FindProxyForURL");
    assert_eq!(mistake("var FindProxyForURL = 1;"), "proxy.pac defines no function FindProxyForURL");
    assert_eq!(
        mistake("function FindProxyForUrl() { return 'DIRECT'; }"),
        "proxy.pac defines no function FindProxyForURL (its `FindProxyForUrl` has to be named so)"
    );
    let windows_alone = mistake("function FindProxyForURLEx() { return 'DIRECT'; }");
    assert!(windows_alone.contains("is called by WinHTTP and WinINet of Windows alone"), "{windows_alone}");
}

#[test]
fn an_answer_has_to_be_text() {
    let kind = |body| match ask(body, "https://a.example/") {
        Err(PacError::Returned { kind }) => kind,
        other => format!("{other:?}"),
    };
    assert_eq!(
        [kind(""), kind("return null"), kind("return 1"), kind("return ['DIRECT']"), kind("return '\\ud800'")],
        ["undefined", "null", "int", "array", "half a character"]
    );
    assert_eq!(ask("return '  anything \\u00fc'", "https://a.example/").unwrap(), "  anything ü");
}
