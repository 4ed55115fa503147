//! A coarse clock that costs a load: how long ago something was, to a tenth of a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// How fine it is.
pub(super) const TICKS_PER_SECOND: u64 = 10;

/// Ticks since the run began, brought up to date by a task.
#[derive(Debug, Default)]
pub(super) struct Ticker {
    ticks: AtomicU64,
}

impl Ticker {
    /// A ticker and the task that drives it, to be aborted at the end.
    pub(super) fn start() -> (Arc<Self>, JoinHandle<()>) {
        let ticker = Arc::new(Self::default());
        let task = tokio::spawn({
            let ticker = Arc::clone(&ticker);
            async move {
                let began = Instant::now();
                let period = Duration::from_millis(1000 / TICKS_PER_SECOND);
                let mut interval = tokio::time::interval(period);
                loop {
                    interval.tick().await;
                    // From the time that passed, so that a late tick does not slow the clock.
                    let ticks = began.elapsed().as_millis() / period.as_millis();
                    ticker.set(u64::try_from(ticks).unwrap_or(u64::MAX));
                }
            }
        });
        (ticker, task)
    }

    pub(super) fn now(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, ticks: u64) {
        self.ticks.store(ticks, Ordering::Relaxed);
    }
}
