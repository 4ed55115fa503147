//! What the thread that reads and the task that writes have in common, and what they tell each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use singer_core::{Error, Result};
use tokio::sync::{Notify, oneshot};

use super::ack::Ledger;
use super::batch::{Batch, Buffers};
use super::memory::Memory;
use super::options::Options;
use super::{Limits, Stream};
use crate::context::Context;
use crate::monitor::{Count, Counters, Monitor};
use crate::rejects::{Reject, Rejects};

/// Common to reading and writing.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) context: Context,
    pub(crate) options: Options,
    pub(crate) memory: Memory,
    /// Told when a STATE may have become safe without a batch being confirmed.
    pub(crate) safe_state: Notify,
    /// Records read, of all streams.
    pub(crate) read: Count,
    /// Records rejected, of all streams.
    pub(crate) rejected: Count,
    rejects: Rejects,
    ledger: Mutex<Ledger>,
    /// Taken when the run ends.
    monitor: Mutex<Option<Monitor>>,
}

/// One stream, whatever its SCHEMA is at the moment.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) counters: Arc<Counters>,
    failed: AtomicBool,
}

/// What the reader tells the writing side, in the order of the input.
#[derive(Debug)]
pub(crate) enum Event<W> {
    /// A stream has a new SCHEMA. The answer is its writer, or nothing if the stream has failed.
    Open {
        slot: usize,
        handle: Arc<Handle>,
        stream: Arc<Stream>,
        reply: oneshot::Sender<Option<Arc<W>>>,
    },
    /// A batch is full.
    Batch { slot: usize, batch: Sealed },
    /// A version takes effect once everything of its stream before it is durable.
    Activate {
        slot: usize,
        /// Its number in the ledger.
        number: u64,
        version: i64,
        /// Its records in this run; `None` if there are none, and the config lets none empty a table: only
        /// what a run before has written may take effect then.
        rows: Option<u64>,
    },
    /// Nothing follows.
    Ended(End),
}

/// Why nothing follows.
#[derive(Debug)]
pub(crate) enum End {
    /// The input was read to its end.
    Input,
    /// A stop was asked for.
    Stopped,
    /// What follows in the input cannot be used; everything before it is to be written.
    Failed(Error),
}

/// A batch on its way to the destination.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) batch: Arc<Batch>,
    pub(crate) hashes: Vec<u64>,
    /// The number of its first record, by which the ledger knows it.
    pub(crate) first: u64,
    /// What it holds of the memory.
    pub(crate) memory: usize,
}

impl Handle {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            failed: AtomicBool::new(false),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.counters.name()
    }

    /// Whether the stream has failed, so that its records are read over.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    pub(crate) fn new(
        context: Context,
        options: Options,
        rejects: Rejects,
        memory: Memory,
        monitor: Monitor,
    ) -> Self {
        Self {
            context,
            options,
            memory,
            safe_state: Notify::new(),
            read: Count::default(),
            rejected: Count::default(),
            rejects,
            ledger: Mutex::default(),
            monitor: Mutex::new(Some(monitor)),
        }
    }

    /// The handle of a stream that was not met before; `None` once the run has ended.
    pub(crate) fn handle(&self, name: &str) -> Option<Arc<Handle>> {
        let monitor = self.monitor.lock().unwrap_or_else(PoisonError::into_inner);
        let counters = monitor.as_ref()?.stream(name);
        Some(Arc::new(Handle::new(counters)))
    }

    /// Notes the schema of a stream for the report.
    pub(crate) fn describe(&self, stream: &str, schema: &str) {
        let monitor = self.monitor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(monitor) = &*monitor {
            monitor.describe(stream, stream, schema);
        }
    }

    /// Takes the monitor, to end it.
    pub(crate) fn take_monitor(&self) -> Option<Monitor> {
        let mut monitor = self.monitor.lock().unwrap_or_else(PoisonError::into_inner);
        monitor.take()
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rejects(&self) -> &Rejects {
        &self.rejects
    }

    /// Writes a record that was not taken to the rejects file. A dry run writes nothing.
    pub(crate) fn refuse(&self, reject: &Reject<'_>) -> Result<()> {
        if self.context.dry_run() {
            return Ok(());
        }
        self.rejects.append(reject)
    }

    /// Counts rejects, and fails once there are more than the config bears.
    pub(crate) fn count_rejected(&self, handle: &Handle, count: u64) -> Result<()> {
        handle.counters.rejected.add(count);
        self.rejected.add(count);
        let (rejected, read) = (self.rejected.get(), self.read.get());
        match self.options.max_rejects {
            // A dry run is to show everything that would happen.
            Some(_) if self.context.dry_run() => Ok(()),
            Some(most) if most.is_exceeded(rejected, read) => Err(self.too_many_rejects()),
            _ => Ok(()),
        }
    }

    /// Fails if, of all records, more were rejected than the config bears.
    pub(crate) fn check_rejects_at_end(&self) -> Result<()> {
        let (rejected, read) = (self.rejected.get(), self.read.get());
        match self.options.max_rejects {
            Some(most) if most.is_exceeded_at_end(rejected, read) => Err(self.too_many_rejects()),
            _ => Ok(()),
        }
    }

    fn too_many_rejects(&self) -> Error {
        let (rejected, read) = (self.rejected.get(), self.read.get());
        Error::rejected(format!(
            "{rejected} of {read} records were rejected, more than `max_rejects` allows"
        ))
        .with_hint(format!(
            "the reasons stand in `{}`",
            self.rejects.path().display()
        ))
    }

    /// The limits of a writer's next batch.
    pub(crate) fn limits(&self, writer: Limits) -> Limits {
        let limits = self.options.limits(writer);
        self.memory.make_room_for(limits.max_bytes);
        limits
    }

    /// Frees what a batch holds. Its buffers are used again if nobody else holds the batch.
    pub(crate) fn free(&self, sealed: Sealed) {
        if let Some(batch) = Arc::into_inner(sealed.batch) {
            self.memory.give_back(Buffers::of(batch, sealed.hashes));
        }
        self.memory.free(sealed.memory);
    }
}
