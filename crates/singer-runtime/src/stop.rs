//! The wish to stop: asked for by a signal or by a failure, heard by whoever waits or loops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

/// Why a run is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// Something failed that makes the rest of the run pointless.
    Failure = 1,
    /// SIGINT: a person pressed Ctrl-C.
    Interrupt = 2,
    /// SIGTERM: a supervisor wants the process to end.
    Terminate = 3,
    /// SIGHUP: the terminal was closed.
    Hangup = 4,
}

/// Asked for at most once, seen by all clones.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Zero, or a [`Reason`].
    reason: AtomicU8,
    notify: Notify,
}

impl Stop {
    /// Asks for a stop; the first reason counts, but a signal counts more than a failure.
    pub fn request(&self, reason: Reason) {
        let overruled = |current: u8| current == 0 || current == Reason::Failure as u8;
        let update = |current| overruled(current).then_some(reason as u8);
        // An error only means that an earlier reason stands.
        let _earlier = self
            .inner
            .reason
            .fetch_update(Ordering::Release, Ordering::Relaxed, update);
        self.inner.notify.notify_waiters();
    }

    /// Whether a stop was asked for. Cheap enough to ask after every record.
    pub fn requested(&self) -> bool {
        self.inner.reason.load(Ordering::Relaxed) != 0
    }

    /// Whether a signal asked for it, and not a failure of the run itself.
    pub(crate) fn is_by_signal(&self) -> bool {
        !matches!(self.reason(), None | Some(Reason::Failure))
    }

    /// Why, if a stop was asked for.
    pub fn reason(&self) -> Option<Reason> {
        match self.inner.reason.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Reason::Failure),
            2 => Some(Reason::Interrupt),
            3 => Some(Reason::Terminate),
            _ => Some(Reason::Hangup),
        }
    }

    /// Returns once a stop is asked for, at once if it was already.
    pub async fn wait(&self) {
        loop {
            let notified = self.inner.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.requested() {
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiters_before_and_after_the_request_all_wake() {
        let stop = Stop::default();
        let waiter = tokio::spawn({
            let stop = stop.clone();
            async move { stop.wait().await }
        });
        tokio::task::yield_now().await;
        assert!(!stop.requested());
        stop.request(Reason::Terminate);
        waiter.await.unwrap();
        stop.wait().await;
        assert_eq!(stop.reason(), Some(Reason::Terminate));
    }

    #[test]
    fn a_signal_overrules_a_failure_and_nothing_overrules_a_signal() {
        let stop = Stop::default();
        stop.request(Reason::Failure);
        stop.request(Reason::Interrupt);
        stop.request(Reason::Terminate);
        assert_eq!(stop.reason(), Some(Reason::Interrupt));
        for reason in [Reason::Failure, Reason::Terminate, Reason::Hangup] {
            let stop = Stop::default();
            stop.request(reason);
            assert_eq!(stop.reason(), Some(reason));
        }
    }
}
