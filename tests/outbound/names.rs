//! Names: overrides with wildcards, and a resolver that remembers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use middlebox::lab::Lab;
use middlebox::net::Names;

use crate::support::{Scripted, far, near, say};

fn counting(count: &Arc<AtomicUsize>) -> Names {
    let count = Arc::clone(count);
    Names::looked_up(move |name: Arc<str>| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            match &*name {
                "known.example" => Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))]),
                _ => Err(std::io::Error::other("no such name")),
            }
        }
    })
}

fn get(host: &str, port: u16) -> String {
    format!("GET http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_not_at_all_where_the_parent_does() {
    let origin = Scripted::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let port = origin.address.port();
    let count = Arc::new(AtomicUsize::new(0));
    let lab = Lab::builder().config(|config| config.names = counting(&count)).start().await.unwrap();
    for _ in 0..3 {
        assert!(say(lab.proxy_address(), &get("known.example", port)).await.starts_with("HTTP/1.1 204 "));
    }
    assert_eq!(count.load(Ordering::Relaxed), 1);
    for _ in 0..2 {
        let answer = say(lab.proxy_address(), &get("unknown.example", port)).await;
        assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("could not be resolved"), "{answer}");
    }
    assert!((2..=3).contains(&count.load(Ordering::Relaxed)));

    let count = Arc::new(AtomicUsize::new(0));
    let far = far().config(|config| config.names = counting(&count)).start().await.unwrap();
    let blind = Arc::new(AtomicUsize::new(0));
    for scheme in ["http", "socks5"] {
        let near = near(&far, &format!("{scheme}://{}", far.proxy_address()));
        let near = near.config(|config| config.names = counting(&blind)).start().await.unwrap();
        assert!(say(near.proxy_address(), &get("known.example", port)).await.starts_with("HTTP/1.1 204 "));
    }
    assert_eq!((blind.load(Ordering::Relaxed), count.load(Ordering::Relaxed)), (0, 1));
}

#[tokio::test]
async fn wildcards_point_whole_domains_somewhere() {
    let (wide, narrow) =
        (Scripted::answering("HTTP/1.1 201 W\r\n\r\n").await, Scripted::answering("HTTP/1.1 202 N\r\n\r\n").await);
    let lab = Lab::builder().config(|config| {
        config.names = counting(&Arc::default());
        config.resolve.push(format!("*.example.com:80:{}", wide.address).parse().unwrap());
        config.resolve.push(format!("*.b.example.com:80:{}", narrow.address).parse().unwrap());
    });
    let lab = lab.start().await.unwrap();
    for (host, status) in
        [("a.example.com", "201"), ("x.y.example.com", "201"), ("a.b.example.com", "202"), ("example.com", "502")]
    {
        let answer = say(lab.proxy_address(), &get(host, 80)).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{host}: {answer}");
    }
}
