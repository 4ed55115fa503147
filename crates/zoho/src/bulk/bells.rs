//! Who waits for which job to call back.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

/// Calls without a waiter that are remembered.
const EARLY: usize = 64;

/// A bell for each job that is waited for. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Bells {
    waiters: Arc<Mutex<Waiters>>,
}

#[derive(Debug, Default)]
struct Waiters {
    by_job: HashMap<String, Weak<Notify>>,
    /// Jobs that called before anybody waited for them: a quick job is done before its id is known here.
    early: VecDeque<String>,
}

/// Rings when a job calls back. When it is dropped, nobody waits for the job any more.
#[derive(Debug)]
pub struct Bell {
    id: String,
    notify: Arc<Notify>,
    bells: Bells,
}

impl Bells {
    /// What rings for a job; at once if it has called already.
    pub fn bell(&self, id: &str) -> Bell {
        let notify = Arc::new(Notify::new());
        let mut waiters = self.lock();
        waiters
            .by_job
            .insert(id.to_owned(), Arc::downgrade(&notify));
        if waiters.early.iter().any(|early| early == id) {
            notify.notify_one();
        }
        Bell {
            id: id.to_owned(),
            notify,
            bells: self.clone(),
        }
    }

    /// Rings for a job. One that nobody waits for is remembered for a while.
    pub fn ring(&self, id: &str) {
        let mut waiters = self.lock();
        if let Some(notify) = waiters.by_job.get(id).and_then(Weak::upgrade) {
            notify.notify_one();
            return;
        }
        if waiters.early.len() == EARLY {
            waiters.early.pop_front();
        }
        waiters.early.push_back(id.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bell {
    /// What to wait for.
    pub fn notify(&self) -> Arc<Notify> {
        Arc::clone(&self.notify)
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.bells.lock().by_job.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_call_rings_for_its_job_alone_and_an_early_one_is_not_lost() {
        let bells = Bells::default();
        let (seven, eight) = (bells.bell("7"), bells.bell("8"));
        bells.ring("7");
        seven.notify().notified().await;
        let other = eight.notify();
        let waits = tokio::time::timeout(Duration::from_millis(1), other.notified());
        assert!(waits.await.is_err());
        bells.ring("9");
        bells.bell("9").notify().notified().await;
    }
}
