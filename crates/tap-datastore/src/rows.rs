//! From a downloaded archive to encoded records: unzipping, parsing and encoding run on a thread of their
//! own, and hand over blocks of records through a bounded channel.

use std::fs::File;

use serde_json::{Map, Value};
use singer_core::Result;
use singer_runtime::tap::{Blocks, Output};
use zoho::archive::{self, Bounds};
use zoho::table::Rows;

use crate::record::Encoder;

/// An archive holds one file, perhaps with a folder or a note beside it. Real files shrink to a tenth or so; one that
/// grows five hundredfold is made to fill a memory or a disk.
const BOUNDS: Bounds = Bounds {
    max_entries: 16,
    max_bytes: 64 << 30,
    max_ratio: 500,
};

/// No row is longer: a hundred columns of text are a few megabytes at most.
const MAX_ROW_BYTES: usize = 16 << 20;

/// What a file held.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Rows in it.
    pub(crate) rows: u64,
    /// When its newest row was changed.
    pub(crate) newest: Option<i64>,
}

/// Emits the rows of an archive that were changed at `from` or later (all if there is no such bound), with
/// a checkpoint at `bookmark` whenever one is due.
///
/// # Errors
/// What is wrong with the archive, the file or a row; that of the output.
pub(crate) async fn emit(
    file: File,
    encoder: Encoder,
    from: Option<i64>,
    out: &mut Output,
    bookmark: impl Fn() -> Map<String, Value> + Send,
) -> Result<Tally> {
    out.from_thread(move |blocks| decode(file, encoder, from, blocks), bookmark)
        .await
}

/// Reads a file to its end. The ids of a block are noted before it leaves.
fn decode(
    file: File,
    mut encoder: Encoder,
    from: Option<i64>,
    blocks: &mut Blocks,
) -> Result<Tally> {
    let reader = archive::open(file, ".csv", BOUNDS)?;
    let mut rows = Rows::new(reader, MAX_ROW_BYTES)?;
    let positions = encoder.positions(rows.header())?;
    let mut tally = Tally::default();
    while let Some(row) = rows.next()? {
        tally.rows += 1;
        let modified = encoder.modified(row, &positions);
        tally.newest = tally.newest.max(modified);
        if let (Some(modified), Some(from)) = (modified, from)
            && modified < from
        {
            continue;
        }
        blocks
            .record(|bytes| encoder.write(bytes, row, &positions))
            .map_err(|error| error.at(format!("row {}", tally.rows)))?;
        if blocks.is_full() {
            encoder.note()?;
            blocks.hand_over()?;
        }
    }
    encoder.note()?;
    Ok(tally)
}
