//! Records that are encoded on a thread of their own, and handed over in blocks through a bounded channel: for
//! sources that come as files, whose unzipping and parsing must not hold up the other streams.

use std::mem;

use serde_json::{Map, Value};
use singer_core::{Error, Kind, Result};
use tokio::sync::mpsc;

use super::Output;

/// Records are handed over in blocks of about this size.
const BLOCK_BYTES: usize = 128 << 10;

/// Blocks that may wait.
const BLOCKS: usize = 3;

/// Encoded records.
#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    /// Where each record ends.
    ends: Vec<usize>,
}

/// Where the thread puts its records.
#[derive(Debug)]
pub struct Blocks {
    block: Block,
    sender: mpsc::Sender<Block>,
}

impl Blocks {
    /// Appends a record: `write` appends its JSON object. If it fails, nothing of the record is kept.
    ///
    /// # Errors
    /// That of `write`.
    pub fn record(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        let before = self.block.bytes.len();
        if let Err(error) = write(&mut self.block.bytes) {
            self.block.bytes.truncate(before);
            return Err(error);
        }
        self.block.ends.push(self.block.bytes.len());
        Ok(())
    }

    /// Whether it is time to hand over.
    pub fn is_full(&self) -> bool {
        self.block.bytes.len() >= BLOCK_BYTES
    }

    /// Hands over what was appended so far; waits while the pipe is full.
    ///
    /// # Errors
    /// Of kind `Interrupted` if nobody takes records any more.
    pub fn hand_over(&mut self) -> Result<()> {
        if self.block.ends.is_empty() {
            return Ok(());
        }
        let next = Block {
            bytes: Vec::with_capacity(BLOCK_BYTES + BLOCK_BYTES / 8),
            ends: Vec::with_capacity(1024),
        };
        let full = mem::replace(&mut self.block, next);
        self.sender
            .blocking_send(full)
            .map_err(|_| Error::new(Kind::Interrupted, "nobody takes the rows any more"))
    }
}

impl Output {
    /// Emits the records that `work`, on a thread of its own, puts into its blocks, with a checkpoint at
    /// `bookmark` whenever one is due. What `work` has not handed over at its end is handed over then.
    ///
    /// # Errors
    /// That of `work`, and those of [`Output::record`] and [`Output::checkpoint`].
    pub async fn from_thread<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Blocks) -> Result<T> + Send + 'static,
        bookmark: impl Fn() -> Map<String, Value> + Send,
    ) -> Result<T> {
        let (sender, mut receiver) = mpsc::channel(BLOCKS);
        let working = tokio::task::spawn_blocking(move || {
            let block = Block::default();
            let mut blocks = Blocks { block, sender };
            let result = work(&mut blocks)?;
            blocks.hand_over()?;
            Ok(result)
        });
        while let Some(Block { bytes, ends }) = receiver.recv().await {
            let mut start = 0;
            for end in ends {
                let record = bytes.get(start..end).unwrap_or_default();
                self.record(|buffer| {
                    buffer.extend_from_slice(record);
                    Ok(())
                })
                .await?;
                start = end;
            }
            if self.checkpoint_due() {
                self.checkpoint(bookmark()).await?;
            }
        }
        working.await.map_err(|error| {
            Error::internal("the task that reads a file died").with_source(error)
        })?
    }
}
