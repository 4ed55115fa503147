//! Files that could not be read, as lines of the rejects file.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use singer_core::Result;
use singer_runtime::context::Context;
use singer_runtime::rejects as lines;

use crate::model::{FILE_ID, Hit};
use crate::record::write_compact;
use crate::retrieve::Refusal;

/// The file, made with the first reject.
#[derive(Debug)]
pub(crate) struct Rejects {
    lines: lines::Rejects,
    count: AtomicU64,
}

impl Rejects {
    /// Makes nothing yet.
    pub(crate) fn new(path: PathBuf, context: &Context) -> Self {
        Self {
            lines: lines::Rejects::new(path, context.run_id(), context.clock().clone()),
            count: AtomicU64::new(0),
        }
    }

    /// How many there were in this run.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Adds a file.
    ///
    /// # Errors
    /// Of kind `Internal` if it cannot be written.
    pub(crate) fn add(&self, stream: &str, hit: &Hit, refusal: &Refusal) -> Result<()> {
        let mut record = Vec::new();
        write_compact(&mut record, &hit.source);
        self.lines.append(&lines::Reject {
            stream,
            key: json!({FILE_ID: hit.file_id}).to_string().as_bytes(),
            record: &record,
            reason: &refusal.reason,
            code: Some(refusal.code),
            line: None,
            attempts: 0,
        })?;
        if self.count.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(stream, path = %self.lines.path().display(), code = refusal.code, "a file becomes a reject; others may follow");
        }
        Ok(())
    }

    /// Returns once everything that was added is on disk.
    ///
    /// # Errors
    /// Of kind `Internal` if it cannot be synced.
    pub(crate) fn sync(&self) -> Result<()> {
        self.lines.sync()
    }
}
