//! One gate before all requests to a service: it spaces them, and it closes for all of them when the
//! service asks one of them to wait.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A server may name any number of seconds; clocks end before the largest of them.
const LONGEST_PAUSE: Duration = Duration::from_secs(365 * 86_400);

/// Shared by every worker that talks to one service.
#[derive(Debug)]
pub struct Gate {
    spacing: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    closed_until: Instant,
    next_start: Instant,
}

impl Gate {
    /// An open gate; two requests begin at least `spacing` apart, which may be zero.
    pub fn new(spacing: Duration) -> Self {
        let now = Instant::now();
        Self {
            spacing,
            state: Mutex::new(State {
                closed_until: now,
                next_start: now,
            }),
        }
    }

    /// Waits for this request's turn. Safe to drop while waiting: no turn is lost.
    pub async fn pass(&self) {
        loop {
            let Err(opens) = self.try_pass(Instant::now()) else {
                return;
            };
            // The gate may have been closed for longer by then, so it is asked again.
            tokio::time::sleep_until(opens).await;
        }
    }

    /// Closes the gate for this long from now on, a year at most; never opens it earlier than it was
    /// to open.
    pub fn pause(&self, duration: Duration) {
        let mut state = self.state();
        let opens = Instant::now() + duration.min(LONGEST_PAUSE);
        state.closed_until = state.closed_until.max(opens);
    }

    fn try_pass(&self, now: Instant) -> Result<(), Instant> {
        let mut state = self.state();
        let opens = state.closed_until.max(state.next_start);
        if now < opens {
            return Err(opens);
        }
        state.next_start = now + self.spacing;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Two instants are never half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pause_stops_every_worker_also_those_who_wait_already() {
        let gate = std::sync::Arc::new(Gate::new(Duration::ZERO));
        gate.pause(Duration::from_millis(30));
        let start = Instant::now();
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let gate = std::sync::Arc::clone(&gate);
                tokio::spawn(async move {
                    gate.pass().await;
                    start.elapsed()
                })
            })
            .collect();
        tokio::task::yield_now().await;
        gate.pause(Duration::from_millis(80));
        gate.pause(Duration::from_millis(1));
        for worker in workers {
            assert!(worker.await.unwrap() >= Duration::from_millis(75));
        }
    }

    #[tokio::test]
    async fn a_pause_beyond_all_clocks_is_only_a_long_one() {
        let gate = Gate::new(Duration::ZERO);
        gate.pause(Duration::MAX);
        assert!(gate.try_pass(Instant::now()).is_err());
    }

    #[tokio::test]
    async fn requests_begin_apart() {
        let gate = Gate::new(Duration::from_millis(20));
        let start = Instant::now();
        for _ in 0..4 {
            gate.pass().await;
        }
        assert!(start.elapsed() >= Duration::from_millis(60));
    }

    #[tokio::test]
    async fn an_open_gate_costs_no_wait() {
        let gate = Gate::new(Duration::ZERO);
        let start = Instant::now();
        for _ in 0..1000 {
            gate.pass().await;
        }
        assert!(start.elapsed() < Duration::from_millis(500));
    }
}
