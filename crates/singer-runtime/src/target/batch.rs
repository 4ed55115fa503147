//! A batch: records of one stream with the spans of their fields, ready to be encoded without
//! parsing them again.

use std::sync::Arc;

use singer_core::Result;
use singer_core::scan::{Field, Fields, ValueKind};

use super::Stream;

pub(crate) use builder::{Buffers, Builder, Origin, Unhashed};

mod builder;
pub(crate) mod json;
pub(crate) mod key;

/// Records of one stream that go to the destination together.
#[derive(Debug)]
pub struct Batch {
    stream: Arc<Stream>,
    /// The number of its first record in the input.
    number: u64,
    /// The number behind its last record in the input.
    end: u64,
    /// The records' JSON objects, one behind the other; those that a later record of the same key
    /// was merged into stand here as well.
    data: Vec<u8>,
    /// `width` spans a record, relative to `data`.
    fields: Vec<Field>,
    width: usize,
    records: Vec<Row>,
    /// Earlier records of a row's key, in the order in which they came.
    superseded: Vec<Superseded>,
}

/// One record of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    batch: &'a Batch,
    index: usize,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    start: u32,
    end: u32,
    line: u64,
    version: Option<i64>,
    attempts: u32,
    has_extra: bool,
    is_merged: bool,
}

#[derive(Debug, Clone, Copy)]
struct Superseded {
    row: u32,
    start: u32,
    end: u32,
}

impl Batch {
    /// A batch of these records (JSON objects), as the runtime would build it for a writer whose key
    /// is `key`. For the tests of writers.
    ///
    /// # Errors
    /// If a record is not a JSON object.
    pub fn from_records(stream: Arc<Stream>, key: &[usize], records: &[&str]) -> Result<Self> {
        let mut builder = Builder::new(
            Arc::clone(&stream),
            0,
            key::KeyHasher::new(""),
            key.to_vec(),
            Buffers::default(),
        );
        let mut fields = Fields::default();
        for (line, record) in (1..).zip(records) {
            let end = fields
                .scan(record.as_bytes(), 0, stream.schema.layout())
                .map_err(|error| {
                    singer_core::Error::protocol("the record is not a JSON object")
                        .with_source(error)
                })?;
            builder.push(
                record.get(..end).unwrap_or_default().as_bytes(),
                &fields,
                Origin {
                    number: line - 1,
                    line,
                    version: None,
                    attempts: 0,
                },
            );
        }
        Ok(builder.seal().batch)
    }

    /// The stream.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// The number of its first record in the input: grows from batch to batch.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The number behind its last record in the input, merged ones and those that were refused in between
    /// counted: a STATE at this position or a later one covers all of it.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of all records as JSON.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The records in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.records.len()).map(|index| Record { batch: self, index })
    }

    /// One record.
    pub fn record(&self, index: usize) -> Record<'_> {
        assert!(
            index < self.records.len(),
            "a record's index comes from this batch"
        );
        Record { batch: self, index }
    }
}

impl<'a> Record<'a> {
    /// The value of a property as JSON text with its kind; `None` if the record lacks it.
    #[inline]
    pub fn field(&self, property: usize) -> Option<(ValueKind, &'a [u8])> {
        let field = self.batch.fields[self.index * self.batch.width + property];
        field.is_present().then(|| {
            (
                field.kind,
                &self.batch.data[field.start as usize..field.end as usize],
            )
        })
    }

    /// The line of the input that the record stood on; of several with one key, the last.
    pub fn line(&self) -> u64 {
        self.row().line
    }

    /// The version of the full table that the record belongs to.
    pub fn version(&self) -> Option<i64> {
        self.row().version
    }

    /// How often the record was tried in earlier runs: not zero when a rejects file is replayed.
    pub fn attempts(&self) -> u32 {
        self.row().attempts
    }

    /// Whether the record has properties that its schema does not list.
    pub fn has_extra(&self) -> bool {
        self.row().has_extra
    }

    /// Appends the whole record as a JSON object, with the properties that the schema does not list
    /// and without the `_sdc_*` columns that the runtime adds. Numbers that are not finite become
    /// strings, so that it is JSON whatever the tap wrote.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let row = self.row();
        if row.is_merged {
            json::write_merged(out, self.texts());
        } else {
            json::write_finite(out, self.text(row.start, row.end));
        }
    }

    /// The record as it came, byte for byte; of several with one key all, in the order of the input.
    pub fn texts(&self) -> impl Iterator<Item = &'a [u8]> {
        let row = self.row();
        let superseded: &[Superseded] = if row.is_merged {
            &self.batch.superseded
        } else {
            &[]
        };
        let (record, index) = (*self, self.index);
        superseded
            .iter()
            .filter(move |superseded| superseded.row as usize == index)
            .map(move |superseded| record.text(superseded.start, superseded.end))
            .chain([record.text(row.start, row.end)])
    }

    /// Appends the key as a JSON object of the stream's key properties, or `null` if it has none.
    pub fn write_key(&self, out: &mut Vec<u8>) {
        json::write_key(out, &self.batch.stream.schema, |property| {
            self.field(property).map(|(_, text)| text)
        });
    }

    fn row(&self) -> Row {
        self.batch.records[self.index]
    }

    fn text(&self, start: u32, end: u32) -> &'a [u8] {
        &self.batch.data[start as usize..end as usize]
    }
}

#[cfg(test)]
mod tests;
