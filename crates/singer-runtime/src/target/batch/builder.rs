//! Filling a batch: each record is copied once, and a later record of the same key is merged into
//! the row of the earlier one.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use singer_core::scan::{Field, Fields, ValueKind};

use super::key::{KeyHasher, same_key};
use super::{Batch, Row, Superseded};
use crate::target::Stream;

/// Where a record came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// Its number in the input.
    pub(crate) number: u64,
    pub(crate) line: u64,
    pub(crate) version: Option<i64>,
    pub(crate) attempts: u32,
}

/// The memory of a batch that was sent, to be filled again.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    data: Vec<u8>,
    fields: Vec<Field>,
    records: Vec<Row>,
    superseded: Vec<Superseded>,
    hashes: Vec<u64>,
}

/// A batch that is full, and the hashes of the keys in it.
#[derive(Debug)]
pub(crate) struct Filled {
    pub(crate) batch: Batch,
    pub(crate) hashes: Vec<u64>,
}

/// A batch that is being filled.
#[derive(Debug)]
pub(crate) struct Builder {
    batch: Batch,
    hasher: KeyHasher,
    key: Vec<usize>,
    hashes: Vec<u64>,
    /// The row of each key, by the key's hash; a hash that another key has already is counted up.
    rows: HashMap<u64, u32, BuildHasherDefault<Unhashed>>,
}

impl Builder {
    /// An empty batch of a stream whose rows `key` tells apart.
    pub(crate) fn new(
        stream: Arc<Stream>,
        number: u64,
        hasher: KeyHasher,
        key: Vec<usize>,
        buffers: Buffers,
    ) -> Self {
        Self {
            batch: Batch {
                width: stream.schema.layout().len(),
                stream,
                number,
                end: number,
                data: buffers.data,
                fields: buffers.fields,
                records: buffers.records,
                superseded: buffers.superseded,
            },
            hasher,
            key,
            hashes: buffers.hashes,
            rows: HashMap::default(),
        }
    }

    /// Rows so far.
    pub(crate) fn len(&self) -> usize {
        self.batch.len()
    }

    /// Bytes of records so far.
    pub(crate) fn bytes(&self) -> usize {
        self.batch.bytes()
    }

    /// Memory that it holds, filled or not.
    pub(crate) fn memory(&self) -> usize {
        self.batch.data.capacity()
            + self.batch.fields.capacity() * size_of::<Field>()
            + self.batch.records.capacity() * size_of::<Row>()
            + (self.hashes.capacity() + 2 * self.rows.capacity()) * size_of::<u64>()
    }

    /// Adds a record, whose spans `fields` holds, and returns its row: a new one, or that of an
    /// earlier record with the same key.
    pub(crate) fn push(&mut self, record: &[u8], fields: &Fields, origin: Origin) -> usize {
        self.batch.end = origin.number + 1;
        let hash = self.hasher.hash(record, fields.as_slice(), &self.key);
        let start = self.batch.data.len() as u32;
        let row = Row {
            start,
            end: start + record.len() as u32,
            line: origin.line,
            version: origin.version,
            attempts: origin.attempts,
            has_extra: fields.extra().is_some(),
            is_merged: false,
        };
        let earlier = hash.and_then(|hash| self.row_of(hash, record, fields));
        self.batch.data.extend_from_slice(record);
        let moved = fields.as_slice().iter().map(|field| {
            if field.is_present() {
                Field {
                    start: field.start + start,
                    end: field.end + start,
                    kind: field.kind,
                }
            } else {
                *field
            }
        });
        match earlier {
            None => {
                self.batch.fields.extend(moved);
                self.batch.records.push(row);
                self.hashes.extend(hash);
                self.batch.records.len() - 1
            }
            Some(index) => {
                let first = index as usize * self.batch.width;
                let kept = &mut self.batch.fields[first..first + self.batch.width];
                for (kept, field) in kept.iter_mut().zip(moved) {
                    if field.is_present() {
                        *kept = field;
                    }
                }
                let earlier = &mut self.batch.records[index as usize];
                self.batch.superseded.push(Superseded {
                    row: index,
                    start: earlier.start,
                    end: earlier.end,
                });
                *earlier = Row {
                    has_extra: row.has_extra || earlier.has_extra,
                    attempts: row.attempts.max(earlier.attempts),
                    is_merged: true,
                    ..row
                };
                index as usize
            }
        }
    }

    /// Sets a property of a row to a value of the runtime's own.
    pub(crate) fn set(&mut self, row: usize, property: usize, kind: ValueKind, text: &[u8]) {
        let start = self.batch.data.len() as u32;
        self.batch.data.extend_from_slice(text);
        self.batch.fields[row * self.batch.width + property] = Field {
            start,
            end: start + text.len() as u32,
            kind,
        };
    }

    /// The row that a record with this hash belongs to, if its key came before; else the next row is
    /// noted as its own.
    fn row_of(&mut self, hash: u64, record: &[u8], fields: &Fields) -> Option<u32> {
        let next = self.batch.records.len() as u32;
        let mut slot = hash;
        loop {
            let known = *self.rows.entry(slot).or_insert(next);
            if known == next {
                return None;
            }
            let first = known as usize * self.batch.width;
            let known_fields = &self.batch.fields[first..first + self.batch.width];
            if same_key(
                (&self.batch.data, known_fields),
                (record, fields.as_slice()),
                &self.key,
            ) {
                return Some(known);
            }
            slot = slot.wrapping_add(1);
        }
    }

    /// Ends the batch.
    pub(crate) fn seal(self) -> Filled {
        Filled {
            batch: self.batch,
            hashes: self.hashes,
        }
    }
}

impl Buffers {
    /// Takes the memory of a batch that nobody needs any more.
    pub(crate) fn of(batch: Batch, hashes: Vec<u64>) -> Self {
        let mut buffers = Self {
            data: batch.data,
            fields: batch.fields,
            records: batch.records,
            superseded: batch.superseded,
            hashes,
        };
        buffers.data.clear();
        buffers.fields.clear();
        buffers.records.clear();
        buffers.superseded.clear();
        buffers.hashes.clear();
        buffers
    }

    /// Bytes that it holds.
    pub(crate) fn capacity(&self) -> usize {
        self.data.capacity() + self.fields.capacity() * size_of::<Field>()
    }
}

/// Keys that are hashes already.
#[derive(Debug, Default)]
pub(crate) struct Unhashed(u64);

impl Hasher for Unhashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
