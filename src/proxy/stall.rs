//! How long nothing may move: limits that end what would otherwise be held as long as a client stays.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Time limits inside connections to origins. Both are about silence, not about length: whatever moves begins them
/// anew, so that neither long downloads nor event streams nor WebSockets end by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long an origin may take to begin its answer while nothing of the request moves, interim answers aside. Then
    /// the client is answered `504`. Long polls usually end within two minutes.
    pub answer: Duration,
    /// How long nothing may move inside a body, behind an upgrade, and through a tunnel.
    pub idle: Duration,
}

impl Default for Limits {
    /// Five minutes for an answer, one hour for everything else.
    fn default() -> Self {
        Self { answer: Duration::from_secs(300), idle: Duration::from_secs(3600) }
    }
}

/// Which of the limits counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No answer has begun.
    Unanswered,
    /// Its body is on its way.
    Answered,
}

/// Watches one exchange after the other for silence, with one timer that is touched when it fires, not when bytes move.
#[derive(Debug)]
pub(crate) struct Stall {
    limits: Limits,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, timer: None }
    }

    /// Returns when nothing has moved for as long as the phase allows, and says which phase that was. `progress` gives
    /// the phase, and anything that changes whenever something moves. Movement is looked for again and again: what
    /// stops after having moved is noticed up to a quarter of the shorter limit later.
    pub(crate) async fn lasts(&mut self, progress: impl Fn() -> (Phase, u64)) -> Phase {
        let Limits { answer, idle } = self.limits;
        let shorter = answer.min(idle);
        let mut before = progress();
        let mut since = Instant::now();
        let first = since + shorter;
        let timer = match &mut self.timer {
            Some(timer) => {
                // One that fires earlier is looked at when it does.
                if timer.deadline() > first || timer.is_elapsed() {
                    timer.as_mut().reset(first);
                }
                timer
            }
            none => none.insert(Box::pin(sleep_until(first))),
        };
        loop {
            timer.as_mut().await;
            let (now, seen) = (Instant::now(), progress());
            let limit = match seen.0 {
                Phase::Unanswered => answer,
                Phase::Answered => idle,
            };
            if seen != before {
                (before, since) = (seen, now);
            } else if now >= since + limit {
                return seen.0;
            }
            timer.as_mut().reset((now + shorter / 4).min(since + limit));
        }
    }
}

/// A time limit in the words of a message.
pub(crate) fn words(limit: Duration) -> String {
    humantime::format_duration(limit).to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const LIMITS: Limits = Limits { answer: Duration::from_secs(40), idle: Duration::from_secs(400) };

    #[tokio::test(start_paused = true)]
    async fn silence_ends_an_exchange_after_its_limit_and_movement_begins_it_anew() {
        let mut stall = Stall::new(LIMITS);
        let begun = Instant::now();
        assert_eq!(stall.lasts(|| (Phase::Unanswered, 7)).await, Phase::Unanswered);
        assert_eq!(begun.elapsed(), LIMITS.answer);

        // Bytes move for 100 s, then no more.
        let begun = Instant::now();
        let moved = || (Phase::Unanswered, begun.elapsed().as_secs().min(100));
        assert_eq!(stall.lasts(moved).await, Phase::Unanswered);
        assert!((140..=150).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_exchange_is_not_held_to_the_timer_of_the_last() {
        let mut stall = Stall::new(LIMITS);
        let answered = AtomicU64::new(0);
        let patient = stall.lasts(|| (Phase::Answered, answered.load(Ordering::Relaxed)));
        assert!(tokio::time::timeout(Duration::from_secs(150), patient).await.is_err());
        let begun = Instant::now();
        stall.lasts(|| (Phase::Unanswered, 0)).await;
        assert_eq!(begun.elapsed(), LIMITS.answer);
    }
}
