//! How often and how long one request is tried.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use singer_core::Error;
use singer_net::Attempt;

/// Failed attempts of one request, and how long it has been throttled. What it took to wait for its turn, or to
/// download until the connection broke, is no reason to give up.
#[derive(Debug)]
pub(crate) struct Failures {
    most: u32,
    patience: Duration,
    count: AtomicU32,
    throttled_since: Mutex<Option<Instant>>,
}

impl Failures {
    /// None yet.
    pub(crate) fn new(most: u32, patience: Duration) -> Self {
        Self {
            most,
            patience,
            count: AtomicU32::new(0),
            throttled_since: Mutex::new(None),
        }
    }

    /// An attempt that failed and may be followed by another one; it counts if the request itself was at fault.
    pub(crate) fn again<T>(
        &self,
        error: Error,
        after: Option<Duration>,
        counts: bool,
    ) -> Attempt<T> {
        let mut since = (self.throttled_since.lock()).unwrap_or_else(PoisonError::into_inner);
        let waited = if counts {
            self.count.fetch_add(1, Ordering::Relaxed);
            *since = None;
            Duration::ZERO
        } else {
            since.get_or_insert_with(Instant::now).elapsed()
        };
        if waited + after.unwrap_or_default() > self.patience {
            return Attempt::Fail(error.with_hint(format!(
                "no other attempt begins after {} s (`patience_seconds`)",
                self.patience.as_secs()
            )));
        }
        Attempt::Retry { error, after }
    }

    /// The attempt, for good once there were too many failures.
    pub(crate) fn bounded<T>(&self, attempt: Attempt<T>, number: u32) -> Attempt<T> {
        match attempt {
            Attempt::Retry { error, .. } if self.count.load(Ordering::Relaxed) >= self.most => {
                Attempt::Fail(match number {
                    1 => error,
                    tried => error.with_hint(format!(
                        "it was tried {tried} times; `attempts` in the config says how often"
                    )),
                })
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(failures: &Failures, after: u64, counts: bool) -> Attempt<()> {
        let after = Some(Duration::from_secs(after));
        failures.bounded(failures.again(Error::transient("x"), after, counts), 1)
    }

    #[test]
    fn throttling_is_bounded_by_time_and_failures_by_their_number() {
        let failures = Failures::new(2, Duration::from_secs(60));
        for _ in 0..9 {
            assert!(matches!(again(&failures, 50, false), Attempt::Retry { .. }));
        }
        assert!(matches!(again(&failures, 61, false), Attempt::Fail(_)));
        let an_hour_ago = Instant::now().checked_sub(Duration::from_secs(3600));
        *failures.throttled_since.lock().unwrap() = an_hour_ago;
        assert!(matches!(again(&failures, 1, false), Attempt::Fail(_)));
        // A download that broke off after an hour is tried again.
        assert!(matches!(again(&failures, 1, true), Attempt::Retry { .. }));
        assert!(matches!(again(&failures, 1, true), Attempt::Fail(_)));
    }
}
