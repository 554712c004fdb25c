//! The real curl at each of its doors.

use middlebox::journal::{Outcome, Via};

use crate::support::curl::missing;
use crate::support::{HELLO, origin, stage};

#[tokio::test]
async fn curl_gets_through_every_door_that_it_knows() {
    if missing("curl").await {
        return;
    }
    for (option, scheme, via, needs) in [
        ("--proxy", "https", Via::Connect, "HTTPS-proxy"),
        ("--proxy", "socks5h", Via::Socks5, "curl"),
        ("--proxy", "socks4a", Via::Socks4, "curl"),
        ("--socks5-hostname", "", Via::Socks5, "curl"),
        ("--socks4a", "", Via::Socks4, "curl"),
    ] {
        if missing(needs).await {
            continue;
        }
        let stage = stage().origin(origin("site.test").answers(HELLO)).start().await;
        let address = match scheme {
            "" => stage.proxy().to_string(),
            scheme => format!("{scheme}://{}", stage.proxy()),
        };
        let ca = stage.ca();
        let ran = stage.curl(&[option, &address, "--cacert", &ca, "--proxy-cacert", &ca, "https://site.test/"]).await;
        assert_eq!((ran.exit, ran.stdout.as_str(), ran.stderr.as_str()), (0, "hello", ""), "{option} {scheme}");
        let record = stage.accepted().await;
        assert_eq!((record.via, record.outcome), (Some(via), Some(Outcome::Accepted)), "{option} {scheme}");
    }
}

#[tokio::test]
async fn curl_sends_plain_requests_over_tls_to_the_proxy() {
    if missing("HTTPS-proxy").await {
        return;
    }
    let stage = stage().origin(origin("site.test").without_tls(80).answers(HELLO)).start().await;
    let address = format!("https://localhost:{}", stage.proxy().port());
    let ran = stage.curl(&["--proxy", &address, "--proxy-cacert", &stage.ca(), "http://site.test/x"]).await;
    assert_eq!((ran.exit, ran.stdout.as_str(), ran.stderr.as_str()), (0, "hello", ""));
    let record = stage.record().await;
    assert_eq!((record.via, record.outcome), (Some(Via::AbsoluteForm), Some(Outcome::Plain)));
}
