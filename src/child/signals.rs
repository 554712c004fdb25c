//! Signals that are sent to us and meant for the child.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a supervisor or a shell sends to a command to end or to stir it. From the making of this value on, they no
/// longer end this program, for as long as it runs: somebody has to wait for them.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    caught: Vec<(i32, Signal)>,
    #[cfg(windows)]
    caught: (tokio::signal::windows::CtrlC, tokio::signal::windows::CtrlBreak),
}

#[cfg(unix)]
impl Signals {
    /// Listens for `SIGHUP`, `SIGINT`, `SIGQUIT`, `SIGTERM`, `SIGUSR1` and `SIGUSR2`.
    ///
    /// # Errors
    /// The system does not allow it.
    pub fn listen() -> io::Result<Self> {
        let kinds = [
            SignalKind::hangup(),
            SignalKind::interrupt(),
            SignalKind::quit(),
            SignalKind::terminate(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
        ];
        let caught = kinds.into_iter().map(|kind| Ok((kind.as_raw_value(), signal(kind)?)));
        Ok(Self { caught: caught.collect::<io::Result<_>>()? })
    }

    /// Waits for the next one, and gives its number. Cancel safe.
    pub async fn next(&mut self) -> i32 {
        std::future::poll_fn(|context| {
            for (number, signal) in &mut self.caught {
                if signal.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

#[cfg(windows)]
impl Signals {
    /// Listens for Ctrl-C and Ctrl-Break, which the console sends to the child as well.
    ///
    /// # Errors
    /// The system does not allow it.
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c};
        Ok(Self { caught: (ctrl_c()?, ctrl_break()?) })
    }

    /// Waits for the next one. Cancel safe.
    pub async fn next(&mut self) -> i32 {
        /// What Ctrl-C is elsewhere, `SIGINT`.
        const INTERRUPT: i32 = 2;

        let (interrupt, end) = &mut self.caught;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = end.recv() => {}
        }
        INTERRUPT
    }
}
