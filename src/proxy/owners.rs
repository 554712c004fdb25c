//! The programs behind connections from this machine, looked up beside the connections' way.
//!
//! A look-up goes through all processes. So whoever asks meanwhile is answered together, and after each one there is
//! a rest in proportion: under load some connections stay without a program, and none waits for it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::journal::{ClientProcess, Pen};
use crate::net::owners;

/// Connections that wait for a look-up.
const WAITING: usize = 64;

/// For each millisecond of looking, so many of rest.
const REST: u32 = 50;

/// Asks for the program behind a connection; the answer is written into its record.
#[derive(Clone, Debug)]
pub(super) struct Owners(Sender<Pen>);

impl Owners {
    /// Begins to answer, for clients that are connected to one of these ports of ours.
    pub(super) fn new(ports: Vec<u16>) -> Self {
        let (sender, receiver) = channel(WAITING);
        tokio::spawn(answer(receiver, ports));
        Self(sender)
    }

    /// Asks; nobody is told where too many ask already.
    pub(super) fn ask(&self, pen: &Pen) {
        let wanted = pen
            .note(|record| record.client.process.is_none() && record.client.address.ip().to_canonical().is_loopback());
        if wanted && cfg!(target_os = "linux") {
            let _ = self.0.try_send(pen.clone());
        }
    }
}

/// Ends with the last who could ask.
async fn answer(mut asked: Receiver<Pen>, ports: Vec<u16>) {
    let mut waiting = Vec::new();
    while asked.recv_many(&mut waiting, WAITING).await > 0 {
        let sockets: Vec<SocketAddr> = waiting.iter().map(|pen| pen.note(|record| record.client.address)).collect();
        let begun = Instant::now();
        let ports = ports.clone();
        let found = tokio::task::spawn_blocking(move || owners(&sockets, &ports)).await.unwrap_or_default();
        for pen in waiting.drain(..) {
            pen.note(|record| {
                let owner = found.get(&record.client.address).cloned();
                record.client.process = owner.map(|owner| ClientProcess { pid: owner.pid, program: owner.program });
            });
        }
        tokio::time::sleep((begun.elapsed() * REST).min(Duration::from_secs(1))).await;
    }
}
