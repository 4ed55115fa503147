//! Bodies: records become the objects of a bulk write by copying spans of their bytes. No JSON tree
//! is built and nothing is allocated per field.

use singer_core::scan::{self, ValueKind};
use singer_core::value::{write_escaped, write_string};
use singer_net::Bytes;
use singer_runtime::target::{Batch, Record, Refusal, Verdict};

use crate::config::{Chosen, NullPolicy, OnDelete};
use crate::convert::{self, FieldType, Scalar, Unfit};
use crate::memory::{self, Key, UNKNOWN};
use crate::schema::Column;

#[cfg(test)]
mod tests;

/// Turns records of one stream into objects of a bulk write.
#[derive(Debug)]
pub struct Encoder {
    /// What stands before the id: `{"visitorId":"`.
    head: Vec<u8>,
    id: usize,
    columns: Vec<Target>,
    null_policy: NullPolicy,
    /// The property that says that a row was deleted, if that clears its fields.
    deleted: Option<usize>,
    keep_empty: bool,
    /// Whether ids and hashes are wanted for a memory.
    remembers: bool,
}

#[derive(Debug)]
struct Target {
    column: Column,
    /// `"plan_tier":`
    key: Vec<u8>,
    /// What an empty field is sent as.
    cleared: &'static [u8],
}

/// The records of a batch that can be sent, and those that cannot.
#[derive(Debug, Default)]
pub struct Encoded {
    /// A JSON array of the objects while it is written.
    bytes: Vec<u8>,
    /// The whole array: the body of a request with all of them, shared with those that send it.
    whole: Bytes,
    /// The packed ids.
    keys: Vec<u8>,
    /// The objects' places.
    pub rows: Vec<Row>,
    /// Records of which nothing is left to be sent.
    pub empty: u64,
    /// Records that cannot be sent.
    pub refusals: Vec<Refusal>,
    /// The ids of those, where they have one, with their versions.
    refused: Vec<(PackedKey, Option<i64>)>,
}

/// One record of a bulk write.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its place in the batch.
    pub index: usize,
    /// The full-table version that showed it.
    pub version: Option<i64>,
    /// The hash of its values, if a memory wants it.
    pub hash: u64,
    start: usize,
    end: usize,
    id_start: usize,
    id_end: usize,
    key: PackedKey,
}

#[derive(Debug, Clone, Copy, Default)]
struct PackedKey {
    tag: u8,
    start: usize,
    end: usize,
}

impl Encoder {
    /// An encoder for these columns. `deleted` is the property `_sdc_deleted_at`, if there is one.
    pub fn new(
        id_key: &str,
        id: usize,
        columns: Vec<Column>,
        deleted: Option<usize>,
        chosen: &Chosen,
    ) -> Self {
        let mut head = b"{".to_vec();
        write_string(&mut head, id_key);
        head.extend_from_slice(b":\"");
        let null_policy = chosen.null_policy;
        Self {
            head,
            id,
            columns: columns
                .into_iter()
                .map(|column| Target::new(column, null_policy))
                .collect(),
            null_policy,
            deleted: deleted.filter(|_| chosen.on_delete == OnDelete::Clear),
            keep_empty: chosen.create_missing,
            remembers: chosen.remembers(),
        }
    }

    /// The property with the id.
    pub fn id(&self) -> usize {
        self.id
    }

    /// The names of columns and fields, which may be shown in messages.
    pub fn names(&self) -> Vec<&str> {
        self.columns
            .iter()
            .flat_map(|target| [target.column.field.as_str(), target.column.name.as_str()])
            .collect()
    }

    /// Encodes the records of a batch.
    pub fn encode(&self, batch: &Batch) -> Encoded {
        let mut encoded = Encoded {
            bytes: Vec::with_capacity(batch.bytes() + batch.len() * 64),
            rows: Vec::with_capacity(batch.len()),
            ..Encoded::default()
        };
        encoded.bytes.push(b'[');
        for (index, record) in batch.records().enumerate() {
            self.encode_record(index, record, &mut encoded);
        }
        encoded.close()
    }

    /// Encodes objects that empty every mapped field of these ids (insides of JSON strings).
    pub fn encode_cleared<'a>(&self, ids: impl Iterator<Item = &'a [u8]>) -> Encoded {
        let mut encoded = Encoded::default();
        encoded.bytes.push(b'[');
        for (index, id) in ids.enumerate() {
            let start = encoded.bytes.len();
            encoded.bytes.extend_from_slice(&self.head);
            let id_start = encoded.bytes.len();
            encoded.bytes.extend_from_slice(id);
            let id_end = encoded.bytes.len();
            encoded.bytes.extend_from_slice(b"\",\"values\":{");
            for target in &self.columns {
                target.write_cleared(&mut encoded.bytes);
            }
            self.finish(index, None, (start, id_start, id_end), &mut encoded);
        }
        encoded.close()
    }

    fn encode_record(&self, index: usize, record: Record<'_>, encoded: &mut Encoded) {
        let start = encoded.bytes.len();
        let out = &mut encoded.bytes;
        out.extend_from_slice(&self.head);
        let id_start = out.len();
        let id = match record.field(self.id) {
            Some((kind, json)) => write_id(kind, json, out),
            None => Err(Unfit("missing")),
        };
        if let Err(unfit) = id {
            out.truncate(start);
            encoded
                .refusals
                .push(refusal(index, format!("the id is {}", unfit.0)));
            return;
        }
        let id_end = out.len();
        out.extend_from_slice(b"\",\"values\":{");
        let values_start = out.len();
        if let Err((target, unfit)) = self.write_values(record, out) {
            let column = &target.column;
            encoded.refusals.push(refusal(
                index,
                format!(
                    "column `{}` cannot go to the field `{}` ({}): it is {}",
                    column.name, column.field, column.word, unfit.0
                ),
            ));
            encoded.set_aside(start, (id_start, id_end), record.version());
            return;
        }
        if encoded.bytes.len() == values_start && !self.keep_empty {
            encoded.set_aside(start, (id_start, id_end), record.version());
            encoded.empty += 1;
            return;
        }
        self.finish(index, record.version(), (start, id_start, id_end), encoded);
    }

    /// Ends the object that began at `start`, whose last value may be followed by a comma.
    fn finish(
        &self,
        index: usize,
        version: Option<i64>,
        (start, id_start, id_end): (usize, usize, usize),
        encoded: &mut Encoded,
    ) {
        if encoded.bytes.last() == Some(&b',') {
            encoded.bytes.pop();
        }
        encoded.bytes.extend_from_slice(b"}}");
        let (hash, key) = if self.remembers {
            let hash = memory::hash(0, &encoded.bytes[id_end..]);
            (
                // The two hashes that mean something else are not given to values.
                hash.clamp(UNKNOWN + 1, u64::MAX - 1),
                pack(&encoded.bytes[id_start..id_end], &mut encoded.keys),
            )
        } else {
            (UNKNOWN, PackedKey::default())
        };
        encoded.rows.push(Row {
            index,
            version,
            hash,
            start,
            end: encoded.bytes.len(),
            id_start,
            id_end,
            key,
        });
        encoded.bytes.push(b',');
    }

    /// Appends the values of a record, each followed by a comma.
    fn write_values(&self, record: Record<'_>, out: &mut Vec<u8>) -> Result<(), (&Target, Unfit)> {
        let deleted = self
            .deleted
            .and_then(|property| record.field(property))
            .is_some_and(|(kind, _)| kind != ValueKind::Null);
        for target in &self.columns {
            if deleted {
                target.write_cleared(out);
                continue;
            }
            match record.field(target.column.property) {
                None => {}
                Some((ValueKind::Null, _)) if self.null_policy == NullPolicy::Omit => {}
                Some((ValueKind::Null, _)) => target.write_cleared(out),
                Some((kind, json)) => {
                    out.extend_from_slice(&target.key);
                    target
                        .column
                        .conversion
                        .write(kind, json, out)
                        .map_err(|unfit| (target, unfit))?;
                    out.push(b',');
                }
            }
        }
        Ok(())
    }
}

impl Target {
    fn new(column: Column, null_policy: NullPolicy) -> Self {
        let mut key = Vec::new();
        write_string(&mut key, &column.field);
        key.push(b':');
        Self {
            key,
            cleared: match (null_policy, column.conversion.to) {
                (NullPolicy::Empty, FieldType::One(Scalar::Text | Scalar::Any)) => b"\"\"",
                (NullPolicy::Empty, FieldType::List(_)) => b"[]",
                _ => b"null",
            },
            column,
        }
    }

    fn write_cleared(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key);
        out.extend_from_slice(self.cleared);
        out.push(b',');
    }
}

impl Encoded {
    /// Ends the array; nothing is appended any more.
    fn close(mut self) -> Self {
        if self.bytes.last() == Some(&b',') {
            self.bytes.pop();
        }
        self.bytes.push(b']');
        self.whole = Bytes::from(std::mem::take(&mut self.bytes));
        self
    }

    /// The body of a request with these rows (places in [`Encoded::rows`], each once). All of them
    /// cost no copy.
    pub fn body(&self, rows: &[usize]) -> Bytes {
        if rows.len() == self.rows.len() {
            return self.whole.clone();
        }
        let length: usize = rows
            .iter()
            .map(|row| self.rows[*row].end - self.rows[*row].start + 1)
            .sum();
        let mut body = Vec::with_capacity(length + 1);
        body.push(b'[');
        for (place, row) in rows.iter().enumerate() {
            if place > 0 {
                body.push(b',');
            }
            let row = &self.rows[*row];
            body.extend_from_slice(&self.whole[row.start..row.end]);
        }
        body.push(b']');
        Bytes::from(body)
    }

    /// The inside of the JSON string of a row's id.
    pub fn id(&self, row: usize) -> &[u8] {
        let row = &self.rows[row];
        &self.whole[row.id_start..row.id_end]
    }

    /// A row's id as the memory knows it.
    pub(crate) fn key(&self, row: &Row) -> Key<'_> {
        self.packed(row.key)
    }

    /// The ids of records that will not be sent whatever is remembered of them.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (Key<'_>, Option<i64>)> {
        self.refused
            .iter()
            .map(|(key, version)| (self.packed(*key), *version))
    }

    fn packed(&self, key: PackedKey) -> Key<'_> {
        Key {
            tag: key.tag,
            bytes: &self.keys[key.start..key.end],
        }
    }

    /// Takes back the object that began at `start`, and remembers its id.
    fn set_aside(&mut self, start: usize, id: (usize, usize), version: Option<i64>) {
        let key = pack(&self.bytes[id.0..id.1], &mut self.keys);
        self.refused.push((key, version));
        self.bytes.truncate(start);
    }
}

fn pack(id: &[u8], keys: &mut Vec<u8>) -> PackedKey {
    let start = keys.len();
    let tag = memory::pack(id, keys);
    PackedKey {
        tag,
        start,
        end: keys.len(),
    }
}

fn refusal(index: usize, reason: String) -> Refusal {
    Refusal {
        index,
        verdict: Verdict::Rejected,
        code: Some("value".to_owned()),
        reason,
    }
}

/// Appends the inside of the JSON string of an id. Pendo's ids are texts; whole numbers become such.
fn write_id(kind: ValueKind, json: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    match kind {
        ValueKind::String => {
            let inside = json
                .get(1..json.len().saturating_sub(1))
                .unwrap_or_default();
            if inside.is_empty() {
                return Err(Unfit("empty"));
            }
            if inside.contains(&b'\\') {
                // One id has one spelling, whatever the tap escaped.
                write_escaped(out, &scan::unescape_lossy(inside));
            } else {
                out.extend_from_slice(inside);
            }
            Ok(())
        }
        ValueKind::Integer => {
            out.extend_from_slice(json);
            Ok(())
        }
        ValueKind::Number => convert::write_whole(json, out),
        ValueKind::Null => Err(Unfit("null")),
        ValueKind::Boolean | ValueKind::Array | ValueKind::Object | ValueKind::NotFinite => {
            Err(Unfit("neither text nor a whole number"))
        }
    }
}
