//! Append lines to default streams that wait for their next batch. The service closes those that
//! idle for minutes; a few are kept, for a table that gets many small batches.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::line::Line;

/// More tables than this at once open a line for each batch.
const LINES: usize = 32;
/// A line that idled so long is likely to be closed.
const IDLE: Duration = Duration::from_secs(120);

struct Idle {
    stream: String,
    since: Instant,
    line: Line,
}

/// The lines, the one that waits longest in front.
#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<VecDeque<Idle>>,
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line to this stream whose rows have this shape.
    pub(super) fn take(&self, stream: &str, descriptor: &Bytes) -> Option<Line> {
        let mut idle = self.idle();
        while idle.front().is_some_and(|one| one.since.elapsed() > IDLE) {
            idle.pop_front();
        }
        let fits = |one: &Idle| one.stream == stream && one.line.descriptor == *descriptor;
        let index = idle.iter().rposition(fits)?;
        idle.remove(index).map(|one| one.line)
    }

    /// Keeps a line on which nothing is under way.
    pub(super) fn put(&self, stream: &str, mut line: Line) {
        (line.fresh, line.answered) = (false, false);
        let mut idle = self.idle();
        // Lines of an earlier shape of the table are of no more use.
        idle.retain(|one| one.stream != stream || one.line.descriptor == line.descriptor);
        if idle.len() >= LINES {
            idle.pop_front();
        }
        idle.push_back(Idle {
            stream: stream.to_owned(),
            since: Instant::now(),
            line,
        });
    }

    /// Drops the lines to a stream: if one was closed, so were likely all.
    pub(super) fn forget(&self, stream: &str) {
        self.idle().retain(|one| one.stream != stream);
    }
}
