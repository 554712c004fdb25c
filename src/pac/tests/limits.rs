//! Scripts that mean harm: each is stopped, and the next call is as good as ever.

use std::time::{Duration, Instant};

use super::*;

/// The answer under limits with so much time that a slow machine reaches none but the others.
fn ask_slowly(body: &str) -> Result<String, PacError> {
    let script = PacScript::compile("proxy.pac", &format!("function FindProxyForURL(url, host) {{ {body} }}"))?;
    let script = script.with_limits(PacLimits { time: Duration::from_secs(60), ..PacLimits::default() });
    script.find_proxy(&url("https://a.example/"), "a.example", &names())
}

fn limit(body: &str) -> PacLimit {
    match ask_slowly(body) {
        Err(PacError::Limit(limit)) => limit,
        other => panic!("{body}: {other:?}"),
    }
}

fn is_time(body: &str) {
    let start = Instant::now();
    let time = Duration::from_millis(200);
    let script = PacScript::compile("proxy.pac", &format!("function FindProxyForURL(url, host) {{ {body} }}")).unwrap();
    let script = script.with_limits(PacLimits { time, ..PacLimits::default() });
    let outcome = script.find_proxy(&url("https://a.example/"), "a.example", &names());
    // A generous bound, for machines with much else to do: what matters is that the call comes back.
    assert!(start.elapsed() < Duration::from_secs(20), "{body}");
    assert!(matches!(outcome, Err(PacError::Limit(PacLimit::Time(reached))) if reached == time), "{body}: {outcome:?}");
}

#[test]
fn endless_loops_end() {
    is_time("while (true) {}");
    is_time("try { for (;;); } catch (e) { for (;;); } finally { for (;;); }");
    is_time("throw { toString: function () { for (;;); } };");
    is_time("return { get a() { for (;;); } }.a;");
    is_time("for (;;) dnsResolve('a.example');");
}

#[test]
fn a_loop_at_the_top_ends() {
    let error = PacScript::compile("proxy.pac", "function FindProxyForURL() {} while (true) {}").unwrap_err();
    assert!(matches!(error, PacError::Limit(PacLimit::Time(_))), "{error}");
    assert_eq!(error.to_string(), "the script was stopped: it runs longer than 2000 ms");
}

#[test]
fn catastrophic_regular_expressions_end() {
    is_time("return String(/^(a+)+$/.test('a'.repeat(64) + 'b'));");
    is_time("return String(/(x+x+)+y/.test('x'.repeat(64)));");
    is_time("return String(shExpMatch('a'.repeat(64) + 'b', '(a+)+'));");
    is_time("return 'a'.repeat(64).replace(/(a|aa)+$(?!)/, '');");
}

#[test]
fn globs_are_never_catastrophic() {
    assert_eq!(value("shExpMatch('a'.repeat(64) + 'b', '*a'.repeat(20) + 'c')"), "false");
}

#[test]
fn native_functions_that_the_engine_cannot_stop_are_given_up() {
    // One text searched in another, with a mismatch at the end of every comparison.
    let body = "var n = 1 << 17; return String('a'.repeat(2 * n).indexOf('a'.repeat(n) + 'b'));";
    let text = format!("function FindProxyForURL() {{ {body} }}");
    let limits = PacLimits { time: Duration::from_millis(20), ..PacLimits::default() };
    let script = PacScript::compile("proxy.pac", &text).unwrap().with_limits(limits);
    let call = || script.find_proxy(&url("https://a.example/"), "a.example", &names());
    let outcomes: Vec<_> = (0..6).map(|_| call()).collect();
    // A machine may be fast enough to finish; none waits.
    let is_given_up = |outcome: &_| matches!(outcome, Err(PacError::Limit(PacLimit::Time(_)) | PacError::Busy(4)));
    assert!(outcomes.iter().all(is_given_up), "{outcomes:?}");
}

#[test]
fn memory_is_bounded() {
    let memory = PacLimit::Memory(PacLimits::default().memory);
    assert_eq!(limit("var a = []; while (true) a.push('x'.repeat(1000) + a.length);"), memory);
    assert_eq!(limit("return 'x'.repeat(1e9);"), memory);
    assert_eq!(limit("var a = {}; for (var i = 0;; i++) a['k' + i] = { a: a };"), memory);
    assert_eq!(limit("return String(new Uint8Array(1e9).length);"), memory);
}

#[test]
fn recursion_is_bounded() {
    let stack = PacLimit::Stack(PacLimits::default().stack);
    assert_eq!(limit("function f() { return f() + 1; } return f();"), stack);
    assert_eq!(limit("return JSON.parse('['.repeat(1e6));"), stack);
    assert_eq!(limit("var a = []; for (var i = 0; i < 1e5; i++) a = [a]; return String(a);"), stack);
    let nested = format!("return {}1{};", "(".repeat(100_000), ")".repeat(100_000));
    assert!(matches!(ask_slowly(&nested), Err(PacError::Limit(_) | PacError::Place(_))));
    let nested = format!("return new RegExp('{}');", "(".repeat(100_000));
    assert!(matches!(ask_slowly(&nested), Err(PacError::Limit(_) | PacError::Place(_))));
}

#[test]
fn an_answer_and_a_text_have_their_length() {
    assert_eq!(limit("return 'x'.repeat(1 << 20);"), PacLimit::Result(64 << 10));
    let long = format!("/*{}*/", " ".repeat(1 << 20));
    let error = PacScript::compile("proxy.pac", &long).unwrap_err();
    assert!(matches!(error, PacError::Limit(PacLimit::Size(_))), "{error}");
    let deep = "var s = 'x'; for (var i = 0; i < 5e3; i++) s = 'y' + s + 'z'; return String(s.length);";
    assert_eq!(ask_slowly(deep).unwrap(), "10001");
}

#[test]
fn a_script_that_was_stopped_can_be_asked_again() {
    let text = "function FindProxyForURL(url, host) { while (host == 'bad.example') {} return 'DIRECT'; }";
    let script = PacScript::compile("proxy.pac", text).unwrap();
    let call = |host: &str| script.find_proxy(&url("https://a.example/"), host, &names());
    for _ in 0..3 {
        assert!(call("bad.example").is_err());
        assert_eq!(call("good.example").unwrap(), "DIRECT");
    }
}

#[test]
fn running_out_of_memory_anywhere_is_an_error_and_no_crash() {
    let text = "function FindProxyForURL(url, host) { var a = [], m = new Map(); for (var i = 0; i < 3000; i++) \
                { a.push({ i: i, s: host + i, f: function () { return a; } }); m.set(a[i], /x(y)/.exec('xy')); } \
                try { throw new Error(a.length); } catch (e) { return dnsResolve(host) + e.stack.length; } }";
    let script = PacScript::compile("proxy.pac", text).unwrap();
    let mut done = 0;
    for kib in (1024..4096).step_by(41) {
        let limits = PacLimits { memory: kib << 10, time: Duration::from_secs(60), ..PacLimits::default() };
        match script.clone().with_limits(limits).find_proxy(&url("https://a.example/"), "a.example", &names()) {
            Ok(_) => done += 1,
            Err(PacError::Limit(PacLimit::Memory(_))) => {}
            Err(other) => panic!("{kib} KiB: {other}"),
        }
    }
    assert!(done > 0 && done < 75, "{done}");
}
