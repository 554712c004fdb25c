//! Logs in the extended format of the W3C (www.w3.org/TR/WD-logfile), as ProxySG, ISA and TMG, and IIS write them: a
//! `#Fields:` line says what stands on the lines below it, and another one may follow.

use std::io::{self, BufRead};

use super::destination::{Destination, of_target};
use super::{Traffic, lines};

/// The fields that hold the host of the request, its port, its scheme, and its whole URL, best first.
const HOST: [&str; 4] = ["cs-host", "cs-uri-host", "cs(host)", "r-host"];
const PORT: [&str; 3] = ["cs-uri-port", "r-port", "cs-port"];
const SCHEME: [&str; 1] = ["cs-uri-scheme"];
const URL: [&str; 2] = ["cs-uri", "c-uri"];

/// Where the fields stand that say where a connection leads to.
#[derive(Default)]
struct Columns {
    tabs: bool,
    host: Option<usize>,
    port: Option<usize>,
    scheme: Option<usize>,
    url: Option<usize>,
}

/// Whether a text begins with a head of this format.
pub(super) fn is_head(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.by_ref().take_while(|line| line.starts_with(b"#")).any(|line| line.starts_with(b"#Fields:"))
}

pub(super) fn read(stream: impl BufRead, traffic: &mut Traffic) -> io::Result<()> {
    let mut key = Vec::new();
    let mut columns = Columns::default();
    lines::each(stream, |line| {
        if let Some(fields) = line.strip_prefix(b"#Fields:") {
            columns = Columns::of(fields);
        } else if !line.starts_with(b"#") {
            traffic.count(columns.destination(line), 1, &mut key);
        }
    })
}

impl Columns {
    fn of(fields: &[u8]) -> Self {
        let names: Vec<String> = String::from_utf8_lossy(fields).split_whitespace().map(str::to_lowercase).collect();
        let at = |known: &[&str]| known.iter().find_map(|known| names.iter().position(|name| name == known));
        let tabs = fields.trim_ascii().contains(&b'\t');
        Self { tabs, host: at(&HOST), port: at(&PORT), scheme: at(&SCHEME), url: at(&URL) }
    }

    fn destination<'l>(&self, line: &'l [u8]) -> Option<Destination<'l>> {
        let (mut host, mut port, mut scheme, mut url) = (None, None, None, None);
        for (at, field) in (Fields { rest: line, tabs: self.tabs }).enumerate() {
            let place = Some(at);
            let known =
                [(self.host, &mut host), (self.port, &mut port), (self.scheme, &mut scheme), (self.url, &mut url)];
            for (column, value) in known {
                if column == place {
                    *value = Some(field).filter(|field| *field != b"-");
                }
            }
        }
        let Some(mut found) = host.and_then(of_target) else { return url.and_then(of_target) };
        let said = port.and_then(|port| std::str::from_utf8(port).ok()?.parse().ok()).filter(|port| *port != 0);
        let usual = scheme.filter(|scheme| scheme.eq_ignore_ascii_case(b"http")).map(|_| 80);
        found.port = said.or(usual).unwrap_or(found.port);
        Some(found)
    }
}

/// The fields of a line: between blanks or tabs; one in quotes may hold blanks.
struct Fields<'l> {
    rest: &'l [u8],
    tabs: bool,
}

impl<'l> Iterator for Fields<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        let is_gap = |byte: &u8| *byte == b'\t' || (*byte == b' ' && !self.tabs);
        let start = self.rest.iter().position(|byte| !is_gap(byte))?;
        let rest = &self.rest[start..];
        if let Some(quoted) = rest.strip_prefix(b"\"")
            && let Some(end) = memchr::memchr(b'"', quoted)
        {
            self.rest = &quoted[end + 1..];
            return Some(&quoted[..end]);
        }
        let end = rest.iter().position(is_gap).unwrap_or(rest.len());
        self.rest = &rest[end..];
        Some(&rest[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Traffic, TrafficFormat};

    fn hosts(text: &str) -> (Vec<String>, u64) {
        let traffic = Traffic::read(text.as_bytes()).unwrap();
        assert_eq!(traffic.format, TrafficFormat::W3c);
        let mut hosts: Vec<_> = traffic.questions().map(|(question, count)| format!("{question} {count}")).collect();
        hosts.sort();
        (hosts, traffic.without_host)
    }

    #[test]
    fn the_fields_line_says_where_the_host_stands() {
        let proxy = "#Software: SGOS 7\n#Version: 1.0\n\
            #Fields: date time c-ip cs-method cs-uri-scheme cs-host cs-uri-port cs(User-Agent)\n\
            2026-11-26 10:00:00 192.0.2.7 CONNECT tcp acme.okta.com 443 \"Mozilla/5.0 (X11; Linux)\"\n\
            2026-11-26 10:00:01 192.0.2.7 GET http www.a.example 80 \"curl 8\"\n\
            2026-11-26 10:00:02 192.0.2.7 GET - - - -\n\
            #Fields: cs(User-Agent) cs-host\n\
            \"Mozilla/5.0 (X11; Linux)\" acme.okta.com\n";
        assert_eq!(hosts(proxy), (vec!["acme.okta.com 2".to_owned(), "www.a.example:80 1".to_owned()], 1));
    }

    #[test]
    fn tabs_and_whole_urls_are_read() {
        let tabs = "#Fields: c-ip\tc-agent\tr-host\tr-port\tcs-uri\r\n\
            192.0.2.7\tMozilla 5.0 (Windows)\t-\t443\tacme.okta.com:443\r\n\
            192.0.2.7\tMozilla 5.0 (Windows)\tb.example\t8443\t-\r\n";
        assert_eq!(hosts(tabs), (vec!["acme.okta.com 1".to_owned(), "b.example:8443 1".to_owned()], 0));
    }
}
