//! Forwarding HTTP/1.1 heads: scanned strictly, and written again as they came.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use middlebox::proxy::forwarded;

const SHORT: &[u8] = b"GET /v1/status HTTP/1.1\r\nHost: api.example\r\nAccept: */*\r\n\r\n";

const BROWSER: &[u8] = b"GET /assets/app.js?v=2026.11 HTTP/1.1\r\n\
    Host: www.example\r\n\
    Connection: keep-alive\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
    Accept: */*\r\n\
    Referer: https://www.example/\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: no-cors\r\n\
    Sec-Fetch-Dest: script\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=all\r\n\r\n";

#[divan::bench]
fn short(bencher: Bencher<'_, '_>) {
    forward(bencher, SHORT);
}

#[divan::bench]
fn of_a_browser(bencher: Bencher<'_, '_>) {
    forward(bencher, BROWSER);
}

fn forward(bencher: Bencher<'_, '_>, head: &[u8]) {
    assert!(forwarded(head).is_some());
    bencher.counter(BytesCount::new(head.len())).bench_local(|| forwarded(black_box(head)));
}
