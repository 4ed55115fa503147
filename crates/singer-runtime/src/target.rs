//! The target trait, the writer of a stream, and the entry point of a target's binary.
//!
//! The runtime reads lines, validates records, cuts batches, keeps rows of one key in order, writes
//! rejects, and prints a STATE once every record before it is safe. A target says how one batch is
//! sent, and tells the truth about what was confirmed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::context::Context;
use crate::setting::Settings;

pub use batch::{Batch, Record};
pub use entry::main;

mod ack;
mod batch;
mod entry;
mod intake;
mod lane;
mod memory;
mod options;
mod publish;
pub mod read;
mod replay;
mod run;
mod shared;
mod state_file;
mod versions;

/// A destination of records.
pub trait Target: Sized + Send + Sync + 'static {
    /// The binary's name, `target-…`.
    const NAME: &'static str;
    /// One sentence for `--help` and `--about`.
    const DESCRIPTION: &'static str;
    /// Its version.
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// Command lines with a word on each, for the end of `--help`.
    const EXAMPLES: &'static str = "";
    /// Batches in flight at most, of all streams together, where the config's `parallel` says nothing.
    const PARALLEL: usize = 4;
    /// The connector's own settings; the keys of the contract that all targets share are added.
    type Config: Settings;
    /// What writes one stream.
    type Writer: Writer;

    /// Builds clients; no data is written. Checks that need no SCHEMA may be made here.
    fn connect(
        config: Self::Config,
        context: Context,
    ) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// Proves credentials and permissions, changes nothing; says in one line what works.
    fn check(&self) -> impl Future<Output = anyhow::Result<String>> + Send;

    /// Plans the writing of a stream whose SCHEMA is new or has changed. Reads from the service what
    /// it must know, writes nothing there. What stands against the stream (missing fields, types that
    /// do not fit) goes into [`StreamPlan::problems`], so that the runtime can name the problems of
    /// all streams at once before anything was written.
    fn open(
        &self,
        stream: Arc<Stream>,
    ) -> impl Future<Output = anyhow::Result<Self::Writer>> + Send;

    /// Makes durable what the target itself keeps about confirmed rows (memories of sent values).
    /// Called before a STATE is printed: it covers every batch whose [`Batch::end`] is not above
    /// `position`, and of others with a lower [`Batch::number`] the first rows. A run that dies before it is
    /// printed goes on from the one before: [`Context::stored_state`] tells the next run which of the two it was.
    fn sync(&self, position: u64, state: &str) -> impl Future<Output = anyhow::Result<()>> + Send {
        async move {
            let _ = (position, state);
            Ok(())
        }
    }

    /// Called after the STATE of the last [`Target::sync`] was stored and printed.
    fn printed(&self) -> impl Future<Output = anyhow::Result<()>> + Send {
        async { Ok(()) }
    }

    /// Called once after the last STATE, on success and on failure.
    fn close(&self) -> impl Future<Output = anyhow::Result<()>> + Send {
        async { Ok(()) }
    }
}

/// Writes one stream.
pub trait Writer: Send + Sync + 'static {
    /// What will be done, for the log, for `--dry-run`, and to refuse before the first write.
    fn plan(&self) -> StreamPlan;

    /// The properties (indexes into the schema) that identify a row at the destination. Two batches
    /// with a row in common are never in flight together, and of two rows of one key in one batch
    /// the last wins, field by field. Empty: every row stands for itself.
    fn key(&self) -> Vec<usize>;

    /// How large the next batch may be. Asked for each batch, so a writer may change its mind. The
    /// config's `batch` narrows it and never widens it; a batch may also be cut short when memory is.
    fn limits(&self) -> Limits;

    /// Whether rows are kept out of sight until their version is activated, and then take the place of
    /// all rows before them. Rows without a version are then taken for one version, which is activated
    /// when the input ends after a STATE that covers them; until then no STATE after them is printed.
    fn replaces(&self) -> Replaces {
        Replaces::Nothing
    }

    /// Whether a batch that is half full is ended at a STATE. A run that is repeated from its state
    /// then meets the same batches again, and what was sent already can be told by its content.
    fn cuts_at_states(&self) -> bool {
        false
    }

    /// Creates what the plan says is to be created (tables, fields). Called once, before the first
    /// batch of this stream and after every stream known by then was found writable.
    fn prepare(&self) -> impl Future<Output = anyhow::Result<()>> + Send {
        async { Ok(()) }
    }

    /// Sends one batch and returns once the destination has confirmed it, naming each row that it
    /// refused. Called side by side for several batches. An error means that nothing is known to be
    /// stored: the stream fails and no STATE after these rows is printed.
    fn write(&self, batch: Arc<Batch>) -> impl Future<Output = anyhow::Result<Outcome>> + Send;

    /// The requests that [`Writer::write`] would make for this batch, secrets hidden, for `--dry-run`.
    fn preview(&self, batch: &Batch) -> Vec<String>;

    /// Every row of this version is durable and no other row belongs to the table any more. `rows` is
    /// how many rows the version had in this run, zero only with `allow_empty`; `None` comes to writers
    /// that are [`Replaces::Resumable`] alone: it had none in this run, and may have had some before.
    fn activate_version(
        &self,
        version: i64,
        rows: Option<u64>,
    ) -> impl Future<Output = anyhow::Result<Outcome>> + Send {
        async move {
            let _ = (version, rows);
            Ok(Outcome::default())
        }
    }

    /// No more batches of this stream under this SCHEMA will come; all were confirmed.
    fn close(&self) -> impl Future<Output = anyhow::Result<()>> + Send {
        async { Ok(()) }
    }
}

/// Whether the rows of a version take the place of all rows before them, once it is activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces {
    /// Rows are seen as they are written.
    Nothing,
    /// They do. What a run that was cut off has written of a version is there for the next run.
    Resumable,
    /// They do, if one run writes them all: no STATE is printed before the version is activated.
    Whole,
}

/// A stream under one SCHEMA.
#[derive(Debug)]
pub struct Stream {
    /// The name in the messages.
    pub name: String,
    /// Its schema.
    pub schema: singer_core::schema::Schema,
    /// Whether the schema is only guessed, because a rejects file is replayed: its properties admit
    /// everything, and properties that a record lacks say nothing.
    pub guessed: bool,
}

/// How large a batch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Records in a batch.
    pub max_records: usize,
    /// Bytes of the records as JSON in a batch.
    pub max_bytes: usize,
    /// How long the first record of a batch waits for more.
    pub max_age: Duration,
}

/// What is going to be done with a stream.
#[derive(Debug, Clone, Default)]
pub struct StreamPlan {
    /// What the stream is written to, in the service's words ("visitor metadata, group `custom`").
    pub destination: String,
    /// What will be created first ("field `plan_tier` (string)").
    pub creates: Vec<String>,
    /// What else is good to know before, for `--dry-run` ("property `a.b` goes to column `a_b`").
    pub notes: Vec<String>,
    /// What stands against it; not empty means that the stream cannot be written.
    pub problems: Vec<Problem>,
    /// Cost in the service's units, if it charges.
    pub cost: Option<Value>,
}

/// One reason why a stream cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// "field missing", "type conflict", …
    pub kind: &'static str,
    /// What is wrong, naming property and field.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// What became of a batch.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Rows that the destination confirmed.
    pub sent: u64,
    /// Rows that were not sent because nothing in them had changed.
    pub unchanged: u64,
    /// Rows that were cleared or deleted because they vanished at the source.
    pub cleared: u64,
    /// Requests that had to be made again.
    pub retried: u64,
    /// Requests in all.
    pub requests: u64,
    /// Bytes of request bodies.
    pub bytes: u64,
    /// Rows that the destination did not take.
    pub refusals: Vec<Refusal>,
}

/// One row that the destination did not take.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The row's place in the batch.
    pub index: usize,
    /// Refused, or unknown there.
    pub verdict: Verdict,
    /// The service's code, if it has one.
    pub code: Option<String>,
    /// The service's words, without the row's values.
    pub reason: String,
}

/// Why a row was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The row is at fault: counts as a reject (exit code 3).
    Rejected,
    /// The destination does not know the row and was not to create it: listed, counted, no error.
    Missing,
}

#[cfg(test)]
pub(crate) mod tests;
