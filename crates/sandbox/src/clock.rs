//! The time of a stand-in: that of the machine, and as much more as a test has moved it on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock that can be moved on.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ahead_ms: AtomicU64,
}

impl Clock {
    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now: u64 = since.as_millis().try_into().unwrap_or(u64::MAX);
        now.saturating_add(self.ahead_ms.load(Ordering::Acquire))
    }

    /// Moves the clock on.
    pub(crate) fn advance(&self, ms: u64) {
        self.ahead_ms.fetch_add(ms, Ordering::AcqRel);
    }
}
