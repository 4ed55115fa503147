//! Text on its way to a thread that writes it: tasks never wait for a disk or a terminal themselves.

use std::pin::pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Text that waits for its writer.
#[derive(Debug)]
pub(super) struct Queue {
    /// More than this does not wait; a single piece is taken whole whatever its size.
    most: usize,
    waiting: Mutex<Waiting>,
    more: Condvar,
    written: Condvar,
    room: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    text: String,
    /// The writer is at work on what it took last.
    is_writing: bool,
    is_closed: bool,
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            waiting: Mutex::default(),
            more: Condvar::new(),
            written: Condvar::new(),
            room: Notify::new(),
        }
    }

    /// Adds text, whether there is room or not: for what is short and rare, and for whoever asked for
    /// [`Queue::room`] before. False once the queue is closed.
    pub(super) fn push(&self, text: &str) -> bool {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return false;
        }
        waiting.text.push_str(text);
        self.more.notify_one();
        true
    }

    /// Adds text if there is room for it.
    pub(super) fn push_if_room(&self, text: &str) -> bool {
        let mut waiting = self.lock();
        let fits = waiting.text.is_empty() || waiting.text.len() + text.len() <= self.most;
        if fits && !waiting.is_closed {
            waiting.text.push_str(text);
            self.more.notify_one();
        }
        fits
    }

    /// Waits until there is room.
    pub(super) async fn room(&self) {
        loop {
            let mut notified = pin!(self.room.notified());
            notified.as_mut().enable();
            if self.has_room() {
                return;
            }
            notified.await;
        }
    }

    fn has_room(&self) -> bool {
        let waiting = self.lock();
        waiting.text.len() < self.most || waiting.is_closed
    }

    /// For the writer: waits for text and takes it. `None` once the queue is closed and empty. Asking
    /// again says that what was taken before is written.
    pub(super) fn take(&self) -> Option<String> {
        let mut waiting = self.lock();
        waiting.is_writing = false;
        if waiting.text.is_empty() {
            self.written.notify_all();
        }
        while waiting.text.is_empty() && !waiting.is_closed {
            let woken = self.more.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.text.is_empty() {
            return None;
        }
        waiting.is_writing = true;
        let text = std::mem::take(&mut waiting.text);
        drop(waiting);
        self.room.notify_waiters();
        Some(text)
    }

    /// Nothing is taken in from now on. Waits until everything is written, but no longer than `patience`.
    pub(super) fn close(&self, patience: Duration) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        self.more.notify_all();
        self.room.notify_waiters();
        let at_work = |waiting: &mut Waiting| waiting.is_writing || !waiting.text.is_empty();
        drop(self.written.wait_timeout_while(waiting, patience, at_work));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
