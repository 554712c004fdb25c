//! Hosts that were seen elsewhere: access logs, HAR files, tables and plain lists, read as streams into one count for each
//! host. Lines are borrowed from the buffer, and only a host that is new costs an allocation.

mod destination;
mod har;
mod lines;
mod table;
mod w3c;

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::question::Question;
use destination::Destination;

/// How much is looked at to tell one format from another, and read at a time.
const BUFFER: usize = 1 << 20;

/// So many hosts are told apart; what comes after them is counted without being told apart.
const HOSTS: usize = 4_000_000;

/// The form in which hosts were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrafficFormat {
    /// Squid's access log in its own format (`logformat squid`).
    SquidNative,
    /// An access log in the common or the combined format of web servers, as Squid writes it too.
    CommonLog,
    /// A HAR file (HTTP Archive 1.2).
    Har,
    /// A table with a line of headings, one of which names the host.
    Csv,
    /// A log in the extended format of the W3C, with a `#Fields:` line.
    W3c,
    /// One host on each line.
    Plain,
}

/// Hosts with how often each was seen.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// The form in which they were found.
    pub format: TrafficFormat,
    /// Lines or entries that were read.
    pub read: u64,
    /// Those in which no host was found.
    pub without_host: u64,
    /// Those whose host came after too many others.
    pub beyond: u64,
    counts: HashMap<Box<[u8]>, u64>,
}

/// Traffic could not be read.
#[derive(Debug, Error)]
pub enum TrafficError {
    /// The file cannot be read.
    #[error("cannot read: {0}")]
    Read(#[from] io::Error),
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// It is not what it looks like.
    #[error("this looks like {format}, and is none: {reason}")]
    Malformed {
        /// What it looks like.
        format: TrafficFormat,
        /// Why it is none.
        reason: String,
    },
    /// No line has a host in it.
    #[error(
        "no line has a host in it; a Squid or web server access log, a W3C extended log, a HAR file, a CSV table with a column `host`, or a list of hosts can be read"
    )]
    NoHost,
}

impl Traffic {
    /// Reads a stream to its end, in the format that its beginning shows.
    ///
    /// # Errors
    /// It cannot be read, or no host is in it.
    pub fn read(stream: impl Read) -> Result<Self, TrafficError> {
        let mut stream = BufReader::with_capacity(BUFFER, Full(stream));
        let beginning = stream.fill_buf()?;
        let beginning = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning);
        if beginning.trim_ascii().is_empty() {
            return Err(TrafficError::Empty);
        }
        let format = detect(beginning);
        let mut traffic = Self { format, read: 0, without_host: 0, beyond: 0, counts: HashMap::new() };
        match format {
            TrafficFormat::Har => har::read(stream, &mut traffic)?,
            TrafficFormat::Csv => table::read(stream, &mut traffic)?,
            TrafficFormat::SquidNative => lines::read(stream, &mut traffic, lines::squid_native)?,
            TrafficFormat::CommonLog => lines::read(stream, &mut traffic, lines::common_log)?,
            TrafficFormat::W3c => w3c::read(stream, &mut traffic)?,
            TrafficFormat::Plain => lines::read(stream, &mut traffic, lines::plain)?,
        }
        if traffic.counts.is_empty() { Err(TrafficError::NoHost) } else { Ok(traffic) }
    }

    /// How many hosts were told apart.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.counts.len()
    }

    /// Each host, as a question, with how often it was seen; in no order.
    pub fn questions(&self) -> impl Iterator<Item = (Question, u64)> {
        self.counts.iter().map(|(key, count)| {
            let (host, port) = key.split_at(key.len() - 2);
            let port = u16::from_be_bytes([port[0], port[1]]);
            (Question::new(String::from_utf8_lossy(host)).to_port(port), *count)
        })
    }

    /// Counts one line; `key` is a buffer that is used again and again.
    fn count(&mut self, found: Option<Destination<'_>>, times: u64, key: &mut Vec<u8>) {
        self.read += 1;
        let Some(Destination { host, port }) = found else {
            self.without_host += 1;
            return;
        };
        key.clear();
        key.extend_from_slice(host);
        key.extend_from_slice(&port.to_be_bytes());
        if let Some(count) = self.counts.get_mut(key.as_slice()) {
            *count += times;
        } else if self.counts.len() < HOSTS {
            self.counts.insert(key.as_slice().into(), times);
        } else {
            self.beyond += 1;
        }
    }
}

/// Reads as much as there is room for, so that the beginning of a stream shows its format however slowly it comes.
struct Full<R>(R);

impl<R: Read> Read for Full<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

/// Whether a line is one of an access log.
pub(super) fn is_line_of_a_log(line: &[u8]) -> bool {
    lines::squid_native(line).is_some() || lines::common_log(line).is_some()
}

fn detect(beginning: &[u8]) -> TrafficFormat {
    let text = beginning.trim_ascii_start();
    if text.starts_with(b"{") {
        return TrafficFormat::Har;
    }
    if w3c::is_head(text) {
        return TrafficFormat::W3c;
    }
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut lines = lines.by_ref().filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let first = lines.next().unwrap_or_default();
    // A line that was cut off, or one of an error, stands among others.
    let sample: Vec<&[u8]> = std::iter::once(first).chain(lines).take(20).collect();
    if sample.iter().any(|line| lines::squid_native(line).is_some()) {
        TrafficFormat::SquidNative
    } else if sample.iter().any(|line| lines::common_log(line).is_some()) {
        TrafficFormat::CommonLog
    } else if table::has_host_column(first) {
        TrafficFormat::Csv
    } else {
        TrafficFormat::Plain
    }
}

impl fmt::Display for TrafficFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SquidNative => "a Squid access log",
            Self::CommonLog => "an access log in the common format",
            Self::Har => "a HAR file",
            Self::Csv => "a table",
            Self::W3c => "a log in the W3C extended format",
            Self::Plain => "a list of hosts",
        })
    }
}

impl Serialize for TrafficFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::SquidNative => "squid",
            Self::CommonLog => "common",
            Self::Har => "har",
            Self::Csv => "csv",
            Self::W3c => "w3c",
            Self::Plain => "plain",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (TrafficFormat, Vec<String>, u64) {
        let traffic = Traffic::read(text.as_bytes()).unwrap();
        let mut hosts: Vec<String> =
            traffic.questions().map(|(question, count)| format!("{question} {count}")).collect();
        hosts.sort();
        (traffic.format, hosts, traffic.without_host)
    }

    #[test]
    fn each_format_is_told_by_its_content() {
        let squid = "\
1700000000.123    456 192.0.2.7 TCP_TUNNEL/200 3900 CONNECT acme.okta.com:443 - HIER_DIRECT/198.51.100.1 -
1700000001.001      0 192.0.2.7 NONE_NONE/000 0 - error:transaction-end-before-headers - HIER_NONE/- -
1700000002.123     12 192.0.2.7 TCP_MISS/200 512 GET http://example.com:8080/x?y - HIER_DIRECT/198.51.100.2 text/html
1700000003.123     12 192.0.2.8 TCP_DENIED/403 512 CONNECT [2001:db8::1]:443 - HIER_NONE/- -
1700000004.123    456 192.0.2.7 TCP_TUNNEL/200 3900 CONNECT acme.okta.com:443 - HIER_DIRECT/198.51.100.1 -
";
        let hosts = ["[2001:db8::1]:443 1", "acme.okta.com 2", "example.com:8080 1"].map(str::to_owned).to_vec();
        assert_eq!(read(squid), (TrafficFormat::SquidNative, hosts, 1));
        let common = "\
192.0.2.7 - - [10/Oct/2026:13:55:36 +0000] \"CONNECT acme.okta.com:443 HTTP/1.1\" 200 2326 TCP_TUNNEL:HIER_DIRECT
192.0.2.7 - ann [10/Oct/2026:13:55:37 +0000] \"GET http://example.com/ HTTP/1.1\" 200 2326 \"-\" \"curl/8\"
";
        let hosts = ["acme.okta.com 1", "example.com:80 1"].map(str::to_owned).to_vec();
        assert_eq!(read(common), (TrafficFormat::CommonLog, hosts, 0));
        let har = r#"{"log": {"version": "1.2", "entries": [
            {"request": {"method": "GET", "url": "https://acme.okta.com/api?x=1"}, "response": {"status": 200}},
            {"request": {"url": "data:text/plain,x"}}, {"request": {"url": "wss://chat.example:8443/"}}]}}"#;
        let hosts = ["acme.okta.com 1", "chat.example:8443 1"].map(str::to_owned).to_vec();
        assert_eq!(read(har), (TrafficFormat::Har, hosts, 1));
        let csv = "time;Host;port;hits\n1;acme.okta.com;443;7\n2;\"example.com\";8443;1\n3;-;443;1\n";
        let hosts = ["acme.okta.com 7", "example.com:8443 1"].map(str::to_owned).to_vec();
        assert_eq!(read(csv), (TrafficFormat::Csv, hosts, 1));
        let plain = "\u{feff}# seen today\r\nacme.okta.com\r\nhttps://example.com/x\r\n\r\nACME.okta.com:8443";
        let hosts = ["ACME.okta.com:8443 1", "acme.okta.com 1", "example.com 1"].map(str::to_owned).to_vec();
        assert_eq!(read(plain), (TrafficFormat::Plain, hosts, 0));
    }

    #[test]
    fn what_has_no_host_says_so() {
        assert!(matches!(Traffic::read(&b" \n"[..]), Err(TrafficError::Empty)));
        assert!(matches!(Traffic::read(&b"-- nothing --\n"[..]), Err(TrafficError::NoHost)));
        assert!(matches!(Traffic::read(&b"{\"log\": 1}"[..]), Err(TrafficError::Malformed { .. })));
    }

    #[test]
    fn a_stream_that_comes_slowly_is_read_as_one_that_is_there() {
        struct Slow<'t>(&'t [u8]);
        impl Read for Slow<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let count = self.0.len().min(7).min(buffer.len());
                buffer[..count].copy_from_slice(&self.0[..count]);
                self.0 = &self.0[count..];
                Ok(count)
            }
        }
        let text = "acme.okta.com\nlogin.acme.example\nacme.okta.com\n";
        let traffic = Traffic::read(Slow(text.as_bytes())).unwrap();
        assert_eq!((traffic.read, traffic.hosts()), (3, 2));
        let table = "user;Host;port\nann;acme.okta.com;443\n";
        assert_eq!(Traffic::read(Slow(table.as_bytes())).unwrap().format, TrafficFormat::Csv);
    }
}
