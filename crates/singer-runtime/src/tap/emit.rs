//! The way out of a tap: records of one stream, and its checkpoints.

use std::mem;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use singer_core::message::{RECORD_END, write_activate_version, write_record_start, write_schema};
use singer_core::{Error, Result};

use super::Plan;
use super::Replication;
use super::bookmarks::Bookmarks;
use super::ticker::{TICKS_PER_SECOND, Ticker};
use crate::clock::Clock;
use crate::monitor::Counters;
use crate::stdio::{BLOCK_SIZE, Pipe};
use crate::stop::Stop;

/// Records after which a STATE is due.
const RECORDS_PER_STATE: u64 = 10_000;
/// Time after which a STATE is due.
const TICKS_PER_STATE: u64 = 10 * TICKS_PER_SECOND;
/// A block that fills slowly is handed over after this time, however small it is.
const TICKS_PER_BLOCK: u64 = 2;

/// Where a tap puts the records of one stream.
#[derive(Debug)]
pub struct Output {
    run: Run,
    id: String,
    stream: String,
    /// The version of a full table.
    version: Option<i64>,
    /// The version that the bookmark of an incremental stream had: it is kept.
    kept_version: Option<Value>,
    key_properties: Vec<String>,
    bookmark_properties: Vec<String>,
    counters: Arc<Counters>,
    /// What stands before every record of the block.
    start: Vec<u8>,
    block: Vec<u8>,
    records_in_block: u64,
    hand_over_at: u64,
    records_since_state: u64,
    state_at: u64,
    version_is_finished: bool,
}

/// What the outputs of a run share.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) pipe: Pipe,
    pub(super) bookmarks: Arc<Bookmarks>,
    pub(super) ticker: Arc<Ticker>,
    pub(super) clock: Clock,
    pub(super) stop: Stop,
    pub(super) extent: Extent,
    /// Whether the run writes STATEs.
    pub(super) tells_state: bool,
}

/// How much of each stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Everything,
    /// One record, and no STATE: the run only shows that it could.
    OneRecord,
}

impl Output {
    pub(super) fn new(run: Run, plan: &Plan, counters: Arc<Counters>) -> Self {
        let (version, kept_version) = match &plan.replication {
            Replication::FullTable { version } => (Some(*version), None),
            Replication::Incremental { .. } => (None, plan.bookmark.get("version").cloned()),
        };
        let now = run.ticker.now();
        let mut output = Self {
            block: run.pipe.buffer(),
            run,
            id: plan.id.clone(),
            stream: plan.stream.clone(),
            version,
            kept_version,
            key_properties: plan.key_properties.clone(),
            bookmark_properties: plan.bookmark_properties(),
            counters,
            start: Vec::new(),
            records_in_block: 0,
            hand_over_at: now + TICKS_PER_BLOCK,
            records_since_state: 0,
            state_at: now + TICKS_PER_STATE,
            version_is_finished: false,
        };
        output.renew_start();
        output
    }

    /// Appends one record: `write` appends the JSON object of the selected fields to the buffer. If
    /// it fails, nothing of the record is kept. Waits while the pipe is full. A stop request is no
    /// error here but at the next [`Output::checkpoint`].
    ///
    /// Costs no allocation and, but for every 128 KiB or so, no system call.
    ///
    /// # Errors
    /// That of `write`, and of kind `Internal` if stdout cannot be written; pass both up with `?`.
    pub async fn record(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        let before = self.block.len();
        self.block.extend_from_slice(&self.start);
        if let Err(error) = write(&mut self.block) {
            self.block.truncate(before);
            return Err(error);
        }
        self.block.extend_from_slice(RECORD_END);
        self.records_in_block += 1;
        self.records_since_state += 1;
        if self.block.len() >= BLOCK_SIZE || self.run.ticker.now() >= self.hand_over_at {
            self.flush().await?;
        }
        if self.run.extent == Extent::OneRecord {
            self.flush().await?;
            return Err(Error::interrupted());
        }
        Ok(())
    }

    /// Appends one record that serde can write: the easy way where the source is slower than that.
    /// It must be an object of the selected fields.
    ///
    /// # Errors
    /// As [`Output::record`].
    pub async fn value(&mut self, record: &(impl Serialize + Sync)) -> Result<()> {
        self.record(|out| {
            serde_json::to_writer(out, record)
                .map_err(|error| Error::internal("cannot write a record").with_source(error))
        })
        .await
    }

    /// Writes another SCHEMA of the stream: records from here on fit this one. For sources whose fields are
    /// known only from what came so far; a target widens its table, or says that it cannot.
    ///
    /// # Errors
    /// Of kind `Internal` if stdout cannot be written.
    pub async fn schema(&mut self, schema: &Value) -> Result<()> {
        write_schema(
            &mut self.block,
            &self.stream,
            &schema.to_string(),
            &self.key_properties,
            &self.bookmark_properties,
        );
        self.flush().await
    }

    /// Hands over what was appended so far. Worth calling before a long wait for the source; the
    /// checkpoints do it by themselves.
    ///
    /// # Errors
    /// Of kind `Internal` if stdout cannot be written.
    pub async fn flush(&mut self) -> Result<()> {
        self.hand_over_at = self.run.ticker.now() + TICKS_PER_BLOCK;
        if self.block.is_empty() {
            return Ok(());
        }
        // Only now, so that a connector which gives up waiting for this future loses no record.
        let room = self.run.pipe.room().await?;
        let block = mem::replace(&mut self.block, self.run.pipe.buffer());
        self.counters
            .read
            .add(mem::take(&mut self.records_in_block));
        self.counters.bytes.add(block.len() as u64);
        room.send(block);
        self.renew_start();
        Ok(())
    }

    /// Whether a STATE is due: 10,000 records or 10 seconds since the last, or a stop was asked for.
    /// Cheap enough to ask after every record.
    pub fn checkpoint_due(&self) -> bool {
        self.records_since_state >= RECORDS_PER_STATE
            || self.run.ticker.now() >= self.state_at
            || self.run.stop.requested()
    }

    /// A promise that every record up to here was handed over and that a later run may start from
    /// `bookmark`, which becomes this stream's whole entry in `bookmarks`. Writes a STATE. After a
    /// stop request it returns an error of kind `Interrupted`, to be passed up with `?`.
    ///
    /// An interrupted full table can be resumed if its bookmark has `last_pk_fetched`; the runtime
    /// adds the `version` that the rows carry.
    ///
    /// # Errors
    /// Of kind `Interrupted` after a stop request, of kind `Internal` if stdout cannot be written.
    pub async fn checkpoint(&mut self, mut bookmark: Map<String, Value>) -> Result<()> {
        let version = match (self.version, &self.kept_version) {
            (Some(version), _) if bookmark.contains_key("last_pk_fetched") => Some(version.into()),
            (Some(_), _) => None,
            (None, kept) => kept.clone(),
        };
        if let Some(version) = version {
            bookmark.entry("version").or_insert(version);
        }
        self.state(&bookmark).await?;
        if self.run.stop.requested() {
            return Err(Error::interrupted());
        }
        Ok(())
    }

    /// The stream's last checkpoint of a full table: writes ACTIVATE_VERSION, then the STATE. A stop
    /// request is no error here, since the stream is complete.
    ///
    /// # Errors
    /// Of kind `Internal` if stdout cannot be written.
    pub async fn finish_version(&mut self, bookmark: Map<String, Value>) -> Result<()> {
        let Some(version) = self.version else {
            return Err(Error::internal(
                "an incremental stream has no version to be finished",
            ));
        };
        if self.run.extent == Extent::Everything {
            write_activate_version(&mut self.block, &self.stream, version);
        }
        self.version_is_finished = true;
        self.state(&bookmark).await
    }

    /// Whether the one record that was asked for is out.
    pub(super) fn is_sampled(&self) -> bool {
        self.run.extent == Extent::OneRecord && self.counters.read.get() > 0
    }

    /// What is left to do when the tap has read a stream to its end.
    pub(super) async fn end(&mut self) -> Result<()> {
        if self.version.is_some() && !self.version_is_finished {
            return self.finish_version(Map::new()).await;
        }
        self.flush().await
    }

    async fn state(&mut self, bookmark: &Map<String, Value>) -> Result<()> {
        // The records go first: nothing can come between them and the STATE that covers them.
        self.flush().await?;
        self.records_since_state = 0;
        self.state_at = self.run.ticker.now() + TICKS_PER_STATE;
        if self.run.extent == Extent::OneRecord || !self.run.tells_state {
            return Ok(());
        }
        self.run
            .bookmarks
            .store(&self.run.pipe, &self.id, bookmark)
            .await
    }

    fn renew_start(&mut self) {
        self.start.clear();
        let time = self.run.clock.timestamp();
        write_record_start(&mut self.start, &self.stream, self.version, Some(&time));
    }
}

#[cfg(test)]
mod tests;
