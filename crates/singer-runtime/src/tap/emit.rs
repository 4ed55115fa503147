//! The way out of a tap: records of one stream, and its checkpoints.

use serde_json::{Map, Value};
use singer_core::Result;

/// Where a tap puts the records of one stream.
#[derive(Debug)]
pub struct Output {}

impl Output {
    /// Appends one record: `write` appends the JSON object of the selected fields to the buffer. If
    /// it fails, nothing of the record is kept. Waits when the pipe is full, and returns an error of
    /// kind `Interrupted` once a stop was asked for (only at a checkpoint, see there).
    ///
    /// Costs no allocation and, but for every 64 KiB or so, no system call.
    pub async fn record(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        unimplemented!()
    }

    /// Whether a STATE is due: 10,000 records or 10 seconds since the last, or a stop was asked for.
    /// Cheap enough to ask after every record.
    pub fn checkpoint_due(&self) -> bool {
        unimplemented!()
    }

    /// A promise that every record up to here was handed over and that a later run may start from
    /// `bookmark`, which becomes this stream's whole entry in `bookmarks`. Writes a STATE. After a
    /// stop request it returns an error of kind `Interrupted`, to be passed up with `?`.
    pub async fn checkpoint(&mut self, bookmark: Map<String, Value>) -> Result<()> {
        unimplemented!()
    }

    /// The stream's last checkpoint of a full table: writes ACTIVATE_VERSION, then the STATE.
    pub async fn finish_version(&mut self, bookmark: Map<String, Value>) -> Result<()> {
        unimplemented!()
    }
}
