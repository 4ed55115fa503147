//! From a downloaded archive to encoded records, on a thread of their own.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use serde_json::{Map, Value};
use singer_core::{Kind, Result};
use singer_runtime::tap::{Blocks, Output};
use zoho::archive::{self, Bounds};
use zoho::table::Rows;

use crate::record::Encoder;

/// An archive holds one file, and its name is of no use. Real files shrink to a tenth or so; one that grows
/// five hundredfold is made to fill a memory or a disk.
const BOUNDS: Bounds = Bounds {
    max_entries: 1,
    max_bytes: 64 << 30,
    max_ratio: 500,
};

/// No row is longer: two hundred fields of rich text are a few megabytes at most.
const MAX_ROW_BYTES: usize = 32 << 20;

/// The table in an archive.
pub(crate) fn open(file: File) -> Result<Rows<Box<dyn Read + Send>>> {
    Rows::new(archive::open(file, ".csv", BOUNDS)?, MAX_ROW_BYTES)
}

/// Emits the rows of an archive, which holds the `wanted` fields, with a checkpoint at `bookmark` whenever one
/// is due. Returns how many they were. `place` is what errors of the file call it.
///
/// # Errors
/// What is wrong with the archive, the file or a row; that of the output.
pub(crate) async fn emit(
    file: File,
    encoder: Arc<Encoder>,
    wanted: Vec<String>,
    place: String,
    out: &mut Output,
    bookmark: impl Fn() -> Map<String, Value> + Send,
) -> Result<u64> {
    // A reader of stdout that is gone is no fault of the file, so the place is told in here.
    let work = move |blocks: &mut Blocks| {
        decode(file, &encoder, &wanted, blocks).map_err(|error| match error.kind() {
            Kind::Interrupted => error,
            _ => error.at(place),
        })
    };
    out.from_thread(work, bookmark).await
}

fn decode(file: File, encoder: &Encoder, wanted: &[String], blocks: &mut Blocks) -> Result<u64> {
    let mut rows = open(file)?;
    let positions = encoder.positions(rows.header(), wanted)?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        blocks
            .record(|bytes| {
                encoder.begin(bytes, encoder.id(row, &positions)?);
                encoder.write_fields(bytes, row, &positions)?;
                encoder.end(bytes);
                Ok(())
            })
            .map_err(|error| error.at(format!("row {count}")))?;
        if blocks.is_full() {
            blocks.hand_over()?;
        }
    }
    Ok(count)
}
