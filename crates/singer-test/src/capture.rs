//! What a program prints, read in the background, so that no pipe fills up unless a test wants it to
//! and a test can wait for a line. It knows nothing of processes.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// The bytes of one pipe so far.
#[derive(Debug)]
pub(crate) struct Capture {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    lines: usize,
    ended: bool,
    close_after: Option<usize>,
}

impl Capture {
    /// Captures nothing: the pipe belongs to somebody else.
    pub(crate) fn nothing() -> Capture {
        let shared = Arc::new(Shared::default());
        shared.lock().ended = true;
        Capture {
            shared,
            reader: None,
        }
    }

    /// Reads a pipe to its end.
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Capture {
        let shared = Arc::new(Shared::default());
        let reader = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.read(pipe))
        };
        Capture {
            shared,
            reader: Some(reader),
        }
    }

    /// The bytes so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.shared.lock().bytes.clone()
    }

    /// Closes the pipe as soon as so many lines have been read.
    pub(crate) fn close_after_lines(&self, count: usize) {
        self.shared.lock().close_after = Some(count);
    }

    /// Waits for so many whole lines; if they do not come, the number that did.
    pub(crate) fn wait_for_lines(&self, count: usize, deadline: Instant) -> Result<(), usize> {
        let state = self.wait(deadline, |state| state.lines >= count);
        if state.lines >= count {
            Ok(())
        } else {
            Err(state.lines)
        }
    }

    /// Waits until the bytes so far meet a condition; false if they never did.
    pub(crate) fn wait_for(&self, deadline: Instant, condition: impl Fn(&[u8]) -> bool) -> bool {
        let state = self.wait(deadline, |state| condition(&state.bytes));
        condition(&state.bytes)
    }

    /// All bytes, once the other end is closed.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader of a pipe does not panic");
        }
        std::mem::take(&mut self.shared.lock().bytes)
    }

    fn wait(&self, deadline: Instant, met: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = self.shared.lock();
        while !met(&state) && !state.ended {
            let Some(rest) = deadline.checked_duration_since(Instant::now()) else {
                break;
            };
            state = self
                .shared
                .changed
                .wait_timeout(state, rest)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, mut pipe: impl Read) {
        let mut block = vec![0; 1 << 16];
        loop {
            // A pipe whose writer was killed just ends; an error would be the end as well.
            let length = pipe.read(&mut block).unwrap_or(0);
            let mut state = self.lock();
            state.bytes.extend_from_slice(&block[..length]);
            state.lines += block[..length]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            let enough = state.close_after.is_some_and(|count| state.lines >= count);
            state.ended = length == 0 || enough;
            self.changed.notify_all();
            if state.ended {
                return;
            }
        }
    }
}
