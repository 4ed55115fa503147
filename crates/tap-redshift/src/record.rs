//! Rows to records: decodes the fields of a row one after the other into the record's buffer, and
//! keeps the values of the key, so that reading can go on after this row.

use serde_json::Value;
use singer_core::value::write_string;
use singer_core::{Error, Result};

use crate::key::KeyValue;
use crate::table::Column;
use crate::types::{Formats, KeyKind, Tally, Type, binary, text};

/// Writes the records of one stream.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    fields: Vec<Field>,
    formats: Formats,
    /// The key's values of the last row that had all of them, as JSON text.
    key: Vec<Vec<u8>>,
    /// The same of the row that is being written.
    next_key: Vec<Vec<u8>>,
    key_kinds: Vec<KeyKind>,
    has_key: bool,
    spans: Vec<Option<(usize, usize)>>,
    /// Values of columns that are read and not part of the record.
    hidden: Vec<u8>,
    tally: Tally,
}

/// A column of the result.
#[derive(Debug)]
struct Field {
    name: String,
    /// `,"name":`, or nothing if the column is not part of the record.
    opening: Vec<u8>,
    kind: Type,
    /// Its place in the key.
    key_slot: Option<usize>,
}

impl RecordWriter {
    /// A writer for rows of these columns, of which the first `visible` become fields.
    pub(crate) fn new(
        columns: &[&Column],
        visible: usize,
        key: &[(&str, KeyKind)],
        formats: Formats,
    ) -> Self {
        let fields = columns.iter().enumerate().map(|(index, column)| Field {
            name: column.name.clone(),
            opening: if index < visible {
                opening(index, &column.name)
            } else {
                Vec::new()
            },
            kind: column.kind.clone(),
            key_slot: key.iter().position(|(name, _)| *name == column.name),
        });
        Self {
            fields: fields.collect(),
            formats,
            key: vec![Vec::new(); key.len()],
            next_key: vec![Vec::new(); key.len()],
            key_kinds: key.iter().map(|(_, kind)| *kind).collect(),
            has_key: false,
            spans: Vec::with_capacity(columns.len()),
            hidden: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// What was noticed so far.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The key's values of the last row that had all of them.
    pub(crate) fn last_key(&self) -> Option<Vec<KeyValue>> {
        if !self.has_key {
            return None;
        }
        let values = self.key.iter().zip(&self.key_kinds);
        values
            .map(|(json, kind)| {
                // Numbers are taken as they stand: a JSON reader would round them.
                let value = match json.first() {
                    Some(b'"') => serde_json::from_slice(json).ok()?,
                    _ => Value::from(std::str::from_utf8(json).ok()?),
                };
                KeyValue::read(*kind, &value)
            })
            .collect()
    }

    /// Splits a row of the binary COPY format into fields; returns how long it is, or `None` if it
    /// is not there as a whole.
    pub(crate) fn split_binary(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        self.spans.clear();
        let Some((count, _)) = bytes.split_first_chunk::<2>() else {
            return Ok(None);
        };
        if usize::from(u16::from_be_bytes(*count)) != self.fields.len() {
            return Err(Error::protocol(format!(
                "a row has {} columns instead of {}",
                u16::from_be_bytes(*count),
                self.fields.len()
            )));
        }
        let mut at = 2;
        for _ in 0..self.fields.len() {
            let Some(length) = bytes.get(at..at + 4).and_then(|four| four.try_into().ok()) else {
                return Ok(None);
            };
            at += 4;
            let length = i32::from_be_bytes(length);
            if length == -1 {
                self.spans.push(None);
                continue;
            }
            let length = usize::try_from(length)
                .map_err(|_| Error::protocol("a row has a column of negative length"))?;
            if bytes.len() - at < length {
                return Ok(None);
            }
            self.spans.push(Some((at, at + length)));
            at += length;
        }
        Ok(Some(at))
    }

    /// Appends the record of the row that [`Self::split_binary`] split.
    pub(crate) fn write_binary(&mut self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
        let mut row = RowOutput::begin(out, &mut self.hidden, &mut self.next_key);
        for (field, span) in self.fields.iter().zip(&self.spans) {
            let raw = span.and_then(|(start, end)| bytes.get(start..end));
            let (formats, tally) = (&self.formats, &mut self.tally);
            row.field(field, |out| match raw {
                Some(raw) => binary::write(out, raw, &field.kind, formats, tally),
                None => {
                    out.extend_from_slice(b"null");
                    Ok(())
                }
            })?;
        }
        let complete = row.end();
        self.keep_key(complete);
        Ok(())
    }

    /// Appends the record of a row of texts; `value` gives the value of a column.
    pub(crate) fn write_text<'a>(
        &mut self,
        out: &mut Vec<u8>,
        mut value: impl FnMut(usize) -> Result<Option<&'a str>>,
    ) -> Result<()> {
        let mut row = RowOutput::begin(out, &mut self.hidden, &mut self.next_key);
        for (index, field) in self.fields.iter().enumerate() {
            let text = value(index)?;
            let (formats, tally) = (&self.formats, &mut self.tally);
            row.field(field, |out| match text {
                Some(text) => text::write(out, text, &field.kind, formats, tally),
                None => {
                    out.extend_from_slice(b"null");
                    Ok(())
                }
            })?;
        }
        let complete = row.end();
        self.keep_key(complete);
        Ok(())
    }

    fn keep_key(&mut self, complete: bool) {
        if complete && !self.key.is_empty() {
            std::mem::swap(&mut self.key, &mut self.next_key);
            self.has_key = true;
        }
    }
}

/// `{"name":` of the first field, `,"name":` of the others.
fn opening(index: usize, name: &str) -> Vec<u8> {
    let mut opening = vec![if index == 0 { b'{' } else { b',' }];
    write_string(&mut opening, name);
    opening.push(b':');
    opening
}

/// The record that is being written.
struct RowOutput<'a> {
    out: &'a mut Vec<u8>,
    hidden: &'a mut Vec<u8>,
    key: &'a mut [Vec<u8>],
    is_empty: bool,
    key_is_complete: bool,
}

impl<'a> RowOutput<'a> {
    fn begin(out: &'a mut Vec<u8>, hidden: &'a mut Vec<u8>, key: &'a mut [Vec<u8>]) -> Self {
        Self {
            out,
            hidden,
            key,
            is_empty: true,
            key_is_complete: true,
        }
    }

    fn field(
        &mut self,
        field: &Field,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), binary::Malformed>,
    ) -> Result<()> {
        let target = if field.opening.is_empty() {
            self.hidden.clear();
            &mut *self.hidden
        } else {
            self.is_empty = false;
            self.out.extend_from_slice(&field.opening);
            &mut *self.out
        };
        let start = target.len();
        write(target).map_err(|_| {
            Error::protocol(format!(
                "column `{}` holds a value that is none of its type",
                field.name
            ))
        })?;
        if let Some(slot) = field.key_slot.and_then(|slot| self.key.get_mut(slot)) {
            let value = target.get(start..).unwrap_or_default();
            self.key_is_complete &= value != b"null";
            slot.clear();
            slot.extend_from_slice(value);
        }
        Ok(())
    }

    /// Ends the record; tells whether the row had its whole key.
    fn end(self) -> bool {
        self.out
            .extend_from_slice(if self.is_empty { b"{}" } else { b"}" });
        self.key_is_complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: Type) -> Column {
        Column {
            name: name.to_owned(),
            words: String::new(),
            kind,
            nullable: true,
            readable: true,
            sort_key: None,
            distribution_key: false,
        }
    }

    fn binary_row(fields: &[Option<&[u8]>]) -> Vec<u8> {
        let mut row = (fields.len() as u16).to_be_bytes().to_vec();
        for field in fields {
            match field {
                None => row.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(bytes) => {
                    row.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
                    row.extend_from_slice(bytes);
                }
            }
        }
        row
    }

    #[test]
    fn a_row_becomes_a_record_and_its_key_is_kept() {
        let columns = [
            column("n\"1", Type::Int4),
            column("at", Type::Text { length: None }),
        ];
        let columns: Vec<&Column> = columns.iter().collect();
        let mut writer =
            RecordWriter::new(&columns, 1, &[("at", KeyKind::Text)], Formats::default());
        assert!(writer.last_key().is_none());
        for (number, at) in [(1_i32, Some(&b"a"[..])), (2, None)] {
            let row = binary_row(&[Some(&number.to_be_bytes()), at]);
            assert_eq!(writer.split_binary(&row).unwrap(), Some(row.len()));
            let mut out = Vec::new();
            writer.write_binary(&mut out, &row).unwrap();
            assert_eq!(
                String::from_utf8(out).unwrap(),
                format!("{{\"n\\\"1\":{number}}}")
            );
        }
        // The row without a key does not move it.
        let key = writer.last_key().unwrap();
        assert_eq!(key[0].to_json(), serde_json::json!("a"));
    }

    #[test]
    fn a_cut_row_is_waited_for_and_a_false_one_refused() {
        let columns = [column("a", Type::Int4)];
        let columns: Vec<&Column> = columns.iter().collect();
        let mut writer = RecordWriter::new(&columns, 1, &[], Formats::default());
        let row = binary_row(&[Some(b"1234")]);
        for end in 0..row.len() {
            assert_eq!(writer.split_binary(&row[..end]).unwrap(), None);
        }
        assert!(writer.split_binary(&binary_row(&[None, None])).is_err());
        assert!(writer.split_binary(&[0, 1, 0xff, 0, 0, 0]).is_err());
    }

    #[test]
    fn decimals_of_a_key_keep_their_digits() {
        let columns = [column("a", Type::Numeric { scale: None })];
        let columns: Vec<&Column> = columns.iter().collect();
        let mut writer =
            RecordWriter::new(&columns, 1, &[("a", KeyKind::Decimal)], Formats::default());
        let mut out = Vec::new();
        writer
            .write_text(&mut out, |_| Ok(Some("123456789012345678901.5")))
            .unwrap();
        assert_eq!(out, br#"{"a":123456789012345678901.5}"#);
        let key = writer.last_key().unwrap();
        assert_eq!(
            key[0].to_json(),
            serde_json::json!("123456789012345678901.5")
        );
    }
}
