//! Formats with one connection on each line.

use std::io::{self, BufRead};

use super::Traffic;
use super::destination::{Destination, of_target};

/// A longer line is no line of a log; its beginning is all that is looked at.
const LONGEST: usize = 64 << 10;

/// Counts where the lines of a stream lead to.
pub(super) fn read(
    stream: impl BufRead,
    traffic: &mut Traffic,
    destination: for<'l> fn(&'l [u8]) -> Option<Destination<'l>>,
) -> io::Result<()> {
    let mut key = Vec::new();
    each(stream, |line| {
        if !line.starts_with(b"#") {
            traffic.count(destination(line), 1, &mut key);
        }
    })
}

/// Takes every line that is not blank, to the end of the stream.
pub(super) fn each(mut stream: impl BufRead, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut carried: Vec<u8> = Vec::new();
    let mut take = |line: &[u8]| {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
        if !line.is_empty() {
            take(line);
        }
    };
    loop {
        let buffer = stream.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let mut from = 0;
        for at in memchr::memchr_iter(b'\n', buffer) {
            if carried.is_empty() {
                take(&buffer[from..at]);
            } else {
                carry(&mut carried, &buffer[from..at]);
                take(&carried);
                carried.clear();
            }
            from = at + 1;
        }
        carry(&mut carried, &buffer[from..]);
        let length = buffer.len();
        stream.consume(length);
    }
    take(&carried);
    Ok(())
}

fn carry(carried: &mut Vec<u8>, part: &[u8]) {
    let room = LONGEST.saturating_sub(carried.len());
    carried.extend_from_slice(&part[..part.len().min(room)]);
}

/// `time elapsed client action/code size method URL user hierarchy type` (squid-cache.org, `logformat squid`).
pub(super) fn squid_native(line: &[u8]) -> Option<Destination<'_>> {
    let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let time = fields.next()?;
    let seconds = &time[..memchr::memchr(b'.', time)?];
    if seconds.len() < 9 || !seconds.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = fields.nth(2)?;
    memchr::memchr(b'/', code)?;
    let target = fields.nth(2)?;
    of_target(target)
}

/// `client ident user [time] "method URL version" code size …`, of a proxy: the URL is absolute or of a CONNECT.
pub(super) fn common_log(line: &[u8]) -> Option<Destination<'_>> {
    let start = memchr::memmem::find(line, b"] \"")? + 3;
    let request = &line[start..];
    let request = &request[..memchr::memchr(b'"', request)?];
    let mut words = request.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let method = words.next()?;
    let target = words.next()?;
    match method {
        b"CONNECT" => of_target(target),
        _ if memchr::memmem::find(target, b"://").is_some() => of_target(target),
        _ => None,
    }
}

/// A host, `host:port` or URL; what follows it on its line is passed over.
pub(super) fn plain(line: &[u8]) -> Option<Destination<'_>> {
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t' | b',' | b';')).unwrap_or(line.len());
    of_target(&line[..end])
}
