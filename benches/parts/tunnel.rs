//! Copying a tunnel's bytes, over TCP on loopback.

use std::sync::atomic::AtomicU64;

use divan::Bencher;
use divan::counter::BytesCount;
use middlebox::net::{Flow, ToEnd, pump};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SIZE: usize = 64 << 20;

/// Both ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// 64 MiB from a sender through the pump to a receiver.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn one_way(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    bencher.counter(BytesCount::new(SIZE)).bench_local(|| runtime.block_on(carry(SIZE)));
}

async fn carry(size: usize) {
    let ((mut sender, mut reader), (mut writer, mut receiver)) = (pair().await, pair().await);
    let sending = tokio::spawn(async move {
        let piece = vec![7; 64 << 10];
        for _ in 0..size / piece.len() {
            sender.write_all(&piece).await.unwrap();
        }
    });
    let receiving = tokio::spawn(async move {
        let (mut piece, mut total) = (vec![0; 64 << 10], 0);
        loop {
            match receiver.read(&mut piece).await.unwrap() {
                0 => return total,
                count => total += count,
            }
        }
    });
    let flow = pump(&mut reader, &mut writer, &mut ToEnd, &[], &AtomicU64::new(0)).await.unwrap();
    assert_eq!(flow, Flow::Ended);
    drop(writer);
    sending.await.unwrap();
    assert_eq!(receiving.await.unwrap(), size);
}
