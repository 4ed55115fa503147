//! From the records of a part to lines of JSON: what every row gets besides its own columns, and what
//! is learned of a batch on the way.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use ring::digest::{Context as Digest, SHA256};
use singer_core::scan::ValueKind;
use singer_core::{Error, Result};
use singer_runtime::target::{Batch, Record};

use super::Part;
use crate::config::{Compression, OnDelete};
use crate::encode::{Bounds, Extra, Options, RowError, ndjson};
use crate::hex;
use crate::names::same_column;
use crate::schema::Column;
use crate::shape::Shape;
use crate::sql;

/// How much text is collected before it is compressed.
const BLOCK: usize = 64 << 10;

/// What the rows of one batch have in common.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    /// Microseconds since 1970 when the batch was begun.
    pub(crate) at: i64,
    /// What row ids begin with.
    pub(crate) prefix: String,
}

impl Stamp {
    /// Writes the id of a row by its place in the batch. Ids grow in the order of the input, also as
    /// texts: of two versions of a row the later one has the greater id.
    pub(crate) fn write_id(&self, id: &mut String, place: u32) {
        use std::fmt::Write as _;
        id.clear();
        id.push_str(&self.prefix);
        write!(id, "{place:07}").expect("a string takes every write");
    }
}

/// Which values a row gets besides its columns.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    names: Vec<&'static str>,
    deleted: Option<usize>,
    hard: bool,
}

impl Line {
    /// For the rows of a stream.
    pub(crate) fn new(shape: &Shape) -> Self {
        Self {
            names: shape.spec.extras.iter().map(|(name, _)| *name).collect(),
            deleted: shape.deleted,
            hard: shape.on_delete == Some(OnDelete::Hard),
        }
    }

    /// The values, in the order of the table's extra columns. `id` is where the row's id is put.
    pub(crate) fn values<'a>(
        &self,
        record: &Record<'_>,
        stamp: &Stamp,
        id: &'a str,
    ) -> Vec<(&'static str, Extra<'a>)> {
        self.names
            .iter()
            .map(|name| {
                let value = match *name {
                    sql::TABLE_VERSION => record.version().map_or(Extra::Null, Extra::Integer),
                    sql::BATCHED_AT => Extra::Timestamp(stamp.at),
                    sql::ROW_ID => Extra::Text(id),
                    _ => Extra::Null,
                };
                (*name, value)
            })
            .collect()
    }

    /// Whether a row says that it was deleted at the source, and that is to be done here.
    pub(crate) fn is_deleted(&self, record: &Record<'_>) -> bool {
        self.hard
            && self.deleted.is_some_and(|index| {
                record
                    .field(index)
                    .is_some_and(|(kind, _)| kind != ValueKind::Null)
            })
    }

    /// Whether rows need ids.
    pub(crate) fn has_ids(&self) -> bool {
        self.names.contains(&sql::ROW_ID)
    }
}

/// A file of rows.
#[derive(Debug)]
pub(super) struct File {
    /// The lines, compressed or not.
    pub(super) data: Bytes,
    /// Where each line begins in the text.
    pub(super) starts: Vec<u64>,
    /// The rows by their place in the batch, in the order of the lines.
    pub(super) rows: Vec<u32>,
    /// Bytes of the text.
    pub(super) text_bytes: u64,
    /// Columns that at least one row has.
    pub(super) present: Vec<bool>,
    /// Columns that at least one row lacks.
    pub(super) lacking: Vec<bool>,
    /// Columns with the least and greatest literal of the rows.
    pub(super) bounds: Vec<(String, String, String)>,
    /// The hash of the rows as they came.
    pub(super) hash: String,
    /// Rows that are none, and why.
    pub(super) refused: Vec<(u32, RowError)>,
    /// Whether objects had properties that the schema does not list.
    pub(super) has_unknown_inside: bool,
}

/// What rows are encoded by.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    pub(super) columns: Arc<Vec<Column>>,
    pub(super) line: Line,
    pub(super) stamp: Stamp,
    pub(super) options: Options,
    pub(super) compression: Compression,
    /// Columns whose bounds are wanted.
    pub(super) bounded: Vec<String>,
    /// The properties that must not be null.
    pub(super) keys: Vec<usize>,
    /// Whether rows get their place and what they lack, as a staging table needs it for a MERGE.
    pub(super) merges: bool,
}

enum Sink {
    Plain(Vec<u8>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl Sink {
    fn new(compression: Compression, expected: usize) -> Self {
        match compression {
            Compression::None => Self::Plain(Vec::with_capacity(expected)),
            Compression::Gzip => Self::Gzip(Box::new(GzEncoder::new(Vec::new(), Level::fast()))),
        }
    }

    fn take(&mut self, block: &mut Vec<u8>) -> std::io::Result<()> {
        match self {
            Self::Plain(data) => data.append(block),
            Self::Gzip(encoder) => {
                encoder.write_all(block)?;
                block.clear();
            }
        }
        Ok(())
    }

    fn finish(self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Plain(data) => Ok(data),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}

/// Encodes the rows of a part.
pub(super) fn file(batch: &Batch, part: &Part, recipe: &Recipe) -> Result<File> {
    let broken = |error| Error::internal("cannot compress rows").with_source(error);
    let columns = &recipe.columns;
    let bounded = columns.iter().filter(|column| {
        let name = &column.field.name;
        recipe
            .bounded
            .iter()
            .any(|bounded| same_column(bounded, name))
    });
    let mut bounds = Bounds::new(bounded, &recipe.options);
    let mut sink = Sink::new(
        recipe.compression,
        batch.bytes() / batch.len().max(1) * part.rows.len() / 4 * 5,
    );
    let mut digest = Digest::new(&SHA256);
    digest.update(part.place.to_string().as_bytes());
    digest.update(&part.version.unwrap_or_default().to_le_bytes());
    let mut file = File {
        data: Bytes::new(),
        starts: Vec::with_capacity(part.rows.len()),
        rows: Vec::with_capacity(part.rows.len()),
        text_bytes: 0,
        present: vec![false; columns.len()],
        lacking: vec![false; columns.len()],
        bounds: Vec::new(),
        hash: String::new(),
        refused: Vec::new(),
        has_unknown_inside: false,
    };
    let mut block = Vec::with_capacity(BLOCK + BLOCK / 4);
    let (mut id, mut lacks) = (String::new(), String::new());
    let mut has_whole = false;
    for row in &part.rows {
        let record = batch.record(*row as usize);
        // Rows with a key find themselves, and are not asked for by what they hold.
        if !recipe.merges {
            for text in record.texts() {
                digest.update(text);
            }
        }
        if let Some(error) = null_key(&record, &recipe.keys, batch) {
            file.refused.push((*row, error));
            continue;
        }
        if recipe.line.has_ids() {
            recipe.stamp.write_id(&mut id, *row);
        }
        let mut extras = recipe.line.values(&record, &recipe.stamp, &id);
        let start = block.len();
        if recipe.merges {
            extras.push((sql::ROW, Extra::Integer(i64::from(*row))));
        }
        let presence = match ndjson(&record, columns, &extras, &recipe.options, &mut block) {
            Ok(presence) => presence,
            Err(error) => {
                file.refused.push((*row, error));
                continue;
            }
        };
        file.has_unknown_inside |= presence.has_unknown_inside();
        if presence.is_whole() {
            // The usual case: noted once.
            if !has_whole {
                file.present.fill(true);
                has_whole = true;
            }
        } else {
            file.note_missing(presence.missing());
            if recipe.merges {
                lacks.clear();
                lacks.push(',');
                for place in presence.missing() {
                    push_number(&mut lacks, place as u64);
                    lacks.push(',');
                }
                append_text(&mut block, sql::MISSING, &lacks);
            }
        }
        bounds.add(&record);
        file.starts.push(file.text_bytes);
        file.text_bytes += (block.len() - start) as u64;
        file.rows.push(*row);
        if block.len() >= BLOCK {
            sink.take(&mut block).map_err(broken)?;
        }
    }
    sink.take(&mut block).map_err(broken)?;
    file.data = Bytes::from(sink.finish().map_err(broken)?);
    file.bounds = bounds
        .literals()
        .map(|(column, least, most)| (column.field.name.clone(), least, most))
        .collect();
    file.hash = hex(digest.finish().as_ref().get(..16).unwrap_or_default());
    Ok(file)
}

impl File {
    /// Notes the columns that a row lacks, which come in their order, and those that it has.
    fn note_missing(&mut self, mut missing: impl Iterator<Item = usize>) {
        let mut next = missing.next();
        for place in 0..self.present.len() {
            if next == Some(place) {
                self.lacking[place] = true;
                next = missing.next();
            } else {
                self.present[place] = true;
            }
        }
    }

    /// The row whose line begins with a byte of the text. One in the middle of a line names no row: it
    /// may be counted from somewhere else.
    pub(super) fn row_at(&self, offset: u64) -> Option<u32> {
        let line = self.starts.binary_search(&offset).ok()?;
        self.rows.get(line).copied()
    }
}

/// A key that is null finds no row.
pub(super) fn null_key(record: &Record<'_>, keys: &[usize], batch: &Batch) -> Option<RowError> {
    keys.iter().find_map(|key| {
        let is_null = record
            .field(*key)
            .is_none_or(|(kind, _)| kind == ValueKind::Null);
        is_null.then(|| RowError {
            field: batch.stream().schema.layout().name(*key).to_owned(),
            reason: "a part of the key is null".to_owned(),
            code: "key",
        })
    })
}

/// Adds a text to the object that a line ends with.
fn append_text(block: &mut Vec<u8>, name: &str, text: &str) {
    debug_assert!(block.ends_with(b"}\n"), "a line ends with an object");
    block.truncate(block.len() - 2);
    block.extend_from_slice(b",\"");
    block.extend_from_slice(name.as_bytes());
    block.extend_from_slice(b"\":\"");
    block.extend_from_slice(text.as_bytes());
    block.extend_from_slice(b"\"}\n");
}

fn push_number(text: &mut String, number: u64) {
    use std::fmt::Write as _;
    write!(text, "{number}").expect("a string takes every write");
}
