//! How many calls a minute a service allows: a window that slides over the last calls.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A minute and a little more, since the service counts when calls arrive and not when they are sent.
pub(super) const WINDOW: Duration = Duration::from_millis(60_500);

/// A group of calls, and those of the last minute.
#[derive(Debug)]
pub(super) struct Allowance {
    pub(super) group: &'static str,
    calls: usize,
    window: Duration,
    sent: Mutex<VecDeque<Instant>>,
}

impl Allowance {
    pub(super) fn new(group: &'static str, calls_per_minute: u32, window: Duration) -> Self {
        Self {
            group,
            calls: usize::try_from(calls_per_minute.max(1)).unwrap_or(usize::MAX),
            window,
            sent: Mutex::default(),
        }
    }

    /// Counts a call at this time, or says how long to wait before asking again.
    pub(super) fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut sent = self.sent();
        while (sent.front()).is_some_and(|oldest| now.duration_since(*oldest) >= self.window) {
            sent.pop_front();
        }
        match sent.front() {
            Some(oldest) if sent.len() >= self.calls => {
                Err(self.window - now.duration_since(*oldest))
            }
            _ => {
                sent.push_back(now);
                Ok(())
            }
        }
    }

    /// Takes back the call that was counted at this time, as it was not made.
    pub(super) fn give_back(&self, counted: Instant) {
        let mut sent = self.sent();
        if let Some(place) = sent.iter().rposition(|at| *at == counted) {
            sent.remove(place);
        }
    }

    fn sent(&self) -> MutexGuard<'_, VecDeque<Instant>> {
        // Every change of the queue is a single one.
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_holds_more_calls_than_allowed() {
        let allowance = Allowance::new("read", 3, Duration::from_secs(60));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for seconds in [0, 10, 20] {
            assert_eq!(allowance.take(at(seconds)), Ok(()));
        }
        assert_eq!(allowance.take(at(30)), Err(Duration::from_secs(30)));
        assert_eq!(allowance.take(at(60)), Ok(()));
        assert_eq!(allowance.take(at(61)), Err(Duration::from_secs(9)));
        allowance.give_back(at(60));
        assert_eq!(allowance.take(at(62)), Ok(()));
    }
}
