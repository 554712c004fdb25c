//! Tables with a line of headings: separated by commas, semicolons or tabs, quoted where needed.

use std::io::BufRead;

use csv::{ByteRecord, ReaderBuilder};

use super::destination::of_target;
use super::{Traffic, TrafficError, TrafficFormat};

/// What the column of the host is called in exports of proxies, firewalls and DNS, best first; without blanks and signs.
const HOST: [&str; 17] = [
    "host",
    "hostname",
    "sni",
    "servername",
    "fqdn",
    "domain",
    "domainname",
    "dsthost",
    "desthost",
    "dhost",
    "destinationhost",
    "destinationhostname",
    "destinationdomain",
    "cshost",
    "requesthost",
    "url",
    "destination",
];
const PORT: [&str; 6] = ["port", "dport", "dstport", "destport", "destinationport", "csport"];
const TIMES: [&str; 5] = ["count", "hits", "requests", "connections", "sessions"];

/// Whether a line looks like headings with one for hosts.
pub(super) fn has_host_column(line: &[u8]) -> bool {
    let Some(delimiter) = delimiter(line) else { return is_named(line, &HOST[..5]) };
    line.split(|byte| *byte == delimiter).any(|name| is_named(name, &HOST))
}

pub(super) fn read(mut stream: impl BufRead, traffic: &mut Traffic) -> Result<(), TrafficError> {
    let first = stream.fill_buf()?;
    let first = first.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let head = first.into_iter().find(|line| !line.is_empty() && !line.starts_with(b"#")).unwrap_or_default();
    let delimiter = delimiter(head).unwrap_or(b',');
    let mut builder = ReaderBuilder::new();
    builder.delimiter(delimiter).flexible(true).comment(Some(b'#')).trim(csv::Trim::All);
    let mut table = builder.from_reader(stream);
    let malformed =
        |error: csv::Error| TrafficError::Malformed { format: TrafficFormat::Csv, reason: error.to_string() };
    let heads = table.byte_headers().map_err(malformed)?.clone();
    let column = |names: &[&str]| {
        names.iter().find_map(|name| heads.iter().position(|head| is_named(head, std::slice::from_ref(name))))
    };
    let (host, port, times) = (column(&HOST), column(&PORT), column(&TIMES));
    let mut record = ByteRecord::new();
    let mut key = Vec::new();
    while table.read_byte_record(&mut record).map_err(malformed)? {
        let mut found = host.and_then(|at| record.get(at)).and_then(of_target);
        if let (Some(found), Some(port)) = (&mut found, port.and_then(|at| number(record.get(at)?))) {
            found.port = u16::try_from(port).unwrap_or(found.port);
        }
        let times = times.and_then(|at| number(record.get(at)?)).unwrap_or(1);
        traffic.count(found, times, &mut key);
    }
    Ok(())
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok().filter(|number| *number > 0)
}

fn delimiter(line: &[u8]) -> Option<u8> {
    [b'\t', b';', b','].into_iter().find(|delimiter| memchr::memchr(*delimiter, line).is_some())
}

fn is_named(name: &[u8], known: &[&str]) -> bool {
    let name = name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name);
    let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase);
    let name: Vec<u8> = letters.collect();
    known.iter().any(|known| known.as_bytes() == name)
}
