//! The map trait, and the entry point of a stage between a tap and a target.
//!
//! The runtime reads lines, keeps their order while several threads work on them, passes on what the map
//! says nothing about byte for byte, writes rejects, and stops on request. A map says which streams it
//! changes, how their schemas change, and what becomes of one record.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use singer_core::Result;

use crate::context::Context;
use crate::setting::Settings;

pub use entry::main;

mod entry;
mod feed;
mod order;
mod run;
mod show;
mod work;

/// A stage of a pipe that changes records.
pub trait Map: Sized + Send + Sync + 'static {
    /// The binary's name.
    const NAME: &'static str;
    /// One sentence for `--help` and `--about`.
    const DESCRIPTION: &'static str;
    /// Its version.
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// Command lines with a word on each, for the end of `--help`.
    const EXAMPLES: &'static str = "";
    /// The settings.
    type Config: Settings;
    /// How the records of one stream are changed under one SCHEMA.
    type Stream: Send + Sync + 'static;
    /// What one thread needs for its work; made on that thread.
    type Worker: 'static;

    /// Reads the config; what is wrong with it is found here.
    fn new(config: Self::Config, context: &Context) -> anyhow::Result<Self>;

    /// How the run is to go.
    fn options(&self) -> Options;

    /// Says in one line what would be done.
    fn check(&self) -> anyhow::Result<String>;

    /// Whether the records of a stream are changed; all others pass as they are.
    fn changes(&self, stream: &str) -> bool;

    /// The streams that the config names, for `--test` with a record that names none.
    fn streams(&self) -> Vec<String>;

    /// Takes the SCHEMA of a stream that is changed, new or again, and says what it becomes.
    ///
    /// # Errors
    /// Of kind `Protocol` if the message is wrong, of kind `Config` if the config does not go with it.
    fn open(&self, stream: &str, schema: SchemaMessage<'_>) -> Result<Opened<Self>>;

    /// What a thread works with.
    fn worker(&self) -> Self::Worker;

    /// Writes what becomes of one record: nothing, or one record or several. `record` is a JSON object
    /// that was scanned, `started` is now.
    ///
    /// # Errors
    /// If the record cannot be changed. What was written is taken back, unless the record passes.
    fn apply(
        worker: &mut Self::Worker,
        stream: &Self::Stream,
        record: &str,
        started: Instant,
        out: &mut Outputs<'_>,
    ) -> Result<(), Failure>;
}

/// How a run of a map goes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Threads that change records.
    pub jobs: usize,
    /// Where rejects are written.
    pub rejects_path: PathBuf,
    /// How long the work on one record may take. The map keeps to it; where it cannot, the run ends soon
    /// after.
    pub record_time_limit: Duration,
}

/// The parts of a SCHEMA message as JSON text.
#[derive(Debug, Clone, Copy)]
pub struct SchemaMessage<'a> {
    /// The JSON schema: an object.
    pub schema: &'a str,
    /// `key_properties`, if the message has it.
    pub key_properties: Option<&'a str>,
    /// `bookmark_properties`, if the message has it.
    pub bookmark_properties: Option<&'a str>,
}

/// What a SCHEMA message becomes.
pub struct Opened<M: Map> {
    /// How records are changed from here on.
    pub stream: M::Stream,
    /// The new JSON schema.
    pub schema: String,
    /// The new `key_properties`, if the message had any.
    pub key_properties: Option<String>,
    /// The new `bookmark_properties`, if the message had any.
    pub bookmark_properties: Option<String>,
}

/// Where a map writes the records that one record becomes.
#[derive(Debug)]
pub struct Outputs<'a> {
    bytes: &'a mut Vec<u8>,
    /// What stands before and behind the record in its message.
    before: &'a [u8],
    after: &'a [u8],
    count: u64,
}

impl<'a> Outputs<'a> {
    /// Records in messages like one that was read: `before` and `after` are what stood around its record.
    pub fn new(bytes: &'a mut Vec<u8>, before: &'a [u8], after: &'a [u8]) -> Self {
        Self {
            bytes,
            before,
            after,
            count: 0,
        }
    }

    /// Writes one record; the function appends its JSON object.
    ///
    /// # Errors
    /// Those of the function.
    pub fn record<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.bytes.extend_from_slice(self.before);
        write(self.bytes)?;
        self.bytes.extend_from_slice(self.after);
        self.bytes.push(b'\n');
        self.count += 1;
        Ok(())
    }

    /// How many records were written.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How long what was written is.
    pub fn mark(&self) -> Mark {
        Mark {
            length: self.bytes.len(),
            count: self.count,
        }
    }

    /// Takes back what was written since.
    pub fn back_to(&mut self, mark: Mark) {
        self.bytes.truncate(mark.length);
        self.count = mark.count;
    }
}

/// A place in the outputs.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    length: usize,
    count: u64,
}

/// Why a record could not be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What is wrong, naming properties and types, never a value.
    pub reason: String,
    /// What to do about it, one line each.
    pub hints: Vec<String>,
    /// What becomes of the record.
    pub then: Then,
}

/// What becomes of a record that could not be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The run fails.
    Stop,
    /// It goes to the rejects file.
    Reject,
    /// It passes on as the map has written it.
    Pass,
}

#[cfg(test)]
mod tests;
