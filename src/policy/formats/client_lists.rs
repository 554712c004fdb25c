//! The lists of clients: `NO_PROXY`, with commas, and the bypass list of Chrome and Windows, with semicolons (Chromium,
//! `net/docs/proxy.md`; Microsoft, `ProxyOverride`).

use super::super::Action;
use super::say::{Says, is_bare};
use super::{Entry, Format, List, Sample, Spec};
use crate::source::{Document, PlaceError};

pub(super) static NO_PROXY: Spec = Spec {
    name: "no-proxy",
    title: "a NO_PROXY list",
    dialects: &["no-proxy-curl", "no-proxy-go", "no-proxy-python", "no-proxy-reqwest"],
    recognises: |sample: &Sample<'_>| {
        let is_variable = |line: &str| assignment(line).is_some_and(|(name, _)| name.eq_ignore_ascii_case("no_proxy"));
        sample.text.lines().any(is_variable) || one_line_of(sample.text, ',')
    },
    read: read_no_proxy,
    says: Says::PATTERNS,
    can_write,
    write: |list| write(list, ','),
};

pub(super) static CHROME: Spec = Spec {
    name: "chrome-bypass",
    title: "a proxy bypass list of Chrome or Windows",
    dialects: &["chrome-bypass", "windows-proxy-override"],
    recognises: |sample: &Sample<'_>| {
        let text = sample.text;
        FLAGS.iter().any(|flag| text.contains(flag))
            || text.contains("<local>")
            || text.contains("<-loopback>")
            || one_line_of(text, ';')
    },
    read: read_chrome,
    says: Says::PATTERNS,
    can_write,
    write: |list| write(list, ';'),
};

/// What stands before a list: a switch of Chrome, a registry value, a policy of Chrome, a word of `netsh winhttp`.
const FLAGS: [&str; 4] = ["--proxy-bypass-list", "ProxyOverride", "ProxyBypassList", "bypass-list="];

/// The first of [`FLAGS`] in a line, and what stands behind it.
fn flagged(line: &str) -> Option<(&'static str, &str)> {
    FLAGS.iter().find_map(|flag| line.find(flag).map(|at| (*flag, &line[at + flag.len()..])))
}

/// Whether a text is one line of several entries and nothing else.
fn one_line_of(text: &str, separator: char) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    match (lines.next(), lines.next()) {
        (Some(line), None) => {
            let inner = line.trim().trim_matches(['"', '\'']);
            let parts = inner.trim_end_matches(separator).split(separator);
            inner.contains(separator)
                && !inner.starts_with(['{', '[', '<', ';'])
                && parts.clone().all(|part| !part.trim().contains(char::is_whitespace))
                && parts.count() > 1
        }
        _ => false,
    }
}

/// `export NAME=VALUE`, `set NAME=VALUE`, `$env:NAME = VALUE`, `ENV NAME VALUE`, `NAME: VALUE`: the name and the value.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let mut rest = line.trim_start().trim_start_matches("- ").trim_start();
    for word in ["export ", "set ", "setx ", "ENV ", "declare -x ", "$env:", "Environment="] {
        rest = rest.strip_prefix(word).unwrap_or(rest).trim_start();
    }
    rest = rest.trim_start_matches(['"', '\'']);
    let end = rest.find(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '_'))?;
    let after = rest[end..].trim_start_matches(['"', '\'']).trim_start();
    let value = after
        .strip_prefix(['=', ':'])
        .or(Some(after).filter(|after| line.trim_start().starts_with("ENV ") && !after.is_empty()))?;
    (end > 0).then_some((&rest[..end], value))
}

fn read_no_proxy(document: &Document) -> Result<List, PlaceError> {
    let mut list = List::new(Format(&NO_PROXY), document);
    list.dialect = "no-proxy-curl".parse().ok();
    let has_variable = document.text().lines().any(|line| assignment(line).is_some());
    let mut seen: Vec<String> = Vec::new();
    for (line, number) in document.text().lines().zip(1u32..) {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            continue;
        }
        if let Some(comment) = trimmed.strip_prefix('#') {
            list.comments.push((list.entries.len(), comment.trim().to_owned()));
            continue;
        }
        let value = match assignment(line) {
            Some((name, value)) if name.eq_ignore_ascii_case("no_proxy") => {
                // Both spellings of the variable hold the same list, as a rule.
                if seen.iter().any(|known| known == value.trim()) {
                    continue;
                }
                seen.push(value.trim().to_owned());
                value
            }
            None if !has_variable => line,
            _ => {
                let column = column(line, trimmed);
                let name = assignment(line).map_or(trimmed, |(name, _)| name);
                list.put_aside(
                    super::Place { document: 0, line: number, column },
                    format!("`{name}` is no bypass rule"),
                );
                continue;
            }
        };
        parts(&mut list, line, number, value, &[',']);
    }
    if let Some(first) = list.entries.first() {
        let what = "every client reads NO_PROXY in its own way; without --dialect it is read as curl reads it";
        list.aside.insert(0, super::Aside { place: first.place(), what: what.to_owned() });
    }
    none_is_a_mistake(document, list)
}

fn read_chrome(document: &Document) -> Result<List, PlaceError> {
    let mut list = List::new(Format(&CHROME), document);
    list.dialect = "chrome-bypass".parse().ok();
    let has_flag = document.text().lines().any(|line| flagged(line).is_some());
    for (line, number) in document.text().lines().zip(1u32..) {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            continue;
        }
        if let Some(comment) = trimmed.strip_prefix('#') {
            list.comments.push((list.entries.len(), comment.trim().to_owned()));
            continue;
        }
        let value = match flagged(line) {
            // The rest of a registry export or of a policy file.
            None if has_flag => {
                if trimmed.contains(char::is_alphanumeric) {
                    let place = super::Place { document: 0, line: number, column: column(line, trimmed) };
                    list.put_aside(place, "this line names no bypass list");
                }
                continue;
            }
            None => line,
            Some((flag, rest)) => {
                if matches!(flag, "ProxyOverride" | "bypass-list=") {
                    list.dialect = "windows-proxy-override".parse().ok();
                }
                // The type of a registry value, as `reg query` and `.reg` files show it.
                let rest = rest.trim_start().trim_start_matches("REG_SZ").trim_start_matches(['"', '\'']);
                let rest = rest.trim_start_matches([' ', '\t', '=', ':']);
                match rest.strip_prefix(['"', '\'']) {
                    Some(quoted) => quoted.split(['"', '\'']).next().unwrap_or_default(),
                    None => rest.split_whitespace().next().unwrap_or_default(),
                }
            }
        };
        parts(&mut list, line, number, value, &[';', ',']);
    }
    none_is_a_mistake(document, list)
}

fn none_is_a_mistake(document: &Document, list: List) -> Result<List, PlaceError> {
    if list.entries.is_empty() {
        let help = "write hosts with a comma between them, such as `okta.com,.oktapreview.com`".to_owned();
        return Err(document.error(0..document.text().len(), "the list has no entry", Some(help)));
    }
    Ok(list)
}

/// Takes the parts of a value as entries; the value is a part of the line.
fn parts(list: &mut List, line: &str, number: u32, value: &str, separators: &[char]) {
    // Counted on from part to part: a list may be one line of many megabytes.
    let (mut counted, mut at) = (value, column(line, value));
    for part in value.split(|sign| separators.contains(&sign)) {
        let entry = part.trim().trim_matches(['"', '\'']).trim();
        if !entry.is_empty() {
            at = at.saturating_add(column(counted, entry) - 1);
            counted = &counted[(entry.as_ptr() as usize).saturating_sub(counted.as_ptr() as usize)..];
            let place = super::Place { document: 0, line: number, column: at };
            list.entries.push(Entry::of_piece(list.documents[0].piece(entry), Action::Bypass, place));
        }
    }
}

/// The column of a part of a line.
fn column(line: &str, part: &str) -> u32 {
    let at = (part.as_ptr() as usize).saturating_sub(line.as_ptr() as usize).min(line.len());
    u32::try_from(line[..at].chars().count() + 1).unwrap_or(u32::MAX)
}

fn can_write(_: &List, entry: &Entry) -> bool {
    let pattern = entry.pattern();
    is_bare(entry, &[',', ';', '"', '\'', '#', '='])
        && !pattern.contains(char::is_whitespace)
        && !assignment(pattern).is_some_and(|(name, _)| name.eq_ignore_ascii_case("no_proxy"))
        && !FLAGS.iter().any(|flag| pattern.contains(flag))
}

fn write(list: &List, separator: char) -> String {
    let parts: Vec<_> = list.entries.iter().map(Entry::pattern).collect();
    let joined = parts.join(&separator.to_string());
    if separator == ',' { format!("NO_PROXY={joined}\n") } else { format!("{joined}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, text: &str) -> (String, Vec<String>, usize) {
        let list = super::super::read(&Document::new(name, text), None).unwrap();
        let entries = list.entries.iter().map(|entry| format!("{} {}", entry.place(), entry.pattern())).collect();
        (list.dialect.map(|dialect| dialect.to_string()).unwrap_or_default(), entries, list.aside.len())
    }

    #[test]
    fn the_rest_of_an_export_is_no_entry() {
        let registry = "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_CURRENT_USER\\Software]\r\n\
                        \"ProxyEnable\"=dword:00000001\r\n\"ProxyOverride\"=\"*.okta.com;<local>\"\r\n";
        let entries = vec!["5:18 *.okta.com".to_owned(), "5:29 <local>".to_owned()];
        assert_eq!(told("proxy.reg", registry), ("windows-proxy-override".to_owned(), entries, 3));

        let policy = "{\n  \"ProxyMode\": \"fixed_servers\",\n  \"ProxyBypassList\": \"a.example;.b.example\"\n}\n";
        let entries = vec!["3:23 a.example".to_owned(), "3:33 .b.example".to_owned()];
        assert_eq!(told("policy.json", policy), ("chrome-bypass".to_owned(), entries, 1));
    }

    #[test]
    fn winhttp_takes_its_list_from_netsh() {
        let line = "netsh winhttp set proxy proxy-server=\"p:8080\" bypass-list=\"*.okta.com;<local>\"\n";
        let entries = vec!["1:60 *.okta.com".to_owned(), "1:71 <local>".to_owned()];
        assert_eq!(told("set.cmd", line), ("windows-proxy-override".to_owned(), entries, 0));
    }

    #[test]
    fn one_long_line_is_counted_once() {
        let hosts: Vec<_> = (0..200_000).map(|number| format!("h{number:06}.example")).collect();
        let list = super::super::read(&Document::new("env", format!("NO_PROXY=ü,{}", hosts.join(","))), None).unwrap();
        let newest = list.entries.last().unwrap();
        assert_eq!((list.entries.len(), newest.pattern()), (200_001, "h199999.example"));
        assert_eq!(newest.place().to_string(), format!("1:{}", 10 + 2 + 199_999 * 16));
    }
}
