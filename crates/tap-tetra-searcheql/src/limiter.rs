//! How many requests are in flight: as many as the config allows, fewer while the service throttles, more again
//! as it lets them through.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Refusals of one burst count as one.
const BURST: Duration = Duration::from_millis(500);

/// A limit that adapts.
#[derive(Debug)]
pub(crate) struct Limiter {
    most: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    limit: usize,
    in_flight: usize,
    /// Successes since the limit was changed last.
    successes: usize,
    last_cut: Option<Instant>,
}

/// The right to one request; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    limiter: &'a Limiter,
}

impl Limiter {
    /// At most so many.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            state: Mutex::new(State {
                limit: most,
                in_flight: 0,
                successes: 0,
                last_cut: None,
            }),
            freed: Notify::new(),
        }
    }

    /// Waits for a turn.
    pub(crate) async fn enter(&self) -> Permit<'_> {
        loop {
            // Before the look, so that what is freed in between is not missed.
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(permit) = self.try_enter() {
                return permit;
            }
            freed.await;
        }
    }

    /// The service had enough: half as many from now on.
    pub(crate) fn cut(&self) {
        let mut state = self.state();
        let now = Instant::now();
        let is_same_burst = state
            .last_cut
            .is_some_and(|last| now.duration_since(last) < BURST);
        if is_same_burst || state.limit == 1 {
            return;
        }
        state.limit = (state.limit / 2).max(1);
        state.successes = 0;
        state.last_cut = Some(now);
        tracing::info!(requests = state.limit, "fewer requests at once");
    }

    /// A request went through.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state();
        if state.limit == self.most {
            return;
        }
        state.successes += 1;
        if state.successes >= 2 * state.limit {
            state.limit += 1;
            state.successes = 0;
            drop(state);
            self.freed.notify_one();
        }
    }

    fn try_enter(&self) -> Option<Permit<'_>> {
        let mut state = self.state();
        if state.in_flight >= state.limit {
            return None;
        }
        state.in_flight += 1;
        Some(Permit { limiter: self })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Numbers are never half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.limiter.state().in_flight -= 1;
        self.limiter.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_halves_the_limit_and_successes_raise_it_again() {
        let limiter = Limiter::new(4);
        let held: Vec<_> = (0..4)
            .map(|_| limiter.try_enter().expect("a turn"))
            .collect();
        assert!(limiter.try_enter().is_none());
        limiter.cut();
        limiter.cut();
        drop(held);
        let two: Vec<_> = (0..2)
            .map(|_| limiter.try_enter().expect("a turn"))
            .collect();
        assert!(limiter.try_enter().is_none(), "one burst is one cut");
        (0..4).for_each(|_| limiter.succeeded());
        let third = limiter.enter().await;
        assert!(limiter.try_enter().is_none());
        drop((two, third));
    }

    #[tokio::test]
    async fn whoever_waits_gets_the_turn_that_is_freed() {
        let limiter = std::sync::Arc::new(Limiter::new(1));
        let first = limiter.enter().await;
        let waiting = tokio::spawn({
            let limiter = std::sync::Arc::clone(&limiter);
            async move { limiter.enter().await.limiter.most }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert_eq!(waiting.await.unwrap(), 1);
    }
}
