//! Limits of calls, and how many are being answered. Facts: section 9; the numbers are settings.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The span that calls are counted in.
const WINDOW_MS: i64 = 60_000;

/// Calls in the minute that runs.
#[derive(Debug, Default)]
pub(super) struct Window(Mutex<(i64, u64)>);

impl Window {
    /// Counts a call; false if it is over the limit.
    pub(super) fn admits(&self, limit: Option<u64>, now_ms: i64) -> bool {
        let Some(limit) = limit else {
            return true;
        };
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now_ms >= window.0 + WINDOW_MS || now_ms < window.0 {
            *window = (now_ms, 0);
        }
        window.1 += 1;
        window.1 <= limit
    }

    /// Begins a new minute with the next call.
    pub(super) fn reset(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (0, 0);
    }
}

/// Calls that are being answered, and the most that were at once.
#[derive(Debug, Default)]
pub(super) struct Flight {
    now: AtomicUsize,
    peak: AtomicUsize,
}

/// A call that is being answered.
pub(super) struct Flying(Arc<Flight>);

impl Flight {
    /// Lets a call in; `None` if there are as many as may be.
    pub(super) fn enter(self: &Arc<Flight>, limit: Option<usize>) -> Option<Flying> {
        let before = self.now.fetch_add(1, Ordering::AcqRel);
        let flying = Flying(Arc::clone(self));
        if limit.is_some_and(|limit| before >= limit) {
            return None;
        }
        self.peak.fetch_max(before + 1, Ordering::AcqRel);
        Some(flying)
    }

    pub(super) fn peak(&self) -> usize {
        self.peak.load(Ordering::Acquire)
    }

    pub(super) fn reset(&self) {
        self.peak.store(0, Ordering::Release);
    }
}

impl Drop for Flying {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::AcqRel);
    }
}
