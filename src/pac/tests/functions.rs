//! The functions of the format, by tables.

use time::macros::datetime;

use super::*;

fn holds(expressions: &[&str]) {
    for expression in expressions {
        assert_eq!(value(expression), "true", "{expression}");
    }
}

fn fails(expressions: &[&str]) {
    for expression in expressions {
        assert_eq!(value(expression), "false", "{expression}");
    }
}

/// The hosts by which all dialects are compared: the apex, one below, two below, a name with the same end, one with
/// the same start.
const HOSTS: [&str; 5] = ["okta.com", "acme.okta.com", "a.b.okta.com", "notokta.com", "okta.com.evil.com"];

fn row(function: &str, pattern: &str) -> String {
    let script = format!("return {function}(host, '{pattern}') ? 'Y' : 'n';");
    HOSTS.map(|host| ask(&script, &format!("https://{host}/")).unwrap()).concat()
}

#[test]
fn the_table_of_host_functions() {
    assert_eq!(row("dnsDomainIs", "okta.com"), "YYYYn");
    assert_eq!(row("dnsDomainIs", ".okta.com"), "nYYnn");
    assert_eq!(row("shExpMatch", "*.okta.com"), "nYYnn");
    assert_eq!(row("shExpMatch", "*okta.com"), "YYYYn");
    assert_eq!(row("shExpMatch", "okta.com*"), "YnnnY");
}

#[test]
fn a_suffix_counts_by_characters() {
    holds(&["dnsDomainIs('notokta.com', 'okta.com')", "dnsDomainIs('a', '')"]);
    fails(&["dnsDomainIs('www', '.netscape.com')", "dnsDomainIs('www.OKTA.com', '.okta.com')"]);
}

#[test]
fn globs_are_as_browsers_read_them() {
    holds(&[
        "shExpMatch('http://home.netscape.com/people/ari/index.html', '*/ari/*')",
        "shExpMatch('a.b.c.d', 'a*d')",
        "shExpMatch('abc', 'a?c')",
        "shExpMatch('a.example', '(*.example|*.test)') && shExpMatch('b.test', '(*.example|*.test)')",
        "shExpMatch('aac', 'a+c') && shExpMatch('10.1.2.3', '10.[0-9].*') && shExpMatch('a.b', '\\\\w.b')",
        "shExpMatch('', '*') && shExpMatch('', '')",
        "shExpMatch('a\\nb', 'a*b')",
        "shExpMatch('*x', '*x') && shExpMatch('abab', '*ab')",
    ]);
    fails(&[
        "shExpMatch('http://home.netscape.com/people/montulli/index.html', '*/ari/*')",
        "shExpMatch('abc', 'a.c')",
        "shExpMatch('a+c', 'a+c') || shExpMatch('axb', '(a.b)')",
        "shExpMatch('ac', 'a?c') || shExpMatch('a', '') || shExpMatch('', '?')",
        "shExpMatch('ABC', 'abc') || shExpMatch('xabc', 'abc') || shExpMatch('abcx', 'abc')",
    ]);
}

#[test]
fn names_are_taken_apart() {
    holds(&[
        "isPlainHostName('www') && !isPlainHostName('www.a') && !isPlainHostName('::1')",
        "localHostOrDomainIs('www.netscape.com', 'www.netscape.com')",
        "localHostOrDomainIs('www', 'www.netscape.com')",
    ]);
    fails(&[
        "localHostOrDomainIs('www.mcom.com', 'www.netscape.com')",
        "localHostOrDomainIs('home.netscape.com', 'www.netscape.com')",
        "localHostOrDomainIs('ww', 'www.netscape.com')",
    ]);
    assert_eq!(value("[dnsDomainLevels('www'), dnsDomainLevels('www.netscape.com')]"), "[0,2]");
}

#[test]
fn names_resolve_by_what_they_were_given() {
    assert_eq!(
        value("[dnsResolve('a.example'), dnsResolve('six.example'), dnsResolve('b.example'), dnsResolve('1.2.3.4')]"),
        r#"["10.1.2.3",null,null,"1.2.3.4"]"#
    );
    assert_eq!(
        value("[dnsResolveEx('a.example'), dnsResolveEx('six.example'), dnsResolveEx('b.example'), dnsResolve()]"),
        r#"["10.1.2.3;2001:db8::1","2001:db8::6","",null]"#
    );
    holds(&["isResolvable('a.example') && !isResolvable('six.example') && isResolvableEx('six.example')"]);
    assert_eq!(value("[myIpAddress(), myIpAddressEx(), getClientVersion()]"), r#"["127.0.0.1","127.0.0.1","1.0"]"#);
}

#[test]
fn addresses_lie_in_networks() {
    assert_eq!(value("[convert_addr('104.16.41.2'), convert_addr('255.255.255.255')]"), "[1745889538,-1]");
    holds(&[
        "isInNet('198.95.249.79', '198.95.249.79', '255.255.255.255')",
        "isInNet('198.95.6.8', '198.95.0.0', '255.255.0.0')",
        "isInNet('a.example', '10.0.0.0', '255.0.0.0')",
        "isInNetEx('2001:db8::1', '2001:db8::/32') && isInNetEx('198.95.249.79', '198.95.0.0/16')",
    ]);
    fails(&[
        "isInNet('198.96.6.8', '198.95.0.0', '255.255.0.0')",
        "isInNet('b.example', '0.0.0.0', '0.0.0.0')",
        "isInNet('six.example', '0.0.0.0', '0.0.0.0')",
        "isInNet('10.0.0.256', '10.0.0.0', '255.0.0.0')",
        "isInNetEx('a.example', '10.0.0.0/8') || sortIpAddressList('x')",
    ]);
    assert_eq!(
        value("sortIpAddressList('10.2.3.9;2001:4898:28:3:201:2ff:feea:fc14;::1;127.0.0.1')"),
        "\"::1;2001:4898:28:3:201:2ff:feea:fc14;10.2.3.9;127.0.0.1\""
    );
}

/// On Wednesday, 15 December 1999, 22:30:15, two hours east of GMT.
fn then(expression: &str) -> String {
    let clock = PacClock::Fixed(datetime!(1999-12-15 22:30:15 +2));
    let text = format!("function FindProxyForURL() {{ return String({expression}); }}");
    let script = PacScript::compile("proxy.pac", &text).unwrap().with_clock(clock);
    script.find_proxy(&url("https://a.example/"), "a.example", &names()).unwrap()
}

fn then_are(expected: &str, expressions: &[&str]) {
    for expression in expressions {
        assert_eq!(then(expression), expected, "{expression}");
    }
}

#[test]
fn days_of_the_week() {
    then_are(
        "true",
        &[
            "weekdayRange('WED')",
            "weekdayRange('MON', 'FRI')",
            "weekdayRange('SAT', 'WED')",
            "weekdayRange('WED', 'GMT')",
            "weekdayRange('TUE', 'WED', 'GMT')",
        ],
    );
    let others = ["weekdayRange('THU')", "weekdayRange('FRI', 'MON')", "weekdayRange('wed')", "weekdayRange()"];
    then_are("false", &others);
}

#[test]
fn days_of_the_year() {
    then_are(
        "true",
        &[
            "dateRange(15)",
            "dateRange('15')",
            "dateRange(1, 15)",
            "dateRange(15, 'DEC')",
            "dateRange(15, 'DEC', 1999)",
            "dateRange('OCT', 'DEC')",
            "dateRange('NOV', 'JAN')",
            "dateRange(1, 'DEC', 31, 'DEC')",
            "dateRange(24, 'NOV', 1, 'FEB')",
            "dateRange(1, 'JUN', 1995, 15, 'JAN', 2000, 'GMT')",
            "dateRange('OCT', 1995, 'MAR', 2000)",
            "dateRange(1999) && dateRange(1998, 1999)",
        ],
    );
    then_are(
        "false",
        &[
            "dateRange(14)",
            "dateRange(16, 31)",
            "dateRange('JAN')",
            "dateRange('DEC ')",
            "dateRange(24, 'DEC')",
            "dateRange(15, 'DEC', 1998)",
            "dateRange(1, 'JUN', 15, 'AUG')",
            "dateRange(1, 'JUN', 1995, 15, 'AUG', 1995)",
            "dateRange('OCT', 1995, 'MAR', 1996)",
            "dateRange(1995, 1997)",
            "dateRange() || dateRange('GMT') || dateRange('DEC', 15)",
        ],
    );
}

#[test]
fn times_of_the_day() {
    then_are(
        "true",
        &[
            "timeRange(22) && timeRange(20, 'GMT')",
            "timeRange(22, 23) && timeRange(9, 22)",
            "timeRange(22, 30, 22, 30)",
            "timeRange(22, 30, 15, 22, 30, 15)",
            "timeRange(20, 0, 21, 0, 'GMT')",
            "timeRange(22, 0, 6, 0)",
            "timeRange(22, 0, 0, 6, 0, 0)",
        ],
    );
    then_are(
        "false",
        &[
            "timeRange(21) || timeRange(22, 'GMT')",
            "timeRange(22, 6)",
            "timeRange(22, 31, 23, 0)",
            "timeRange(22, 30, 16, 22, 30, 17)",
            "timeRange(0, 0, 0, 22, 30, 14)",
            "timeRange() || timeRange('GMT')",
        ],
    );
}

#[test]
fn the_clock_of_a_script_stands_as_well() {
    assert_eq!(then("new Date().toISOString() + new Date(0).getTime()"), "1999-12-15T20:30:15.000Z0");
    assert_eq!(then("Date.now() === new Date().getTime() && new Date() instanceof Date"), "true");
    assert_eq!(value("typeof Date.now()"), "\"number\"");
}
