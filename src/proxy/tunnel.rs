//! Bytes through, untouched: bypassed connections, plain ones, and inspected ones after an upgrade.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::stall::words;
use crate::journal::{End, Live};
use crate::net::{Flow, PumpError, ToEnd, pump};

/// A draining tunnel closes after so long without bytes.
const QUIET: Duration = Duration::from_secs(2);

/// How a tunnel ended. An end that is not clean must reach both sides as a cut: what ends in order looks whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) end: End,
    pub(crate) clean: bool,
}

fn cut(end: End) -> Ended {
    Ended { end, clean: false }
}

fn clean(end: End) -> Ended {
    Ended { end, clean: true }
}

/// Passes bytes both ways until both directions have ended; each end is passed on as a half-close. A tunnel through
/// which nothing moves for `idle` is closed.
pub(crate) async fn run<C, O>(live: &Live, idle: Duration, client: C, origin: O) -> Ended
where
    C: AsyncRead + AsyncWrite,
    O: AsyncRead + AsyncWrite,
{
    let (mut client_reader, mut client_writer) = tokio::io::split(client);
    let (mut origin_reader, mut origin_writer) = tokio::io::split(origin);
    let up = async {
        let flow = pump(&mut client_reader, &mut origin_writer, &mut ToEnd, &[], live.up()).await;
        if flow.is_ok() {
            let _ = origin_writer.shutdown().await;
        }
        flow
    };
    let down = async {
        let flow = pump(&mut origin_reader, &mut client_writer, &mut ToEnd, &[], live.down()).await;
        if flow.is_ok() {
            let _ = client_writer.shutdown().await;
        }
        flow
    };
    both(live, idle, up, down, live.up(), live.down()).await
}

/// Runs the two directions of a tunnel to their ends, or to a change of policy, or to the idle limit.
pub(crate) async fn both(
    live: &Live,
    idle: Duration,
    up: impl Future<Output = Result<Flow, PumpError>>,
    down: impl Future<Output = Result<Flow, PumpError>>,
    sent: &AtomicU64,
    received: &AtomicU64,
) -> Ended {
    let moved = || sent.load(Ordering::Relaxed).wrapping_add(received.load(Ordering::Relaxed));
    let still = async |limit: Duration| {
        let mut before = moved();
        loop {
            tokio::time::sleep(limit).await;
            let now = moved();
            if now == before {
                return;
            }
            before = now;
        }
    };
    let mut drained = pin!(async {
        live.drain.cancelled().await;
        still(QUIET).await;
    });
    let mut still_too_long = pin!(still(idle));
    let (mut up, mut down) = (pin!(up), pin!(down));
    let (mut up_open, mut down_open) = (true, true);
    let mut first: Option<End> = None;
    while up_open || down_open {
        tokio::select! {
            flow = &mut up, if up_open => {
                up_open = false;
                match flow {
                    Ok(_) => drop(first.get_or_insert_with(|| End::client("closed"))),
                    // Where the origin had closed before, that is what ended it.
                    Err(PumpError::Read(error)) => {
                        return cut(first.unwrap_or_else(|| End::client(error.to_string())));
                    }
                    // What it sent before it stopped reading still belongs to the client.
                    Err(PumpError::Write(error)) => drop(first.get_or_insert_with(|| End::origin(error.to_string()))),
                }
            }
            flow = &mut down, if down_open => {
                down_open = false;
                match flow {
                    Ok(_) => drop(first.get_or_insert_with(|| End::origin("closed"))),
                    Err(PumpError::Read(error)) => return cut(End::origin(error.to_string())),
                    Err(PumpError::Write(error)) => return cut(End::client(error.to_string())),
                }
            }
            () = live.kill.cancelled() => return cut(End::middlebox("ended")),
            () = &mut drained => return clean(End::middlebox("drained")),
            () = &mut still_too_long => {
                return clean(End::middlebox(format!("nothing moved for {}", words(idle))));
            }
        }
    }
    clean(first.unwrap_or_else(|| End::middlebox("ended")))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;
    use crate::journal::Journal;

    const IDLE: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_half_close_is_passed_on_and_the_answer_still_comes() {
        let journal = Journal::default();
        let recording = journal.open("127.0.0.1:1".parse().unwrap());
        let ((mut client, inner), (outer, mut origin)) = (duplex(64), duplex(64));
        let live = recording.live().clone();
        let running = tokio::spawn(async move { run(&live, IDLE, inner, outer).await });
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut asked = String::new();
        origin.read_to_string(&mut asked).await.unwrap();
        assert_eq!(asked, "question");
        origin.write_all(b"answer").await.unwrap();
        drop(origin);
        let mut answered = String::new();
        client.read_to_string(&mut answered).await.unwrap();
        assert_eq!(answered, "answer");
        assert_eq!(running.await.unwrap(), clean(End::client("closed")));
        drop(recording);
        assert_eq!((journal.records(false)[0].bytes_up, journal.records(false)[0].bytes_down), (8, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drained_tunnel_ends_when_it_is_quiet_and_a_killed_one_at_once() {
        let journal = Journal::default();
        let recording = journal.open("127.0.0.1:1".parse().unwrap());
        let ((_client, inner), (outer, _origin)) = (duplex(64), duplex(64));
        recording.live().drain.cancel();
        assert_eq!(run(recording.live(), IDLE, inner, outer).await, clean(End::middlebox("drained")));
        let ((_client, inner), (outer, _origin)) = (duplex(64), duplex(64));
        recording.live().kill.cancel();
        assert_eq!(run(recording.live(), IDLE, inner, outer).await, cut(End::middlebox("ended")));
    }
}
