//! What waits to be written: one lane a stream, in the order of the input.

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::batch::Unhashed;
use super::shared::{Handle, Sealed};
use super::{Problem, Stream, StreamPlan};

/// One stream on its way to the destination.
#[derive(Debug)]
pub(crate) struct Lane<W> {
    pub(crate) handle: Arc<Handle>,
    pub(crate) queue: VecDeque<Work<W>>,
    /// The writer of the SCHEMA that is being written.
    pub(crate) writer: Option<Arc<W>>,
    pub(crate) plan: StreamPlan,
    pub(crate) step: Step,
    /// Batches in flight.
    pub(crate) in_flight: usize,
    pub(crate) failure: Option<anyhow::Error>,
    /// Versions of which the destination refused records.
    pub(crate) incomplete: HashSet<i64>,
}

/// Something to be done with a stream. The first thing in the queue goes first.
#[derive(Debug)]
pub(crate) enum Work<W> {
    Open(Arc<Stream>, oneshot::Sender<Option<Arc<W>>>),
    Batch(Sealed),
    Activate {
        number: u64,
        version: i64,
        rows: Option<u64>,
    },
}

/// What a lane can do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A writer is being opened, and an older one closed before.
    Opening,
    /// The writer is there and has prepared nothing yet.
    Opened,
    /// It prepares, or activates a version: nothing else may go on.
    Busy,
    /// Batches may be written.
    Ready,
}

impl<W> Lane<W> {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self {
            handle,
            queue: VecDeque::new(),
            writer: None,
            plan: StreamPlan::default(),
            step: Step::Ready,
            in_flight: 0,
            failure: None,
            incomplete: HashSet::new(),
        }
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.in_flight == 0
            && !matches!(self.step, Step::Opening | Step::Busy)
    }

    /// Whether a writer is being opened, or will be as soon as somebody looks.
    pub(crate) fn awaits_writer(&self) -> bool {
        self.step == Step::Opening || matches!(self.queue.front(), Some(Work::Open(..)))
    }

    /// What stands against the stream, as one line each.
    pub(crate) fn problems(&self) -> impl DoubleEndedIterator<Item = String> {
        self.plan
            .problems
            .iter()
            .map(|problem| describe(self.handle.name(), problem))
    }
}

/// One problem as a line.
fn describe(stream: &str, problem: &Problem) -> String {
    format!("stream `{stream}`: {}: {}", problem.kind, problem.message)
}

/// The hashes of the keys in flight: no two batches with a row in common are.
#[derive(Debug, Default)]
pub(crate) struct KeysInFlight(HashSet<u64, BuildHasherDefault<Unhashed>>);

impl KeysInFlight {
    /// Whether a batch has a key that is in flight.
    pub(crate) fn conflict_with(&self, hashes: &[u64]) -> bool {
        !self.0.is_empty() && hashes.iter().any(|hash| self.0.contains(hash))
    }

    pub(crate) fn add(&mut self, hashes: &[u64]) {
        self.0.extend(hashes);
    }

    pub(crate) fn remove(&mut self, hashes: &[u64]) {
        for hash in hashes {
            self.0.remove(hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_conflicts_while_one_of_its_keys_is_in_flight() {
        let mut keys = KeysInFlight::default();
        keys.add(&[1, 2]);
        assert!(keys.conflict_with(&[3, 2]) && !keys.conflict_with(&[3]));
        keys.remove(&[1, 2]);
        assert!(!keys.conflict_with(&[3, 2]));
        assert!(!keys.conflict_with(&[]));
    }
}
