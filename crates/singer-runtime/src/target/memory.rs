//! The memory of all batches together: bounded, and used again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::batch::Buffers;

/// What open and sealed batches may hold together, unless a writer wants larger batches.
const DEFAULT_LIMIT: usize = 18 * 1024 * 1024;

/// What a writer's wish for larger batches can raise the limit to; what is beyond is cut into
/// smaller batches.
const HIGHEST_LIMIT: usize = 256 * 1024 * 1024;

/// Buffers that are kept for the next batch hold no more than this together.
const SPARE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes in sealed batches, and who waits for some to be freed. Open batches belong to the reader,
/// which adds its own to [`Memory::sealed`].
#[derive(Debug)]
pub(crate) struct Memory {
    limit: AtomicUsize,
    sealed: AtomicUsize,
    freed: Notify,
    spare: Mutex<Vec<Buffers>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

impl Memory {
    /// A memory of `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit: AtomicUsize::new(limit),
            sealed: AtomicUsize::new(0),
            freed: Notify::new(),
            spare: Mutex::default(),
        }
    }

    /// Makes room for two of the largest batches that a writer asks for: one in flight, one open.
    pub(crate) fn make_room_for(&self, batch_bytes: usize) {
        self.limit.fetch_max(
            batch_bytes.saturating_mul(2).min(HIGHEST_LIMIT),
            Ordering::Relaxed,
        );
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Bytes in sealed batches.
    pub(crate) fn sealed(&self) -> usize {
        self.sealed.load(Ordering::Acquire)
    }

    /// A batch of so many bytes was sealed.
    pub(crate) fn take(&self, bytes: usize) {
        self.sealed.fetch_add(bytes, Ordering::AcqRel);
    }

    /// A batch of so many bytes is gone.
    pub(crate) fn free(&self, bytes: usize) {
        self.sealed.fetch_sub(bytes, Ordering::AcqRel);
        self.freed.notify_one();
    }

    /// Returns once no more than `bytes` are in sealed batches. For one waiter at a time.
    pub(crate) async fn wait_until_below(&self, bytes: usize) {
        while self.sealed() > bytes {
            self.freed.notified().await;
        }
    }

    /// Buffers for a new batch.
    pub(crate) fn buffers(&self) -> Buffers {
        self.spare().pop().unwrap_or_default()
    }

    /// Takes back the buffers of a batch.
    pub(crate) fn give_back(&self, buffers: Buffers) {
        let mut spare = self.spare();
        let kept: usize = spare.iter().map(Buffers::capacity).sum();
        if kept + buffers.capacity() <= SPARE_BYTES {
            spare.push(buffers);
        }
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Buffers>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_waiter_goes_on_once_enough_is_freed() {
        let memory = Arc::new(Memory::new(100));
        memory.take(80);
        memory.take(30);
        assert!(memory.sealed() > memory.limit());
        let waiter = tokio::spawn({
            let memory = Arc::clone(&memory);
            async move { memory.wait_until_below(50).await }
        });
        memory.free(30);
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        memory.free(80);
        waiter.await.unwrap();
    }

    #[test]
    fn large_batches_raise_the_limit() {
        let memory = Memory::new(100);
        memory.make_room_for(30);
        assert_eq!(memory.limit(), 100);
        memory.make_room_for(70);
        assert_eq!(memory.limit(), 140);
    }
}
